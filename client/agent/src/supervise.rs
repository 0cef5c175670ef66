//! One part of the agent, kept running: it is started again when it fails or panics, later each time, and ended when the agent ends.
//!
//! **Invariant:** a part never takes the agent down, and never outlives it: what does not end within [`GRACE`] is dropped.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;

/// How long a part has for its end.
pub const GRACE: Duration = Duration::from_secs(10);
/// Waits between the starts of a part that fails.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// A part that ran for this long has not failed at its start.
const SOUND: Duration = Duration::from_secs(120);

/// The life of a part, from one start to its end.
type Life = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Something that runs until it is told to end.
pub struct Part {
    name: &'static str,
    start: Box<dyn Fn(CancellationToken) -> Life + Send + Sync>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Part {
    /// A part that `start` begins. It ends when its token is cancelled; an end before that is a failure.
    pub fn new<F, L>(name: &'static str, start: F) -> Self
    where
        F: Fn(CancellationToken) -> L + Send + Sync + 'static,
        L: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self {
            name,
            start: Box::new(move |stop| Box::pin(start(stop))),
        }
    }

    /// Begins to keep it running.
    #[must_use]
    pub fn supervised(self) -> Supervised {
        let stop = CancellationToken::new();
        Supervised {
            name: self.name,
            task: tokio::spawn(keep(self, stop.clone())),
            stop,
        }
    }
}

/// A part that is kept running.
#[derive(Debug)]
pub struct Supervised {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervised {
    /// Ends it, and waits for that.
    pub async fn end(mut self) {
        self.stop.cancel();
        // What runs in it is dropped with the task that awaits it.
        if timeout(GRACE, &mut self.task).await.is_err() {
            tracing::warn!(part = self.name, "did not end in time, and is dropped");
            self.task.abort();
        }
    }
}

async fn keep(part: Part, stop: CancellationToken) {
    let mut backoff = Backoff::new(LEAST, MOST);
    loop {
        let begun = Instant::now();
        let failure = life(&part, &stop).await;
        if stop.is_cancelled() {
            return;
        }
        if begun.elapsed() > SOUND {
            backoff.reset();
        }
        let wait = backoff.after_failure();
        tracing::error!(part = part.name, error = %failure, again_in = ?wait, "failed");
        if stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Runs it once, and says why it ended.
async fn life(part: &Part, stop: &CancellationToken) -> String {
    // A task of its own, so that a panic is an error; aborted with the one that awaits it.
    let stop = stop.child_token();
    let mut task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn((part.start)(stop)));
    match (&mut task).await {
        Ok(Ok(())) => "it ended by itself".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_panicked) => "it panicked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fails_or_panics_is_started_again() {
        let starts = Arc::new(AtomicUsize::new(0));
        let (done, mut third) = tokio::sync::mpsc::channel(1);
        let counted = Arc::clone(&starts);
        let part = Part::new("test", move |stop| {
            let (nth, done) = (counted.fetch_add(1, Ordering::Relaxed), done.clone());
            async move {
                match nth {
                    0 => anyhow::bail!("no luck"),
                    1 => panic!("worse"),
                    _ => {
                        done.send(()).await?;
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        let supervised = part.supervised();
        third.recv().await.expect("the third start");
        supervised.end().await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_does_not_end_is_dropped() {
        let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
        let part = Part::new("test", move |_stop| {
            let held = held.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(())
            }
        });
        part.supervised().end().await;
        assert_eq!(dropped.recv().await, None);
    }
}
