//! What one vCPU did that ends the guest.
//!
//! **Invariant:** no text holds a byte that the guest wrote.

use stagepages_kvm::{Exit, Gpa, KvmError, errno_name};

use super::{GuestStop, StopReason};

/// `KVM_INTERNAL_ERROR_EMULATION`.
pub(super) const EMULATION: u32 = 1;

/// An end, as the vCPU's exit tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Written to isa-debug-exit.
    ExitCode(u32),
    /// Anything else.
    Fault {
        reason: StopReason,
        what: String,
        gpa: Option<Gpa>,
    },
}

impl Ending {
    pub(super) fn shutdown(what: &str) -> Self {
        Self::fault(StopReason::Shutdown, what)
    }

    pub(super) fn internal(what: impl Into<String>) -> Self {
        Self::fault(StopReason::InternalError, what)
    }

    pub(super) fn memory(gpa: Option<Gpa>, what: impl Into<String>) -> Self {
        Self::Fault {
            reason: StopReason::MemoryFault,
            what: what.into(),
            gpa,
        }
    }

    fn fault(reason: StopReason, what: impl Into<String>) -> Self {
        Self::Fault {
            reason,
            what: what.into(),
            gpa: None,
        }
    }

    /// The end that an exit is; `None` for those after which the vCPU runs on or just waits.
    pub(super) fn of(exit: &Exit<'_>) -> Option<Self> {
        Some(match exit {
            Exit::PortOut { .. } | Exit::PortIn { .. } | Exit::Halt | Exit::Interrupted => {
                return None;
            }
            Exit::Mmio { gpa, write, data } => {
                let access = if *write { "wrote" } else { "read" };
                let what = format!(
                    "{access} {} bytes at GPA {gpa}, which is in no memory region",
                    data.len()
                );
                Self::memory(Some(*gpa), what)
            }
            Exit::Shutdown => Self::fault(StopReason::TripleFault, "triple fault"),
            Exit::InternalError { suberror, .. } => Self::internal(format!(
                "KVM_EXIT_INTERNAL_ERROR: {}",
                internal_error(*suberror)
            )),
            Exit::FailEntry { reason, .. } => Self::internal(format!(
                "KVM_EXIT_FAIL_ENTRY: the processor refused to enter the guest, hardware reason {reason:#x}"
            )),
            Exit::MemoryFault {
                gpa,
                bytes,
                flags,
                poisoned,
            } => {
                let why = if *poisoned {
                    "the machine lost it (EHWPOISON)".to_owned()
                } else {
                    format!("the kernel has no memory there (flags {flags:#x})")
                };
                Self::memory(
                    Some(*gpa),
                    format!("KVM_EXIT_MEMORY_FAULT: {bytes:#x} bytes at GPA {gpa}: {why}"),
                )
            }
            Exit::SystemEvent { event: 1, .. } => Self::shutdown("system event: shutdown"),
            Exit::SystemEvent { event: 2, .. } => Self::shutdown("system event: reset"),
            Exit::SystemEvent { event: 3, .. } => Self::shutdown("system event: crash"),
            Exit::SystemEvent { event, .. } => {
                Self::internal(format!("system event {event}, of which nothing is known"))
            }
            Exit::NotStarted => {
                Self::internal("the vCPU waits to be started by another one, and none can")
            }
            Exit::Other { reason } => {
                Self::internal(format!("exit reason {reason}, of which nothing is known"))
            }
        })
    }

    /// The end that a failure of `KVM_RUN` is.
    pub(super) fn failed(error: &KvmError) -> Self {
        match error.errno().map(errno_name) {
            Some("EFAULT") => Self::memory(
                None,
                format!("{error}: the kernel does not say which memory"),
            ),
            Some("EHWPOISON") => Self::memory(
                None,
                format!("{error}: the machine lost memory, the kernel does not say which"),
            ),
            Some(_) | None => Self::internal(error.to_string()),
        }
    }

    #[cfg(test)]
    pub(super) fn reason(&self) -> StopReason {
        match self {
            Self::ExitCode(_) => StopReason::ExitCode,
            Self::Fault { reason, .. } => *reason,
        }
    }

    /// The end as it is told, of this vCPU, at this instruction.
    pub(super) fn stop(self, vcpu: u32, rip: Option<u64>) -> GuestStop {
        let at = rip.map_or_else(String::new, |rip| format!(" at rip {rip:#x}"));
        let (reason, what, exit_code, gpa) = match self {
            Self::ExitCode(code) => (
                StopReason::ExitCode,
                format!("wrote {code:#x} to isa-debug-exit, port 0xf4"),
                Some(code),
                None,
            ),
            Self::Fault { reason, what, gpa } => (reason, what, None, gpa),
        };
        GuestStop {
            reason,
            message: format!("vCPU {vcpu}{at}: {what}"),
            vcpu: Some(vcpu),
            exit_code,
            gpa,
        }
    }
}

/// The names of `KVM_INTERNAL_ERROR_…`, `include/uapi/linux/kvm.h`.
fn internal_error(suberror: u32) -> String {
    let name = match suberror {
        EMULATION => "emulation: an instruction that KVM cannot carry out",
        2 => "simultaneous exceptions",
        3 => "an exit while an event was delivered",
        4 => "an unexpected exit reason",
        _ => "a cause without a name",
    };
    format!("suberror {suberror}, {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_that_ends_a_guest_has_its_reason() {
        let gpa = Gpa::new(0x12_3000);
        let fault = |poisoned| Exit::MemoryFault {
            gpa,
            bytes: 0x1000,
            flags: 8,
            poisoned,
        };
        let event = |event| Exit::SystemEvent { event, data: &[] };
        let internal = |suberror| Exit::InternalError {
            suberror,
            data: &[],
        };
        for (exit, reason) in [
            (Exit::Shutdown, StopReason::TripleFault),
            (internal(1), StopReason::InternalError),
            (internal(9), StopReason::InternalError),
            (
                Exit::FailEntry {
                    reason: 0x8000_0021,
                    cpu: 1,
                },
                StopReason::InternalError,
            ),
            (fault(true), StopReason::MemoryFault),
            (fault(false), StopReason::MemoryFault),
            (
                Exit::Mmio {
                    gpa,
                    write: true,
                    data: &mut [0; 4],
                },
                StopReason::MemoryFault,
            ),
            (event(1), StopReason::Shutdown),
            (event(2), StopReason::Shutdown),
            (event(3), StopReason::Shutdown),
            (event(4), StopReason::InternalError),
            (Exit::NotStarted, StopReason::InternalError),
            (Exit::Other { reason: 99 }, StopReason::InternalError),
        ] {
            let stop = Ending::of(&exit).unwrap().stop(3, Some(0x7c00));
            assert_eq!(stop.reason, reason, "{exit:?}");
            let faults = reason == StopReason::MemoryFault;
            assert_eq!(stop.gpa, faults.then_some(gpa), "{exit:?}");
            assert!(
                stop.message.starts_with("vCPU 3 at rip 0x7c00: "),
                "{}",
                stop.message
            );
        }
        for exit in [Exit::Halt, Exit::Interrupted] {
            assert_eq!(Ending::of(&exit), None);
        }
    }

    #[test]
    fn no_text_shows_what_the_guest_wrote() {
        let exit = Exit::Mmio {
            gpa: Gpa::new(0x10000),
            write: true,
            data: &mut [0xab, 0xcd],
        };
        let text = Ending::of(&exit).unwrap().stop(0, None).message;
        assert_eq!(
            text,
            "vCPU 0: wrote 2 bytes at GPA 0x10000, which is in no memory region"
        );
    }

    #[test]
    fn lost_memory_is_a_memory_fault_even_if_nobody_knows_where() {
        for (errno, reason) in [
            (14, StopReason::MemoryFault),
            (133, StopReason::MemoryFault),
            (5, StopReason::InternalError),
        ] {
            let ending = Ending::failed(&KvmError::from_errno("KVM_RUN", errno));
            assert_eq!(ending.reason(), reason, "{errno}");
        }
    }
}
