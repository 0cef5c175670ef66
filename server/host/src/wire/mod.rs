//! The transport of the private protocols: whole frames over `SOCK_SEQPACKET`, with descriptors beside them.
//!
//! A frame is one packet of 1 byte to [`MAX_FRAME`] bytes and up to [`MAX_FDS`] descriptors. The kernel keeps packets whole, so there is no length
//! prefix to get wrong and a peer that dies leaves no half message behind. Sockets have names in the file system and nothing but the
//! file mode and the peer's credentials protect them.
//!
//! An empty packet cannot be told from the end of the connection (`recvmsg()` returns 0 for both), so none is ever sent: [`SeqSocket::send`]
//! refuses it, and one that a peer sends is taken as its end.
//!
//! **Invariant:** a frame arrives whole, once and with all its descriptors, or the receiver gets an error; a descriptor that nobody takes is
//! closed. Nothing here knows what a frame means.

mod codec;
mod frame;
mod listener;
mod socket;
mod stdin;
#[cfg(test)]
mod tests;

pub use codec::{CodecError, decode, encode};
pub use frame::{Frame, try_recv, try_send};
pub use listener::SeqListener;
pub use socket::{PeerCred, SeqSocket, shutdown};
pub use stdin::take_stdin;

/// Largest frame, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Most descriptors that go with one frame.
pub const MAX_FDS: usize = 4;
