//! Exactly once, however it fails: the protocol between clients, daemon and launch host as a model, every state of which is looked at.
//!
//! Two clients stage overlapping extents, each with bytes of its own, into one launch. Every party may crash once, at any moment, and
//! connections may be lost; `stateright` follows every order in which all of this can happen. What has to hold is in `properties.rs`, the
//! launches that are checked are in `launches.rs`, and `mistakes.rs` proves that the properties notice when something is built wrongly.
//!
//! | in the product                                              | in the model                                                                |
//! |-------------------------------------------------------------|-----------------------------------------------------------------------------|
//! | the launch host: one thread, ledger, window of answers       | `Host`: a call is applied in one step, from a queue                          |
//! | the daemon: keeps nothing that counts                        | the step from a connection to the host's queue, and back                     |
//! | its crash; the next one adopts the host                      | all connections end, what was handed to the host is still carried out        |
//! | the host's crash                                             | ledger, queue and kept answers are gone; every later call is told HOST_DIED   |
//! | a client's crash                                             | all it knows is its plan: numbers or ids are the same when it starts again   |
//! | StagePagesStream, unary calls, GetStageResult                | connections, each two queues; nothing orders two of them                     |
//! | loss                                                         | the client leaves a connection; what it sent may still arrive, now or later  |
//! | duplication                                                  | the client sends again, on another connection, beside what may still arrive  |
//! | a client's backoff                                           | a call that was too early is sent again when the next number has moved       |
//!
//! The daemon's private socket has no queue of its own here. A frame that a dead daemon had sent is either taken in by the host, and then it
//! might as well have been before the crash, or refused once a newer daemon was admitted, and then it might as well never have been sent.
//!
//! Left out, because other suites have it: contents that differ only in part (`once_tests.rs` of the launch), platform faults, AbortLaunch,
//! leases, and limits other than the window. Calls without number or id are launches with a window of 0.
//!
//! States are told apart by 64-bit hashes. That two of a million states share one, so that one of them goes unseen, has a chance of less than
//! one in ten million; no launch here has that many.
//!
//! **Invariant:** nothing here depends on time, chance or the product's code; the same states are visited every time.
#![forbid(unsafe_code)]

mod client;
mod flaw;
mod holds;
mod host;
mod launches;
mod message;
mod mistakes;
mod plan;
mod properties;
mod protocol;
mod system;
