//! A connection to a daemon, one method per RPC.
//!
//! **Invariant:** one method sends one request (the lists send one per page of their answer, the stream what it is given), and nothing is retried;
//! but for `push_image`, which repeats what changes nothing and goes on where it was cut off.

use std::time::Duration;

use stagepages_proto::v1::{
    self, image_service_client::ImageServiceClient, launch_service_client::LaunchServiceClient,
    node_service_client::NodeServiceClient,
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{ConnectError, Credentials, Endpoint, StagepagesError, connect::connect};

mod data_body;
mod finish;
mod guest;
mod images;
mod launches;
mod lists;
mod results;
mod watch;

pub use finish::FinishArgs;
pub use lists::{InstalledPages, LaunchList};
pub use results::CallName;
pub use watch::Watch;

/// The largest answer that is taken, in bytes: 100 launches with 32 labels of full length each, with room.
const MAX_ANSWER: usize = 16 << 20;

/// A connection to a daemon. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    launches: LaunchServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    node: NodeServiceClient<Channel>,
    /// For the calls that are encoded here.
    channel: Channel,
    timeout: Option<Duration>,
    /// The span that calls are made in.
    traceparent: Option<MetadataValue<Ascii>>,
    /// Whose things calls are about.
    tenant: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to a Unix socket. Calls have no deadline until [`Client::with_timeout`].
    ///
    /// # Errors
    /// Nobody listens there, or not for this user; over TCP always, for that takes credentials.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        Self::connect_with(endpoint, None).await
    }

    /// Connects, over TCP with `credentials`. Their files are read again whenever a lost connection is replaced.
    ///
    /// # Errors
    /// Nobody listens there, a file cannot be used, or one side refuses the other's certificate.
    pub async fn connect_with(
        endpoint: &Endpoint,
        credentials: Option<&Credentials>,
    ) -> Result<Self, ConnectError> {
        let channel = connect(endpoint, credentials).await?;
        Ok(Self {
            launches: LaunchServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER),
            images: ImageServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            node: NodeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            channel,
            timeout: None,
            traceparent: None,
            tenant: None,
        })
    }

    /// The same connection with a deadline for every call, counted from its sending. A staging call that was handed to the launch host
    /// completes all the same; its count is then not in its answer.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self }
    }

    /// The same connection, whose calls are made in the span that `traceparent` names, as W3C Trace Context has it; one that no header can carry is
    /// as none. What it says is the daemon's to judge.
    #[must_use]
    pub fn with_traceparent(self, traceparent: Option<&str>) -> Self {
        let traceparent = traceparent.and_then(|text| text.parse().ok());
        Self {
            traceparent,
            ..self
        }
    }

    /// The same connection, whose calls look at what this tenant has and change nothing, which takes the role `overseer`; `None` for the caller's own. A name that
    /// no header can carry is sent as one that is none, which the daemon refuses.
    #[must_use]
    pub fn with_tenant(self, tenant: Option<&str>) -> Self {
        let none = MetadataValue::from_static("?");
        let tenant = tenant.map(|name| name.parse().unwrap_or(none));
        Self { tenant, ..self }
    }

    /// What this machine and this daemon can do.
    ///
    /// # Errors
    /// None of its own.
    pub async fn node_info(&self) -> Result<v1::GetNodeInfoResponse, StagepagesError> {
        Ok(self
            .node
            .clone()
            .get_node_info(self.request(v1::GetNodeInfoRequest {}))
            .await?
            .into_inner())
    }

    /// The deadline of each call.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.without_deadline(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }

    fn without_deadline<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in [
            ("traceparent", &self.traceparent),
            ("x-stagepages-tenant", &self.tenant),
        ] {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tcp_without_credentials_names_them() {
        let endpoint: Endpoint = "tcp:127.0.0.1:1".parse().unwrap();
        let error = Client::connect(&endpoint).await.unwrap_err();
        assert!(error.remedy().contains("--cert"), "{}", error.remedy());
    }

    #[tokio::test]
    async fn a_missing_socket_is_named_with_what_to_do() {
        let endpoint: Endpoint = "unix:/nonexistent/stagepages/api.sock".parse().unwrap();
        let error = Client::connect(&endpoint).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach the daemon at unix:/nonexistent/stagepages/api.sock"
        );
        assert!(
            error.remedy().contains("stagepagesd serve"),
            "{}",
            error.remedy()
        );
    }
}
