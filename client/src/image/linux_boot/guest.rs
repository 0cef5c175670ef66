//! The wishes that every kernel is planned with, and those that none can meet.

use super::{Mode, mode::Pointers};
use crate::{
    image::{ImageError, Options},
    plan::{Finding, Severity},
    v1::{Platform, VcpuReset, VcpuState, vcpu_state::State},
};

const MOST_VCPUS: u32 = 64;

/// The platform that a bare kernel is planned for.
///
/// # Errors
/// It is one on which nothing could vouch for a bare kernel; or there are wishes that only firmware could meet, or only such a platform, and none is named:
/// who wants a confidential guest is not to get a plain one.
pub(in crate::image) fn platform(options: &Options) -> Result<Platform, ImageError> {
    let wrong = |what: &str, problem: &str| Err(ImageError::whole(what, problem));
    if options.kernel.is_some() {
        return wrong(
            "kernel",
            "this image is a kernel itself; give a firmware as image to boot another kernel",
        );
    }
    let named = options.platform.filter(|it| *it != Platform::Unspecified);
    let platform = match named.unwrap_or(Platform::Kvm) {
        platform @ (Platform::Kvm | Platform::Sim | Platform::Unspecified) => platform,
        Platform::SevSnp | Platform::Tdx => {
            return wrong(
                "platform",
                "a kernel alone can be planned for kvm and sim; for sev-snp give OVMF as image and this with --kernel, or an IGVM file, for tdx a TDVF, and for either a manifest of raw extents",
            );
        }
    };
    let is_for_others =
        !options.sev_snp.is_empty() || !options.tdx.is_empty() || options.cpuid_page.is_some();
    if named.is_none() && is_for_others {
        return wrong(
            "settings",
            "a kernel alone is planned for kvm and sim, which take no settings of sev-snp or tdx and no CPUID page; leave them out, or name the platform to plan without them",
        );
    }
    Ok(platform)
}

/// One state for each vCPU, the first at the kernel's entry.
pub(super) fn vcpus(
    options: &Options,
    mode: Mode,
    at: Pointers,
) -> Result<(Vec<VcpuState>, Option<Finding>), ImageError> {
    let count = options.vcpus.unwrap_or(1);
    if !(1..=MOST_VCPUS).contains(&count) {
        let problem = format!("{count} of them; give 1 to {MOST_VCPUS}");
        return Err(ImageError::whole("vCPUs", problem));
    }
    let others = (1..count).map(|index| VcpuState {
        index,
        state: Some(State::Reset(VcpuReset {})),
    });
    let states = std::iter::once(mode.state(at)).chain(others).collect();
    let finding = (count > 1).then(|| {
        let text = format!(
            "vCPUs 1 to {} begin at the reset vector, where this image has nothing, and the built-in host has no interrupt controller with which the first could start them; give 1 vCPU, or a host program with one",
            count - 1
        );
        Finding::new(Severity::Warning, "VCPUS_NOT_STARTED", text)
    });
    Ok((states, finding))
}
