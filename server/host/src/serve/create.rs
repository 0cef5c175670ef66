//! Making the launch of this host from what the daemon asks for.

use std::time::Duration;

use stagepages_kvm::{Gfn, GfnRange, Gpa};

use super::HostConfig;
use crate::{
    launch::{Launch, Open, Ordering, Reason, Refusal, StopFlag},
    platform::{
        Effect, Fault, Firmware, KvmPlatform, Memory, Platform, PlatformKind, SimPlatform,
        SimScript,
    },
    protocol::{BadMessage, Create, Sim, SimEffect},
};

/// Name of the simulated firmware's time line in the runtime directory.
const FIRMWARE: &str = "sim-firmware";

/// The launch that `create` describes.
///
/// # Errors
/// Nothing remains of a launch that could not be made.
pub(super) fn create(
    create: &Create,
    config: &HostConfig,
    stop: StopFlag,
) -> Result<Launch, Refusal> {
    let regions: Result<Vec<_>, _> = create
        .regions
        .iter()
        .map(|region| GfnRange::from_bytes(Gpa::new(region.gpa), region.size))
        .collect();
    let regions = regions
        .map_err(|error| Refusal::new(Reason::InvalidLaunch, format!("regions: {error}")))?;
    let memory = Memory::plan(&regions)
        .map_err(|error| Refusal::new(Reason::InvalidLaunch, error.to_string()))?;
    let no_room = |error: stagepages_kvm::KvmError| {
        Refusal::new(
            Reason::NoCapacity,
            format!(
                "the kernel cannot make this launch: {error}; ask for less memory, or free some"
            ),
        )
        .kernel(&error)
    };
    let platform: Box<dyn Platform> = match PlatformKind::from_number(create.platform)? {
        PlatformKind::Sim => {
            let script = create
                .sim
                .as_ref()
                .map(script)
                .transpose()?
                .unwrap_or_default();
            let firmware = if script.page_latency.is_zero() {
                Ok(Firmware::instant())
            } else {
                Firmware::open(&config.runtime_dir.join(FIRMWARE))
            };
            let firmware = firmware.map_err(|error| {
                Refusal::new(
                    Reason::PlatformUnavailable,
                    format!(
                        "the simulated firmware in {}: {error}",
                        config.runtime_dir.display()
                    ),
                )
            })?;
            Box::new(SimPlatform::new(&memory, script, firmware).map_err(no_room)?)
        }
        PlatformKind::Kvm => Box::new(KvmPlatform::new(&memory).map_err(no_room)?),
        kind @ (PlatformKind::SevSnp | PlatformKind::Tdx) => {
            return Err(Refusal::new(
                Reason::PlatformUnavailable,
                format!("this version cannot stage on {kind}"),
            ));
        }
    };
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
    Ok(Launch::Open(Open::new(
        platform,
        memory,
        key,
        stop,
        config.chunk_pages,
        ordering,
    )))
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
