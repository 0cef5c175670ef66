//! One launch, as the daemon sees it: what it was created with, its host, and how it is.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use prost_types::Timestamp;
use stagepages_host::{
    launch::{Answered, CallKey, Snapshot, State},
    platform::PlatformKind,
    protocol::{Abort, Bye, Command},
};
use stagepages_proto::v1;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Console, Ending, HostLink, Lease, Staging, Status,
    status::abort_cause,
    supervisor_link::{HostChild, SupervisorLink},
};
use crate::supervisor::HostExit;

/// How long AbortLaunch waits for the host to answer before it is killed, and then for it to be gone.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

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
    pub(super) status: watch::Sender<Status>,
    /// What its guest writes and reads.
    pub console: Arc<Console>,
    /// What its host remembered when the launch was over.
    remembered: Arc<Mutex<Vec<Answered>>>,
    told_all: CancellationToken,
    /// How long it may stay untouched.
    pub lease: Lease,
    max_pending_calls: usize,
    /// The first answer of CreateLaunch.
    created_answer: OnceLock<v1::Launch>,
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
    /// How long it may stay untouched.
    pub lease: Duration,
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
    /// What its guest writes and reads; fed by the link.
    pub console: Arc<Console>,
    /// What its host remembered when the launch was over; fed by the link.
    pub remembered: Arc<Mutex<Vec<Answered>>>,
    /// Cancelled when the host of an ended launch has told everything; by the link.
    pub told_all: CancellationToken,
    /// Who can kill the host.
    pub supervisor: SupervisorLink,
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
            lease,
        } = identity;
        let Parts {
            staging,
            link,
            child,
            status,
            console,
            remembered,
            told_all,
            supervisor,
        } = parts;
        let max_pending_calls =
            usize::try_from(max_pending_calls).unwrap_or(Semaphore::MAX_PERMITS);
        let launch = Arc::new(Self {
            id,
            uid,
            sequence,
            spec,
            platform,
            created: SystemTime::now(),
            staging,
            calls: Arc::new(Semaphore::new(max_pending_calls)),
            link,
            child,
            supervisor,
            status,
            console,
            remembered,
            told_all,
            lease: Lease::new(lease),
            max_pending_calls,
            created_answer: OnceLock::new(),
            finished: Mutex::new(None),
        });
        launch.created_answer.get_or_init(|| launch.describe());
        tokio::spawn(Arc::clone(&launch).watch_host());
        tokio::spawn(Arc::clone(&launch).watch_lease());
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
    pub async fn abort(&self, lease_expired: bool) {
        let gone = async {
            if self.status().ending.is_none() {
                let command = Command::Abort(Abort { lease_expired });
                // No answer is as good as one: the host ends, or it does not.
                drop(self.link.call(command, &[], None).await);
            }
            self.released().await;
        };
        if tokio::time::timeout(PATIENCE, gone).await.is_ok() {
            return;
        }
        tracing::error!(
            launch = self.id,
            pid = self.child.pid,
            "the launch host does not react to an abort and is killed"
        );
        self.status.send_modify(Status::killed);
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

    pub(super) async fn kill(&self) {
        if let Err(error) = self
            .supervisor
            .kill_host(&self.uid, nix::sys::signal::Signal::SIGKILL)
            .await
        {
            tracing::error!(launch = self.id, %error, "killing the launch host");
        }
    }

    /// Ends it when its lease runs out.
    async fn watch_lease(self: Arc<Self>) {
        let busy = || {
            self.status.borrow().runs() || self.calls.available_permits() < self.max_pending_calls
        };
        tokio::select! {
            () = self.released() => {}
            () = self.lease.expired(busy) => {
                tracing::info!(launch = self.id, "nobody touched the launch for as long as its lease");
                self.abort(true).await;
            }
        }
    }

    /// What is told of it, from now on.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Of a launch that is over: the answer to a call, as its host remembered it.
    pub async fn remembered(&self, key: &CallKey) -> Option<Answered> {
        // It is handed over before the connection ends.
        drop(tokio::time::timeout(PATIENCE, self.link.lost()).await);
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let same = |answered: &&Answered| {
            let known = &answered.key;
            (key.sequence.is_some() && known.sequence == key.sequence)
                || (key.request_id.is_some() && known.request_id == key.request_id)
        };
        remembered.iter().find(same).cloned()
    }

    async fn watch_host(self: Arc<Self>) {
        let exit = tokio::select! {
            exit = self.child.exited() => exit,
            () = self.link.lost() => self.outlive().await,
            () = self.told_all.cancelled() => {
                self.link.tell(Command::Bye(Bye {})).await;
                self.outlive().await
            }
        };
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
        self.link.release();
        self.status.send_modify(|status| status.gone(exit));
        let status = self.status();
        match status.ending {
            Some(Ending::Died(exit)) => {
                tracing::error!(launch = self.id, ?exit, "the launch host died");
            }
            Some(Ending::Told | Ending::Killed) | None => {
                tracing::info!(launch = self.id, ?exit, "the launch host is gone");
            }
        }
    }

    /// The end of a host that cannot be spoken to any more: its own, or ours.
    async fn outlive(&self) -> HostExit {
        if let Ok(exit) = tokio::time::timeout(PATIENCE, self.child.exited()).await {
            return exit;
        }
        tracing::error!(
            launch = self.id,
            pid = self.child.pid,
            "the connection to a launch host is lost, and it is killed"
        );
        self.kill().await;
        self.child.exited().await
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
    pub fn keep_finish(&self, expected: &[u8], finished_as: &Snapshot) -> v1::Launch {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished
            .get_or_insert_with(|| {
                (
                    expected.to_vec(),
                    self.describe_as(&self.status.borrow(), finished_as),
                )
            })
            .1
            .clone()
    }

    /// The launch as the API shows it.
    pub fn describe(&self) -> v1::Launch {
        let status = self.status.borrow();
        self.describe_as(&status, &status.snapshot)
    }

    /// The launch as the API showed it when it was created.
    pub fn describe_created(&self) -> v1::Launch {
        self.created_answer.get_or_init(|| self.describe()).clone()
    }

    /// The launch as the API shows it when it is so.
    pub fn describe_as(&self, status: &Status, snapshot: &Snapshot) -> v1::Launch {
        v1::Launch {
            name: format!("launches/{}", self.id),
            uid: self.uid.clone(),
            spec: Some(self.spec.clone()),
            confidential: self.platform.confidential(),
            state: crate::rpc::convert::state(snapshot.state).into(),
            abort: (snapshot.state == State::Aborted).then(|| abort_cause(status)),
            installed_pages: snapshot.installed_pages,
            launch_digest: snapshot
                .digest
                .map(|digest| digest.to_vec().into())
                .unwrap_or_default(),
            create_time: Some(Timestamp::from(self.created)),
            end_time: status.ended.map(Timestamp::from),
            resources_released: status.released,
            host_pid: if status.released { 0 } else { self.child.pid },
            next_sequence: snapshot.next_sequence,
            lease_expire_time: (status.ending.is_none() && !status.runs())
                .then(|| Timestamp::from(self.lease.expires())),
            stop: snapshot.stop.as_ref().map(crate::rpc::convert::guest_stop),
            start_time: status.start_time(snapshot.state).map(Timestamp::from),
            stop_time: status.stop_time(snapshot.state).map(Timestamp::from),
            host_unresponsive_since: None,
        }
    }
}
