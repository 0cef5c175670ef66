//! How many guests the hardware can hold: the cgroup misc controller.
//!
//! | file in /sys/fs/cgroup | what it holds                                                                                    |
//! |------------------------|--------------------------------------------------------------------------------------------------|
//! | `misc.capacity`        | all there are; only the true root of cgroup v2 has it, so a container with a cgroup namespace does not see it |
//! | `misc.current`         | those in use, in the root by whomever; old kernels have it only below the root                                 |
//!
//! (`misc_cg_files`, kernel/cgroup/misc.c.) Where there is no capacity, `misc.current` is that of a part of the machine, so nothing is said. SNP guests take their ASIDs
//! from the line `sev_es` (`sev_misc_cg_try_charge()`, arch/x86/kvm/svm/sev.c), which SEV-ES guests share: with ciphertext hiding, SNP's part of it is smaller, and the
//! kernel does not count it apart. TDs take one `tdx` each (`__tdx_td_init()`, arch/x86/kvm/vmx/tdx.c).
//!
//! **Invariant:** that none is free now is no finding against the platform: it would outlive the cause by a minute.

use std::io;

use super::{Check, file};

const CAPACITY: &str = "/sys/fs/cgroup/misc.capacity";
const CURRENT: &str = "/sys/fs/cgroup/misc.current";

/// How many guests a platform's hardware can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// All.
    pub total: u64,
    /// In use, by whomever.
    pub in_use: u64,
}

/// What a guest takes one of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource {
    /// The line's first word.
    pub(super) key: &'static str,
    /// What it counts.
    pub(super) subject: &'static str,
    /// What an operator can do if there are none.
    pub(super) remedy: &'static str,
}

/// Looks at the files.
pub(super) fn check(resource: Resource) -> (Check, Option<Capacity>) {
    judge(resource, file::read(CAPACITY), file::read(CURRENT))
}

fn judge(
    resource: Resource,
    capacity: io::Result<String>,
    current: io::Result<String>,
) -> (Check, Option<Capacity>) {
    let Resource {
        key,
        subject,
        remedy,
    } = resource;
    let total = match number(CAPACITY, key, capacity) {
        // The kernel leaves out the line of what it has none of, and refuses to charge for it.
        Ok(None | Some(0)) => {
            let found = format!("none: {CAPACITY} has no `{key}`");
            return (Check::missing(subject, found, remedy), None);
        }
        Ok(Some(total)) => total,
        Err(why) => return (Check::there(subject, format!("not known: {why}")), None),
    };
    let in_use = match number(CURRENT, key, current) {
        Ok(Some(in_use)) => in_use,
        Ok(None) => {
            let found = format!("{total}; in use: not known: {CURRENT} has no `{key}`");
            return (Check::there(subject, found), None);
        }
        Err(why) => {
            let found = format!("{total}; in use: not known: {why}");
            return (Check::there(subject, found), None);
        }
    };
    let found = if in_use < total {
        format!("{total}, {in_use} in use")
    } else {
        format!(
            "{total}, {in_use} in use: until a guest ends, CreateLaunch is refused with NO_CAPACITY"
        )
    };
    (
        Check::there(subject, found),
        Some(Capacity { total, in_use }),
    )
}

/// The number on the line of `key`; `None` if there is no such line.
fn number(path: &str, key: &str, text: io::Result<String>) -> Result<Option<u64>, String> {
    let text = text.map_err(|error| format!("{path}: {error}"))?;
    let mut lines = text.lines().map(|line| line.split_ascii_whitespace());
    let Some(mut words) = lines.find_map(|mut words| (words.next() == Some(key)).then_some(words))
    else {
        return Ok(None);
    };
    match (words.next().map(str::parse), words.next()) {
        (Some(Ok(number)), None) => Ok(Some(number)),
        _ => Err(format!("{path}: no number after `{key}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASIDS: Resource = Resource {
        key: "sev_es",
        subject: "ASIDs",
        remedy: "firmware setup",
    };

    fn judged(
        capacity: Result<&str, io::ErrorKind>,
        current: Result<&str, io::ErrorKind>,
    ) -> (Check, Option<Capacity>) {
        let file =
            |text: Result<&str, io::ErrorKind>| text.map(str::to_owned).map_err(io::Error::from);
        judge(ASIDS, file(capacity), file(current))
    }

    #[test]
    fn capacity_is_that_of_its_own_line() {
        let (check, capacity) = judged(Ok("sev 410\nsev_es 99\n"), Ok("sev 3\nsev_es 12\n"));
        assert_eq!((check.ok, check.found.as_str()), (true, "99, 12 in use"));
        assert_eq!(
            capacity,
            Some(Capacity {
                total: 99,
                in_use: 12
            })
        );
        let (tdx, capacity) = judge(
            Resource {
                key: "tdx",
                ..ASIDS
            },
            Ok("tdx 31\n".to_owned()),
            Ok("tdx 0\n".to_owned()),
        );
        assert!(tdx.ok);
        assert_eq!(
            capacity,
            Some(Capacity {
                total: 31,
                in_use: 0
            })
        );
    }

    #[test]
    fn that_none_is_free_is_said_and_not_held_against_the_platform() {
        let (check, capacity) = judged(Ok("sev_es 2\n"), Ok("sev_es 2\n"));
        assert!(check.ok && check.found.contains("NO_CAPACITY"), "{check:?}");
        assert_eq!(
            capacity,
            Some(Capacity {
                total: 2,
                in_use: 2
            })
        );
    }

    #[test]
    fn that_there_are_none_at_all_is_missing() {
        for capacity in ["", "sev 509\n", "sev_es 0\n", "sev_es_else 7\n"] {
            let (check, capacity) = judged(Ok(capacity), Ok(""));
            assert_eq!((check.ok, capacity), (false, None), "{check:?}");
            assert_eq!(check.remedy, "firmware setup");
        }
    }

    #[test]
    fn what_is_not_known_is_said_and_no_number_made_up() {
        let absent = Err(io::ErrorKind::NotFound);
        let cases = [
            (
                absent,
                Ok("sev_es 1\n"),
                "not known: /sys/fs/cgroup/misc.capacity: ",
            ),
            (Ok("sev_es many\n"), absent, "no number after `sev_es`"),
            (Ok("sev_es\n"), absent, "no number after `sev_es`"),
            (Ok("sev_es 1 2\n"), absent, "no number after `sev_es`"),
            (Ok("sev_es -1\n"), absent, "no number after `sev_es`"),
            (
                Ok("sev_es 99\n"),
                absent,
                "99; in use: not known: /sys/fs/cgroup/misc.current: ",
            ),
            (Ok("sev_es 99\n"), Ok("sev 1\n"), "99; in use: not known: "),
            (
                Ok("sev_es 99\n"),
                Ok("sev_es x\n"),
                "99; in use: not known: ",
            ),
        ];
        for (total, current, words) in cases {
            let (check, capacity) = judged(total, current);
            assert_eq!((check.ok, capacity), (true, None), "{check:?}");
            assert!(check.found.contains(words), "{check:?}");
        }
    }
}
