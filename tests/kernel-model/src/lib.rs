//! A model of KVM's SEV-SNP and TDX ioctls, written from `kernel.md` alone.
//!
//! Safe, and without a system call: the library `stagepages-kernel-preload` puts it beneath an unmodified program and implements
//! [`World`](world::World) for it. Tests depend on this crate to write a [`Script`] and to read a trace ([`Event`]).
//!
//! **Invariant:** shares no code with the product: what both say of the kernel was read twice.

#![forbid(unsafe_code)]

mod call;
mod cx;
mod errno;
mod machine;
pub mod memory;
pub mod populate;
mod profile;
mod script;
pub mod snp;
mod strict;
mod system;
pub mod tdx;
pub mod trace;
pub mod vcpu;
pub mod vm;
mod wire;
pub mod world;

pub use self::call::Call;
pub use self::cx::Cx;
pub use self::errno::{Answer, Errno};
pub use self::machine::{Machine, Object};
pub use self::profile::Profile;
pub use self::script::{CpuidWant, Effect, Fault, Faults, File, Script, Struck, Violations};
pub use self::trace::{Descriptor, Event, Note, What};
pub use self::vm::VmType;
