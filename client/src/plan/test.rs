//! Plans for tests.
//!
//! **Invariant:** what it makes has no finding, but for what a test puts in.

use super::{Extent, Plan};
use crate::{
    addr::{Gpa, Region},
    v1::{Platform, VcpuReset, VcpuState, vcpu_state::State},
};

/// A plan with one vCPU and 64 MiB at 0.
pub(crate) fn plan(platform: Platform, extents: Vec<Extent>) -> Plan {
    Plan {
        platform,
        format: "test".into(),
        memory: vec![Region {
            gpa: Gpa::new(0),
            size: 64 << 20,
        }],
        extents,
        vcpus: vec![vcpu(0, State::Reset(VcpuReset {}))],
        sev_snp: None,
        tdx: None,
        finish: None,
        expected_digest: None,
        findings: Vec::new(),
    }
}

pub(crate) fn vcpu(index: u32, state: State) -> VcpuState {
    VcpuState {
        index,
        state: Some(state),
    }
}
