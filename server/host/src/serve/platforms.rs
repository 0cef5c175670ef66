//! Where platforms come from: the built-in ones, or a VMM's own.

use std::path::PathBuf;

use crate::{
    launch::{Reason, Refusal},
    platform::{
        Firmware, KvmPlatform, Memory, Platform, PlatformKind, Report, SimPlatform, SimScript,
        SnpPlatform, TdxPlatform, probe, refused::not_made,
    },
    settings::{Settings, SnpSettings, TdxSettings},
};

/// Name of the simulated firmware's time line in the runtime directory.
pub(super) const FIRMWARE: &str = "sim-firmware";

/// What the platform of a launch is to be.
#[derive(Debug)]
pub struct PlatformSpec<'a> {
    /// Which one.
    pub kind: PlatformKind,
    /// The memory regions, none overlapping another, each to be memory of its own.
    pub memory: &'a Memory<()>,
    /// How many vCPUs there will be, 1 to [`MAX_VCPUS`](crate::protocol::MAX_VCPUS).
    pub vcpus: u32,
    /// The settings of this platform, or [`Settings::Default`].
    pub settings: Settings,
}

/// The platforms that a launch host has.
pub trait Platforms {
    /// What this machine has for each, and whether this program runs its guests. Asked in a process that makes no launch.
    fn probe(&self) -> Vec<Report>;

    /// Makes the platform of the one launch of this host, with nothing installed.
    ///
    /// # Errors
    /// `PlatformUnavailable` for a platform that is not there, `NoCapacity` where the kernel has no room. Nothing remains then.
    fn create(&self, spec: PlatformSpec<'_>) -> Result<Box<dyn Platform>, Refusal>;
}

/// The platforms of this library.
#[derive(Debug, Clone)]
pub struct Builtin {
    /// Where the simulated firmware's time line is, which all hosts of a machine share.
    runtime_dir: PathBuf,
}

impl Builtin {
    /// With this runtime directory.
    pub fn new(runtime_dir: impl Into<PathBuf>) -> Self {
        Self {
            runtime_dir: runtime_dir.into(),
        }
    }
}

impl Platforms for Builtin {
    fn probe(&self) -> Vec<Report> {
        probe()
    }

    fn create(&self, spec: PlatformSpec<'_>) -> Result<Box<dyn Platform>, Refusal> {
        Ok(match spec.kind {
            PlatformKind::Sim => {
                let script = match spec.settings {
                    Settings::Sim(script) => script,
                    Settings::Default | Settings::SevSnp(_) | Settings::Tdx(_) => {
                        SimScript::default()
                    }
                };
                let firmware = if script.page_latency.is_zero() {
                    Ok(Firmware::instant())
                } else {
                    Firmware::open(&self.runtime_dir.join(FIRMWARE))
                };
                let firmware = firmware.map_err(|error| {
                    Refusal::new(
                        Reason::PlatformUnavailable,
                        format!(
                            "the simulated firmware in {}: {error}",
                            self.runtime_dir.display()
                        ),
                    )
                })?;
                Box::new(SimPlatform::new(spec.memory, script, firmware).map_err(not_made)?)
            }
            PlatformKind::Kvm => Box::new(KvmPlatform::new(spec.memory).map_err(not_made)?),
            PlatformKind::SevSnp => {
                let settings = match spec.settings {
                    Settings::SevSnp(settings) => settings,
                    Settings::Default | Settings::Sim(_) | Settings::Tdx(_) => {
                        SnpSettings::default()
                    }
                };
                Box::new(SnpPlatform::new(spec.memory, &settings)?)
            }
            PlatformKind::Tdx => {
                let settings = match spec.settings {
                    Settings::Tdx(settings) => settings,
                    Settings::Default | Settings::Sim(_) | Settings::SevSnp(_) => {
                        TdxSettings::default()
                    }
                };
                Box::new(TdxPlatform::new(spec.memory, spec.vcpus, &settings)?)
            }
        })
    }
}
