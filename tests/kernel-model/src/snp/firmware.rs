//! Firmware's answers, and the driver's where firmware gives none (`drivers/crypto/ccp/sev-dev.c`).
//!
//! **Invariant:** a status is set only where firmware answered; the driver's own errors leave it as it was.

use super::{Psp, Snp};
use crate::cx::Cx;
use crate::{Answer, Effect, Errno};

pub(super) const INVALID_PLATFORM_STATE: u32 = 0x1;
pub(super) const INVALID_GUEST_STATE: u32 = 0x2;
pub(super) const POLICY_FAILURE: u32 = 0x7;
pub(super) const BAD_MEASUREMENT: u32 = 0xb;
pub(super) const INVALID_PARAM: u32 = 0x16;

/// What kept firmware from doing as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What the driver answers KVM.
    pub(super) errno: Errno,
    /// What firmware answered the driver, if it did.
    pub(super) status: Option<u32>,
    /// Firmware cannot be asked to give a page back either, so KVM declares the VM dead (`snp_page_reclaim()` fails).
    pub(super) reclaim_fails: bool,
}

impl Refusal {
    /// Firmware answered this.
    pub(super) fn status(status: u32) -> Self {
        Self {
            errno: Errno::EIO,
            status: Some(status),
            reclaim_fails: false,
        }
    }

    /// Firmware answered what the script says: its status has 32 bits; more is a TDX module's.
    pub(super) fn scripted(status: u64) -> Self {
        Self::status(u32::try_from(status).unwrap_or(u32::MAX))
    }

    /// Firmware was not asked, or did not answer.
    fn driver(errno: Errno, reclaim_fails: bool) -> Self {
        Self {
            errno,
            status: None,
            reclaim_fails,
        }
    }

    /// The errno, with the status told.
    pub(super) fn report(self, status: &mut u32) -> Errno {
        if let Some(said) = self.status {
            *status = said;
        }
        self.errno
    }
}

/// Issues a command through this number for `/dev/sev`; `Ok` where nothing but firmware's own rules can stop it.
pub(super) fn issue(
    cx: &Cx<'_>,
    guest: &mut Snp,
    sev_fd: i32,
    effect: Option<Effect>,
) -> Result<(), Refusal> {
    if !cx.is_sev(sev_fd) {
        return Err(Refusal::driver(Errno::EBADF, false));
    }
    match guest.psp {
        Psp::Alive => {}
        Psp::Dead => return Err(Refusal::driver(Errno::EBUSY, true)),
        Psp::Gone => return Err(Refusal::driver(Errno::ENODEV, true)),
    }
    match effect {
        Some(Effect::PspDead) => {
            guest.psp = Psp::Dead;
            Err(Refusal::driver(Errno(libc::ETIMEDOUT), true))
        }
        Some(Effect::PspGone) => {
            guest.psp = Psp::Gone;
            Err(Refusal::driver(Errno::ENODEV, true))
        }
        Some(Effect::Firmware {
            status,
            reclaim_fails,
        }) => Err(Refusal {
            reclaim_fails,
            ..Refusal::scripted(status)
        }),
        Some(_) | None => Ok(()),
    }
}

/// The answer of a command that is not about pages.
pub(super) fn answer(issued: Result<(), Refusal>, status: &mut u32) -> Answer<()> {
    issued.map_err(|refusal| refusal.report(status))
}
