//! A stand-in for the API server of Kubernetes: its HTTP API over TCP, with a store in memory.
//!
//! ```text
//! http     requests, answers, watches with bookmarks and 410
//! store    objects, versions, history; finalizers, generations, preconditions, the status subresource
//! patch    merge patch, and server-side apply of a status
//! schema   what the CRDs refuse
//! ```
//!
//! **Invariant:** answers as the API's conventions say; what the agent does with them is not known here.

mod http;
mod patch;
mod schema;
mod store;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use store::Store;
pub(crate) use store::{IMAGES, Kind, LAUNCHES, NODES, PODS};

/// How it misbehaves.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// Milliseconds before each answer.
    pub(crate) slow: AtomicU64,
    /// So many writes are answered 409.
    pub(crate) conflicts: AtomicU64,
    /// So many requests are answered 500.
    pub(crate) errors: AtomicU64,
    /// Writes that were answered 409.
    pub(crate) conflicted: AtomicU64,
}

/// What requests and tests share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    news: watch::Sender<u64>,
    pub(crate) manner: Manner,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    fn tell(&self) {
        let version = self.store().version();
        self.news.send_replace(version);
    }
}

/// The server.
#[derive(Debug)]
pub(crate) struct ApiServer {
    pub(crate) shared: Arc<Shared>,
    address: SocketAddr,
    up: Option<CancellationToken>,
}

impl ApiServer {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared {
            store: Mutex::new(Store::new()),
            news: watch::channel(0).0,
            manner: Manner::default(),
        };
        let mut server = Self {
            shared: Arc::new(shared),
            address: listener.local_addr().unwrap(),
            up: None,
        };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        tokio::spawn(http::serve(
            listener,
            Arc::clone(&self.shared),
            stop.clone(),
        ));
        self.up = Some(stop);
    }

    /// Ends it: every connection breaks, and nobody listens.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.up.take() {
            stop.cancel();
        }
    }

    /// Starts it again at the same address, with the same objects.
    pub(crate) async fn again(&mut self) {
        self.stop();
        let address = self.address;
        let listener = stagepages_tests::eventually("the address to be free", async || {
            TcpListener::bind(address).await.ok()
        })
        .await;
        self.serve(listener);
    }

    /// A configuration with which a client finds it.
    pub(crate) fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\nclusters:\n- name: it\n  cluster: {{server: \"http://{}\"}}\ncontexts:\n- name: it\n  context: {{cluster: it, user: it}}\nusers:\n- name: it\n  user: {{}}\n",
            self.address
        )
    }

    /// Creates an object; or how it is refused.
    pub(crate) fn create(
        &self,
        kind: Kind,
        namespace: &str,
        object: Value,
    ) -> Result<Value, String> {
        let created = self.shared.store().create(kind, namespace, object);
        self.shared.tell();
        created.map_err(|refused| refused.message)
    }

    /// An object.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.shared.store().get(kind, namespace, name)
    }

    /// What was told of an object, in Events.
    pub(crate) fn told(&self, name: &str) -> Vec<String> {
        let events = self.shared.store().list(store::EVENTS, None).into_iter();
        let about = events.filter(|it| it["regarding"]["name"] == name);
        about
            .map(|it| it["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Deletes an object, as a person would.
    pub(crate) fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        self.shared.store().delete(kind, namespace, name);
        self.shared.tell();
    }

    /// Merges something into an object, status and all.
    pub(crate) fn merge(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) {
        self.shared.store().merge(kind, namespace, name, patch);
        self.shared.tell();
    }

    /// Forgets what happened: whoever watches is told 410, and has to list anew.
    pub(crate) fn forget(&self) {
        self.shared.store().forget();
        self.shared.tell();
    }

    /// So many writes fail with a conflict.
    pub(crate) fn conflict(&self, writes: u64) {
        self.shared.manner.conflicts.store(writes, Ordering::SeqCst);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}
