//! The node agent of stagepages: what a Kubernetes node needs so that pods can stage launches.
//!
//! ```text
//!                  ┌── kubelet     device plugin: one resource per platform, one device per socket of the daemon
//! kubelet ◀───────▶│               pod resources: which device a pod was given
//!                  │
//! API server ◀────▶├── controller  ConfidentialLaunch and LaunchImage, those of this node
//!                  │
//! probes  ────────▶└── health      grpc.health.v1, nothing else
//! ```
//!
//! | module       | one idea                                                          |
//! |--------------|-------------------------------------------------------------------|
//! | `cause`      | an error with all that caused it                                  |
//! | [`cli`]      | flags, and the variables that stand for them                      |
//! | [`crds`]     | the custom resource definitions, as YAML                          |
//! | [`health`]   | what probes are told                                              |
//! | [`kubelet`]  | everything that is said to kubelet, and asked of it               |
//! | `launches`   | ConfidentialLaunch on this node: from its pod to its end          |
//! | `images`     | LaunchImage on this node                                          |
//! | [`logging`]  | lines on standard error                                           |
//! | [`parts`]    | which parts there are, in the order in which they end             |
//! | [`registry`] | images by digest, pulled and kept                                 |
//! | `resources`  | the types of ConfidentialLaunch and LaunchImage                   |
//! | [`run`]      | from the first signal handler to the exit status                  |
//! | [`supervise`] | a part that fails is started again, later and later               |
//!
//! **Invariant:** the agent keeps nothing of its own that a restart could lose: what it knows it reads from the daemon, from kubelet and from
//! the API server.
#![forbid(unsafe_code)]

pub mod backoff;
mod blocking;
mod cause;
pub mod cli;
pub mod crds;
mod fault;
pub mod health;
mod images;
pub mod kubelet;
mod launches;
pub mod logging;
pub mod parts;
pub mod registry;
mod resources;
pub mod run;
pub mod supervise;
