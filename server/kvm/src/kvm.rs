//! The KVM device: what it can do, and new VMs.
//!
//! **Invariant:** only a process in the launch host's role opens it; nothing in this crate does so by itself.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsRawFd;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_device_attr};

use crate::caps::{Cap, VmType, VmTypes};
use crate::{CpuidTable, KvmError, Vm, abi};

/// The path of the device.
pub const DEV_KVM: &CStr = c"/dev/kvm";

/// An open `/dev/kvm`.
#[derive(Debug)]
pub struct Kvm(kvm_ioctls::Kvm);

impl Kvm {
    /// Opens [`DEV_KVM`] for reading and writing, close-on-exec, through libc's `open`.
    ///
    /// # Errors
    ///
    /// `ENOENT` or `ENODEV` without KVM, `EACCES` without permission or where the process is confined.
    pub fn open() -> Result<Self, KvmError> {
        kvm_ioctls::Kvm::new_with_path(DEV_KVM)
            .map(Self)
            .map_err(|error| KvmError::ioctl("open /dev/kvm", error))
    }

    /// The version of the API: 12 in every kernel of the last two decades.
    ///
    /// # Errors
    ///
    /// `ENOTTY` if the device is not KVM.
    pub fn api_version(&self) -> Result<u32, KvmError> {
        not_negative("KVM_GET_API_VERSION", self.0.get_api_version())
    }

    /// What the kernel says about a capability: 0 if it has none, else a positive number or a mask.
    ///
    /// Ask a [`Vm`] where the answer depends on the VM's type.
    ///
    /// # Errors
    ///
    /// What the kernel says; none is known for this call.
    pub fn check_extension(&self, cap: Cap) -> Result<u32, KvmError> {
        not_negative(
            "KVM_CHECK_EXTENSION",
            self.0.check_extension_raw(cap.abi().into()),
        )
    }

    /// The types of VM that can be created here. Empty before Linux 6.8, where there is only [`VmType::Default`].
    ///
    /// # Errors
    ///
    /// As [`check_extension`](Self::check_extension).
    pub fn vm_types(&self) -> Result<VmTypes, KvmError> {
        self.check_extension(Cap::VmTypes).map(VmTypes::from_bits)
    }

    /// The processor that KVM can show to a guest here (`KVM_GET_SUPPORTED_CPUID`): what a [`Vcpu`](crate::Vcpu) may be given, after
    /// [`for_vcpu`](CpuidTable::for_vcpu).
    ///
    /// # Errors
    ///
    /// `E2BIG` if the kernel has more than 256 entries to say, which is its own limit; `ENOMEM`.
    pub fn supported_cpuid(&self) -> Result<CpuidTable, KvmError> {
        self.0
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map(|table| CpuidTable::from_abi(table.as_slice()))
            .map_err(|error| KvmError::ioctl("KVM_GET_SUPPORTED_CPUID", error))
    }

    /// A number of 64 bits among the attributes of the device (`KVM_GET_DEVICE_ATTR`).
    ///
    /// # Errors
    ///
    /// `ENXIO` without such a group or attribute.
    pub(crate) fn attribute(&self, group: u32, attribute: u32) -> Result<u64, KvmError> {
        let mut value = 0_u64;
        let request = kvm_device_attr {
            flags: 0,
            group,
            attr: attribute.into(),
            addr: (&raw mut value).expose_provenance() as u64,
        };
        // SAFETY: the kernel reads `request` and writes the eight bytes of `value` (`kvm_x86_dev_get_attr()`, `arch/x86/kvm/x86.c`: every
        // attribute of the device is a `u64`). Both are live for the call, and nothing else refers to `value`.
        let ret = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                abi::KVM_GET_DEVICE_ATTR,
                &raw const request,
            )
        };
        if ret == 0 {
            Ok(value)
        } else {
            Err(KvmError::last("KVM_GET_DEVICE_ATTR"))
        }
    }

    /// Creates a VM, which belongs to this process's address space for good.
    ///
    /// kvm-ioctls then also asks for the size of a vCPU's shared area (`KVM_GET_VCPU_MMAP_SIZE`), which has no effect.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a type that [`vm_types`](Self::vm_types) lacks, `EINTR` if a signal was pending, `ENOMEM`.
    pub fn create_vm(&self, vm_type: VmType) -> Result<Vm, KvmError> {
        let vm = self.0.create_vm_with_type(vm_type.abi().into());
        vm.map(Vm::new)
            .map_err(|error| KvmError::ioctl("KVM_CREATE_VM", error))
    }
}

/// The answer of an ioctl that returns a number; must be called right after it.
pub(crate) fn not_negative(op: &'static str, ret: libc::c_int) -> Result<u32, KvmError> {
    let os = io::Error::last_os_error();
    u32::try_from(ret).or(Err(KvmError::Kernel { op, os }))
}
