//! A collector that speaks real OTLP over gRPC, and behaves as a test wants.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use stagepages_tests::eventually;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What it does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes,
    Refuses,
    Hangs,
}

/// A span, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Seen {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let value = value(&self.span.attributes, key)?;
        let Value::StringValue(text) = value else {
            panic!("{key} is {value:?}")
        };
        Some(text)
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        let value = value(&self.span.attributes, key)?;
        let Value::IntValue(number) = value else {
            panic!("{key} is {value:?}")
        };
        Some(*number)
    }

    /// Whether it lies in `parent`, and ends behind its begin.
    #[track_caller]
    pub(crate) fn is_inside(&self, parent: &Self) {
        let (inner, outer) = (&self.span, &parent.span);
        let order = [
            outer.start_time_unix_nano,
            inner.start_time_unix_nano,
            inner.end_time_unix_nano,
            outer.end_time_unix_nano,
        ];
        assert!(order.is_sorted(), "{inner:?} is not inside of {outer:?}");
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

#[derive(Debug)]
struct Shared {
    mood: Mood,
    spans: Mutex<Vec<Seen>>,
}

/// A collector; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), mood).await
    }

    pub(crate) async fn start_at(address: SocketAddr, mood: Mood) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mood,
            spans: Mutex::default(),
        });
        let service = TraceServiceServer::new(Taking(Arc::clone(&shared)));
        let serving = tokio::spawn(async move {
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            address,
            shared,
            serving,
        }
    }

    /// In the words of `otlp_endpoint`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.shared.spans.lock().unwrap().clone()
    }

    /// The spans of the trace, as soon as the one that is called `name` is among them.
    pub(crate) async fn trace(&self, trace: &str, name: &str) -> Vec<Seen> {
        self.trace_with(trace, name, |spans| {
            spans.iter().any(|seen| seen.span.name == name)
        })
        .await
    }

    /// The spans of the trace, as soon as they are `enough`.
    pub(crate) async fn trace_with(
        &self,
        trace: &str,
        what: &str,
        enough: impl Fn(&[Seen]) -> bool,
    ) -> Vec<Seen> {
        eventually(what, async || {
            let all = self.spans();
            let of: Vec<_> = all
                .into_iter()
                .filter(|seen| hex(&seen.span.trace_id) == trace)
                .collect();
            enough(&of).then_some(of)
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Taking(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match self.0.mood {
            Mood::Takes => {}
            Mood::Refuses => return Err(Status::resource_exhausted("no more spans today")),
            Mood::Hangs => std::future::pending().await,
        }
        let mut spans = self.0.spans.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let Some(Value::StringValue(service)) = value(&attributes, "service.name") else {
                panic!("a service without a name: {attributes:?}")
            };
            let all = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            spans.extend(all.map(|span| Seen {
                service: service.clone(),
                span,
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: None,
        }))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
