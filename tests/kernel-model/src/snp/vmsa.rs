//! The page that KVM makes of a vCPU's state and measures at the end of a launch (`sev_es_sync_vmsa()`, `arch/x86/kvm/svm/sev.c`).
//!
//! Laid out as `struct sev_es_save_area` (`arch/x86/include/asm/svm.h`); the x87 registers are those after reset.
//!
//! **Invariant:** a function of the vCPU's state alone, so that a test can compute it.

use crate::vcpu::Vcpu;
use crate::wire::Fields;

const EFER_SVME: u64 = 0x1000;
const CR4_MCE: u64 = 0x40;
const CR0_CACHE_BITS: u64 = 0x6000_0000;

/// The VMSA of a vCPU, with these features of its guest.
#[must_use]
pub fn vmsa(vcpu: &Vcpu, features: u64) -> Box<[u8; 4096]> {
    let mut save = Fields([0; 4096]);
    let sregs = Fields(vcpu.sregs);
    // es, cs, ss, ds, fs, gs, ldtr and tr, and where struct kvm_sregs has them.
    for (to, from) in [
        (0x00, 48),
        (0x10, 0),
        (0x20, 120),
        (0x30, 24),
        (0x40, 72),
        (0x50, 96),
        (0x70, 168),
        (0x90, 144),
    ] {
        let mut from = Fields(sregs.bytes::<24>(from));
        if !vcpu.segments_set {
            unread(&mut from);
        }
        save.put(to, &segment(&from));
    }
    for (to, from) in [(0x60, 192), (0x80, 208)] {
        save.put(to + 4, &sregs.bytes::<2>(from + 8));
        save.put(to + 8, &sregs.bytes::<8>(from));
    }
    let cpl_of_ss = sregs.u8(120 + 16);
    save.put(0xcb, &[cpl_of_ss]);
    for (to, value) in [
        (0xd0, sregs.u64(264) | EFER_SVME),
        (0x148, sregs.u64(248) | CR4_MCE),
        (0x150, sregs.u64(240)),
        (0x158, sregs.u64(224) & !CR0_CACHE_BITS),
        (0x160, 0x400),       // dr7
        (0x168, 0xffff_0ff0), // dr6
        (0x3b0, features),
        (0x3e8, 1), // xcr0
    ] {
        save.put(to, &value.to_le_bytes());
    }
    general_registers(&mut save, &Fields(vcpu.regs));
    for (to, msr) in [
        (0x140, 0xda0_u32), // xss
        (0x200, 0xc000_0081),
        (0x208, 0xc000_0082),
        (0x210, 0xc000_0083),
        (0x218, 0xc000_0084),
        (0x220, 0xc000_0102),
        (0x228, 0x174),
        (0x230, 0x175),
        (0x238, 0x176),
        (0x268, 0x277), // g_pat
    ] {
        let value = vcpu.msrs.get(&msr).copied().unwrap_or(0);
        save.put(to, &value.to_le_bytes());
    }
    save.put(0x408, &0x1f80_u32.to_le_bytes()); // mxcsr
    save.put(0x410, &0x37f_u16.to_le_bytes()); // x87 control word
    Box::new(save.0)
}

/// rflags and rip, and then each register by where `struct kvm_regs` has it: rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15.
fn general_registers(save: &mut Fields<4096>, regs: &Fields<144>) {
    for (to, from) in [
        (0x170, 136),
        (0x178, 128),
        (0x1d8, 48),
        (0x1f8, 0),
        (0x308, 16),
        (0x310, 24),
        (0x318, 8),
        (0x328, 56),
        (0x330, 32),
        (0x338, 40),
    ] {
        save.put(to, &regs.bytes::<8>(from));
    }
    for number in 0..8 {
        save.put(0x340 + 8 * number, &regs.bytes::<8>(64 + 8 * number));
    }
}

/// A segment as `init_vmcb()` leaves it (`arch/x86/kvm/svm/svm.c`): `svm_get_segment()` shows code and data as accessed, and the task's as busy, and changes
/// nothing in the VMCB. Only `KVM_SET_SREGS` brings what was shown into it.
fn unread(segment: &mut Fields<24>) {
    const CODE_OR_DATA: usize = 18;
    let kind = match (segment.u8(14), segment.u8(CODE_OR_DATA)) {
        (kind, 1) => kind & !1,
        // SEG_TYPE_BUSY_TSS16.
        (0xb, _) => 3,
        (kind, _) => kind,
    };
    segment.put(14, &[kind]);
}

/// struct kvm_segment {base u64@0, limit u32@8, selector u16@12, type u8@14, present, dpl, db, s, l, g, avl, unusable} as a VMCB has it:
/// {selector u16, attributes u16, limit u32, base u64} (`svm_set_segment()`, `arch/x86/kvm/svm/svm.c`).
fn segment(from: &Fields<24>) -> [u8; 16] {
    let [kind, present, dpl, db, s, l, g, avl, unusable] = from.bytes::<9>(14).map(u16::from);
    let attributes = kind & 0xf
        | (s & 1) << 4
        | (dpl & 3) << 5
        | (present & 1 & !unusable) << 7
        | (avl & 1) << 8
        | (l & 1) << 9
        | (db & 1) << 10
        | (g & 1) << 11;
    let mut segment = Fields([0; 16]);
    segment.put(0, &from.bytes::<2>(12));
    segment.put(2, &attributes.to_le_bytes());
    segment.put(4, &from.bytes::<4>(8));
    segment.put(8, &from.bytes::<8>(0));
    segment.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vcpu_after_reset_is_as_the_reference_models_it() {
        // kernel.md section 8.1, what sev-snp-measure models for QEMU.
        let set = Vcpu {
            segments_set: true,
            ..Vcpu::new(0)
        };
        let save = Fields(*vmsa(&set, 1));
        assert_eq!(save.u64(0xd0), 0x1000);
        assert_eq!(save.u64(0x148), 0x40);
        assert_eq!(save.u64(0x158), 0x10);
        assert_eq!(save.u64(0x268), 0x0007_0406_0007_0406);
        assert_eq!(save.u16(0x12), 0x9b);
        assert_eq!(save.u16(0x22), 0x93);
        assert_eq!(save.u16(0x92), 0x8b);
        assert_eq!(save.u64(0x178), 0xfff0);
        assert_eq!(save.u32(0x408), 0x1f80);
        assert_eq!(save.u16(0x410), 0x37f);
        assert_eq!(save.u64(0x3b0), 1);
    }

    #[test]
    fn a_vcpu_that_nobody_set_is_not_measured_as_it_is_shown() {
        let save = Fields(*vmsa(&Vcpu::new(0), 1));
        let attributes = [0x02, 0x12, 0x22, 0x72, 0x92].map(|at| save.u16(at));
        assert_eq!(attributes, [0x92, 0x9a, 0x92, 0x82, 0x83]);
    }

    #[test]
    fn each_register_has_a_place_of_its_own() {
        let plain = vmsa(&Vcpu::new(0), 1);
        let mut seen = std::collections::BTreeSet::new();
        for register in 0..18 {
            let mut vcpu = Vcpu::new(0);
            vcpu.regs[8 * register + 7] ^= 0x80;
            let page = vmsa(&vcpu, 1);
            let changed: Vec<_> = (0..4096).filter(|at| page[*at] != plain[*at]).collect();
            assert_eq!(changed.len(), 1, "register {register}");
            assert!(seen.insert(changed), "register {register}");
        }
    }
}
