//! This node's part of a `LaunchImage`.
//!
//! **Invariant:** digests that another agent computed otherwise are not overwritten; that they differ is said in this node's entry.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stagepages_client::hex;
use tokio::time::timeout;

use crate::{
    cause::whole,
    fault::Fault,
    launches::{Context, prepare},
    resources::{DigestOfVcpus, LaunchImage, LaunchImageStatus, NodeImage, Truth, bounded},
};

const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of a message.
const MESSAGE: usize = 1024;
/// Bytes of a field manager's name, by the API's bound.
const MANAGER: usize = 128;

/// Has it here, and says so; or says why not. False where it is to be tried again soon.
pub(super) async fn ready(context: &Context, image: &LaunchImage, is_selected: bool) -> bool {
    if !is_selected {
        // An apply without the entry takes it out, and takes nothing of another's.
        return apply(context, image, LaunchImageStatus::default())
            .await
            .is_ok();
    }
    let pulled = digests(context, image).await;
    let (mut status, lasting) = match &pulled {
        Ok((bytes, digests)) => {
            let text = format!("{bytes} bytes are on this node");
            let entry = entry(context, image, Truth::True, "PULLED", &text, Some(*bytes));
            (of(entry, digests.clone()), true)
        }
        Err(fault) => {
            let entry = entry(
                context,
                image,
                Truth::False,
                &fault.reason,
                &fault.message,
                None,
            );
            (of(entry, Vec::new()), fault.is_lasting)
        }
    };
    let before = own(context, image).map(|it| it.reason.clone());
    if let Err(fault) = &pulled
        && before.as_deref() != Some(&fault.reason)
    {
        let about = image.object_ref(&());
        context
            .events
            .warning(&about, &fault.reason, &fault.message);
    }
    match apply(context, image, status.clone()).await {
        Ok(()) => lasting,
        // 409 where another node stands by it; 403, by the admission policy, where the one that told it does not any more, or was this one.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 409 | 403) => {
            let text = "another digest was told before, by another node or another version of this agent, and is not overwritten. Compare the versions of the node agents";
            status.expected_digests.clear();
            status.nodes = vec![entry(
                context,
                image,
                Truth::False,
                "DIGEST_MISMATCH",
                text,
                None,
            )];
            if let Err(error) = apply(context, image, status).await {
                unwritten(image, &error);
            }
            false
        }
        Err(error) => {
            unwritten(image, &error);
            false
        }
    }
}

fn unwritten(image: &LaunchImage, error: &kube::Error) {
    let error = whole(error);
    tracing::warn!(
        image = image.name_any(),
        error,
        "the status cannot be written; it is tried again"
    );
}

fn of(entry: NodeImage, expected_digests: Vec<DigestOfVcpus>) -> LaunchImageStatus {
    LaunchImageStatus {
        nodes: vec![entry],
        expected_digests,
    }
}

/// Pulls it, and computes what it ends in.
async fn digests(
    context: &Context,
    image: &LaunchImage,
) -> Result<(i64, Vec<DigestOfVcpus>), Fault> {
    let spec = &image.spec;
    let settings = spec.settings.clone().unwrap_or_default();
    let fetched = prepare::fetch(&context.puller, &spec.image, &settings).await?;
    let held = context.memory.hold(fetched.bytes()).await;
    let opened = prepare::open(fetched, spec.platform, settings, held).await?;
    let bytes = i64::try_from(opened.bytes).unwrap_or(i64::MAX);
    let wanted: Vec<_> = match spec.vcpus.is_empty() {
        true => vec![None],
        false => spec
            .vcpus
            .iter()
            .map(|it| u32::try_from(*it).ok())
            .collect(),
    };
    let digests = prepare::apart(move || {
        let mut all = Vec::new();
        for vcpus in wanted {
            let mut options = opened.options.clone();
            options.vcpus = vcpus.or(options.vcpus);
            let prepared = prepare::judged(&opened, &options, None)?;
            let of = i32::try_from(prepared.plan.vcpus.len()).unwrap_or(i32::MAX);
            if let Some(digest) = prepared.digest {
                all.push(DigestOfVcpus {
                    vcpus: vcpus.and_then(|it| i32::try_from(it).ok()).unwrap_or(of),
                    digest: hex::digits(&digest),
                });
            }
        }
        Ok(all)
    })
    .await?;
    Ok((bytes, digests))
}

fn own<'a>(context: &Context, image: &'a LaunchImage) -> Option<&'a NodeImage> {
    let status = image.status.as_ref()?;
    status.nodes.iter().find(|it| it.node == context.node)
}

fn entry(
    context: &Context,
    image: &LaunchImage,
    ready: Truth,
    reason: &str,
    message: &str,
    bytes: Option<i64>,
) -> NodeImage {
    let since = own(context, image).filter(|it| it.ready == ready);
    NodeImage {
        node: context.node.clone(),
        ready,
        reason: reason.to_owned(),
        message: bounded(message, MESSAGE),
        bytes,
        last_transition_time: since.map_or_else(
            || Time(Timestamp::now()),
            |it| it.last_transition_time.clone(),
        ),
    }
}

async fn apply(
    context: &Context,
    image: &LaunchImage,
    status: LaunchImageStatus,
) -> Result<(), kube::Error> {
    let api: Api<LaunchImage> = Api::all(context.client.clone());
    let patch = json!({
        "apiVersion": LaunchImage::api_version(&()),
        "kind": LaunchImage::kind(&()),
        "metadata": { "name": image.name_any(), "uid": image.uid() },
        "status": status,
    });
    let params = PatchParams::apply(&manager(&context.node));
    let (name, patch) = (image.name_any(), Patch::Apply(patch));
    let applied = api.patch_status(&name, &params, &patch);
    match timeout(ANSWER, applied).await {
        Ok(applied) => applied.map(drop),
        Err(late) => Err(kube::Error::Service(late.into())),
    }
}

/// The field manager of a node: its name, or where that is too long what follows from it.
fn manager(node: &str) -> String {
    let plain = format!("stagepages-{node}");
    match plain.len() <= MANAGER {
        true => plain,
        false => format!("stagepages-{}", hex::digits(&Sha256::digest(node))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_has_a_name_that_the_api_takes() {
        assert_eq!(manager("node-1"), "stagepages-node-1");
        assert!(manager(&"n".repeat(253)).len() <= MANAGER);
    }
}
