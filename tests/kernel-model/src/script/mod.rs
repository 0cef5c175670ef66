//! What the modelled machine is like, and what goes wrong on it.
//!
//! ```json
//! { "profile": "6.18", "snp": true,
//!   "faults": [{ "at": "KVM_SEV_SNP_LAUNCH_UPDATE", "gfn": 7, "effect": { "firmware": 26 } }],
//!   "files": { "/dev/sev": { "errno": 13 }, "/sys/fs/cgroup/misc.current": null } }
//! ```
//!
//! **Invariant:** a script with a name that the model does not know, or a fault that could never strike, is an error.

mod effect;
mod fault;
mod file;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::effect::Effect;
pub use self::fault::{Fault, Faults, Struck};
pub use self::file::File;

use crate::Profile;

/// A script. What it does not say is as in [`Script::default`]: Linux 6.18 with neither SNP nor TDX, and no faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Whose rules hold.
    pub profile: Profile,
    /// SEV-SNP is there.
    pub snp: bool,
    /// TDX is there, if the profile's kernel has it.
    pub tdx: bool,
    /// What a violation does to the process.
    pub violations: Violations,
    /// What goes wrong. Where several fit, the first strikes.
    pub faults: Vec<Fault>,
    /// What opening and looking at these exact paths gives, in place of the machine's. They begin with `/dev/`, `/proc/` or `/sys/`.
    pub files: BTreeMap<String, File>,
    /// What firmware wants in a CPUID page, beside what it always wants of leaf 0xd.
    pub cpuid_wants: Vec<CpuidWant>,
    /// The features that a VMSA may have; without it, what the profile's kernel has.
    pub vmsa_features: Option<u64>,
    /// The policy bits that SNP takes.
    pub snp_policy_bits: u64,
    /// Firmware compares an ID block's digest and policy with the launch's, as it does; a test that cannot know the digest leaves it.
    pub checks_id_block: bool,
    /// The attributes that a TD may have.
    pub tdx_attributes: u64,
    /// The extended features that a TD may have.
    pub tdx_xfam: u64,
    /// How many vCPUs a VM can have.
    pub max_vcpus: u32,
}

/// What a violation does to the process, after it was written to the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Violations {
    /// Ends it.
    #[default]
    Abort,
    /// Nothing.
    Record,
}

/// What firmware wants of one leaf of a CPUID page. What is absent may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuidWant {
    /// The leaf.
    pub eax_in: u32,
    /// The subleaf.
    pub ecx_in: u32,
    /// The value of EAX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eax: Option<u32>,
    /// The value of EBX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebx: Option<u32>,
    /// The value of ECX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecx: Option<u32>,
    /// The value of EDX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edx: Option<u32>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            snp: false,
            tdx: false,
            violations: Violations::default(),
            faults: Vec::new(),
            files: BTreeMap::new(),
            cpuid_wants: Vec::new(),
            vmsa_features: None,
            // ABI minor and major, SMT, the reserved bit that must be one, DEBUG, SINGLE_SOCKET.
            snp_policy_bits: 0x1b_ffff,
            checks_id_block: false,
            // SEPT_VE_DISABLE.
            tdx_attributes: 1 << 28,
            // x87, SSE, AVX, AVX-512, PKRU, AMX.
            tdx_xfam: 0x6_02e7,
            max_vcpus: 1024,
        }
    }
}

impl Script {
    /// A machine with SNP and without faults.
    #[must_use]
    pub fn snp(profile: Profile) -> Self {
        Self {
            profile,
            snp: true,
            ..Self::default()
        }
    }

    /// A machine with TDX and without faults.
    #[must_use]
    pub fn tdx(profile: Profile) -> Self {
        Self {
            profile,
            tdx: true,
            ..Self::default()
        }
    }

    /// The same with one more fault.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Reads and checks a script.
    ///
    /// # Errors
    ///
    /// In words: no JSON, a name that does not exist, a fault that could never strike, a path that is not looked at.
    pub fn parse(json: &str) -> Result<Self, String> {
        let script: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut faults = script.faults.iter();
        faults.try_for_each(|fault| fault.check(script.profile))?;
        match script.files.keys().find(|path| !file::is_candidate(path)) {
            Some(path) => Err(format!(
                "files: {path} begins with none of /dev/, /proc/ and /sys/, so it would never be looked at"
            )),
            None => Ok(script),
        }
    }

    /// What the model puts at this path, if it does: the script's word, else the default for the machine that it describes.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<File> {
        if !file::is_candidate(path) {
            return None;
        }
        match self.files.get(path) {
            Some(file) => Some(file.clone()),
            None => file::by_default(self, path),
        }
    }

    /// There can be TDs.
    #[must_use]
    pub fn has_tdx(&self) -> bool {
        self.tdx && self.profile.has_tdx()
    }

    /// The features that a VMSA may have: DEBUG_SWAP, and from 6.18 SECURE_TSC.
    #[must_use]
    pub fn vmsa_features(&self) -> u64 {
        let known = if self.profile >= Profile::V6_18 {
            1 << 5 | 1 << 9
        } else {
            1 << 5
        };
        self.vmsa_features.unwrap_or(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Call;

    #[test]
    fn a_script_reads_back_as_written() {
        let script = Script::snp(Profile::V7_1)
            .with_fault(Fault::at(Call::SnpLaunchUpdate, Effect::Duplicate).on_gfn(7))
            .with_fault(Fault::at(Call::CreateVm, Effect::Errno(16)).after(2));
        let json = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::parse(&json).unwrap(), script);
    }

    #[test]
    fn what_the_model_does_not_know_is_refused() {
        for json in [
            r#"{ "kernel": "6.18" }"#,
            r#"{ "profile": "6.17" }"#,
            r#"{ "violations": "ignore" }"#,
            r#"{ "faults": [{ "at": "KVM_NOT", "effect": "signal" }] }"#,
            r#"{ "faults": [{ "at": "KVM_CREATE_VM", "effect": "signal" }] }"#,
            r#"{ "faults": [{ "at": "KVM_CREATE_VM", "effect": { "errno": 5 }, "gfn": 1 }] }"#,
            r#"{ "faults": [{ "at": "KVM_CREATE_VM", "effect": { "errno": 5 }, "times": 0 }] }"#,
            r#"{ "faults": [{ "at": "KVM_CREATE_VM", "effect": { "errno": 5, "word": 1 } }] }"#,
            r#"{ "files": { "/etc/passwd": null } }"#,
        ] {
            assert!(Script::parse(json).is_err(), "{json}");
        }
    }
}
