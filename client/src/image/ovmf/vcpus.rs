//! How the vCPUs of a firmware image begin.
//!
//! **Invariant:** one state for each vCPU, in the order of their indices, at most 64.

use crate::{
    addr::Gpa,
    image::{ImageError, Options},
    v1::{self, vcpu_state::State},
};

const MOST: u32 = 64;
/// Where a processor begins: 16 bytes before 4 GiB.
const RESET_VECTOR: u32 = 0xffff_fff0;
/// The processor signature of a vCPU whose CPUID nobody set (`kvm_vcpu_reset()`, arch/x86/kvm/x86.c).
const KVM_SIGNATURE: u32 = 0x600;

/// How many, as wanted.
///
/// # Errors
/// None, or too many.
pub(super) fn count(options: &Options) -> Result<u32, ImageError> {
    match options.vcpus.unwrap_or(1) {
        count @ 1..=MOST => Ok(count),
        other => {
            let problem = format!("{other} were asked for; give 1 to {MOST}");
            Err(ImageError::whole("vCPUs", problem))
        }
    }
}

/// The first at the reset vector, the others at `others`, as QEMU resets them: real mode with CS based at the address's upper half
/// (QEMU, target/i386/sev.c: `sev_es_set_reset_vector()`), and the processor signature in RDX.
///
/// They are told register by register: RDX and CS are not as after reset. CR0 is without CD and NW, which KVM
/// hides from what it measures (see `stagepages_digest::vmsa`).
pub(super) fn snp(count: u32, others: u32, signature: Option<u32>) -> Vec<v1::VcpuState> {
    let state = |index| {
        let at = if index == 0 { RESET_VECTOR } else { others };
        v1::VcpuRegisters {
            general: Some(v1::GeneralRegisters {
                rdx: signature.unwrap_or(KVM_SIGNATURE).into(),
                ..v1::GeneralRegisters::default()
            }),
            rip: (at & 0xffff).into(),
            rflags: 2,
            cs: Some(v1::Segment {
                selector: 0xf000,
                attributes: 0x9b,
                limit: 0xffff,
                base: (at & 0xffff_0000).into(),
            }),
            cr0: 0x10,
            ..v1::VcpuRegisters::default()
        }
    };
    each(count, |index| State::Registers(state(index)))
}

/// As the TDX module resets them, with the address of the hand-off block in RCX.
pub(super) fn tdx(count: u32, hand_off: Option<Gpa>) -> Vec<v1::VcpuState> {
    let rcx = hand_off.map_or(0, Gpa::bytes);
    each(count, |_| State::Tdx(v1::TdxVcpuState { rcx }))
}

/// As the architecture resets them.
pub(super) fn reset(count: u32) -> Vec<v1::VcpuState> {
    each(count, |_| State::Reset(v1::VcpuReset {}))
}

fn each(count: u32, state: impl Fn(u32) -> State) -> Vec<v1::VcpuState> {
    (0..count)
        .map(|index| v1::VcpuState {
            index,
            state: Some(state(index)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use stagepages_digest::vmsa::{Registers, page};

    use super::*;
    use crate::plan::registers;

    #[test]
    fn the_first_vcpu_is_measured_as_one_after_reset() {
        let states = snp(2, 0x0080_b004, None);
        let pages: Vec<_> = states
            .iter()
            .map(|state| page(&registers(state).unwrap(), 1))
            .collect();
        assert_eq!(pages[0], page(&Registers::reset(), 1));
        assert_ne!(pages[0], pages[1]);
        let other = registers(&states[1]).unwrap();
        assert_eq!((other.cs.base, other.general.rip), (0x80_0000, 0xb004));
    }

    #[test]
    fn vcpus_are_one_to_sixty_four() {
        let of = |vcpus| {
            count(&Options {
                vcpus,
                ..Options::default()
            })
        };
        assert_eq!((of(None), of(Some(64))), (Ok(1), Ok(64)));
        for wrong in [0, 65, u32::MAX] {
            let error = of(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains(&wrong.to_string()), "{error}");
        }
    }
}
