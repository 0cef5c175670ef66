//! The launch thread: takes one request after the other and answers each.

use std::{
    fs::File,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use stagepages_kvm::{GfnRange, Gpa, PageType};

use super::{
    Ended, HostConfig,
    connection::{Common, Connection, Job, abort_reason, not_applied, welcome},
    create::create,
    presence::Presence,
    pulse::Pulse,
};
use crate::{
    launch::{CallKey, Extent, Launch, Order, Reason, Refusal, State, StopFlag},
    ledger::PageHash,
    platform::{Source, probe},
    protocol::{
        self, Command, Create, Done, Finish, GetResult, ListRuns, MAX_PAGE_RUNS, Outcome, Probed,
        Remembered, Request, Run, RunsPage, Snapshot, Stage, Staged,
    },
};

/// Progress inside an extent is told this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(10);

/// How long a host without a launch waits for a daemon. Its own is there at once; another never comes for it.
const UNWANTED: Duration = Duration::from_secs(60);

/// The launch, once there is one, and the daemon's things that go with it.
#[derive(Debug)]
pub(super) struct Worker {
    config: HostConfig,
    stop: StopFlag,
    presence: Arc<Presence>,
    pulse: Arc<Pulse>,
    launch: Option<Launch>,
    record: Vec<u8>,
    /// How long the launch outlasts its daemon.
    lease: Option<Duration>,
    /// Of the newest daemon whose greeting was answered.
    epoch: u64,
}

impl Worker {
    pub(super) fn new(config: HostConfig, common: &Common) -> Self {
        Self {
            config,
            stop: common.stop.clone(),
            presence: Arc::clone(&common.presence),
            pulse: Arc::clone(&common.pulse),
            launch: None,
            record: Vec::new(),
            lease: None,
            epoch: 0,
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
            match job {
                Job::Request(request, _, connection) if connection.epoch() < self.epoch => {
                    tracing::warn!(
                        request = request.id,
                        "a request of a daemon that has a successor is not carried out"
                    );
                    connection.close();
                }
                Job::Request(request, files, connection) => {
                    let bye = matches!(request.command, Some(Command::Bye(_)));
                    self.handle(request, files, &connection);
                    self.obey_stop(&connection);
                    if let Some(launch) = self.launch.as_ref().filter(|launch| over(launch)) {
                        if bye {
                            return Ended::Over;
                        }
                        connection.farewell(launch.remembered().map(Remembered::from));
                    }
                }
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
            Some(_) => (self.lease?, Ended::LeaseExpired),
        };
        let Some(alone) = self.presence.alone_since() else {
            // Looked at again when it hangs up, which is a job.
            return None;
        };
        Some((length.saturating_sub(alone.elapsed()), ended))
    }

    /// Ends the launch if somebody asked for it and the request for it is still in the queue, or found no room there.
    fn obey_stop(&mut self, connection: &Connection) {
        if !self.stop.is_set() {
            return;
        }
        let reason = self.stop.reason();
        self.launch = self.launch.take().map(|launch| launch.abort(reason));
        if let Some(launch) = &self.launch {
            connection.tell((&launch.snapshot()).into());
        }
    }

    fn handle(&mut self, request: Request, files: Vec<File>, connection: &Connection) {
        let before = self.launch.as_ref().map(|launch| launch.snapshot().state);
        let outcome = self
            .carry_out(request.command, files, connection)
            .unwrap_or_else(|refusal| {
                tracing::debug!(reason = ?refusal.reason, message = refusal.message, "refused");
                Outcome::Refused((&refusal).into())
            });
        let snapshot = self.launch.as_ref().map(Launch::snapshot);
        if let Some(after) = &snapshot
            && before != Some(after.state)
        {
            let message = after.abort.as_ref().map(|cause| cause.message.as_str());
            tracing::info!(state = %after.state, pages = after.installed_pages, message, "launch");
        }
        connection.answer(request.id, snapshot.as_ref().map(Snapshot::from), outcome);
    }

    fn carry_out(
        &mut self,
        command: Option<Command>,
        files: Vec<File>,
        connection: &Connection,
    ) -> Result<Outcome, Refusal> {
        match command {
            Some(Command::Hello(hello)) => {
                self.epoch = hello.epoch;
                Ok(welcome(&hello, self.record.clone()))
            }
            Some(Command::Staging(_)) => {
                connection.use_staging(files.into_iter().next());
                Ok(Outcome::Done(Done {}))
            }
            Some(Command::Bye(_)) if self.launch.as_ref().is_some_and(over) => {
                Ok(Outcome::Done(Done {}))
            }
            Some(Command::Bye(_)) => {
                Err(Refusal::new(Reason::WrongState, "the launch is not over"))
            }
            Some(Command::Probe(_)) => Ok(Outcome::Probed(Probed {
                reports: probe().iter().map(Into::into).collect(),
            })),
            Some(Command::Create(create)) => self.create(create, files, connection),
            Some(Command::Stage(stage)) => self.stage_in_stream(&stage, connection),
            Some(Command::GetResult(get)) => self.result(&get),
            Some(Command::ListRuns(list)) => self.list(&list),
            Some(Command::Verify(_)) => Ok(Outcome::Verified((&self.launch()?.verify()?).into())),
            Some(Command::Finish(finish)) => self.finish(&finish),
            Some(Command::Abort(abort)) => {
                if self.launch.is_none() {
                    return Err(no_launch());
                }
                let reason = abort_reason(&abort);
                self.launch = self.launch.take().map(|launch| launch.abort(reason));
                Ok(Outcome::Done(Done {}))
            }
            Some(
                Command::SetVcpu(_)
                | Command::Start(_)
                | Command::Stop(_)
                | Command::ListenConsole(_)
                | Command::ConsoleInput(_),
            ) => Err(Refusal::new(
                Reason::UnsupportedOperation,
                "this host runs no guests",
            )),
            Some(Command::EndStream(_) | Command::Ping(_)) | None => {
                Err(Refusal::new(Reason::MalformedRequest, "an empty request"))
            }
        }
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
        self.launch = Some(create(&request, &self.config, self.stop.clone())?);
        self.record = request.record;
        self.lease =
            (request.lease_millis > 0).then(|| Duration::from_millis(request.lease_millis));
        connection.use_staging(files.into_iter().next());
        Ok(Outcome::Done(Done {}))
    }

    /// Applies the stop rule: behind the first answer on a stream that is not a complete install, nothing of it is applied.
    fn stage_in_stream(
        &mut self,
        stage: &Stage,
        connection: &Connection,
    ) -> Result<Outcome, Refusal> {
        if connection.has_stopped(stage.stream) {
            return Err(not_applied());
        }
        let outcome = self.stage(stage, connection);
        let complete = matches!(&outcome, Ok(Outcome::Staged(Staged { stop: None, .. })));
        if !complete && stage.stream != 0 {
            connection.stop(stage.stream);
        }
        outcome
    }

    fn result(&self, get: &GetResult) -> Result<Outcome, Refusal> {
        let key = CallKey {
            sequence: get.sequence,
            request_id: protocol::request_id(&get.request_id)?,
        };
        Ok(Outcome::Remembered(self.launch()?.result(&key)?.into()))
    }

    fn stage(&mut self, stage: &Stage, connection: &Connection) -> Result<Outcome, Refusal> {
        let key = CallKey {
            sequence: stage.sequence,
            request_id: protocol::request_id(&stage.request_id)?,
        };
        let page_type = protocol::page_type_from_number(stage.page_type)?;
        let range = GfnRange::from_bytes(Gpa::new(stage.gpa), stage.length).map_err(|error| {
            Refusal::new(Reason::InvalidExtent, error.to_string())
                .at(Gpa::new(stage.gpa), page_type)
        })?;
        let staging = connection.staging();
        let source = match (stage.staging_offset, &staging) {
            (None, _) => Source::Blank,
            (Some(offset), Some(staging)) => Source::File(staging, offset),
            (Some(_), None) => {
                return Err(Refusal::new(
                    Reason::MalformedRequest,
                    "contents without a staging memory",
                ));
            }
        };
        let mut told = Instant::now();
        let pulse = Arc::clone(&self.pulse);
        let mut progress = |snapshot: crate::launch::Snapshot| {
            pulse.beat();
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                connection.progress((&snapshot).into());
            }
        };
        let extent = Extent {
            range,
            page_type,
            source,
        };
        let launch = self.launch.take().ok_or_else(no_launch)?;
        let (launch, result) = launch.stage(&key, &extent, &mut progress);
        self.launch = Some(launch);
        log_extent(range, page_type, &result);
        Ok(Outcome::Staged((&result?).into()))
    }

    fn finish(&mut self, finish: &Finish) -> Result<Outcome, Refusal> {
        let (launch, result) = self
            .launch
            .take()
            .ok_or_else(no_launch)?
            .finish(&finish.expected_digest);
        self.launch = Some(launch);
        result.map(|()| Outcome::Done(Done {}))
    }

    fn list(&self, list: &ListRuns) -> Result<Outcome, Refusal> {
        let order = if list.by_installation {
            Order::Installation
        } else {
            Order::Gpa
        };
        let max_runs = usize::try_from(list.max_runs)
            .unwrap_or(MAX_PAGE_RUNS)
            .min(MAX_PAGE_RUNS);
        let page = self
            .launch()?
            .runs(order, list.from, list.hashes, max_runs)?;
        let run = |(run, hashes): &(crate::ledger::Run, Vec<PageHash>)| Run {
            gpa: run.range.start().gpa().get(),
            pages: run.range.pages(),
            page_type: protocol::page_type_number(run.page_type),
            first_ordinal: run.first_ordinal,
            uniform: run.uniform,
            hashes: hashes.iter().flat_map(|hash| hash.0).collect(),
        };
        Ok(Outcome::Runs(RunsPage {
            runs: page.runs.iter().map(run).collect(),
            next: page.next,
        }))
    }

    fn launch(&self) -> Result<&Launch, Refusal> {
        self.launch.as_ref().ok_or_else(no_launch)
    }
}

/// Nothing is left of the launch but what it remembers.
fn over(launch: &Launch) -> bool {
    launch.snapshot().state == State::Aborted
}

fn over_now((wait, _): (Duration, Ended)) -> bool {
    wait.is_zero()
}

fn no_launch() -> Refusal {
    Refusal::new(Reason::WrongState, "this host has no launch")
}

fn log_extent(
    range: GfnRange,
    page_type: PageType,
    result: &Result<crate::launch::Installation, Refusal>,
) {
    let (pages, reason) = match result {
        Ok(installation) => (installation.installed_pages, None),
        Err(refusal) => (refusal.installed_pages, Some(refusal.reason)),
    };
    tracing::debug!(gfn = %range.start(), of = range.pages(), pages, %page_type, ?reason, "extent");
}
