//! A model of KVM's SEV-SNP and TDX ioctls, written from `kernel.md` alone.
//!
//! Safe, and without a system call: the library `stagepages-kernel-preload` puts it beneath an unmodified program and implements
//! [`World`](world::World) for it. Tests depend on this crate to write a [`Script`] and to read a trace ([`Event`]).
//!
//! # Scripts
//!
//! A [`Script`] is JSON. What it does not say is as on a machine without faults:
//!
//! ```
//! # use stagepages_kernel_model::{Fault, Script};
//! # let script = Script::parse(r#"
//! { "profile": "6.18", "snp": true, "tdx": false, "violations": "abort",
//!   "faults": [{ "at": "KVM_SEV_SNP_LAUNCH_UPDATE", "gfn": 7, "after": 0, "times": 1, "effect": "duplicate" }],
//!   "files": { "/dev/sev": { "errno": 13 }, "/sys/module/kvm_amd/parameters/sev_snp": "N\n", "/sys/fs/cgroup/misc.current": null },
//!   "cpuid_wants": [{ "eax_in": 7, "ecx_in": 0, "ebx": 0 }],
//!   "vmsa_features": 32, "snp_policy_bits": 1835007, "checks_id_block": false,
//!   "tdx_attributes": 268435456, "tdx_xfam": 393959, "max_vcpus": 1024 }
//! # "#).expect("the script above is one");
//! # assert_eq!(script.faults.len(), 1);
//! ```
//!
//! `profile` is 6.11, 6.18, 6.19 or 7.1; `violations` is `abort` or `record`. `at` is any [`Call`] by the kernel's name. With a `gfn` a
//! fault strikes where an install comes to that frame; without one, the call, or the first page of an install. `after` lets so many such
//! calls (visits of that frame) pass. The effects:
//!
//! | effect | at | what happens |
//! |---|---|---|
//! | `{"errno": 11}` | any call | it fails before anything happens |
//! | `{"firmware": 26}` | SNP's commands | firmware refuses the command or the page; the page is taken back |
//! | `{"firmware": 26, "reclaim_fails": true}` | SNP's install | the page cannot be taken back: the VM is dead, and everything after it EIO |
//! | `{"module": 13835058055282163712}` | TDX's commands | the TDX module refuses the command, or to add the page |
//! | `{"module": 13835058055282163712, "in_extend": true}` | TDX's install | it adds the page, and refuses to measure it |
//! | `{"latency_us": 1000}` | commands | the command, or each page, takes so long; always, unless `times` says how often |
//! | `"duplicate"`, `"poisoned"` | installs | the page exists, or its memory failed: now, and whenever it is visited again |
//! | `"not_private"`, `"source_fault"`, `"signal"`, `"no_memory"` | installs | that stops the loop, for once |
//! | `"stop_short"` | installs | the loop ends before the page, as where a memslot ends |
//! | `"dead"` | commands | KVM declares the VM dead |
//! | `"psp_dead"`, `"psp_gone"` | SNP's, but INIT2 | the security processor stops answering, or is none; an install then ends in a dead VM |
//! | `"no_asid"`, `"no_hkid"` | INIT2, INIT_VM | none is free |
//! | `"busy"` | TDX's install, FINALIZE_VM | the module is busy |
//! | `"vcpu_creation_race"` | TDX's install and FINALIZE_VM from 6.19, SNP's FINISH on 7.1 | EBUSY: a vCPU is created meanwhile; older kernels do not mind, and a script for them that says so is an error |
//! | `"context_creation"` | START | ENOTTY, with a status |
//! | `"copy_back_fault"` | commands | EFAULT, although the command was done |
//!
//! A file is its contents, `null` where there is none, or an errno, which opening it gives; a path is shown to `stat` unless the errno
//! says that there is nothing.
//!
//! # Traces
//!
//! One JSON object a line ([`Event`]): `pid`, `tid`, `seq` (counts one process's events), and `t`, which says what else there is.
//!
//! | `t` | fields |
//! |---|---|
//! | `begin` | `call`, `vm`, `vcpu`, `sigmask`: a command of `KVM_MEMORY_ENCRYPT_OP` begins |
//! | `end` | the same and, as the call has them: `gfn`, `pages`, `type`, `uaddr`, `sev_fd`, `detail`; `ret`, `errno`, `error` (as written back), `pages_done` (as installed) |
//! | `open` | `path`, `ret`: the descriptor, or the negative errno |
//! | `fd` | `what` (`guest_memfd`), `vm`, `fd`, `cloexec`: at each install |
//! | `fault` | `call`, `gfn`, `effect`: a fault has struck |
//! | `violation` | `call`, `vm`, `words`: what a correct launch host never does was done |
//! | `digest` | `vm`, `digest` (hex): the launch is finished |
//!
//! `detail` is what else a command was given, as words `name=value` with a blank between them, before KVM looks at any of it:
//!
//! | `call` | `detail` |
//! |---|---|
//! | `KVM_SEV_INIT2` | `vmsa_features` (hex), `ghcb_version` |
//! | `KVM_SEV_SNP_LAUNCH_START` | `policy` (hex), `gosvw` (bytes) |
//! | `KVM_SEV_SNP_LAUNCH_FINISH` | `id_block_en`, `auth_key_en`, `vcek_disabled` (`true` or `false`), `host_data` (bytes); where KVM came to read them, `id_block` (bytes) and `id_auth` (`sha384:` and its digest) |
//! | `KVM_TDX_INIT_VM` | `attributes`, `xfam` (hex), `mrconfigid`, `mrowner`, `mrownerconfig` (bytes), `leaves` (how many); where they can be read, `cpuid.LEAF.SUBLEAF=EAX,EBX,ECX,EDX` (hex) of each |
//! | `KVM_TDX_INIT_VCPU` | `rcx` (hex) |
//! | `KVM_TDX_INIT_MEM_REGION` | `measure` (`true` or `false`) |
//!
//! Bytes are two hex digits each. `sigmask` is 16 hex digits, where bit n is signal n + 1; `vm` counts the VMs of a process from 0. Within one thread the lines of a
//! process are in order; `seq` orders those of several.
//!
//! # What is not modelled
//!
//! Guests do not run. A pending signal is a script's only. Firmware checks neither signatures nor, without `checks_id_block`, digests.
//! The security processor is each process's own: nothing here makes two hosts wait for each other.
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
