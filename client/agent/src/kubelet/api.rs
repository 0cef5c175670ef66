//! The messages of kubelet's APIs, as much of them as is spoken here.
//!
//! Their meaning is in the comments of `client/agent/kubelet/*.proto`. `src/kubelet/gen` is made from them and checked in;
//! `tests/generated.rs` proves it current.
//!
//! **Invariant:** no logic lives here.

/// The device plugin API.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1beta1 {
    include!("gen/v1beta1.rs");
}

/// The pod resources API.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/v1.rs");
}

/// The version of the device plugin API, as Register says it.
pub const VERSION: &str = "v1beta1";
/// Can be given to a container.
pub const HEALTHY: &str = "Healthy";
/// Cannot.
pub const UNHEALTHY: &str = "Unhealthy";
