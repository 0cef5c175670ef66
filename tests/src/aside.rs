//! A runtime beside the tests' own, on which their connections live.
//!
//! A test that waits for a process blocks its runtime, and a peer whose runtime is blocked answers no PING and takes no GOAWAY: a daemon that ends
//! would wait for it as long as it waits for anybody.
//!
//! **Invariant:** lives as long as the process, so that no connection ends because its test has.
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// Runs `work` there; what it spawns stays there.
///
/// # Panics
/// If `work` does.
pub(crate) async fn aside<F>(work: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    static ASIDE: OnceLock<Runtime> = OnceLock::new();
    let runtime = ASIDE.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_name("connections");
        builder.enable_all().build().expect("a thread")
    });
    runtime.spawn(work).await.expect("does not panic")
}
