//! Launches that are being staged, each by clients of its own, and what those came to know.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stagepages_proto::v1::{Launch, OrderingMode, Platform, SimSettings};
use stagepages_tests::{
    Bench, Book, Client, Contents, Faults, Image, Proxy, World, numbered, plan, stagectl_stage,
};
use tokio_util::task::TaskTracker;

use super::PAGES;
use super::victim::Victim;

/// What is staged: `one` by all, `other` by the rival.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) one: Arc<Image>,
    pub(super) other: Arc<Image>,
}

impl Images {
    pub(super) async fn new(bench: &Bench) -> Self {
        Self {
            one: Arc::new(Image::new(bench, PAGES).await),
            other: Arc::new(Image::random(0xbad, PAGES)),
        }
    }
}

/// Who stages a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Numbered,
    Rivals,
    Tool,
}

/// One launch under load.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) kind: Kind,
    /// As it was created.
    pub(super) launch: Launch,
    pub(super) proxy: Proxy,
}

/// What the clients of a launch knew in the end.
#[derive(Debug)]
pub(super) enum Known {
    /// Each client's book, and whether it staged the other image.
    Books(Vec<(Book, bool)>),
    /// How often it was killed, and the last document.
    Tool(u64, Value),
}

impl Load {
    /// Creates the launch and the way to it.
    pub(super) async fn new(
        bench: &Bench,
        kind: Kind,
        images: &Images,
        random: &mut Contents,
    ) -> Self {
        let mode = match kind {
            Kind::Numbered => OrderingMode::Sequenced,
            Kind::Rivals => OrderingMode::Unordered,
            Kind::Tool if random.below(2) == 0 => OrderingMode::Sequenced,
            Kind::Tool => OrderingMode::Unordered,
        };
        let id = format!("{kind:?}").to_lowercase();
        let mut spec = images.one.spec(bench.platform, mode);
        spec.labels.insert("kind".to_owned(), id.clone());
        if bench.platform == Platform::Sim {
            // Slow enough that most moments are in the middle of an extent.
            let latency = Duration::from_micros(100).try_into().unwrap();
            spec.sim = Some(SimSettings {
                page_latency: Some(latency),
                faults: Vec::new(),
            });
        }
        let launch = bench.api.create(&id, spec).await.unwrap();
        let path = bench.daemon.dir().join(&id);
        Self {
            kind,

            launch,
            proxy: Proxy::start(path, bench.daemon.socket(), Faults::none()),
        }
    }

    /// Begins to stage; `tracker` knows when all is done.
    pub(super) fn start(
        &self,
        images: &Images,
        victim: Victim,
        random: &mut Contents,
        tracker: &TaskTracker,
        file: PathBuf,
    ) -> tokio::task::JoinHandle<Known> {
        let world = World {
            rivals: self.kind == Kind::Rivals,
            daemon_dies: true,
            host_dies: victim.ends_launches(),
        };
        let client = |who, image: &Arc<Image>, plan, seed| Client {
            who,
            socket: self.proxy.socket().to_owned(),
            launch: self.launch.name.clone(),
            image: Arc::clone(image),
            plan,
            random: Contents::new(seed),
            book: Book::default(),
            world,
        };
        let Images { one, other } = images;
        let seed = random.next_u64();
        let two = match self.kind {
            Kind::Numbered => {
                let plan = numbered(PAGES, &mut Contents::new(seed));
                let again = client("again", one, plan.clone(), seed ^ 1);
                [(client("first", one, plan, seed), false), (again, false)]
            }
            Kind::Rivals => {
                let upward = plan(PAGES, &mut Contents::new(seed), "upward");
                let mut downward = plan(PAGES, &mut Contents::new(seed ^ 1), "downward");
                downward.make_contiguous().reverse();
                let rival = client("downward", other, downward, seed ^ 1);
                [(client("upward", one, upward, seed), false), (rival, true)]
            }
            Kind::Tool => {
                let (proxy, name) = (self.proxy.clone(), self.launch.name.clone());
                let kills = victim.clients();
                return tracker.spawn(async move {
                    let mut random = Contents::new(seed);
                    let (killed, document) =
                        stagectl_stage(&proxy, &name, &file, kills, &mut random).await;
                    Known::Tool(killed, document)
                });
            }
        };
        tracker.spawn(async move {
            let [(one, own), (other, others)] = two;
            let (one, other) = tokio::join!(tokio::spawn(one.run()), tokio::spawn(other.run()));
            Known::Books(vec![(one.unwrap(), own), (other.unwrap(), others)])
        })
    }
}
