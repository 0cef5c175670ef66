//! The one call to kubelet: that there is a plugin, and where it serves.
//!
//! **Invariant:** bounded in time, and never repeated here.

use std::{path::Path, time::Duration};

use stagepages_client::plain;

use super::{
    api::{
        VERSION,
        v1beta1::{DevicePluginOptions, RegisterRequest, registration_client::RegistrationClient},
    },
    channel::{chain, connect, timed_out},
};

/// For an answer. Kubelet may connect back first, which takes it a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why kubelet does not know the plugin.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Nobody listens.
    #[error("kubelet does not take connections on {socket}: {why}")]
    Connect {
        /// Where.
        socket: String,
        /// What the system said.
        why: String,
    },
    /// Nobody answers.
    #[error("kubelet has not answered Register on {socket} within {PATIENCE:?}")]
    Silent {
        /// Where.
        socket: String,
    },
    /// It said no.
    #[error(
        "kubelet refused {resource}: {said:?}; the agent speaks {VERSION} of its device plugin API, and the resource must be no other plugin's"
    )]
    Refused {
        /// Which resource.
        resource: String,
        /// Kubelet's words.
        said: String,
    },
}

/// Tells kubelet of a plugin for `resource` that serves on the socket `endpoint` beside kubelet's own.
///
/// # Errors
/// Kubelet is not there, says no, or says nothing.
pub async fn register(socket: &Path, endpoint: &str, resource: &str) -> Result<(), RegisterError> {
    let whole = async {
        let channel = connect(socket, PATIENCE)
            .await
            .map_err(|error| RegisterError::Connect {
                socket: socket.display().to_string(),
                why: chain(&error),
            })?;
        let request = RegisterRequest {
            version: VERSION.to_owned(),
            endpoint: endpoint.to_owned(),
            resource_name: resource.to_owned(),
            options: Some(DevicePluginOptions::default()),
        };
        let answer = RegistrationClient::new(channel).register(request).await;
        match answer {
            Ok(_registered) => Ok(()),
            Err(status) if timed_out(&status) => Err(silent(socket)),
            // It ended meanwhile.
            Err(status) if status.code() == tonic::Code::Unavailable => {
                Err(RegisterError::Connect {
                    socket: socket.display().to_string(),
                    why: plain(status.message()),
                })
            }
            Err(status) => Err(RegisterError::Refused {
                resource: resource.to_owned(),
                said: status.message().chars().take(500).collect(),
            }),
        }
    };
    tokio::time::timeout(PATIENCE, whole)
        .await
        .unwrap_or_else(|_elapsed| Err(silent(socket)))
}

fn silent(socket: &Path) -> RegisterError {
    RegisterError::Silent {
        socket: socket.display().to_string(),
    }
}
