//! `LaunchImage` on this node: pulled, planned for each number of vCPUs, and said so.
//!
//! **Invariant:** writes the entry of its own node and the digests that it computed, under a field manager of its own, and never by force.

mod own;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt as _, runtime::reflector::Store};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{backoff::Backoff, cause::whole, launches::Context, resources::LaunchImage};
use own::Part;

/// Waits between attempts.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(300);
/// How often an image that is there is looked at again: another may have taken its place.
const LOOK: Duration = Duration::from_secs(600);
const ANSWER: Duration = Duration::from_secs(20);
/// Images that are kept at hand on one node.
const MOST_IMAGES: usize = 256;
/// Of them, those that are pulled, read and planned at a time. Launches wait for none of them.
const AT_A_TIME: usize = 4;

/// All images.
pub(crate) struct Images {
    context: Arc<Context>,
    images: Store<LaunchImage>,
    turns: Arc<Semaphore>,
    /// By uid, with the generation that is worked on.
    kept: HashMap<String, (Option<i64>, AbortOnDropHandle<()>)>,
}

impl Images {
    pub(crate) fn new(context: Arc<Context>, images: Store<LaunchImage>) -> Self {
        Self {
            context,
            images,
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
            kept: HashMap::new(),
        }
    }

    /// Looks at every object.
    pub(crate) fn sweep(&mut self) {
        let all = self.images.state();
        self.kept
            .retain(|uid, _| all.iter().any(|it| it.uid().as_ref() == Some(uid)));
        for image in all {
            let uid = image.uid().unwrap_or_default();
            let generation = image.metadata.generation;
            let known = self.kept.get(&uid);
            if known.is_some_and(|(of, task)| *of == generation && !task.is_finished())
                || (known.is_none() && self.kept.len() >= MOST_IMAGES)
            {
                continue;
            }
            let task = tokio::spawn(keep(
                Arc::clone(&self.context),
                image,
                Arc::clone(&self.turns),
            ));
            self.kept
                .insert(uid, (generation, AbortOnDropHandle::new(task)));
        }
    }
}

/// Keeps one at hand as long as this node is selected.
async fn keep(context: Arc<Context>, image: Arc<LaunchImage>, turns: Arc<Semaphore>) {
    let mut part = Part::of(&context, &image, turns);
    let mut backoff = Backoff::new(LEAST, MOST);
    loop {
        let labels = match labels(&context).await {
            Ok(labels) => labels,
            Err(error) => {
                tracing::warn!(
                    error,
                    "the labels of this node are not known; they are asked for again"
                );
                sleep(backoff.after_failure()).await;
                continue;
            }
        };
        let selector = &image.spec.node_selector;
        let is_selected = selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        let begun = Instant::now();
        let is_well = part.ready(is_selected).await;
        let wait = match is_well {
            true => {
                backoff.reset();
                LOOK.saturating_sub(begun.elapsed())
            }
            false => backoff.after_failure(),
        };
        sleep(wait).await;
    }
}

async fn labels(context: &Context) -> Result<BTreeMap<String, String>, String> {
    let api: Api<Node> = Api::all(context.client.clone());
    let node = timeout(ANSWER, api.get_metadata(&context.node)).await;
    let node = node.map_err(|_late| "no answer".to_owned())?;
    let node = node.map_err(|error| whole(&error))?;
    Ok(node.labels().clone())
}
