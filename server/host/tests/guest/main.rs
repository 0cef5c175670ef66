//! Guests that run in a launch host, over its own socket.
//!
//! The host runs on a thread of the test, behind a real listener; the test speaks the private protocol as a daemon does. Guests are a few bytes of
//! code each, staged like every page. A machine without KVM fails these tests: they are about nothing else.
//!
//! **Invariant:** no test waits for a time; what it waits for is a message, and a message that does not come within a minute is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod console;
mod external;
mod images;
mod lives;
mod refusals;
mod rig;
mod stops;
