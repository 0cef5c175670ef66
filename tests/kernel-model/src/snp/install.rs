//! One page: `sev_gmem_post_populate()`, `arch/x86/kvm/svm/sev.c`, and firmware's `SNP_LAUNCH_UPDATE`.
//!
//! **Invariant:** what is measured is what is stored; a page that firmware refused is neither.

use super::firmware::{self, INVALID_GUEST_STATE, INVALID_PARAM, Refusal};
use super::update::{CPUID, ZERO};
use super::{Context, Snp, cpuid};
use crate::cx::Cx;
use crate::memory::PAGE;
use crate::populate::{PostPopulate, Source, Target};
use crate::{Answer, Effect, Errno};

/// The installation of one call's pages.
pub(super) struct Install<'a> {
    guest: &'a mut Snp,
    vm_is_dead: &'a mut bool,
    sev_fd: i32,
    page_type: u8,
    status: u32,
}

impl<'a> Install<'a> {
    pub(super) fn new(
        guest: &'a mut Snp,
        vm_is_dead: &'a mut bool,
        sev_fd: i32,
        page_type: u8,
    ) -> Self {
        Self {
            guest,
            vm_is_dead,
            sev_fd,
            page_type,
            status: 0,
        }
    }

    /// What firmware said last, 0 if it was not asked.
    pub(super) fn status(&self) -> u32 {
        self.status
    }

    /// Firmware's part. It may correct `contents`, and then refuses them.
    fn firmware(
        &mut self,
        cx: &Cx<'_>,
        target: &Target<'_>,
        contents: &mut [u8; 4096],
    ) -> Result<(), Refusal> {
        firmware::issue(cx, self.guest, self.sev_fd, target.effect)?;
        if self.guest.context != Context::Launching {
            return Err(Refusal::status(INVALID_GUEST_STATE));
        }
        if self.page_type == CPUID && !cpuid::check(contents, &cx.script.cpuid_wants) {
            return Err(Refusal::status(INVALID_PARAM));
        }
        Ok(())
    }
}

impl PostPopulate for Install<'_> {
    fn install(
        &mut self,
        cx: &mut Cx<'_>,
        target: &mut Target<'_>,
        source: Option<&Source>,
    ) -> Answer<()> {
        if source.is_none() && self.page_type != ZERO {
            return Err(Errno::EINVAL);
        }
        if target.page.assigned {
            return Err(Errno::EEXIST);
        }
        let submitted = match source {
            Some(source) => source.contents(cx)?,
            None => Box::new([0; 4096]),
        };
        cx.take_time(Some(target.gfn));
        if target.effect == Some(Effect::Dead) {
            *self.vm_is_dead = true;
            return Err(Errno::EIO);
        }
        let mut contents = submitted.clone();
        if let Err(refusal) = self.firmware(cx, target, &mut contents) {
            *self.vm_is_dead |= refusal.reclaim_fails;
            let errno = refusal.report(&mut self.status);
            if let Some(source) = source
                && self.page_type == CPUID
                && refusal.status == Some(INVALID_PARAM)
            {
                self.guest.rejected.insert(target.gfn, submitted);
                if cx.world.write(source.addr, contents.as_slice()).is_err() {
                    cx.violation("the source of a CPUID page cannot be written");
                }
            }
            return Err(errno);
        }
        cx.world
            .store(target.fd, target.offset, contents.as_slice())?;
        target.page.assigned = true;
        self.guest
            .digest
            .extend(self.page_type, &contents, target.gfn * PAGE);
        Ok(())
    }
}
