//! Standard output, on a thread of its own: a terminal that is held (Ctrl-S) or a pipe that is full stops the printing and nothing else.
//!
//! **Invariant:** bytes go out as they are, in their order, and a few pieces wait at most.

use std::{io, thread};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::output;

/// Pieces that wait to be printed.
const WAITING: usize = 4;

/// Takes what is to be printed.
#[derive(Debug)]
pub(super) struct Printer(mpsc::Sender<Bytes>);

impl Printer {
    /// Begins to print. The second part tells, once the first is dropped, whether all of it was printed.
    pub(super) fn start() -> io::Result<(Self, impl Future<Output = io::Result<()>>)> {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let (done, printed) = oneshot::channel();
        let print = move || {
            let mut result = Ok(());
            while let Some(piece) = waiting.blocking_recv() {
                match output::while_read(&piece) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            // Nobody waits if the user has left.
            drop(done.send(result));
        };
        // It ends with the printer, or, where output is held, with the process.
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(print)?;
        Ok((Self(pieces), async move {
            printed.await.map_err(io::Error::other)?
        }))
    }

    /// Prints `piece`, when it is its turn; false if nobody reads any more.
    pub(super) async fn print(&self, piece: Bytes) -> bool {
        self.0.send(piece).await.is_ok()
    }
}
