//! What the shipped binaries ask of the kernel, call by call, as the model has seen it (kernel.md, sections 2.7, 3 and 10).
//!
//! ```text
//! checks    what has to hold of any trace
//! order     in which order the calls have to come
//! doctored  that each of those can fail, shown on traces that were sound
//! snp tdx   whole launches (flow), and what is in their traces
//! ```
//!
//! **Invariant:** every check has a doctored trace that it catches, and that the others let pass.
pub(crate) mod checks;
mod doctored;
mod flow;
pub(crate) mod order;
mod snp;
mod sound;
mod tdx;
