//! The node as JSON.
//!
//! `{"version", "platforms": [PlatformDocument], "limits", "usage"}`; limits and usage are numbers, named as in the API.
//!
//! **Invariant:** what the daemon says, not what would follow from it.

use serde::Serialize;
use stagepages_client::v1;

use super::platform::PlatformDocument;

#[derive(Debug, Serialize)]
pub(super) struct NodeDocument {
    pub(super) version: String,
    pub(super) platforms: Vec<PlatformDocument>,
    pub(super) limits: LimitsDocument,
    pub(super) usage: UsageDocument,
}

#[derive(Debug, Serialize)]
pub(super) struct LimitsDocument {
    pub(super) max_message_bytes: u64,
    pub(super) max_data_bytes: u64,
    pub(super) max_regions: u32,
    pub(super) max_memory_bytes: u64,
    pub(super) max_launches: u32,
    pub(super) max_pending_calls: u32,
    pub(super) chunk_pages: u32,
    pub(super) replay_window: u32,
    pub(super) max_lease_seconds: u64,
    pub(super) default_lease_seconds: u64,
    pub(super) receive_budget_bytes: u64,
    pub(super) max_vcpus: u32,
    pub(super) console_buffer_bytes: u32,
    pub(super) max_slice_bytes: u64,
    pub(super) max_image_bytes: u64,
    pub(super) image_quota_bytes: u64,
    pub(super) max_queued_launches: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct UsageDocument {
    pub(super) launches: u32,
    pub(super) live_launches: u32,
    pub(super) draining: bool,
    pub(super) images: u32,
    pub(super) image_bytes: u64,
    pub(super) launches_full: bool,
}

impl From<&v1::GetNodeInfoResponse> for NodeDocument {
    fn from(info: &v1::GetNodeInfoResponse) -> Self {
        let limits = info.limits.unwrap_or_default();
        let usage = info.usage.unwrap_or_default();
        Self {
            version: info.version.clone(),
            platforms: info.platforms.iter().map(PlatformDocument::from).collect(),
            limits: LimitsDocument {
                max_message_bytes: limits.max_message_bytes,
                max_data_bytes: limits.max_data_bytes,
                max_regions: limits.max_regions,
                max_memory_bytes: limits.max_memory_bytes,
                max_launches: limits.max_launches,
                max_pending_calls: limits.max_pending_calls,
                chunk_pages: limits.chunk_pages,
                replay_window: limits.replay_window,
                max_lease_seconds: limits.max_lease_seconds,
                default_lease_seconds: limits.default_lease_seconds,
                receive_budget_bytes: limits.receive_budget_bytes,
                max_vcpus: limits.max_vcpus,
                console_buffer_bytes: limits.console_buffer_bytes,
                max_slice_bytes: limits.max_slice_bytes,
                max_image_bytes: limits.max_image_bytes,
                image_quota_bytes: limits.image_quota_bytes,
                max_queued_launches: limits.max_queued_launches,
            },
            usage: UsageDocument {
                launches: usage.launches,
                live_launches: usage.live_launches,
                draining: usage.draining,
                images: usage.images,
                image_bytes: usage.image_bytes,
                launches_full: usage.launches_full,
            },
        }
    }
}
