//! The call that is being served, and its span.
//!
//! **Invariant:** work that a call leaves to a task or a thread of its own has the call's span, also when the call is over.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use http::HeaderMap;
use stagepages_host::protocol::Context;
use tracing::{Instrument as _, Span, field::Empty};

use super::{request_id::RequestId, said::Said};
use crate::{
    audit,
    rpc::status::{ApiError, printable},
};

/// The most of a method's name, in bytes. A caller may name any.
const METHOD: usize = 128;

tokio::task_local! {
    static CALL: Call;
}

/// A call, for whoever works for it.
#[derive(Debug, Clone)]
pub struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request: RequestId,
    began: Instant,
    span: Span,
    /// Set once its launch is known.
    launch: OnceLock<()>,
    said: Arc<Said>,
    /// Whether it changes something.
    mutates: bool,
}

impl Call {
    /// A call of the method at `path` (`/package.Service/Method`). `said` bounds what is said of calls that fail.
    #[must_use]
    pub fn begin(headers: &HeaderMap, path: &str, said: Arc<Said>) -> Self {
        let request = RequestId::of(headers);
        let method = printable(path.trim_start_matches('/'), METHOD);
        // At the level that every filter lets through, or lines of errors would lack it. Connections have spans of their own below `trace`, in
        // the libraries beneath; a call is not theirs.
        let span = tracing::error_span!(
            parent: None,
            "call",
            request = request.as_str(),
            method,
            launch = Empty,
            uid = Empty,
        );
        Self(Arc::new(Inner {
            request,
            began: Instant::now(),
            span,
            launch: OnceLock::new(),
            said,
            mutates: audit::mutates(path),
        }))
    }

    /// Its id.
    #[must_use]
    pub fn request(&self) -> &RequestId {
        &self.0.request
    }

    /// How long it has taken so far.
    pub(super) fn took(&self) -> Duration {
        self.0.began.elapsed()
    }

    pub(super) fn said(&self) -> &Said {
        &self.0.said
    }

    /// Whether more may be said of it than of most, and how many others were left out before it.
    pub(super) fn room(&self) -> Option<u64> {
        self.0
            .mutates
            .then(|| self.0.said.one_more(Instant::now()))
            .flatten()
    }

    /// Its host has carried it out, or refused it, and nobody waits for that any more.
    pub fn outlived(&self, done: bool) {
        const SAID: &str = "call answered by its host behind its end";
        let _in = self.0.span.enter();
        match self.room() {
            Some(left_out) => tracing::info!(done, left_out, "{SAID}"),
            None => tracing::debug!(done, "{SAID}"),
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.0.span
    }

    /// Runs the call's own work.
    pub(super) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CALL.scope(self.clone(), work)
            .instrument(self.0.span.clone())
    }

    /// Runs a piece of it that does not wait.
    pub(super) fn sync<R>(&self, work: impl FnOnce() -> R) -> R {
        CALL.sync_scope(self.clone(), || self.0.span.in_scope(work))
    }

    fn is_about(&self, id: &str, uid: &str) {
        // Once, because the span's text keeps what it was told before.
        self.0.launch.get_or_init(|| {
            self.0.span.record("launch", id);
            self.0.span.record("uid", uid);
        });
    }
}

/// The call that is being served here; none outside of one.
#[must_use]
pub fn current() -> Option<Call> {
    CALL.try_with(Clone::clone).ok()
}

/// Says which launch the call that is served here is about.
pub fn launch(id: &str, uid: &str) {
    if let Some(call) = current() {
        call.is_about(id, uid);
    }
}

/// Says that a part of the call that is served here was refused, while the call itself goes on.
pub fn refused(error: &ApiError) {
    let Some(call) = current() else { return };
    let reason = error.reason();
    let _in = call.0.span.enter();
    match call.said().one_more(Instant::now()) {
        Some(left_out) => tracing::info!(%reason, left_out, "part of a stream refused"),
        None => tracing::debug!(%reason, "part of a stream refused"),
    }
}

/// What a launch host is told of the call that is served here.
#[must_use]
pub fn context() -> Option<Context> {
    current().map(|call| Context {
        request: call.request().as_str().to_owned(),
        traceparent: String::new(),
    })
}

/// Runs something that belongs to this call.
pub fn within<R>(call: Option<Call>, work: impl FnOnce() -> R) -> R {
    match call {
        Some(call) => call.sync(work),
        None => work(),
    }
}

/// Takes the current call along into a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let call = current();
    async move {
        match call {
            Some(call) => call.within(work).await,
            None => work.await,
        }
    }
}

/// Takes the current call along into a thread of its own.
pub fn on_thread<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let call = current();
    move || within(call, work)
}
