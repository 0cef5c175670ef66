//! Calls of the API: how long they take, how they end, and what is refused.
//!
//! **Invariant:** a method that this daemon does not serve is `other`, whatever it is called.

use std::{
    collections::HashSet,
    sync::LazyLock,
    time::{Duration, Instant},
};

use http::{HeaderMap, Response};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use super::{Metrics, installs::Buckets};

mod watched;

/// From 250 µs to 65 s.
const TIMES: Buckets = Buckets {
    first: 250e-6,
    factor: 4.0,
    count: 10,
};

/// The methods of this daemon, by path and as they are called in labels.
static METHODS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let sets = [
        stagepages_proto::v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
    ];
    let files = sets
        .into_iter()
        .filter_map(|set| FileDescriptorSet::decode(set).ok())
        .flat_map(|set| set.file);
    let mut methods = HashSet::new();
    for file in files {
        for service in &file.service {
            for method in &service.method {
                let (package, service) = (file.package(), service.name());
                methods.insert(format!("{package}.{service}/{}", method.name()));
            }
        }
    }
    methods
});

type Labels = [(&'static str, String); 2];

/// See the module.
#[derive(Debug)]
pub struct Calls {
    times: Family<Labels, Histogram, Buckets>,
    refusals: Family<Labels, Counter>,
    in_progress: Gauge,
}

impl Calls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let calls = Self {
            times: Family::new_with_constructor(TIMES),
            refusals: Family::default(),
            in_progress: Gauge::default(),
        };
        registry.register(
            "rpc_seconds",
            "Time from the head of a call to the end of its answer, by method and gRPC code",
            calls.times.clone(),
        );
        registry.register(
            "refusals",
            "Calls, and requests within a stream, that were refused, by method and reason",
            calls.refusals.clone(),
        );
        registry.register(
            "rpcs_in_progress",
            "Calls that are not answered yet",
            calls.in_progress.clone(),
        );
        calls
    }

    /// Takes that a request within a stream of this method is refused.
    pub fn refused_within(&self, method: &str, reason: &str) {
        self.refused(&label(method), reason);
    }

    fn refused(&self, method: &str, reason: &str) {
        let labels = [("method", method.to_owned()), ("reason", reason.to_owned())];
        self.refusals.get_or_create(&labels).inc();
    }
}

/// What a method is called in labels.
fn label(path: &str) -> String {
    let path = path.trim_start_matches('/');
    if METHODS.contains(path) {
        path
    } else {
        "other"
    }
    .to_owned()
}

/// A call that is under way.
#[derive(Debug)]
pub struct Call {
    metrics: Metrics,
    method: String,
    began: Instant,
    /// How it ended, once that is known.
    ended: Option<Code>,
}

impl Metrics {
    /// Takes that a call of the method at `path` begins.
    #[must_use]
    pub fn call(&self, path: &str) -> Call {
        self.calls().in_progress.inc();
        Call {
            metrics: self.clone(),
            method: label(path),
            began: Instant::now(),
            ended: None,
        }
    }
}

impl Call {
    /// Takes the answer, which ends the call when it was sent, or is dropped.
    #[must_use]
    pub fn watch(mut self, response: Response<Body>) -> Response<Body> {
        if response.headers().contains_key(Status::GRPC_STATUS) {
            self.look(response.headers());
            response
        } else {
            response.map(|inner| Body::new(watched::Watched::new(inner, self)))
        }
    }

    fn look(&mut self, headers: &HeaderMap) {
        let Some(status) = Status::from_header_map(headers) else {
            return;
        };
        self.ended = Some(status.code());
        // Health has no reasons of ours, and its refusals are nobody's trouble.
        if let Some(info) = status.get_details_error_info()
            && status.code() != Code::Ok
        {
            self.metrics.calls().refused(&self.method, &info.reason);
        }
    }

    fn time(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let calls = self.metrics.calls();
        calls.in_progress.dec();
        // Without an end its client went away.
        let code = format!("{:?}", self.ended.unwrap_or(Code::Cancelled));
        let labels = [("method", self.method.clone()), ("code", code)];
        let time = self.time().as_secs_f64();
        calls.times.get_or_create(&labels).observe(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_of_this_daemon_have_labels() {
        let stage = "/stagepages.v1.LaunchService/StagePages";
        assert_eq!(label(stage), stage[1..]);
        assert_eq!(
            label("/grpc.health.v1.Health/Check"),
            "grpc.health.v1.Health/Check"
        );
        for foreign in ["/", "", "/a.B/C", "/stagepages.v1.LaunchService/Stagepages"] {
            assert_eq!(label(foreign), "other");
        }
        assert!(METHODS.len() > 20);
    }
}
