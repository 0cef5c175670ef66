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
//! host_deaths    a launch whose host is
//! daemon_deaths  a daemon that is
//! platforms      a node without the platform
//! images         LaunchImage
//! ```

mod daemon_deaths;
mod host_deaths;
mod images;
mod kills;
mod platforms;
mod pod_resources;
mod reconcile;
mod registry;
mod rig;
mod stand_in;
mod trouble;
