//! The figures of design.md section 8: `cargo bench -p stagepages-tests`, or `… -- NAME…` for some of them, `… -- --list` for their names.
//!
//! | module         | figures                                                                       |
//! |----------------|-------------------------------------------------------------------------------|
//! | [`stream_kvm`] | `stream_kvm`: StagePagesStream into `kvm` against the loop of [`baseline`]      |
//! | [`scaling`]    | `scaling`: the same with 1 to 64 streams at once                               |
//! | [`stored`]     | `image_kvm`, `image_qemu`: a stored image into `kvm`, against the loop, and against QEMU's loader ([`qemu`]) |
//! | [`write_image`] | `write_image`: WriteImage against `ctr content ingest` ([`containerd`])       |
//! | [`second_launch`] | `second_launch`: what the second launch of an image sends, against the first |
//! | [`time_line`]  | `time_line`: one launch on serial firmware against pages × 1 ms                |
//! | [`sixteen`]    | `sixteen_launches`: the mean of sixteen at once, against no scheduler           |
//! | [`streamed`]   | `stream_memory`: the daemon while 8 GiB stream through                          |
//! | [`crowd`]      | `connection_memory`: the daemon with 1,000 open connections                    |
//! | [`idle_host`]  | `idle_host_memory`: a launch host with nothing to do                           |
//! | [`get_launch`] | `get_launch`: GetLaunch against a health check, 1,000 launches open             |
//! | [`create`]     | `create_launch`: CreateLaunch against starting and reaping `/bin/true`          |
//! | [`unary`]      | `unary`: single calls, by the clock                                            |
//!
//! Bytes of the ledger for a page are a program of their own, `ledger`, which counts every allocation.
//!
//! What is compared runs alternately, in pairs, after one pair that warms up: [`pairs`]. Daemons are the release build, in directories of their
//! own, one for each figure. [`scale`] says how much is run.
//!
//! **Invariant:** a figure is only printed of work whose result was checked; what cannot be measured here says so in one visible line.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its figures, and has nobody to tell of a failure"
)]

mod baseline;
mod clock;
mod containerd;
mod create;
mod crowd;
mod get_launch;
mod idle_host;
mod memory;
mod pairs;
mod qemu;
mod report;
mod scale;
mod scaling;
mod scratch;
mod second_launch;
mod sixteen;
mod stage;
mod stored;
mod stream_kvm;
mod streamed;
mod time_line;
mod unary;
mod world;
mod write_image;

use world::World;

/// What a name runs.
type Figure = (&'static str, fn(&World));

/// In the order in which they run: first those that a machine tired by the others would spoil.
const FIGURES: [Figure; 14] = [
    ("stream_kvm", stream_kvm::run),
    ("image_kvm", stored::against_the_loop),
    ("image_qemu", stored::against_qemu),
    ("write_image", write_image::run),
    ("second_launch", second_launch::run),
    ("scaling", scaling::run),
    ("unary", unary::run),
    ("create_launch", create::run),
    ("get_launch", get_launch::run),
    ("time_line", time_line::run),
    ("sixteen_launches", sixteen::run),
    ("idle_host_memory", idle_host::run),
    ("connection_memory", crowd::run),
    ("stream_memory", streamed::run),
];

fn main() {
    // Cargo adds --bench; what is no flag is a name.
    let (flags, names): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with("--"));
    if flags.iter().any(|flag| flag == "--list") {
        for (name, _) in FIGURES {
            println!("{name}");
        }
        return;
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    // The other program's are asked for in the same words.
    let known = |name: &str| name == "ledger" || FIGURES.iter().any(|(known, _)| *known == name);
    for name in names.iter().filter(|name| !known(name)) {
        report::absent(name, "no figure has this name; --list shows them");
    }
    let world = World::new();
    for (_, run) in FIGURES.into_iter().filter(|(name, _)| wanted(name)) {
        run(&world);
    }
}
