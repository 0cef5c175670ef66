//! What the kernel would take, or not notice, and a correct launch host never does (kernel.md sections 1.4, 2.5 and 10): the rules that
//! hold for every platform's installs.
//!
//! **Invariant:** looking changes nothing but what was looked at before.

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

impl Cx<'_> {
    /// All signals are blocked that somebody else can send: a pending one ends an install.
    pub fn require_blocked_signals(&self) {
        let open = !self.world.blocked_signals() & MUST_BLOCK;
        if open != 0 {
            self.violation(&format!("the thread does not block the signals {open:#x}"));
        }
    }

    /// The source is there, page-aligned and locked in memory. Answers whether it can be read from.
    pub fn require_sound_source(&self, addr: u64, bytes: u64) -> bool {
        self.require(
            addr != 0,
            "a source of NULL, which reaches a WARN_ON_ONCE in sev_gmem_post_populate()",
        );
        self.require(addr.is_multiple_of(PAGE), "the source is not page-aligned");
        let is_sound = addr != 0 && addr.is_multiple_of(PAGE);
        if is_sound && !self.world.is_locked(addr, bytes) {
            self.violation("the source is not locked in memory");
        }
        is_sound
    }

    /// None of these pages was installed before.
    pub fn require_new_pages(&self, memory: &Memory, gfn: u64, pages: u64) {
        let Some(slot) = memory.slot_of(gfn) else {
            return;
        };
        let pages = pages.min(slot.pages_from(gfn));
        for gfn in gfn..gfn + pages {
            if memory.is_installed(gfn) {
                self.violation(&format!(
                    "GFN {gfn:#x} is submitted again after it was installed"
                ));
            }
        }
    }

    /// The guest_memfd behind this frame is close-on-exec by the time of its first page. Tells the trace each time.
    pub fn require_cloexec(&self, memory: &mut Memory, gfn: u64) {
        let slot = memory.slot_of(gfn).and_then(|slot| slot.gmem);
        let Some(gmem) = slot.and_then(|(file, _)| memory.gmems.get_mut(&file)) else {
            return;
        };
        let cloexec = self.world.closes_on_exec(gmem.fd).unwrap_or(false);
        self.world.tell(What::Fd(Descriptor {
            what: "guest_memfd".into(),
            vm: self.note.vm.unwrap_or_default(),
            fd: gmem.fd,
            cloexec,
        }));
        let is_first = !std::mem::replace(&mut gmem.seen_by_install, true);
        self.require(
            cloexec || !is_first,
            "the guest_memfd is not close-on-exec at the first page",
        );
    }
}
