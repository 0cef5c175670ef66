//! Requests about pages: staging them, and reading what is known of them.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use stagepages_digest::pieces::{HASH_BYTES, PieceDigest};
use stagepages_kvm::{GfnRange, Gpa, PAGE_SIZE, PageType};

use super::{
    allowance::Allowance,
    connection::{Connection, not_applied},
    pulse::Pulse,
    worker::{Worker, log_refusal, no_launch},
};
use crate::{
    launch::{Between, CallKey, Extent, Proof, Reason, Refusal, Snapshot, Spent, StopFlag},
    platform::Source,
    protocol::{self, Done, Finish, GetResult, Image, ListRuns, Outcome, Refused, Stage, Staged},
    settings::FinishArgs,
};

/// Progress inside an extent is told this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(10);

impl Worker {
    /// Applies the stop rule: behind the first answer on a stream that is not a complete install, nothing of it is applied.
    pub(super) fn stage_in_stream(
        &mut self,
        stage: &Stage,
        files: &[File],
        connection: &Connection,
    ) -> Result<Outcome, Refusal> {
        if connection.has_stopped(stage.stream) {
            return Err(not_applied());
        }
        let mut on_pages = Spent::default();
        let staged = self.stage(stage, files, connection, &mut on_pages);
        let complete = matches!(&staged, Ok(Staged { stop: None, .. }));
        if !complete && stage.stream != 0 {
            connection.stop(stage.stream);
        }
        let spent = Some(self.taken_up.spent().on_pages(on_pages));
        Ok(match staged {
            Ok(staged) => Outcome::Staged(Staged { spent, ..staged }),
            Err(refusal) => {
                log_refusal(&refusal);
                Outcome::Refused(Refused {
                    spent,
                    ..(&refusal).into()
                })
            }
        })
    }

    pub(super) fn result(&self, get: &GetResult) -> Result<Outcome, Refusal> {
        let key = CallKey {
            sequence: get.sequence,
            request_id: protocol::request_id(&get.request_id)?,
        };
        Ok(Outcome::Remembered(self.launch()?.result(&key)?.into()))
    }

    fn stage(
        &mut self,
        stage: &Stage,
        files: &[File],
        connection: &Connection,
        spent: &mut Spent,
    ) -> Result<Staged, Refusal> {
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
        let malformed = |text: &str| Err(Refusal::new(Reason::MalformedRequest, text));
        let pieces = stage.image.as_ref().map(pieces).transpose()?;
        let (source, proof) = match (stage.staging_offset, &staging, &stage.image, files) {
            (None, _, None, _) => (Source::Blank, None),
            (Some(offset), Some(staging), None, _) => {
                (Source::File(staging.source(), offset), None)
            }
            (Some(_), None, None, _) => return malformed("contents without a staging memory"),
            (None, _, Some(image), [file, ..]) => {
                let end = image.offset.checked_add(stage.length);
                let inside = end.is_some_and(|end| end <= image.size);
                if !inside || image.offset % PAGE_SIZE != 0 {
                    return malformed("contents that are not whole pages of their image");
                }
                let proof = Proof {
                    size: image.size,
                    pieces: pieces.as_deref().unwrap_or_default(),
                };
                (Source::File(file.into(), image.offset), Some(proof))
            }
            (None, _, Some(_), []) => return malformed("an image without its descriptor"),
            (Some(_), _, Some(_), _) => return malformed("contents from two places"),
        };
        let mut between = Telling {
            connection,
            pulse: Arc::clone(&self.pulse),
            allowance: Arc::clone(&self.allowance),
            stop: self.stop.clone(),
            told: Instant::now(),
            spent,
        };
        let extent = Extent {
            range,
            page_type,
            source,
            proof,
        };
        let launch = self.launch.take().ok_or_else(no_launch)?;
        let (launch, result) = launch.stage(&key, &extent, &mut between);
        self.launch = Some(launch);
        log_extent(range, page_type, &result);
        Ok((&result?).into())
    }

    pub(super) fn finish(&mut self, finish: &Finish) -> Result<Outcome, Refusal> {
        let args = FinishArgs::new(finish)?;
        let (launch, result) = self.launch.take().ok_or_else(no_launch)?.finish(&args);
        self.launch = Some(launch);
        result.map(|()| Outcome::Done(Done::default()))
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
    /// What the extent's time went to, once it is over.
    spent: &'a mut Spent,
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

    fn spent(&mut self, spent: Spent) {
        *self.spent = spent;
    }
}

/// The digests that come with an image.
pub(super) fn pieces(image: &Image) -> Result<Vec<PieceDigest>, Refusal> {
    match image.pieces.as_chunks::<HASH_BYTES>() {
        (digests, []) => Ok(digests.iter().copied().map(PieceDigest).collect()),
        _ => Err(Refusal::new(
            Reason::MalformedRequest,
            "digests of pieces that are cut short",
        )),
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
