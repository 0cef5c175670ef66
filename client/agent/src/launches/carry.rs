//! One launch carried out: created, staged, finished, started.
//!
//! ```text
//! status has its uid ──GetLaunch──▶ known, staging over ──▶ follow
//!                         │          known, staging ───────▶ prepare ──▶ CreateLaunch (the same again) ──▶ session (the same again) ──▶ Finish ──▶ Start
//!                         └──────▶ not known: lost, for good
//! ```
//!
//! **Invariant:** a launch's id follows from the object's uid, its spec and its session from the plan: whatever is repeated gets its first answer, and after a crash
//! at any point there is one launch. One that is lost is never made again.

use std::time::Duration;

use stagepages_client::{
    Client, Endpoint, FinishArgs, LaunchRef, StagepagesError, hex,
    install::{Audience, Job, Work},
    plan::Payload,
    reason,
    session::Options,
    stage::StageEnd,
    v1::{Launch, LaunchPriority, LaunchSpec, LaunchState},
};
use tokio::time::sleep;

use super::{life::Life, prepare::Prepared};
use crate::{
    fault::Fault,
    resources::{ConfidentialLaunchStatus, Priority, Queue, State, Truth},
};

/// The daemon does not know it any more.
pub(super) const LAUNCH_LOST: &str = "LAUNCH_LOST";
/// How often its place in the queue is asked for.
const LOOK: Duration = Duration::from_secs(1);

impl From<Priority> for LaunchPriority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

/// Its state, as the object says it.
pub(super) fn state(launch: &Launch) -> State {
    match launch.state() {
        LaunchState::Created => State::Created,
        LaunchState::Staging => State::Staging,
        LaunchState::Finished => State::Finished,
        LaunchState::Running => State::Running,
        LaunchState::Stopped => State::Stopped,
        LaunchState::Aborted => State::Aborted,
        LaunchState::Unspecified => State::Pending,
    }
}

/// Puts into a status how the launch stands.
pub(super) fn note(status: &mut ConfidentialLaunchStatus, launch: &Launch) {
    let queue = launch.queue.as_ref().map(|place| Queue {
        position: number(place.position),
        pages_ahead: number(place.pages_ahead),
        eta_seconds: place.expected_time.as_ref().map(|it| it.seconds),
    });
    let is_measured = matches!(
        launch.state(),
        LaunchState::Finished | LaunchState::Running | LaunchState::Stopped
    );
    status.state = state(launch);
    status.launch = Some(launch.name.clone());
    status.launch_uid = Some(launch.uid.clone());
    status.installed_pages = Some(number(launch.installed_pages));
    status.queue = queue;
    if is_measured && !launch.launch_digest.is_empty() {
        status.launch_digest = Some(hex::digits(&launch.launch_digest));
    }
}

pub(super) fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

struct Quiet;

impl Audience for Quiet {
    fn notice(&self, text: &str) {
        tracing::info!("{text}");
    }

    fn begins(&self, work: Work, all: u64) {
        tracing::debug!(?work, all, "begins");
    }
}

impl Life {
    /// The daemon, as the tenant of the device.
    pub(super) async fn connect(&self, device: &str) -> Result<Client, Fault> {
        let socket = self.context.device_dir.join(device).join("api.sock");
        Ok(Client::connect(&Endpoint::Unix(socket)).await?)
    }

    /// The launch, if there is one.
    pub(super) async fn found(&self, client: &Client) -> Result<Option<Launch>, Fault> {
        let known = self.teller.status(|it| it.launch_uid.clone());
        match client.get_launch(&self.reference()).await {
            Ok(launch) => Ok(Some(launch)),
            Err(error) if error.reason() == Some(reason::LAUNCH_NOT_FOUND) => match known {
                None => Ok(None),
                Some(uid) => Err(Fault::lasting(
                    LAUNCH_LOST,
                    format!(
                        "the daemon does not know the launch {uid} any more: the node was started anew, or somebody deleted it. It is not made again; delete this ConfidentialLaunch and create another"
                    ),
                )),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Says how the launch stands. That it is over is said with what ended it, by `over`.
    pub(super) fn tell(&self, launch: &Launch) {
        self.teller.update(|status| {
            let before = status.state;
            note(status, launch);
            if status.state.is_over() {
                status.state = before;
            }
        });
    }

    /// From nothing, or from wherever an earlier attempt came, to a launch that is finished.
    pub(super) async fn stage(
        &self,
        client: &Client,
        prepared: &Prepared,
        found: Option<&Launch>,
    ) -> Result<(), Fault> {
        let plan = &prepared.plan;
        let created = self.created(client, plan.spec(), found).await?;
        let reference = LaunchRef::from(&created);
        let launch = client.get_launch(&reference).await?;
        self.tell(&launch);
        match launch.state() {
            LaunchState::Created | LaunchState::Staging => {
                // Whoever comes after a crash knows of it: one that is lost is not made again.
                self.teller.told().await;
                self.pages(client, &reference, prepared).await?;
            }
            LaunchState::Finished | LaunchState::Running | LaunchState::Stopped => {}
            LaunchState::Aborted | LaunchState::Unspecified => return Ok(()),
        }
        if launch.state() != LaunchState::Stopped {
            self.finish(client, &reference, prepared).await?;
        }
        Ok(())
    }

    /// Creates it, or finds it created: by the same spec, also where the agent was given another lease since.
    async fn created(
        &self,
        client: &Client,
        planned: LaunchSpec,
        found: Option<&Launch>,
    ) -> Result<Launch, StagepagesError> {
        let priority = self.launch.spec.priority.unwrap_or(Priority::Normal);
        let spec = LaunchSpec {
            priority: LaunchPriority::from(priority).into(),
            labels: self.labels(),
            lease: self.context.lease.and_then(|it| it.try_into().ok()),
            ..planned
        };
        // What the daemon says of it is what it made of none, too.
        let was = found.and_then(|it| it.spec.as_ref()?.lease);
        let others = [was, None].into_iter().filter(|_| found.is_some());
        let others = others.filter(|it| *it != spec.lease).collect::<Vec<_>>();
        let id = self.reference();
        let mut created = self.create(client, &id, spec.clone()).await;
        for lease in others {
            match &created {
                Err(error) if error.reason() == Some(reason::LAUNCH_EXISTS) => {
                    let spec = LaunchSpec {
                        lease,
                        ..spec.clone()
                    };
                    created = self.create(client, &id, spec).await;
                }
                Ok(_) | Err(_) => break,
            }
        }
        created
    }

    /// One CreateLaunch, which is answered though nobody waits for it any more: until then, that there is no such launch is not certain to whoever undoes this.
    async fn create(
        &self,
        client: &Client,
        id: &LaunchRef,
        spec: LaunchSpec,
    ) -> Result<Launch, StagepagesError> {
        let (client, id) = (client.clone(), id.clone());
        let call = async move { client.create_launch(Some(id.id()), spec).await };
        let answered = self.creating.spawn(call).await;
        // Nobody aborts it, so that it has panicked.
        answered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn pages(
        &self,
        client: &Client,
        reference: &LaunchRef,
        prepared: &Prepared,
    ) -> Result<(), Fault> {
        let plan = &prepared.plan;
        self.teller.condition(
            "Staged",
            Truth::False,
            "STAGING",
            "its pages are being installed",
        );
        let payload = Payload::of(plan);
        let of_plan = payload.clone();
        let job = Job {
            audience: &Quiet,
            client,
            launch: reference,
            options: Options::named(plan.session(prepared.digest)),
            pages: plan.pages(),
            payload,
            parts: |image| match (image, &of_plan) {
                (Some(image), Some(payload)) => plan.parts_from(payload, image),
                _ => plan.parts(),
            },
        };
        let looking = async {
            loop {
                sleep(LOOK).await;
                if let Ok(launch) = client.get_launch(reference).await {
                    self.tell(&launch);
                }
            }
        };
        let installed = tokio::select! {
            installed = job.run() => installed?,
            () = looking => return Ok(()),
        };
        match installed.outcome.end {
            StageEnd::Complete => {}
            StageEnd::Failed(error) => return Err(error.into()),
            StageEnd::Conflict(conflict) => {
                let text = format!(
                    "the page at GPA {} is installed already with other contents: somebody else, most likely in the pod, staged into this launch; delete this ConfidentialLaunch and create another",
                    conflict.gpa
                );
                return Err(Fault::lasting(reason::ALREADY_INSTALLED, text));
            }
            StageEnd::Unreadable(error) => {
                let text = format!("the image cannot be read any more: {error}");
                return Err(Fault::passing("IMAGE_UNREADABLE", text));
            }
        }
        self.tell(&client.get_launch(reference).await?);
        let text = format!("all {} pages are installed", plan.pages());
        self.teller.condition("Staged", Truth::True, "STAGED", text);
        Ok(())
    }

    async fn finish(
        &self,
        client: &Client,
        reference: &LaunchRef,
        prepared: &Prepared,
    ) -> Result<(), Fault> {
        let args = FinishArgs {
            expected_launch_digest: prepared.expected(),
            sev_snp: prepared.plan.finish.clone(),
        };
        // The same arguments again give the first answer, also where the guest has run since.
        client.finish_launch(reference, args).await?;
        let launch = client.get_launch(reference).await?;
        if launch.installed_pages != prepared.plan.pages() {
            let text = format!(
                "the launch was finished with {} pages, and its plan has {}: somebody else, most likely in the pod, finished it; delete this ConfidentialLaunch and create another",
                launch.installed_pages,
                prepared.plan.pages()
            );
            return Err(Fault::lasting(reason::WRONG_STATE, text));
        }
        self.finished(&launch);
        Ok(())
    }

    /// Says that it is.
    pub(super) fn finished(&self, launch: &Launch) {
        self.tell(launch);
        let text = match launch.launch_digest.is_empty() {
            false => format!(
                "under the launch digest {}",
                hex::digits(&launch.launch_digest)
            ),
            true => "this platform measures nothing".to_owned(),
        };
        let staged = "all pages are installed";
        self.teller
            .condition("Staged", Truth::True, "STAGED", staged);
        if self
            .teller
            .condition("Finished", Truth::True, "FINISHED", &text)
        {
            self.context.events.normal(&self.about, "Finished", &text);
        }
    }

    /// Whether it is this object's, finished as planned: an earlier agent saw to that, or was about to say so.
    pub(super) fn is_as_planned(&self, launch: &Launch) -> bool {
        let is_finished = matches!(
            launch.state(),
            LaunchState::Finished | LaunchState::Running | LaunchState::Stopped
        );
        let digest = hex::digits(&launch.launch_digest);
        self.teller.status(|status| {
            status.launch_uid.as_ref() == Some(&launch.uid)
                && status.total_pages == Some(number(launch.installed_pages))
                && status.planned_digest.as_deref().unwrap_or_default() == digest
        }) && is_finished
    }
}
