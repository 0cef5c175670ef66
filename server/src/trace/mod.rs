//! What can be found out about one call afterwards: every line of the log that is written for it has its id and its launch, and if it is traced, a
//! collector gets spans of it, of its waits, and of what its launch host did.
//!
//! ```text
//!  net::connection ──▶ Call::begin ──▶ serve(handler) ──▶ answered (body, trailers) ──▶ one line about its end
//!                          │              └ current(), carried(): tasks and threads that go on with its work
//!                          └ span "call": request, method, launch, uid
//! ```
//!
//! ```text
//!  parent ─▶ tracer ─▶ node (a span while it lasts) ─▶ queue ─▶ export ─▶ collector
//!              call ─────┴ part (waits, extents)  └ asked (launch hosts)
//! ```
//!
//! The id is the caller's, if it sends one (`x-request-id`), and else made here. The caller is told it, with or without an error.
//!
//! **Invariant:** whatever is put into a line or a span is bounded; calls that are refused fill no log (see [`Said`]), and no call waits for a collector.

mod answered;
mod asked;
mod call;
mod collector;
mod export;
mod node;
mod parent;
mod part;
mod request_id;
mod said;
mod tracer;

pub use answered::serve;
pub use asked::{Asked, ask, spent};
pub use call::{Call, carried, current, launch, on_thread, refused, within};
pub use collector::Collector;
pub use export::Export;
pub use part::{Part, Step, installed, note, part, step};
pub use request_id::{HEADER, RequestId};
pub use said::Said;
pub use tracer::Tracer;

/// How calls are followed.
#[derive(Debug, Default)]
pub struct Follow {
    said: Said,
    tracer: Option<Tracer>,
}

impl Follow {
    /// By the log, and where there is a tracer, by spans.
    #[must_use]
    pub fn new(tracer: Option<Tracer>) -> Self {
        Self {
            said: Said::default(),
            tracer,
        }
    }
}
