//! Bringing the ledger of a launch that is over from its host into a file, before the host is let go.
//!
//! The end itself is on record by then. Whatever goes wrong here, or takes too long, costs the ledger and never the end: the record says why there is none, and the
//! host is let go all the same. A daemon that is killed in between leaves a temporary file, which the next one removes, and a host that still has everything.
//!
//! **Invariant:** it takes no longer than [`QUEUED`] to begin, [`LONGEST`] to read and [`ON_RECORD`] to put on record, and a host that says nothing is not waited for longer than [`SILENCE`].

use std::{io, sync::Arc, time::Duration};

use stagepages_host::{
    launch::Reason,
    protocol::{self, Command, ListRuns, Outcome},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Fate, Kept, Ledgers, NotKept,
    draft::{Draft, Part},
    format::Note,
};
use crate::daemon::{Launch, Withstands, files::Files, versions};

/// How long a launch may wait for its turn: many large ones may have ended at once, and each turn has its bound.
const QUEUED: Duration = Duration::from_secs(600);

/// How long all of it may take from then on: a gigabyte to a slow disk.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// How long a host may take for one part.
const SILENCE: Duration = Duration::from_secs(5);

/// Before a host is asked again that had too many requests waiting.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How long a host is kept while the record of its end, or of its ledger, waits behind those of others: a daemon that is killed meanwhile loses nothing.
pub(in crate::daemon) const ON_RECORD: Duration = Duration::from_secs(60);

/// How long a reader waits for a ledger that is on its way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no file: words that end with what to do.
type Why = String;

impl Launch {
    /// Keeps the ledger of this launch, which is over, or says on record why not. Returns within bounds.
    pub(in crate::daemon) async fn keep_ledger(&self) {
        if !self.ledger.begin() {
            return;
        }
        match self.copy().await {
            Ok(note) => self.ledger.settle(Fate {
                kept: Some(note),
                missing: String::new(),
            }),
            Err(why) => {
                tracing::warn!(
                    launch = self.id,
                    why,
                    "the ledger of an ended launch is not kept"
                );
                self.ledger.settle(Fate::missing(why));
                self.forget_given_up();
            }
        }
        self.put_ledger_on_record().await;
    }

    /// Puts on record what became of the ledger. Many launches may end at once and wait for each other's records, and a save that was given up may be done all
    /// the same: so neither time nor an error takes the file back. What is not on record yet goes there with the host's end, which is tried until it is done.
    async fn put_ledger_on_record(&self) {
        self.ledger.hold(ON_RECORD);
        let saved = timeout(ON_RECORD, self.save(Withstands::Power)).await;
        if !matches!(saved, Ok(Ok(()))) {
            tracing::error!(
                launch = self.id,
                ?saved,
                "what became of a ledger is not on record yet; make room in state_dir"
            );
        }
        self.ledger.let_go();
    }

    /// The ledger of this launch, which is over.
    ///
    /// # Errors
    /// See [`NotKept`].
    pub async fn kept_ledger(&self) -> Result<Kept, NotKept> {
        let fate = timeout(PATIENCE, self.ledger.settled()).await;
        let fate = fate.map_err(|_elapsed| NotKept::NotYet)?;
        let note = fate.kept.ok_or(NotKept::Missing(fate.missing))?;
        match self.ledgers.read(&self.uid, note).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = "it was dropped to make room for those of launches that ended later; raise ended_ledgers_max_bytes for the next";
                Err(NotKept::Missing(text.to_owned()))
            }
            opened => Ok(opened?),
        }
    }

    /// Removes the ledger's file.
    pub(in crate::daemon) async fn forget_ledger(&self) {
        if let Err(error) = self.ledgers.remove(&self.uid).await {
            tracing::error!(launch = self.id, %error, "the kept ledger of a launch stays until the next start");
        }
    }

    /// Removes the file that the thread may still put there after it was given up: the same thread does this later. Nobody waits, as that thread may hang.
    fn forget_given_up(&self) {
        let (ledgers, uid) = (self.ledgers.clone(), self.uid.clone());
        tokio::spawn(async move {
            if let Err(error) = ledgers.remove(&uid).await {
                tracing::error!(uid, %error, "a ledger that was given up stays until the next start");
            }
        });
    }

    async fn copy(&self) -> Result<Note, Why> {
        let snapshot = self.status().snapshot;
        if snapshot.installed_pages == 0 {
            return Ok(Note::default());
        }
        if self.ledgers.max_bytes() == 0 {
            return Err("ended_ledgers_max_bytes is 0; raise it for the next".to_owned());
        }
        versions::tells_ended_ledger(self.link.version(), snapshot.state)?;
        let _turn = self.ledger_turn().await?;
        self.copy_now(snapshot.installed_pages).await
    }

    /// Waits for a turn at writing, which has a bound of its own: a launch at the end of the queue has as long for its ledger as the first.
    pub(super) async fn ledger_turn(&self) -> Result<OwnedSemaphorePermit, Why> {
        let turn = timeout(QUEUED, self.ledgers.turn()).await;
        let unserved = |_elapsed| {
            format!(
                "the ledgers of others were written for {} s before its turn; end fewer launches at once, or see whether the disk of state_dir is slow",
                QUEUED.as_secs()
            )
        };
        turn.map_err(unserved)?.map_err(|error| unwritten(&error))
    }

    /// Copies a ledger of so many pages.
    async fn copy_now(&self, pages: u64) -> Result<Note, Why> {
        let deadline = Instant::now() + LONGEST;
        let late = |_elapsed| {
            format!(
                "it was not read and written within {} s; see whether the disk of state_dir is slow",
                LONGEST.as_secs()
            )
        };
        let begun = timeout_at(deadline, self.ledgers.draft(&self.uid)).await;
        let draft = begun.map_err(late)?.map_err(|error| unwritten(&error))?;
        let mut desk = Desk::new(draft, &self.ledgers);
        for part in Part::ALL {
            let mut from = 0;
            loop {
                let page = self.ask(part, from, deadline).await?;
                let next = page.next;
                let work = move |draft: &mut Draft| {
                    draft.add(part, &page.runs)?;
                    if next.is_none() {
                        draft.end(part)?;
                    }
                    Ok(draft.bytes())
                };
                let bytes = timeout_at(deadline, desk.work(work)).await.map_err(late)?;
                let bytes = bytes.map_err(|error| unwritten(&error))?;
                if bytes.is_none_or(|bytes| bytes > self.ledgers.max_bytes()) {
                    return Err(too_large(self.ledgers.max_bytes()));
                }
                match next {
                    None => break,
                    Some(next) if next > from => from = next,
                    Some(_) => return Err(untold("it went round in a circle")),
                }
            }
            if part == Part::Runs {
                let shelf = self.ledgers.shelf();
                let work = move |draft: &mut Draft| {
                    let bytes = draft.bytes().unwrap_or(u64::MAX);
                    draft.room = shelf.set_aside(bytes)?;
                    Ok(draft.room.is_some())
                };
                let fits = timeout_at(deadline, desk.work(work)).await.map_err(late)?;
                if !fits.map_err(|error| unwritten(&error))? {
                    return Err(too_large(self.ledgers.max_bytes()));
                }
            }
        }
        let put = desk.put(&self.ledgers, pages, self.uid.clone());
        let put = timeout_at(deadline, put).await.map_err(late)?;
        put.map_err(|error| unwritten(&error))
    }

    async fn ask(
        &self,
        part: Part,
        from: u64,
        deadline: Instant,
    ) -> Result<protocol::RunsPage, Why> {
        let list = ListRuns {
            by_installation: part != Part::Places,
            from,
            hashes: part == Part::Hashes,
            max_runs: u32::try_from(protocol::MAX_PAGE_RUNS).unwrap_or(u32::MAX),
        };
        loop {
            let asked = self.link.call(Command::ListRuns(list), &[], None);
            let answer = timeout(SILENCE, asked).await;
            let answer = answer.map_err(|_elapsed| untold("it gave no sign of life"))?;
            let answer = answer.map_err(|lost| untold(&lost.to_string()))?;
            match answer.outcome {
                Ok(Outcome::Runs(page)) => return Ok(page),
                Ok(_) => return Err(untold("it gave an answer of another kind")),
                Err(refusal)
                    if refusal.reason == Reason::QueueFull && Instant::now() < deadline =>
                {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(refusal) => return Err(untold(&refusal.message)),
            }
        }
    }
}

/// A draft between two pieces of work on it. Whoever leaves leaves it to the thread that writes.
struct Desk {
    draft: Option<Draft>,
    writer: Files,
}

impl Desk {
    fn new(draft: Draft, ledgers: &Ledgers) -> Self {
        Self {
            draft: Some(draft),
            writer: ledgers.writer().clone(),
        }
    }

    fn take(&mut self) -> io::Result<Draft> {
        let gone = || io::Error::other("what was begun of it is gone");
        self.draft.take().ok_or_else(gone)
    }

    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Draft) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut draft = self.take()?;
        let work = move || {
            let done = work(&mut draft)?;
            Ok((draft, done))
        };
        let (draft, done) = self.writer.run(work).await?;
        self.draft = Some(draft);
        Ok(done)
    }

    async fn put(&mut self, ledgers: &Ledgers, pages: u64, uid: String) -> io::Result<Note> {
        let (draft, shelf) = (self.take()?, Arc::clone(&ledgers.shelf()));
        let work = move || shelf.put(draft, pages, &uid);
        self.writer.run(work).await
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.writer.put_away(draft);
        }
    }
}

fn untold(what: &str) -> Why {
    format!("its launch host did not tell it ({what}); read it before the launch is over")
}

fn unwritten(error: &io::Error) -> Why {
    format!("it could not be written ({error}); make room in state_dir, or mend it, for the next")
}

fn too_large(max_bytes: u64) -> Why {
    format!(
        "it does not fit into ended_ledgers_max_bytes ({max_bytes}); raise that, or read it before the launch is over"
    )
}
