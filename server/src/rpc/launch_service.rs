//! `stagepages.v1.LaunchService`.
//!
//! Every handler is short: check, find the launch, ask its host, convert. What takes more has a file of its own.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use stagepages_audit::Event;
use stagepages_host::{launch::State, protocol};
use stagepages_images::Store;
use stagepages_proto::v1::{self, launch_service_server::LaunchService};
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::{
    ask, console,
    convert::{self, hex},
    create::{self, SpecLimits},
    decode, device,
    reason::Reason,
    status::ApiError,
    stream, watch as changes,
};
use crate::{
    auth::{Bounds, Caller, Policy, Tenant},
    config::Config,
    daemon::{Blueprint, Identity, Launch, Node, Nursery, Registry, Reservation, Taken},
    trace,
};

/// The service.
#[derive(Debug, Clone)]
pub struct LaunchApi {
    pub(super) registry: Arc<Registry>,
    pub(super) node: Arc<Node>,
    nursery: Nursery,
    limits: SpecLimits,
    pub(super) max_pending_calls: u32,
    pub(super) images: Store,
    policy: watch::Receiver<Arc<Policy>>,
    /// Counts calls in progress, for those who wait until there is none.
    calls: TaskTracker,
}

impl LaunchApi {
    /// The service over these launches.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        node: Arc<Node>,
        nursery: Nursery,
        images: Store,
        policy: watch::Receiver<Arc<Policy>>,
        config: &Config,
    ) -> Self {
        let limits = SpecLimits {
            max_regions: config.max_regions,
            max_memory_bytes: config.max_memory_bytes,
        };
        Self {
            registry,
            node,
            nursery,
            limits,
            max_pending_calls: config.max_pending_calls,
            images,
            policy,
            calls: TaskTracker::new(),
        }
    }

    /// Counts the calls in progress.
    #[must_use]
    pub fn calls(&self) -> &TaskTracker {
        &self.calls
    }

    /// What each tenant's launches take, of those that have any. It is nobody's own: who asks has to be one that may know.
    #[must_use]
    pub fn taken(&self) -> HashMap<Tenant, Taken> {
        self.registry.taken()
    }

    /// What a tenant may take now.
    pub(super) fn bounds(&self, tenant: &Tenant) -> Bounds {
        self.policy.borrow().bounds(tenant)
    }

    /// The caller's launch of this name.
    pub(super) fn find(
        &self,
        caller: &Caller,
        name: &str,
        uid: &str,
    ) -> Result<Arc<Launch>, ApiError> {
        let id = decode::launch_name(name)?;
        let launch = self.registry.get(&caller.tenant, id, uid)?;
        trace::launch(&launch.id, &launch.uid);
        Ok(launch)
    }

    async fn create(
        &self,
        caller: Caller,
        mut request: v1::CreateLaunchRequest,
    ) -> Result<v1::Launch, ApiError> {
        device::own_platform(&caller.tenant, request.spec.as_mut())
            .map_err(|error| error.launch(&request.launch_id))?;
        let checked = create::check(&request.launch_id, request.spec.as_ref(), self.limits)
            .map_err(|error| error.launch(&request.launch_id))?;
        let asked = request.spec.unwrap_or_default();
        let uid = uid()?;
        let id = if request.launch_id.is_empty() {
            format!("l-{}", &uid[..12])
        } else {
            request.launch_id
        };
        let mut made =
            match self
                .registry
                .reserve(&self.bounds(&caller.tenant), &id, &uid, &asked)?
            {
                Reservation::Known(made) => made,
                Reservation::New { sequence, made } => {
                    trace::launch(&id, &uid);
                    let answer = made.subscribe();
                    let api = self.clone();
                    // A task of its own: a caller that leaves does not leave half a launch behind.
                    let making = async move {
                        let result = api.make(&caller, &id, uid, sequence, asked, checked).await;
                        if let Err(error) = &result {
                            tracing::info!(launch = id, %error, "a launch was not created");
                        }
                        api.registry.settle(&caller.tenant, &id, &made, result);
                    };
                    self.calls
                        .spawn(trace::carried(crate::audit::carried(making)));
                    answer
                }
            };
        let made = made
            .wait_for(Option::is_some)
            .await
            .map(|made| made.clone());
        match made {
            Ok(Some(result)) => result.map(|launch| {
                trace::launch(&launch.id, &launch.uid);
                launch.describe_created()
            }),
            Ok(None) | Err(_) => Err(ApiError::new(
                Reason::InternalError,
                "the launch's creation was given up; try again",
            )),
        }
    }

    async fn make(
        &self,
        caller: &Caller,
        id: &str,
        uid: String,
        sequence: u64,
        asked: v1::LaunchSpec,
        checked: create::Checked,
    ) -> Result<Arc<Launch>, ApiError> {
        let platform = self
            .choose(checked.platform)
            .await
            .map_err(|error| error.launch(id))?;
        let spec = checked.resolved(asked.clone(), platform);
        let create = checked.create(platform);
        let identity = Identity {
            tenant: caller.tenant.clone(),
            id: id.to_owned(),
            uid,
            sequence,
            asked,
            spec,
            platform,
            created: SystemTime::now(),
            max_pending_calls: self.max_pending_calls,
            lease: checked.lease,
        };
        let launch = self.nursery.make(Blueprint { identity, create }).await?;
        tracing::info!(launch = id, uid = launch.uid, %platform, host = launch.child.as_ref().map(|child| child.pid), "launch created");
        Ok(launch)
    }

    async fn verify(
        &self,
        caller: &Caller,
        request: v1::VerifyLaunchRequest,
    ) -> Result<v1::VerifyLaunchResponse, ApiError> {
        let launch = self.find(caller, &request.name, &request.uid)?;
        let outcome = self
            .ask(
                &launch,
                "verify",
                protocol::Command::Verify(protocol::Verify {}),
            )
            .await?;
        let protocol::Outcome::Verified(report) = outcome else {
            return Err(self.confused(&launch));
        };
        let report = stagepages_host::launch::VerifyReport::try_from(report)
            .map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))?;
        let finding = |finding: &stagepages_host::launch::Finding| v1::VerifyFinding {
            gpa: finding.gpa.get(),
            kind: convert::finding(finding.kind).into(),
        };
        Ok(v1::VerifyLaunchResponse {
            consistent: report.findings_total == 0,
            pages_checked: report.pages_checked,
            contents_checked: report.contents_checked,
            findings: report.findings.iter().map(finding).collect(),
            findings_total: report.findings_total,
        })
    }

    async fn delete(
        &self,
        caller: &Caller,
        request: &v1::DeleteLaunchRequest,
    ) -> Result<(), ApiError> {
        let launch = self.find(caller, &request.name, &request.uid)?;
        let status = launch.status();
        let wrong = |text: &str| {
            let state = status.snapshot.state;
            let text = format!("cannot delete launch {}: {text}", launch.id);
            let error = ApiError::new(Reason::WrongState, text.clone())
                .launch(&launch.id)
                .meta("launch_state", state);
            Err(error.precondition("LAUNCH_STATE", &launch.id, &text))
        };
        if !matches!(status.snapshot.state, State::Aborted | State::Stopped) {
            return wrong("it is not over; abort it first");
        }
        if !status.released {
            return wrong(
                "its launch host is not gone yet; try again when resources_released is true",
            );
        }
        // First the file, so that a launch that was deleted does not come back.
        launch.forget().await.map_err(|error| {
            let text = format!(
                "the record of launch {} cannot be removed: {error}",
                launch.id
            );
            ApiError::new(Reason::InternalError, text).launch(&launch.id)
        })?;
        self.registry.remove(&launch);
        launch.tell_forgotten(Event::LaunchDeleted);
        tracing::info!(launch = launch.id, uid = launch.uid, "launch deleted");
        Ok(())
    }
}

/// Who asks, and what for.
pub(super) fn taken<T>(request: Request<T>) -> Result<(Caller, T), ApiError> {
    let caller = Caller::of(request.extensions())?.clone();
    Ok((caller, request.into_inner()))
}

/// A new uid: 32 hex digits that nobody can guess.
fn uid() -> Result<String, ApiError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        ApiError::new(
            Reason::InternalError,
            format!("the kernel gives no random numbers: {error}"),
        )
    })?;
    Ok(hex(&random))
}

#[tonic::async_trait]
impl LaunchService for LaunchApi {
    async fn create_launch(
        &self,
        request: Request<v1::CreateLaunchRequest>,
    ) -> Result<Response<v1::CreateLaunchResponse>, Status> {
        let _call = self.calls.token();
        let (caller, request) = taken(request)?;
        let launch = self.create(caller, request).await?;
        Ok(Response::new(v1::CreateLaunchResponse {
            launch: Some(launch),
        }))
    }

    async fn get_launch(
        &self,
        request: Request<v1::GetLaunchRequest>,
    ) -> Result<Response<v1::GetLaunchResponse>, Status> {
        let (caller, request) = taken(request)?;
        let launch = self.find(&caller, &request.name, &request.uid)?;
        Ok(Response::new(v1::GetLaunchResponse {
            launch: Some(launch.describe()),
        }))
    }

    async fn list_launches(
        &self,
        request: Request<v1::ListLaunchesRequest>,
    ) -> Result<Response<v1::ListLaunchesResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.list(&caller, &request)?))
    }

    async fn stage_pages(
        &self,
        request: Request<v1::StagePagesRequest>,
    ) -> Result<Response<v1::StagePagesResponse>, Status> {
        let _call = self.calls.token();
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.stage(&caller, request).await?))
    }

    type StagePagesStreamStream = ReceiverStream<Result<v1::StagePagesStreamResponse, Status>>;

    async fn stage_pages_stream(
        &self,
        request: Request<Streaming<v1::StagePagesStreamRequest>>,
    ) -> Result<Response<Self::StagePagesStreamStream>, Status> {
        let (caller, requests) = taken(request)?;
        let answers = stream::serve(self.clone(), caller, requests);
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn get_stage_result(
        &self,
        request: Request<v1::GetStageResultRequest>,
    ) -> Result<Response<v1::GetStageResultResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.result(&caller, request).await?))
    }

    type WatchLaunchStream = ReceiverStream<Result<v1::WatchLaunchResponse, Status>>;

    async fn watch_launch(
        &self,
        request: Request<v1::WatchLaunchRequest>,
    ) -> Result<Response<Self::WatchLaunchStream>, Status> {
        let (caller, request) = taken(request)?;
        let launch = self.find(&caller, &request.name, &request.uid)?;
        Ok(Response::new(ReceiverStream::new(changes::serve(launch))))
    }

    async fn renew_lease(
        &self,
        request: Request<v1::RenewLeaseRequest>,
    ) -> Result<Response<v1::RenewLeaseResponse>, Status> {
        let (caller, request) = taken(request)?;
        let launch = self.find(&caller, &request.name, &request.uid)?;
        if launch.status().ending.is_some() {
            return Err(ask::lost(&launch, "renew the lease", false).await.into());
        }
        launch.lease.touch();
        Ok(Response::new(v1::RenewLeaseResponse {
            launch: Some(launch.describe()),
        }))
    }

    async fn list_installed_pages(
        &self,
        request: Request<v1::ListInstalledPagesRequest>,
    ) -> Result<Response<v1::ListInstalledPagesResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.ledger(&caller, request).await?))
    }

    async fn verify_launch(
        &self,
        request: Request<v1::VerifyLaunchRequest>,
    ) -> Result<Response<v1::VerifyLaunchResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.verify(&caller, request).await?))
    }

    async fn get_rejected_cpuid(
        &self,
        request: Request<v1::GetRejectedCpuidRequest>,
    ) -> Result<Response<v1::GetRejectedCpuidResponse>, Status> {
        let (caller, request) = taken(request)?;
        let answer = self.rejected_cpuid(&caller, request).await?;
        Ok(Response::new(answer))
    }

    async fn finish_launch(
        &self,
        request: Request<v1::FinishLaunchRequest>,
    ) -> Result<Response<v1::FinishLaunchResponse>, Status> {
        let _call = self.calls.token();
        let (caller, request) = taken(request)?;
        let launch = self.finish(&caller, request).await?;
        Ok(Response::new(v1::FinishLaunchResponse {
            launch: Some(launch),
        }))
    }

    async fn set_vcpu_state(
        &self,
        request: Request<v1::SetVcpuStateRequest>,
    ) -> Result<Response<v1::SetVcpuStateResponse>, Status> {
        let _call = self.calls.token();
        let (caller, request) = taken(request)?;
        let launch = self.set_vcpu(&caller, request).await?;
        Ok(Response::new(v1::SetVcpuStateResponse {
            launch: Some(launch),
        }))
    }

    async fn start_launch(
        &self,
        request: Request<v1::StartLaunchRequest>,
    ) -> Result<Response<v1::StartLaunchResponse>, Status> {
        let _call = self.calls.token();
        let (caller, request) = taken(request)?;
        let launch = self.start(&caller, request).await?;
        Ok(Response::new(v1::StartLaunchResponse {
            launch: Some(launch),
        }))
    }

    async fn stop_launch(
        &self,
        request: Request<v1::StopLaunchRequest>,
    ) -> Result<Response<v1::StopLaunchResponse>, Status> {
        let _call = self.calls.token();
        let (caller, request) = taken(request)?;
        let launch = self.stop(&caller, request).await?;
        Ok(Response::new(v1::StopLaunchResponse {
            launch: Some(launch),
        }))
    }

    type AttachConsoleStream = ReceiverStream<Result<v1::AttachConsoleResponse, Status>>;

    async fn attach_console(
        &self,
        request: Request<Streaming<v1::AttachConsoleRequest>>,
    ) -> Result<Response<Self::AttachConsoleStream>, Status> {
        let (caller, requests) = taken(request)?;
        let output = console::serve(self.clone(), caller, requests);
        Ok(Response::new(ReceiverStream::new(output)))
    }

    async fn abort_launch(
        &self,
        request: Request<v1::AbortLaunchRequest>,
    ) -> Result<Response<v1::AbortLaunchResponse>, Status> {
        let call = self.calls.token();
        let (caller, request) = taken(request)?;
        let launch = self.find(&caller, &request.name, &request.uid)?;
        // A task of its own: once asked for, a launch is ended, also if the caller does not wait.
        launch.asked_for.note(State::Aborted);
        let ending = Arc::clone(&launch);
        let ended = tokio::spawn(trace::carried(async move {
            ending.abort(false).await;
            drop(call);
        }));
        if let Err(error) = ended.await {
            tracing::error!(%error, "a launch's end was not waited for");
        }
        launch.tell_states();
        Ok(Response::new(v1::AbortLaunchResponse {
            launch: Some(launch.describe()),
        }))
    }

    async fn delete_launch(
        &self,
        request: Request<v1::DeleteLaunchRequest>,
    ) -> Result<Response<v1::DeleteLaunchResponse>, Status> {
        let (caller, request) = taken(request)?;
        self.delete(&caller, &request).await?;
        Ok(Response::new(v1::DeleteLaunchResponse {}))
    }
}
