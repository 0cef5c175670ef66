//! A VM whose guest may run: nobody reaches its memory any more.
//!
//! A guest changes its memory whenever it runs, on any vCPU, and a `&[u8]` of changing bytes is undefined behaviour. So memory is given up
//! before the first run and for good:
//!
//! ```compile_fail,E0382
//! # use stagepages_kvm::{Guest, Mapping, Vm};
//! fn peek(vm: Vm, memory: Mapping<Guest>) {
//!     let running = vm.into_running(vec![memory]);
//!     memory.pages(0, 1);
//! }
//! ```
//!
//! ```compile_fail,E0505
//! # use stagepages_kvm::{Guest, Mapping, Vm};
//! fn keep(vm: Vm, memory: Mapping<Guest>) {
//!     let page = memory.pages(0, 1);
//!     let running = vm.into_running(vec![memory]);
//!     drop(page);
//! }
//! ```
//!
//! **Invariant:** every memslot's memory is in here or has no owner left, and nothing of it is ever lent.

use crate::mapping::{Guest, Mapping};
use crate::vm::{Vm, VmId};
use crate::{Cap, KvmError};

/// A VM with its memory, shared by the vCPUs that run in it.
#[derive(Debug)]
pub struct RunningVm {
    // The descriptors of the memory are closed first, then the VM's, and with the last of them KVM lets go of the addresses, which are
    // unmapped after that: the VM's memslots share them and come last in it.
    _memory: Vec<Mapping<Guest>>,
    vm: Vm,
}

/// A VM whose memory was not all given up, so that it cannot run. It is as it was, and so is the memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "memslot {slot} is bound to memory that was not given up; give up every mapping that a memslot names"
)]
pub struct MemoryWithheld {
    /// The first memslot whose memory is missing.
    pub slot: u32,
    /// The VM.
    pub vm: Vm,
    /// What was given up.
    pub memory: Vec<Mapping<Guest>>,
}

impl Vm {
    /// Makes the VM one whose vCPUs can run, and takes its memory: all mappings that its memslots name. Those that were dropped already, and
    /// those that no memslot names, do not matter.
    ///
    /// # Errors
    ///
    /// [`MemoryWithheld`], with everything in it.
    pub fn into_running(self, memory: Vec<Mapping<Guest>>) -> Result<RunningVm, MemoryWithheld> {
        match self.slot_withheld(&memory) {
            Some(slot) => Err(MemoryWithheld {
                slot,
                vm: self,
                memory,
            }),
            None => Ok(RunningVm {
                _memory: memory,
                vm: self,
            }),
        }
    }
}

impl RunningVm {
    /// As [`Vm::check_extension`].
    ///
    /// # Errors
    ///
    /// `EIO` outside the creating process, and once KVM has declared the VM dead: a probe of whether it lives.
    pub fn check_extension(&self, cap: Cap) -> Result<u32, KvmError> {
        self.vm.check_extension(cap)
    }

    /// Whether this is the VM with that identity.
    pub(crate) fn is(&self, id: &VmId) -> bool {
        self.vm.id() == id
    }
}
