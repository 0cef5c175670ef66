//! The values of labels.
//!
//! **Invariant:** each is one of few, and known before anybody calls.

use stagepages_host::{launch::State, platform::PlatformKind};
use stagepages_kvm::PageType;

/// A platform, as `Display` has it.
pub(super) fn platform(platform: PlatformKind) -> &'static str {
    match platform {
        PlatformKind::Sim => "sim",
        PlatformKind::Kvm => "kvm",
        PlatformKind::SevSnp => "sev-snp",
        PlatformKind::Tdx => "tdx",
    }
}

/// All states of a launch.
pub(super) const STATES: [State; 6] = [
    State::Created,
    State::Staging,
    State::Finished,
    State::Running,
    State::Stopped,
    State::Aborted,
];

/// A state of a launch.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Created => "created",
        State::Staging => "staging",
        State::Finished => "finished",
        State::Running => "running",
        State::Stopped => "stopped",
        State::Aborted => "aborted",
    }
}

/// A page type.
pub(super) fn page_type(page_type: PageType) -> &'static str {
    match page_type {
        PageType::Normal => "normal",
        PageType::Zero => "zero",
        PageType::Unmeasured => "unmeasured",
        PageType::Secrets => "secrets",
        PageType::Cpuid => "cpuid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_called_as_everywhere() {
        for kind in PlatformKind::ALL {
            assert_eq!(platform(kind), kind.to_string());
        }
    }
}
