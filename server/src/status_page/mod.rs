//! The status page: what an operator wants to see of this daemon, as HTML, read-only. For operators it is described in deploy/STATUS.md.
//!
//! ```text
//!  a connection ─▶ serve (bounds, who it is) ─▶ request (method, Host, path) ─▶ look (the API's own handlers) ─▶ render (HTML)
//!                                                                                 └ page_map (ledgers, summed into cells)
//! ```
//!
//! Every number comes from the handler of the call that tells it over the API, asked as the same caller: so what is shown, to whom, and what is refused cannot
//! differ from the API.
//!
//! **Invariant:** nothing is changed by a request, none is answered without the policy's leave, and none waits for a launch host for longer than a moment.

mod look;
mod page_map;
mod rate;
mod render;
mod request;
mod respond;
mod serve;

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;

use self::{
    look::{Facts, Unseen},
    page_map::PageMaps,
    rate::Rates,
    request::{Form, Place, Refusal},
};
use crate::{
    audit::{self, Audit},
    auth::Gatekeeper,
    net::PeerInfo,
    rpc::{ImageApi, LaunchApi, NodeApi},
};

pub use serve::{BindStatusError, StatusListener, bind};

/// Pages that are put together at one time; more wait for a moment.
const AT_ONCE: usize = 4;

/// How long a request waits for its turn.
const TURN: std::time::Duration = std::time::Duration::from_secs(2);

/// An answer.
type Answer = Response<Full<Bytes>>;

/// What the page is made of. Clones are the same.
#[derive(Debug, Clone)]
pub struct StatusPage(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    keeper: Gatekeeper,
    launches: LaunchApi,
    node: NodeApi,
    images: ImageApi,
    audit: Audit,
    facts: Facts,
    maps: PageMaps,
    rates: Rates,
    turns: Semaphore,
}

impl StatusPage {
    /// The page of the daemon that serves these, and began now.
    #[must_use]
    pub fn new(
        keeper: Gatekeeper,
        launches: LaunchApi,
        node: NodeApi,
        images: ImageApi,
        audit: Audit,
        epoch: u64,
    ) -> Self {
        Self(Arc::new(Parts {
            keeper,
            launches,
            node,
            images,
            audit,
            facts: Facts::new(epoch, Instant::now()),
            maps: PageMaps::default(),
            rates: Rates::default(),
            turns: Semaphore::new(AT_ONCE),
        }))
    }

    /// Answers a request of `peer`, whose body is not looked at.
    async fn answer<B>(&self, peer: &PeerInfo, request: &Request<B>) -> Answer {
        let form = Form::of(request);
        let answer = match request::check(request) {
            Err(refusal) => respond::refused(&refusal),
            Ok(place) => match self.show(peer, &place, form).await {
                Ok(answer) => answer,
                Err(refusal) => respond::refused(&refusal),
            },
        };
        respond::without_body_if_head(request.method(), answer)
    }

    async fn show(&self, peer: &PeerInfo, place: &Place, form: Form) -> Result<Answer, Refusal> {
        let parts = &self.0;
        if !parts.rates.take(peer) {
            let text = "too many requests of this caller; wait a second";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text));
        }
        if peer.has_expired(SystemTime::now()) {
            let text = "the client's certificate has expired since it connected; connect again with a valid one";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
        let turn = tokio::time::timeout(TURN, parts.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let text = "too many pages are being put together; wait a second";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let look = self
            .look(peer, place)
            .await
            .map_err(|unseen| match unseen {
                Unseen::Refused(error) => {
                    audit::page_refused(&parts.audit, peer, &error);
                    Refusal::new(StatusCode::FORBIDDEN, error.to_string())
                }
                Unseen::Missing(text) => Refusal::new(StatusCode::NOT_FOUND, text),
                Unseen::Malformed(text) => Refusal::new(StatusCode::BAD_REQUEST, text),
                Unseen::Failed(text) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text),
            })?;
        Ok(respond::page(&look, form))
    }
}
