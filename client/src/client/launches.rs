//! The methods of LaunchService that concern one launch.
//!
//! **Invariant:** a uid in the [`LaunchRef`] is sent with every call, so that none hits a later launch of the same name.

use stagepages_proto::v1;

use super::Client;
use crate::{LaunchRef, StagepagesError};

impl Client {
    /// Creates a launch. Without an id the daemon makes one, and then a repeat makes another launch.
    ///
    /// # Errors
    /// INVALID_LAUNCH, LAUNCH_EXISTS, PLATFORM_UNAVAILABLE, NO_CAPACITY, DRAINING. Nothing is left behind.
    pub async fn create_launch(
        &self,
        id: Option<&str>,
        spec: v1::LaunchSpec,
    ) -> Result<v1::Launch, StagepagesError> {
        let launch_id = id
            .map(|id| LaunchRef::from(id).id().to_owned())
            .unwrap_or_default();
        let request = self.request(v1::CreateLaunchRequest {
            launch_id,
            spec: Some(spec),
        });
        present(
            self.launches
                .clone()
                .create_launch(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// The launch as it is now.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, MALFORMED_REQUEST.
    pub async fn get_launch(&self, launch: &LaunchRef) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::GetLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        present(
            self.launches
                .clone()
                .get_launch(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// Installs one extent; [`crate::stage`] stages sources of any length with it.
    ///
    /// # Errors
    /// As at StagePages. An error can come after pages were installed: [`StagepagesError::installed_pages`].
    pub async fn stage_pages(
        &self,
        request: v1::StagePagesRequest,
    ) -> Result<v1::StagePagesResponse, StagepagesError> {
        Ok(self
            .launches
            .clone()
            .stage_pages(self.request(request))
            .await?
            .into_inner())
    }

    /// Has the launch host check ledger, page existence and contents against each other.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, WRONG_STATE.
    pub async fn verify_launch(
        &self,
        launch: &LaunchRef,
    ) -> Result<v1::VerifyLaunchResponse, StagepagesError> {
        let request = self.request(v1::VerifyLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        Ok(self
            .launches
            .clone()
            .verify_launch(request)
            .await?
            .into_inner())
    }

    /// Begins the launch's lease anew.
    ///
    /// # Errors
    /// LEASE_EXPIRED, WRONG_STATE (the launch is over), LAUNCH_NOT_FOUND.
    pub async fn renew_lease(&self, launch: &LaunchRef) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::RenewLeaseRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        present(
            self.launches
                .clone()
                .renew_lease(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// Ends a launch and releases its memory. Idempotent.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND.
    pub async fn abort_launch(&self, launch: &LaunchRef) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::AbortLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        present(
            self.launches
                .clone()
                .abort_launch(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// Deletes the record of an ended launch.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND (also on a repeat), WRONG_STATE.
    pub async fn delete_launch(&self, launch: &LaunchRef) -> Result<(), StagepagesError> {
        let request = self.request(v1::DeleteLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        self.launches.clone().delete_launch(request).await?;
        Ok(())
    }
}

pub(super) fn present(launch: Option<v1::Launch>) -> Result<v1::Launch, StagepagesError> {
    launch.ok_or_else(|| StagepagesError::bad_answer("the answer lacks its launch"))
}
