//! This node's part of a `LaunchImage`.
//!
//! **Invariant:** digests that another agent computed otherwise are not overwritten; that they differ is said in this node's entry.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stagepages_client::hex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    cause::whole,
    fault::Fault,
    launches::{Context, prepare},
    registry::{Keeping, NOT_KEPT, Purpose},
    resources::{DigestOfVcpus, LaunchImage, LaunchImageStatus, NodeImage, Truth, bounded},
};

const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of a message.
const MESSAGE: usize = 1024;
/// Bytes of a field manager's name, by the API's bound.
const MANAGER: usize = 128;

/// One image on this node: what of it is kept here, and what was said of that last.
pub(super) struct Part<'a> {
    context: &'a Context,
    image: &'a LaunchImage,
    turns: Arc<Semaphore>,
    /// As the API server has it: the object that the work began with does not change with what is said of it.
    told: Option<NodeImage>,
    files: Option<Keeping>,
}

impl<'a> Part<'a> {
    /// As the object has it.
    pub(super) fn of(context: &'a Context, image: &'a LaunchImage, turns: Arc<Semaphore>) -> Self {
        Self {
            context,
            image,
            turns,
            told: own(context, image),
            files: None,
        }
    }

    /// Has it here, and says so; or says why not. False where it is to be tried again soon.
    pub(super) async fn ready(&mut self, is_selected: bool) -> bool {
        if !is_selected {
            self.files = None;
            // An apply without the entry takes it out, and takes nothing of another's.
            return self.apply(LaunchImageStatus::default()).await.is_ok();
        }
        let pulled = self.pulled().await;
        let (mut status, is_done) = match &pulled {
            Ok((bytes, digests)) => {
                let text = format!("{bytes} bytes are on this node");
                let entry = self.entry(Truth::True, "PULLED", &text, Some(*bytes));
                (of(entry, digests.clone()), true)
            }
            Err(fault) => {
                let entry = self.entry(Truth::False, &fault.reason, &fault.message, None);
                let is_done = fault.is_lasting || fault.reason == NOT_KEPT;
                (of(entry, Vec::new()), is_done)
            }
        };
        let before = self.told.as_ref().map(|it| &it.reason);
        if let Err(fault) = &pulled
            && before != Some(&fault.reason)
        {
            let about = self.image.object_ref(&());
            self.context
                .events
                .warning(&about, &fault.reason, &fault.message);
        }
        match self.apply(status.clone()).await {
            Ok(()) => is_done,
            // 409 where another node stands by it; 403, by the admission policy, where the one that told it does not any more, or was this one.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 409 | 403) => {
                let text = "another digest was told before, by another node or another version of this agent, and is not overwritten. Compare the versions of the node agents";
                status.expected_digests.clear();
                status.nodes = vec![self.entry(Truth::False, "DIGEST_MISMATCH", text, None)];
                if let Err(error) = self.apply(status).await {
                    unwritten(self.image, &error);
                }
                false
            }
            Err(error) => {
                unwritten(self.image, &error);
                false
            }
        }
    }

    /// Pulls it when it is its turn, and computes what it ends in.
    async fn pulled(&mut self) -> Result<(i64, Vec<DigestOfVcpus>), Fault> {
        let _turn = self.turn().await;
        let keeping = self.context.puller.keeping();
        let pulled = digests(self.context, self.image, Purpose::Keep(&keeping)).await;
        match &pulled {
            Ok(_) => self.files = Some(keeping),
            // What there is of it is of no use without the rest, and others may have its place.
            Err(fault) if fault.is_lasting || fault.reason == NOT_KEPT => self.files = None,
            Err(_) => {}
        }
        pulled
    }

    /// Waits for its turn. That it waits is said where nothing was said of it yet.
    async fn turn(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Some(turn);
        }
        if self.told.is_none() {
            let text = "other images are being pulled on this node; it is pulled when one of them is there";
            let entry = self.entry(Truth::False, "WAITING_FOR_TURN", text, None);
            if let Err(error) = self.apply(of(entry, Vec::new())).await {
                unwritten(self.image, &error);
            }
        }
        // Nobody closes it.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    fn entry(&self, ready: Truth, reason: &str, message: &str, bytes: Option<i64>) -> NodeImage {
        let since = self.told.as_ref().filter(|it| it.ready == ready);
        NodeImage {
            node: self.context.node.clone(),
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

    /// Says it, and takes note of it.
    async fn apply(&mut self, status: LaunchImageStatus) -> Result<(), kube::Error> {
        let image = self.image;
        let api: Api<LaunchImage> = Api::all(self.context.client.clone());
        let patch = json!({
            "apiVersion": LaunchImage::api_version(&()),
            "kind": LaunchImage::kind(&()),
            "metadata": { "name": image.name_any(), "uid": image.uid() },
            "status": status,
        });
        let params = PatchParams::apply(&manager(&self.context.node));
        let (name, patch) = (image.name_any(), Patch::Apply(patch));
        let applied = api.patch_status(&name, &params, &patch);
        match timeout(ANSWER, applied).await {
            Ok(applied) => {
                self.told = own(self.context, &applied?);
                Ok(())
            }
            Err(late) => Err(kube::Error::Service(late.into())),
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
    purpose: Purpose<'_>,
) -> Result<(i64, Vec<DigestOfVcpus>), Fault> {
    let spec = &image.spec;
    let settings = spec.settings.clone().unwrap_or_default();
    let fetched = prepare::fetch(&context.puller, &spec.image, &settings, purpose).await?;
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

/// What this node said of it.
fn own(context: &Context, image: &LaunchImage) -> Option<NodeImage> {
    let nodes = &image.status.as_ref()?.nodes;
    nodes.iter().find(|it| it.node == context.node).cloned()
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
