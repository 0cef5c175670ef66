//! What this machine has for each platform, each line with the way out.
//!
//! ```text
//!  device ──▶ /dev/kvm ──▶ vm (type offered? made?) ──▶ caps, asked of that VM ──▶ what KVM takes: Facts
//!  module · misc · locked_memory: what only an operator can change, read from where the kernel says it
//!  plain · sev_snp · tdx: which of these each platform needs
//! ```
//!
//! `ok` means that nothing of this check keeps a launch from being created here. So what is merely not known is ok and says so, and what only follows from another
//! line that is missing is not listed: an operator reads causes. A number that goes up and down, such as how many ASIDs are free, is told and not judged: findings are
//! kept for a minute, and CreateLaunch has NO_CAPACITY for it.
//!
//! Runs in a short-lived launch host, never in the daemon, which may not open /dev/kvm. Everything is reached through libc (std, kvm-ioctls), where the tests' model of
//! the kernel can answer too.
//!
//! **Invariant:** nothing that costs is taken: no ASID, no key id, no memory of a guest; what is made to be asked is gone when this returns.

mod caps;
mod check;
mod device;
mod file;
mod locked_memory;
mod misc;
mod module;
mod plain;
mod sev_snp;
mod tdx;
mod vm;

use super::PlatformKind;
use crate::settings::{SnpInfo, TdxInfo};

use device::DevKvm;

pub use check::Check;
pub use misc::Capacity;

/// Everything one platform needs, and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The platform.
    pub platform: PlatformKind,
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
    /// Guests can be run here, and not only staged.
    pub runs_guests: bool,
    /// What KVM takes here.
    pub facts: Facts,
}

/// What KVM takes of the settings of a platform, and how many guests its hardware can hold; unset where it does not apply or is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// On `sev-snp`.
    pub snp: Option<SnpInfo>,
    /// On `tdx`.
    pub tdx: Option<TdxInfo>,
    /// ASIDs or key ids, as the cgroup misc controller counts them.
    pub capacity: Option<Capacity>,
}

/// What was found for one platform.
#[derive(Debug, Default)]
struct Findings {
    checks: Vec<Check>,
    facts: Facts,
}

/// What the built-in platforms find: looks at everything, for every one.
#[must_use]
pub fn probe() -> Vec<Report> {
    let dev_kvm = DevKvm::open();
    let report = |platform| {
        let Findings { checks, facts } = match platform {
            PlatformKind::Sim => Findings::from(vec![Check::there("simulator", "built in")]),
            PlatformKind::Kvm => plain::look(&dev_kvm),
            PlatformKind::SevSnp => sev_snp::look(&dev_kvm),
            PlatformKind::Tdx => tdx::look(&dev_kvm),
        };
        Report {
            platform,
            checks,
            runs_guests: platform == PlatformKind::Kvm,
            facts,
        }
    };
    PlatformKind::ALL.map(report).into()
}

impl From<Vec<Check>> for Findings {
    fn from(checks: Vec<Check>) -> Self {
        Self {
            checks,
            facts: Facts::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_is_looked_at_and_only_what_is_missing_has_a_way_out() {
        let reports = probe();
        let platforms: Vec<_> = reports.iter().map(|report| report.platform).collect();
        assert_eq!(platforms, PlatformKind::ALL);
        for report in &reports {
            assert!(!report.checks.is_empty(), "{report:?}");
            for check in &report.checks {
                assert!(!check.found.is_empty(), "{check:?}");
                assert_eq!(check.ok, check.remedy.is_empty(), "{check:?}");
                let same = report
                    .checks
                    .iter()
                    .filter(|it| it.subject == check.subject);
                assert_eq!(same.count(), 1, "named once: {report:?}");
            }
        }
    }
}
