//! How vCPUs begin, validated before anything reaches the kernel.
//!
//! ```text
//!  protocol::Vcpu ──VcpuState::new(…, &Rules)──▶ VcpuState ──registers()──▶ Registers ──▶ a platform's vCPU
//!                              └──▶ Refusal: InvalidVcpuState, with the path of the field
//! ```
//!
//! The rules themselves are [`stagepages_digest::vcpu`], by which the client judges plans too.
//!
//! **Invariant:** a [`VcpuState`] holds nothing that the processor it was checked for refuses.

mod model;
mod modes;
mod parse;
#[cfg(test)]
mod tests;

pub use model::CpuModel;
pub(crate) use model::model;
pub use modes::{LongMode, RealMode};
pub use stagepages_digest::{vcpu::Rules, vmsa::Registers};

use crate::{
    launch::{Reason, Refusal},
    platform::{Memory, PlatformKind},
    protocol::{self, VcpuStart},
};
use stagepages_digest::vcpu::{GuestMemory, Wrong};
use stagepages_kvm::{Gfn, GfnRange, PAGE_SIZE};

/// What is said of another state on `tdx`.
const TDX_ONLY: &str =
    "is not for platform tdx, whose module sets the registers; give tdx with rcx, or reset";

/// How one vCPU begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VcpuState {
    /// As the architecture resets it.
    #[default]
    Reset,
    /// In 16-bit real mode.
    RealMode(Box<RealMode>),
    /// In 64-bit mode.
    LongMode(Box<LongMode>),
    /// With these registers.
    Registers(Box<Registers>),
    /// As the TDX module resets it, with this in RCX.
    Tdx {
        /// RCX.
        rcx: u64,
    },
}

impl GuestMemory for Memory<()> {
    fn holds_page(&self, gpa: u64) -> bool {
        Gfn::new(gpa / PAGE_SIZE)
            .and_then(|gfn| GfnRange::new(gfn, 1).ok())
            .is_some_and(|page| self.locate(page).is_ok())
    }
}

impl VcpuState {
    /// The state that `vcpu` asks for.
    ///
    /// # Errors
    /// `MalformedRequest` if it asks for none; `InvalidVcpuState` with the path of the first field that is wrong.
    pub fn new(vcpu: &protocol::Vcpu, rules: &Rules<'_>) -> Result<Self, Refusal> {
        let index = vcpu.index;
        let state = match &vcpu.start {
            None => {
                let message = format!(
                    "vCPU {index}: state is unset; give reset, real_mode, long_mode, registers or tdx"
                );
                return Err(Refusal::new(Reason::MalformedRequest, message));
            }
            Some(VcpuStart::Reset(_)) => Ok(Self::Reset),
            Some(VcpuStart::RealMode(given)) => {
                RealMode::new(given).map(|state| Self::RealMode(Box::new(state)))
            }
            Some(VcpuStart::LongMode(given)) => {
                LongMode::new(given, rules).map(|state| Self::LongMode(Box::new(state)))
            }
            Some(VcpuStart::Registers(given)) => {
                parse::registers(given, rules).map(|state| Self::Registers(Box::new(state)))
            }
            Some(VcpuStart::Tdx(given)) => Ok(Self::Tdx { rcx: given.rcx }),
        };
        state.map_err(|wrong| refusal(wrong, index))
    }

    /// Whether vCPUs of this platform begin like this: those of `tdx` as the module resets them, no other's do.
    ///
    /// # Errors
    /// `InvalidVcpuState` with the field.
    pub(crate) fn suits(&self, kind: PlatformKind) -> Result<(), Refusal> {
        let (field, text) = match (self, kind) {
            (Self::Reset, _)
            | (Self::Tdx { .. }, PlatformKind::Tdx)
            | (
                Self::RealMode(_) | Self::LongMode(_) | Self::Registers(_),
                PlatformKind::Sim | PlatformKind::Kvm | PlatformKind::SevSnp,
            ) => return Ok(()),
            (Self::Tdx { .. }, PlatformKind::Sim | PlatformKind::Kvm | PlatformKind::SevSnp) => (
                "tdx",
                "is only for platform tdx; give reset, real_mode, long_mode or registers",
            ),
            (Self::RealMode(_), PlatformKind::Tdx) => ("real_mode", TDX_ONLY),
            (Self::LongMode(_), PlatformKind::Tdx) => ("long_mode", TDX_ONLY),
            (Self::Registers(_), PlatformKind::Tdx) => ("registers", TDX_ONLY),
        };
        Err(Refusal {
            field: field.to_owned(),
            ..Refusal::new(Reason::InvalidVcpuState, format!("{field} {text}"))
        })
    }

    /// Every register; `None` for a reset, which is what a new vCPU is, and on `tdx`, where the registers are the module's.
    #[must_use]
    pub fn registers(&self) -> Option<Registers> {
        match self {
            Self::Reset | Self::Tdx { .. } => None,
            Self::RealMode(state) => Some(state.registers()),
            Self::LongMode(state) => Some(state.registers()),
            Self::Registers(state) => Some(Registers::clone(state)),
        }
    }
}

fn refusal(wrong: Wrong, vcpu: u32) -> Refusal {
    let message = format!("vCPU {vcpu}: {wrong}");
    Refusal {
        field: wrong.field,
        ..Refusal::new(Reason::InvalidVcpuState, message)
    }
}
