//! Ways into the network, each to a port of this machine.
//!
//! **Invariant:** nothing is sent that anybody would take for more than a byte.

use std::ffi::{c_int, c_long};
use std::net::Ipv4Addr;
use std::ptr;

/// Makes a socket of the internet.
pub(crate) fn socket(kind: c_int, protocol: c_int) -> c_long {
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, kind, protocol) }
}

/// Connects to `port`. Where nobody listens even a call that may be made ends in an error: that of nobody's being there.
pub(crate) fn connect(protocol: c_int, port: u16) -> c_long {
    at(socket(libc::SOCK_STREAM, protocol), libc::SYS_connect, port)
}

/// Takes `port`; 0 for any.
pub(crate) fn bind(port: u16) -> c_long {
    at(socket(libc::SOCK_STREAM, 0), libc::SYS_bind, port)
}

/// Listens wherever the kernel likes.
pub(crate) fn listen() -> c_long {
    match socket(libc::SOCK_STREAM, 0) {
        // SAFETY: takes numbers.
        socket @ 0.. => unsafe { libc::syscall(libc::SYS_listen, socket, 1) },
        none => none,
    }
}

/// Connects to `port` by sending a byte there, without a call that says so.
pub(crate) fn fast_open(port: u16) -> c_long {
    let socket = socket(libc::SOCK_STREAM, 0);
    if socket < 0 {
        return socket;
    }
    let place = place(port);
    // SAFETY: reads a byte and the address, both of which live until it returns.
    unsafe {
        libc::syscall(
            libc::SYS_sendto,
            socket,
            c"x".as_ptr(),
            1_usize,
            libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL,
            ptr::from_ref(&place),
            size_of::<libc::sockaddr_in>(),
        )
    }
}

/// A call that takes a socket and an address.
fn at(socket: c_long, call: c_long, port: u16) -> c_long {
    if socket < 0 {
        return socket;
    }
    let place = place(port);
    // SAFETY: reads the address, which lives until it returns.
    unsafe {
        libc::syscall(
            call,
            socket,
            ptr::from_ref(&place),
            size_of::<libc::sockaddr_in>(),
        )
    }
}

fn place(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2, // AF_INET
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    }
}
