//! What a launch host of an older version of the private protocol cannot be asked for.
//!
//! **Invariant:** no host is sent what its version does not have: it would hang up, or go on without what it does not see.

use stagepages_host::{
    launch::State,
    platform::PlatformKind,
    protocol::{Command, Create, Finish, Vcpu, VcpuStart},
};

use super::Launch;
use crate::rpc::{reason::Reason, status::ApiError};

/// The first version of the private protocol that has guests.
const GUESTS_SINCE: u32 = 3;

/// The first version that has settings of confidential platforms.
const SETTINGS_SINCE: u32 = 4;

/// The first version that tells the digest that a launch is expected to end in, and compares that one with what FinishLaunch names.
pub(super) const EXPECTED_SINCE: u32 = 5;

/// The first version whose hosts tell the ledger of an ABORTED launch. That of a STOPPED one they all tell that run guests.
const ENDED_LEDGERS_SINCE: u32 = 5;

/// The first version whose hosts take contents from stored images, and can be metered.
const IMAGES_SINCE: u32 = 6;

/// Whether a host that speaks `version` of the private protocol goes as far as it is told, and no further.
pub(super) fn is_metered(version: u32) -> bool {
    version >= IMAGES_SINCE
}

/// Checks that a host that speaks `version` of the private protocol tells the ledger of a launch that ended in `state`.
///
/// # Errors
/// Why not, and what to do.
pub(super) fn tells_ended_ledger(version: u32, state: State) -> Result<(), String> {
    if version >= ENDED_LEDGERS_SINCE || (has_guests(version) && state == State::Stopped) {
        return Ok(());
    }
    Err(format!(
        "its launch host spoke version {version} of the private protocol, which tells none of an {state} launch; version {ENDED_LEDGERS_SINCE} does: create the launch with a newer host program"
    ))
}

/// Whether a host that speaks `version` of the private protocol takes commands about its guest.
pub(super) fn has_guests(version: u32) -> bool {
    version >= GUESTS_SINCE
}

/// Checks that a host that speaks `version` of the private protocol would see all that `create` asks of it.
///
/// # Errors
/// UNSUPPORTED_OPERATION.
pub(super) fn fits(create: &Create, version: u32) -> Result<(), ApiError> {
    let given = [
        ("spec.sev_snp", create.sev_snp.is_some()),
        ("spec.tdx", create.tdx.is_some()),
        ("spec.vcpu_states", create.vcpu_states.iter().any(of_a_td)),
    ];
    if version < SETTINGS_SINCE
        && let Some((field, _)) = given.iter().find(|(_, given)| *given)
    {
        let text = "leave it unset for this host program";
        let doing = format!("create a launch with {field}");
        return Err(without_settings(&doing, version).field(field, text));
    }
    let plain = create.vcpus <= 1 && create.vcpu_states.is_empty();
    if plain || has_guests(version) {
        return Ok(());
    }
    let field = if create.vcpus > 1 {
        "spec.vcpus"
    } else {
        "spec.vcpu_states"
    };
    let text = "leave it unset for this host program";
    Err(too_old(&format!("create a launch with {field}"), version).field(field, text))
}

/// Checks that a host that speaks `version` of the private protocol would see all of `command`, and know it, which is for `doing`.
///
/// # Errors
/// UNSUPPORTED_OPERATION.
fn knows(command: &Command, version: u32, doing: &str) -> Result<(), ApiError> {
    let needs_settings = matches!(command, Command::GetRejectedCpuid(_))
        || matches!(command, Command::SetVcpu(vcpu) if of_a_td(vcpu));
    if needs_settings && version < SETTINGS_SINCE {
        return Err(without_settings(doing, version));
    }
    Ok(())
}

/// Checks that a host that speaks `version` of the private protocol would see all that `finish` gives a launch on `kind`, and compare the digests in it with
/// the one that the launch ends in. One that compares none hands the ID block to firmware as it is, whose refusal ends the launch.
///
/// # Errors
/// UNSUPPORTED_OPERATION.
fn guards(finish: &Finish, kind: PlatformKind, version: u32) -> Result<(), ApiError> {
    if finish.sev_snp.is_some() && version < SETTINGS_SINCE {
        let field = "sev_snp";
        let text = "leave it unset for this host program";
        let doing = format!("finish with {field}");
        return Err(without_settings(&doing, version).field(field, text));
    }
    let snp = finish.sev_snp.as_ref();
    // What no launch of the platform takes is for its host to say, whatever its version.
    let named = [
        (
            "expected_launch_digest",
            kind.digest_bytes() > 0 && !finish.expected_digest.is_empty(),
            "finish without it, and compare what the guest attests",
        ),
        (
            "sev_snp.id_block",
            kind.takes_snp_finish() && snp.is_some_and(|snp| !snp.id_block.is_empty()),
            "create the launch with a newer host program, or finish without an ID block",
        ),
    ];
    let named = named.into_iter().find(|(_, named, _)| *named);
    if version < EXPECTED_SINCE
        && let Some((field, _, way_out)) = named
    {
        let text = format!(
            "cannot finish with {field}: the launch host speaks version {version} of the private protocol, which knows the digest of pages alone; version {EXPECTED_SINCE} compares the one that the launch ends in: {way_out}"
        );
        return Err(ApiError::new(Reason::UnsupportedOperation, text).field(field, way_out));
    }
    Ok(())
}

/// Whether it begins as only vCPUs of a TD do.
fn of_a_td(vcpu: &Vcpu) -> bool {
    matches!(vcpu.start, Some(VcpuStart::Tdx(_)))
}

/// What is said of a host that is too old for settings.
fn without_settings(doing: &str, version: u32) -> ApiError {
    let text = format!(
        "cannot {doing}: the launch host speaks version {version} of the private protocol, which has no settings of confidential platforms; version {SETTINGS_SINCE} does: create the launch with a newer host program"
    );
    ApiError::new(Reason::UnsupportedOperation, text)
}

/// What is said of a host that is too old for guests.
fn too_old(doing: &str, version: u32) -> ApiError {
    let text = format!(
        "cannot {doing}: the launch host speaks version {version} of the private protocol, which has no vCPU states and runs no guests; version {GUESTS_SINCE} does: create the launch with a newer host program"
    );
    ApiError::new(Reason::UnsupportedOperation, text)
}

impl Launch {
    /// Checks that the host takes commands about its guest.
    ///
    /// # Errors
    /// UNSUPPORTED_OPERATION.
    pub fn takes_guest_commands(&self, doing: &str) -> Result<(), ApiError> {
        let version = self.link.version();
        if has_guests(version) {
            Ok(())
        } else {
            Err(too_old(doing, version).launch(&self.id))
        }
    }

    /// Checks that the host takes contents from stored images.
    ///
    /// # Errors
    /// UNSUPPORTED_OPERATION.
    pub fn takes_images(&self) -> Result<(), ApiError> {
        let version = self.link.version();
        if version >= IMAGES_SINCE {
            return Ok(());
        }
        let way_out = "send the contents as data, or create the launch with a newer host program";
        let text = format!(
            "cannot stage from an image: the launch host speaks version {version} of the private protocol, and version {IMAGES_SINCE} takes images: {way_out}"
        );
        let error = ApiError::new(Reason::UnsupportedOperation, text);
        Err(error.launch(&self.id).field("image", way_out))
    }

    /// Checks that the host knows what `command`, which is for `doing`, has of settings of confidential platforms.
    ///
    /// # Errors
    /// UNSUPPORTED_OPERATION.
    pub fn knows(&self, command: &Command, doing: &str) -> Result<(), ApiError> {
        knows(command, self.link.version(), doing).map_err(|error| error.launch(&self.id))
    }

    /// Checks that the host sees all that `finish` gives, and compares the digests in it.
    ///
    /// # Errors
    /// UNSUPPORTED_OPERATION.
    pub fn guards(&self, finish: &Finish) -> Result<(), ApiError> {
        guards(finish, self.platform, self.link.version()).map_err(|error| error.launch(&self.id))
    }
}

#[cfg(test)]
mod tests;
