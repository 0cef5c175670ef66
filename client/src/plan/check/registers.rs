//! Registers of a vCPU: what a processor refuses at the first instruction, and what KVM makes of the rest before it is measured.
//!
//! The rules are those of the launch host ([`stagepages_digest::vcpu`]), which judges again when the launch is created: for a processor with all that any has
//! here, and there for the one that the guest will see, which may allow less.
//!
//! **Invariant:** one error a vCPU at most, the first register that is wrong; and one note of all that is normalised.

use stagepages_digest::{
    vcpu::{CpuModel, GuestMemory, Rules, canonical, check_cr3, checked},
    vmsa::Registers,
};

use super::{Found, memory::end};
use crate::{
    addr::{PAGE_BYTES, Region},
    plan::{
        Finding, Plan,
        Severity::{Error, Note},
        registers,
        registers::given,
    },
    v1::{Platform, VcpuState, vcpu_state::State},
};

const NW: u64 = 1 << 29;
const CD: u64 = 1 << 30;
const MCE: u64 = 1 << 6;
const SVME: u64 = 1 << 12;

/// The regions of a plan.
#[derive(Debug)]
struct Memory<'a>(&'a [Region]);

impl GuestMemory for Memory<'_> {
    fn holds_page(&self, gpa: u64) -> bool {
        self.0.iter().any(|region| {
            let behind = end(region).and_then(|end| end.checked_sub(gpa));
            region.gpa.bytes() <= gpa && behind.is_some_and(|left| left >= PAGE_BYTES)
        })
    }
}

pub(super) fn check(plan: &Plan, state: &VcpuState, found: &mut Found) {
    let index = state.index;
    let Some(all) = given(state) else {
        if !matches!(state.state, Some(State::Tdx(_))) && plan.platform != Platform::Tdx {
            let text = format!(
                "vCPU {index} has a selector, attribute, table limit or real-mode register above 0xffff; these have 16 bits"
            );
            found.add(Finding::new(Error, "VCPU_REGISTER", text));
        }
        return;
    };
    let rules = Rules {
        cpu: CpuModel::any(),
        memory: &Memory(&plan.memory),
    };
    let judged = match &state.state {
        Some(State::Registers(_)) => checked(all, &rules).map(|_| ()),
        Some(State::LongMode(_)) => canonical("rip", all.general.rip, 48)
            .and_then(|()| canonical("rsp", all.general.rsp, 48))
            .and_then(|()| check_cr3(&all, &rules)),
        Some(State::Reset(_) | State::RealMode(_) | State::Tdx(_)) | None => Ok(()),
    };
    if let Err(wrong) = judged {
        let text = format!("vCPU {index}: {wrong}");
        found.add(Finding::new(Error, "VCPU_REGISTER", text));
    }
}

/// What KVM puts into save areas otherwise than the states have it, in one note: the digest covers KVM's.
pub(super) fn normalised(plan: &Plan, found: &mut Found) {
    if !matches!(plan.platform, Platform::SevSnp | Platform::Sim) {
        return;
    }
    let whole = |state: &&VcpuState| matches!(state.state, Some(State::Registers(_)));
    let all: Vec<_> = { plan.vcpus.iter().filter(whole) }
        .filter_map(registers)
        .collect();
    let any = |is_so: fn(&Registers) -> bool| all.iter().any(is_so);
    let changes: Vec<_> = [
        (
            any(|it| it.efer & SVME == 0),
            "sets EFER.SVME (`svm_set_efer()`)",
        ),
        (
            any(|it| it.cr4 & MCE == 0),
            "sets CR4.MCE (`svm_set_cr4()`)",
        ),
        (
            any(|it| it.cr0 & (CD | NW) != 0),
            "clears CR0.CD and CR0.NW (`svm_set_cr0()`)",
        ),
        (
            any(|it| it.cr2 != 0),
            "leaves CR2 zero (it is set where a vCPU runs, `svm_vcpu_run()`)",
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, what)| is_so.then_some(what))
    .collect();
    if !changes.is_empty() {
        let text = format!(
            "KVM {} in the save areas of vCPUs, and the digest covers that; nothing is to be done",
            changes.join(", ")
        );
        found.add(Finding::new(Note, "VCPU_NORMALISED", text));
    }
}
