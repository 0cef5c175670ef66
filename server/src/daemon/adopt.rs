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
    os::fd::AsFd as _,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prost::Message as _;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stagepages_host::protocol::{self, Command, Ping};

use super::{
    Answer, Ending, HostLink, Launch, LinkLost, Nursery, Record, Staging,
    greeting::{Greeting, dial, is_from},
    pulse::{gets_on, rests},
    record::time,
    supervisor_link::HostChild,
    wires::Wires,
};
use crate::supervisor::{HostExit, HostId, HostKind};

/// How long a host may give no sign of life before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked for one while it finishes what it has.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often in a row it may say meanwhile that it has nothing to finish.
const MOST_IDLE: u32 = 5;

/// A process that may be a launch's host.
#[derive(Debug)]
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
        let child = match &found {
            Found::Child(child) => Some(child.clone()),
            Found::Orphan(..) => None,
        };
        match (self.meet(found, record).await, child) {
            (Err(NotAdopted::Unusable(why)), Some(child)) => {
                tracing::error!(host = %child.id, why, "a launch host of an earlier daemon cannot be adopted and is killed");
                self.put_away(child.id.as_str(), &child).await;
                let exit = tokio::time::timeout(PATIENCE, child.exited()).await;
                Err(match exit {
                    Ok(exit) => NotAdopted::Killed { why, exit },
                    Err(_elapsed) => NotAdopted::Unusable(why),
                })
            }
            (adopted, _) => adopted,
        }
    }

    async fn meet(&self, found: Found, record: Option<Record>) -> Result<Arc<Launch>, NotAdopted> {
        let unusable = |error: &dyn std::fmt::Display| NotAdopted::Unusable(error.to_string());
        let (path, pid) = match &found {
            Found::Child(child) => (&child.socket_path, Some(child.pid)),
            Found::Orphan(_, path) => (path, None),
        };
        let wires = Wires::new();
        let link = dial(path, wires.told()).map_err(|error| unusable(&error))?;
        let answer = self.greet(&link, pid).await?;
        let greeting = Greeting::from_answer(answer, pid).map_err(|error| unusable(&error))?;
        if greeting.record.is_empty() || greeting.snapshot.is_none() {
            link.close();
            return Err(NotAdopted::Empty);
        }
        link.agreed(greeting.version);
        let told = Record::decode(&*greeting.record).map_err(|error| unusable(&error))?;
        if told.uid != found.id().as_str() {
            return Err(unusable(&format!("it holds launch {}", told.uid)));
        }
        let child = match found {
            Found::Child(child) => child,
            Found::Orphan(id, _) => self.take_in(&id, &greeting, &link).await?,
        };
        self.settle(wires, link, child, record.unwrap_or(told))
            .await
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
                Ok(Ok(answer)) if gets_on(&answer) => {
                    // One that waits for requests has this greeting.
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
        link: HostLink,
        child: HostChild,
        record: Record,
    ) -> Result<Arc<Launch>, NotAdopted> {
        let unusable = |error: &dyn std::fmt::Display| NotAdopted::Unusable(error.to_string());
        let identity = record
            .identity(self.max_pending_calls)
            .map_err(|error| unusable(&error))?;
        let staging = Staging::new().map_err(|error| unusable(&error))?;
        let command = Command::Staging(protocol::Staging {});
        let memory = [staging.file().as_fd()];
        let brought = link.call(command, &memory, None);
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
        let mut parts = wires.parts(self, link, Some(staging), Some(child));
        parts.finish = record.finish;
        parts.inherited = true;
        let launch = Launch::new(identity, parts);
        if launch.status().started.is_some() {
            launch.listen_console().await;
        }
        launch.keep().await;
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
        let wires = Wires::new();
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
        parts.inherited = true;
        let launch = Launch::new(identity, parts);
        if news {
            if let Some(Ending::Died(exit)) = launch.status().ending {
                tracing::error!(launch = launch.id, ?exit, "the launch host died");
            }
            launch.keep_end().await;
        }
        Ok(launch)
    }
}
