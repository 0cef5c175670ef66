//! The life of one object on this node: it is carried out until it is over, or until it or its pod ends.
//!
//! ```text
//! claim ─▶ finalizer ─▶ device ─▶ carry out ─▶ follow ─▶ over
//!   └────────┴────────────┴───────────┴───────────┴── deleted, or its pod is gone ──▶ undo
//! ```
//!
//! **Invariant:** nothing is created before the object has the finalizer and says which node and device it is bound to.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{Resource as _, ResourceExt as _};
use stagepages_client::{
    LaunchRef,
    v1::{AbortCause, AbortReason, Launch, LaunchState},
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tokio_util::task::TaskTracker;

use super::{Context, carry::LAUNCH_LOST, pods, tell::Teller};
use crate::{
    backoff::Backoff,
    fault::Fault,
    resources::{ConfidentialLaunch, Truth},
};

/// Waits between attempts.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(120);
/// How often it is asked whether the device is still the pod's.
const LOOK: Duration = Duration::from_secs(10);

/// What the cluster says of it at the moment.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// The object; `None` once it is gone altogether.
    pub(super) launch: Option<Arc<ConfidentialLaunch>>,
    /// The pod of that name, if it is on this node.
    pub(super) pod: Option<Arc<Pod>>,
}

impl Wish {
    /// Whether it is the same, of the same versions.
    pub(super) fn is(&self, other: &Self) -> bool {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
        }
        same(self.launch.as_ref(), other.launch.as_ref())
            && same(self.pod.as_ref(), other.pod.as_ref())
    }
}

/// Why it is not carried out any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is deleted, and waits for its finalizer.
    Deleted,
    /// It is gone, finalizer or not.
    Gone,
    /// Its pod went before it was bound to it: it is not this node's, and nothing was begun.
    Unbound,
    /// Its pod is.
    Pod(String),
    /// Its device is another pod's.
    Device(String),
}

/// One object, carried out.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) context: Arc<Context>,
    pub(super) launch: Arc<ConfidentialLaunch>,
    pub(super) teller: Teller,
    pub(super) about: ObjectReference,
    pub(super) wish: watch::Receiver<Wish>,
    /// Told when waiting longer is of no use.
    pub(super) awake: Notify,
    /// A CreateLaunch that is not answered yet.
    pub(super) creating: TaskTracker,
}

/// Carries it out; how it was ended, or nothing where it told its own end.
pub(super) async fn live(context: Arc<Context>, wish: watch::Receiver<Wish>) -> Option<End> {
    let Some(launch) = wish.borrow().launch.clone() else {
        return Some(End::Gone);
    };
    let life = Life {
        teller: Teller::new(&context, &launch),
        about: launch.object_ref(&()),
        context,
        launch,
        wish,
        awake: Notify::new(),
        creating: TaskTracker::new(),
    };
    let is_over = life.teller.status(|it| it.state.is_over());
    let end = tokio::select! {
        biased;
        end = life.ended() => Some(end),
        end = life.carry_out(), if !is_over => end,
        never = life.keep(), if !is_over => match never {},
    };
    match &end {
        Some(end) => life.undo(end).await,
        None => drop(life.teller.told().await),
    }
    end
}

impl Life {
    /// The launch in the daemon's API: its id follows from the object, so that it is the same after every crash.
    pub(super) fn reference(&self) -> LaunchRef {
        let id = format!("cl-{}", self.launch.uid().unwrap_or_default());
        let known = self.teller.status(|it| it.launch_uid.clone());
        LaunchRef::from(id.as_str()).with_uid(known.unwrap_or_default())
    }

    /// What the launch is labelled with.
    pub(super) fn labels(&self) -> std::collections::HashMap<String, String> {
        let namespace = self.launch.namespace().unwrap_or_default();
        [
            ("k8s-namespace", namespace.as_str()),
            ("k8s-name", &self.launch.name_any()),
            ("k8s-pod", &self.launch.spec.pod_name),
        ]
        .map(|(key, value)| (key.to_owned(), value.chars().take(255).collect()))
        .into()
    }

    /// Waits until it is to end.
    async fn ended(&self) -> End {
        let mut wish = self.wish.clone();
        // At its own pace, however much happens in the cluster.
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(end) = self.end_of(&wish.borrow_and_update()) {
                return end;
            }
            tokio::select! {
                changed = wish.changed() => if changed.is_err() {
                    // The agent ends; a launch does not for that.
                    return std::future::pending().await;
                },
                _ = look.tick() => if let Some(end) = self.device_lost().await {
                    return end;
                },
            }
        }
    }

    fn end_of(&self, wish: &Wish) -> Option<End> {
        let Some(launch) = &wish.launch else {
            return Some(End::Gone);
        };
        if launch.metadata.deletion_timestamp.is_some() {
            return Some(End::Deleted);
        }
        let (bound, is_over) = self
            .teller
            .status(|it| (it.pod_uid.clone(), it.state.is_over()));
        if is_over {
            return None;
        }
        let name = &self.launch.spec.pod_name;
        let Some(bound) = bound else {
            let is_there = { wish.pod.as_ref() }.is_some_and(|it| !pods::is_ending(it));
            return (!is_there).then_some(End::Unbound);
        };
        match &wish.pod {
            None => Some(End::Pod(format!("the Pod {name} is gone"))),
            Some(pod) if pods::uid(pod) != bound => Some(End::Pod(format!(
                "the Pod {name} of uid {bound} is gone; there is another of its name"
            ))),
            Some(pod) if pods::is_over(pod) => Some(End::Pod(format!(
                "the Pod {name} has ended{}",
                pods::why(pod)
            ))),
            Some(_) => None,
        }
    }

    /// Until it is over; or how it is to end. What fails is tried again, later and later, unless nothing but another object can mend it.
    async fn carry_out(&self) -> Option<End> {
        let mut backoff = Backoff::new(LEAST, MOST);
        let mut stage = "";
        loop {
            let begun = Instant::now();
            // Of a daemon that came back before this.
            let _stale: Option<()> = self.awake.notified().now_or_never();
            let (at, fault) = match self.attempt().await {
                Ok(launch) => return self.ends(&launch).await,
                Err(failed) => failed,
            };
            if at != stage || begun.elapsed() > MOST {
                backoff.reset();
                stage = at;
            }
            tracing::warn!(launch = %self.reference().id(), at, %fault, request = fault.request, lasting = fault.is_lasting, "cannot go on");
            if fault.is_lasting {
                return match self.ended_by(fault).await {
                    Ok(launch) => self.ends(&launch).await,
                    Err(fault) => self.fails(at, &fault).await,
                };
            }
            let wait = backoff.after_failure();
            if fault.is_away() {
                self.unreached(&fault);
            } else {
                self.faulty(at, &fault);
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.awake.notified() => {}
            }
        }
    }

    /// It has ended; or it is to, for its device is not its any more.
    async fn ends(&self, launch: &Launch) -> Option<End> {
        let by = launch.abort.as_ref().map(AbortCause::reason);
        // Whoever empties a device for its next pod aborts what is there.
        if by == Some(AbortReason::Requested)
            && let Some(end) = self.device_taken().await
        {
            return Some(end);
        }
        self.over(launch);
        None
    }

    /// It will never be; or its device is not its any more, and it is gone with it.
    async fn fails(&self, at: &'static str, fault: &Fault) -> Option<End> {
        if fault.reason == LAUNCH_LOST
            && let Some(end) = self.device_taken().await
        {
            return Some(end);
        }
        self.failed(at, fault).await;
        None
    }

    /// One attempt, to the end of the launch; what it failed at is the condition that does not hold.
    async fn attempt(&self) -> Result<Launch, (&'static str, Fault)> {
        let at = |kind| move |fault| (kind, fault);
        let device = self.bound().await.map_err(at("Bound"))?;
        let client = self.connect(&device).await.map_err(at("Staged"))?;
        let found = self.found(&client).await.map_err(at("Staged"))?;
        self.reached();
        match &found {
            Some(launch) if launch.state() == LaunchState::Aborted => self.tell(launch),
            Some(launch) if self.is_as_planned(launch) => self.finished(launch),
            Some(_) | None => {
                // Known from now on, and kept while its image is pulled anew.
                found.iter().for_each(|launch| self.tell(launch));
                let prepared = self.prepare().await?;
                if found.is_none()
                    && let Some(End::Device(text)) = self.device_taken().await
                {
                    return Err(("Bound", Fault::passing("DEVICE_GONE", text)));
                }
                self.stage(&client, &prepared, found.as_ref())
                    .await
                    .map_err(at("Staged"))?;
            }
        }
        self.start(&client).await.map_err(at("Running"))?;
        self.follow(&client).await.map_err(at("Staged"))
    }

    /// Says what does not hold for a fault, and the first time as an Event too.
    pub(super) fn faulty(&self, kind: &str, fault: &Fault) {
        if self.teller.fault(kind, Truth::False, fault) {
            self.context
                .events
                .warning(&self.about, &fault.reason, &fault.told());
        }
    }
}
