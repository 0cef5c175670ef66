//! What a correct launch host never does with a page, whatever the platform (kernel.md sections 1.4, 5.2 and 10).
//!
//! **Invariant:** changes no answer of the kernel; it only tells.

use crate::cx::Cx;
use crate::memory::Memory;
use crate::trace::{Descriptor, What};

/// The source is locked, so that neither it nor what stands in it goes away under the kernel's hands.
pub(crate) fn locked_source(cx: &Cx<'_>, addr: u64, bytes: u64) {
    if !cx.world.is_locked(addr, bytes) {
        cx.violation("the source is not locked in memory");
    }
}

/// No page is submitted that was installed before.
pub(crate) fn new_pages(cx: &Cx<'_>, memory: &Memory, gfn: u64, pages: u64) {
    for gfn in (gfn..).take(usize::try_from(pages).unwrap_or(usize::MAX)) {
        if memory.slot_of(gfn).is_none() {
            break;
        }
        if memory.is_installed(gfn) {
            cx.violation(&format!(
                "GFN {gfn:#x} is submitted again after it was installed"
            ));
        }
    }
}

/// The guest_memfd is close-on-exec by the time that its first page is installed: KVM hands it out without that flag.
pub(crate) fn descriptor(cx: &Cx<'_>, memory: &mut Memory, gfn: u64) {
    let slot = memory.slot_of(gfn).and_then(|slot| slot.gmem);
    let Some(gmem) = slot.and_then(|(file, _)| memory.gmems.get_mut(&file)) else {
        return;
    };
    let cloexec = cx.world.closes_on_exec(gmem.fd).unwrap_or(false);
    cx.world.tell(What::Fd(Descriptor {
        what: "guest_memfd".into(),
        vm: cx.note.vm.unwrap_or_default(),
        fd: gmem.fd,
        cloexec,
    }));
    let is_first = !std::mem::replace(&mut gmem.seen_by_install, true);
    cx.require(
        cloexec || !is_first,
        "the guest_memfd is not close-on-exec at the first page",
    );
}
