//! The status page: what an operator wants to see of this daemon, as HTML, read-only. For operators it is described in deploy/STATUS.md.
//!
//! ```text
//!  net::pages (bounds, who it is) ─▶ request (Host, path) ─▶ look (the API's own handlers) ─▶ render (HTML)
//!                                                                ├ page_map (ledgers, summed into cells)
//!                                                                └ tenants (who has launches, for overseers)
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
mod tenants;
mod unseen;

use std::time::{Duration, Instant, SystemTime};

use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;

use self::{
    look::Facts,
    page_map::PageMaps,
    rate::Rates,
    request::{Asked, Form, Refusal},
    unseen::Unseen,
};
use crate::{
    audit::{self, Audit},
    auth::Gatekeeper,
    net::{
        PeerInfo,
        pages::{Page, Site},
    },
    rpc::{ImageApi, LaunchApi, NodeApi},
};

/// Pages that are put together at one time; more wait for a moment.
const AT_ONCE: usize = 4;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// An answer.
type Answer = Response<Page>;

/// What the page is made of.
#[derive(Debug)]
pub struct StatusPage {
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
        Self {
            keeper,
            launches,
            node,
            images,
            audit,
            facts: Facts::new(epoch, Instant::now()),
            maps: PageMaps::default(),
            rates: Rates::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    async fn show(&self, peer: &PeerInfo, asked: &Asked, form: Form) -> Result<Answer, Refusal> {
        if !self.rates.take(peer) {
            let text = "too many requests of this caller; wait a second";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text));
        }
        if peer.has_expired(SystemTime::now()) {
            let text = "the client's certificate has expired since it connected; connect again with a valid one";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
        let turn = tokio::time::timeout(TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let text = "too many pages are being put together; wait a second";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let look = self
            .look(peer, asked)
            .await
            .map_err(|unseen| match unseen {
                Unseen::Refused(error) => {
                    audit::page_refused(&self.audit, peer, &error);
                    Refusal::new(StatusCode::FORBIDDEN, error.to_string())
                }
                Unseen::Missing(text) => Refusal::new(StatusCode::NOT_FOUND, text),
                Unseen::Malformed(text) => Refusal::new(StatusCode::BAD_REQUEST, text),
                Unseen::Failed(text) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text),
            })?;
        Ok(respond::page(&look, form))
    }
}

impl Site for StatusPage {
    async fn visit(&self, request: Request<()>, visitor: &PeerInfo) -> Answer {
        let over_tls = matches!(visitor, PeerInfo::Tls { .. });
        let shown = match request::check(&request, over_tls) {
            Ok(asked) => self.show(visitor, &asked, Form::of(&request)).await,
            Err(refusal) => Err(refusal),
        };
        shown.unwrap_or_else(|refusal| respond::refused(&refusal))
    }
}
