//! Work on files and hashes that would hold up the other tasks.
//!
//! **Invariant:** a panic in it is an error of whoever asked.

use std::io;

/// Does it on a thread that may block.
#[expect(
    clippy::disallowed_methods,
    reason = "reads files of the cache and hashes them, which is no kernel work of a launch"
)]
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    }
}
