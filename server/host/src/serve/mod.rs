//! The launch host's process: one socket to the daemon, one thread for the launch, one for each vCPU; and one that helps with long extents, while they last.
//!
//! ```text
//!  acceptor thread ──▶ connection thread (one per daemon) ──commands──▶ launch thread (main) ──starts──▶ guest thread, vCPU threads
//!                              ▲  sets the stop flag on Abort               │    ▲                            │      │
//!                              ├───────────── replies on the same socket ◀──┘    └────── the guest's end ─────┘      ▼
//!                              └────────────────────── console threads (one per listener) ◀────────────────────── Console
//! ```
//!
//! The launch thread never waits for the guest: it asks it to stop, and answers when it hears that it has.
//!
//! The launch thread is the process's first thread and owns everything: VM, memory, ledger. It blocks every signal, because a pending one
//! makes the kernel's populate fail (kernel.md, section 10.5). It answers with sends that never wait: a daemon that does not read its
//! answers loses its connection, and an install never waits for anyone.
//!
//! A daemon that comes later than another takes its place: what the earlier one had put into the queue is carried out, before the greeting of
//! the later one is answered; of what it says afterwards, nothing.
//!
//! **Invariant:** a `Stage` command that is in the queue before a newer daemon's greeting is carried out, whoever lives to read the answer.

mod allowance;
mod args;
mod confine;
mod connection;
mod create;
mod ended;
#[doc(hidden)]
pub mod fuzzing;
mod guest;
mod intake;
mod listener;
mod platforms;
mod presence;
mod pulse;
mod requests;
mod staging;
mod worker;

pub use args::{BadArgs, HostConfig};
pub use confine::policy;
pub use ended::Ended;
pub use platforms::{Builtin, PlatformSpec, Platforms};

use std::{
    io,
    sync::{Arc, atomic::AtomicU64, mpsc},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};

use stagepages_sandbox::{SandboxError, host::Confinement};

use crate::{launch::StopFlag, wire::SeqListener};
use connection::Connection;
use intake::{Common, Fence};
use presence::Presence;
use pulse::Pulse;
use worker::Worker;

/// Commands that may wait for the launch thread, from all connections together.
const QUEUE: usize = 64;

/// After a connection could not be accepted.
const HEAR_AGAIN: Duration = Duration::from_millis(100);

/// Room beyond that for greetings and farewells: a daemon that comes finds some, however much its predecessor left.
const RESERVE: usize = 16;

/// Runs a launch host that is not confined; see [`run_confined`].
///
/// # Errors
/// The listener or a thread could not be set up.
pub fn run(
    listener: SeqListener,
    config: HostConfig,
    platforms: Box<dyn Platforms>,
) -> io::Result<Ended> {
    run_confined(listener, config, platforms, Confinement::none())
}

/// Runs a launch host on the calling thread until its launch is over and a daemon knows how it ended, or until nobody wants it any more.
///
/// `confinement` has begun. It goes on by itself: the threads that speak to daemons open nothing, and from the launch's making on no thread does.
/// What the platform does later MUST be within [`policy`]'s list of calls, or the process is killed by SIGSYS.
///
/// The thread's signals are blocked from here on. The process MUST end with [`Ended::exit_code`]: its parent tells by it why the host is gone.
///
/// # Errors
/// The listener or a thread could not be set up, or confined.
pub fn run_confined(
    listener: SeqListener,
    config: HostConfig,
    platforms: Box<dyn Platforms>,
    confinement: Confinement,
) -> io::Result<Ended> {
    SigSet::all().thread_block()?;
    stagepages_kvm::share_one_arena();
    let (jobs, queue) = mpsc::sync_channel(QUEUE + RESERVE);
    let common = Common {
        jobs,
        waiting: Arc::default(),
        stop: StopFlag::default(),
        fence: Arc::new(Fence::default()),
        presence: Arc::new(Presence::new()),
        pulse: Arc::new(Pulse::new()),
        allowance: Arc::default(),
        console: Arc::default(),
        names: Arc::new(AtomicU64::new(1)),
    };
    let bystander = confinement.clone();
    let worker = Worker::new(config, platforms, &common, confinement);
    let (told, confined) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("acceptor".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || {
            let done = bystander.bystander();
            let is_confined = done.is_ok();
            // It is waited for below.
            drop(told.send(done));
            if is_confined {
                accept(&listener, &common);
            }
        })?;
    confined
        .recv()
        .map_err(io::Error::other)
        .and_then(|done: Result<(), SandboxError>| done.map_err(io::Error::other))?;
    Ok(worker.run(&queue))
}

fn accept(listener: &SeqListener, common: &Common) {
    // The supervisor's SIGTERM ends the process through this thread; there is nothing to save in a host that is not wanted.
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    if let Err(error) = term.thread_unblock() {
        tracing::warn!(%error, "SIGTERM stays blocked");
    }
    loop {
        match listener.accept() {
            Ok(socket) => Connection::start(socket, common.clone()),
            Err(error) => {
                // Of descriptors or memory there may be enough again. Whoever waits is heard then.
                tracing::error!(%error, "a daemon cannot be heard at the moment");
                thread::sleep(HEAR_AGAIN);
            }
        }
    }
}
