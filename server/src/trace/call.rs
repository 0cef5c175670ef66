//! The call that is being served, and its spans: the one that lines of the log have, and, where it is traced, the one that a collector gets.
//!
//! **Invariant:** work that a call leaves to a task or a thread of its own has the call's span, also when the call is over.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderMap;
use opentelemetry::{Value, trace::Status};
use tonic::Code;
use tracing::{Instrument as _, Span, field::Empty};

use super::{Follow, node::Node, request_id::RequestId};
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
pub struct Call {
    inner: Arc<Inner>,
    /// The span that work for it is part of now; `None` where that is not traced.
    node: Option<Arc<Node>>,
}

#[derive(Debug)]
struct Inner {
    request: RequestId,
    began: Instant,
    span: Span,
    /// Set once its launch is known.
    launch: OnceLock<()>,
    follow: Arc<Follow>,
    /// Whether it changes something.
    mutates: bool,
    /// The span of the call itself, if it is traced.
    root: Option<Arc<Node>>,
    parts: AtomicU32,
    pages: AtomicU64,
}

impl Call {
    /// A call of the method at `path` (`/package.Service/Method`).
    #[must_use]
    pub fn begin(headers: &HeaderMap, path: &str, follow: Arc<Follow>) -> Self {
        let request = RequestId::of(headers);
        let name = printable(path.trim_start_matches('/'), METHOD);
        // At the level that every filter lets through, or lines of errors would lack it. Connections have spans of their own below `trace`, in
        // the libraries beneath; a call is not theirs.
        let span = tracing::error_span!(
            parent: None,
            "call",
            request = request.as_str(),
            method = name,
            launch = Empty,
            uid = Empty,
            trace = Empty,
        );
        let tracer = follow.tracer.as_ref();
        let root = tracer.and_then(|tracer| tracer.begin(headers, &name));
        if let Some(root) = &root {
            span.record("trace", root.trace());
            let (service, method) = name.split_once('/').unwrap_or((name.as_str(), ""));
            for (key, value) in [
                ("rpc.system", "grpc"),
                ("rpc.service", service),
                ("rpc.method", method),
                ("stagepages.request", request.as_str()),
            ] {
                root.set(key, value.to_owned().into());
            }
        }
        let root = root.map(Arc::new);
        let inner = Inner {
            request,
            began: Instant::now(),
            span,
            launch: OnceLock::new(),
            follow,
            mutates: audit::mutates(path),
            root: root.clone(),
            parts: AtomicU32::new(0),
            pages: AtomicU64::new(0),
        };
        Self {
            inner: Arc::new(inner),
            node: root,
        }
    }

    /// Its id.
    #[must_use]
    pub fn request(&self) -> &RequestId {
        &self.inner.request
    }

    /// How long it has taken so far.
    pub(super) fn took(&self) -> Duration {
        self.inner.began.elapsed()
    }

    /// Room for one more line about something that failed, and how many were left out before it.
    pub(super) fn line(&self) -> Option<u64> {
        self.inner.follow.said.one_more(Instant::now())
    }

    /// The same for something that is worth it only of a call that changes something.
    pub(super) fn line_if_mutating(&self) -> Option<u64> {
        self.inner.mutates.then(|| self.line()).flatten()
    }

    /// Its host has carried it out, or refused it, and nobody waits for that any more.
    pub fn outlived(&self, done: bool) {
        const SAID: &str = "call answered by its host behind its end";
        let _in = self.inner.span.enter();
        match self.line_if_mutating() {
            Some(left_out) => tracing::info!(done, left_out, "{SAID}"),
            None => tracing::debug!(done, "{SAID}"),
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.inner.span
    }

    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// The same call, at work on a part of it that has a span of its own, or is not traced.
    pub(super) fn at(&self, node: Option<Arc<Node>>) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner, node }
    }

    /// Whether work is on a part of it, traced or not.
    pub(super) fn is_part(&self) -> bool {
        match (&self.node, &self.inner.root) {
            (Some(node), Some(root)) => !Arc::ptr_eq(node, root),
            (None, _) | (_, None) => false,
        }
    }

    /// Counts one more part of it; how many there were before.
    pub(super) fn one_more_part(&self) -> u32 {
        self.inner.parts.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts pages that it had installed.
    pub(super) fn installed(&self, pages: u64) {
        self.inner.pages.fetch_add(pages, Ordering::Relaxed);
    }

    /// Runs the call's own work.
    pub(super) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let span = self.inner.span.clone();
        CALL.scope(self.clone(), work).instrument(span)
    }

    /// Runs a piece of it that does not wait.
    pub(super) fn sync<R>(&self, work: impl FnOnce() -> R) -> R {
        CALL.sync_scope(self.clone(), || self.inner.span.in_scope(work))
    }

    fn is_about(&self, id: &str, uid: &str) {
        // Once, because the span's text keeps what it was told before.
        self.inner.launch.get_or_init(|| {
            self.inner.span.record("launch", id);
            self.inner.span.record("uid", uid);
            if let Some(root) = &self.inner.root {
                root.set("stagepages.launch", id.to_owned().into());
                root.set("stagepages.launch_uid", uid.to_owned().into());
            }
        });
    }

    /// Ends the call's own span.
    pub(super) fn ended(&self, code: Code, reason: &str) {
        let Some(root) = &self.inner.root else { return };
        let whole = |number: u64| Value::I64(i64::try_from(number).unwrap_or(i64::MAX));
        root.set("rpc.grpc.status_code", Value::I64(i32::from(code).into()));
        if !reason.is_empty() {
            root.set("stagepages.reason", reason.to_owned().into());
        }
        let pages = self.inner.pages.load(Ordering::Relaxed);
        if pages > 0 {
            root.set("stagepages.installed_pages", whole(pages));
        }
        let parts = self.inner.parts.load(Ordering::Relaxed);
        if parts > 0 {
            root.set("stagepages.extents", whole(parts.into()));
        }
        // What the conventions call an error of the server, and not of its caller.
        let ours = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        root.end(if ours {
            Status::error(reason.to_owned())
        } else {
            Status::Unset
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
    let _in = call.span().enter();
    match call.line() {
        Some(left_out) => tracing::info!(%reason, left_out, "part of a stream refused"),
        None => tracing::debug!(%reason, "part of a stream refused"),
    }
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
    // The future below has room for what it is given and for what it awaits: of the work itself that would be three times its size for as long as the task lives.
    let work = Box::pin(work);
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
