//! A thread for files: takes one piece of work after the other, so that no task of the daemon waits for a disk.
//!
//! **Invariant:** what was taken up is finished, whoever waits for it; what waits is bounded, and so is who waits.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use super::Writing;

/// Pieces of work that may wait.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// A way to the thread. It ends when the last clone is gone.
#[derive(Debug, Clone)]
pub(super) struct Files(mpsc::Sender<Job>);

impl Files {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel has no room for one.
    pub(super) fn start(name: &str) -> io::Result<(Self, Writing)> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (alive, ended) = sync_channel(1);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(queue, &alive))?;
        Ok((Self(jobs), Writing::of(ended)))
    }

    /// Has `work` done, and waits for what comes of it. If this is dropped while it waits, `work` is dropped where it would have run, or is done.
    ///
    /// # Errors
    /// Those of `work`, or the thread is gone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other("a thread that reads and writes files is gone");
        let job: Job = Box::new(move || {
            // Whoever asked may have left: what was asked for is done, and what came of it goes here.
            drop(done.send(work()));
        });
        self.0.send(job).await.map_err(|_closed| gone())?;
        answer.await.map_err(|_closed| gone())?
    }

    /// Has `thing` dropped by the thread, if that has room for it.
    pub(super) fn put_away<T: Send + 'static>(&self, thing: T) {
        if self.0.try_send(Box::new(move || drop(thing))).is_err() {
            tracing::debug!("a file is closed by a task");
        }
    }
}

/// `_alive` tells, by going, that this has ended.
fn work(mut queue: mpsc::Receiver<Job>, _alive: &SyncSender<()>) {
    while let Some(job) = queue.blocking_recv() {
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn work_is_done_in_order_and_before_the_end_also_if_nobody_waits_for_it() {
        let (files, writing) = Files::start("test").unwrap();
        let (done, seen) = std::sync::mpsc::channel();
        let first = done.clone();
        files.run(move || Ok(first.send(1))).await.unwrap().unwrap();
        let error = files.run(|| Err::<(), _>(io::Error::other("no")));
        assert_eq!(error.await.unwrap_err().to_string(), "no");
        // The thread is held, or it may have answered before the caller leaves.
        let (let_go, held) = std::sync::mpsc::channel();
        let left = files.run(move || {
            held.recv().map_err(io::Error::other)?;
            Ok(done.send(2))
        });
        tokio::select! {
            biased;
            _ = left => panic!("what is held was answered"),
            () = std::future::ready(()) => {}
        }
        let_go.send(()).unwrap();
        drop(files);
        assert!(writing.end(Duration::from_secs(60)));
        assert_eq!(seen.iter().collect::<Vec<i32>>(), [1, 2]);
    }
}
