//! The launch thread: takes one request after the other and answers each.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use stagepages_sandbox::host::Confinement;
use tracing::Span;

use super::{
    Ended, HostConfig, Platforms,
    allowance::Allowance,
    connection::{Connection, WeakConnection, welcome},
    create::create,
    intake::{Common, Job},
    presence::Presence,
    pulse::Pulse,
};
use crate::{
    console::Console,
    guest::GuestStop,
    launch::{Launch, Reason, Refusal, StopFlag},
    protocol::{
        Command, Context, Create, Done, Outcome, Probed, Remembered, Request, Snapshot, Spent,
    },
};

/// How long a host without a launch waits for a daemon. Its own is there at once; another never comes for it.
const UNWANTED: Duration = Duration::from_secs(60);

/// The launch, once there is one, and the daemon's things that go with it.
pub(super) struct Worker {
    config: HostConfig,
    platforms: Box<dyn Platforms>,
    /// Closes when the launch is made.
    confinement: Confinement,
    pub(super) console: Arc<Console>,
    pub(super) stop: StopFlag,
    presence: Arc<Presence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) allowance: Arc<Allowance>,
    pub(super) launch: Option<Launch>,
    record: Vec<u8>,
    /// How long the launch outlasts its daemon.
    lease: Option<Duration>,
    /// The request at hand.
    pub(super) taken_up: TakenUp,
    /// Since when the lease counts at the earliest: the guest ran until then.
    stopped_at: Option<Instant>,
    /// Of the newest daemon whose greeting was answered.
    epoch: u64,
    /// The connections that were greeted, as long as they are there.
    greeted: Vec<WeakConnection>,
    /// Requests in the queue.
    queued: Arc<AtomicUsize>,
    /// Who waits for the guest to stop, by request, and since when.
    pub(super) waiting: Vec<(u64, Connection, TakenUp)>,
}

/// When the launch thread took up a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakenUp {
    at: Instant,
    /// How long it waited before.
    queued: Duration,
}

/// When a request is answered.
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, on its way out"
)]
pub(super) enum Answer {
    /// At once.
    Now(Outcome),
    /// When the guest has stopped.
    WhenStopped,
}

impl TakenUp {
    /// One that came then.
    fn now(came: Instant) -> Self {
        let at = Instant::now();
        Self {
            at,
            queued: at.saturating_duration_since(came),
        }
    }

    /// What it took up to now.
    pub(super) fn spent(&self) -> Spent {
        Spent::now(self.queued, self.at.elapsed())
    }

    /// The outcome with what it took up to now, unless that is told already.
    fn told(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Done(Done { spent: None }) => Outcome::Done(Done {
                spent: Some(self.spent()),
            }),
            other @ (Outcome::Done(_)
            | Outcome::Staged(_)
            | Outcome::Refused(_)
            | Outcome::Welcome(_)
            | Outcome::Probed(_)
            | Outcome::Runs(_)
            | Outcome::Verified(_)
            | Outcome::Remembered(_)
            | Outcome::Pong(_)
            | Outcome::RejectedCpuid(_)) => other,
        }
    }
}

impl Worker {
    pub(super) fn new(
        config: HostConfig,
        platforms: Box<dyn Platforms>,
        common: &Common,
        confinement: Confinement,
    ) -> Self {
        Self {
            config,
            platforms,
            confinement,
            console: Arc::clone(&common.console),
            stop: common.stop.clone(),
            queued: Arc::clone(&common.waiting),
            presence: Arc::clone(&common.presence),
            pulse: Arc::clone(&common.pulse),
            allowance: Arc::clone(&common.allowance),
            launch: None,
            record: Vec::new(),
            lease: None,
            taken_up: TakenUp::now(Instant::now()),
            stopped_at: None,
            epoch: 0,
            greeted: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Works until the host is not needed any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> Ended {
        loop {
            self.pulse.rest();
            let job = match self.next(jobs) {
                Ok(job) => job,
                Err(ended) => return ended,
            };
            self.pulse.beat();
            if matches!(job, Job::Request(..)) {
                self.queued.fetch_sub(1, Ordering::AcqRel);
            }
            match job {
                Job::Request(request, _, connection, _) if connection.epoch() < self.epoch => {
                    tracing::warn!(
                        number = request.id,
                        "a request of a daemon that has a successor is not carried out"
                    );
                    connection.close();
                }
                Job::Request(request, files, connection, came) => {
                    self.taken_up = TakenUp::now(came);
                    let bye = matches!(request.command, Some(Command::Bye(_)));
                    let call = request.context.as_ref().map(Context::span);
                    let _in = call.map(Span::entered);
                    self.handle(request, files, &connection);
                    self.obey_stop(&connection);
                    if let Some(launch) = self.launch.as_ref().filter(|launch| over(launch)) {
                        if bye {
                            return Ended::Over;
                        }
                        connection.farewell(launch.remembered().map(Remembered::from));
                    }
                }
                Job::Stopped(stop) => self.guest_stopped(stop),
                Job::HungUp if self.launch.is_none() && self.presence.alone_since().is_some() => {
                    return Ended::Unwanted;
                }
                Job::HungUp => tracing::info!("the daemon is gone; the launch stays"),
            }
        }
    }

    /// The next job, or why there will be none.
    fn next(&self, jobs: &Receiver<Job>) -> Result<Job, Ended> {
        loop {
            let Some((wait, ended)) = self.patience() else {
                return jobs.recv().map_err(|_closed| Ended::Unwanted);
            };
            match jobs.recv_timeout(wait) {
                Ok(job) => return Ok(job),
                Err(RecvTimeoutError::Disconnected) => return Err(Ended::Unwanted),
                Err(RecvTimeoutError::Timeout) if self.patience().is_some_and(over_now) => {
                    tracing::info!(?ended, "no daemon speaks to this host; it ends itself");
                    return Err(ended);
                }
                // One came, or went, in the meantime.
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// How much longer the host waits without a daemon, and how it ends then; `None` while there is no end to it.
    fn patience(&self) -> Option<(Duration, Ended)> {
        let (length, ended) = match &self.launch {
            None => (UNWANTED, Ended::Unwanted),
            // A guest that runs is somebody's, whether or not a daemon is there.
            Some(Launch::Running(_)) => return None,
            Some(_) => (self.lease?, Ended::LeaseExpired),
        };
        let Some(alone) = self.presence.alone_since() else {
            // Looked at again when it hangs up, which is a job.
            return None;
        };
        let alone = self.stopped_at.map_or(alone, |stopped| stopped.max(alone));
        Some((length.saturating_sub(alone.elapsed()), ended))
    }

    /// Ends the launch if somebody asked for it and the request for it is still in the queue, or found no room there.
    fn obey_stop(&mut self, connection: &Connection) {
        if !self.stop.is_set() {
            return;
        }
        let reason = self.stop.reason();
        self.launch = self.launch.take().map(|launch| launch.abort(reason));
        match &self.launch {
            // It is told when the guest has stopped.
            None | Some(Launch::Running(_)) => {}
            Some(launch) => connection.tell((&launch.snapshot()).into()),
        }
    }

    /// The guest has stopped: whoever waited for it is answered, and every daemon that is there is told.
    fn guest_stopped(&mut self, stop: GuestStop) {
        let Some(launch) = self.launch.take().map(|launch| launch.stopped(stop)) else {
            return;
        };
        self.stopped_at = Some(Instant::now());
        let snapshot = launch.snapshot();
        log_state(&snapshot);
        let told = Snapshot::from(&snapshot);
        for (id, connection, taken_up) in self.waiting.drain(..) {
            let done = taken_up.told(Outcome::Done(Done::default()));
            connection.answer(id, Some(told.clone()), done);
        }
        for connection in self.greeted.iter().filter_map(WeakConnection::get) {
            connection.tell(told.clone());
            connection.farewell(launch.remembered().map(Remembered::from));
        }
        self.launch = Some(launch);
    }

    fn handle(&mut self, request: Request, files: Vec<File>, connection: &Connection) {
        let before = self.launch.as_ref().map(|launch| launch.snapshot().state);
        // A daemon that comes is told what there is: of its predecessor's calls that still wait no answer will tell it.
        let greets = matches!(request.command, Some(Command::Hello(_)));
        let answer = self
            .carry_out(request.command, files, connection)
            .unwrap_or_else(|refusal| {
                log_refusal(&refusal);
                Answer::Now(Outcome::Refused((&refusal).into()))
            });
        if greets || self.queued.load(Ordering::Acquire) == 0 {
            self.settle();
        }
        let snapshot = self.launch.as_ref().map(Launch::snapshot);
        if let Some(after) = &snapshot
            && before != Some(after.state)
        {
            log_state(after);
        }
        match answer {
            Answer::Now(outcome) => {
                let outcome = self.taken_up.told(outcome);
                connection.answer(request.id, snapshot.as_ref().map(Snapshot::from), outcome);
            }
            Answer::WhenStopped => {
                let waits = (request.id, connection.clone(), self.taken_up);
                self.waiting.push(waits);
            }
        }
    }

    /// Has the digest cover all that is installed. Not while requests wait: each of them would wait for it, and the last one's answer tells it.
    fn settle(&mut self) {
        self.launch = self.launch.take().map(Launch::settle);
    }

    fn carry_out(
        &mut self,
        command: Option<Command>,
        files: Vec<File>,
        connection: &Connection,
    ) -> Result<Answer, Refusal> {
        let outcome = match command {
            Some(Command::Hello(hello)) => {
                if hello.epoch > self.epoch {
                    self.console.obey_only(connection.name());
                }
                self.epoch = hello.epoch;
                self.greeted.retain(|known| known.get().is_some());
                self.greeted.push(connection.downgrade());
                welcome(&hello, self.record.clone())
            }
            Some(Command::Staging(_)) => {
                connection.use_staging(files.into_iter().next());
                Outcome::Done(Done::default())
            }
            Some(Command::Bye(_)) if self.launch.as_ref().is_some_and(over) => {
                Outcome::Done(Done::default())
            }
            Some(Command::Bye(_)) => {
                return Err(Refusal::new(Reason::WrongState, "the launch is not over"));
            }
            Some(Command::Probe(_)) => Outcome::Probed(Probed {
                reports: self.platforms.probe().iter().map(Into::into).collect(),
            }),
            Some(Command::Create(create)) => self.create(create, files, connection)?,
            Some(Command::Stage(stage)) => self.stage_in_stream(&stage, &files, connection)?,
            Some(Command::GetResult(get)) => self.result(&get)?,
            Some(Command::ListRuns(list)) => self.list(&list)?,
            Some(Command::Verify(_)) => {
                Outcome::Verified((&self.launch()?.verify(&|| self.pulse.beat())?).into())
            }
            Some(Command::Finish(finish)) => self.finish(&finish)?,
            Some(Command::GetRejectedCpuid(_)) => {
                Outcome::RejectedCpuid(self.launch()?.rejected_cpuid()?.into())
            }
            Some(Command::SetVcpu(vcpu)) => {
                self.launch
                    .as_mut()
                    .ok_or_else(no_launch)?
                    .set_vcpu(&vcpu)?;
                Outcome::Done(Done::default())
            }
            Some(Command::Start(_)) => self.start(connection)?,
            Some(Command::Stop(_)) => return self.stop_guest(),
            Some(Command::Abort(abort)) => return self.abort(&abort),
            Some(Command::ListenConsole(listen)) => self.listen(listen.offset, connection)?,
            Some(
                Command::EndStream(_)
                | Command::Ping(_)
                | Command::ConsoleInput(_)
                | Command::Meter(_),
            )
            | None => {
                return Err(Refusal::new(Reason::MalformedRequest, "an empty request"));
            }
        };
        Ok(Answer::Now(outcome))
    }

    fn create(
        &mut self,
        request: Create,
        files: Vec<File>,
        connection: &Connection,
    ) -> Result<Outcome, Refusal> {
        if self.launch.is_some() {
            return Err(Refusal::new(
                Reason::WrongState,
                "this host has a launch already",
            ));
        }
        let (launch, attributes) = create(
            &request,
            &self.config,
            self.platforms.as_ref(),
            self.stop.clone(),
        )?;
        // Before the first page, so that no secret is ever in a process that could take it elsewhere.
        self.confinement.made().map_err(|error| {
            let error = io::Error::other(error);
            Refusal::new(
                Reason::PlatformUnavailable,
                format!("the launch host is not confined and so takes no pages: {error}"),
            )
        })?;
        self.launch = Some(launch);
        self.record = request.record;
        self.lease =
            (request.lease_millis > 0).then(|| Duration::from_millis(request.lease_millis));
        connection.use_staging(files.into_iter().next());
        Ok(Outcome::Done(Done {
            spent: Some(self.taken_up.spent().on_attributes(attributes)),
        }))
    }

    pub(super) fn launch(&self) -> Result<&Launch, Refusal> {
        self.launch.as_ref().ok_or_else(no_launch)
    }
}

/// Nothing is left of the launch but what it remembers.
fn over(launch: &Launch) -> bool {
    match launch {
        Launch::Aborted(_) | Launch::Stopped(_) => true,
        Launch::Open(_) | Launch::Finished(_) | Launch::Running(_) => false,
    }
}

fn over_now((wait, _): (Duration, Ended)) -> bool {
    wait.is_zero()
}

pub(super) fn log_refusal(refusal: &Refusal) {
    tracing::debug!(reason = ?refusal.reason, message = refusal.message, "refused");
}

pub(super) fn no_launch() -> Refusal {
    Refusal::new(Reason::WrongState, "this host has no launch")
}

fn log_state(now: &crate::launch::Snapshot) {
    let abort = now.abort.as_ref().map(|cause| cause.message.as_str());
    let stop = now.stop.as_ref().map(|stop| stop.message.as_str());
    tracing::info!(state = %now.state, pages = now.installed_pages, message = abort.or(stop), "launch");
}
