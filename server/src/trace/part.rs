//! Parts of a call that is traced: what it waits for, and the extents of a stream.
//!
//! **Invariant:** of a call that is not traced nothing is made; of one that is, a bounded number of extents.

use std::{sync::Arc, time::Instant};

use opentelemetry::{
    Value,
    trace::{SpanKind, Status},
};

use super::{Call, call::current, node::Node};
use crate::rpc::status::ApiError;

/// Extents of one stream that have a span of their own.
const MAX_PARTS: u32 = 128;

/// Something that the call waits for or does, until this is dropped.
#[derive(Debug)]
#[must_use = "its span ends when it is dropped"]
pub struct Step {
    _span: Option<Arc<Node>>,
}

/// The call that is served here begins to wait for something, or to do it.
pub fn step(name: &'static str) -> Step {
    let call = current();
    let node = call.as_ref().and_then(Call::node);
    Step {
        _span: node.map(|node| node.child(SpanKind::Internal, name, Instant::now())),
    }
}

/// One extent of a stream.
#[derive(Debug)]
pub struct Part(Option<Call>);

/// The call that is served here begins with another part of its stream.
#[must_use]
pub fn part(name: &'static str) -> Part {
    let Some(call) = current() else {
        return Part(None);
    };
    // Those behind the last are counted.
    let shown = call.one_more_part() < MAX_PARTS;
    let node = call.node().filter(|_| shown);
    let node = node.map(|node| node.child(SpanKind::Internal, name, Instant::now()));
    Part(Some(call.at(node)))
}

impl Part {
    /// Runs its work.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        let call = self.0.clone();
        // As large as the work otherwise, three times over.
        let work = Box::pin(work);
        async move {
            match call {
                Some(call) => call.within(work).await,
                None => work.await,
            }
        }
    }

    /// It is answered.
    pub fn end(self, refused: Option<&ApiError>) {
        let node = self.0.as_ref().and_then(Call::node);
        if let Some(node) = node {
            if let Some(error) = refused {
                node.set("stagepages.reason", error.reason().as_str().into());
            }
            node.end(Status::Unset);
        }
    }
}

/// Says something about what is at work here: of the call, or of its part.
pub fn note(key: &'static str, value: u64) {
    if let Some(node) = current().as_ref().and_then(Call::node) {
        node.set(key, Value::I64(i64::try_from(value).unwrap_or(i64::MAX)));
    }
}

/// Says how many pages were installed by what is at work here.
pub fn installed(pages: u64) {
    let Some(call) = current() else { return };
    call.installed(pages);
    // The call's own span tells the sum.
    if call.is_part() {
        note("stagepages.installed_pages", pages);
    }
}
