//! The public API as a client sees it: typed where that saves words, raw where a test wants to be rude.
//!
//! **Invariant:** no retries and no corrections; every answer reaches the test as it came.
use std::path::Path;

use bytes::Bytes;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::launch_service_client::LaunchServiceClient;
use stagepages_proto::v1::node_service_client::NodeServiceClient;
use stagepages_proto::v1::{
    AbortLaunchRequest, CreateLaunchRequest, DeleteLaunchRequest, DeleteLaunchResponse,
    FinishLaunchRequest, GetLaunchRequest, GetNodeInfoRequest, GetNodeInfoResponse, Launch,
    LaunchSpec, PageType, StagePagesRequest, StagePagesResponse, VerifyLaunchRequest,
    VerifyLaunchResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::aside::aside;
use crate::daemon::Daemon;
use crate::tls::{tls_channel, tls_config};

/// What one StagePages asks for.
#[derive(Debug, Clone)]
pub struct Extent {
    gpa: Gpa,
    page_type: i32,
    data: Option<Bytes>,
    length: Option<u64>,
}

impl Extent {
    /// Pages with contents.
    #[must_use]
    pub fn data(gpa: Gpa, page_type: PageType, data: impl Into<Bytes>) -> Self {
        Self {
            gpa,
            page_type: page_type.into(),
            data: Some(data.into()),
            length: None,
        }
    }

    /// Pages without contents, `length` bytes of them.
    #[must_use]
    pub fn length(gpa: Gpa, page_type: PageType, length: u64) -> Self {
        Self {
            gpa,
            page_type: page_type.into(),
            data: None,
            length: Some(length),
        }
    }

    /// NORMAL pages with contents.
    #[must_use]
    pub fn normal(gpa: Gpa, data: impl Into<Bytes>) -> Self {
        Self::data(gpa, PageType::Normal, data)
    }

    /// The request for launch `name`.
    #[must_use]
    pub fn request(self, name: &str) -> StagePagesRequest {
        let Self {
            gpa,
            page_type,
            data,
            length,
        } = self;
        StagePagesRequest {
            name: name.to_owned(),
            uid: String::new(),
            gpa: gpa.get(),
            page_type,
            data,
            length,
            sequence: None,
            request_id: String::new(),
            image: None,
        }
    }
}

/// One connection to a daemon. Clones share it.
#[derive(Debug, Clone)]
pub struct Api {
    /// The connection, for services beside our own.
    pub channel: Channel,
    /// LaunchService, for requests that no method here would make.
    pub launches: LaunchServiceClient<Channel>,
    /// NodeService.
    pub node: NodeServiceClient<Channel>,
}

impl Api {
    /// Connects over a Unix socket.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn unix(socket: &Path) -> Self {
        Self::connect(format!("unix:{}", socket.display())).await
    }

    /// Connects over a Unix socket, if somebody listens there.
    ///
    /// # Panics
    /// If the path is none.
    pub async fn try_unix(socket: &Path) -> Option<Self> {
        let place = format!("unix:{}", socket.display());
        let endpoint = Endpoint::from_shared(place).expect("a valid endpoint");
        let channel = aside(async move { endpoint.connect().await }).await.ok()?;
        Some(Self::over(channel))
    }

    /// Connects over TCP, by mutual TLS, with the daemon's CA and its client's certificate as they are now.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn tcp(daemon: &Daemon) -> Self {
        let (ca, client) = (daemon.pki().get("ca.crt"), daemon.pki().client());
        let channel = tls_channel(daemon.tcp(), move || tls_config(&ca, Some(&client))).await;
        Self::over(channel.expect("the daemon accepts"))
    }

    async fn connect(place: String) -> Self {
        let endpoint = Endpoint::from_shared(place).expect("a valid endpoint");
        let channel = aside(async move { endpoint.connect().await }).await;
        Self::over(channel.expect("the daemon accepts"))
    }

    /// Over a connection that is there.
    #[must_use]
    pub fn over(channel: Channel) -> Self {
        Self {
            launches: LaunchServiceClient::new(channel.clone()),
            node: NodeServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// GetNodeInfo.
    ///
    /// # Panics
    /// If it is refused: it has no errors of its own.
    pub async fn node_info(&self) -> GetNodeInfoResponse {
        self.node
            .clone()
            .get_node_info(GetNodeInfoRequest {})
            .await
            .expect("GetNodeInfo has no errors of its own")
            .into_inner()
    }

    /// CreateLaunch.
    ///
    /// # Errors
    /// As the API answers, here and below.
    pub async fn create(&self, id: &str, spec: LaunchSpec) -> Result<Launch, Status> {
        let request = CreateLaunchRequest {
            launch_id: id.to_owned(),
            spec: Some(spec),
        };
        let answer = self.launches.clone().create_launch(request).await?;
        answer
            .into_inner()
            .launch
            .ok_or_else(|| Status::data_loss("an answer without the launch"))
    }

    /// GetLaunch.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn get(&self, name: &str) -> Result<Launch, Status> {
        let request = GetLaunchRequest {
            name: name.to_owned(),
            uid: String::new(),
        };
        let answer = self.launches.clone().get_launch(request).await?;
        answer
            .into_inner()
            .launch
            .ok_or_else(|| Status::data_loss("an answer without the launch"))
    }

    /// StagePages.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn stage(&self, name: &str, extent: Extent) -> Result<StagePagesResponse, Status> {
        self.stage_request(extent.request(name)).await
    }

    /// StagePages, with every field of the request in the caller's hand.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn stage_request(
        &self,
        request: StagePagesRequest,
    ) -> Result<StagePagesResponse, Status> {
        // The server's limit is under test, so the client must have none.
        let mut client = self.launches.clone().max_encoding_message_size(usize::MAX);
        Ok(client
            .stage_pages(Request::new(request))
            .await?
            .into_inner())
    }

    /// VerifyLaunch.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn verify(&self, name: &str) -> Result<VerifyLaunchResponse, Status> {
        let request = VerifyLaunchRequest {
            name: name.to_owned(),
            uid: String::new(),
        };
        Ok(self
            .launches
            .clone()
            .verify_launch(request)
            .await?
            .into_inner())
    }

    /// FinishLaunch; an empty `digest` expects none.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn finish(&self, name: &str, digest: impl Into<Bytes>) -> Result<Launch, Status> {
        let request = FinishLaunchRequest {
            name: name.to_owned(),
            uid: String::new(),
            expected_launch_digest: digest.into(),
            sev_snp: None,
        };
        let answer = self.launches.clone().finish_launch(request).await?;
        answer
            .into_inner()
            .launch
            .ok_or_else(|| Status::data_loss("an answer without the launch"))
    }

    /// AbortLaunch.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn abort(&self, name: &str) -> Result<Launch, Status> {
        let request = AbortLaunchRequest {
            name: name.to_owned(),
            uid: String::new(),
        };
        let answer = self.launches.clone().abort_launch(request).await?;
        answer
            .into_inner()
            .launch
            .ok_or_else(|| Status::data_loss("an answer without the launch"))
    }

    /// DeleteLaunch.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn delete(&self, name: &str) -> Result<DeleteLaunchResponse, Status> {
        let request = DeleteLaunchRequest {
            name: name.to_owned(),
            uid: String::new(),
        };
        Ok(self
            .launches
            .clone()
            .delete_launch(request)
            .await?
            .into_inner())
    }
}

/// The launch without the one thing that every call changes, also a refused one: when its lease runs out.
#[must_use]
pub fn lease_aside(launch: &Launch) -> Launch {
    Launch {
        lease_expire_time: None,
        ..launch.clone()
    }
}
