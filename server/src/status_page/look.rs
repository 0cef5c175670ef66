//! What is seen of the daemon at one moment, through the handlers of the API, as the caller who looks.
//!
//! **Invariant:** each part is asked for by a call that the policy allows this caller at that moment; what does not answer in time is said to be missing.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use stagepages_proto::v1::{
    self, GetLaunchRequest, GetNodeInfoRequest, LaunchState, ListImagesRequest,
    ListLaunchesRequest, image_service_server::ImageService as _,
    launch_service_server::LaunchService as _, node_service_server::NodeService as _,
};
use tonic::{Code, Request, Status};

use super::{
    StatusPage,
    page_map::{Drawn, NoMap},
    request::{Asked, Place, Show},
    tenants::Tenants,
    unseen::{Unseen, unseen},
};
use crate::{
    audit::Refused,
    auth::{Caller, Role, Roles, Standing, Tenant},
    net::PeerInfo,
};

/// Launches of one page.
pub(super) const LAUNCHES: i32 = 50;
/// Images of one page.
pub(super) const IMAGES: i32 = 25;
/// Launches that are looked through for those that wait.
const WAITING: i32 = 1000;
/// How long any part may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stays the same about a daemon.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) epoch: u64,
    pub(super) since: Instant,
    pub(super) host: String,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) caller: Caller,
    /// Whose things they are, where that was asked for.
    pub(super) named: Option<Tenant>,
    pub(super) at: SystemTime,
    pub(super) epoch: u64,
    pub(super) uptime: Duration,
    pub(super) host: String,
    pub(super) subject: Subject,
}

#[derive(Debug)]
pub(super) enum Subject {
    Overview(Box<Overview>),
    Launch(Box<Detail>),
}

/// A part of a page, or why it is not there.
pub(super) type Part<T> = Result<T, String>;

#[derive(Debug)]
pub(super) struct Overview {
    pub(super) show: Show,
    /// Where the lists begin, as they were asked for.
    pub(super) from_launches: String,
    pub(super) from_images: String,
    pub(super) node: Part<v1::GetNodeInfoResponse>,
    pub(super) launches: v1::ListLaunchesResponse,
    /// Those whose pages wait, in order, by platform.
    pub(super) waiting: Part<Vec<v1::Launch>>,
    pub(super) images: Part<v1::ListImagesResponse>,
    pub(super) refused: Vec<Refused>,
    /// Those of callers whom the policy does not know; for those who administer.
    pub(super) strangers: Option<Vec<Refused>>,
    /// For those who may look at any.
    pub(super) tenants: Option<Tenants>,
}

#[derive(Debug)]
pub(super) struct Detail {
    pub(super) launch: v1::Launch,
    pub(super) map: Result<Arc<Drawn>, NoMap>,
    pub(super) refused: Vec<Refused>,
}

/// Who looks, and at whose things, if not at its own.
#[derive(Debug)]
struct Who<'a> {
    peer: &'a PeerInfo,
    named: Option<&'a Tenant>,
}

impl Facts {
    pub(super) fn new(epoch: u64, since: Instant) -> Self {
        let name = nix::sys::utsname::uname().ok();
        let name = name.map(|name| name.nodename().to_string_lossy().into_owned());
        Self {
            epoch,
            since,
            host: name.unwrap_or_default(),
        }
    }
}

impl StatusPage {
    /// Looks at a place, as this peer.
    pub(super) async fn look(&self, peer: &PeerInfo, asked: &Asked) -> Result<Look, Unseen> {
        let facts = &self.facts;
        let who = &Who {
            peer,
            named: asked.tenant.as_ref(),
        };
        let (caller, subject) = match &asked.place {
            Place::Overview {
                show,
                launches,
                images,
            } => self.overview(who, *show, launches, images).await?,
            Place::Launch(id) => self.detail(who, id).await?,
        };
        Ok(Look {
            caller,
            named: asked.tenant.clone(),
            at: SystemTime::now(),
            epoch: facts.epoch,
            uptime: facts.since.elapsed(),
            host: facts.host.clone(),
            subject,
        })
    }

    async fn overview(
        &self,
        who: &Who<'_>,
        show: Show,
        from_launches: &str,
        from_images: &str,
    ) -> Result<(Caller, Subject), Unseen> {
        let (caller, call) = self.enter(who, "LaunchService/ListLaunches")?;
        let list = |states: Vec<i32>, size, token: &str| {
            let request = ListLaunchesRequest {
                page_size: size,
                page_token: token.to_owned(),
                states,
            };
            self.launches.list_launches(asked(request, &caller))
        };
        let launches = list(states(show), LAUNCHES, from_launches).await;
        let launches = launches.map_err(|status| unseen(&status))?.into_inner();
        let before = vec![LaunchState::Created.into(), LaunchState::Staging.into()];
        let waiting = list(before, WAITING, "").await;
        let waiting = waiting.map(|answer| in_queue(answer.into_inner().launches));
        drop(call);
        let node = self.node(who).await;
        let images = self.images(who, from_images).await?;
        let recent = self.audit.recent();
        let administers = caller.roles.meet(Roles::of(&[Role::Admin]));
        let overview = Overview {
            show,
            from_launches: from_launches.to_owned(),
            from_images: from_images.to_owned(),
            node,
            launches,
            waiting: waiting.map_err(|status| status.message().to_owned()),
            images,
            refused: recent.of(caller.tenant.as_str()),
            strangers: administers.then(|| recent.of_strangers()),
            tenants: self.tenants(who.peer, &caller.tenant),
        };
        Ok((caller, Subject::Overview(Box::new(overview))))
    }

    async fn node(&self, who: &Who<'_>) -> Part<v1::GetNodeInfoResponse> {
        let entered = self.enter(who, "NodeService/GetNodeInfo");
        let (caller, _call) = entered.map_err(|unseen| unseen.to_string())?;
        let ask = self
            .node
            .get_node_info(asked(GetNodeInfoRequest {}, &caller));
        in_time(
            "the platforms are being probed, which takes longer than usual",
            ask,
        )
        .await
    }

    async fn images(
        &self,
        who: &Who<'_>,
        from: &str,
    ) -> Result<Part<v1::ListImagesResponse>, Unseen> {
        let (caller, _call) = match self.enter(who, "ImageService/ListImages") {
            Ok(entered) => entered,
            Err(unseen) => return Ok(Err(unseen.to_string())),
        };
        let request = ListImagesRequest {
            page_size: IMAGES,
            page_token: from.to_owned(),
        };
        let ask = self.images.list_images(asked(request, &caller));
        match tokio::time::timeout(PATIENCE, ask).await {
            Ok(Ok(answer)) => Ok(Ok(answer.into_inner())),
            Ok(Err(status)) if status.code() == Code::InvalidArgument => Err(unseen(&status)),
            Ok(Err(status)) => Ok(Err(status.message().to_owned())),
            Err(_elapsed) => Ok(Err("the image store does not answer in time".to_owned())),
        }
    }

    async fn detail(&self, who: &Who<'_>, id: &str) -> Result<(Caller, Subject), Unseen> {
        let (caller, call) = self.enter(who, "LaunchService/GetLaunch")?;
        let request = GetLaunchRequest {
            name: format!("launches/{id}"),
            uid: String::new(),
        };
        let answer = self.launches.get_launch(asked(request, &caller)).await;
        let answer = answer.map_err(|status| {
            let text = status.message().to_owned();
            // A name that none can have is as absent as any other.
            if matches!(status.code(), Code::NotFound | Code::InvalidArgument) {
                Unseen::Missing(text)
            } else {
                Unseen::Failed(text)
            }
        })?;
        drop(call);
        let launch = answer.into_inner().launch.unwrap_or_default();
        let map = match self.enter(who, "LaunchService/ListInstalledPages") {
            Ok((caller, _call)) => self.maps.of(&self.launches, &caller, &launch).await,
            Err(unseen) => Err(NoMap::Unreadable(unseen.to_string())),
        };
        let mut refused = self.audit.recent().of(caller.tenant.as_str());
        refused.retain(|refused| refused.launch == id);
        let detail = Detail {
            launch,
            map,
            refused,
        };
        Ok((caller, Subject::Launch(Box::new(detail))))
    }

    /// Lets this peer make a call; it counts as one for as long as the standing is kept.
    fn enter(&self, who: &Who<'_>, method: &str) -> Result<(Caller, Standing), Unseen> {
        let path = format!("/stagepages.v1.{method}");
        let standing = self
            .keeper
            .admit(who.peer, &path, who.named.cloned())
            .map_err(Unseen::Refused)?;
        match standing.caller() {
            Some(caller) => Ok((caller.clone(), standing)),
            // Not reached: these calls are answered to nobody without a role.
            None => Err(Unseen::Failed("nothing is known of the caller".to_owned())),
        }
    }
}

/// A request of a caller who was let in.
pub(super) fn asked<T>(message: T, caller: &Caller) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

async fn in_time<T>(
    otherwise: &str,
    ask: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Part<T> {
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_elapsed) => Err(otherwise.to_owned()),
    }
}

fn states(show: Show) -> Vec<i32> {
    let states: &[LaunchState] = match show {
        Show::All => &[],
        Show::Live => &[
            LaunchState::Created,
            LaunchState::Staging,
            LaunchState::Finished,
            LaunchState::Running,
        ],
        Show::Over => &[LaunchState::Stopped, LaunchState::Aborted],
    };
    states.iter().map(|state| (*state).into()).collect()
}

/// Those that wait, each platform's in the order in which they will have their turn.
fn in_queue(mut launches: Vec<v1::Launch>) -> Vec<v1::Launch> {
    launches.retain(|launch| launch.queue.is_some());
    launches.sort_by_key(|launch| {
        let platform = launch.spec.as_ref().map_or(0, |spec| spec.platform);
        let position = launch.queue.as_ref().map_or(0, |queue| queue.position);
        (platform, position)
    });
    launches
}
