//! A stand-in for the API server of Kubernetes: its HTTP API over TLS, with a store in memory.
//!
//! ```text
//! tls        certificates, and the files with which a client finds it
//! user       whose token it is
//! role       what the roles of that one allow
//! http       requests, answers, watches with bookmarks and 410
//! store      objects, versions, history; finalizers, generations, preconditions, the status subresource
//! patch      merge patch, and server-side apply of a status
//! schema     what the CRDs refuse: types and bounds
//! cel        what the CRDs refuse: their rules
//! policy     what the admission policies refuse, by who calls
//! refused    how that is told
//! manifests  all of these as they are checked in
//! ```
//!
//! **Invariant:** answers as the API's conventions say; what the agent does with them is not known here.

mod cel;
mod http;
pub(crate) mod manifests;
mod patch;
mod policy;
mod refused;
mod role;
mod schema;
mod store;
mod tls;
mod user;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use hyper::HeaderMap;
use serde_json::Value;
use stagepages_tests::Authority;
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub(crate) use patch::merge;
use refused::Refused;
use role::Roles;
use store::Store;
pub(crate) use store::{EVENTS, IMAGES, Kind, LAUNCHES, NODES, PODS};
pub(crate) use user::User;

/// How it misbehaves.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// Milliseconds before each answer.
    pub(crate) slow: AtomicU64,
    /// So many writes are answered 409.
    pub(crate) conflicts: AtomicU64,
    /// So many requests are answered 500.
    pub(crate) errors: AtomicU64,
    /// Whoever watches launches is told nothing of them for now.
    pub(crate) late: AtomicBool,
    /// Writes that were answered 409.
    pub(crate) conflicted: AtomicU64,
    /// What was answered to requests that ought not to be asked: without a known token, or not allowed.
    pub(crate) denials: Mutex<Vec<String>>,
    /// Connections that ended before their TLS began.
    pub(crate) strangers: AtomicU64,
}

impl Manner {
    fn deny(&self, refused: &Refused) {
        if matches!(refused.code, 401 | 403 | 422) {
            self.denials.lock().unwrap().push(refused.message.clone());
        }
    }
}

/// What requests and tests share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    news: watch::Sender<u64>,
    users: Mutex<BTreeMap<String, User>>,
    roles: Roles,
    pub(crate) manner: Manner,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Whose request it is.
    fn user(&self, headers: &HeaderMap) -> Option<User> {
        let header = headers.get("authorization")?.to_str().ok()?;
        let token = header.strip_prefix("Bearer ")?;
        self.users.lock().unwrap().get(token).cloned()
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
    pub(crate) ca: Authority,
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
            users: Mutex::default(),
            roles: Roles::read(),
            manner: Manner::default(),
        };
        let mut server = Self {
            shared: Arc::new(shared),
            ca: Authority::new("Kubernetes"),
            address: listener.local_addr().unwrap(),
            up: None,
        };
        server.serve(listener, tls::acceptor(&server.ca));
        server
    }

    fn serve(&mut self, listener: TcpListener, tls: TlsAcceptor) {
        let stop = CancellationToken::new();
        tokio::spawn(http::serve(
            listener,
            tls,
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
        let tls = tls::acceptor(&self.ca);
        self.again_with(tls).await;
    }

    /// The same, but with a certificate that another CA signed.
    pub(crate) async fn again_under(&mut self, other: &Authority) {
        self.again_with(tls::acceptor(other)).await;
    }

    async fn again_with(&mut self, tls: TlsAcceptor) {
        self.stop();
        let address = self.address;
        let listener = stagepages_tests::eventually("the address to be free", async || {
            TcpListener::bind(address).await.ok()
        })
        .await;
        self.serve(listener, tls);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes the bearer of a token for somebody.
    pub(crate) fn admit(&self, token: &str, user: User) {
        self.shared
            .users
            .lock()
            .unwrap()
            .insert(token.to_owned(), user);
    }

    /// What was refused until now, which nobody is to be blamed for.
    pub(crate) fn pardon(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.manner.denials.lock().unwrap())
    }

    /// Writes what a client needs to find and to believe it, as a pod has it; `dir/kubeconfig` names the rest.
    pub(crate) fn write_config(&self, dir: &Path, token: &str) {
        tls::write_config(dir, self.address, &self.ca, token);
    }

    /// Creates an object; or how it is refused.
    pub(crate) fn create(
        &self,
        kind: Kind,
        namespace: &str,
        object: Value,
    ) -> Result<Value, String> {
        let created = {
            let mut store = self.shared.store();
            store.create(&User::admin(), kind, namespace, object)
        };
        self.shared.tell();
        created.map_err(|refused| refused.message)
    }

    /// An object.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.shared.store().get(kind, namespace, name)
    }

    /// Every version of every object of a kind, the oldest first.
    pub(crate) fn all(&self, kind: Kind) -> Vec<Value> {
        self.shared.store().all(kind).cloned().collect()
    }

    /// Whether those who watch launches hear of them late, which is until this is taken back.
    pub(crate) fn late(&self, is_late: bool) {
        self.shared.manner.late.store(is_late, Ordering::SeqCst);
        self.shared.tell();
    }

    /// What was told of an object, in Events.
    pub(crate) fn told(&self, name: &str) -> Vec<String> {
        let events = self.shared.store().list(EVENTS, None).into_iter();
        let about = events.filter(|it| it["regarding"]["name"] == name);
        about
            .map(|it| it["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What was told of an object, in words.
    pub(crate) fn notes(&self, name: &str) -> Vec<String> {
        let events = self.shared.store().list(EVENTS, None).into_iter();
        let about = events.filter(|it| it["regarding"]["name"] == name);
        about
            .map(|it| it["note"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How often something was told of it, repeats included.
    pub(crate) fn times_told(&self, name: &str) -> u64 {
        let events = self.shared.store().list(EVENTS, None).into_iter();
        let about = events.filter(|it| it["regarding"]["name"] == name);
        about
            .map(|it| it["series"]["count"].as_u64().unwrap_or(1))
            .sum()
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
