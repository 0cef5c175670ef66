//! Who made the call that is being served.
//!
//! **Invariant:** nothing in here comes from the caller's own words but the call's id, which is of 64 printable characters at most.

use std::sync::{Arc, OnceLock};

use http::Extensions;
use stagepages_audit::Who;
use tonic::Status;

use super::Audit;
use crate::{
    auth::Caller,
    net::PeerInfo,
    rpc::status::{ApiError, printable},
};

/// The most that a text in a record takes, in bytes.
pub(super) const TEXT: usize = 256;

/// What a look at the status page counts as: a call that shows launches.
const PAGE: &str = "stagepages.v1.LaunchService/ListLaunches";

tokio::task_local! {
    static CALL: Call;
}

/// A call, for whoever has something to tell of it.
#[derive(Debug, Clone)]
pub struct Call {
    pub(super) audit: Audit,
    /// As its peer is known; that is all there is to say of one that is not let in.
    peer: Who,
    /// Identity and tenant of one that is.
    known: Arc<OnceLock<(String, String)>>,
}

impl Call {
    /// A call that has come, of the method at `path`, with this id if it has one.
    #[must_use]
    pub fn new(audit: Audit, extensions: &Extensions, path: &str, request: &str) -> Self {
        let peer = extensions.get::<PeerInfo>();
        let names = peer.map(PeerInfo::names).unwrap_or_default();
        let address = match peer {
            Some(PeerInfo::Unix { uid, gid, pid } | PeerInfo::Device { uid, gid, pid, .. }) => {
                let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                format!("unix:uid={uid},gid={gid},pid={pid}")
            }
            Some(PeerInfo::Tls { address, .. } | PeerInfo::Plain { address }) => {
                format!("tcp:{address}")
            }
            None => String::new(),
        };
        let identity = names.first().map_or("unknown", String::as_str);
        Self {
            audit,
            peer: Who {
                identity: printable(identity, TEXT),
                tenant: String::new(),
                address,
                method: printable(path.trim_start_matches('/'), TEXT),
                request: request.to_owned(),
            },
            known: Arc::default(),
        }
    }

    /// Who makes it: the caller that the policy knows once it is let in, and before that its peer.
    #[must_use]
    pub fn who(&self) -> Who {
        match self.known.get() {
            Some((identity, tenant)) => Who {
                identity: identity.clone(),
                tenant: tenant.clone(),
                ..self.peer.clone()
            },
            None => self.peer.clone(),
        }
    }
}

/// Tells that this peer was refused a page that shows what calls of the API show.
pub fn page_refused(audit: &Audit, peer: &PeerInfo, error: &ApiError) {
    let mut extensions = Extensions::new();
    extensions.insert(peer.clone());
    Call::new(audit.clone(), &extensions, PAGE, "").tell(&Status::from(error.clone()));
}

/// Takes that the call that is served here is let in as the caller that its extensions have.
pub fn let_in(extensions: &Extensions) {
    if let (Some(call), Some(caller)) = (current(), extensions.get::<Caller>()) {
        // Set once, by this call.
        call.known.get_or_init(|| {
            let tenant = caller.tenant.as_str().to_owned();
            (printable(&caller.identity, TEXT), tenant)
        });
    }
}

/// Runs a call's own work, which knows then whose it is.
pub fn within<F: Future>(call: Call, work: F) -> impl Future<Output = F::Output> {
    CALL.scope(call, work)
}

/// Takes the current call along into a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let call = current();
    // As large as the work otherwise, three times over.
    let work = Box::pin(work);
    async move {
        match call {
            Some(call) => CALL.scope(call, work).await,
            None => work.await,
        }
    }
}

/// The call that is being served here; none outside of one.
#[must_use]
pub fn current() -> Option<Call> {
    CALL.try_with(Clone::clone).ok()
}
