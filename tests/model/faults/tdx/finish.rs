//! What keeps a TDX launch from being finished.
//!
//! **Invariant:** but for a module that is busy, whatever FINALIZE_VM meets is the end.
use stagepages_kernel_model::{Call, Effect, Fault, Profile};

use crate::faults::row::{After, Expect, FOR_EVER, KERNEL_REFUSED, Row, done, over};

const FINALIZE: &str = "tdx_td_finalize(), arch/x86/kvm/vmx/tdx.c";
const NAME: &str = "KVM_TDX_FINALIZE_VM";
/// TDX_OPERAND_BUSY, arch/x86/kvm/vmx/tdx_errno.h.
const OPERAND_BUSY: u64 = 0x8000_0200_0000_0000;
/// What the module answers here.
const TD_NOT_INITIALIZED: u64 = 0xc000_0600_0000_0000;

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let row = |what: &str, effect, times, expect: Expect| {
        Row::new(what, FINALIZE)
            .vcpus(2)
            .fault(Fault::at(Call::TdxFinalizeVm, effect).times(times))
            .finish(None, expect)
    };
    let finished = || Expect {
        after: After::Finished,
        ..done()
    };
    let refused = |errno| over(KERNEL_REFUSED).at(NAME).errno(errno);
    let module = Effect::Module {
        status: TD_NOT_INITIALIZED,
        in_extend: false,
    };
    let race = match profile {
        // Does not mind, and a script may not say so.
        Profile::V6_11 | Profile::V6_18 => Effect::Latency(1),
        Profile::V6_19 | Profile::V7_1 => Effect::VcpuCreationRace,
    };
    vec![
        row("nothing", Effect::Latency(1), 1, finished()),
        row("the module is busy, once", Effect::Busy, 1, finished()),
        row(
            "the module is busy, four times",
            Effect::Busy,
            4,
            finished(),
        ),
        row("a vCPU is being made at the finish", race, 1, finished()),
        row(
            "the module is busy, for ever",
            Effect::Busy,
            FOR_EVER,
            refused("EBUSY").module(OPERAND_BUSY),
        ),
        row(
            "the module refuses",
            module,
            1,
            refused("EIO").module(TD_NOT_INITIALIZED),
        ),
        row(
            "EINVAL to the finish",
            Effect::Errno(22),
            1,
            refused("EINVAL"),
        ),
        row(
            "EFAULT to the finish",
            Effect::Errno(14),
            1,
            refused("EFAULT"),
        ),
        row(
            "the finish cannot be written back",
            Effect::CopyBackFault,
            1,
            refused("EFAULT"),
        ),
        row(
            "the VM is dead at the finish",
            Effect::Dead,
            1,
            refused("EIO"),
        ),
    ]
}
