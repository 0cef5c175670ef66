//! Which calls are traced, and the queue of spans that have ended.
//!
//! **Invariant:** the queue is bounded, and whoever ends a span does not wait: where there is no room, the span is counted and gone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;

use super::{node::Node, parent::Parent};
use crate::config::traces::TraceRatio;

/// Spans that wait to be sent. Of half a kilobyte each, as a rule.
pub(super) const QUEUE: usize = 4096;

/// Whose a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Daemon,
    Host,
}

/// A way to the collector. Clones lead to the same.
#[derive(Debug, Clone)]
pub struct Tracer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<(Service, SpanData)>,
    lost: Arc<AtomicU64>,
    ratio: TraceRatio,
}

impl Tracer {
    /// Into this queue. Spans that do not fit are counted in `lost`.
    pub(super) fn new(
        queue: mpsc::Sender<(Service, SpanData)>,
        lost: Arc<AtomicU64>,
        ratio: TraceRatio,
    ) -> Self {
        Self(Arc::new(Shared { queue, lost, ratio }))
    }

    /// The span of a call with these headers, if it is traced: its caller decides that, and where that says nothing, chance.
    pub(super) fn begin(&self, headers: &HeaderMap, name: &str) -> Option<Node> {
        let (trace, parent, state) = match Parent::of(headers) {
            Some(parent) => {
                if !parent.sampled {
                    return None;
                }
                (parent.trace, parent.span, parent.state)
            }
            None => {
                let chosen = self.0.ratio.takes(|| random(getrandom::u32));
                if !chosen {
                    return None;
                }
                (trace_id(), SpanId::INVALID, Default::default())
            }
        };
        let context = SpanContext::new(trace, span_id(), TraceFlags::SAMPLED, false, state);
        Some(Node::root(self, context, parent, name.to_owned()))
    }

    /// Takes a span that has ended.
    pub(super) fn send(&self, service: Service, span: SpanData) {
        if self.0.queue.try_send((service, span)).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A random number; without any, one: a trace that is mixed up with another harms nobody.
fn random<T: From<u8>>(source: impl FnOnce() -> Result<T, getrandom::Error>) -> T {
    source().unwrap_or_else(|_none| T::from(1))
}

fn trace_id() -> TraceId {
    let halves = [random(getrandom::u64), random(getrandom::u64)];
    let id = u128::from(halves[0]) << 64 | u128::from(halves[1]);
    TraceId::from(id.max(1))
}

/// A new span's id, which is never 0.
pub(super) fn span_id() -> SpanId {
    SpanId::from(random(getrandom::u64).max(1))
}
