//! Processes that listen where a launch host should, and say what they like.
//!
//! **Invariant:** each says the same to everybody, and never ends a connection by itself.
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use stagepages_host::protocol::{
    self, Message, Outcome, Pong, Reply, Request, Response, Snapshot, Welcome,
};
use stagepages_host::wire::{self, SeqListener, SeqSocket};
use tokio_util::sync::CancellationToken;

/// What a stranger says.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// To everything: something that is no message.
    Garbage,
    /// To everything: the largest frame there is.
    Huge,
    /// Nothing, ever.
    Nothing,
    /// To a greeting, what the host would say, in this version; and signs of life.
    Welcome(u32, Vec<u8>),
    /// To a greeting nothing; but it gives signs of life.
    Alive,
}

/// A listener in the place of a host's.
#[derive(Debug)]
pub(crate) struct Stranger {
    path: PathBuf,
    end: CancellationToken,
    accepting: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Takes the place of whatever is at `path`.
    pub(crate) fn instead(path: &Path, says: Says) -> Self {
        std::fs::remove_file(path).unwrap();
        let listener = SeqListener::bind(path).unwrap();
        let end = CancellationToken::new();
        let ended = end.clone();
        let accept = move || {
            let mut sockets = Vec::new();
            while let Ok(socket) = listener.accept() {
                if ended.is_cancelled() {
                    break;
                }
                let socket = Arc::new(socket);
                sockets.push(Arc::clone(&socket));
                let says = says.clone();
                let talk = move || talk(&socket, &says);
                Builder::new().spawn(talk).unwrap();
            }
            for socket in sockets {
                socket.shutdown().ok();
            }
        };
        Self {
            path: path.to_owned(),
            end,
            accepting: Some(Builder::new().spawn(accept).unwrap()),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.end.cancel();
        // Wakes the one that accepts, unless somebody has taken the name away: then it ends with the process.
        if SeqSocket::connect(&self.path).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            accepting.join().unwrap();
        }
        std::fs::remove_file(&self.path).ok();
    }
}

fn talk(socket: &SeqSocket, says: &Says) {
    while let Ok(Some(frame)) = socket.recv() {
        drop::<Vec<OwnedFd>>(frame.fds);
        let said = match says {
            Says::Garbage => socket.send(&[0xff; 64], &[]),
            Says::Huge => socket.send(&vec![0; wire::MAX_FRAME], &[]),
            Says::Nothing => Ok(()),
            Says::Welcome(version, record) => answer(socket, &frame.bytes, |command| {
                if matches!(command, protocol::Command::Ping(_)) {
                    return Some(Outcome::Pong(Pong { silent_millis: 0 }));
                }
                matches!(command, protocol::Command::Hello(_)).then(|| {
                    Outcome::Welcome(Welcome {
                        version: *version,
                        record: record.clone(),
                    })
                })
            }),
            Says::Alive => answer(socket, &frame.bytes, |command| {
                let ping = matches!(command, protocol::Command::Ping(_));
                ping.then_some(Outcome::Pong(Pong { silent_millis: 0 }))
            }),
        };
        if said.is_err() {
            return;
        }
    }
}

fn answer(
    socket: &SeqSocket,
    frame: &[u8],
    outcome: impl Fn(&protocol::Command) -> Option<Outcome>,
) -> io::Result<()> {
    let request: Request = wire::decode(frame)?;
    let Some(outcome) = request.command.as_ref().and_then(outcome) else {
        return Ok(());
    };
    let response = Response {
        id: request.id,
        snapshot: Some(Snapshot {
            state: 2,
            installed_pages: 7,
            ..Snapshot::default()
        }),
        outcome: Some(outcome),
    };
    let message = Some(Message::Response(response));
    socket.send(&wire::encode(&Reply { message })?, &[])
}
