//! Checking what a launch is to be created with: every field of the spec, before anything is made. Pure.

use std::time::Duration;

use stagepages_host::{
    platform::{Memory, PlatformKind},
    protocol,
};
use stagepages_kvm::{GfnRange, Gpa};
use stagepages_proto::v1;

use super::{convert, decode, reason::Reason, settings, status::ApiError, vcpu};
use crate::daemon::{DEFAULT_LEASE, MAX_LEASE, MIN_LEASE};

/// Bounds of a spec.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpecLimits {
    pub(super) max_regions: u32,
    pub(super) max_memory_bytes: u64,
}

const MAX_LABELS: usize = 32;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 255;
const MAX_FAULTS: usize = 64;
const MAX_FAULT_TIMES: u32 = 1000;
const MAX_PAGE_LATENCY: Duration = Duration::from_secs(10);

/// A spec that makes sense on some machine.
#[derive(Debug)]
pub(super) struct Checked {
    /// The platform that was named, if one was.
    pub(super) platform: Option<PlatformKind>,
    pub(super) lease: Duration,
    sequenced: bool,
    regions: Vec<GfnRange>,
    vcpus: u32,
    vcpu_states: Vec<protocol::Vcpu>,
    sim: Option<protocol::Sim>,
    sev_snp: Option<protocol::SevSnp>,
    tdx: Option<protocol::Tdx>,
}

impl Checked {
    /// What the host is asked for.
    pub(super) fn create(&self, platform: PlatformKind) -> protocol::Create {
        let regions = self.regions.iter().map(|region| protocol::Region {
            gpa: region.start().gpa().get(),
            size: region.bytes(),
        });
        protocol::Create {
            platform: platform.number(),
            regions: regions.collect(),
            sim: self.sim.clone(),
            sev_snp: self.sev_snp.clone(),
            tdx: self.tdx.clone(),
            record: Vec::new(),
            sequenced: self.sequenced,
            vcpus: self.vcpus,
            vcpu_states: self.vcpu_states.clone(),
            lease_millis: u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Checked {
    /// The spec with every choice made that was left to the daemon.
    pub(super) fn resolved(&self, asked: v1::LaunchSpec, platform: PlatformKind) -> v1::LaunchSpec {
        let ordering = if self.sequenced {
            v1::OrderingMode::Sequenced
        } else {
            v1::OrderingMode::Unordered
        };
        v1::LaunchSpec {
            platform: convert::platform(platform).into(),
            ordering: ordering.into(),
            lease: prost_types::Duration::try_from(self.lease).ok(),
            vcpus: self.vcpus,
            ..asked
        }
    }
}

/// What is wrong with a spec, field by field.
#[derive(Default)]
pub(super) struct Violations(Vec<(String, String)>);

impl Violations {
    pub(super) fn add(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.0.push((field.into(), text.into()));
    }

    #[cfg(test)]
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(field, _)| field.as_str())
    }

    pub(super) fn into_error(self) -> Option<ApiError> {
        let (field, text) = self.0.first()?;
        let error = ApiError::new(Reason::InvalidLaunch, format!("{field}: {text}"));
        Some(
            self.0
                .iter()
                .fold(error, |error, (field, text)| error.field(field, text)),
        )
    }
}

/// Checks id and spec.
///
/// # Errors
/// INVALID_LAUNCH with every field that is wrong; NO_CAPACITY for more memory than the cap.
pub(super) fn check(
    launch_id: &str,
    spec: Option<&v1::LaunchSpec>,
    limits: SpecLimits,
) -> Result<Checked, ApiError> {
    let mut wrong = Violations::default();
    if !launch_id.is_empty() && decode::id(launch_id).is_none() {
        wrong.add("launch_id", format!("{launch_id:?} must be 1 to {} of A-Z a-z 0-9 . _ - and start with a letter or digit", decode::MAX_ID));
    }
    let Some(spec) = spec else {
        wrong.add("spec", "is required");
        return Err(wrong
            .into_error()
            .unwrap_or_else(|| ApiError::new(Reason::InvalidLaunch, "spec is required")));
    };
    let platform = convert::platform_from(spec.platform).unwrap_or_else(|unknown| {
        wrong.add(
            "spec.platform",
            format!("{unknown} is no platform; GetNodeInfo lists those there are"),
        );
        None
    });
    let sequenced = match v1::OrderingMode::try_from(spec.ordering) {
        Ok(v1::OrderingMode::Unspecified | v1::OrderingMode::Unordered) => false,
        Ok(v1::OrderingMode::Sequenced) => true,
        Err(unknown) => {
            wrong.add(
                "spec.ordering",
                format!("{} is no ordering mode", unknown.0),
            );
            false
        }
    };
    let lease = lease(spec.lease.as_ref(), &mut wrong);
    let regions = regions(&spec.regions, limits, &mut wrong);
    let vcpu_states = vcpu::states(spec, &mut wrong);
    labels(&spec.labels, &mut wrong);
    settings::of_another(spec, platform, &mut wrong);
    let sim = spec.sim.as_ref().map(|settings| sim(settings, &mut wrong));
    let sev_snp = spec.sev_snp.as_ref();
    let sev_snp = sev_snp.map(|given| settings::sev_snp(given, &mut wrong));
    let tdx = spec.tdx.as_ref();
    let tdx = tdx.map(|given| settings::tdx(given, &mut wrong));
    if let Some(error) = wrong.into_error() {
        return Err(error);
    }
    let total = regions
        .iter()
        .fold(0_u64, |total, region| total.saturating_add(region.bytes()));
    if total > limits.max_memory_bytes {
        let text = format!(
            "the regions have {total:#x} bytes in all; this daemon's cap is {:#x} (max_memory_bytes)",
            limits.max_memory_bytes
        );
        return Err(ApiError::new(Reason::NoCapacity, text.clone()).quota("memory", &text));
    }
    Ok(Checked {
        platform,
        lease,
        sequenced,
        regions,
        vcpus: vcpu::count(spec),
        vcpu_states,
        sim,
        sev_snp,
        tdx,
    })
}

fn regions(
    given: &[v1::MemoryRegion],
    limits: SpecLimits,
    wrong: &mut Violations,
) -> Vec<GfnRange> {
    if given.is_empty() {
        wrong.add("spec.regions", "at least one is required");
    }
    if given.len() as u64 > limits.max_regions.into() {
        wrong.add(
            "spec.regions",
            format!(
                "{} regions; at most {} are allowed, join adjacent ones",
                given.len(),
                limits.max_regions
            ),
        );
        return Vec::new();
    }
    let mut ranges = Vec::new();
    for (index, region) in given.iter().enumerate() {
        match GfnRange::from_bytes(Gpa::new(region.gpa), region.size) {
            Ok(range) => ranges.push(range),
            Err(error) => wrong.add(format!("spec.regions[{index}]"), error.to_string()),
        }
    }
    if let Err(overlap) = Memory::plan(&ranges) {
        wrong.add("spec.regions", overlap.to_string());
    }
    ranges
}

/// A duration that is not negative, and written as protobuf has it: `try_from` alone would put seconds into order that are hidden in nanos.
fn duration(given: &prost_types::Duration) -> Option<Duration> {
    // Negative seconds before `try_from`, which negates them and overflows at the least (prost-types 0.14, debug builds).
    (given.seconds >= 0 && (0..1_000_000_000).contains(&given.nanos))
        .then(|| Duration::try_from(*given).ok())
        .flatten()
}

fn lease(given: Option<&prost_types::Duration>, wrong: &mut Violations) -> Duration {
    let Some(given) = given else {
        return DEFAULT_LEASE;
    };
    let lease = duration(given).filter(|lease| (MIN_LEASE..=MAX_LEASE).contains(lease));
    lease.unwrap_or_else(|| {
        wrong.add(
            "spec.lease",
            format!(
                "must be between {} and {} seconds",
                MIN_LEASE.as_secs(),
                MAX_LEASE.as_secs()
            ),
        );
        DEFAULT_LEASE
    })
}

fn labels(labels: &std::collections::HashMap<String, String>, wrong: &mut Violations) {
    if labels.len() > MAX_LABELS {
        wrong.add(
            "spec.labels",
            format!("{} labels; at most {MAX_LABELS} are allowed", labels.len()),
        );
        return;
    }
    for (key, value) in labels {
        let control = key.chars().chain(value.chars()).any(char::is_control);
        if key.is_empty() || key.len() > MAX_LABEL_KEY || value.len() > MAX_LABEL_VALUE || control {
            wrong.add(
                "spec.labels",
                format!("{key:?}: keys have 1 to {MAX_LABEL_KEY} and values up to {MAX_LABEL_VALUE} bytes, without control characters"),
            );
        }
    }
}

fn sim(settings: &v1::SimSettings, wrong: &mut Violations) -> protocol::Sim {
    let latency = settings
        .page_latency
        .as_ref()
        .map_or(Some(Duration::ZERO), duration);
    let latency = latency
        .filter(|latency| *latency <= MAX_PAGE_LATENCY)
        .unwrap_or_else(|| {
            wrong.add(
                "spec.sim.page_latency",
                format!("must be between 0 and {} s", MAX_PAGE_LATENCY.as_secs()),
            );
            Duration::ZERO
        });
    if settings.faults.len() > MAX_FAULTS {
        wrong.add(
            "spec.sim.faults",
            format!(
                "{} faults; at most {MAX_FAULTS} are allowed",
                settings.faults.len()
            ),
        );
    }
    let mut seen = std::collections::HashSet::new();
    let mut faults = Vec::new();
    for (index, fault) in settings.faults.iter().take(MAX_FAULTS).enumerate() {
        let field = format!("spec.sim.faults[{index}]");
        if let Err(error) = GfnRange::from_bytes(Gpa::new(fault.gpa), stagepages_kvm::PAGE_SIZE) {
            wrong.add(format!("{field}.gpa"), error.to_string());
        }
        if !seen.insert(fault.gpa) {
            wrong.add(
                format!("{field}.gpa"),
                format!("{:#x} has a fault already; one page has one", fault.gpa),
            );
        }
        if fault.times > MAX_FAULT_TIMES {
            wrong.add(
                format!("{field}.times"),
                format!("{} is more than {MAX_FAULT_TIMES}", fault.times),
            );
        }
        faults.push(protocol::SimFault {
            gpa: fault.gpa,
            times: fault.times.max(1),
            effect: effect(&field, fault, wrong),
        });
    }
    protocol::Sim {
        page_latency_nanos: u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX),
        faults,
    }
}

fn effect(
    field: &str,
    fault: &v1::SimFault,
    wrong: &mut Violations,
) -> Option<protocol::SimEffect> {
    use v1::sim_fault::Effect;
    match fault.effect {
        Some(Effect::FirmwareStatus(status @ 1..=0xffff)) => {
            Some(protocol::SimEffect::FirmwareStatus(status))
        }
        Some(Effect::KernelErrno(errno @ 1..=133)) => Some(protocol::SimEffect::KernelErrno(errno)),
        Some(Effect::StopShort(true)) => Some(protocol::SimEffect::StopShort(true)),
        Some(Effect::StrayPage(true)) => Some(protocol::SimEffect::StrayPage(true)),
        Some(Effect::FirmwareStatus(_)) => {
            wrong.add(format!("{field}.firmware_status"), "must be 1 to 65535");
            None
        }
        Some(Effect::KernelErrno(_)) => {
            wrong.add(format!("{field}.kernel_errno"), "must be 1 to 133");
            None
        }
        Some(Effect::StopShort(false) | Effect::StrayPage(false)) | None => {
            wrong.add(
                format!("{field}.effect"),
                "one of firmware_status, kernel_errno, stop_short or stray_page is required",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SpecLimits = SpecLimits {
        max_regions: 4,
        max_memory_bytes: 1 << 30,
    };

    fn spec(regions: &[(u64, u64)]) -> v1::LaunchSpec {
        let regions = regions
            .iter()
            .map(|(gpa, size)| v1::MemoryRegion {
                gpa: *gpa,
                size: *size,
            })
            .collect();
        v1::LaunchSpec {
            platform: v1::Platform::Sim.into(),
            regions,
            ..Default::default()
        }
    }

    fn reason(spec: &v1::LaunchSpec) -> Option<Reason> {
        check("vm", Some(spec), LIMITS)
            .err()
            .map(|error| error.reason())
    }

    #[test]
    fn a_spec_needs_sound_regions_within_the_cap() {
        assert_eq!(reason(&spec(&[(0, 4096), (8192, 4096)])), None);
        assert_eq!(reason(&spec(&[(0, 1 << 30)])), None);
        assert_eq!(
            reason(&spec(&[(0, (1 << 30) + 4096)])),
            Some(Reason::NoCapacity)
        );
        for bad in [
            &[][..],
            &[(0, 0)],
            &[(1, 4096)],
            &[(0, 1)],
            &[(0, 1 << 63)],
            &[(u64::MAX - 4095, 4096)],
            &[(0, 8192), (4096, 4096)],
            &[(0, 4096); 5],
        ] {
            assert_eq!(reason(&spec(bad)), Some(Reason::InvalidLaunch), "{bad:?}");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut bad = spec(&[(0, 1)]);
        bad.platform = 99;
        bad.labels.insert("a\nb".to_owned(), String::new());
        let error = check("-no", Some(&bad), LIMITS).unwrap_err();
        let text = format!("{error}");
        for field in [
            "launch_id",
            "spec.platform",
            "spec.regions[0]",
            "spec.labels",
        ] {
            assert!(text.contains(field), "{field} is not in {text}");
        }
        assert_eq!(
            check("", None, LIMITS).unwrap_err().reason(),
            Reason::InvalidLaunch
        );
    }

    #[test]
    fn a_script_is_for_the_simulator_and_bounded() {
        let mut scripted = spec(&[(0, 4096)]);
        let fault = v1::SimFault {
            gpa: 0,
            times: 0,
            effect: Some(v1::sim_fault::Effect::FirmwareStatus(0x16)),
        };
        scripted.sim = Some(v1::SimSettings {
            page_latency: None,
            faults: vec![fault],
        });
        let checked = check("vm", Some(&scripted), LIMITS).unwrap();
        assert_eq!(
            checked.create(PlatformKind::Sim).sim.unwrap().faults[0].times,
            1
        );
        scripted.sim = Some(v1::SimSettings {
            page_latency: None,
            faults: vec![fault; 2],
        });
        assert_eq!(reason(&scripted), Some(Reason::InvalidLaunch));
        scripted.sim = Some(v1::SimSettings {
            page_latency: None,
            faults: vec![v1::SimFault {
                effect: None,
                ..fault
            }],
        });
        assert_eq!(reason(&scripted), Some(Reason::InvalidLaunch));
        scripted.sim = Some(v1::SimSettings {
            page_latency: Some(prost_types::Duration {
                seconds: 11,
                nanos: 0,
            }),
            faults: vec![],
        });
        assert_eq!(reason(&scripted), Some(Reason::InvalidLaunch));
        scripted.sim = Some(v1::SimSettings::default());
        scripted.platform = v1::Platform::Kvm.into();
        assert_eq!(reason(&scripted), Some(Reason::InvalidLaunch));
    }
}
