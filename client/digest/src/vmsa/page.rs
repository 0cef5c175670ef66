//! The page: `struct sev_es_save_area` (arch/x86/include/asm/svm.h), filled as KVM fills it.

use super::{Registers, Segment, Table};
use crate::PAGE_BYTES;

/// EFER.SVME, which every SVM guest runs with (`svm_set_efer()`).
const EFER_SVME: u64 = 1 << 12;
/// CR4.MCE, which a guest has where the host has it, whatever it asked for (`svm_set_cr4()`).
const CR4_MCE: u64 = 1 << 6;
/// CR0.CD and CR0.NW, which KVM hides from the hardware (`svm_set_cr0()`, quirk KVM_X86_QUIRK_CD_NW_CLEARED).
const CR0_CACHE: u64 = 1 << 30 | 1 << 29;
/// DR6 and DR7 after reset.
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;
/// XCR0 after reset: x87 alone.
const XCR0: u64 = 1;
/// The floating point unit after reset, which KVM puts there since Linux 6.11 for every SNP guest.
const MXCSR: u32 = 0x1f80;
const X87_FCW: u16 = 0x37f;

/// The page of a vCPU with these registers in a guest with these SEV_FEATURES ([`SNP_ACTIVE`](super::SNP_ACTIVE) among them).
///
/// CR2 is zero in it, whatever was set: KVM copies it into the VMCB only when the vCPU runs (`svm_vcpu_run()`, arch/x86/kvm/svm/svm.c).
#[must_use]
pub fn page(registers: &Registers, features: u64) -> Box<[u8; PAGE_BYTES]> {
    let mut page = Page(Box::new([0; PAGE_BYTES]));
    let it = registers;
    for (at, segment) in [
        (0x00, &it.es),
        (0x10, &it.cs),
        (0x20, &it.ss),
        (0x30, &it.ds),
        (0x40, &it.fs),
        (0x50, &it.gs),
        (0x70, &it.ldtr),
        (0x90, &it.tr),
    ] {
        page.segment(at, segment);
    }
    page.table(0x60, &it.gdtr);
    page.table(0x80, &it.idtr);
    // The privilege level is that of SS (`svm_set_segment()`).
    page.put(0xcb, &[(it.ss.attributes >> 5 & 3) as u8]);
    let general = &it.general;
    for (at, value) in [
        (0xd0, it.efer | EFER_SVME),
        (0x148, it.cr4 | CR4_MCE),
        (0x150, it.cr3),
        (0x158, it.cr0 & !CR0_CACHE),
        (0x160, DR7),
        (0x168, DR6),
        (0x170, general.rflags),
        (0x178, general.rip),
        (0x1d8, general.rsp),
        (0x1f8, general.rax),
        (0x268, it.pat),
        (0x308, general.rcx),
        (0x310, general.rdx),
        (0x318, general.rbx),
        (0x328, general.rbp),
        (0x330, general.rsi),
        (0x338, general.rdi),
        (0x340, general.r8),
        (0x348, general.r9),
        (0x350, general.r10),
        (0x358, general.r11),
        (0x360, general.r12),
        (0x368, general.r13),
        (0x370, general.r14),
        (0x378, general.r15),
        (0x3b0, features),
        (0x3e8, XCR0),
    ] {
        page.put(at, &value.to_le_bytes());
    }
    page.put(0x408, &MXCSR.to_le_bytes());
    page.put(0x410, &X87_FCW.to_le_bytes());
    page.0
}

struct Page(Box<[u8; PAGE_BYTES]>);

impl Page {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let room = self.0.iter_mut().skip(at);
        room.zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// Selector, attributes, limit, base. A VMCB has bits 12-15 of the attributes in bits 8-11.
    fn segment(&mut self, at: usize, segment: &Segment) {
        let packed = segment.attributes & 0xff | segment.attributes >> 4 & 0xf00;
        self.put(at, &segment.selector.to_le_bytes());
        self.put(at + 2, &packed.to_le_bytes());
        self.put(at + 4, &segment.limit.to_le_bytes());
        self.put(at + 8, &segment.base.to_le_bytes());
    }

    fn table(&mut self, at: usize, table: &Table) {
        self.put(at + 4, &table.limit.to_le_bytes());
        self.put(at + 8, &table.base.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::vmsa::General;

    fn read<const N: usize>(page: &[u8], at: usize) -> [u8; N] {
        page[at..at + N].try_into().unwrap()
    }

    #[test]
    fn a_vcpu_after_reset_is_as_the_reference_models_it() {
        // kernel.md section 8.1: what sev-snp-measure models for QEMU.
        let page = page(&Registers::reset(), 1);
        let number = |at| u64::from_le_bytes(read(&*page, at));
        assert_eq!(
            (number(0xd0), number(0x148), number(0x158)),
            (0x1000, 0x40, 0x10)
        );
        assert_eq!(number(0x268), 0x0007_0406_0007_0406);
        let attributes = [0x12, 0x22, 0x92].map(|at| u16::from_le_bytes(read(&*page, at)));
        assert_eq!(attributes, [0x9b, 0x93, 0x8b]);
        assert_eq!(
            (number(0x178), number(0x310), number(0x3b0)),
            (0xfff0, 0x600, 1)
        );
        assert_eq!(u32::from_le_bytes(read(&*page, 0x408)), 0x1f80);
        assert_eq!(u16::from_le_bytes(read(&*page, 0x410)), 0x37f);
    }

    #[test]
    fn each_register_has_a_place_of_its_own() {
        type Change = fn(&mut Registers);
        let changes: [Change; 38] = [
            |r| r.general.rax ^= 1,
            |r| r.general.rbx ^= 1,
            |r| r.general.rcx ^= 1,
            |r| r.general.rdx ^= 1,
            |r| r.general.rsi ^= 1,
            |r| r.general.rdi ^= 1,
            |r| r.general.rsp ^= 1,
            |r| r.general.rbp ^= 1,
            |r| r.general.r8 ^= 1,
            |r| r.general.r9 ^= 1,
            |r| r.general.r10 ^= 1,
            |r| r.general.r11 ^= 1,
            |r| r.general.r12 ^= 1,
            |r| r.general.r13 ^= 1,
            |r| r.general.r14 ^= 1,
            |r| r.general.r15 ^= 1,
            |r| r.general.rip ^= 1,
            |r| r.general.rflags ^= 1,
            |r| r.cs.base ^= 1,
            |r| r.ds.base ^= 1,
            |r| r.es.base ^= 1,
            |r| r.fs.base ^= 1,
            |r| r.gs.base ^= 1,
            |r| r.ss.base ^= 1,
            |r| r.tr.base ^= 1,
            |r| r.ldtr.base ^= 1,
            |r| r.cs.selector ^= 1,
            |r| r.cs.limit ^= 1,
            |r| r.cs.attributes ^= 1,
            |r| r.gdtr.base ^= 1,
            |r| r.gdtr.limit ^= 1,
            |r| r.idtr.base ^= 1,
            |r| r.idtr.limit ^= 1,
            |r| r.cr0 ^= 1,
            |r| r.cr3 ^= 1,
            |r| r.cr4 ^= 1,
            |r| r.efer ^= 1,
            |r| r.pat ^= 1,
        ];
        let plain = page(&Registers::reset(), 1);
        let mut seen = BTreeSet::new();
        for (number, change) in changes.iter().enumerate() {
            let mut registers = Registers::reset();
            change(&mut registers);
            let page = page(&registers, 1);
            let changed: Vec<_> = (0..PAGE_BYTES)
                .filter(|at| page[*at] != plain[*at])
                .collect();
            assert_eq!(changed.len(), 1, "change {number}");
            assert!(seen.insert(changed), "change {number}");
        }
    }

    #[test]
    fn what_kvm_does_not_sync_is_not_there() {
        let mut registers = Registers::reset();
        registers.cr2 = 0xdead_b000;
        assert_eq!(page(&registers, 1), page(&Registers::reset(), 1));
    }

    #[test]
    fn long_mode_code_keeps_its_attributes_where_a_vmcb_has_them() {
        let page = page(&Registers::long_mode(0x1000, &General::default()), 1);
        assert_eq!(u16::from_le_bytes(read(&*page, 0x12)), 0xa9b);
        assert_eq!(u64::from_le_bytes(read(&*page, 0xd0)), 0x1d00);
    }
}
