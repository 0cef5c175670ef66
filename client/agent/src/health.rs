//! What probes are told: grpc.health.v1, without TLS, because kubelet's probes speak none.
//!
//! | service      | SERVING while                                                        |
//! |--------------|----------------------------------------------------------------------|
//! | (empty)      | the agent runs and is not ending: for liveness                       |
//! | `devices`    | every resource of this node is registered with kubelet               |
//! | `controller` | the API server is watched                                            |
//!
//! **Invariant:** nothing else is served here, and what a peer can hold is bounded: connections, streams, frames and time.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

mod incoming;

pub use incoming::incoming;

/// Connections at one time; probes need one.
const CONNECTIONS: usize = 32;
const STREAMS: u32 = 8;
/// A connection is ended after this, used or not.
const AGE: Duration = Duration::from_secs(300);
/// How long the listener has for its end.
const GRACE: Duration = Duration::from_secs(2);

/// The health of the agent's parts. Clones are the same.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Nothing is known yet but that the agent runs.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reporter: HealthReporter::new(),
        }
    }

    /// Tells whether a part does what it is for.
    pub async fn set(&self, part: &str, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status(part, status).await;
    }

    /// Serves it at `listen`; at no address, nothing is served, and the end of that is awaited all the same.
    pub(crate) async fn serve(&self, listen: Option<SocketAddr>) -> anyhow::Result<Served> {
        let stop = CancellationToken::new();
        let Some(address) = listen else {
            return Ok(Served { stop, task: None });
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on --health-listen tcp:{address}"))?;
        tracing::info!(address = %listener.local_addr()?, "answering probes");
        let service = HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()));
        let server = Server::builder()
            .max_concurrent_streams(STREAMS)
            .max_connection_age(AGE)
            .add_service(service)
            .serve_with_incoming_shutdown(
                incoming(listener, CONNECTIONS),
                stop.clone().cancelled_owned(),
            );
        Ok(Served {
            stop,
            task: Some(tokio::spawn(server)),
        })
    }
}

/// A health service that is served.
#[derive(Debug)]
pub(crate) struct Served {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), tonic::transport::Error>>>,
}

impl Served {
    /// Ends it, whoever still watches.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        if let Some(mut task) = self.task
            && tokio::time::timeout(GRACE, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}
