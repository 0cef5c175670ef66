//! A span while it lasts.
//!
//! Its times come from one reading of the machine's clock when its call began, and from the monotonic clock since: no child of it lies outside of it
//! because somebody set the clock.
//!
//! **Invariant:** names, values and their number are bounded; nothing in here waits.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::tracer::{Service, Tracer};
use crate::rpc::status::printable;

/// The most of an attribute's value, in bytes.
const VALUE: usize = 256;

/// The most attributes of a span.
const ATTRIBUTES: usize = 32;

/// A span.
#[derive(Debug)]
pub(super) struct Node {
    tracer: Tracer,
    service: Service,
    context: SpanContext,
    parent: SpanId,
    parent_is_remote: bool,
    kind: SpanKind,
    name: Cow<'static, str>,
    origin: Origin,
    began: SystemTime,
    attributes: Mutex<Vec<KeyValue>>,
    ended: AtomicBool,
}

/// Where a call's two clocks meet.
#[derive(Debug, Clone, Copy)]
struct Origin(SystemTime, Instant);

impl Origin {
    fn at(self, instant: Instant) -> SystemTime {
        self.0 + instant.saturating_duration_since(self.1)
    }
}

impl Node {
    /// The span of a call that begins now.
    pub(super) fn root(
        tracer: &Tracer,
        context: SpanContext,
        parent: SpanId,
        name: String,
    ) -> Self {
        let origin = Origin(SystemTime::now(), Instant::now());
        Self {
            tracer: tracer.clone(),
            service: Service::Daemon,
            context,
            parent,
            parent_is_remote: parent != SpanId::INVALID,
            kind: SpanKind::Server,
            name: name.into(),
            origin,
            began: origin.0,
            attributes: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    fn beneath(
        &self,
        service: Service,
        kind: SpanKind,
        name: &'static str,
        at: SystemTime,
    ) -> Self {
        let context = SpanContext::new(
            self.context.trace_id(),
            super::tracer::span_id(),
            TraceFlags::SAMPLED,
            false,
            self.context.trace_state().clone(),
        );
        Self {
            tracer: self.tracer.clone(),
            service,
            context,
            parent: self.context.span_id(),
            parent_is_remote: service != self.service,
            kind,
            name: name.into(),
            origin: self.origin,
            began: at,
            attributes: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    /// A part of it that begins at this instant.
    pub(super) fn child(&self, kind: SpanKind, name: &'static str, from: Instant) -> Arc<Self> {
        Arc::new(self.beneath(self.service, kind, name, self.origin.at(from)))
    }

    /// What a launch host did for it, of which all times are known.
    pub(super) fn in_host(
        &self,
        kind: SpanKind,
        name: &'static str,
        (from, to): (SystemTime, SystemTime),
        attributes: Vec<KeyValue>,
    ) -> Self {
        let node = self.beneath(Service::Host, kind, name, from);
        node.attributes().extend(attributes);
        node.end_at(to, Status::Unset);
        node
    }

    /// What this instant is in the times of this span.
    pub(super) fn at(&self, instant: Instant) -> SystemTime {
        self.origin.at(instant)
    }

    /// When it began.
    pub(super) fn began(&self) -> SystemTime {
        self.began
    }

    /// As a `traceparent`.
    pub(super) fn traceparent(&self) -> String {
        let (trace, span) = (self.context.trace_id(), self.context.span_id());
        format!("00-{trace}-{span}-01")
    }

    /// The id of its trace.
    pub(super) fn trace(&self) -> String {
        self.context.trace_id().to_string()
    }

    /// Adds an attribute. What there is too much of is left out.
    pub(super) fn set(&self, key: &'static str, value: Value) {
        let value = if let Value::String(text) = &value {
            Value::from(printable(text.as_str(), VALUE))
        } else {
            value
        };
        let mut attributes = self.attributes();
        if attributes.len() < ATTRIBUTES {
            attributes.push(KeyValue::new(key, value));
        }
    }

    fn attributes(&self) -> std::sync::MutexGuard<'_, Vec<KeyValue>> {
        self.attributes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it now, once.
    pub(super) fn end(&self, status: Status) {
        self.end_at(self.origin.at(Instant::now()), status);
    }

    fn end_at(&self, at: SystemTime, status: Status) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let span = SpanData {
            span_context: self.context.clone(),
            parent_span_id: self.parent,
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind.clone(),
            name: self.name.clone(),
            start_time: self.began,
            end_time: at.max(self.began),
            attributes: std::mem::take(&mut self.attributes()),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("stagepages")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        };
        self.tracer.send(self.service, span);
    }
}

impl Drop for Node {
    /// Whoever had it was dropped.
    fn drop(&mut self) {
        self.end(Status::Unset);
    }
}
