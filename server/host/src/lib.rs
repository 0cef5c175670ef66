//! The launch host as a library: what stages a VM, and then runs it.
//!
//! A VM answers only the process that made it (every ioctl of another one is `EIO`), so whoever stages a VM has to run it. That process is a *launch
//! host*: one for each launch, for as long as that lives. It holds the VM, its memory and its vCPUs, and it is the authority on what is installed:
//! its [ledger] and nothing else says which page holds what. The daemon that serves the public API may come and go, and speaks to it over a
//! [private protocol](protocol) on a socket of its own.
//!
//! ```text
//!  daemon ◀──private protocol──▶ serve ──▶ launch (states, exactly-once, retries) ──▶ Platform ──start──▶ Guest
//!                                             └── ledger · digest · vcpu (what states may hold)              └── console
//! ```
//!
//! [`platform`] has those that are built in; [`guest`] what runs a guest on `kvm`, the only one of them that does. A VMM brings its own.
//!
//! # How a VMM becomes the launch host of its own VM
//!
//! Name its program in the daemon's configuration, `[host.kvm] program = "/usr/bin/my-vmm"`. Launches on that platform are then staged in it:
//!
//! ```text
//! my-vmm host --id=UID --chunk-pages=N --runtime-dir=DIR --log=FILTER --log-format=text|json
//! ```
//!
//! with the socket that daemons connect to, already listening, as standard input. The program takes it ([`wire::take_stdin`]), reads its flags
//! ([`serve::HostConfig::from_args`], which ignores those that a later version adds), and calls [`serve::run`] on its first thread, before
//! it starts any other: the signals that are blocked there stay blocked in all threads that come after. It ends with the exit code of what that returns
//! ([`serve::Ended`]), by which the daemon tells an end that was in order from a crash. What it logs goes to standard error.
//!
//! A probe is the same program: a daemon that asks what it can do connects, asks, and hangs up.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use stagepages_host::{
//!     guest::{ConsolePort, Guest, GuestIo, GuestStop, StopReason},
//!     launch::{Reason, Refusal, Spent},
//!     platform::{Chunk, Contents, Facts, Finish, Installed, Platform, PlatformKind, Report, Stop},
//!     serve::{self, HostConfig, PlatformSpec, Platforms},
//!     vcpu::CpuModel,
//!     wire::{SeqListener, take_stdin},
//! };
//! use stagepages_kvm::{Gfn, GfnRange, KvmError};
//!
//! /// The VM, as this VMM has it.
//! #[derive(Debug)]
//! struct MyVm;
//!
//! /// The VM while it runs.
//! #[derive(Debug)]
//! struct MyGuest;
//!
//! struct MyPlatforms;
//!
//! impl Platforms for MyPlatforms {
//!     fn probe(&self) -> Vec<Report> {
//!         vec![Report { platform: PlatformKind::Kvm, checks: Vec::new(), runs_guests: true, facts: Facts::default() }]
//!     }
//!
//!     fn create(&self, spec: PlatformSpec<'_>) -> Result<Box<dyn Platform>, Refusal> {
//!         if spec.kind != PlatformKind::Kvm {
//!             return Err(Refusal::new(Reason::PlatformUnavailable, "this VMM runs on kvm only"));
//!         }
//!         // Makes a VM with `spec.memory` and room for `spec.vcpus`.
//!         Ok(Box::new(MyVm))
//!     }
//! }
//!
//! impl Platform for MyVm {
//!     fn kind(&self) -> PlatformKind {
//!         PlatformKind::Kvm
//!     }
//!
//!     fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
//!         // Copies `chunk.source` to `chunk.range`, lends what is there now, and says how many pages that is.
//!         Installed { pages: chunk.range.pages(), contents: Contents::Unknown, stop: None, spent: Spent::default() }
//!     }
//!
//!     fn cpu(&self) -> CpuModel {
//!         CpuModel::generous()
//!     }
//!
//!     fn finish(&mut self, finish: &Finish<'_>) -> Result<(), Stop> {
//!         for (index, state) in finish.vcpus.iter().enumerate() {
//!             if let Some(registers) = state.registers() {
//!                 println!("vCPU {index} begins at rip {:#x}", registers.general.rip);
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn runs_guests(&self) -> bool {
//!         true
//!     }
//!
//!     fn start(self: Box<Self>, io: GuestIo) -> Result<Box<dyn Guest>, Stop> {
//!         let run = move || {
//!             io.console.write(ConsolePort::Serial, b"hello\n");
//!             (io.ended)(GuestStop {
//!                 reason: StopReason::Shutdown,
//!                 message: "vCPU 0: all is said".to_owned(),
//!                 vcpu: Some(0),
//!                 exit_code: None,
//!                 gpa: None,
//!             });
//!         };
//!         std::thread::Builder::new().name("guest".to_owned()).spawn(run).map_err(Stop::Source)?;
//!         Ok(Box::new(MyGuest))
//!     }
//!
//!     fn existing(&self, _range: GfnRange, out: &mut [u8]) -> Result<(), KvmError> {
//!         out.fill(1);
//!         Ok(())
//!     }
//!
//!     fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
//!         None
//!     }
//! }
//!
//! impl Guest for MyGuest {
//!     fn stop(&self) {
//!         // Makes its vCPUs leave the guest; `io.ended` tells when they have.
//!     }
//! }
//!
//! fn host() -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     let listener = SeqListener::from(take_stdin()?);
//!     let config = HostConfig::from_args(std::env::args_os())?;
//!     let ended = serve::run(listener, config, Box::new(MyPlatforms))?;
//!     Ok(ended.exit_code().into())
//! }
//!
//! fn main() -> ExitCode {
//!     host().unwrap_or_else(|error| {
//!         eprintln!("my-vmm: {error}");
//!         ExitCode::FAILURE
//!     })
//! }
//! ```
//!
//! # Confinement
//!
//! [`serve::run_confined`] takes from the process, step by step, what a launch does not need: the table is in [`sandbox`]. A VMM that is started for this
//! one launch begins with it before it has a second thread, with [`serve::policy`] and what its own platforms need beside.
//!
//! # What a platform promises
//!
//! Order, partial progress, retries, the ledger, the digest and exactly-once calls are this library's. A [`platform::Platform`] promises the rest:
//!
//! * **It installs a page once**, counts none that was not confirmed to it, and lends the bytes that are in the guest's memory now, not those that
//!   it was sent.
//! * **It never waits for a daemon**, and no longer than a system call takes: while it installs, nothing else is done.
//! * **It makes its vCPUs as the states say** that it is given, at [`finish`](platform::Platform::finish) or, through
//!   [`set_vcpu`](platform::Platform::set_vcpu), before. They were checked against what its [`cpu`](platform::Platform::cpu) says.
//! * **It tells the guest's end once**, when no vCPU runs any more and the memory is given back; whatever the guest does, its
//!   [`stop`](guest::Guest::stop) brings that about in a few seconds. A host that does not manage is killed.
//! * **It tells nobody what guest memory holds**, in no message and no log.
//!
//! **Invariant:** nothing here knows the public API: a host serves whichever daemon speaks its private protocol.
#![forbid(unsafe_code)]

pub mod console;
pub mod cpuid_page;
pub mod guest;
pub mod launch;
pub mod ledger;
pub mod platform;
pub mod protocol;
pub mod serve;
pub mod settings;
mod stack;
pub mod vcpu;
pub mod wire;

pub use stagepages_sandbox as sandbox;
