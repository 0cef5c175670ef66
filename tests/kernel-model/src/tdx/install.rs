//! One page: `tdx_gmem_post_populate()`, `arch/x86/kvm/vmx/tdx.c`, and the module's TDH.MEM.PAGE.ADD and TDH.MR.EXTEND.
//!
//! Until 6.18 a page is mapped first and added then, so one that the module refuses stays mapped: a retry is EEXIST, and the TD cannot be
//! finalised. From 6.19 both are one step, and a refusal ends the VM.
//!
//! **Invariant:** a page that was not added is not measured; a duplicate never is.

use super::mrtd::Mrtd;
use crate::cx::Cx;
use crate::memory::{PAGE, Page};
use crate::populate::{PostPopulate, Source, Target};
use crate::{Answer, Effect, Errno};

/// The installation of one call's pages.
pub(super) struct Install<'a> {
    pub(super) mrtd: &'a mut Mrtd,
    pub(super) premapped: &'a mut u64,
    pub(super) vm_is_dead: &'a mut bool,
    pub(super) measures: bool,
}

impl PostPopulate for Install<'_> {
    fn install(
        &mut self,
        cx: &mut Cx<'_>,
        target: &mut Target<'_>,
        source: Option<&Source>,
    ) -> Answer<()> {
        let source = source.ok_or(Errno::EOPNOTSUPP)?;
        let contents = source.contents(cx)?;
        cx.take_time(Some(target.gfn));
        if target.effect == Some(Effect::Dead) {
            *self.vm_is_dead = true;
            return Err(Errno::EIO);
        }
        // kvm_tdp_mmu_map_private_pfn(), arch/x86/kvm/mmu/mmu.c: the mapping is not a new one.
        if target.page.assigned {
            return Err(Errno::EIO);
        }
        self.add_page(cx, target)?;
        cx.world
            .store(target.fd, target.offset, contents.as_slice())?;
        let gpa = target.gfn * PAGE;
        self.mrtd.add(gpa);
        target.page.assigned = true;
        if self.measures {
            let refused = matches!(
                target.effect,
                Some(Effect::Module {
                    in_extend: true,
                    ..
                })
            );
            if refused {
                // Until 6.18 the page is there, as mapped as it ever was.
                target.page.prepared = true;
                return Err(self.refused(cx));
            }
            self.mrtd.extend(gpa, &contents);
        }
        Ok(())
    }
}

impl Install<'_> {
    /// TDH.MEM.PAGE.ADD, as far as the script has a say in it.
    fn add_page(&mut self, cx: &Cx<'_>, target: &mut Target<'_>) -> Answer<()> {
        let is_refused = matches!(
            target.effect,
            Some(Effect::Module {
                in_extend: false,
                ..
            })
        );
        let is_busy = target.effect == Some(Effect::Busy) && cx.profile().maps_page_before_adding();
        if !is_refused && !is_busy {
            return Ok(());
        }
        if cx.profile().maps_page_before_adding() {
            self.premap(target.page);
        }
        if is_busy {
            return Err(Errno::EBUSY);
        }
        Err(self.refused(cx))
    }

    /// The page is mapped, and waits for what does not come.
    fn premap(&mut self, page: &mut Page) {
        page.prepared = true;
        page.assigned = true;
        *self.premapped += 1;
    }

    /// What the module's refusal of a page is to the caller: EIO, and from 6.19 the end of the VM (`KVM_BUG_ON()`).
    fn refused(&mut self, cx: &Cx<'_>) -> Errno {
        *self.vm_is_dead |= !cx.profile().maps_page_before_adding();
        Errno::EIO
    }
}
