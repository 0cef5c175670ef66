//! The `stagepages.v1` API: generated messages, clients and servers, and the descriptors for reflection.
//!
//! The contract is in the comments of `proto/stagepages/v1/*.proto`. `src/gen` is made from them and checked in, so that building needs
//! neither `protoc` nor a generator; `tests/generated.rs` proves it current, and `UPDATE=1 cargo test -p stagepages-proto` renews it.
//!
//! **Invariant:** no logic lives here, and nothing of it prints the contents of a page.
#![forbid(unsafe_code)]

mod redacted;

/// Package `stagepages.v1`.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/stagepages.v1.rs");

    /// The encoded `FileDescriptorSet` of the package and what it imports, with comments, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/stagepages.v1.bin");
}
