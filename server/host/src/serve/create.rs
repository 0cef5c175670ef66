//! Making the launch of this host from what the daemon asks for.

use std::{collections::HashSet, time::Duration};

use stagepages_kvm::{Gfn, GfnRange, Gpa};

use super::{HostConfig, PlatformSpec, Platforms};
use crate::{
    launch::{Launch, Open, Ordering, Reason, Refusal, StopFlag},
    platform::{Effect, Fault, Memory, PlatformKind, SimScript},
    protocol::{BadMessage, Create, MAX_VCPUS, Sim, SimEffect},
    settings::{Settings, SnpSettings, TdxSettings, wrong},
};

/// The launch that `create` describes, and how long its memory took to be made private.
///
/// # Errors
/// Nothing remains of a launch that could not be made.
pub(super) fn create(
    create: &Create,
    config: &HostConfig,
    platforms: &dyn Platforms,
    stop: StopFlag,
) -> Result<(Launch, Duration), Refusal> {
    let regions: Result<Vec<_>, _> = create
        .regions
        .iter()
        .map(|region| GfnRange::from_bytes(Gpa::new(region.gpa), region.size))
        .collect();
    let regions = regions
        .map_err(|error| Refusal::new(Reason::InvalidLaunch, format!("regions: {error}")))?;
    let memory = Memory::plan(&regions)
        .map_err(|error| Refusal::new(Reason::InvalidLaunch, error.to_string()))?;
    let vcpus = create.vcpus.max(1);
    if vcpus > MAX_VCPUS {
        let message = format!("vcpus is {vcpus}; a launch has 1 to {MAX_VCPUS}");
        return Err(Refusal::new(Reason::InvalidLaunch, message));
    }
    let kind = PlatformKind::from_number(create.platform)?;
    let platform = platforms.create(PlatformSpec {
        kind,
        memory: &memory,
        vcpus,
        settings: settings(create, kind)?,
    })?;
    let attributes = platform.attributes_time();
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| {
        Refusal::new(
            Reason::NoCapacity,
            format!("the kernel gives no random numbers: {error}"),
        )
    })?;
    let ordering = if create.sequenced {
        Ordering::Sequenced
    } else {
        Ordering::Unordered
    };
    let mut launch = Launch::Open(Open::new(
        platform,
        memory,
        key,
        stop,
        config.chunk_pages,
        ordering,
        vcpus,
    ));
    let mut named = HashSet::new();
    for (nth, vcpu) in create.vcpu_states.iter().enumerate() {
        if !named.insert(vcpu.index) {
            let message = format!("vcpu_states names vCPU {} twice; name it once", vcpu.index);
            return Err(Refusal::new(Reason::InvalidLaunch, message));
        }
        launch.set_vcpu(vcpu).map_err(|refusal| Refusal {
            field: within(&format!("vcpu_states[{nth}]"), &refusal.field),
            ..refusal
        })?;
    }
    Ok((launch, attributes))
}

/// The settings of the launch's platform; those of another are refused.
fn settings(create: &Create, kind: PlatformKind) -> Result<Settings, Refusal> {
    let given = [
        ("sim", PlatformKind::Sim, create.sim.is_some()),
        ("sev_snp", PlatformKind::SevSnp, create.sev_snp.is_some()),
        ("tdx", PlatformKind::Tdx, create.tdx.is_some()),
    ];
    if let Some((field, of, _)) = given.iter().find(|(_, of, given)| *given && *of != kind) {
        let text = format!("is only for platform {of}, and this is {kind}; leave it unset");
        return Err(wrong(field, &text));
    }
    Ok(match create {
        Create { sim: Some(sim), .. } => Settings::Sim(script(sim)?),
        Create {
            sev_snp: Some(given),
            ..
        } => Settings::SevSnp(SnpSettings::new(given)?),
        Create {
            tdx: Some(given), ..
        } => Settings::Tdx(TdxSettings::new(given)?),
        Create {
            sim: None,
            sev_snp: None,
            tdx: None,
            ..
        } => Settings::Default,
    })
}

/// The path of `field`, which may be empty, within `outer`.
fn within(outer: &str, field: &str) -> String {
    if field.is_empty() {
        outer.to_owned()
    } else {
        format!("{outer}.{field}")
    }
}

fn script(sim: &Sim) -> Result<SimScript, BadMessage> {
    let fault = |fault: &crate::protocol::SimFault| {
        let gfn = Gfn::new(fault.gpa / stagepages_kvm::PAGE_SIZE)
            .ok_or_else(|| BadMessage::new("fault gpa", fault.gpa))?;
        let effect = match fault
            .effect
            .ok_or_else(|| BadMessage::new("fault effect", "none"))?
        {
            SimEffect::FirmwareStatus(status) => Effect::Firmware(status),
            SimEffect::KernelErrno(errno) => Effect::Kernel(
                i32::try_from(errno).map_err(|_too_large| BadMessage::new("errno", errno))?,
            ),
            SimEffect::StopShort(_) => Effect::StopShort,
            SimEffect::StrayPage(_) => Effect::Stray,
        };
        Ok((
            gfn,
            Fault {
                times: fault.times,
                effect,
            },
        ))
    };
    let faults = sim
        .faults
        .iter()
        .map(fault)
        .collect::<Result<_, BadMessage>>()?;
    Ok(SimScript {
        page_latency: Duration::from_nanos(sim.page_latency_nanos),
        faults,
    })
}
