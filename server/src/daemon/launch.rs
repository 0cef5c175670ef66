//! One launch, as the daemon sees it: what it was created with, its host, and how it is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use prost_types::Timestamp;
use stagepages_host::{
    launch::{Snapshot, State},
    platform::PlatformKind,
    protocol::{Abort, Command},
};
use stagepages_proto::v1;
use tokio::sync::{Semaphore, watch};

use super::{
    HostLink, Staging,
    supervisor_link::{HostChild, SupervisorLink},
};
use crate::supervisor::HostExit;

/// How long AbortLaunch waits for the host to answer before it is killed, and then for it to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a launch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The host ended it, and told why.
    Told,
    /// The host died without a word.
    Died(HostExit),
    /// The host did not react to AbortLaunch and was killed.
    Killed,
}

/// How a launch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// As its host last told. Kept when the host is gone.
    pub snapshot: Snapshot,
    /// Set once it is over.
    pub ending: Option<Ending>,
    /// When it left CREATED or STAGING.
    pub ended: Option<SystemTime>,
    /// The host is reaped, and its memory free.
    pub released: bool,
}

/// A launch.
#[derive(Debug)]
pub struct Launch {
    /// Its id.
    pub id: String,
    /// Its uid, in hex.
    pub uid: String,
    /// Its position in the order of creation.
    pub sequence: u64,
    /// What it was created with, the platform resolved.
    pub spec: v1::LaunchSpec,
    /// The platform.
    pub platform: PlatformKind,
    /// When.
    pub created: SystemTime,
    /// Where its pages wait for the host.
    pub staging: Arc<Staging>,
    /// One permit for each StagePages call that may wait or run.
    pub calls: Arc<Semaphore>,
    /// To its host.
    pub link: HostLink,
    /// The host's process.
    pub child: HostChild,
    supervisor: SupervisorLink,
    status: watch::Sender<Status>,
    /// The first answer of FinishLaunch, and the digest that it was given.
    finished: Mutex<Option<(Vec<u8>, v1::Launch)>>,
}

/// What is known of a launch before it is made.
#[derive(Debug)]
pub struct Identity {
    /// Its id.
    pub id: String,
    /// Its uid.
    pub uid: String,
    /// Its position in the order of creation.
    pub sequence: u64,
    /// Its spec, the platform resolved.
    pub spec: v1::LaunchSpec,
    /// The platform.
    pub platform: PlatformKind,
    /// Calls that may wait or run.
    pub max_pending_calls: u32,
}

/// The parts that come from making it.
#[derive(Debug)]
pub struct Parts {
    /// Where its pages wait.
    pub staging: Arc<Staging>,
    /// To its host.
    pub link: HostLink,
    /// Its host.
    pub child: HostChild,
    /// How it is; fed by the link.
    pub status: watch::Sender<Status>,
    /// Who can kill the host.
    pub supervisor: SupervisorLink,
}

impl Status {
    /// A launch whose host has said nothing yet.
    #[must_use]
    pub fn fresh() -> Self {
        let snapshot = Snapshot {
            state: State::Created,
            installed_pages: 0,
            digest: None,
            abort: None,
        };
        Self {
            snapshot,
            ending: None,
            ended: None,
            released: false,
        }
    }

    /// Takes what the host tells. A launch that is over stays so.
    pub fn told(&mut self, snapshot: Snapshot) {
        if self.ending.is_some() {
            return;
        }
        match snapshot.state {
            State::Created | State::Staging => {}
            State::Finished => self.ended = self.ended.or_else(|| Some(SystemTime::now())),
            State::Aborted => {
                self.ended = Some(SystemTime::now());
                self.ending = Some(Ending::Told);
            }
        }
        self.snapshot = snapshot;
    }

    /// Takes that the host is gone, after everything it told.
    pub fn gone(&mut self, exit: HostExit) {
        self.released = true;
        if self.ending.is_none() {
            self.ending = Some(Ending::Died(exit));
            self.ended = Some(SystemTime::now());
            self.snapshot.state = State::Aborted;
        }
    }
}

impl Launch {
    /// Puts a launch together, and begins to watch its host.
    pub fn new(identity: Identity, parts: Parts) -> Arc<Self> {
        let Identity {
            id,
            uid,
            sequence,
            spec,
            platform,
            max_pending_calls,
        } = identity;
        let Parts {
            staging,
            link,
            child,
            status,
            supervisor,
        } = parts;
        let launch = Arc::new(Self {
            id,
            uid,
            sequence,
            spec,
            platform,
            created: SystemTime::now(),
            staging,
            calls: Arc::new(Semaphore::new(
                usize::try_from(max_pending_calls).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            link,
            child,
            supervisor,
            status,
            finished: Mutex::new(None),
        });
        tokio::spawn(Arc::clone(&launch).watch_host());
        launch
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until it is over and the host has been reaped.
    pub async fn released(&self) {
        // The sender is this launch's own: it cannot be gone.
        drop(
            self.status
                .subscribe()
                .wait_for(|status| status.released)
                .await,
        );
    }

    /// Waits, a bounded time, until it is over; tells whether it is.
    pub async fn over(&self) -> bool {
        let mut status = self.status.subscribe();
        let over = status.wait_for(|status| status.ending.is_some());
        matches!(tokio::time::timeout(PATIENCE, over).await, Ok(Ok(_)))
    }

    /// Ends it: asks the host, then kills it. Returns when the host is gone, or after a bound.
    pub async fn abort(&self) {
        if self.status().ending.is_none() {
            let asked = tokio::time::timeout(
                PATIENCE,
                self.link.call(Command::Abort(Abort {}), &[], None),
            )
            .await;
            if asked.is_err() {
                tracing::error!(
                    launch = self.id,
                    "the launch host does not react to an abort and is killed"
                );
                self.status.send_modify(|status| {
                    if status.ending.is_none() {
                        status.ending = Some(Ending::Killed);
                        status.ended = Some(SystemTime::now());
                        status.snapshot.state = State::Aborted;
                    }
                });
            }
        }
        if tokio::time::timeout(PATIENCE, self.released())
            .await
            .is_err()
        {
            self.kill().await;
            if tokio::time::timeout(PATIENCE, self.released())
                .await
                .is_err()
            {
                tracing::error!(
                    launch = self.id,
                    pid = self.child.pid,
                    "the launch host is killed but not gone; its memory is not free yet"
                );
            }
        }
    }

    async fn kill(&self) {
        if let Err(error) = self
            .supervisor
            .kill_host(&self.uid, nix::sys::signal::Signal::SIGKILL)
            .await
        {
            tracing::error!(launch = self.id, %error, "killing the launch host");
        }
    }

    async fn watch_host(self: Arc<Self>) {
        let exit = self.child.exited().await;
        // What it told before it died counts: the link is read to its end first.
        if tokio::time::timeout(PATIENCE, self.link.lost())
            .await
            .is_err()
        {
            tracing::warn!(
                launch = self.id,
                "the connection of a dead launch host does not end"
            );
        }
        self.status.send_modify(|status| status.gone(exit));
        let status = self.status();
        match status.ending {
            Some(Ending::Died(exit)) => {
                tracing::error!(launch = self.id, ?exit, "the launch host died")
            }
            Some(Ending::Told | Ending::Killed) | None => {
                tracing::info!(launch = self.id, ?exit, "the launch host is gone")
            }
        }
    }

    /// The first answer of FinishLaunch for this digest, if it was given.
    pub fn first_finish(&self, expected: &[u8]) -> Option<v1::Launch> {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished
            .as_ref()
            .filter(|(given, _)| given == expected)
            .map(|(_, answer)| answer.clone())
    }

    /// Keeps the first answer of FinishLaunch, and returns it.
    pub fn keep_finish(&self, expected: &[u8]) -> v1::Launch {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished
            .get_or_insert_with(|| (expected.to_vec(), self.describe()))
            .1
            .clone()
    }

    /// The launch as the API shows it.
    pub fn describe(&self) -> v1::Launch {
        self.describe_as(&self.status())
    }

    /// The launch as the API showed it when it was created.
    pub fn describe_created(&self) -> v1::Launch {
        let snapshot = Snapshot {
            digest: (self.platform.digest_bytes() == 48).then_some([0; 48]),
            ..Status::fresh().snapshot
        };
        self.describe_as(&Status {
            snapshot,
            ..Status::fresh()
        })
    }

    fn describe_as(&self, status: &Status) -> v1::Launch {
        v1::Launch {
            name: format!("launches/{}", self.id),
            uid: self.uid.clone(),
            spec: Some(self.spec.clone()),
            confidential: self.platform.confidential(),
            state: crate::rpc::convert::state(status.snapshot.state).into(),
            abort: (status.snapshot.state == State::Aborted).then(|| abort_cause(status)),
            installed_pages: status.snapshot.installed_pages,
            launch_digest: status
                .snapshot
                .digest
                .map(|digest| digest.to_vec().into())
                .unwrap_or_default(),
            create_time: Some(Timestamp::from(self.created)),
            end_time: status.ended.map(Timestamp::from),
            resources_released: status.released,
            host_pid: if status.released { 0 } else { self.child.pid },
        }
    }
}

fn abort_cause(status: &Status) -> v1::AbortCause {
    let told = |reason: v1::AbortReason, message: String| v1::AbortCause {
        reason: reason.into(),
        message,
        signal: 0,
        exit_code: 0,
    };
    match (&status.ending, &status.snapshot.abort) {
        (Some(Ending::Died(exit)), _) => v1::AbortCause {
            signal: exit.signal().unwrap_or(0),
            exit_code: exit.code().unwrap_or(0),
            ..told(
                v1::AbortReason::HostDied,
                format!("the launch host died: {exit}; every page of the launch is gone"),
            )
        },
        (Some(Ending::Killed), _) => told(
            v1::AbortReason::Requested,
            "aborted on request; the launch host did not react and was killed".to_owned(),
        ),
        (Some(Ending::Told) | None, Some(cause)) => {
            let reason = if cause.requested {
                v1::AbortReason::Requested
            } else {
                v1::AbortReason::PlatformRefused
            };
            told(reason, cause.message.clone())
        }
        (Some(Ending::Told) | None, None) => told(v1::AbortReason::Unspecified, String::new()),
    }
}
