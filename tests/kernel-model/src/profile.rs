//! Which kernel is modelled.
//!
//! Each method names one difference between kernels, so that no other file compares versions.
//!
//! **Invariant:** a profile is ordered as the kernels are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kernel whose rules the model follows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Profile {
    /// Linux 6.11 to 6.16.
    #[serde(rename = "6.11")]
    V6_11,
    /// Linux 6.18.
    #[default]
    #[serde(rename = "6.18")]
    V6_18,
    /// Linux 6.19.
    #[serde(rename = "6.19")]
    V6_19,
    /// Linux 7.1, as of 7.1.5.
    #[serde(rename = "7.1")]
    V7_1,
}

impl Profile {
    /// Every profile, oldest first.
    pub const ALL: [Self; 4] = [Self::V6_11, Self::V6_18, Self::V6_19, Self::V7_1];

    /// As in a script.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V6_11 => "6.11",
            Self::V6_18 => "6.18",
            Self::V6_19 => "6.19",
            Self::V7_1 => "7.1",
        }
    }

    /// `kvm_gmem_populate()` refuses a page that is up to date with EEXIST (`virt/kvm/guest_memfd.c`, until 7.0).
    #[must_use]
    pub fn populate_refuses_prepared(self) -> bool {
        self < Self::V7_1
    }

    /// `kvm_gmem_populate()` pins the source page before it looks at the guest's (`virt/kvm/guest_memfd.c`, from 7.0).
    #[must_use]
    pub fn populate_pins_source(self) -> bool {
        self >= Self::V7_1
    }

    /// `kvm_gmem_populate()` refuses a count of zero (`virt/kvm/guest_memfd.c`, from 6.18).
    #[must_use]
    pub fn populate_refuses_nothing(self) -> bool {
        self >= Self::V6_18
    }

    /// guest_memfds have flags, and `KVM_CAP_GUEST_MEMFD_FLAGS` says which (from 6.18).
    #[must_use]
    pub fn has_guest_memfd_flags(self) -> bool {
        self >= Self::V6_18
    }

    /// SNP's update refuses a length of zero; before, it was a success that did nothing (`snp_launch_update()`, `arch/x86/kvm/svm/sev.c`).
    #[must_use]
    pub fn update_refuses_empty(self) -> bool {
        self >= Self::V6_18
    }

    /// SNP's update wants its source aligned (`snp_launch_update()`, from 7.0).
    #[must_use]
    pub fn update_wants_alignment(self) -> bool {
        self >= Self::V7_1
    }

    /// SNP's start wants the SMT bit and refuses SINGLE_SOCKET (`snp_launch_start()`, until 6.16).
    #[must_use]
    pub fn start_wants_smt(self) -> bool {
        self < Self::V6_18
    }

    /// SNP's start makes the context before it looks at what it was given, so that one bad start spoils the VM
    /// (`snp_launch_start()`, 6.11).
    #[must_use]
    pub fn bad_start_spoils(self) -> bool {
        self < Self::V6_18
    }

    /// The policy bits that SNP takes can be asked for (device attribute 1 of group SEV).
    #[must_use]
    pub fn tells_policy_bits(self) -> bool {
        self >= Self::V6_19
    }

    /// A second finish finds the vCPUs protected and is EINVAL (`snp_launch_update_vmsa()`, 7.1); before, firmware refuses it.
    #[must_use]
    pub fn finish_sees_protected(self) -> bool {
        self >= Self::V7_1
    }

    /// SNP's finish takes the locks of all vCPUs, and is EBUSY while one is created (`snp_launch_update_vmsa()`, 7.1); before, it takes none.
    #[must_use]
    pub fn finish_excludes_vcpu_creation(self) -> bool {
        self >= Self::V7_1
    }

    /// There are TDs (first kernel read with them: 6.16).
    #[must_use]
    pub fn has_tdx(self) -> bool {
        self >= Self::V6_18
    }

    /// TDX maps a page before it adds it, so that a page that the module refuses stays mapped; later both are one step, and a refusal
    /// ends the VM (`tdx_gmem_post_populate()`, `arch/x86/kvm/vmx/tdx.c`, until 6.18).
    #[must_use]
    pub fn maps_page_before_adding(self) -> bool {
        self < Self::V6_19
    }

    /// A TD's commands take the locks of all vCPUs, and are EBUSY while one is created (`tdx_vm_state_guard`, from 6.19).
    #[must_use]
    pub fn td_excludes_vcpu_creation(self) -> bool {
        self >= Self::V6_19
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_ordered_and_named_as_in_a_script() {
        assert!(Profile::ALL.is_sorted());
        for profile in Profile::ALL {
            let written = serde_json::to_string(&profile).unwrap();
            assert_eq!(written, format!("\"{profile}\""));
            assert_eq!(serde_json::from_str::<Profile>(&written).unwrap(), profile);
        }
    }
}
