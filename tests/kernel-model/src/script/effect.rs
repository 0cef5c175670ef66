//! What a fault does.
//!
//! **Invariant:** no effect is one that the modelled kernel could not show.

use serde::{Deserialize, Serialize};

use crate::{Call, Profile};

/// What a fault does to the call or the page that it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum Effect {
    /// The call fails with this errno before anything happens: `{"errno": 11}`.
    Errno(i32),
    /// Firmware refuses the command or the page with this status: `{"firmware": 26}`.
    Firmware {
        /// Firmware's status.
        status: u64,
        /// The page cannot be taken back either, so KVM declares the VM dead: `{"firmware": 26, "reclaim_fails": true}`.
        reclaim_fails: bool,
    },
    /// The TDX module refuses the command, or to add the page, with this status: `{"module": 13835058055282163712}`.
    Module {
        /// What the module answers.
        status: u64,
        /// It adds the page, and then refuses to measure it: `{"module": 13835058055282163712, "in_extend": true}`.
        in_extend: bool,
    },
    /// The command, or each page of it, takes this many microseconds: `{"latency_us": 1000}`.
    Latency(u64),
    /// The page exists already, for the kernel.
    Duplicate,
    /// The page's memory is poisoned.
    Poisoned,
    /// The page is not private.
    NotPrivate,
    /// The source cannot be read.
    SourceFault,
    /// A signal is pending.
    Signal,
    /// There is no memory for the page.
    NoMemory,
    /// The loop ends before this page, as where a memslot ends.
    StopShort,
    /// The security processor does not answer, now and for good.
    PspDead,
    /// There is no security processor (any more).
    PspGone,
    /// KVM declares the VM dead.
    Dead,
    /// There is no free ASID.
    NoAsid,
    /// There is no free HKID.
    NoHkid,
    /// The TDX module is busy with what it is asked about.
    Busy,
    /// A vCPU is being created at the same time. Only where the profile's kernel minds.
    VcpuCreationRace,
    /// The guest context cannot be made.
    ContextCreation,
    /// What was done cannot be written back.
    CopyBackFault,
}

/// How an effect is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Errno(ErrnoWire),
    Firmware(FirmwareWire),
    Module(ModuleWire),
    Latency(LatencyWire),
    Named(Named),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrnoWire {
    errno: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirmwareWire {
    firmware: u64,
    #[serde(default)]
    reclaim_fails: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleWire {
    module: u64,
    #[serde(default)]
    in_extend: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyWire {
    latency_us: u64,
}

macro_rules! named {
    ($($name:ident)+) => {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Named {
            $($name,)+
        }

        impl From<Named> for Effect {
            fn from(named: Named) -> Self {
                match named {
                    $(Named::$name => Self::$name,)+
                }
            }
        }

        impl From<Effect> for Wire {
            fn from(effect: Effect) -> Self {
                match effect {
                    Effect::Errno(errno) => Self::Errno(ErrnoWire { errno }),
                    Effect::Firmware { status, reclaim_fails } => {
                        Self::Firmware(FirmwareWire { firmware: status, reclaim_fails })
                    }
                    Effect::Module { status, in_extend } => Self::Module(ModuleWire { module: status, in_extend }),
                    Effect::Latency(latency_us) => Self::Latency(LatencyWire { latency_us }),
                    $(Effect::$name => Self::Named(Named::$name),)+
                }
            }
        }
    };
}

named! {
    Duplicate Poisoned NotPrivate SourceFault Signal NoMemory StopShort PspDead PspGone Dead NoAsid NoHkid Busy VcpuCreationRace ContextCreation
    CopyBackFault
}

impl TryFrom<Wire> for Effect {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        match wire {
            Wire::Errno(ErrnoWire { errno }) if !(1..4096).contains(&errno) => {
                Err(format!("{errno} is no errno"))
            }
            Wire::Errno(ErrnoWire { errno }) => Ok(Self::Errno(errno)),
            Wire::Firmware(FirmwareWire { firmware: 0, .. }) => {
                Err("a firmware status of 0 is success".into())
            }
            Wire::Firmware(wire) => Ok(Self::Firmware {
                status: wire.firmware,
                reclaim_fails: wire.reclaim_fails,
            }),
            Wire::Module(ModuleWire { module: 0, .. }) => {
                Err("a module status of 0 is success".into())
            }
            Wire::Module(wire) => Ok(Self::Module {
                status: wire.module,
                in_extend: wire.in_extend,
            }),
            Wire::Latency(LatencyWire { latency_us }) => Ok(Self::Latency(latency_us)),
            Wire::Named(named) => Ok(named.into()),
        }
    }
}

/// The commands of a TD, those of pages apart, that the module can refuse.
const TD_STEPS: [Call; 3] = [Call::TdxInitVm, Call::TdxInitVcpu, Call::TdxFinalizeVm];

impl Effect {
    /// The effect can happen in this call.
    pub(super) fn fits(self, call: Call) -> bool {
        match self {
            Self::Errno(_) => true,
            Self::Firmware { reclaim_fails, .. } => {
                call.is_sev() && (call.installs_pages() || !reclaim_fails)
            }
            Self::Module { in_extend, .. } => {
                call == Call::TdxInitMemRegion || !in_extend && TD_STEPS.contains(&call)
            }
            Self::Busy => matches!(call, Call::TdxInitMemRegion | Call::TdxFinalizeVm),
            Self::VcpuCreationRace => matches!(
                call,
                Call::TdxInitMemRegion | Call::TdxFinalizeVm | Call::SnpLaunchFinish
            ),
            Self::Latency(_) | Self::Dead => call.is_sev() || call.is_tdx(),
            Self::Duplicate
            | Self::Poisoned
            | Self::NotPrivate
            | Self::SourceFault
            | Self::Signal
            | Self::NoMemory
            | Self::StopShort => call.installs_pages(),
            Self::PspDead | Self::PspGone => call.is_sev() && call != Call::SevInit2,
            Self::NoAsid => call == Call::SevInit2,
            Self::NoHkid => call == Call::TdxInitVm,
            Self::ContextCreation => call == Call::SnpLaunchStart,
            // A vCPU's command is not written back, its region is.
            Self::CopyBackFault => {
                call.is_sev()
                    || call.is_tdx() && !matches!(call, Call::TdxInitVcpu | Call::TdxGetCpuid)
            }
        }
    }

    /// The kernel of `profile` can show it in this call, which it [fits](Self::fits).
    pub(super) fn is_of(self, profile: Profile, call: Call) -> bool {
        if self != Self::VcpuCreationRace {
            return true;
        }
        if call.is_sev() {
            profile.finish_excludes_vcpu_creation()
        } else {
            profile.td_excludes_vcpu_creation()
        }
    }

    /// The effect is one page's, and not the whole call's.
    pub(super) fn strikes_pages(self, call: Call) -> bool {
        call.installs_pages()
            && match self {
                Self::Errno(_) | Self::CopyBackFault | Self::VcpuCreationRace => false,
                Self::Firmware { .. }
                | Self::Module { .. }
                | Self::Busy
                | Self::Latency(_)
                | Self::Dead
                | Self::Duplicate
                | Self::Poisoned
                | Self::NotPrivate
                | Self::SourceFault
                | Self::Signal
                | Self::NoMemory
                | Self::StopShort
                | Self::PspDead
                | Self::PspGone
                | Self::NoAsid
                | Self::NoHkid
                | Self::ContextCreation => true,
            }
    }
}
