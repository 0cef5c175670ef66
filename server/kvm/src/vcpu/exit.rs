//! Why a vCPU came back from the guest.
//!
//! **Invariant:** printing an exit shows no byte that the guest wrote.

use std::fmt;

use crate::Gpa;

/// Why a run ended, with the data to take or to give, which the next run takes up.
///
/// After all but [`FailEntry`](Self::FailEntry), [`InternalError`](Self::InternalError), [`Shutdown`](Self::Shutdown) and
/// [`MemoryFault`](Self::MemoryFault) the vCPU may simply run on.
pub enum Exit<'a> {
    /// The guest wrote to an I/O port. A `rep outs` is one exit for each element (`x86_emulate_insn()`, `arch/x86/kvm/emulate.c`, Linux
    /// 6.18); a kernel may put several into one.
    PortOut {
        /// The port.
        port: u16,
        /// Bytes in an element: 1, 2 or 4.
        size: u8,
        /// What was written: elements of `size` bytes, each little-endian, in order. At most 4096 bytes.
        data: &'a [u8],
    },
    /// The guest reads an I/O port, and gets what `data` holds when the vCPU runs on. One exit may be many elements of a `rep ins`
    /// (`pio_in_emulated()`, `arch/x86/kvm/emulate.c`).
    PortIn {
        /// The port.
        port: u16,
        /// Bytes in an element: 1, 2 or 4.
        size: u8,
        /// What to read: elements of `size` bytes, each little-endian, in order. At most 4096 bytes, which mean nothing before they are
        /// filled.
        data: &'a mut [u8],
    },
    /// The guest accessed memory that is in no memslot. A read gets what `data` holds when the vCPU runs on.
    Mmio {
        /// The address.
        gpa: Gpa,
        /// Whether it is a write.
        write: bool,
        /// What was written, or what to read: 1 to 8 bytes. A longer or crossing access is several exits.
        data: &'a mut [u8],
    },
    /// The guest executed HLT, and goes on behind it when the vCPU runs on.
    Halt,
    /// A triple fault. The vCPU's state is undefined (`shutdown_interception()`, `arch/x86/kvm/svm/svm.c`).
    Shutdown,
    /// KVM could not go on: `KVM_INTERNAL_ERROR_…` is the suberror, 1 for an instruction that it cannot emulate. A jump to memory in no
    /// memslot ends so too, for there is no instruction to fetch; [`translate`](super::RunnableVcpu::translate) of the linear address of the
    /// instruction (CS base plus RIP) then says where that was. Where real mode is emulated, so does an instruction that does not exist.
    InternalError {
        /// The kernel's number.
        suberror: u32,
        /// What the kernel says more, by suberror: up to 16 words.
        data: &'a [u64],
    },
    /// The processor refused to enter the guest: bad registers, mostly.
    FailEntry {
        /// The hardware's reason: a VMCS or VMCB exit code.
        reason: u64,
        /// The host's processor that said so.
        cpu: u32,
    },
    /// Memory of the guest could not be given to it (`KVM_EXIT_MEMORY_FAULT`, Linux 6.8).
    MemoryFault {
        /// The first byte.
        gpa: Gpa,
        /// How many, in bytes.
        bytes: u64,
        /// The kernel's flags: bit 3 says that the access was to private memory.
        flags: u64,
        /// Whether the memory is broken (`EHWPOISON`) and not only missing (`EFAULT`).
        poisoned: bool,
    },
    /// The guest asked for something of its whole machine.
    SystemEvent {
        /// `KVM_SYSTEM_EVENT_…`: 1 is shutdown, 2 reset, 3 crash.
        event: u32,
        /// What the kernel says more: up to 16 words.
        data: &'a [u64],
    },
    /// A signal was pending, or the kernel had work for the thread (`EINTR`). Data given to the previous exit has been taken.
    Interrupted,
    /// The vCPU waits to be started by another one (`EAGAIN`). Cannot be without an interrupt controller in the kernel: every vCPU of
    /// this crate is runnable at once.
    NotStarted,
    /// Any other exit, by the kernel's number `KVM_EXIT_…`: none that this crate asks for.
    Other {
        /// The number.
        reason: u32,
    },
}

/// The guest's bytes by their number only: they may be a secret.
impl fmt::Debug for Exit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = |f: &mut fmt::Formatter<'_>, name, at: &dyn fmt::Debug, bytes: usize| {
            write!(f, "{name} {{ at: {at:?}, bytes: {bytes} }}")
        };
        match self {
            Self::PortOut { port, data, .. } => access(f, "PortOut", port, data.len()),
            Self::PortIn { port, data, .. } => access(f, "PortIn", port, data.len()),
            Self::Mmio {
                gpa, write, data, ..
            } => {
                let name = if *write { "MmioWrite" } else { "MmioRead" };
                access(f, name, gpa, data.len())
            }
            Self::Halt => f.write_str("Halt"),
            Self::Shutdown => f.write_str("Shutdown"),
            Self::InternalError { suberror, data } => {
                // The instruction's bytes are among the data.
                let words = data.len();
                write!(
                    f,
                    "InternalError {{ suberror: {suberror}, words: {words} }}"
                )
            }
            Self::FailEntry { reason, cpu } => {
                write!(f, "FailEntry {{ reason: {reason:#x}, cpu: {cpu} }}")
            }
            Self::MemoryFault {
                gpa,
                bytes,
                flags,
                poisoned,
            } => f
                .debug_struct("MemoryFault")
                .field("gpa", gpa)
                .field("bytes", bytes)
                .field("flags", flags)
                .field("poisoned", poisoned)
                .finish(),
            Self::SystemEvent { event, .. } => write!(f, "SystemEvent {{ event: {event} }}"),
            Self::Interrupted => f.write_str("Interrupted"),
            Self::NotStarted => f.write_str("NotStarted"),
            Self::Other { reason } => write!(f, "Other {{ reason: {reason} }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_shows_no_byte_of_the_guest() {
        let mut data = *b"KEY=";
        let printed = format!(
            "{:?}",
            Exit::PortIn {
                port: 0x3f8,
                size: 1,
                data: &mut data
            }
        );
        assert_eq!(printed, "PortIn { at: 1016, bytes: 4 }");
        let error = Exit::InternalError {
            suberror: 1,
            data: &[0x4b45_593d],
        };
        assert_eq!(
            format!("{error:?}"),
            "InternalError { suberror: 1, words: 1 }"
        );
    }
}
