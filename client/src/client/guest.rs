//! The methods of LaunchService that concern a launch's guest.
//!
//! **Invariant:** a uid in the [`LaunchRef`] is sent with every call, so that none hits a later launch of the same name.

use stagepages_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Client, launches::present};
use crate::{LaunchRef, StagepagesError};

impl Client {
    /// Sets how a vCPU begins; the last call for a vCPU counts.
    ///
    /// # Errors
    /// INVALID_VCPU_STATE and MALFORMED_REQUEST (nothing changed), LAUNCH_NOT_FOUND, WRONG_STATE, UNSUPPORTED_OPERATION.
    pub async fn set_vcpu_state(
        &self,
        launch: &LaunchRef,
        state: v1::VcpuState,
    ) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::SetVcpuStateRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
            state: Some(state),
        });
        present(
            self.launches
                .clone()
                .set_vcpu_state(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// Runs the guest. It may have stopped again in the answer.
    ///
    /// # Errors
    /// WRONG_STATE, UNSUPPORTED_OPERATION, LAUNCH_NOT_FOUND; KERNEL_REFUSED aborts the launch.
    pub async fn start_launch(&self, launch: &LaunchRef) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::StartLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        present(
            self.launches
                .clone()
                .start_launch(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// Stops the guest where it is. Idempotent.
    ///
    /// # Errors
    /// WRONG_STATE, LAUNCH_NOT_FOUND.
    pub async fn stop_launch(&self, launch: &LaunchRef) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::StopLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        present(
            self.launches
                .clone()
                .stop_launch(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// Attaches to a guest's console: sends what comes from `requests`, of which the first names the launch. Without a deadline.
    pub(crate) async fn attach_console(
        &self,
        requests: mpsc::Receiver<v1::AttachConsoleRequest>,
    ) -> Result<Streaming<v1::AttachConsoleResponse>, StagepagesError> {
        let requests = self.without_deadline(ReceiverStream::new(requests));
        Ok(self
            .launches
            .clone()
            .attach_console(requests)
            .await?
            .into_inner())
    }
}
