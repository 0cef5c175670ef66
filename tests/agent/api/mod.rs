//! The custom resources, against a stand-in for the API server, with a real registry and a real daemon.
//!
//! ```text
//! stand_in       the API server
//! pod_resources  kubelet's word on who has which device
//! registry       Debian's docker-registry
//! bad_registry   servers in its place that misbehave
//! rig            all of it together, with an agent
//! guests         images
//! occupied       a launch that all others wait for
//! reconcile      what goes well
//! trouble        what does not
//! busy           a cluster in which much happens
//! kills          an agent that is killed at any point
//! host_deaths    a launch whose host is
//! daemon_deaths  a daemon that is
//! platforms      a node without the platform
//! bad_registries registries that misbehave
//! memory         many images at once
//! queue          launches that wait for firmware
//! outages        an API server that is away
//! given_away     a device that is another pod's by now
//! leases         launches whose agent waits, or is away
//! credentials    registries with a login, and by TLS
//! images         LaunchImage
//! on_node        an image that is named by digest alone
//! requests       calls that the daemon refuses, by their ids
//! asker          a client that is not the agent
//! rules          what the CRDs refuse
//! policies       what the admission policies refuse
//! trust          the API server and its certificate
//! ```

mod asker;
mod bad_registries;
mod bad_registry;
mod busy;
mod credentials;
mod daemon_deaths;
mod given_away;
mod guests;
mod host_deaths;
mod images;
mod kills;
mod leases;
mod memory;
mod occupied;
mod on_node;
mod outages;
mod platforms;
mod pod_resources;
mod policies;
mod queue;
mod reconcile;
mod registry;
mod requests;
mod rig;
mod rules;
mod stand_in;
mod trouble;
mod trust;
