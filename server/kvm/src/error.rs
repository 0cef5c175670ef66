//! What a system call answered: which call, and the kernel's errno.
//!
//! **Invariant:** no error says what it means for a launch, and none holds page contents.

use std::io;

use kvm_ioctls::Error as IoctlError;

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
    /// The pages asked for are not all in the mapping. The kernel was not called.
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
        /// How many pages the mapping has.
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

    /// The errno, where the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { os, .. } => os.raw_os_error(),
            Self::OutOfBounds { .. } | Self::MsrRefused { .. } => None,
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

/// Keeps the errno and loses the name of the call.
impl From<KvmError> for io::Error {
    fn from(error: KvmError) -> Self {
        match error {
            KvmError::Kernel { os, .. } => os,
            KvmError::OutOfBounds { .. } | KvmError::MsrRefused { .. } => {
                Self::new(io::ErrorKind::InvalidInput, error)
            }
        }
    }
}

/// The symbolic name of an errno, `E?` for one that no call of this project returns.
pub const fn errno_name(errno: i32) -> &'static str {
    match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::E2BIG => "E2BIG",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENFILE => "ENFILE",
        libc::EMFILE => "EMFILE",
        libc::ENOTTY => "ENOTTY",
        libc::ETXTBSY => "ETXTBSY",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::ESPIPE => "ESPIPE",
        libc::EROFS => "EROFS",
        libc::EPIPE => "EPIPE",
        libc::EDOM => "EDOM",
        libc::ERANGE => "ERANGE",
        libc::EDEADLK => "EDEADLK",
        libc::ENOSYS => "ENOSYS",
        libc::EOVERFLOW => "EOVERFLOW",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::ECANCELED => "ECANCELED",
        libc::EHWPOISON => "EHWPOISON",
        _ => "E?",
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
    fn errno_names_are_the_c_names() {
        assert_eq!(errno_name(5), "EIO");
        assert_eq!(errno_name(17), "EEXIST");
        assert_eq!(errno_name(133), "EHWPOISON");
        assert_eq!(errno_name(0), "E?");
        assert_eq!(errno_name(9999), "E?");
    }
}
