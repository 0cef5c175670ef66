//! What a correct launch host never does with a page, whatever the platform (kernel.md sections 1.4, 2.5, 5.2 and 10).
//!
//! **Invariant:** changes no answer of the kernel; it only tells.

use crate::cx::Cx;
use crate::memory::{Memory, PAGE};
use crate::trace::{Descriptor, What};

/// Not SIGKILL and SIGSTOP, which cannot be, nor the two that glibc keeps for itself, nor what a thread's own fault sends it.
const MUST_BLOCK: u64 = {
    let mut mask = u64::MAX;
    let exempt = [
        libc::SIGKILL,
        libc::SIGSTOP,
        32,
        33,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    let mut at = 0;
    while at < exempt.len() {
        mask &= !(1 << (exempt[at] - 1));
        at += 1;
    }
    mask
};

/// All signals are blocked that somebody else can send: a pending one ends an install.
pub(crate) fn blocked_signals(cx: &Cx<'_>) {
    let open = !cx.world.blocked_signals() & MUST_BLOCK;
    if open != 0 {
        cx.violation(&format!("the thread does not block the signals {open:#x}"));
    }
}

/// The source is there, page-aligned, and locked, so that neither it nor what stands in it goes away under the kernel's hands. Answers
/// whether there is anything to read.
pub(crate) fn sound_source(cx: &Cx<'_>, addr: u64, bytes: u64) -> bool {
    // On SNP it reaches a WARN_ON_ONCE in sev_gmem_post_populate(), arch/x86/kvm/svm/sev.c.
    cx.require(addr != 0, "a source of NULL");
    let is_aligned = addr.is_multiple_of(PAGE);
    cx.require(is_aligned, "the source is not page-aligned");
    let is_sound = addr != 0 && is_aligned;
    if is_sound && !cx.world.is_locked(addr, bytes) {
        cx.violation("the source is not locked in memory");
    }
    is_sound
}

/// No page is submitted that was installed before.
pub(crate) fn new_pages(cx: &Cx<'_>, memory: &Memory, gfn: u64, pages: u64) {
    let Some(slot) = memory.slot_of(gfn) else {
        return;
    };
    for gfn in gfn..gfn + pages.min(slot.pages_from(gfn)) {
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
