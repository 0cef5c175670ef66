//! vCPU states from the wire: whether they have a shape at all. Pure.
//!
//! What a register may hold is the launch host's to say, which knows the platform's vCPUs; a number that does not fit its register's width is
//! handed on as it is, and refused there.
//!
//! **Invariant:** nothing is filled in: what the caller left unset reaches the host unset.

use std::collections::HashSet;

use stagepages_host::protocol::{self, MAX_VCPUS};
use stagepages_proto::v1;

use super::create::Violations;

/// How many vCPUs a launch of this spec has.
pub(super) fn count(spec: &v1::LaunchSpec) -> u32 {
    spec.vcpus.max(1)
}

/// The vCPU states of a spec, each index once.
pub(super) fn states(spec: &v1::LaunchSpec, wrong: &mut Violations) -> Vec<protocol::Vcpu> {
    if spec.vcpus > MAX_VCPUS {
        let text = format!("{}; at most {MAX_VCPUS} are allowed", spec.vcpus);
        wrong.add("spec.vcpus", text);
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut states = Vec::new();
    for (nth, given) in spec.vcpu_states.iter().enumerate() {
        let field = format!("spec.vcpu_states[{nth}]");
        if !seen.insert(given.index) {
            let text = format!("vCPU {} has a state already; give one", given.index);
            wrong.add(format!("{field}.index"), text);
        }
        match state(given, count(spec)) {
            Ok(state) => states.push(state),
            Err((inner, text)) => {
                wrong.add(format!("{field}.{inner}"), text);
                // Indexes repeat or are out of range from here on: saying so a few times is enough.
                if nth > MAX_VCPUS as usize {
                    break;
                }
            }
        }
    }
    states
}

/// One vCPU's state, for a launch with `vcpus`; or the field that is wrong, and what is.
pub(super) fn state(
    given: &v1::VcpuState,
    vcpus: u32,
) -> Result<protocol::Vcpu, (&'static str, String)> {
    use v1::vcpu_state::State;
    if given.index >= vcpus {
        let text = format!(
            "{} is no vCPU of this launch, whose last is {}",
            given.index,
            vcpus - 1
        );
        return Err(("index", text));
    }
    let start = match &given.state {
        Some(State::Reset(v1::VcpuReset {})) => protocol::VcpuStart::Reset(true),
        Some(State::RealMode(state)) => protocol::VcpuStart::RealMode(real_mode(state)),
        Some(State::LongMode(state)) => protocol::VcpuStart::LongMode(long_mode(state)),
        Some(State::Registers(state)) => protocol::VcpuStart::Registers(Box::new(registers(state))),
        Some(State::Tdx(state)) => protocol::VcpuStart::Tdx(protocol::TdxStart { rcx: state.rcx }),
        None => {
            let text = "one of reset, real_mode, long_mode, registers or tdx is required";
            return Err(("state", text.to_owned()));
        }
    };
    Ok(protocol::Vcpu {
        index: given.index,
        start: Some(start),
    })
}

fn real_mode(state: &v1::RealModeState) -> protocol::RealMode {
    protocol::RealMode {
        cs: state.cs,
        ip: state.ip,
        sp: state.sp,
        general: state.general.as_ref().map(general),
    }
}

fn long_mode(state: &v1::LongModeState) -> protocol::LongMode {
    protocol::LongMode {
        rip: state.rip,
        rsp: state.rsp,
        cr3: state.cr3,
        general: state.general.as_ref().map(general),
    }
}

fn registers(state: &v1::VcpuRegisters) -> protocol::Registers {
    protocol::Registers {
        general: state.general.as_ref().map(general),
        rsp: state.rsp,
        rip: state.rip,
        rflags: state.rflags,
        cs: state.cs.as_ref().map(segment),
        ds: state.ds.as_ref().map(segment),
        es: state.es.as_ref().map(segment),
        fs: state.fs.as_ref().map(segment),
        gs: state.gs.as_ref().map(segment),
        ss: state.ss.as_ref().map(segment),
        tr: state.tr.as_ref().map(segment),
        ldtr: state.ldtr.as_ref().map(segment),
        gdtr: state.gdtr.as_ref().map(table),
        idtr: state.idtr.as_ref().map(table),
        cr0: state.cr0,
        cr2: state.cr2,
        cr3: state.cr3,
        cr4: state.cr4,
        efer: state.efer,
        pat: state.pat,
    }
}

fn general(given: &v1::GeneralRegisters) -> protocol::General {
    protocol::General {
        rax: given.rax,
        rbx: given.rbx,
        rcx: given.rcx,
        rdx: given.rdx,
        rsi: given.rsi,
        rdi: given.rdi,
        rbp: given.rbp,
        r8: given.r8,
        r9: given.r9,
        r10: given.r10,
        r11: given.r11,
        r12: given.r12,
        r13: given.r13,
        r14: given.r14,
        r15: given.r15,
    }
}

fn segment(given: &v1::Segment) -> protocol::Segment {
    protocol::Segment {
        selector: given.selector,
        attributes: given.attributes,
        limit: given.limit,
        base: given.base,
    }
}

fn table(given: &v1::DescriptorTable) -> protocol::Table {
    protocol::Table {
        base: given.base,
        limit: given.limit,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use v1::vcpu_state::State;

    use super::*;

    fn reset(index: u32) -> v1::VcpuState {
        v1::VcpuState {
            index,
            state: Some(State::Reset(v1::VcpuReset {})),
        }
    }

    fn fields(spec: &v1::LaunchSpec) -> Vec<String> {
        let mut wrong = Violations::default();
        states(spec, &mut wrong);
        wrong.fields().map(str::to_owned).collect()
    }

    #[test]
    fn each_vcpu_has_one_state_and_no_other_has_any() {
        let spec = |vcpus, vcpu_states| v1::LaunchSpec {
            vcpus,
            vcpu_states,
            ..v1::LaunchSpec::default()
        };
        let none: [&str; 0] = [];
        assert_eq!(fields(&spec(0, vec![reset(0)])), none);
        assert_eq!(fields(&spec(MAX_VCPUS, vec![reset(MAX_VCPUS - 1)])), none);
        assert_eq!(fields(&spec(MAX_VCPUS + 1, vec![])), ["spec.vcpus"]);
        assert_eq!(
            fields(&spec(2, vec![reset(1), reset(2), reset(1)])),
            ["spec.vcpu_states[1].index", "spec.vcpu_states[2].index"]
        );
        let empty = v1::VcpuState::default();
        assert_eq!(fields(&spec(1, vec![empty])), ["spec.vcpu_states[0].state"]);
    }

    #[test]
    fn a_crowd_of_wrong_states_is_not_answered_one_by_one() {
        let spec = v1::LaunchSpec {
            vcpu_states: vec![reset(9); 100_000],
            ..v1::LaunchSpec::default()
        };
        assert!(fields(&spec).len() < 200);
    }

    #[test]
    fn every_register_reaches_the_host_under_its_own_name() {
        // Public and private messages have the same shape, so the bytes of one, every field another number, are those of the other.
        let mut numbers = 1_u64..;
        let mut number = || numbers.next().unwrap();
        let mut short = 1_u32..;
        let mut short = || short.next().unwrap();
        let general = Some(v1::GeneralRegisters {
            rax: number(),
            rbx: number(),
            rcx: number(),
            rdx: number(),
            rsi: number(),
            rdi: number(),
            rbp: number(),
            r8: number(),
            r9: number(),
            r10: number(),
            r11: number(),
            r12: number(),
            r13: number(),
            r14: number(),
            r15: number(),
        });
        let mut segment = || {
            Some(v1::Segment {
                selector: short(),
                attributes: short(),
                limit: short(),
                base: u64::from(short()),
            })
        };
        let table = |base, limit| Some(v1::DescriptorTable { base, limit });
        let given = v1::VcpuRegisters {
            general,
            rsp: 101,
            rip: 102,
            rflags: 103,
            cs: segment(),
            ds: segment(),
            es: segment(),
            fs: segment(),
            gs: segment(),
            ss: segment(),
            tr: segment(),
            ldtr: segment(),
            gdtr: table(104, 105),
            idtr: table(106, 107),
            cr0: 108,
            cr2: 109,
            cr3: 110,
            cr4: 111,
            efer: 112,
            pat: Some(113),
        };
        let states = [
            State::Registers(given),
            State::RealMode(v1::RealModeState {
                cs: 1,
                ip: 2,
                sp: 3,
                general,
            }),
            State::LongMode(v1::LongModeState {
                rip: 4,
                rsp: 5,
                cr3: 6,
                general,
            }),
            State::Tdx(v1::TdxVcpuState { rcx: 7 }),
        ];
        for given in states {
            let given = v1::VcpuState {
                index: 1,
                state: Some(given),
            };
            let handed_on = state(&given, 2).unwrap();
            assert_eq!(handed_on.encode_to_vec(), given.encode_to_vec());
        }
    }
}
