//! The page that Prometheus reads.
//!
//! **Invariant:** nothing but `/metrics` is there, and a query changes nothing.

use http::{Request, Response, StatusCode};

use super::{Metrics, Sources, text::Format};
use crate::net::{
    PeerInfo,
    pages::{Page, Site, text},
};

/// `/metrics`.
#[derive(Debug)]
pub struct MetricsSite {
    metrics: Metrics,
    sources: Sources,
}

impl MetricsSite {
    /// Of these.
    #[must_use]
    pub fn new(metrics: Metrics, sources: Sources) -> Self {
        Self { metrics, sources }
    }
}

impl Site for MetricsSite {
    async fn visit(&self, request: Request<()>, _: &PeerInfo) -> Response<Page> {
        if request.uri().path() != "/metrics" {
            let words = "nothing is here but /metrics\n";
            return text(StatusCode::NOT_FOUND, "text/plain", words);
        }
        let format = Format::accepted(request.headers());
        match self.metrics.scrape(format, &self.sources) {
            Ok(scraped) => text(StatusCode::OK, format.content_type(), scraped),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written");
                let words = "metrics cannot be written; see the daemon's log\n";
                text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", words)
            }
        }
    }
}
