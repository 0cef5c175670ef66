//! The launch thread: takes one request after the other and answers each.

use std::{
    fs::File,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use stagepages_kvm::{GfnRange, Gpa, PageType};

use super::{
    HostConfig,
    connection::{Connection, Job, abort_reason, not_applied, welcome},
    create::create,
};
use crate::{
    launch::{CallKey, Extent, Launch, Order, Reason, Refusal, State, StopFlag},
    ledger::PageHash,
    platform::{Source, probe},
    protocol::{
        self, Command, Create, Done, Finish, GetResult, ListRuns, MAX_FAREWELL, MAX_PAGE_RUNS,
        Outcome, Probed, Remembered, Request, Run, RunsPage, Snapshot, Stage, Staged,
    },
};

/// Progress inside an extent is told this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(10);

/// The launch, once there is one, and the daemon's things that go with it.
#[derive(Debug)]
pub(super) struct Worker {
    config: HostConfig,
    stop: StopFlag,
    launch: Option<Launch>,
    staging: Option<File>,
    record: Vec<u8>,
}

impl Worker {
    pub(super) fn new(config: HostConfig, stop: StopFlag) -> Self {
        Self {
            config,
            stop,
            launch: None,
            staging: None,
            record: Vec::new(),
        }
    }

    /// Works until the launch is over, or until there is neither launch nor daemon.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Request(request, files, connection) => {
                    self.handle(request, files, &connection);
                    self.obey_stop(&connection);
                    if let Some(launch) = self
                        .launch
                        .as_ref()
                        .filter(|launch| launch.snapshot().state == State::Aborted)
                    {
                        return farewell(launch, &connection);
                    }
                }
                Job::HungUp if self.launch.is_none() => return,
                Job::HungUp => tracing::info!("the daemon is gone; the launch stays"),
            }
        }
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
            Some(Command::Hello(hello)) => Ok(welcome(&hello, self.record.clone())),
            Some(Command::Probe(_)) => Ok(Outcome::Probed(Probed {
                reports: probe().iter().map(Into::into).collect(),
            })),
            Some(Command::Create(create)) => self.create(create, files),
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
            Some(Command::EndStream(_)) | None => {
                Err(Refusal::new(Reason::MalformedRequest, "an empty request"))
            }
        }
    }

    fn create(&mut self, request: Create, files: Vec<File>) -> Result<Outcome, Refusal> {
        if self.launch.is_some() {
            return Err(Refusal::new(
                Reason::WrongState,
                "this host has a launch already",
            ));
        }
        self.launch = Some(create(&request, &self.config, self.stop.clone())?);
        self.staging = files.into_iter().next();
        self.record = request.record;
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
        let source = match (stage.staging_offset, &self.staging) {
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
        let mut progress = |snapshot: crate::launch::Snapshot| {
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

/// Hands over what an ended launch remembers: its counts outlive it.
fn farewell(launch: &Launch, connection: &Connection) {
    let answers: Vec<Remembered> = launch.remembered().map(Remembered::from).collect();
    for part in answers.chunks(MAX_FAREWELL) {
        connection.farewell(part.to_vec());
    }
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
