//! A kernel in the guest's memory, and what it finds there: what ELF and bzImage have in common.
//!
//! Without firmware somebody else has to do its work before the kernel's first instruction. That is what Linux's 64-bit boot protocol describes
//! (Documentation/arch/x86/boot.rst), and a kernel that is no Linux may use of it what it likes:
//!
//! ```text
//!  0x1000  boot_params     "zero page": the setup header, the memory map (e820), where initrd and command line are. RSI (ESI) has its address
//!          GDT             selector 0x10 is flat code, 0x18 flat data; the registers have these already
//!          page tables     in 64-bit mode: linear addresses are the physical ones, in every GiB that has memory of the guest, below 512 GiB
//!          command line    if there is one; a zero byte behind it
//!  …       the kernel      where it says
//!  …       initrd          if there is one: as high as the kernel can take it
//! ```
//!
//! The first four are placed together where nothing else is: as low as there is room, but not in page 0, and not between 640 KiB and 1 MiB, where
//! PCs have other things than memory. There is no stack, no interrupt descriptor table, and interrupts are off.
//!
//! rust-vmm's `linux-loader` is not used: it writes a kernel into mapped memory, where a plan has to say which bytes would be written, in which pages.
//!
//! **Invariant:** nothing is placed over something else, nor outside the guest's memory.

mod guest;
mod initrd;
mod kernel;
mod mode;
mod params;
mod space;
mod tables;

pub(super) use guest::platform;
pub(super) use kernel::{Kernel, Needs};
pub(super) use mode::Mode;
pub(super) use params::HEADER;
pub(super) use space::{Space, Span};

/// Physical addresses below this can be reached: one entry of the top page table.
pub(super) const REACH: u64 = 512 << 30;
