//! The custom resources, against a stand-in for the API server, with a real registry and a real daemon.
//!
//! ```text
//! stand_in       the API server
//! pod_resources  kubelet's word on who has which device
//! registry       Debian's docker-registry, and TCP servers that misbehave
//! rig            all of it together, with an agent
//! reconcile      what goes well
//! trouble        what does not
//! kills          an agent that is killed at any point
//! images         LaunchImage
//! ```

mod images;
mod kills;
mod pod_resources;
mod reconcile;
mod registry;
mod rig;
mod stand_in;
mod trouble;
