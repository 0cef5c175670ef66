//! The messages of kubelet's APIs.

/// The device plugin API.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub(crate) mod v1beta1 {
    include!("../../../../client/agent/src/kubelet/gen/v1beta1.rs");
}

/// The pod resources API.
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub(crate) mod v1 {
    include!("../../../../client/agent/src/kubelet/gen/v1.rs");
}
