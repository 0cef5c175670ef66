//! `activating NAME=KIND:ADDRESS,… PROGRAM ARGS…`: becomes PROGRAM with sockets of these kinds, as systemd has it by socket activation (sd_listen_fds(3)).
//!
//! | kind | socket |
//! |---|---|
//! | `unix:PATH`, `tcp:IP:PORT` | listens |
//! | `datagram:PATH` | takes datagrams |
//! | `pair:` | one end of a connection |
//! | `file:PATH` | a file |
//!
//! **Invariant:** the sockets are the descriptors from 3 on, in their order, and nothing else is left open.
#![forbid(unsafe_code)]

use std::env::args_os;
use std::error::Error;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = args_os().skip(1);
    let sockets = words.next().and_then(|word| word.into_string().ok());
    let sockets = sockets.ok_or("which sockets?")?;
    let program = words.next().ok_or("no program to become")?;
    let (mut names, mut held) = (Vec::new(), Vec::new());
    for (nth, socket) in sockets.split(',').enumerate() {
        let (name, place) = socket.split_once('=').ok_or("NAME=KIND:ADDRESS")?;
        let fd = open(place)?;
        if usize::try_from(fd.as_raw_fd())? != nth + 3 {
            return Err(format!("{socket} is descriptor {}", fd.as_raw_fd()).into());
        }
        fcntl_setfd(&fd, FdFlags::empty())?;
        names.push(name);
        held.push(fd);
    }
    let error = Command::new(program)
        .args(words)
        .env("LISTEN_FDS", held.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env("LISTEN_PID", std::process::id().to_string())
        .exec();
    Err(error.into())
}

fn open(place: &str) -> Result<OwnedFd, Box<dyn Error>> {
    let (kind, address) = place.split_once(':').ok_or("KIND:ADDRESS")?;
    Ok(match kind {
        "unix" => UnixListener::bind(address)?.into(),
        "tcp" => TcpListener::bind(address)?.into(),
        "datagram" => UnixDatagram::bind(address)?.into(),
        "pair" => UnixStream::pair()?.0.into(),
        "file" => File::open(address)?.into(),
        other => return Err(format!("no kind of socket: {other}").into()),
    })
}
