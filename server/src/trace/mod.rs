//! What can be found out about one call afterwards: every line of the log that is written for it has its id and its launch.
//!
//! ```text
//!  net::connection ──▶ Call::begin ──▶ serve(handler) ──▶ answered (body, trailers) ──▶ one line about its end
//!                          │              └ current(), carried(): tasks and threads that go on with its work
//!                          └ span "call": request, method, launch, uid
//! ```
//!
//! The id is the caller's, if it sends one (`x-request-id`), and else made here. The caller is told it, with or without an error.
//!
//! **Invariant:** whatever is put into a line is bounded, and calls that are refused fill no log: see [`Said`].

mod answered;
mod call;
mod request_id;
mod said;

pub use answered::serve;
pub use call::{Call, carried, context, current, launch, on_thread, refused, within};
pub use request_id::{HEADER, RequestId};
pub use said::Said;
