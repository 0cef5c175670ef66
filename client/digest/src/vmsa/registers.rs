//! The registers that KVM lets a launch set, and the ways to begin that need few words.

/// CR0: PE, MP, ET, NE and PG: protection and paging, with the floating point unit as 64-bit code expects it.
const LONG_CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 31;
/// CR4: PAE, which 64-bit mode needs, and OSFXSR and OSXMMEXCPT: compilers use SSE in 64-bit code.
const LONG_CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// EFER: LME and LMA, and NXE: without it the NX bit of a page table entry is reserved, and a table that uses it faults.
const LONG_EFER: u64 = 1 << 8 | 1 << 10 | 1 << 11;
/// The page attribute table after reset.
const RESET_PAT: u64 = 0x0007_0406_0007_0406;

/// General registers, instruction pointer and flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the architecture names them")]
pub struct General {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// A segment register with its hidden part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Type in bits 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15; bits 8-11 are no attributes.
    pub attributes: u16,
    /// The limit, in bytes.
    pub limit: u32,
    /// The base.
    pub base: u64,
}

/// A descriptor table register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Table {
    /// The base.
    pub base: u64,
    /// The limit, in bytes.
    pub limit: u16,
}

/// Every register that KVM_SET_REGS, KVM_SET_SREGS and the page attribute table's MSR set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the architecture names them")]
pub struct Registers {
    pub general: General,
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ss: Segment,
    pub tr: Segment,
    pub ldtr: Segment,
    pub gdtr: Table,
    pub idtr: Table,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
    pub pat: u64,
}

impl Registers {
    /// As the architecture resets it. RDX is 0x600, the processor signature that KVM takes when a vCPU has no CPUID yet, as is the case when it is made
    /// (`kvm_vcpu_reset()`, arch/x86/kvm/x86.c).
    ///
    /// The launch host sets all of them on sev-snp, and so do VMMs: a vCPU that nobody set is measured otherwise. KVM's own reset leaves the accessed bits of
    /// segments clear (`init_vmcb()`, arch/x86/kvm/svm/svm.c: CS 0x9a, data 0x92, TR 0x83), and shows them set to whoever reads (`svm_get_segment()`).
    #[must_use]
    pub fn reset() -> Self {
        let cleared = Self::cleared();
        Self {
            general: General {
                rdx: 0x600,
                rip: 0xfff0,
                ..cleared.general
            },
            cr0: 0x6000_0010,
            ..cleared
        }
    }

    /// 16-bit real mode: segments and tables as after reset but for CS, whose base is 16 times `cs`; of `general` everything but the flags is taken.
    #[must_use]
    pub fn real_mode(cs: u16, general: &General) -> Self {
        Self {
            general: General {
                rflags: 2,
                ..*general
            },
            cs: small(cs, 0x9b),
            ..Self::cleared()
        }
    }

    /// 64-bit mode with the top page table at `cr3`: flat segments, no descriptor tables, interrupts off; of `general` everything but the flags is
    /// taken.
    #[must_use]
    pub fn long_mode(cr3: u64, general: &General) -> Self {
        let flat = |selector, attributes| Segment {
            selector,
            attributes,
            limit: u32::MAX,
            base: 0,
        };
        let data = flat(0x10, 0xc093);
        Self {
            general: General {
                rflags: 2,
                ..*general
            },
            cs: flat(0x8, 0xa09b),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            ldtr: Segment::default(),
            gdtr: Table::default(),
            idtr: Table::default(),
            cr0: LONG_CR0,
            cr3,
            cr4: LONG_CR4,
            efer: LONG_EFER,
            ..Self::cleared()
        }
    }

    /// Segments, tables and control registers after reset (Intel SDM volume 3, table 10-1), but with caches on, and all general registers 0. What a
    /// state of the API that names a segment or table not at all has there.
    #[must_use]
    pub fn cleared() -> Self {
        let data = small(0, 0x93);
        let table = Table {
            base: 0,
            limit: 0xffff,
        };
        Self {
            general: General {
                rflags: 2,
                ..General::default()
            },
            cs: Segment {
                base: 0xffff_0000,
                ..small(0xf000, 0x9b)
            },
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            tr: small(0, 0x8b),
            ldtr: small(0, 0x82),
            gdtr: table,
            idtr: table,
            cr0: 1 << 4,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            efer: 0,
            pat: RESET_PAT,
        }
    }
}

/// A segment of 64 KiB, as all are after reset.
fn small(selector: u16, attributes: u16) -> Segment {
    Segment {
        selector,
        attributes,
        limit: 0xffff,
        base: u64::from(selector) << 4,
    }
}
