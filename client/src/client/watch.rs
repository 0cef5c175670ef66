//! Watching a launch: every state that it passes through, in order.
//!
//! **Invariant:** never begins anew by itself: what happened during a lost connection would be missing, and nobody would know.

use stagepages_proto::v1;
use tonic::Streaming;

use super::{Client, launches::present};
use crate::{LaunchRef, StagepagesError};

/// A launch, watched.
#[derive(Debug)]
pub struct Watch(Streaming<v1::WatchLaunchResponse>);

impl Client {
    /// Watches a launch, without a deadline. Dropping the watch ends it.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, MALFORMED_REQUEST.
    pub async fn watch_launch(&self, launch: &LaunchRef) -> Result<Watch, StagepagesError> {
        let request = self.without_deadline(v1::WatchLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        Ok(Watch(
            self.launches
                .clone()
                .watch_launch(request)
                .await?
                .into_inner(),
        ))
    }
}

impl Watch {
    /// The launch as it is, then at every change; `None` after its terminal state.
    ///
    /// # Errors
    /// The connection is lost. Watch it again: the first answer tells how it is by then.
    pub async fn next(&mut self) -> Result<Option<v1::Launch>, StagepagesError> {
        let Some(change) = self.0.message().await? else {
            return Ok(None);
        };
        present(change.launch).map(Some)
    }
}
