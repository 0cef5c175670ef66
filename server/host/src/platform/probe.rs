//! What this machine has for each platform, each line with the way out.
//!
//! Runs in a short-lived launch host, never in the daemon, which may not open /dev/kvm.

use std::{fs::File, os::unix::fs::FileTypeExt as _, path::Path};

use stagepages_kvm::{Cap, GuestMemfdFlags, Kvm, KvmError, VmType};

use super::PlatformKind;
use crate::settings::{SnpInfo, TdxInfo};

/// One thing that a platform needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub subject: String,
    /// Whether it is there.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What an operator can do if it is not.
    pub remedy: String,
}

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

/// How many guests a platform's hardware can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// All.
    pub total: u64,
    /// In use, by whomever.
    pub in_use: u64,
}

/// What the built-in platforms find: looks at everything, for every one.
#[must_use]
pub fn probe() -> Vec<Report> {
    let kvm = Kvm::open();
    let report = |platform| {
        let checks = match platform {
            PlatformKind::Sim => vec![Check::new("simulator", true, "built in", "")],
            PlatformKind::Kvm => plain(&kvm),
            PlatformKind::SevSnp => confidential(
                &kvm,
                VmType::SevSnp,
                "/dev/sev",
                "kvm_amd sev_snp=1 and SNP enabled in firmware setup",
            ),
            PlatformKind::Tdx => confidential(
                &kvm,
                VmType::Tdx,
                "/dev/kvm",
                "kvm_intel tdx=1 and TDX enabled in firmware setup",
            ),
        };
        Report {
            platform,
            checks,
            runs_guests: platform == PlatformKind::Kvm,
            facts: Facts::default(),
        }
    };
    PlatformKind::ALL.map(report).into()
}

impl Check {
    fn new(subject: &str, ok: bool, found: impl Into<String>, remedy: &str) -> Self {
        let remedy = if ok { String::new() } else { remedy.to_owned() };
        Self {
            subject: subject.to_owned(),
            ok,
            found: found.into(),
            remedy,
        }
    }

    fn dev_kvm(kvm: &Result<Kvm, KvmError>) -> Self {
        let remedy = "load kvm_amd or kvm_intel, enable virtualisation in firmware setup, and give the daemon's user access to /dev/kvm";
        match kvm {
            Ok(_) => Self::new("/dev/kvm", true, "opened", remedy),
            Err(error) => Self::new("/dev/kvm", false, error.to_string(), remedy),
        }
    }

    fn cap(kvm: &Kvm, cap: Cap, want: u32, remedy: &str) -> Self {
        let name = format!("{cap:?}");
        match kvm.check_extension(cap) {
            Ok(value) => Self::new(
                &name,
                value & want == want,
                format!("{value:#x}, need {want:#x}"),
                remedy,
            ),
            Err(error) => Self::new(&name, false, error.to_string(), remedy),
        }
    }
}

fn plain(kvm: &Result<Kvm, KvmError>) -> Vec<Check> {
    let mut checks = vec![Check::dev_kvm(kvm)];
    if let Ok(kvm) = kvm {
        let flags = (GuestMemfdFlags::MMAP | GuestMemfdFlags::INIT_SHARED).bits();
        let flags = u32::try_from(flags).unwrap_or(u32::MAX);
        checks.push(Check::cap(
            kvm,
            Cap::UserMemory2,
            1,
            "run Linux 6.18 or later",
        ));
        checks.push(Check::cap(
            kvm,
            Cap::GuestMemfd,
            1,
            "run a kernel with CONFIG_KVM_GUEST_MEMFD",
        ));
        checks.push(Check::cap(
            kvm,
            Cap::GuestMemfdFlags,
            flags,
            "run Linux 6.18 or later",
        ));
    }
    checks
}

fn confidential(
    kvm: &Result<Kvm, KvmError>,
    vm_type: VmType,
    device: &str,
    enable: &str,
) -> Vec<Check> {
    let mut checks = vec![Check::dev_kvm(kvm)];
    if let Ok(kvm) = kvm {
        let bit = 1 << vm_type.abi();
        checks.push(Check::cap(
            kvm,
            Cap::VmTypes,
            bit,
            &format!("a machine and kernel with this VM type: {enable}"),
        ));
    }
    checks.push(device_node(Path::new(device)));
    let remedy = "use a later version of stagepages";
    checks.push(Check::new(
        "this version",
        false,
        "staging on this platform is not part of it",
        remedy,
    ));
    checks
}

fn device_node(path: &Path) -> Check {
    let subject = path.display().to_string();
    let remedy =
        "load the driver that makes this device node, and give the daemon's user access to it";
    let opened = File::options()
        .read(true)
        .write(true)
        .open(path)
        .and_then(|file| file.metadata());
    match opened {
        Ok(meta) if meta.file_type().is_char_device() => {
            Check::new(&subject, true, "opened", remedy)
        }
        Ok(_) => Check::new(&subject, false, "not a character device", remedy),
        Err(error) => Check::new(&subject, false, error.to_string(), remedy),
    }
}
