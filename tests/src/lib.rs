//! The harness of the black-box suites: it builds the real binaries, runs daemons in private directories, and calls them through the public API.
//!
//! ```text
//! Bench ──▶ Daemon ──▶ stagepagesd serve ──▶ daemon, launch hosts     (ended, and proven gone, when the Bench ends)
//!   │       a Subject says on which platform, and on what kernel: this machine's, or a model of one
//!   ├─────▶ Api          StagePages and its neighbours over a Unix socket or TCP with TLS, as any client would call them
//!   ├─────▶ Raw, wire    HTTP/2 by hand, by the call and by the frame, for what no well-behaved client sends
//!   ├─────▶ Vital        what all that costs the daemon
//!   ├─────▶ GuestMemory  the bytes of a launch, read behind the product's back
//!   └─────▶ Marker       bytes that are looked for wherever the product could have left them
//! ```
//!
//! Everything here reports by panicking: the caller is a test, and a panic is its failing assertion.
//!
//! **Invariant:** of the product only its messages and its address types are linked; everything else runs as the binaries that operators run.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the harness of tests: a panic is a failing assertion"
)]
#![expect(
    clippy::print_stdout,
    reason = "libtest shows the output of failing tests, and --nocapture the rest"
)]

mod abilities;
mod api;
mod aside;
mod bench;
mod binaries;
mod calls;
mod contents;
mod daemon;
mod deaths;
mod expected;
mod guest;
mod halt;
mod images;
mod leavings;
mod ledger;
mod model;
mod notify;
mod options;
mod peer;
mod pki;
mod platform;
mod process_tree;
mod raw;
mod rebirth;
mod refusal;
mod rounds;
mod say;
mod scan;
mod scrape;
mod slow;
mod spec;
pub mod stagectl;
mod subject;
mod tls;
mod vital;
mod wait;
mod watcher;
mod way;
pub mod wire;

pub use abilities::{Abilities, EXCEPTIONS, Need, abilities};
pub use api::{Api, Extent, lease_aside};
pub use bench::{Bench, on_every_platform, on_platform};
pub use binaries::{Binaries, binaries, intruder_library, node_agent};
pub use calls::{Key, call_result, call_status};
pub use contents::{Contents, PAGE, page};
pub use daemon::{Daemon, FailedStart};
pub use expected::{SNP_ACTIVE, with_vcpus_at_reset};
pub use guest::GuestMemory;
pub use halt::halt;
pub use images::{BOOT_ENTRY, ELF_ENTRY, amd_firmware, bzimage, elf, igvm, intel_firmware};
pub use leavings::SharedMemory;
pub use ledger::{Snapshot, ledger, page_hashes, snapshot};
pub use model::Trace;
pub use options::DaemonOptions;
pub use peer::User;
pub use pki::{Authority, CLIENT_ID, Issued, Leaf, Pki, SERVER_ID};
pub use raw::{Raw, RawAnswer, frame};
pub use rebirth::{answered, over, renew_daemon, when};
pub use refusal::{Refusal, refused};
pub use rounds::{Book, Client, Faults, Image, Proxy, Task, World, numbered, plan, stagectl_stage};
pub use say::say;
pub use scan::{Found, Marker};
pub use scrape::{PlainAnswer, PlainPlace, PlainStream, Scrape};
pub use slow::{Call, Slow};
pub use spec::{SimScript, region, spec};
pub use subject::{Subject, Subjects};
pub use tls::{tls_channel, tls_config, tls_connect};
pub use vital::{Vital, survives};
pub use wait::{LONG, eventually};
pub use watcher::{Watcher, states};
pub use way::{Io, Way};
