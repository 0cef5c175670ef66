//! Somebody who watches a launch.
//!
//! **Invariant:** every change reaches the test as it came.
use stagepages_proto::v1::{Launch, LaunchState, WatchLaunchRequest, WatchLaunchResponse};
use tonic::{Status, Streaming};

use crate::bench::Bench;

/// Somebody who watches a launch.
#[derive(Debug)]
pub struct Watcher(Streaming<WatchLaunchResponse>);

impl Watcher {
    /// Begins to watch launch `name`.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn of(bench: &Bench, name: &str) -> Result<Self, Status> {
        let request = WatchLaunchRequest {
            name: name.to_owned(),
            uid: String::new(),
        };
        let changes = bench.api.launches.clone().watch_launch(request).await?;
        Ok(Self(changes.into_inner()))
    }

    /// The next change; `None` at the end.
    ///
    /// # Panics
    /// If the stream breaks off.
    pub async fn next(&mut self) -> Option<Launch> {
        let change = self.0.message().await.unwrap();
        change.map(|change| change.launch.unwrap())
    }

    /// Everything up to the end.
    ///
    /// # Panics
    /// If the stream breaks off.
    pub async fn rest(mut self) -> Vec<Launch> {
        let mut rest = Vec::new();
        while let Some(launch) = self.next().await {
            rest.push(launch);
        }
        rest
    }
}

/// The states that `told` passes through.
#[must_use]
pub fn states(told: &[Launch]) -> Vec<LaunchState> {
    let mut states: Vec<_> = told.iter().map(Launch::state).collect();
    states.dedup();
    states
}
