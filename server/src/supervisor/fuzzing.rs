//! A supervisor's ears without its processes, for fuzzing: what a daemon may say, up to where a process would be started or signalled.
//!
//! **Invariant:** starts no process, sends no signal, and touches no file.

use stagepages_host::wire::SeqSocket;

use super::{connection::Connection, hosts::HostTable, proto::RequestBody, requests};

/// Hears what is in `socket` already. Returns how many requests were well-formed before the first that ends the connection.
pub fn hear(socket: SeqSocket) -> usize {
    let mut connection = Connection::new(socket, super::Sockets::default());
    let hosts = HostTable::new(16);
    let mut heard = 0;
    while let Ok(Some(asked)) = connection.next_request() {
        heard += 1;
        match &asked.body {
            RequestBody::SpawnHost(spawn) => {
                // A refusal is an answer.
                requests::validate(spawn).map(drop).unwrap_or_default();
            }
            // Of a table without hosts there is none to signal.
            RequestBody::KillHost(kill) if requests::kill_host(kill, &hosts).is_none() => break,
            RequestBody::KillHost(_)
            | RequestBody::AdoptHost(_)
            | RequestBody::AckExit(_)
            | RequestBody::Hello(_)
            | RequestBody::Ready(_) => {}
        }
    }
    heard
}
