//! Launches that an earlier daemon left: hosts that live on, and records of those that do not.
//!
//! ```text
//!   record   host                         becomes
//!   ended    gone                         the launch, as it ended
//!   ended    lives                        the launch, as it ended; the host is told that it may go
//!   open     lives                        the launch, adopted
//!   none     lives, with a launch         the launch, adopted: its creation was not answered, and is now
//!   open     gone                         ABORTED, by how the host ended
//!   any      does not answer, or lies     killed, and ABORTED with that
//! ```
//!
//! A host carries out what its last daemon had handed it before it greets the next, so adoption can take as long as that.
//!
//! **Invariant:** a host is killed only if it cannot be spoken to; a launch that was answered for is never forgotten.

use std::{
    io,
    os::fd::AsFd as _,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prost::Message as _;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stagepages_host::{
    launch::State,
    protocol::{self, Command, Ping},
};

use super::{
    Answer, Ending, Fate, HostLink, Launch, LinkLost, Nursery, Record, Staging,
    greeting::{Greeting, dial, is_from},
    launch::Origin,
    pulse::{is_pong, rests},
    record::time,
    supervisor_link::HostChild,
    wires::Wires,
};
use crate::{
    audit,
    supervisor::{HostExit, HostId, HostKind},
};

/// How long a host may give no sign of life before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked for one while it finishes what it has.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often a host is tried to be adopted that this daemon lacks something for.
const MOST_TRIES: u32 = 60;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often in a row it may say meanwhile that it has nothing to finish.
const MOST_IDLE: u32 = 5;

/// A process that may be a launch's host.
#[derive(Debug, Clone)]
pub enum Found {
    /// The supervisor knows it.
    Child(HostChild),
    /// An earlier supervisor started it, which was killed. It listens here.
    Orphan(HostId, PathBuf),
}

/// Why a host was not adopted.
#[derive(Debug, thiserror::Error)]
pub enum NotAdopted {
    /// It has no launch, and ends by itself.
    #[error("it has no launch")]
    Empty,
    /// This daemon lacks something; nothing is said of the host.
    #[error("this daemon cannot take it: {0}")]
    Short(String),
    /// It cannot be spoken to.
    #[error("{0}")]
    Unusable(String),
    /// It could not be spoken to, and so was killed.
    #[error("{why}; {exit}")]
    Killed {
        /// What it did.
        why: String,
        /// How it ended then.
        exit: HostExit,
    },
}

impl Found {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &HostId {
        match self {
            Self::Child(child) => &child.id,
            Self::Orphan(id, _) => id,
        }
    }
}

impl Nursery {
    /// Takes over the host, and makes its launch. `record` is the launch's own, if there is one.
    ///
    /// # Errors
    /// See [`NotAdopted`]. A host that cannot be spoken to is killed, unless it is an orphan whose process is not known.
    pub async fn adopt(
        &self,
        found: Found,
        record: Option<Record>,
    ) -> Result<Arc<Launch>, NotAdopted> {
        let mut tries = 0;
        loop {
            // Large, and waited for a long time.
            let met = Box::pin(self.meet(found.clone(), record.clone()));
            match (met.await, &found) {
                (Err(NotAdopted::Short(why)), _) if tries < MOST_TRIES => {
                    tries += 1;
                    tracing::warn!(host = %found.id(), why, tries, "a launch host is adopted later");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                (Err(NotAdopted::Unusable(why)), Found::Child(child)) => {
                    return Err(self.end(child, why).await);
                }
                (adopted, _) => return adopted,
            }
        }
    }

    /// Kills a host that cannot be adopted.
    async fn end(&self, child: &HostChild, why: String) -> NotAdopted {
        tracing::error!(host = %child.id, why, "a launch host of an earlier daemon cannot be adopted and is killed");
        self.put_away(child.id.as_str(), child).await;
        match tokio::time::timeout(PATIENCE, child.exited()).await {
            Ok(exit) => NotAdopted::Killed { why, exit },
            Err(_elapsed) => NotAdopted::Unusable(why),
        }
    }

    async fn meet(&self, found: Found, record: Option<Record>) -> Result<Arc<Launch>, NotAdopted> {
        let unusable = |error: &dyn std::fmt::Display| NotAdopted::Unusable(error.to_string());
        let (path, pid) = match &found {
            Found::Child(child) => (&child.socket_path, Some(child.pid)),
            Found::Orphan(_, path) => (path, None),
        };
        let wires = Wires::new(self.metrics.clone());
        let hanging = Hanging::new(dial(path, wires.told()).map_err(|error| failed(&error))?);
        let link = &hanging.link;
        let answer = self.greet(link, pid).await?;
        let greeting = Greeting::from_answer(answer, pid).map_err(|error| unusable(&error))?;
        if greeting.record.is_empty() || greeting.snapshot.is_none() {
            return Err(NotAdopted::Empty);
        }
        link.agreed(greeting.version);
        let told = Record::decode(&*greeting.record).map_err(|error| unusable(&error))?;
        if told.uid != found.id().as_str() {
            return Err(unusable(&format!("it holds launch {}", told.uid)));
        }
        let child = match found {
            Found::Child(child) => child,
            Found::Orphan(id, _) => self.take_in(&id, &greeting, link).await?,
        };
        let record = record.unwrap_or(told);
        match self.settle(wires, hanging, child.clone(), record).await {
            // An orphan too has a parent by now.
            Err(NotAdopted::Unusable(why)) => Err(self.end(&child, why).await),
            settled => settled,
        }
    }

    /// Greets a host, and waits for as long as it gets on with what it has.
    async fn greet(&self, link: &HostLink, pid: Option<u32>) -> Result<Answer, NotAdopted> {
        let lost = |_lost: LinkLost| NotAdopted::Unusable("it hung up".to_owned());
        let posted = link.post(Command::Hello(self.hello()), &[], None).await;
        let mut greeted = pin!(posted.map_err(lost)?.answer());
        let mut idle = 0;
        loop {
            if let Ok(answer) = tokio::time::timeout(ASK_EVERY, &mut greeted).await {
                return answer.map_err(lost);
            }
            let ping = link.call(Command::Ping(Ping {}), &[], None);
            let text = match tokio::time::timeout(PATIENCE, ping).await {
                Ok(Err(gone)) => return Err(lost(gone)),
                Ok(Ok(answer)) if !is_from(&answer, pid) => "another process answers for it",
                Ok(Ok(answer)) if is_pong(&answer) => {
                    // One that waits for requests has this greeting; one that is at a request, however long, will have.
                    idle = if rests(&answer) { idle + 1 } else { 0 };
                    if idle < MOST_IDLE {
                        continue;
                    }
                    "it does not answer a greeting"
                }
                Ok(Ok(_)) | Err(_) => "it gives no sign of life",
            };
            return Err(NotAdopted::Unusable(text.to_owned()));
        }
    }

    /// Has the supervisor take in a host that it did not start.
    async fn take_in(
        &self,
        id: &HostId,
        greeting: &Greeting,
        link: &HostLink,
    ) -> Result<HostChild, NotAdopted> {
        let unusable = |error: &dyn std::fmt::Display| NotAdopted::Unusable(error.to_string());
        let pid = Pid::from_raw(greeting.pid).ok_or_else(|| unusable(&"no process"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| unusable(&error))?;
        // The number may have become another process's since it answered. If it answers again, it still was its own when the descriptor was made.
        let ping = link.call(Command::Ping(Ping {}), &[], None);
        let again = tokio::time::timeout(PATIENCE, ping).await;
        if !matches!(&again, Ok(Ok(answer)) if answer.sender == Some(greeting.pid)) {
            return Err(unusable(&"it gives no sign of life"));
        }
        let adopted = self.supervisor.adopt(id, HostKind::Launch, pidfd.as_fd());
        adopted.await.map_err(|error| unusable(&error))
    }

    /// Brings a staging memory, and puts the launch together.
    async fn settle(
        &self,
        wires: Wires,
        hanging: Hanging,
        child: HostChild,
        record: Record,
    ) -> Result<Arc<Launch>, NotAdopted> {
        let unusable = |error: &dyn std::fmt::Display| NotAdopted::Unusable(error.to_string());
        if record.end.is_some() && wires.status.borrow().ending.is_none() {
            // What was told is kept to: it could not be spoken to then.
            return Err(unusable(&"its launch is over by the record"));
        }
        // A later build may have written it, which this one has no right to undo.
        let identity = record
            .identity(self.max_pending_calls)
            .map_err(|error| NotAdopted::Short(error.to_string()))?;
        let staging = Staging::new().map_err(|error| NotAdopted::Short(error.to_string()))?;
        let command = Command::Staging(protocol::Staging {});
        let memory = [staging.file().as_fd()];
        let brought = hanging.link.call(command, &memory, None);
        match tokio::time::timeout(PATIENCE, brought).await {
            Ok(Ok(answer)) => answer
                .outcome
                .map_err(|refusal| unusable(&refusal.message))?,
            Ok(Err(lost)) => return Err(unusable(&lost)),
            Err(_elapsed) => return Err(unusable(&"it gives no sign of life")),
        };
        // It told its end to an earlier daemon, or left staging there.
        let ended = record.end.as_ref().and_then(|end| end.ended);
        let finish = record.finish.as_ref();
        let finished = || finish.and_then(|finish| finish.answer.as_ref()?.end_time);
        let ended = ended
            .or_else(finished)
            .and_then(|time| SystemTime::try_from(time).ok());
        let started = time(record.started);
        wires
            .status
            .send_modify(|status| status.adopted(ended, started));
        // What it told in greeting an earlier daemon counted, or nobody.
        let installed = wires.status.borrow().snapshot.installed_pages;
        wires.counted.begin(identity.platform, installed);
        self.metrics.launches().adopted(identity.platform);
        // Without one on record its creation was not answered yet: nobody can have changed it.
        let untouched = {
            let status = wires.status.borrow();
            let new = status.snapshot.state == State::Created;
            status.snapshot.digest.filter(|_| new)
        };
        let digest = record.created_digest().or(untouched);
        let link = hanging.keep();
        let seat = self.seat(&identity, &link, &wires.status).await;
        let mut parts = wires.parts(self, link, Some(staging), Some(child));
        parts.seat = seat;
        parts.finish = record.finish;
        parts.ledger = record.ledger;
        parts.origin = Origin::Inherited { digest };
        let launch = Launch::new(identity, parts);
        if launch.status().started.is_some() {
            launch.listen_console().await;
        }
        launch.keep().await;
        launch.tell_adopted();
        audit::follow(&launch, self.audit.known(&launch.uid));
        Ok(launch)
    }

    /// The launch of a record whose host is gone; `exit` is how, if that is known.
    ///
    /// # Errors
    /// A record that no build of ours wrote.
    pub async fn recall(
        &self,
        record: &Record,
        exit: Option<HostExit>,
    ) -> Result<Arc<Launch>, protocol::BadMessage> {
        let identity = record.identity(self.max_pending_calls)?;
        let wires = Wires::new(self.metrics.clone());
        let ended = record.status()?;
        let news = ended.is_none();
        wires.status.send_modify(|status| match ended {
            Some(ended) => *status = ended,
            None => status.lost(record, exit),
        });
        wires.remember(record.remembered()?);
        if let Some(console) = record.end.as_ref().and_then(|end| end.console.as_ref()) {
            wires.console.told(console);
        }
        let mut parts = wires.parts(self, HostLink::gone(), None, None);
        parts.finish.clone_from(&record.finish);
        let fate = record.ledger.clone();
        parts.ledger = Some(fate.unwrap_or_else(|| Fate::lost(&parts.status.borrow())));
        parts.origin = Origin::Inherited {
            digest: record.created_digest(),
        };
        let launch = Launch::new(identity, parts);
        audit::follow(&launch, self.audit.known(&launch.uid));
        if news {
            if let Some(Ending::Died(exit)) = launch.status().ending {
                tracing::error!(launch = launch.id, ?exit, "the launch host died");
            }
            self.metrics
                .launches()
                .gone(launch.platform, &launch.status());
            launch.keep_end().await;
        }
        Ok(launch)
    }
}

/// A link that is hung up unless it is kept: a host whose daemon does not want it must not wait for that one for ever.
struct Hanging {
    link: HostLink,
    kept: bool,
}

impl Hanging {
    fn new(link: HostLink) -> Self {
        Self { link, kept: false }
    }

    fn keep(mut self) -> HostLink {
        self.kept = true;
        self.link.clone()
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if !self.kept {
            self.link.close();
        }
    }
}

/// What an error of connecting says: of the host only that nobody listens, or that this is no socket of ours.
fn failed(error: &io::Error) -> NotAdopted {
    let of_the_host = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied,
    ];
    if of_the_host.contains(&error.kind()) {
        NotAdopted::Unusable(error.to_string())
    } else {
        NotAdopted::Short(error.to_string())
    }
}
