//! What is said of a launch, written to the API server when it lets itself be written to.
//!
//! ```text
//! update ─▶ what is to be said ─▶ writer: at most four times a second ─▶ PATCH status, under the version that was read last
//!                                   ▲          └── conflict: read again, a few times; no answer: later and later
//!                                   └──────────────────────────┘
//! ```
//!
//! **Invariant:** one writer for each launch, which writes the last that was said; work never waits for it but where it says so (`told`).

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::Context;
use crate::{
    backoff::Backoff,
    cause::whole,
    fault::Fault,
    resources::{Condition, ConfidentialLaunch, ConfidentialLaunchStatus, Truth, set},
};

/// Between two writes.
const PACE: Duration = Duration::from_millis(250);
/// For one answer of the API server.
const ANSWER: Duration = Duration::from_secs(20);
const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(30);
/// Conflicts in a row after which it waits like after any failure.
const CONFLICTS: u32 = 5;
/// The condition of a guest that runs.
const RUNNING: &str = "Running";
/// Written in place of a number where nothing can be written any more.
const GONE: u64 = u64::MAX;

/// Says it.
#[derive(Debug)]
pub(super) struct Teller {
    wanted: watch::Sender<(u64, ConfidentialLaunchStatus)>,
    written: watch::Receiver<u64>,
    generation: Option<i64>,
    _writer: AbortOnDropHandle<()>,
}

impl Teller {
    /// Begins with what the object says.
    pub(super) fn new(context: &Arc<Context>, launch: &ConfidentialLaunch) -> Self {
        let status = launch.status.clone().unwrap_or_default();
        let (wanted, receive) = watch::channel((0, status));
        let (done, written) = watch::channel(0);
        let writer = Writer {
            api: Api::namespaced(
                context.client.clone(),
                &launch.namespace().unwrap_or_default(),
            ),
            node: context.node.clone(),
            name: launch.name_any(),
            uid: launch.uid().unwrap_or_default(),
            version: launch.resource_version(),
        };
        Self {
            wanted,
            written,
            generation: launch.metadata.generation,
            _writer: AbortOnDropHandle::new(tokio::spawn(writer.run(receive, done))),
        }
    }

    /// Says something else.
    pub(super) fn update(&self, change: impl FnOnce(&mut ConfidentialLaunchStatus)) {
        self.wanted.send_if_modified(|(number, status)| {
            let before = status.clone();
            change(status);
            status.observed_generation = self.generation;
            let is_new = *status != before;
            if is_new {
                *number += 1;
            }
            is_new
        });
    }

    /// Says what holds; true if it did not before, or for another reason.
    pub(super) fn condition(
        &self,
        kind: &str,
        truth: Truth,
        reason: &str,
        message: impl AsRef<str>,
    ) -> bool {
        let mut condition = Condition::new(kind, truth, reason, message, Timestamp::now());
        condition.observed_generation = self.generation;
        let is_new = !self.status(|status| {
            { status.conditions.iter() }
                .any(|it| it.kind == kind && it.status == truth && it.reason == reason)
        });
        self.update(|status| {
            status.reason = Some(reason.to_owned());
            set(&mut status.conditions, condition);
        });
        is_new
    }

    /// Says that it is over, why, and what holds then: in one write, so that nobody ever sees the one without the other.
    pub(super) fn ends(
        &self,
        change: impl FnOnce(&mut ConfidentialLaunchStatus),
        conditions: &[(&str, Truth)],
        reason: &str,
        message: &str,
    ) {
        let now = Timestamp::now();
        self.update(|status| {
            change(status);
            status.reason = Some(reason.to_owned());
            status.queue = None;
            let ran = { status.conditions.iter() }
                .any(|it| it.kind == RUNNING && it.status == Truth::True);
            let runs_no_more = ran.then_some((RUNNING, Truth::False));
            for (kind, truth) in { conditions.iter().copied() }.chain(runs_no_more) {
                let mut condition = Condition::new(kind, truth, reason, message, now);
                condition.observed_generation = self.generation;
                set(&mut status.conditions, condition);
            }
        });
    }

    /// Says what it failed at; true if that was not said before. The id is that of the first call that failed so: the ids of its repeats are in the log, for an
    /// object that changed with each of them would be news each time.
    pub(super) fn fault(&self, kind: &str, truth: Truth, fault: &Fault) -> bool {
        let told = self.status(|status| {
            { status.conditions.iter() }
                .find(|it| it.kind == kind && it.status == truth && it.reason == fault.reason)
                .filter(|it| fault.is_told_by(&it.message))
                .map(|it| it.message.clone())
        });
        let message = told.unwrap_or_else(|| fault.told());
        self.condition(kind, truth, &fault.reason, message)
    }

    /// What is said last.
    pub(super) fn status<T>(&self, of: impl FnOnce(&ConfidentialLaunchStatus) -> T) -> T {
        of(&self.wanted.borrow().1)
    }

    /// Waits until all of it is written; false where it cannot be, because the object is gone, or another node's.
    pub(super) async fn told(&self) -> bool {
        let wanted = self.wanted.borrow().0;
        let mut written = self.written.clone();
        // The writer lives as long as this.
        let written = written.wait_for(|written| *written >= wanted).await;
        written.is_ok_and(|number| *number != GONE)
    }
}

struct Writer {
    api: Api<ConfidentialLaunch>,
    node: String,
    name: String,
    uid: String,
    version: Option<String>,
}

enum Written {
    Done,
    Conflict,
    Gone,
}

impl Writer {
    async fn run(
        mut self,
        mut wanted: watch::Receiver<(u64, ConfidentialLaunchStatus)>,
        done: watch::Sender<u64>,
    ) {
        let mut backoff = Backoff::new(LEAST, MOST);
        let mut conflicts = 0;
        while wanted.changed().await.is_ok() {
            loop {
                let (number, status) = wanted.borrow_and_update().clone();
                match self.write(&status).await {
                    Ok(Written::Done) => {
                        backoff.reset();
                        conflicts = 0;
                        done.send_replace(number);
                        break;
                    }
                    Ok(Written::Gone) => {
                        done.send_replace(GONE);
                        return;
                    }
                    Ok(Written::Conflict) if conflicts < CONFLICTS => conflicts += 1,
                    Ok(Written::Conflict) => {
                        conflicts = 0;
                        sleep(backoff.after_failure()).await;
                    }
                    Err(error) => {
                        tracing::warn!(launch = self.name, %error, "the status cannot be written; it is tried again");
                        sleep(backoff.after_failure()).await;
                    }
                }
            }
            sleep(PACE).await;
        }
    }

    async fn write(&mut self, status: &ConfidentialLaunchStatus) -> Result<Written, String> {
        if self.version.is_none() {
            let read = timeout(ANSWER, self.api.get_opt(&self.name)).await;
            let read = read.map_err(|_late| "no answer".to_owned())?;
            let Some(launch) = read.map_err(|error| whole(&error))? else {
                return Ok(Written::Gone);
            };
            let other = { launch.status.as_ref() }
                .and_then(|it| it.node.as_ref())
                .filter(|it| **it != self.node);
            if launch.uid().as_ref() != Some(&self.uid) || other.is_some() {
                tracing::warn!(
                    launch = self.name,
                    ?other,
                    "the object is another, or another node's, by now"
                );
                return Ok(Written::Gone);
            }
            self.version = launch.resource_version();
        }
        let patch = json!({
            "metadata": { "resourceVersion": self.version, "uid": self.uid },
            "status": status,
        });
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let written = self.api.patch_status(&self.name, &params, &patch);
        match timeout(ANSWER, written).await {
            Err(_late) => Err("no answer".to_owned()),
            Ok(Ok(launch)) => {
                self.version = launch.resource_version();
                Ok(Written::Done)
            }
            Ok(Err(kube::Error::Api(answer))) if answer.code == 404 => Ok(Written::Gone),
            Ok(Err(kube::Error::Api(answer))) if answer.code == 409 => {
                self.version = None;
                Ok(Written::Conflict)
            }
            Ok(Err(error)) => {
                // It may have been written all the same.
                self.version = None;
                Err(whole(&error))
            }
        }
    }
}
