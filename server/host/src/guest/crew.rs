//! All vCPUs of a guest: started, told to leave when one of them ends it, and waited for.
//!
//! The guest thread alone holds the threads of the vCPUs, so that none is kicked that is gone. Everyone else sends it an [`Event`].
//!
//! **Invariant:** the first cause is the one that is told; what the others do while they leave changes nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use stagepages_kvm::{RunnableVcpu, kick};

use super::{
    Guest, GuestIo, GuestStop, StopReason,
    devices::Devices,
    ending::Ending,
    vcpu::{self, Left, Shared},
};
use crate::platform::Memory;

/// How long vCPUs may take to leave the guest. They leave at once unless the kernel holds one.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// A vCPU's thread does little but wait for the kernel.
const STACK: usize = 128 * 1024;

/// The vCPUs of a guest, by their indices.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    /// Those that run.
    pub(crate) running: Vec<(u32, RunnableVcpu)>,
    /// Those that wait for ever to be started.
    pub(crate) waiting: Vec<u32>,
}

/// What the guest thread is told.
enum Event {
    /// This vCPU runs no more, and is gone.
    Left(Left),
    /// Somebody wants the guest to stop.
    Stop,
}

/// A guest that the guest thread looks after.
#[derive(Debug)]
struct Running(SyncSender<Event>);

impl Guest for Running {
    fn stop(&self) {
        // Full is the channel only if somebody asked before: the vCPUs alone do not fill it. Nobody is left to be told otherwise.
        drop(self.0.try_send(Event::Stop));
    }
}

/// Runs `crew`, in `memory`. `io.ended` is called when all have left.
///
/// # Errors
/// No thread could be started; nothing ran.
pub(crate) fn start(crew: Crew, memory: Memory<()>, io: GuestIo) -> io::Result<Box<dyn Guest>> {
    let GuestIo { console, ended } = io;
    let shared = Arc::new(Shared {
        devices: Devices::new(console),
        memory,
        leave: AtomicBool::new(false),
    });
    // One event of each vCPU, and one more, so that no vCPU waits for room.
    let (events, told) = mpsc::sync_channel(crew.running.len() + 1);
    let guest = Running(events.clone());
    thread::Builder::new()
        .name("guest".to_owned())
        .stack_size(STACK)
        .spawn(move || ended(look_after(crew, &shared, events, &told)))?;
    Ok(Box::new(guest))
}

fn look_after(
    crew: Crew,
    shared: &Arc<Shared>,
    events: SyncSender<Event>,
    told: &Receiver<Event>,
) -> GuestStop {
    let mut cause = None;
    let mut threads = Vec::new();
    for (index, vcpu) in crew.running {
        match spawn(index, vcpu, shared, events.clone()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                let what = format!("no thread for the vCPU: {error}");
                cause = Some(Ending::internal(what).stop(index, None));
                break;
            }
        }
    }
    drop(events);
    let mut inside = threads.len();
    while inside > 0 && cause.is_none() {
        match told.recv() {
            Ok(Event::Left(left)) => {
                inside -= 1;
                cause = ended_by(left);
            }
            Ok(Event::Stop) => cause = Some(requested()),
            // All threads and the launch are gone: there is nobody to tell.
            Err(mpsc::RecvError) => break,
        }
    }
    let mut stop = cause.unwrap_or_else(|| halted(&crew.waiting));
    shared.leave.store(true, Ordering::Release);
    for thread in &threads {
        kick::send(thread);
    }
    let deadline = Instant::now() + LEAVE_WITHIN;
    while inside > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        match told.recv_timeout(left) {
            Ok(Event::Left(_)) => inside -= 1,
            Ok(Event::Stop) => {}
            Err(_late_or_gone) => break,
        }
    }
    if inside > 0 {
        tracing::error!(vcpus = inside, "vCPUs do not leave the guest");
        stop.message.push_str(&format!(
            "; {inside} vCPUs are stuck in the kernel, their memory is free when this host has ended"
        ));
        return stop;
    }
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a vCPU's thread panicked");
        }
    }
    stop
}

fn spawn(
    index: u32,
    mut vcpu: RunnableVcpu,
    shared: &Arc<Shared>,
    events: SyncSender<Event>,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name(format!("vcpu {index}"))
        .stack_size(STACK)
        .spawn(move || {
            let mut report = Report {
                events,
                left: Some(Left::Ended(
                    Ending::internal("the vCPU's thread panicked").stop(index, None),
                )),
            };
            report.left = Some(vcpu::run(index, &mut vcpu, &shared));
            // Whoever hears of it finds the vCPU gone, and with the last one the VM.
            drop(vcpu);
        })
}

/// Tells the guest thread, also when the vCPU's thread unwinds.
struct Report {
    events: SyncSender<Event>,
    left: Option<Left>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            // After LEAVE_WITHIN nobody listens any more.
            drop(self.events.send(Event::Left(left)));
        }
    }
}

fn ended_by(left: Left) -> Option<GuestStop> {
    match left {
        Left::Ended(stop) => Some(stop),
        // None leaves before it is asked to, and it is asked only once there is a cause.
        Left::Halted | Left::Asked => None,
    }
}

fn requested() -> GuestStop {
    GuestStop {
        reason: StopReason::Requested,
        message: "stopped on request".to_owned(),
        vcpu: None,
        exit_code: None,
        gpa: None,
    }
}

fn halted(waiting: &[u32]) -> GuestStop {
    let mut message =
        "every vCPU has halted, and there is no interrupt controller that could wake one"
            .to_owned();
    if !waiting.is_empty() {
        message.push_str(&format!(
            "; vCPUs {waiting:?} never ran: as reset they wait for another to start them, which needs one too; give them a state"
        ));
    }
    GuestStop {
        reason: StopReason::Halted,
        message,
        vcpu: None,
        exit_code: None,
        gpa: None,
    }
}
