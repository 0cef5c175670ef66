//! Connections that belong to other users.
//!
//! The kernel tells the daemon who connected by the credentials of the thread that did (`SO_PEERCRED`, unix(7)). Linux keeps these by thread, so a thread that takes
//! another user's, connects, and ends leaves nothing behind.
//!
//! **Invariant:** no other thread of the test changes its user.
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::Builder;

use hyper_util::rt::TokioIo;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use tonic::transport::Endpoint;
use tower::service_fn;

use crate::api::Api;
use crate::aside::aside;

/// A user, who is in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its group's.
    pub gid: u32,
}

impl User {
    /// Whether this test may become other users: only root may.
    #[must_use]
    pub fn can_be_taken() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Connects to a Unix socket as this user.
    ///
    /// # Errors
    /// The kernel's, to this user.
    ///
    /// # Panics
    /// If this process may not become this user.
    pub fn connect(self, socket: &Path) -> io::Result<UnixStream> {
        let socket = socket.to_owned();
        let connected = Builder::new()
            .name("another user".to_owned())
            .spawn(move || {
                set_thread_groups(&[]).expect("root has the right to");
                set_thread_gid(Gid::from_raw(self.gid)).expect("root has the right to");
                set_thread_uid(Uid::from_raw(self.uid)).expect("root has the right to");
                UnixStream::connect(socket)
            });
        let connected = connected.expect("a thread");
        connected.join().expect("does not panic")
    }
}

impl Api {
    /// Over a connection that somebody made.
    ///
    /// # Panics
    /// If the daemon does not take it.
    pub async fn over_unix(stream: UnixStream) -> Self {
        let mut stream = Some(stream);
        let connect = service_fn(move |_: http::Uri| {
            let stream = stream.take();
            async move { wrap(stream.ok_or(io::ErrorKind::NotConnected)?) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = aside(async move { endpoint.connect_with_connector(connect).await }).await;
        Self::over(channel.expect("the daemon accepts"))
    }

    /// Connects over a Unix socket as another user.
    ///
    /// # Panics
    /// If nobody listens there, or the user may not connect.
    pub async fn unix_as(socket: &Path, user: User) -> Self {
        let socket: PathBuf = socket.to_owned();
        let connect = service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { wrap(user.connect(&socket)?) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = aside(async move { endpoint.connect_with_connector(connect).await }).await;
        Self::over(channel.expect("the daemon accepts"))
    }
}

fn wrap(stream: UnixStream) -> io::Result<TokioIo<tokio::net::UnixStream>> {
    stream.set_nonblocking(true)?;
    Ok(TokioIo::new(tokio::net::UnixStream::from_std(stream)?))
}
