//! Rounds of a campaign: an image, clients that stage it whatever comes between, and what comes between.
//!
//! **Invariant:** none of it shares code with the product's own client.
mod client;
mod image;
mod plan;
mod proxy;
mod stagectl;

pub use client::{Book, Client, World};
pub use image::Image;
pub use plan::{Task, numbered, plan};
pub use proxy::{Faults, Proxy};
pub use stagectl::stagectl_stage;
