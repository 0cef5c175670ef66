//! Sending spans to the collector, behind everybody's back: in batches, each of which may take only so long.
//!
//! **Invariant:** a collector that is away, slow or refuses costs spans, and one line of log in ten seconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    collector::Collector,
    tracer::{QUEUE, Service, Tracer},
};
use crate::config::traces::TraceRatio;

/// Spans that are sent at once.
const BATCH: usize = 512;

/// How long a batch is waited for to be full.
const GATHER: Duration = Duration::from_millis(500);

/// How long a batch may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long all that is left may take at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// How often it is said what was lost.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The task that sends spans.
#[derive(Debug)]
pub struct Export {
    task: JoinHandle<()>,
    end: CancellationToken,
}

impl Export {
    /// Sends spans to `collector` from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The collector's address is none, which [`Collector`] does not have.
    pub fn start(collector: &Collector, ratio: TraceRatio) -> anyhow::Result<(Tracer, Self)> {
        let (queue, spans) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let tracer = Tracer::new(queue, Arc::clone(&lost), ratio);
        let channel = collector.channel()?;
        let exporter = |service: &str| {
            let mut exporter = SpanExporter::builder()
                .with_tonic()
                .with_channel(channel.clone())
                .with_timeout(PATIENCE)
                .build()?;
            exporter.set_resource(&resource(service));
            anyhow::Ok(exporter)
        };
        let end = CancellationToken::new();
        let sending = Sending {
            spans,
            daemon: exporter("stagepages")?,
            host: exporter("stagepages-host")?,
            end: end.clone(),
            lost,
            said: Said::default(),
        };
        let task = tokio::spawn(sending.run());
        Ok((tracer, Self { task, end }))
    }

    /// Sends what is left, for a while.
    pub async fn finish(mut self) {
        self.end.cancel();
        // It bounds itself; this is for a task that does not come to its turn.
        if timeout(2 * GOODBYE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn resource(service: &str) -> Resource {
    Resource::builder_empty()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// What was said of lost spans.
#[derive(Debug, Default)]
struct Said {
    lost: u64,
    at: Option<Instant>,
}

struct Sending {
    spans: mpsc::Receiver<(Service, SpanData)>,
    daemon: SpanExporter,
    host: SpanExporter,
    end: CancellationToken,
    lost: Arc<AtomicU64>,
    said: Said,
}

impl Sending {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while !self.end.is_cancelled() {
            let end = self.end.clone();
            tokio::select! {
                () = end.cancelled() => {}
                () = self.gather(&mut batch) => {}
            }
            // What was gathered when the end came is sent as all that is left.
            if !end.is_cancelled() {
                self.send(&mut batch).await;
                self.say(false);
            }
        }
        self.spans.close();
        let sent = timeout(GOODBYE, async {
            loop {
                while batch.len() < BATCH
                    && let Ok(span) = self.spans.try_recv()
                {
                    batch.push(span);
                }
                if batch.is_empty() {
                    return;
                }
                self.send(&mut batch).await;
            }
        });
        if sent.await.is_err() {
            // Those of the batch that was on its way were counted when it was taken.
            let left = u64::try_from(self.spans.len()).unwrap_or(u64::MAX);
            self.lost.fetch_add(left, Ordering::Relaxed);
        }
        self.say(true);
    }

    /// Waits for a span, and then a little for others.
    async fn gather(&mut self, batch: &mut Vec<(Service, SpanData)>) {
        if self.spans.recv_many(batch, BATCH).await == 0 {
            return self.end.cancelled().await;
        }
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(until, self.spans.recv_many(batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Sends a batch, which is empty then, in any case.
    async fn send(&mut self, batch: &mut Vec<(Service, SpanData)>) {
        let (host, daemon): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .partition(|(service, _)| *service == Service::Host);
        let of = |spans: Vec<(Service, SpanData)>| -> Vec<SpanData> {
            spans.into_iter().map(|(_, span)| span).collect()
        };
        for (exporter, spans) in [(&self.daemon, of(daemon)), (&self.host, of(host))] {
            if spans.is_empty() {
                continue;
            }
            // Lost, until they are known to have arrived: also if this is dropped.
            let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
            self.lost.fetch_add(count, Ordering::Relaxed);
            match timeout(PATIENCE, exporter.export(spans)).await {
                Ok(Ok(())) => {
                    self.lost.fetch_sub(count, Ordering::Relaxed);
                }
                Ok(Err(error)) => tracing::debug!(%error, "spans do not reach the collector"),
                Err(_elapsed) => tracing::debug!("spans do not reach the collector in time"),
            }
        }
    }

    /// Says how many spans were lost, if that is news, and if it is time.
    fn say(&mut self, last: bool) {
        let lost = self.lost.load(Ordering::Relaxed);
        let early = self.said.at.is_some_and(|at| at.elapsed() < SAY_EVERY);
        if lost == self.said.lost || early && !last {
            return;
        }
        self.said = Said {
            lost,
            at: Some(Instant::now()),
        };
        tracing::warn!(
            lost,
            "spans are lost: the collector at otlp_endpoint does not take them, or there are more than it takes"
        );
    }
}
