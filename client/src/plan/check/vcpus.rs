//! vCPUs: how many, in which order, and in a state that the platform takes.
//!
//! **Invariant:** what is inside a register is judged in `registers`.

use super::{Found, registers};
use crate::{
    plan::{Finding, Plan, Severity::Error},
    v1::{Platform, VcpuState, vcpu_state::State},
    words,
};

/// vCPUs of one launch at most.
const MOST: usize = 64;

pub(super) fn check(plan: &Plan, found: &mut Found) {
    let count = plan.vcpus.len();
    if !(1..=MOST).contains(&count) {
        let text = format!("the plan has {count} vCPUs; a launch has 1 to {MOST}");
        found.add(Finding::new(Error, "VCPU_COUNT", text));
    }
    for (nth, state) in plan.vcpus.iter().enumerate() {
        if usize::try_from(state.index) != Ok(nth) {
            let text = format!(
                "vCPU {nth} has index {}; they are measured in order of index: number them 0 to {} in turn",
                state.index,
                count.saturating_sub(1)
            );
            found.add(Finding::new(Error, "VCPU_INDEX", text));
        }
        match unfit(plan.platform, state) {
            Some(way_out) => {
                let text = format!(
                    "vCPU {nth} begins in a state that {} does not take: {way_out}",
                    words::platform(plan.platform.into())
                );
                found.add(Finding::new(Error, "VCPU_STATE", text));
            }
            None => registers::check(plan, state, found),
        }
    }
    registers::normalised(plan, found);
}

/// What would do instead; `None` if the state does.
fn unfit(platform: Platform, state: &VcpuState) -> Option<&'static str> {
    match (&state.state, platform) {
        (None, _) => Some("none; give reset, real mode, long mode, registers, or on tdx RCX"),
        (Some(State::Reset(_)), _) | (Some(State::Tdx(_)), Platform::Tdx) => None,
        (Some(State::Tdx(_)), _) => {
            Some("RCX of a TD; give reset, real mode, long mode or registers")
        }
        (Some(State::RealMode(_) | State::LongMode(_) | State::Registers(_)), Platform::Tdx) => {
            Some("the TDX module sets the registers itself; give RCX, or reset")
        }
        (Some(State::RealMode(_) | State::LongMode(_) | State::Registers(_)), _) => None,
    }
}
