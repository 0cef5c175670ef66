//! `KVM_MEMORY_ENCRYPT_OP`: one ioctl, and behind it the commands of SEV-SNP and of TDX.
//!
//! Which of the two a command is for is decided by the type of the VM. The envelope differs, and so does where it leaves the word of the
//! firmware: SEV's `error`, TDX's `hw_error`. KVM clears neither, so both start as zero in every call.
//!
//! **Invariant:** a word of the firmware counts only where the call failed, and is never mixed with the errno.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use kvm_bindings::kvm_sev_cmd;
use kvm_ioctls::VmFd;

use crate::abi::tdx::TdxCmd;
use crate::{FirmwareStatus, KvmError, SevDevice, abi};

/// A command and the kernel's name for it.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub(crate) op: &'static str,
    pub(crate) id: u32,
}

/// Gives a command of SEV to a VM.
///
/// # Safety
///
/// `data` must be the structure that this command takes. Where it holds addresses, what the command reads there must be live for the
/// call, and what it writes there borrowed mutably.
pub(crate) unsafe fn sev<T>(
    vm: &VmFd,
    command: Command,
    device: Option<&SevDevice>,
    data: &mut T,
) -> Result<(), KvmError> {
    let mut envelope = kvm_sev_cmd {
        id: command.id,
        data: ptr::from_mut(data).expose_provenance() as u64,
        sev_fd: device.map_or(0, SevDevice::fd_number),
        ..Default::default()
    };
    // SAFETY: the kernel reads and writes the 24 bytes of `envelope` and, through its `data`, the structure of the command; both are live
    // and unaliased for the call. The caller vouches for that structure being a `T`, and for the addresses in it.
    let ret = unsafe {
        libc::ioctl(
            vm.as_raw_fd(),
            abi::KVM_MEMORY_ENCRYPT_OP,
            &raw mut envelope,
        )
    };
    if ret == 0 {
        return Ok(());
    }
    let os = io::Error::last_os_error();
    Err(sev_error(command.op, envelope.error, os))
}

/// Gives a command of TDX to a VM or a vCPU. `data` is what the command takes: the exposed address of a structure, or a value.
///
/// # Safety
///
/// If it is an address, the structure there must be the one that this command takes, live for the call, and borrowed mutably where the
/// command writes it. For the addresses in it the same holds.
pub(crate) unsafe fn tdx(
    file: &impl AsRawFd,
    command: Command,
    flags: u32,
    data: u64,
) -> Result<(), KvmError> {
    let mut envelope = TdxCmd {
        id: command.id,
        flags,
        data,
        hw_error: 0,
    };
    // SAFETY: the kernel reads and writes the 24 bytes of `envelope`, live and unaliased for the call, and what its `data` names, for which
    // the caller vouches.
    let ret = unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            abi::KVM_MEMORY_ENCRYPT_OP,
            &raw mut envelope,
        )
    };
    if ret == 0 {
        return Ok(());
    }
    let os = io::Error::last_os_error();
    Err(tdx_error(command.op, envelope.hw_error, os))
}

/// What a failed command of SEV says: the firmware's word if there is one, else the kernel's only.
fn sev_error(op: &'static str, error: u32, os: io::Error) -> KvmError {
    match FirmwareStatus::new(error) {
        FirmwareStatus::SUCCESS | FirmwareStatus::NO_FW_CALL => KvmError::Kernel { op, os },
        status => KvmError::Firmware { op, status, os },
    }
}

/// What a failed command of TDX says. Commands to a vCPU never have a word of the module: KVM does not write it back.
fn tdx_error(op: &'static str, hw_error: u64, os: io::Error) -> KvmError {
    match hw_error {
        0 => KvmError::Kernel { op, os },
        hw_error => KvmError::TdxModule { op, hw_error, os },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eio() -> io::Error {
        io::Error::from_raw_os_error(libc::EIO)
    }

    #[test]
    fn a_status_of_the_firmware_is_told_from_none() {
        for none in [0, u32::MAX] {
            let error = sev_error("op", none, eio());
            assert!(matches!(error, KvmError::Kernel { .. }), "{error:?}");
            assert_eq!(error.errno(), Some(libc::EIO));
        }
        for status in [1, 7, 0x16, 0x1e, 0xffff_fffe] {
            let error = sev_error("op", status, eio());
            assert_eq!(error.firmware_status(), Some(FirmwareStatus::new(status)));
            assert_eq!(
                (error.errno(), error.hw_error()),
                (Some(libc::EIO), None),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_status_of_the_module_is_told_from_none() {
        let error = tdx_error("op", 0, eio());
        assert!(matches!(error, KvmError::Kernel { .. }), "{error:?}");
        let error = tdx_error("op", 0xc000_0b00_0000_0000, eio());
        assert_eq!(error.hw_error(), Some(0xc000_0b00_0000_0000));
        assert_eq!(
            (error.errno(), error.firmware_status()),
            (Some(libc::EIO), None)
        );
    }
}
