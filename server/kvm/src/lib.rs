//! KVM and guest_memfd as the launch host needs them: typed addresses, owned descriptors, one method per system call.
//!
//! This is the only crate of the project with `unsafe`. Every other crate forbids it, so the argument below is the safety
//! argument of the whole daemon.
//!
//! ```text
//!  Kvm ──create_vm──▶ Vm ──create_guest_memfd──▶ GuestMemfd ──map(self)──▶ Mapping<Guest>
//!                      │                                                         │
//!                      ├───────────── set_memory_region(&mapping) ◀──────────────┤
//!                      ├───────────── into_running(self, mappings) ◀─────────────┘
//!                      │                   ▼
//!                      │               RunningVm
//!                      │                   ▼
//!                      └──create_vcpu──▶ Vcpu::attach(self, &running) ──▶ RunnableVcpu ──run──▶ Exit
//! ```
//!
//! A confidential VM takes another way: its memory is never mapped, and pages get into it by commands that take them from a [`PageBuf`].
//!
//! ```text
//!  Vm ──create_guest_memfd──▶ GuestMemfd ──set_private_region(&memory), set_private──▶ Vm
//!  PageBuf ──Vm::snp_launch_update(&mut source), Vcpu::tdx_init_mem_region(&source)──▶ Attempt
//! ```
//!
//! # Why it is sound
//!
//! 1. **Addresses given to the kernel come from values that own them.** A pointer and its length are always those of one
//!    [`Mapping`], [`PageBuf`], array or slice that is borrowed for the call; offsets into them are checked against their size first.
//!    A command of SEV-SNP or TDX is a structure that names another, which may name pages: all three are borrowed or owned by
//!    the one method that makes the call, mutably where the kernel writes, and it keeps no address of them afterwards.
//! 2. **No address range outlives its use.** A memslot makes KVM remember a user address for as long as the slot exists. The
//!    `Vm` therefore shares ownership of the mapped span until the slot is deleted or the VM descriptor is closed, whatever
//!    becomes of the [`Mapping`], and every [`RunnableVcpu`] shares the VM. A span is unmapped when its last owner is dropped, and never remapped.
//!    The span of [`Vm::set_private_region`] belongs to the slot alone: whatever a guest writes there, no reference to it can be made.
//! 3. **A borrowed page does not change.** Mapped memory is written in four ways, and each is excluded while a slice is lent:
//!    * by this process through the mapping: needs `&mut Mapping`, or a [`Part`], which borrows it so and shares no page with another;
//!    * by this process through another mapping or descriptor of the same memory: [`GuestMemfd::map`] consumes the handle,
//!      and no descriptor of mapped memory is ever lent;
//!    * by another process: the descriptors are close-on-exec and never sent, and a host neither forks nor execs;
//!    * by a guest, or by the kernel on its behalf: only a [`RunnableVcpu`] makes either happen. It exists only together with a
//!      [`RunningVm`], which has taken every [`Mapping`] that the guest can reach, and never gives one back.
//!
//!    Memory of a confidential VM is not borrowed at all: [`Vm::set_private_region`] refuses memory that can be mapped. The pages
//!    that go into it come from a [`PageBuf`], which is private anonymous memory: the kernel pins them for the call and reads them
//!    (`kvm_gmem_populate()`, `virt/kvm/guest_memfd.c`; `copy_from_user()` up to Linux 6.19), and writes to them in one case, a CPUID page
//!    that the firmware refuses, for which [`Vm::snp_launch_update`] takes the buffer mutably.
//!
//!    The area that a vCPU shares with the kernel is lent by [`RunnableVcpu::run`], and written by the kernel only in its next call.
//! 4. **Descriptors have one owner.** They are `OwnedFd` from the system call that made them on, and lent as `BorrowedFd`.
//! 5. **A failure of memory is an errno where it can be.** [`Mapping::populate`] and [`Mapping::read_from`] let the kernel meet
//!    a missing, exhausted or poisoned page; only a plain access to a page that was not populated can raise SIGBUS, which
//!    ends the process and so is no unsoundness.
//!
//! What is trusted: that the kernel does what the documentation of a method, and the kernel function that it cites, say.
//!
//! # Errors
//!
//! [`KvmError`] says which call failed and what the kernel and the firmware said, nothing more. What it means for a launch is decided
//! above. An install says in an [`Attempt`] how many pages the kernel wrote back as done, whether it failed or not.
//!
//! **Invariant:** no method retries, logs, loops over a range, or punches a hole into a guest_memfd.
#![expect(
    unsafe_code,
    reason = "the boundary to the kernel; see the crate documentation for the argument"
)]

mod abi;
mod addr;
mod arenas;
mod attempt;
mod buf;
mod caps;
mod cpuid;
mod encrypt;
mod errno;
mod error;
mod firmware;
mod guest_memfd;
mod heap;
mod inherited;
pub mod ioctls;
pub mod kick;
mod kvm;
mod mapping;
mod page;
mod range;
mod running;
mod sev;
mod span;
mod tdx;
#[cfg(test)]
mod tests;
mod vcpu;
mod vm;

pub use addr::{Gfn, Gpa};
pub use arenas::share_one_arena;
pub use attempt::Attempt;
pub use buf::PageBuf;
pub use caps::{Cap, GuestMemfdFlags, VmType, VmTypes};
pub use cpuid::{CpuidEntry, CpuidLeaf, CpuidTable};
pub use errno::errno_name;
pub use error::KvmError;
pub use firmware::FirmwareStatus;
pub use guest_memfd::GuestMemfd;
pub use heap::WipingHeap;
pub use inherited::keep_descriptors_from_children;
pub use kvm::{DEV_KVM, Kvm};
pub use mapping::{Anonymous, Guest, Mapping, Part, Window};
pub use page::{PAGE_BYTES, PAGE_SIZE, Page, PageType};
pub use range::{GfnRange, RangeError};
pub use running::{MemoryWithheld, RunningVm};
pub use sev::{DEV_SEV, IdBlock, SevDevice, SnpFinish, SnpInit, SnpStart};
pub use tdx::{TdxCapabilities, TdxInit};
pub use vcpu::{
    DescriptorTable, Exit, GeneralRegisters, NotAttached, RunnableVcpu, Segment, SystemRegisters,
    Vcpu,
};
pub use vm::Vm;
