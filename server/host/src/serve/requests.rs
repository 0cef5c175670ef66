//! Requests about pages: staging them, and reading what is known of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stagepages_kvm::{GfnRange, Gpa, PageType};

use super::{
    allowance::Allowance,
    connection::{Connection, not_applied},
    pulse::Pulse,
    worker::{Worker, no_launch},
};
use crate::{
    launch::{Between, CallKey, Extent, Reason, Refusal, Snapshot, StopFlag},
    platform::Source,
    protocol::{self, Done, Finish, GetResult, ListRuns, Outcome, Stage, Staged},
    settings::FinishArgs,
};

/// Progress inside an extent is told this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(10);

impl Worker {
    /// Applies the stop rule: behind the first answer on a stream that is not a complete install, nothing of it is applied.
    pub(super) fn stage_in_stream(
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

    pub(super) fn result(&self, get: &GetResult) -> Result<Outcome, Refusal> {
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
        let mut between = Telling {
            connection,
            pulse: Arc::clone(&self.pulse),
            allowance: Arc::clone(&self.allowance),
            stop: self.stop.clone(),
            told: Instant::now(),
        };
        let extent = Extent {
            range,
            page_type,
            source,
        };
        let launch = self.launch.take().ok_or_else(no_launch)?;
        let (launch, result) = launch.stage(&key, &extent, &mut between);
        self.launch = Some(launch);
        log_extent(range, page_type, &result);
        Ok(Outcome::Staged((&result?).into()))
    }

    pub(super) fn finish(&mut self, finish: &Finish) -> Result<Outcome, Refusal> {
        let args = FinishArgs::new(finish)?;
        let (launch, result) = self.launch.take().ok_or_else(no_launch)?.finish(&args);
        self.launch = Some(launch);
        result.map(|()| Outcome::Done(Done {}))
    }

    pub(super) fn list(&self, list: &ListRuns) -> Result<Outcome, Refusal> {
        let page = self
            .launch()?
            .runs(list.order(), list.from, list.hashes, list.most_runs());
        Ok(Outcome::Runs((&page).into()))
    }
}

/// Tells a daemon how far its extent is, and waits until it may go on.
struct Telling<'a> {
    connection: &'a Connection,
    pulse: Arc<Pulse>,
    allowance: Arc<Allowance>,
    stop: StopFlag,
    told: Instant,
}

impl Between for Telling<'_> {
    fn progress(&mut self, launch: Snapshot) {
        self.pulse.beat();
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            self.connection.progress((&launch).into());
        }
    }

    fn leave(&mut self, installed: u64, launch: &dyn Fn() -> Snapshot) -> u64 {
        if let Some(room) = self.allowance.room(installed) {
            return room;
        }
        // Not lost, as progress may be: it is what the daemon goes by.
        self.connection.tell((&launch()).into());
        self.told = Instant::now();
        self.pulse.rest();
        let room = self.allowance.wait(installed, &self.stop);
        self.pulse.beat();
        room
    }
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
