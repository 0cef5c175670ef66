//! WatchLaunch: the launch as it is, then as it changes, until it is over.
//!
//! A watcher is told every state from the launch's history, and between states only the newest counts. It holds back nobody: what it does
//! not read is replaced, not queued.

use std::{sync::Arc, time::Duration};

use stagepages_host::launch::State;
use stagepages_proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

use crate::daemon::Launch;

/// What a watcher is sent.
pub(super) type Changes = mpsc::Receiver<Result<v1::WatchLaunchResponse, Status>>;

/// How often a launch that waits for firmware is told where it is in the queue.
const PLACES_EVERY: Duration = Duration::from_secs(1);

/// Waits until there is another place in the queue to tell; for ever of a launch that does not wait.
async fn moved(launch: &Launch) {
    match &launch.seat {
        Some(seat) => {
            let before = seat.place();
            loop {
                tokio::time::sleep(PLACES_EVERY).await;
                if seat.place() != before {
                    return;
                }
            }
        }
        None => std::future::pending().await,
    }
}

/// Watches `launch` on a task of its own, which ends with the launch or with the watcher.
pub(super) fn serve(launch: Arc<Launch>) -> Changes {
    let (changes, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut status = launch.watch();
        // The first message is the present, whatever came before it.
        let mut told = status.borrow().history.len();
        loop {
            let now = status.borrow_and_update().clone();
            let mut news: Vec<_> = now
                .history
                .iter()
                .skip(told)
                .map(|snapshot| launch.describe_as(&now, snapshot))
                .collect();
            told = now.history.len();
            if now.history.last() != Some(&now.snapshot) || news.is_empty() {
                news.push(launch.describe_as(&now, &now.snapshot));
            }
            for launch in news {
                if changes
                    .send(Ok(v1::WatchLaunchResponse {
                        launch: Some(launch),
                    }))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            if matches!(now.snapshot.state, State::Aborted | State::Stopped) {
                return;
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = moved(&launch) => {}
                () = changes.closed() => return,
            }
        }
    });
    received
}
