//! From the area that a vCPU shares with the kernel to an [`Exit`].
//!
//! **Invariant:** a member of the kernel's union is read only for the reason that fills it.

use kvm_bindings::{
    KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR, KVM_EXIT_IO,
    KVM_EXIT_IO_IN, KVM_EXIT_MEMORY_FAULT, KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, KVM_EXIT_SYSTEM_EVENT,
    kvm_run,
};

use super::area::RunArea;
use super::exit::Exit;
use crate::Gpa;

impl<'a> Exit<'a> {
    /// Reads what KVM_RUN left behind. `failure` is its errno, 0 for none; `None` if that is no exit but a failure.
    pub(super) fn decode(area: &'a mut RunArea, failure: i32) -> Option<Self> {
        let reason = area.run().exit_reason;
        match failure {
            0 => Some(Self::of(area, reason)),
            libc::EINTR => Some(Self::Interrupted),
            libc::EAGAIN => Some(Self::NotStarted),
            // The one exit that comes with an error: vcpu_run() leaves the structure filled in.
            libc::EFAULT | libc::EHWPOISON if reason == KVM_EXIT_MEMORY_FAULT => {
                let poisoned = failure == libc::EHWPOISON;
                Some(Self::memory_fault(area.run(), poisoned))
            }
            _ => None,
        }
    }

    fn of(area: &'a mut RunArea, reason: u32) -> Self {
        match reason {
            KVM_EXIT_IO => return Self::port(area).unwrap_or(Self::Other { reason }),
            KVM_EXIT_HLT => return Self::Halt,
            KVM_EXIT_SHUTDOWN => return Self::Shutdown,
            KVM_EXIT_INTR => return Self::Interrupted,
            _ => {}
        }
        let run = area.run();
        match reason {
            KVM_EXIT_MMIO => {
                // SAFETY: any bytes are a value of every member of the union; the reason says that this one is meant.
                let mmio = unsafe { &mut run.__bindgen_anon_1.mmio };
                let length = at_most(mmio.len, mmio.data.len());
                Self::Mmio {
                    gpa: Gpa::new(mmio.phys_addr),
                    write: mmio.is_write != 0,
                    data: &mut mmio.data[..length],
                }
            }
            KVM_EXIT_INTERNAL_ERROR => {
                // SAFETY: as for `mmio`.
                let internal = unsafe { &run.__bindgen_anon_1.internal };
                Self::InternalError {
                    suberror: internal.suberror,
                    data: &internal.data[..at_most(internal.ndata, internal.data.len())],
                }
            }
            KVM_EXIT_FAIL_ENTRY => {
                // SAFETY: as for `mmio`.
                let entry = unsafe { run.__bindgen_anon_1.fail_entry };
                Self::FailEntry {
                    reason: entry.hardware_entry_failure_reason,
                    cpu: entry.cpu,
                }
            }
            KVM_EXIT_SYSTEM_EVENT => {
                // SAFETY: as for `mmio`.
                let event = unsafe { &run.__bindgen_anon_1.system_event };
                // SAFETY: as for `mmio`; the flags of older kernels are the first word.
                let words = unsafe { &event.__bindgen_anon_1.data };
                Self::SystemEvent {
                    event: event.type_,
                    data: &words[..at_most(event.ndata, words.len())],
                }
            }
            reason => Self::Other { reason },
        }
    }

    /// `None` if the data is not where it can be, which no kernel does.
    fn port(area: &'a mut RunArea) -> Option<Self> {
        // SAFETY: any bytes are a value of every member of the union; the reason says that this one is meant.
        let io = unsafe { area.run().__bindgen_anon_1.io };
        let (port, size) = (io.port, io.size);
        let data = area.data(io.data_offset, size, io.count)?;
        Some(if u32::from(io.direction) == KVM_EXIT_IO_IN {
            Self::PortIn { port, size, data }
        } else {
            Self::PortOut { port, size, data }
        })
    }

    fn memory_fault(run: &kvm_run, poisoned: bool) -> Self {
        // SAFETY: any bytes are a value of every member of the union; the reason says that this one is meant.
        let fault = unsafe { run.__bindgen_anon_1.memory_fault };
        Self::MemoryFault {
            gpa: Gpa::new(fault.gpa),
            bytes: fault.size,
            flags: fault.flags,
            poisoned,
        }
    }
}

/// How many of `room` elements the kernel filled.
fn at_most(count: u32, room: usize) -> usize {
    usize::try_from(count).unwrap_or(room).min(room)
}

#[cfg(test)]
mod tests {
    use kvm_bindings::KVM_EXIT_DEBUG;

    use super::*;

    /// An area as if the kernel had answered with `reason`.
    fn area(reason: u32, fill: impl FnOnce(&mut kvm_run)) -> RunArea {
        let mut area = RunArea::zeroed();
        area.run().exit_reason = reason;
        fill(area.run());
        area
    }

    #[test]
    fn counts_beyond_the_kernels_own_room_are_cut() {
        let mut internal = area(KVM_EXIT_INTERNAL_ERROR, |run| {
            run.__bindgen_anon_1.internal.suberror = 3;
            run.__bindgen_anon_1.internal.ndata = 17;
            run.__bindgen_anon_1.internal.data = [7; 16];
        });
        assert!(matches!(
            Exit::decode(&mut internal, 0),
            Some(Exit::InternalError { suberror: 3, data }) if *data == [7; 16]
        ));
        let mut event = area(KVM_EXIT_SYSTEM_EVENT, |run| {
            run.__bindgen_anon_1.system_event.type_ = 2;
            run.__bindgen_anon_1.system_event.ndata = 1;
        });
        assert!(matches!(
            Exit::decode(&mut event, 0),
            Some(Exit::SystemEvent {
                event: 2,
                data: [0]
            })
        ));
        let mut mmio = area(KVM_EXIT_MMIO, |run| run.__bindgen_anon_1.mmio.len = 9);
        assert!(matches!(
            Exit::decode(&mut mmio, 0),
            Some(Exit::Mmio { data, write: false, .. }) if data.len() == 8
        ));
    }

    #[test]
    fn port_data_elsewhere_is_no_port_access() {
        let mut port = area(KVM_EXIT_IO, |run| {
            run.__bindgen_anon_1.io.size = 1;
            run.__bindgen_anon_1.io.count = 1;
            run.__bindgen_anon_1.io.data_offset = 1 << 40;
        });
        assert!(matches!(
            Exit::decode(&mut port, 0),
            Some(Exit::Other {
                reason: KVM_EXIT_IO
            })
        ));
    }

    #[test]
    fn a_memory_fault_comes_with_an_errno_of_its_own() {
        let fault = || {
            area(KVM_EXIT_MEMORY_FAULT, |run| {
                run.__bindgen_anon_1.memory_fault.gpa = 0x8000;
                run.__bindgen_anon_1.memory_fault.size = 0x1000;
                run.__bindgen_anon_1.memory_fault.flags = 8;
            })
        };
        for (errno, broken) in [(libc::EFAULT, false), (libc::EHWPOISON, true)] {
            let mut fault = fault();
            let Some(Exit::MemoryFault {
                gpa,
                bytes,
                flags,
                poisoned,
            }) = Exit::decode(&mut fault, errno)
            else {
                panic!("{errno}");
            };
            assert_eq!((gpa, bytes, flags), (Gpa::new(0x8000), 0x1000, 8));
            assert_eq!(poisoned, broken);
        }
        for errno in [libc::EIO, libc::ENOMEM] {
            assert!(Exit::decode(&mut fault(), errno).is_none(), "{errno}");
        }
        let mut other = area(KVM_EXIT_DEBUG, |_| {});
        assert!(Exit::decode(&mut other, libc::EFAULT).is_none());
    }

    #[test]
    fn errors_that_mean_try_again_are_exits() {
        let mut area = area(0, |_| {});
        assert!(matches!(
            Exit::decode(&mut area, libc::EINTR),
            Some(Exit::Interrupted)
        ));
        assert!(matches!(
            Exit::decode(&mut area, libc::EAGAIN),
            Some(Exit::NotStarted)
        ));
    }

    #[test]
    fn a_refused_entry_keeps_the_hardwares_reason() {
        let mut area = area(KVM_EXIT_FAIL_ENTRY, |run| {
            run.__bindgen_anon_1
                .fail_entry
                .hardware_entry_failure_reason = 0x8000_0021;
            run.__bindgen_anon_1.fail_entry.cpu = 3;
        });
        assert!(matches!(
            Exit::decode(&mut area, 0),
            Some(Exit::FailEntry {
                reason: 0x8000_0021,
                cpu: 3
            })
        ));
    }
}
