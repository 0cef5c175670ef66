//! One launch, as the daemon sees it: what it was created with, its host, and how it is.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::AtomicU64},
    time::{Duration, SystemTime},
};

use prost_types::Timestamp;
use stagepages_host::{
    launch::{Answered, CallKey, Snapshot, State},
    platform::PlatformKind,
    protocol,
};
use stagepages_proto::v1;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Console, Fate, HostLink, Lease, Ledgers, Page, Record, Records, Seat, Staging, Status,
    Withstands,
    ended_ledger::Place,
    record::{End, Finish},
    status::abort_cause,
    supervisor_link::{HostChild, SupervisorLink},
};
use crate::{
    audit::{self, Audit},
    auth::Tenant,
    metrics::Metrics,
};

/// How long a launch that is over is waited for to be known as over.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A launch.
#[derive(Debug)]
pub struct Launch {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// Its uid, in hex.
    pub uid: String,
    /// Its position in the order of creation.
    pub sequence: u64,
    /// What it was asked for.
    pub asked: v1::LaunchSpec,
    /// The same, the platform resolved.
    pub spec: v1::LaunchSpec,
    /// The platform.
    pub platform: PlatformKind,
    /// When.
    pub created: SystemTime,
    /// Where its pages wait for the host; `None` once that is gone.
    staging: Mutex<Option<Arc<Staging>>>,
    /// One permit for each StagePages call that may wait or run.
    pub calls: Arc<Semaphore>,
    /// To its host.
    pub link: HostLink,
    /// The host's process; `None` if it was gone before this daemon began.
    pub child: Option<HostChild>,
    pub(super) supervisor: SupervisorLink,
    pub(super) records: Records,
    pub(super) page: Page,
    /// Where its ledger is once it is over.
    pub(super) ledger: Place,
    pub(super) ledgers: Ledgers,
    pub(super) status: watch::Sender<Status>,
    /// What its guest writes and reads.
    pub console: Arc<Console>,
    /// What its host remembered when the launch was over.
    pub(super) remembered: Arc<Mutex<Vec<Answered>>>,
    pub(super) told_all: CancellationToken,
    /// Bytes on their way into it, from when they were let in until the host has answered.
    pub(super) on_the_way: Arc<AtomicU64>,
    /// How long it may stay untouched.
    pub lease: Lease,
    /// Its seat in the queue for the machine's firmware, where there is one.
    pub seat: Option<Arc<Seat>>,
    /// Where its end is counted.
    pub(crate) metrics: Metrics,
    /// Where its states are told.
    pub(crate) audit: Audit,
    /// Which of them were.
    pub(crate) told: audit::Told,
    /// Who asked for them.
    pub(crate) asked_for: audit::Asked,
    max_pending_calls: usize,
    /// The first answer of CreateLaunch.
    created_answer: OnceLock<v1::Launch>,
    /// The first answer of FinishLaunch, and what it was given.
    finished: Mutex<Option<(protocol::Finish, v1::Launch)>>,
}

/// What is known of a launch before it is made.
#[derive(Debug)]
pub struct Identity {
    /// Whose it will be.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// Its uid.
    pub uid: String,
    /// Its position in the order of creation.
    pub sequence: u64,
    /// Its spec as it was asked for.
    pub asked: v1::LaunchSpec,
    /// Its spec, the platform resolved.
    pub spec: v1::LaunchSpec,
    /// The platform.
    pub platform: PlatformKind,
    /// When it was created.
    pub created: SystemTime,
    /// Calls that may wait or run.
    pub max_pending_calls: u32,
    /// How long it may stay untouched.
    pub lease: Duration,
}

/// Who created a launch.
#[derive(Debug, Clone, Copy)]
pub enum Origin {
    /// This daemon.
    Made,
    /// An earlier one.
    Inherited {
        /// The launch digest that it told then.
        digest: Option<[u8; 48]>,
    },
}

/// The parts that come from making it, or from finding it again.
#[derive(Debug)]
pub struct Parts {
    /// Where its pages wait.
    pub staging: Option<Arc<Staging>>,
    /// To its host.
    pub link: HostLink,
    /// Its host.
    pub child: Option<HostChild>,
    /// How it is; fed by the link.
    pub status: watch::Sender<Status>,
    /// What its guest writes and reads; fed by the link.
    pub console: Arc<Console>,
    /// What its host remembered when the launch was over; fed by the link.
    pub remembered: Arc<Mutex<Vec<Answered>>>,
    /// Cancelled when the host of an ended launch has told everything; by the link.
    pub told_all: CancellationToken,
    /// The first answer of FinishLaunch, if it was given.
    pub finish: Option<Finish>,
    /// What became of its ledger, if that is decided.
    pub ledger: Option<Fate>,
    /// Who created it.
    pub origin: Origin,
    /// Who can kill the host.
    pub supervisor: SupervisorLink,
    /// Where it is kept.
    pub records: Records,
    /// Where its ledger is kept when it is over.
    pub ledgers: Ledgers,
    /// Its seat in the queue for the machine's firmware.
    pub seat: Option<Arc<Seat>>,
    /// Where its states are told.
    pub audit: Audit,
    /// Where its end is counted.
    pub metrics: Metrics,
}

impl Launch {
    /// Puts a launch together, and begins to watch its host, if it has one.
    pub fn new(identity: Identity, parts: Parts) -> Arc<Self> {
        let max_pending_calls =
            usize::try_from(identity.max_pending_calls).unwrap_or(Semaphore::MAX_PERMITS);
        let finished = parts.finish.and_then(|finish| {
            let answer = finish.told()?;
            let given = protocol::Finish {
                expected_digest: finish.expected,
                sev_snp: finish.sev_snp,
            };
            Some((given, answer))
        });
        let launch = Arc::new(Self {
            tenant: identity.tenant,
            on_the_way: Arc::default(),
            id: identity.id,
            uid: identity.uid,
            sequence: identity.sequence,
            asked: identity.asked,
            spec: identity.spec,
            platform: identity.platform,
            created: identity.created,
            staging: Mutex::new(parts.staging),
            calls: Arc::new(Semaphore::new(max_pending_calls)),
            link: parts.link,
            child: parts.child,
            supervisor: parts.supervisor,
            records: parts.records,
            page: Page::default(),
            ledger: Place::new(parts.ledger),
            ledgers: parts.ledgers,
            status: parts.status,
            console: parts.console,
            remembered: parts.remembered,
            told_all: parts.told_all,
            lease: Lease::new(identity.lease),
            seat: parts.seat,
            audit: parts.audit,
            metrics: parts.metrics,
            told: audit::Told::default(),
            asked_for: audit::Asked::default(),
            max_pending_calls,
            created_answer: OnceLock::new(),
            finished: Mutex::new(finished),
        });
        launch.created_answer.get_or_init(|| match parts.origin {
            Origin::Made => launch.describe(),
            Origin::Inherited { digest } => launch.created_as(digest),
        });
        if let Some(child) = &launch.child {
            tokio::spawn(Arc::clone(&launch).watch_host(child.clone()));
            tokio::spawn(Arc::clone(&launch).watch_lease());
            tokio::spawn(Arc::clone(&launch).watch_pulse());
        }
        launch
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The state that it is in.
    pub fn state(&self) -> State {
        self.status.borrow().snapshot.state
    }

    /// Whether it is over, and its memory gone.
    pub(super) fn has_released(&self) -> bool {
        self.status.borrow().released
    }

    /// Pages that are installed, as far as the host has told.
    pub(super) fn installed_pages(&self) -> u64 {
        self.status.borrow().snapshot.installed_pages
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

    /// Where its pages wait for the host; `None` once that is gone.
    pub fn staging(&self) -> Option<Arc<Staging>> {
        let staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.clone()
    }

    /// Gives the staging memory back, as soon as the last call has: the record of a launch that is over may be kept for days.
    pub(super) fn close_staging(&self) {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        *staging = None;
    }

    /// Whether calls wait for the host, or run there.
    pub fn busy(&self) -> bool {
        self.calls.available_permits() < self.max_pending_calls
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

    /// The first answer of FinishLaunch with these arguments, if it was given.
    pub fn first_finish(&self, arguments: &protocol::Finish) -> Option<v1::Launch> {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished
            .as_ref()
            .filter(|(given, _)| given == arguments)
            .map(|(_, answer)| answer.clone())
    }

    /// Whether FinishLaunch was answered, by this daemon or by an earlier one.
    pub fn was_finished(&self) -> bool {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.is_some()
    }

    /// Keeps the first answer of FinishLaunch, here and on record, and returns it.
    pub async fn keep_finish(
        &self,
        arguments: protocol::Finish,
        finished_as: &Snapshot,
    ) -> v1::Launch {
        let answer = {
            let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
            finished
                .get_or_insert_with(|| {
                    (
                        arguments,
                        self.describe_as(&self.status.borrow(), finished_as),
                    )
                })
                .1
                .clone()
        };
        self.keep().await;
        answer
    }

    /// Puts the launch on record as it is.
    pub(super) async fn keep(&self) {
        if let Err(error) = self.save(Withstands::Process).await {
            tracing::error!(launch = self.id, %error, "the launch is not on record as it is now");
        }
    }

    /// Puts it on record as it is.
    ///
    /// # Errors
    /// The kernel's; what was on record still is.
    pub(super) async fn save(&self, withstands: Withstands) -> std::io::Result<()> {
        let status = self.status();
        self.save_as(&status, withstands).await
    }

    /// As [`Self::save`], with another status.
    pub(super) async fn save_as(
        &self,
        status: &Status,
        withstands: Withstands,
    ) -> std::io::Result<()> {
        let record = self.record(status);
        self.records.save(record, withstands, &self.page).await
    }

    /// The launch as it is kept when it is so.
    fn record(&self, status: &Status) -> Record {
        let identity = Identity {
            tenant: self.tenant.clone(),
            id: self.id.clone(),
            uid: self.uid.clone(),
            sequence: self.sequence,
            asked: self.asked.clone(),
            spec: self.spec.clone(),
            platform: self.platform,
            created: self.created,
            max_pending_calls: 0, // not kept: a daemon has its own
            lease: self.lease.length(),
        };
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let finish = finished.clone();
        let finish = finish.map(|(given, answer)| Finish::of(given, answer));
        drop(finished);
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Record {
            finish,
            end: End::of(&self.uid, status, &self.console),
            answers: remembered.iter().map(protocol::Remembered::from).collect(),
            started: status.started.map(Timestamp::from),
            ledger: self.ledger.fate(),
            created_digest: self
                .created_answer
                .get()
                .map(|created| created.launch_digest.to_vec())
                .unwrap_or_default(),
            ..Record::of(&identity)
        }
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

    /// The same of a launch that an earlier daemon created, put together from what it was created with.
    fn created_as(&self, digest: Option<[u8; 48]>) -> v1::Launch {
        let fresh = Status::fresh();
        let snapshot = Snapshot {
            digest,
            ..fresh.snapshot.clone()
        };
        v1::Launch {
            lease_expire_time: Some(Timestamp::from(self.created + self.lease.length())),
            ..self.describe_as(&fresh, &snapshot)
        }
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
            measured_pages: snapshot.measured_pages,
            create_time: Some(Timestamp::from(self.created)),
            end_time: status.ended.map(Timestamp::from),
            resources_released: status.released,
            host_pid: match &self.child {
                Some(child) if !status.released => child.pid,
                _ => 0,
            },
            next_sequence: snapshot.next_sequence,
            lease_expire_time: (status.ending.is_none() && !status.runs())
                .then(|| Timestamp::from(self.lease.expires())),
            host_unresponsive_since: status.unresponsive.map(Timestamp::from),
            stop: snapshot.stop.as_ref().map(crate::rpc::convert::guest_stop),
            start_time: status.start_time(snapshot.state).map(Timestamp::from),
            stop_time: status.stop_time(snapshot.state).map(Timestamp::from),
            queue: (status.ending.is_none())
                .then(|| self.seat.as_ref()?.place())
                .flatten()
                .map(|place| crate::rpc::convert::place(&place)),
        }
    }
}
