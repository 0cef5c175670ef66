//! `stagepages.v1.NodeService`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use stagepages_host::{
    launch::REPLAY_WINDOW,
    platform::{Check, PlatformKind, Report},
    protocol::{CONSOLE_BUFFER, MAX_VCPUS},
};
use stagepages_images::Store;
use stagepages_kvm::PageType;
use stagepages_proto::v1::{self, node_service_server::NodeService};
use tonic::{Request, Response, Status};

use super::{convert, image_error, launch_service::taken, settings};
use crate::{
    config::Config,
    daemon::{
        DEFAULT_LEASE, FirmwareQueues, MAX_DATA_BYTES, MAX_LEASE, MAX_SLICE_BYTES, Node, Registry,
        Served,
    },
    net::MAX_MESSAGE_BYTES,
};

/// The service.
#[derive(Debug, Clone)]
pub struct NodeApi {
    node: Arc<Node>,
    registry: Arc<Registry>,
    limits: v1::Limits,
    /// For firmware that is one for the whole machine.
    queues: FirmwareQueues,
    images: Store,
    /// Programs that host the launches of a platform, where they are not the built-in one.
    programs: BTreeMap<String, PathBuf>,
    devices: Served,
}

impl NodeApi {
    /// The service over this machine.
    #[must_use]
    pub fn new(
        node: Arc<Node>,
        registry: Arc<Registry>,
        queues: FirmwareQueues,
        images: Store,
        devices: Served,
        config: &Config,
    ) -> Self {
        let limits = v1::Limits {
            max_message_bytes: MAX_MESSAGE_BYTES as u64,
            max_data_bytes: MAX_DATA_BYTES,
            max_regions: config.max_regions,
            max_memory_bytes: config.max_memory_bytes,
            max_launches: config.max_launches,
            max_pending_calls: config.max_pending_calls,
            chunk_pages: config.chunk_pages,
            replay_window: u32::try_from(REPLAY_WINDOW).unwrap_or(u32::MAX),
            max_lease_seconds: MAX_LEASE.as_secs(),
            default_lease_seconds: DEFAULT_LEASE.as_secs(),
            receive_budget_bytes: config.receive_budget_bytes,
            max_vcpus: MAX_VCPUS,
            console_buffer_bytes: u32::try_from(CONSOLE_BUFFER).unwrap_or(u32::MAX),
            max_slice_bytes: MAX_SLICE_BYTES,
            max_image_bytes: config.max_image_bytes,
            image_quota_bytes: config.image_quota_bytes,
            max_queued_launches: config
                .max_queued_launches
                .map_or(0, |most| u32::try_from(most.get()).unwrap_or(u32::MAX)),
        };
        Self {
            node,
            registry,
            limits,
            queues,
            images,
            programs: config.host_programs.clone(),
            devices,
        }
    }
}

impl NodeApi {
    fn devices(&self, platform: PlatformKind) -> u32 {
        let mut served = self.devices.iter();
        let found = served.find(|(served, _)| *served == platform);
        found.map_or(0, |(_, count)| *count)
    }

    fn queue(&self, platform: PlatformKind) -> Option<v1::PlatformQueue> {
        let view = self.queues.of(platform)?.view();
        Some(v1::PlatformQueue {
            launches: u32::try_from(view.launches).unwrap_or(u32::MAX),
            pages: view.pages,
            page_time: prost_types::Duration::try_from(view.page_time).ok(),
            expected_time: prost_types::Duration::try_from(view.expected).ok(),
        })
    }
}

fn platform(report: &Report, programs: &BTreeMap<String, PathBuf>) -> v1::PlatformInfo {
    let kind = report.platform;
    let check = |check: &Check| v1::Check {
        subject: check.subject.clone(),
        ok: check.ok,
        found: check.found.clone(),
        remedy: check.remedy.clone(),
    };
    let mut info = v1::PlatformInfo {
        platform: convert::platform(kind).into(),
        available: report.checks.iter().all(|check| check.ok),
        confidential: kind.confidential(),
        page_types: PageType::ALL
            .into_iter()
            .filter(|page_type| kind.takes(*page_type))
            .map(|page_type| convert::page_type(page_type).into())
            .collect(),
        launch_digest_bytes: kind.digest_bytes(),
        verifies_contents: kind.reads_pages(),
        checks: report.checks.iter().map(check).collect(),
        runs_guests: report.runs_guests,
        host_program: programs
            .get(&kind.to_string())
            .map(|program| program.display().to_string())
            .unwrap_or_default(),
        sev_snp: None,
        tdx: None,
        capacity: None,
        queue: None,
        devices: 0,
    };
    settings::put_facts(&report.facts, &mut info);
    info
}

#[tonic::async_trait]
impl NodeService for NodeApi {
    async fn get_node_info(
        &self,
        request: Request<v1::GetNodeInfoRequest>,
    ) -> Result<Response<v1::GetNodeInfoResponse>, Status> {
        let (caller, _) = taken(request)?;
        let reports = self.node.reports().await;
        // The caller's own. Of all, launches would tell what others are about, and images whether another tenant has the same bytes: these count once.
        let mut launches = self.registry.list();
        launches.retain(|launch| launch.tenant == caller.tenant);
        let live = launches
            .iter()
            .filter(|launch| !launch.status().released)
            .count();
        let images = self.images.owner_usage(caller.tenant.as_str());
        let images = images.map_err(|error| image_error::of(&error))?;
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let usage = v1::Usage {
            launches: narrow(launches.len()),
            live_launches: narrow(live),
            draining: self.registry.draining(),
            image_bytes: images.used_bytes(),
            images: narrow(images.images),
            launches_full: self.registry.is_full(),
        };
        Ok(Response::new(v1::GetNodeInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platforms: reports
                .iter()
                .map(|report| v1::PlatformInfo {
                    queue: self.queue(report.platform),
                    devices: self.devices(report.platform),
                    ..platform(report, &self.programs)
                })
                .collect(),
            limits: Some(self.limits),
            usage: Some(usage),
        }))
    }
}
