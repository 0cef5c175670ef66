//! The registers of a vCPU, as plain values named as in the processor manuals.
//!
//! **Invariant:** converting to the kernel's form and back loses nothing that the guest can see.

use kvm_bindings::{kvm_regs, kvm_sregs};

use super::segment::{DescriptorTable, Segment};

/// Declares [`GeneralRegisters`], whose fields have the names that the kernel gives them.
macro_rules! general_registers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The general registers, the instruction pointer and the flags. All zero by default, which is not what reset makes of them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct GeneralRegisters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl GeneralRegisters {
            pub(super) fn from_abi(registers: kvm_regs) -> Self {
                let kvm_regs { $($name),* } = registers;
                Self { $($name),* }
            }

            pub(super) fn to_abi(self) -> kvm_regs {
                let Self { $($name),* } = self;
                kvm_regs { $($name),* }
            }
        }
    };
}

general_registers! {
    /// RAX.
    rax,
    /// RBX.
    rbx,
    /// RCX.
    rcx,
    /// RDX.
    rdx,
    /// RSI.
    rsi,
    /// RDI.
    rdi,
    /// The stack pointer.
    rsp,
    /// The frame pointer.
    rbp,
    /// R8.
    r8,
    /// R9.
    r9,
    /// R10.
    r10,
    /// R11.
    r11,
    /// R12.
    r12,
    /// R13.
    r13,
    /// R14.
    r14,
    /// R15.
    r15,
    /// The instruction pointer: an offset into CS.
    rip,
    /// The flags. Bit 1 is always set.
    rflags,
}

/// The segments, descriptor tables and control registers: all that `KVM_GET_SREGS` gives, so that what is read and written back loses
/// nothing. All zero by default, which no processor ever is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemRegisters {
    /// Code segment.
    pub cs: Segment,
    /// Data segment.
    pub ds: Segment,
    /// Extra segment.
    pub es: Segment,
    /// FS, whose base is also an MSR.
    pub fs: Segment,
    /// GS, whose base is also an MSR.
    pub gs: Segment,
    /// Stack segment.
    pub ss: Segment,
    /// Task register.
    pub tr: Segment,
    /// Local descriptor table register.
    pub ldt: Segment,
    /// Global descriptor table register.
    pub gdt: DescriptorTable,
    /// Interrupt descriptor table register.
    pub idt: DescriptorTable,
    /// CR0.
    pub cr0: u64,
    /// CR2: the linear address of the last page fault.
    pub cr2: u64,
    /// CR3: where the page tables are.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// CR8: the task priority. The kernel keeps it in `kvm_run` too while there is no interrupt controller, and takes it from there
    /// on every run.
    pub cr8: u64,
    /// EFER.
    pub efer: u64,
    /// The MSR IA32_APIC_BASE. Bit 8 says which vCPU boots.
    pub apic_base: u64,
    /// External interrupts that wait for injection: bit n of word m is vector 64 m + n.
    pub interrupt_bitmap: [u64; 4],
}

impl SystemRegisters {
    pub(super) fn from_abi(registers: &kvm_sregs) -> Self {
        Self {
            cs: Segment::from_abi(&registers.cs),
            ds: Segment::from_abi(&registers.ds),
            es: Segment::from_abi(&registers.es),
            fs: Segment::from_abi(&registers.fs),
            gs: Segment::from_abi(&registers.gs),
            ss: Segment::from_abi(&registers.ss),
            tr: Segment::from_abi(&registers.tr),
            ldt: Segment::from_abi(&registers.ldt),
            gdt: DescriptorTable::from_abi(&registers.gdt),
            idt: DescriptorTable::from_abi(&registers.idt),
            cr0: registers.cr0,
            cr2: registers.cr2,
            cr3: registers.cr3,
            cr4: registers.cr4,
            cr8: registers.cr8,
            efer: registers.efer,
            apic_base: registers.apic_base,
            interrupt_bitmap: registers.interrupt_bitmap,
        }
    }

    pub(super) fn to_abi(&self) -> kvm_sregs {
        kvm_sregs {
            cs: self.cs.to_abi(),
            ds: self.ds.to_abi(),
            es: self.es.to_abi(),
            fs: self.fs.to_abi(),
            gs: self.gs.to_abi(),
            ss: self.ss.to_abi(),
            tr: self.tr.to_abi(),
            ldt: self.ldt.to_abi(),
            gdt: self.gdt.to_abi(),
            idt: self.idt.to_abi(),
            cr0: self.cr0,
            cr2: self.cr2,
            cr3: self.cr3,
            cr4: self.cr4,
            cr8: self.cr8,
            efer: self.efer,
            apic_base: self.apic_base,
            interrupt_bitmap: self.interrupt_bitmap,
        }
    }
}
