//! Which objects are this node's, and a life for each of them.
//!
//! ```text
//! status names this node ───────────────────────────────────────────────────┐
//! status names none, and its pod is on this node, and is not being deleted ──┴─▶ this node's
//! ```
//!
//! **Invariant:** one life for an object at a time, and none after one that told its end; an object of another node is left alone, whatever it says.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{sync::watch, task::JoinSet};

use super::{
    Context, finalizer,
    life::{End, Wish, live},
    pods,
};
use crate::resources::ConfidentialLaunch;

/// Objects of one pod that are carried out at a time; it has seldom more than one device.
const MOST_OF_A_POD: usize = 16;

/// How a life ended that is not to be followed by another, whatever a store says that has not heard of it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its end is told; what is left is to undo it, once it is deleted.
    Over,
    /// The finalizer is off.
    Deleted,
}

/// All that is this node's.
pub(super) struct Sweep {
    context: Arc<Context>,
    launches: Store<ConfidentialLaunch>,
    pods: Store<Pod>,
    lives: HashMap<String, watch::Sender<Wish>>,
    ended: HashMap<String, Ended>,
    tasks: JoinSet<(String, Option<Ended>)>,
}

impl Sweep {
    pub(super) fn new(
        context: Arc<Context>,
        launches: Store<ConfidentialLaunch>,
        pods: Store<Pod>,
    ) -> Self {
        Self {
            context,
            launches,
            pods,
            lives: HashMap::new(),
            ended: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Waits until a life has ended.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((_, (uid, ended)))) => {
                self.lives.remove(&uid);
                self.ended.extend(ended.map(|ended| (uid, ended)));
            }
            // One that panicked has no name; those whose receiver is gone are it.
            Some(Err(error)) => {
                tracing::error!(%error, "a defect of the node agent ended the work on a launch; it is taken up again");
                self.lives.retain(|_, wish| !wish.is_closed());
            }
            None => std::future::pending().await,
        }
    }

    /// Looks at every object. Where what is known of pods `is_old`, none is taken up for its pod.
    pub(super) fn sweep(&mut self, is_old: bool) {
        let (mut seen, mut there) = (HashSet::new(), HashSet::new());
        let mut of_pod: HashMap<(String, String), usize> = HashMap::new();
        let mut all = self.launches.state();
        all.sort_by_key(|it| (it.creation_timestamp(), it.uid()));
        for launch in all {
            let uid = launch.uid().unwrap_or_default();
            there.insert(uid.clone());
            let status = launch.status.as_ref();
            let node = status.and_then(|it| it.node.as_deref());
            let namespace = launch.namespace().unwrap_or_default();
            let pod = ObjectRef::<Pod>::new(&launch.spec.pod_name).within(&namespace);
            let pod = self.pods.get(&pod);
            let is_ours = match node {
                Some(node) => node == self.context.node,
                // One that has a life may have been bound a moment ago: it says itself whether it was.
                None if self.lives.contains_key(&uid) => true,
                None => !is_old && pod.as_ref().is_some_and(|it| !pods::is_ending(it)),
            };
            if !is_ours {
                continue;
            }
            seen.insert(uid.clone());
            let is_deleted = launch.metadata.deletion_timestamp.is_some();
            let is_over = status.is_some_and(|it| it.state.is_over());
            let ended = self.ended.get(&uid).copied();
            let is_done = match is_deleted {
                true => ended == Some(Ended::Deleted) || !finalizer::is_on(&launch),
                false => ended.is_some() || is_over,
            };
            let key = (namespace, launch.spec.pod_name.clone());
            let count = of_pod.entry(key).or_default();
            *count += usize::from(!is_done && !is_deleted);
            let wish = Wish {
                launch: Some(Arc::clone(&launch)),
                pod,
            };
            if let Some(life) = self.lives.get(&uid) {
                life.send_if_modified(|before| {
                    let is_new = !before.is(&wish);
                    *before = wish;
                    is_new
                });
                continue;
            }
            if is_done {
                self.context.devices.leave(&uid);
                continue;
            }
            if *count > MOST_OF_A_POD && !is_deleted {
                continue;
            }
            if let Some(device) = status.and_then(|it| it.device.as_deref()) {
                self.context.devices.hold(&uid, device);
            }
            self.begin(uid, wish);
        }
        for (uid, life) in &self.lives {
            if !seen.contains(uid) {
                life.send_if_modified(|wish| wish.launch.take().is_some());
            }
        }
        self.ended.retain(|uid, _| there.contains(uid));
    }

    fn begin(&mut self, uid: String, wish: Wish) {
        let (tell, receive) = watch::channel(wish);
        let context = Arc::clone(&self.context);
        self.lives.insert(uid.clone(), tell);
        self.tasks.spawn(async move {
            // On the heap: it holds all that staging holds.
            let ended = match Box::pin(live(context, receive)).await {
                Some(End::Deleted) => Some(Ended::Deleted),
                Some(End::Pod(_) | End::Device(_)) => Some(Ended::Over),
                Some(End::Unbound | End::Gone) => None,
                None => Some(Ended::Over),
            };
            (uid, ended)
        });
    }
}
