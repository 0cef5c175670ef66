//! What a system call answered: which call, the kernel's errno, and beside it the word of the firmware where there is one.
//!
//! **Invariant:** no error says what it means for a launch, and none holds page contents.

use std::io;

use kvm_ioctls::Error as IoctlError;

use crate::FirmwareStatus;

/// A system call that failed, or was not made because it would have left its mapping.
///
/// A failed call changed nothing, unless its method says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum KvmError {
    /// The kernel refused. The error of the operating system is part of the text and so is no `source()`.
    #[error("{op}: {os}")]
    Kernel {
        /// The kernel's name for the call: `KVM_CREATE_VM`, `mmap`.
        op: &'static str,
        /// What it answered.
        os: io::Error,
    },
    /// AMD's firmware refused, and the kernel says how.
    #[error("{op}: firmware answered {status}, {}; {} ({os})", status.meaning(), status.remedy())]
    Firmware {
        /// The kernel's name for the command: `KVM_SEV_SNP_LAUNCH_UPDATE`.
        op: &'static str,
        /// What the firmware answered: neither success nor that it was not called.
        status: FirmwareStatus,
        /// What the kernel answered, mostly `EIO`.
        os: io::Error,
    },
    /// Intel's TDX module refused, and the kernel says how.
    #[error(
        "{op}: the TDX module answered {hw_error:#x}; look the status up in the module's ABI, and see what the kernel logged of TDX ({os})"
    )]
    TdxModule {
        /// The kernel's name for the command: `KVM_TDX_FINALIZE_VM`.
        op: &'static str,
        /// What the module answered, not zero.
        hw_error: u64,
        /// What the kernel answered, mostly `EIO`.
        os: io::Error,
    },
    /// The kernel wrote back what cannot be. What the call did is not known.
    #[error(
        "{op}: the kernel wrote back {value:#x} as {field}, which cannot follow from what was asked; abort the launch, of which it is not known what was installed"
    )]
    WroteBack {
        /// The kernel's name for the command.
        op: &'static str,
        /// The kernel's name for the field.
        field: &'static str,
        /// What it wrote there.
        value: u64,
        /// How the call failed, if it did.
        #[source]
        cause: Option<Box<KvmError>>,
    },
    /// Memory that can be mapped was to be private. The kernel was not called.
    #[error("{op}: the guest_memfd can be mapped and so is not private; create one without flags")]
    Mappable {
        /// The kernel's name for the call that was not made.
        op: &'static str,
    },
    /// The pages asked for are not all in the mapping or the buffer. The kernel was not called.
    #[error(
        "{op}: {pages:#x} pages from page {first:#x} on do not fit into {total:#x} pages; use a lower index or fewer pages"
    )]
    OutOfBounds {
        /// The kernel's name for the call that was not made.
        op: &'static str,
        /// The index of the first page.
        first: u64,
        /// How many pages.
        pages: u64,
        /// How many pages there are, or can be asked for at once.
        total: u64,
    },
    /// The vCPU does not take this value. The kernel says so by how many MSRs it set, and gives no errno.
    #[error(
        "KVM_SET_MSRS: the vCPU refuses {value:#x} in MSR {index:#x}; use a value that its CPUID allows"
    )]
    MsrRefused {
        /// The number of the MSR.
        index: u32,
        /// The value.
        value: u64,
    },
}

impl KvmError {
    /// What `op` failing with `errno` looks like, for a model of a kernel.
    pub fn from_errno(op: &'static str, errno: i32) -> Self {
        Self::Kernel {
            op,
            os: io::Error::from_raw_os_error(errno),
        }
    }

    /// The kernel's name for the call.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Kernel { op, .. }
            | Self::Firmware { op, .. }
            | Self::TdxModule { op, .. }
            | Self::WroteBack { op, .. }
            | Self::Mappable { op }
            | Self::OutOfBounds { op, .. } => op,
            Self::MsrRefused { .. } => "KVM_SET_MSRS",
        }
    }

    /// The errno, where the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { os, .. } | Self::Firmware { os, .. } | Self::TdxModule { os, .. } => {
                os.raw_os_error()
            }
            Self::WroteBack { cause, .. } => cause.as_ref()?.errno(),
            Self::Mappable { .. } | Self::OutOfBounds { .. } | Self::MsrRefused { .. } => None,
        }
    }

    /// What AMD's firmware answered, where it did.
    pub fn firmware_status(&self) -> Option<FirmwareStatus> {
        match self {
            Self::Firmware { status, .. } => Some(*status),
            Self::WroteBack { cause, .. } => cause.as_ref()?.firmware_status(),
            Self::Kernel { .. }
            | Self::TdxModule { .. }
            | Self::Mappable { .. }
            | Self::OutOfBounds { .. }
            | Self::MsrRefused { .. } => None,
        }
    }

    /// What the TDX module answered, where the kernel says it.
    pub fn hw_error(&self) -> Option<u64> {
        match self {
            Self::TdxModule { hw_error, .. } => Some(*hw_error),
            Self::WroteBack { cause, .. } => cause.as_ref()?.hw_error(),
            Self::Kernel { .. }
            | Self::Firmware { .. }
            | Self::Mappable { .. }
            | Self::OutOfBounds { .. }
            | Self::MsrRefused { .. } => None,
        }
    }

    /// The calling thread's errno, to be taken right after the call that set it.
    pub(crate) fn last(op: &'static str) -> Self {
        Self::Kernel {
            op,
            os: io::Error::last_os_error(),
        }
    }

    pub(crate) fn ioctl(op: &'static str, error: IoctlError) -> Self {
        Self::Kernel {
            op,
            os: error.into(),
        }
    }
}

/// Keeps the errno, or else the text, and loses the rest.
impl From<KvmError> for io::Error {
    fn from(error: KvmError) -> Self {
        match error {
            KvmError::Kernel { os, .. }
            | KvmError::Firmware { os, .. }
            | KvmError::TdxModule { os, .. } => os,
            KvmError::WroteBack { .. } => Self::new(io::ErrorKind::InvalidData, error),
            KvmError::Mappable { .. }
            | KvmError::OutOfBounds { .. }
            | KvmError::MsrRefused { .. } => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_error_names_the_call_and_says_the_errno_once() {
        let error = KvmError::ioctl("KVM_CREATE_GUEST_MEMFD", IoctlError::new(libc::EINVAL));
        assert_eq!(
            error.to_string(),
            "KVM_CREATE_GUEST_MEMFD: Invalid argument (os error 22)"
        );
        assert_eq!(error.errno(), Some(libc::EINVAL));
        assert!(std::error::Error::source(&error).is_none());
    }

    #[test]
    fn a_call_that_was_not_made_has_no_errno() {
        let error = KvmError::OutOfBounds {
            op: "mincore",
            first: 15,
            pages: 2,
            total: 16,
        };
        assert_eq!(error.errno(), None);
        assert!(
            error
                .to_string()
                .starts_with("mincore: 0x2 pages from page 0xf on do not fit into 0x10 pages")
        );
    }

    #[test]
    fn a_refusal_by_firmware_says_what_it_means_and_what_to_do() {
        let error = KvmError::Firmware {
            op: "KVM_SEV_SNP_LAUNCH_FINISH",
            status: FirmwareStatus::new(0xb),
            os: io::Error::from_raw_os_error(libc::EIO),
        };
        assert_eq!(
            error.to_string(),
            "KVM_SEV_SNP_LAUNCH_FINISH: firmware answered BAD_MEASUREMENT (0xb), the launch digest is not the one in the ID block; \
             compare the launch digest with that of the ID block: stage what the ID block was made for, in its order, or make it anew \
             (Input/output error (os error 5))"
        );
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn a_write_back_that_cannot_be_keeps_what_the_call_failed_with() {
        let with = |cause| KvmError::WroteBack {
            op: "KVM_TDX_INIT_MEM_REGION",
            field: "nr_pages",
            value: 65,
            cause,
        };
        let quiet = with(None);
        assert_eq!((quiet.errno(), quiet.hw_error()), (None, None));
        assert!(
            quiet
                .to_string()
                .starts_with("KVM_TDX_INIT_MEM_REGION: the kernel wrote back 0x41 as nr_pages,")
        );
        let failed = with(Some(Box::new(KvmError::Firmware {
            op: "KVM_SEV_SNP_LAUNCH_UPDATE",
            status: FirmwareStatus::INVALID_PARAM,
            os: io::Error::from_raw_os_error(libc::EIO),
        })));
        assert_eq!(failed.errno(), Some(libc::EIO));
        assert_eq!(
            failed.firmware_status(),
            Some(FirmwareStatus::INVALID_PARAM)
        );
        assert!(std::error::Error::source(&failed).is_some());
    }
}
