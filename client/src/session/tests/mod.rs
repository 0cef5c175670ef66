//! The machine against a model of the launch host, over connections that lose, delay and cut off, in processes that are killed.
//!
//! **Invariant:** the model applies a call of one name once and nothing behind a stop, as `launch.proto` promises, and nothing else.

mod histories;
mod host;
mod scripted;
mod world;
