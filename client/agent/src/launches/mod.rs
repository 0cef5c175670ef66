//! `ConfidentialLaunch` and `LaunchImage` on this node.
//!
//! ```text
//! API server ──watch──▶ launches ─┐
//!            ──watch──▶ pods here ─┼─▶ sweep: which are this node's ──▶ one Life for each ──▶ daemon, as the tenant of its device
//!            ──watch──▶ images ────┘                                      └──▶ status, finalizer, events
//! ```
//!
//! | module      | one idea                                                              |
//! |-------------|-----------------------------------------------------------------------|
//! | `sweep`     | which objects are this node's                                          |
//! | `life`      | one object, from its claim to its end                                  |
//! | `bind`      | its device, given and taken                                            |
//! | `pods`      | what is to be known of a pod                                           |
//! | `devices`   | which device is which launch's                                         |
//! | `platform`  | whether there can be one here                                          |
//! | `options`   | the settings of an object as options of a plan                         |
//! | `prepare`   | from an artifact to a plan                                             |
//! | `memory`    | room for images                                                        |
//! | `ready`     | pulled and planned                                                     |
//! | `carry`     | created, staged, finished                                              |
//! | `follow`    | started, watched                                                       |
//! | `keep`      | its lease                                                              |
//! | `over`      | what ended it                                                          |
//! | `undo`      | aborted                                                                |
//! | `tell`      | the status, by one writer                                              |
//! | `finalizer` | no object goes before its launch                                       |
//! | `events`    | what a person should see                                               |
//!
//! **Invariant:** what a launch is, its object and the daemon say together: an agent that is killed at any point finds it there again, and makes no other.

mod bind;
mod carry;
mod devices;
pub(crate) mod events;
mod finalizer;
mod follow;
mod keep;
mod life;
mod memory;
pub(crate) mod options;
mod over;
mod platform;
mod pods;
pub(crate) mod prepare;
mod ready;
mod sweep;
mod tell;
mod undo;

use std::{future::ready, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{
        WatchStreamExt as _, reflector,
        utils::Backoff as _,
        watcher::{self, DefaultBackoff, Event},
    },
};
use stagepages_client::Endpoint;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    cause::whole,
    cli::Settings,
    health::Health,
    images,
    registry::Puller,
    resources::{ConfidentialLaunch, LaunchImage},
};
use devices::Devices;
use events::Events;
use memory::Memory;
use sweep::Sweep;

/// What every life needs.
pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) node: String,
    pub(crate) puller: Puller,
    pub(crate) events: Events,
    device_dir: PathBuf,
    /// The daemon's main socket.
    endpoint: Endpoint,
    devices: Devices,
    pub(crate) memory: Memory,
    /// How long launches live without an agent.
    lease: Option<Duration>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The longest wait before a watch that failed is begun anew.
const MOST: Duration = Duration::from_secs(30);
/// News are gathered for this long before they are acted on.
const GATHER: Duration = Duration::from_millis(50);
/// All is looked at anew after this, news or not.
const ANEW: Duration = Duration::from_secs(30);

/// Carries out the custom resources of this node until `stop`.
///
/// # Errors
/// There is no API server to be found in the environment, or the cache cannot be used.
pub(crate) async fn run(
    settings: Settings,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // Whoever was first is as good: it is the only one in this program.
    drop(rustls::crypto::ring::default_provider().install_default());
    health.set("controller", false).await;
    let config = kube::Config::infer()
        .await
        .context("no API server is known; run in a pod with a service account, or name a file with KUBECONFIG")?;
    let client = kube::Client::try_from(config).context("the API server cannot be used")?;
    let context = Arc::new(Context {
        puller: Puller::new(settings.cache_dir.clone(), &settings.access)?,
        events: Events::new(client.clone(), &settings.node_name),
        device_dir: settings.device_dir.clone(),
        endpoint: settings.endpoint.clone(),
        devices: Devices::new(&settings),
        memory: Memory::new(settings.access.image_memory),
        lease: settings.launch_lease,
        node: settings.node_name.clone(),
        client,
    });
    watch(&context, &health, stop).await;
    health.set("controller", false).await;
    Ok(())
}

/// One kind, watched; each item tells whether the API server answered.
fn reflected<K>(
    api: Api<K>,
    config: watcher::Config,
) -> (
    reflector::Store<K>,
    impl Stream<Item = Result<bool, String>>,
)
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let begin = |api: &Api<K>, config: &watcher::Config| {
        watcher::watcher(api.clone(), config.clone()).boxed()
    };
    // One that failed is begun by a list, which is answered at once. A watch that goes on says nothing of an API server that is back until something changes.
    let first = (
        Some(begin(&api, &config)),
        DefaultBackoff::default(),
        api,
        config,
    );
    let news = stream::unfold(first, move |(watch, mut backoff, api, config)| async move {
        let mut watch = match watch {
            Some(watch) => watch,
            None => {
                sleep(backoff.next().unwrap_or(MOST)).await;
                begin(&api, &config)
            }
        };
        let news = watch.next().await?;
        // That it begins is no answer.
        if news.as_ref().is_ok_and(|it| !matches!(it, Event::Init)) {
            backoff.reset();
        }
        let watch = news.is_ok().then_some(watch);
        Some((news, (watch, backoff, api, config)))
    });
    let news = news.reflect(writer).filter_map(|news| {
        ready(match news {
            // It is about to ask, which is no answer.
            Ok(Event::Init) => None,
            Ok(event) => Some(Ok(matches!(event, Event::InitDone))),
            Err(error) => Some(Err(whole(&error))),
        })
    });
    (store, news)
}

async fn watch(context: &Arc<Context>, health: &Health, stop: CancellationToken) {
    let client = &context.client;
    let here = watcher::Config::default().fields(&format!("spec.nodeName={}", context.node));
    let (launches, news_of_launches) = reflected(
        Api::<ConfidentialLaunch>::all(client.clone()),
        watcher::Config::default(),
    );
    let (pods, news_of_pods) = reflected(Api::<Pod>::all(client.clone()), here);
    let (all_images, news_of_images) = reflected(
        Api::<LaunchImage>::all(client.clone()),
        watcher::Config::default(),
    );
    let (mut of_launches, mut of_pods, mut of_images) = (
        pin!(news_of_launches),
        pin!(news_of_pods),
        pin!(news_of_images),
    );
    // Nothing is judged before each kind was listed once: what is not listed would look like gone.
    let mut listed = [false; 3];
    let mut serving = [true; 3];
    let mut sweep = Sweep::new(Arc::clone(context), launches, pods);
    let mut images = images::Images::new(Arc::clone(context), all_images);
    let mut next = Instant::now();
    loop {
        let (kind, news) = tokio::select! {
            () = stop.cancelled() => break,
            Some(news) = of_launches.next() => (0, news),
            Some(news) = of_pods.next() => (1, news),
            Some(news) = of_images.next() => (2, news),
            () = sweep.ended() => {
                next = next.min(Instant::now() + GATHER);
                continue;
            }
            () = sleep_until(next), if listed == [true; 3] => {
                sweep.sweep(!serving[1]);
                images.sweep();
                next = Instant::now() + ANEW;
                continue;
            }
        };
        let was_well = serving == [true; 3] && listed == [true; 3];
        match news {
            Ok(is_listed) => {
                serving[kind] = true;
                listed[kind] |= is_listed;
                next = next.min(Instant::now() + GATHER);
            }
            Err(error) => {
                if serving[kind] {
                    tracing::warn!(
                        error,
                        "the API server does not answer; it is asked again, and launches go on meanwhile"
                    );
                }
                serving[kind] = false;
            }
        }
        let is_well = serving == [true; 3] && listed == [true; 3];
        if is_well != was_well {
            health.set("controller", is_well).await;
        }
    }
}
