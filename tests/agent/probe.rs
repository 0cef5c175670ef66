//! Asks the agent for its health, as kubelet's probes do.

use std::net::TcpListener;

use stagepages_tests::eventually;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// An address that nobody had a moment ago.
pub(crate) fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A connection there, as soon as somebody listens.
pub(crate) async fn connect(address: &str) -> Channel {
    eventually("an answer to probes", async || {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        endpoint.connect().await.ok()
    })
    .await
}

/// What is said of a service.
pub(crate) async fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer
        .map(|it| it.get_ref().status())
        .map_err(|it| it.code())
}

/// Waits until that is said of it.
pub(crate) async fn becomes(channel: &Channel, service: &str, status: ServingStatus) {
    eventually(&format!("{service} {status:?}"), async || {
        (check(channel, service).await == Ok(status)).then_some(())
    })
    .await;
}
