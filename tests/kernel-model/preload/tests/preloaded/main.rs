//! The preloaded library beneath a program that knows nothing of it.

mod cases;
mod program;
mod td;
