//! The finalizer: an object is not gone before its launch is.
//!
//! **Invariant:** touches no finalizer but its own.

use std::time::Duration;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::timeout;

use super::Context;
use crate::{cause::whole, fault::Fault, resources::ConfidentialLaunch};

/// Its name.
pub(super) const FINALIZER: &str = "stagepages.dev/abort";
const ANSWER: Duration = Duration::from_secs(20);
/// Conflicts in a row; then it is tried again like any other failure.
const CONFLICTS: u32 = 5;

/// The API server did not do it.
pub(super) const API_UNREACHABLE: &str = "API_UNREACHABLE";

/// Whether the object has it.
pub(super) fn is_on(launch: &ConfidentialLaunch) -> bool {
    launch.finalizers().iter().any(|it| it == FINALIZER)
}

/// Puts it on, or takes it off; false if the object is gone.
pub(super) async fn put(
    context: &Context,
    launch: &ConfidentialLaunch,
    on: bool,
) -> Result<bool, Fault> {
    let namespace = launch.namespace().unwrap_or_default();
    let api: Api<ConfidentialLaunch> = Api::namespaced(context.client.clone(), &namespace);
    for _ in 0..CONFLICTS {
        match once(&api, launch, on).await? {
            Put::Done => return Ok(true),
            Put::Gone => return Ok(false),
            Put::Conflict => {}
        }
    }
    Err(Fault::passing(
        API_UNREACHABLE,
        "somebody else keeps changing this object, and its finalizer cannot be set; it is tried again",
    ))
}

enum Put {
    Done,
    Gone,
    Conflict,
}

async fn once(
    api: &Api<ConfidentialLaunch>,
    launch: &ConfidentialLaunch,
    on: bool,
) -> Result<Put, Fault> {
    let silent = || Fault::passing(API_UNREACHABLE, "the API server does not answer");
    let name = launch.name_any();
    let found = timeout(ANSWER, api.get_opt(&name))
        .await
        .map_err(|_late| silent())?;
    let Some(now) = found.map_err(|error| unanswered(&error))? else {
        return Ok(Put::Gone);
    };
    if now.uid() != launch.uid() || (on && now.metadata.deletion_timestamp.is_some()) {
        return Ok(Put::Gone);
    }
    if is_on(&now) == on {
        return Ok(Put::Done);
    }
    let mut finalizers = now.finalizers().to_vec();
    match on {
        true => finalizers.push(FINALIZER.to_owned()),
        false => finalizers.retain(|it| it != FINALIZER),
    }
    let patch = json!({ "metadata": {
        "finalizers": finalizers,
        "resourceVersion": now.resource_version(),
        "uid": now.uid(),
    }});
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    let patched = timeout(ANSWER, api.patch(&name, &params, &patch)).await;
    match patched.map_err(|_late| silent())? {
        Ok(_) => Ok(Put::Done),
        Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(Put::Conflict),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(Put::Gone),
        Err(error) => Err(unanswered(&error)),
    }
}

fn unanswered(error: &kube::Error) -> Fault {
    Fault::passing(
        API_UNREACHABLE,
        format!("the API server says: {}", whole(error)),
    )
}
