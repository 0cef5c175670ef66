//! Every RPC, once, about a launch and an image.
//!
//! **Invariant:** what is answered is looked at no further than whether it is an error.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::{
    self, image_service_client::ImageServiceClient, write_image_request::Content,
};
use stagepages_tests::{Api, Contents, Extent, PAGE, SimScript, page, region};
use tokio_stream::{self as stream, StreamExt as _};
use tonic::{Request, Status, Streaming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_reflection::pb::v1alpha;

/// What the calls are about.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// A launch on `sim` of three pages, the first of which the call "first" has staged.
    pub(crate) launch: String,
    /// A launch's id that nobody has.
    pub(crate) new: String,
    /// An image of one page that is stored.
    pub(crate) image: Bytes,
    /// Somebody to grant it to.
    pub(crate) tenant: String,
}

impl About {
    pub(crate) fn image_name(&self) -> String {
        image_name(&self.image)
    }
}

pub(crate) fn image_name(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("images/sha256:{hex}")
}

pub(crate) fn spec() -> v1::LaunchSpec {
    SimScript::new().spec([region(page(0), 3 * PAGE)])
}

/// Makes the launch and the image.
pub(crate) async fn prepare(api: &Api, id: &str, seed: u64, other: &str) -> About {
    let about = About {
        launch: format!("launches/{id}"),
        new: format!("{id}-new"),
        image: Contents::new(seed).pages(1),
        tenant: other.to_owned(),
    };
    api.create(id, spec()).await.unwrap();
    let first = Extent::normal(page(0), Contents::new(1).pages(1)).request(&about.launch);
    let request_id = "first".to_owned();
    api.stage_request(v1::StagePagesRequest {
        request_id,
        ..first
    })
    .await
    .unwrap();
    write(api, &about.image).await.unwrap();
    about
}

/// Stores an image.
pub(crate) async fn write(api: &Api, image: &Bytes) -> Result<(), Status> {
    let request = v1::WriteImageRequest {
        name: image_name(image),
        size: image.len() as u64,
        upload_id: "table".to_owned(),
        offset: 0,
        content: Some(Content::Data(image.clone())),
    };
    let mut images = ImageServiceClient::new(api.channel.clone());
    images.write_image(stream::iter([request])).await.map(drop)
}

/// The first message of a stream, or its error.
async fn first<T>(answer: Result<tonic::Response<Streaming<T>>, Status>) -> Result<(), Status> {
    match answer?.into_inner().next().await {
        Some(message) => message.map(drop),
        None => Err(Status::unknown("an empty stream")),
    }
}

/// Calls the method of this path.
#[expect(clippy::too_many_lines, reason = "a row for each RPC")]
pub(crate) async fn call(api: &Api, path: &str, about: &About) -> Result<(), Status> {
    let mut launches = api.launches.clone();
    let mut images = ImageServiceClient::new(api.channel.clone());
    let (name, uid) = (about.launch.clone(), String::new());
    let stage = Extent::normal(page(1), Contents::new(2).pages(1)).request(&about.launch);
    match path.rsplit('/').next().unwrap() {
        "CreateLaunch" => api.create(&about.new, spec()).await.map(drop),
        "GetLaunch" => api.get(&name).await.map(drop),
        "ListLaunches" => {
            let all = v1::ListLaunchesRequest {
                page_size: 1000,
                ..v1::ListLaunchesRequest::default()
            };
            let listed = launches.list_launches(all).await?;
            let found = listed
                .into_inner()
                .launches
                .iter()
                .any(|launch| launch.name == name);
            found
                .then_some(())
                .ok_or_else(|| Status::not_found("not listed"))
        }
        "WatchLaunch" => {
            first(
                launches
                    .watch_launch(v1::WatchLaunchRequest { name, uid })
                    .await,
            )
            .await
        }
        "RenewLease" => launches
            .renew_lease(v1::RenewLeaseRequest { name, uid })
            .await
            .map(drop),
        "StagePages" => api.stage_request(stage).await.map(drop),
        "StagePagesStream" => {
            let request = v1::StagePagesStreamRequest {
                request: Some(stage),
            };
            first(launches.stage_pages_stream(stream::iter([request])).await).await
        }
        "GetStageResult" => {
            let request = v1::GetStageResultRequest {
                name,
                uid,
                request_id: "first".to_owned(),
                sequence: None,
            };
            launches.get_stage_result(request).await.map(drop)
        }
        "ListInstalledPages" => {
            let request = v1::ListInstalledPagesRequest {
                name,
                ..v1::ListInstalledPagesRequest::default()
            };
            launches.list_installed_pages(request).await.map(drop)
        }
        "VerifyLaunch" => api.verify(&name).await.map(drop),
        "GetRejectedCpuid" => {
            let request = v1::GetRejectedCpuidRequest { name, uid };
            launches.get_rejected_cpuid(request).await.map(drop)
        }
        "SetVcpuState" => {
            let request = v1::SetVcpuStateRequest {
                name,
                uid,
                ..v1::SetVcpuStateRequest::default()
            };
            launches.set_vcpu_state(request).await.map(drop)
        }
        "FinishLaunch" => api.finish(&name, Bytes::new()).await.map(drop),
        "StartLaunch" => launches
            .start_launch(v1::StartLaunchRequest { name, uid })
            .await
            .map(drop),
        "StopLaunch" => launches
            .stop_launch(v1::StopLaunchRequest { name, uid })
            .await
            .map(drop),
        "AttachConsole" => {
            let request = v1::AttachConsoleRequest {
                name,
                ..v1::AttachConsoleRequest::default()
            };
            first(launches.attach_console(stream::iter([request])).await).await
        }
        "AbortLaunch" => api.abort(&name).await.map(drop),
        "DeleteLaunch" => api.delete(&name).await.map(drop),
        "FindMissingImages" => {
            let names = vec![about.image_name()];
            let request = v1::FindMissingImagesRequest { names };
            let missing = images
                .find_missing_images(request)
                .await?
                .into_inner()
                .names;
            missing
                .is_empty()
                .then_some(())
                .ok_or_else(|| Status::not_found("missing"))
        }
        "WriteImage" => write(api, &Contents::new(9).pages(1)).await,
        "QueryWrite" => {
            let request = v1::QueryWriteRequest {
                name: about.image_name(),
                upload_id: "table".to_owned(),
            };
            images.query_write(request).await.map(drop)
        }
        "GetImage" => {
            let name = about.image_name();
            images
                .get_image(v1::GetImageRequest { name })
                .await
                .map(drop)
        }
        "ListImages" => {
            let listed = images.list_images(v1::ListImagesRequest::default()).await?;
            let name = about.image_name();
            let found = listed
                .into_inner()
                .images
                .iter()
                .any(|image| image.name == name);
            found
                .then_some(())
                .ok_or_else(|| Status::not_found("not listed"))
        }
        "GrantImage" => {
            let request = v1::GrantImageRequest {
                name: about.image_name(),
                tenant: about.tenant.clone(),
            };
            images.grant_image(request).await.map(drop)
        }
        "DeleteImage" => {
            let name = about.image_name();
            images
                .delete_image(v1::DeleteImageRequest { name })
                .await
                .map(drop)
        }
        "GetNodeInfo" => {
            let mut node = api.node.clone();
            node.get_node_info(v1::GetNodeInfoRequest {})
                .await
                .map(drop)
        }
        "Check" => {
            let mut health = HealthClient::new(api.channel.clone());
            health.check(HealthCheckRequest::default()).await.map(drop)
        }
        "Watch" => {
            let mut health = HealthClient::new(api.channel.clone());
            first(health.watch(HealthCheckRequest::default()).await).await
        }
        "ServerReflectionInfo" => reflect(api, path).await,
        other => panic!("the test does not know {other}"),
    }
}

async fn reflect(api: &Api, path: &str) -> Result<(), Status> {
    if path.contains("v1alpha") {
        let request = v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(
                v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
            ),
        };
        let mut client =
            v1alpha::server_reflection_client::ServerReflectionClient::new(api.channel.clone());
        return first(
            client
                .server_reflection_info(Request::new(stream::iter([request])))
                .await,
        )
        .await;
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(api.channel.clone());
    first(
        client
            .server_reflection_info(Request::new(stream::iter([request])))
            .await,
    )
    .await
}
