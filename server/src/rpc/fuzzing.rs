//! Requests as a caller may send them, through the checks that every handler makes before anything else; for fuzzing.
//!
//! **Invariant:** pure, as the checks are: nothing is looked up, and nobody is asked.

use prost::Message as _;
use stagepages_host::platform::PlatformKind;
use stagepages_proto::v1;
use tonic::Status;

use super::{
    create::{self, SpecLimits},
    decode, image_service, settings,
    stage::Call,
    status::ApiError,
    vcpu,
};

/// Decodes a request and checks it. `which` chooses whose.
///
/// # Errors
/// What its caller would be told; `None` for bytes that are no message, which the framework refuses.
pub fn check(which: u8, bytes: &[u8]) -> Option<Result<(), Status>> {
    let checked = match which % 6 {
        0 => stage(&v1::StagePagesRequest::decode(bytes).ok()?),
        1 => stage(&v1::StagePagesStreamRequest::decode(bytes).ok()?.request?),
        2 => launch(&v1::CreateLaunchRequest::decode(bytes).ok()?),
        3 => set_vcpu(&v1::SetVcpuStateRequest::decode(bytes).ok()?),
        4 => finish(&v1::FinishLaunchRequest::decode(bytes).ok()?),
        _ => image(&v1::WriteImageRequest::decode(bytes).ok()?),
    };
    Some(checked.map_err(Status::from))
}

fn stage(request: &v1::StagePagesRequest) -> Result<(), ApiError> {
    decode::launch_name(&request.name)?;
    Call::decode(request, 0, None).map(drop)
}

fn launch(request: &v1::CreateLaunchRequest) -> Result<(), ApiError> {
    let limits = SpecLimits {
        max_regions: 64,
        max_memory_bytes: 1 << 40,
    };
    let checked = create::check(&request.launch_id, request.spec.as_ref(), limits)?;
    let platform = checked.platform.unwrap_or(PlatformKind::Sim);
    checked.create(platform);
    checked.resolved(request.spec.clone().unwrap_or_default(), platform);
    Ok(())
}

fn set_vcpu(request: &v1::SetVcpuStateRequest) -> Result<(), ApiError> {
    decode::launch_name(&request.name)?;
    let state = request.state.unwrap_or_default();
    let vcpus = vcpu::count(&v1::LaunchSpec::default());
    vcpu::state(&state, vcpus)
        .map(drop)
        .map_err(|(field, text)| {
            ApiError::new(super::reason::Reason::MalformedRequest, text).field(field, "is wrong")
        })
}

fn finish(request: &v1::FinishLaunchRequest) -> Result<(), ApiError> {
    decode::launch_name(&request.name)?;
    settings::finish(request).map(drop)
}

fn image(request: &v1::WriteImageRequest) -> Result<(), ApiError> {
    let digest = image_service::digest("name", &request.name)?;
    super::image_write::step(request.clone(), digest).map(drop)
}
