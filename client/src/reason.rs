//! The stable reasons of the API's errors: what each promises about the launch, and the way out of each.
//!
//! Plain `&str` constants and not an enum, because a newer daemon may give a reason that this client does not know.
//!
//! **Invariant:** the tables at `LaunchService` in `launch.proto` and at `ImageService` in `image.proto` are the authority; this file adds only what to do.

/// Declares each reason with its remedy, so that no reason can be without one.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $remedy:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = stringify!($name);)+

        /// What to do about this reason, as a sentence without capital and period; `None` for a reason unknown here.
        #[must_use]
        pub fn remedy(reason: &str) -> Option<&'static str> {
            match reason {
                $($name => Some($remedy),)+
                _ => None,
            }
        }

        #[cfg(test)]
        pub(crate) const ALL: &[&str] = &[$($name),+];
    };
}

reasons! {
    /// A request that cannot be understood: a bad name, an unspecified or unknown enum value, a foreign page token.
    MALFORMED_REQUEST => "correct the named field; a launch is named `vm-1` or `launches/vm-1`";
    /// A message over the daemon's limit.
    MESSAGE_TOO_LARGE => "send less in one call: `stagectl node` shows the limits";
    /// An extent whose alignment, length or source is wrong.
    INVALID_EXTENT => "give a 4096-aligned GPA, and data or a length that is a positive multiple of 4096, as the page type takes it";
    /// A page type that the launch's platform does not have.
    UNSUPPORTED_PAGE_TYPE => "use a page type of this platform: `stagectl node` lists them";
    /// A launch that cannot be made from this id and spec, or a digest that the platform cannot check.
    INVALID_LAUNCH => "correct the named fields; `stagectl node` shows the limits";
    /// A register that the vCPU does not allow; nothing changed.
    INVALID_VCPU_STATE => "correct the named register; a vCPU in 64-bit mode needs page tables in the launch's memory, and canonical addresses";
    /// Part of the extent lies in no memory region.
    OUTSIDE_MEMORY => "stage inside one memory region: `stagectl launch get LAUNCH` lists them; a launch's memory is fixed when it is created";
    /// The first page exists; nothing was installed by the call.
    ALREADY_INSTALLED => "nothing overwrites a page: see what is there with `stagectl launch pages LAUNCH`; for other contents abort this launch and create a new one";
    /// The id is in use by a launch with another spec.
    LAUNCH_EXISTS => "choose another id, or abort and delete the launch that has it";
    /// No such launch.
    LAUNCH_NOT_FOUND => "list launches with `stagectl launch list`";
    /// No call of that number or name was applied, or its answer is no longer kept.
    RESULT_NOT_FOUND => "send the call again: it is applied once; how many answers are kept, `stagectl node` shows";
    /// Nobody touched the launch for as long as its lease, and it is over.
    LEASE_EXPIRED => "create a new launch, with a longer --lease, or renew it in time with `stagectl launch renew LAUNCH`";
    /// The connection does not prove who calls, or does not any more.
    UNAUTHENTICATED => "give a certificate that the daemon knows and that is valid now, with --cert and --key";
    /// The daemon's policy does not let this caller make this call.
    PERMISSION => "ask who keeps the daemon's policy for the role that the message names";
    /// The number of the call is not the next one of its SEQUENCED launch.
    OUT_OF_SEQUENCE => "see the next number with `stagectl launch get LAUNCH`; a SEQUENCED launch is for one client at a time";
    /// The number was applied with other content.
    SEQUENCE_CONFLICT => "somebody else stages into this launch: a SEQUENCED launch is for one client at a time";
    /// The name of the call was used with other content.
    REQUEST_ID_REUSED => "take another --session, or another request id: a name stands for one content";
    /// The call came on a stream behind one that was not a complete install.
    NOT_APPLIED => "nothing was installed by this call: send it again once what stopped the stream is dealt with";
    /// The launch's state does not allow the call.
    WRONG_STATE => "see the launch's state with `stagectl launch get LAUNCH`";
    /// The launch digest is not the expected one.
    DIGEST_MISMATCH => "compare what was staged, and in which order, with `stagectl launch pages LAUNCH --order installation --hashes`; the launch goes on unchanged";
    /// The machine lacks what the platform needs.
    PLATFORM_UNAVAILABLE => "see what is missing with `stagectl node`; `--platform sim` and `--platform kvm` are not confidential and have to be named";
    /// The platform or this daemon cannot do that.
    UNSUPPORTED_OPERATION => "see what this daemon and its platforms can do with `stagectl node`";
    /// The firmware refused the CPUID page.
    CPUID_REJECTED => "see all of it with `stagectl launch rejected-cpuid LAUNCH`, and stage a page that the guest's owner approves; if the launch is ABORTED, create a new one";
    /// The firmware refused a page or a step.
    FIRMWARE_REFUSED => "do what the error says of this firmware status; if the launch is ABORTED, create a new one";
    /// The kernel refused, and the launch is mostly over.
    KERNEL_REFUSED => "see the launch's state and cause with `stagectl launch get LAUNCH`; if it is ABORTED, create a new one";
    /// The launch host died, and all its pages are gone.
    HOST_DIED => "the launch is ABORTED: see its cause with `stagectl launch get LAUNCH` and create a new one";
    /// AbortLaunch ended the call's extent between two chunks.
    ABORTED_DURING_CALL => "somebody aborted this launch; create a new one";
    /// The machine or the daemon has no room for it.
    NO_CAPACITY => "end launches or guests that hold what is lacking, or ask for less: `stagectl node` shows the limits, and how many confidential guests there is room for";
    /// Too many calls wait for the launch.
    QUEUE_FULL => "try again in a moment; nothing was installed by this call";
    /// The call's deadline ends before the machine's firmware would get to its last page.
    DEADLINE_UNREACHABLE => "nothing was installed: call again with a longer --timeout or without one, or create the launch with a higher --priority";
    /// A quota leaves no room for it.
    QUOTA_EXCEEDED => "the message names the bound and how to get more: a tenant's (tenant.NAME.…) and that of all (total.…) are in the daemon's policy, image_quota_bytes in its configuration; `stagectl image rm` makes room for images, `stagectl node` shows what they take";
    /// No such image, or none that is stored for this caller.
    IMAGE_NOT_FOUND => "it may have been dropped for another: push it again with `stagectl image push`; `stagectl image list` shows what is stored";
    /// A stored image does not hold what was committed.
    IMAGE_CORRUPT => "it was put aside: push it again; if the launch is ABORTED, create a new one, and look at the machine's disk";
    /// Larger than an image may be.
    IMAGE_TOO_LARGE => "raise max_image_bytes in the daemon's configuration, or send the contents as bytes: `stagectl stage --no-store`";
    /// What was written is not what the image's name says.
    IMAGE_DIGEST_MISMATCH => "the bytes changed while they were read: leave the file alone, and push it again";
    /// Another offset is the next to be written.
    IMAGE_OFFSET => "ask QueryWrite for the next offset, and go on from there; `stagectl image push` does";
    /// A later call writes to the same upload.
    IMAGE_WRITE_SUPERSEDED => "somebody else pushes the same image: wait for that, or push under another --upload-id";
    /// Calls stage from the image.
    IMAGE_IN_USE => "try again when they are answered: `stagectl image list` shows which images are in use";
    /// The daemon is shutting down.
    DRAINING => "try again when the daemon is back";
    /// The audit log cannot be written, and no launch is created without a record of it.
    AUDIT_UNAVAILABLE => "make room on the disk of the daemon's audit_dir: launches are created again as soon as it can be written, and the others go on meanwhile";
    /// The launch host did not answer in time.
    HOST_UNREACHABLE => "the call may still be applied: see what is installed with `stagectl launch pages LAUNCH`, or repeat it; pages that are there as wanted count as identical";
    /// The caller's deadline passed.
    DEADLINE_EXPIRED => "what was handed to the host is completed: repeat the call with a longer --timeout; pages that are there as wanted count as identical";
    /// A defect of the daemon.
    INTERNAL_ERROR => "this is a defect of the daemon: please report it with the daemon's log";
}

/// Whether this reason promises that the refused call installed nothing.
///
/// INTERNAL_ERROR promises it too, but a daemon that has just found a defect in itself is not believed unless it gives the count.
#[must_use]
pub fn installed_nothing(reason: &str) -> bool {
    matches!(
        reason,
        MALFORMED_REQUEST
            | MESSAGE_TOO_LARGE
            | INVALID_EXTENT
            | UNSUPPORTED_PAGE_TYPE
            | INVALID_LAUNCH
            | INVALID_VCPU_STATE
            | OUTSIDE_MEMORY
            | ALREADY_INSTALLED
            | LAUNCH_EXISTS
            | LAUNCH_NOT_FOUND
            | RESULT_NOT_FOUND
            | WRONG_STATE
            | LEASE_EXPIRED
            | OUT_OF_SEQUENCE
            | SEQUENCE_CONFLICT
            | REQUEST_ID_REUSED
            | NOT_APPLIED
            | DIGEST_MISMATCH
            | PLATFORM_UNAVAILABLE
            | UNSUPPORTED_OPERATION
            | NO_CAPACITY
            | QUEUE_FULL
            | DEADLINE_UNREACHABLE
            | QUOTA_EXCEEDED
            | UNAUTHENTICATED
            | IMAGE_NOT_FOUND
            | DRAINING
            | AUDIT_UNAVAILABLE
    )
}

/// Whether this reason leaves open what becomes of the call, so that a count in its metadata could still grow.
#[must_use]
pub fn leaves_count_open(reason: &str) -> bool {
    matches!(reason, HOST_UNREACHABLE | DEADLINE_EXPIRED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proto's table, as served by reflection, lists exactly these reasons.
    #[test]
    fn every_reason_of_the_contract_is_known_here() {
        let launches = include_str!("../../proto/stagepages/v1/launch.proto");
        let images = include_str!("../../proto/stagepages/v1/image.proto");
        // Reason, code and state of the launch; or reason and code.
        let table = |contract: &'static str, bars| {
            (contract.lines())
                .filter(move |line| line.starts_with("// | ") && line.matches('|').count() == bars)
        };
        let rows = table(launches, 4).chain(table(images, 3));
        let cells = rows
            .filter_map(|row| row.split('|').nth(1))
            .flat_map(|cell| cell.split(':').next().unwrap_or("").split(','));
        let mut listed: Vec<&str> = cells
            .filter_map(|cell| cell.split_whitespace().next())
            .filter(|word| {
                word.len() > 4 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            })
            .collect();
        let mut known = ALL.to_vec();
        listed.sort_unstable();
        listed.dedup();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn remedies_are_sentences_in_the_house_style() {
        for reason in ALL {
            let remedy = remedy(reason).unwrap();
            assert!(
                !remedy.ends_with('.') && remedy.starts_with(|c: char| c.is_lowercase()),
                "{reason}: {remedy}"
            );
        }
        assert_eq!(remedy("A_REASON_OF_TOMORROW"), None);
    }

    #[test]
    fn a_reason_that_installed_nothing_is_settled() {
        for reason in ALL {
            assert!(
                !(installed_nothing(reason) && leaves_count_open(reason)),
                "{reason}"
            );
        }
    }
}
