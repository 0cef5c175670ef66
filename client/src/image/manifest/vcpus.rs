//! One state for each vCPU.

use std::collections::BTreeMap;

use super::{document::Document, place::Text};
use crate::{
    image::{ImageError, Options},
    v1::{GeneralRegisters, Platform, VcpuRegisters, VcpuReset, VcpuState, vcpu_state::State},
};

const MOST_VCPUS: u32 = 64;
/// CR0 after reset: CD, NW and ET.
const RESET_CR0: u64 = 0x6000_0010;

/// In the order of their indices.
pub(super) fn vcpus(
    text: Text<'_>,
    document: &Document,
    platform: Platform,
    options: &Options,
) -> Result<Vec<VcpuState>, ImageError> {
    let mut states = BTreeMap::new();
    let typed = document.vcpus.iter().map(|it| {
        let state = VcpuState::from(it.get_ref().0.clone());
        (state, it.span(), "vcpus")
    });
    let registers = document.vcpu_registers.iter().map(|it| {
        let state = VcpuState::from(it.get_ref());
        (state, it.span(), "vcpu_registers")
    });
    for (state, span, key) in typed.chain(registers) {
        let index = state.index;
        let place = toml::Spanned::new(span, ());
        let problem = match states.insert(index, state) {
            Some(_) => format!("vCPU {index} has a state already; give one"),
            None if index >= MOST_VCPUS => {
                format!("vCPU {index}; a guest has at most {MOST_VCPUS}, numbered from 0")
            }
            None => continue,
        };
        return Err(text.at(&place, key, &problem));
    }
    let least = states.last_key_value().map_or(1, |(index, _)| index + 1);
    let count = match (options.vcpus, &document.vcpu_count) {
        (Some(count), _) => count,
        (None, Some(count)) => count.get_ref().0.0,
        (None, None) => least,
    };
    if !(1..=MOST_VCPUS).contains(&count) || count < least && !states.is_empty() {
        let problem = format!(
            "{count} of them; give 1 to {MOST_VCPUS}, and as many as have states: {least} or more"
        );
        return Err(match (options.vcpus, &document.vcpu_count) {
            (None, Some(given)) => text.at(given, "vcpu_count", &problem),
            (..) => ImageError::whole("vCPUs", problem),
        });
    }
    let reset = match (platform, options.cpu_signature) {
        (Platform::SevSnp | Platform::Sim, Some(signature)) => after_reset(signature),
        (..) => State::Reset(VcpuReset {}),
    };
    let state = |index| {
        let begins = states.get(&index).and_then(|it| it.state);
        let state = match begins {
            None | Some(State::Reset(_)) => reset,
            Some(
                named @ (State::RealMode(_)
                | State::LongMode(_)
                | State::Registers(_)
                | State::Tdx(_)),
            ) => named,
        };
        VcpuState {
            index,
            state: Some(state),
        }
    };
    Ok((0..count).map(state).collect())
}

/// As the architecture resets it on this processor, where KVM has told the vCPU nothing of it yet.
fn after_reset(signature: u32) -> State {
    State::Registers(VcpuRegisters {
        general: Some(GeneralRegisters {
            rdx: signature.into(),
            ..GeneralRegisters::default()
        }),
        rip: 0xfff0,
        rflags: 2,
        cr0: RESET_CR0,
        ..VcpuRegisters::default()
    })
}
