//! The kernel asks to try again.
//!
//! **Invariant:** a launch host tries again a bounded number of times, from the page on that the kernel wrote back.
use stagepages_kernel_model::{Call, Effect, Fault, Profile};

use super::REGION;
use crate::faults::row::{FIRST, FOR_EVER, KERNEL_REFUSED, MIDDLE, Row, at, done, over};

const POPULATE: &str = "kvm_gmem_populate(), virt/kvm/guest_memfd.c";
const POST_POPULATE: &str = "tdx_gmem_post_populate(), arch/x86/kvm/vmx/tdx.c";
const INIT_REGION: &str = "tdx_vcpu_init_mem_region(), arch/x86/kvm/vmx/tdx.c";

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let mut rows = signals();
    rows.extend(calls());
    rows.extend(busy(profile));
    rows.extend(creation(profile));
    rows
}

fn signals() -> Vec<Row> {
    let signal = |gfn, times| at(Call::TdxInitMemRegion, gfn, Effect::Signal).times(times);
    let (whole, rest) = (Some((FIRST, 8)), Some((MIDDLE, 5)));
    vec![
        Row::new("a signal is pending at the first page", POPULATE)
            .fault(signal(FIRST, 2))
            .stage(done().installed(8).asked([whole, whole, whole])),
        Row::new("a signal is pending at a later page", POPULATE)
            .fault(signal(MIDDLE, 2))
            .stage(done().installed(8).asked([whole, rest, rest])),
        Row::new("a signal is pending at the first page, for ever", POPULATE)
            .fault(signal(FIRST, FOR_EVER))
            .stage(
                over(KERNEL_REFUSED)
                    .at(REGION)
                    .errno("EINTR")
                    .asked_again([whole]),
            ),
        Row::new("a signal is pending at a later page, for ever", POPULATE)
            .fault(signal(MIDDLE, FOR_EVER))
            .stage(
                over(KERNEL_REFUSED)
                    .at(REGION)
                    .errno("EINTR")
                    .installed(3)
                    .asked_again([whole, rest]),
            ),
    ]
}

/// The call is refused as a whole, before the region is looked at.
fn calls() -> Vec<Row> {
    let fault = |errno| Fault::at(Call::TdxInitMemRegion, Effect::Errno(errno)).after(1);
    let whole = Some((FIRST, 8));
    let mut rows = Vec::new();
    for (errno, name) in [(4, "EINTR"), (11, "EAGAIN"), (16, "EBUSY")] {
        rows.extend([
            Row::new(format!("{name}, once"), INIT_REGION)
                .fault(fault(errno))
                .stage(done().installed(8).asked([None, whole])),
            Row::new(format!("{name}, four times"), INIT_REGION)
                .fault(fault(errno).times(4))
                .stage(done().installed(8).asked([None, None, None, None, whole])),
            Row::new(format!("{name}, for ever"), INIT_REGION)
                .fault(fault(errno).times(FOR_EVER))
                .stage(
                    over(KERNEL_REFUSED)
                        .at(REGION)
                        .errno(name)
                        .asked_again([None]),
                ),
        ]);
    }
    for (errno, name) in [(22, "EINVAL"), (14, "EFAULT"), (25, "ENOTTY"), (5, "EIO")] {
        rows.push(
            Row::new(format!("{name} to the call as a whole"), INIT_REGION)
                .fault(fault(errno))
                .stage(over(KERNEL_REFUSED).at(REGION).errno(name).asked([None])),
        );
    }
    rows
}

/// The module is busy with what it is asked about.
fn busy(profile: Profile) -> Vec<Row> {
    let (whole, rest) = (Some((FIRST, 8)), Some((MIDDLE, 5)));
    let (first, later) = match profile {
        // The page was marked before the module was asked, so that the retry meets it, and it is not known what it holds.
        Profile::V6_11 | Profile::V6_18 => {
            let met = || over(KERNEL_REFUSED).at(REGION).errno("EEXIST");
            (
                met().asked([whole, whole]),
                met().installed(3).asked([whole, rest]),
            )
        }
        // The kernel waits for the module itself.
        Profile::V6_19 | Profile::V7_1 => (
            done().installed(8).asked([whole]),
            done().installed(8).asked([whole]),
        ),
    };
    vec![
        Row::new("the module is busy at the first page", POST_POPULATE)
            .fault(at(Call::TdxInitMemRegion, FIRST, Effect::Busy))
            .stage(first),
        Row::new("the module is busy at a later page", POST_POPULATE)
            .fault(at(Call::TdxInitMemRegion, MIDDLE, Effect::Busy))
            .stage(later),
    ]
}

/// A vCPU is being made at the same time.
fn creation(profile: Profile) -> Vec<Row> {
    // Before, no command of a TD minds.
    if !profile.td_excludes_vcpu_creation() {
        return Vec::new();
    }
    let whole = Some((FIRST, 8));
    let race = |times| {
        Fault::at(Call::TdxInitMemRegion, Effect::VcpuCreationRace)
            .after(1)
            .times(times)
    };
    let for_ever = over(KERNEL_REFUSED).at(REGION).errno("EBUSY");
    vec![
        Row::new(
            "a vCPU is being made",
            "tdx_acquire_vm_state_locks(), arch/x86/kvm/vmx/tdx.c",
        )
        .fault(race(1))
        .stage(done().installed(8).asked([None, whole])),
        Row::new(
            "a vCPU is being made, for ever",
            "tdx_acquire_vm_state_locks(), arch/x86/kvm/vmx/tdx.c",
        )
        .fault(race(FOR_EVER))
        .stage(for_ever.asked_again([None])),
    ]
}
