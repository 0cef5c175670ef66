//! Devices, against a stand-in for kubelet.
//!
//! ```text
//! stand_in   kubelet: it registers plugins, watches and allocates, remembers, restarts, hangs and refuses
//! node       a daemon, a kubelet and an agent beside each other
//! ```

mod allocation;
mod clearing;
mod devices;
mod health;
mod life;
pub(crate) mod node;
mod plugin_restarts;
mod probes;
mod restarts;
pub(crate) mod stand_in;
mod trouble;
