//! One call on its way through the model.
//!
//! **Invariant:** every fault that strikes and every violation is in the trace.

use std::time::Duration;

use crate::script::{Faults, Struck};
use crate::trace::{Note, What};
use crate::world::World;
use crate::{Answer, Call, Effect, Errno, Machine, Object, Profile, Script};

/// What a call has at hand.
pub struct Cx<'a> {
    /// The caller.
    pub world: &'a dyn World,
    /// The machine.
    pub machine: &'a Machine,
    /// What the machine is like.
    pub script: &'a Script,
    /// What still goes wrong.
    pub faults: &'a mut Faults,
    /// Which call this is; for `KVM_MEMORY_ENCRYPT_OP` the command, once it is known.
    pub call: Call,
    /// What the trace will say of it.
    pub note: Note,
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx")
            .field("call", &self.call)
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}

impl Cx<'_> {
    /// Whose rules hold.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.script.profile
    }

    /// What a correct launch host never does was done. Returns only where the script says that violations are recorded.
    pub fn violation(&self, words: &str) {
        violation(
            self.world,
            self.script,
            self.call.name(),
            self.note.vm,
            words,
        );
    }

    /// As [`violation`](Self::violation), unless `holds`.
    pub fn require(&self, holds: bool, words: &str) {
        if !holds {
            self.violation(words);
        }
    }

    /// What strikes this call as a whole. Asked once for each call.
    pub fn strike_call(&mut self) -> Option<Effect> {
        let effect = self.faults.strike_call(self.call)?;
        self.tell_fault(None, effect);
        Some(effect)
    }

    /// What strikes at this page. Asked once for each page.
    pub fn strike_page(&mut self, gfn: u64, is_first: bool) -> Option<Effect> {
        let effect = self.faults.strike_page(self.call, gfn, is_first)?;
        self.tell_fault(Some(gfn), effect);
        Some(effect)
    }

    /// Takes the time that the script gives this page, or this command.
    pub fn take_time(&mut self, gfn: Option<u64>) {
        let microseconds = self.faults.latency(self.call, gfn);
        if microseconds > 0 {
            self.world.wait(Duration::from_micros(microseconds));
        }
    }

    /// The number stands for an open `/dev/sev`; where not, a command is EBADF (`__sev_issue_cmd()`, `arch/x86/kvm/svm/sev.c`).
    #[must_use]
    pub fn is_sev(&self, fd: i32) -> bool {
        let file = self.world.identify(fd);
        file.and_then(|file| self.machine.object(file)) == Some(Object::Sev)
    }

    /// `copy_from_user()` of an array.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub fn read<const N: usize>(&self, addr: u64) -> Answer<[u8; N]> {
        crate::world::read_array(self.world, addr)
    }

    fn tell_fault(&self, gfn: Option<u64>, effect: Effect) {
        self.world.tell(What::Fault(Struck {
            call: self.call,
            gfn,
            effect,
        }));
    }
}

/// Tells a violation and, unless the script says otherwise, ends the process.
pub(crate) fn violation(
    world: &dyn World,
    script: &Script,
    call: &str,
    vm: Option<u64>,
    words: &str,
) {
    world.tell(What::Violation {
        call: call.to_owned(),
        vm,
        words: words.to_owned(),
    });
    if script.violations == crate::script::Violations::Abort {
        world.stop(&format!("{call}: {words}"));
    }
}

/// The errno of a scripted one.
pub(crate) fn errno_of(effect: Effect) -> Option<Errno> {
    if let Effect::Errno(errno) = effect {
        Some(Errno(errno))
    } else {
        None
    }
}
