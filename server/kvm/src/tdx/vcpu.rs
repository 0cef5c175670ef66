//! The commands of a TDX launch that go through a vCPU.
//!
//! **Invariant:** no address reaches the kernel that is not page aligned, mapped and as long as the pages asked for.

use std::ptr;

use crate::abi::tdx::{
    InitMemRegion, KVM_TDX_INIT_MEM_REGION, KVM_TDX_INIT_VCPU, KVM_TDX_MEASURE_MEMORY_REGION,
};
use crate::attempt::{Cursor, Walk};
use crate::encrypt::{self, Command};
use crate::{Attempt, GfnRange, KvmError, PageBuf, Vcpu};

const INIT_VCPU: Command = Command {
    op: "KVM_TDX_INIT_VCPU",
    id: KVM_TDX_INIT_VCPU,
};
const INIT_MEM_REGION: Command = Command {
    op: "KVM_TDX_INIT_MEM_REGION",
    id: KVM_TDX_INIT_MEM_REGION,
};

impl Vcpu {
    /// Makes the vCPU one of a TD (`KVM_TDX_INIT_VCPU`), once. `rcx` is what the guest finds in RCX; it has no other initial state.
    ///
    /// Its CPUID must be set before, with x2APIC: see [`CpuidTable::with_x2apic`](crate::CpuidTable::with_x2apic).
    ///
    /// # Errors
    ///
    /// * `EINVAL` before [`Vm::tdx_init_vm`](crate::Vm::tdx_init_vm), without x2APIC, the second time, and once the launch has ended.
    /// * `EIO` if the module refuses, and outside the creating process.
    /// * `ENOTTY` or `EINVAL` where KVM has no TDX.
    pub fn tdx_init(&self, rcx: u64) -> Result<(), KvmError> {
        // SAFETY: for this command `data` is a value, not an address.
        unsafe { encrypt::tdx(self.fd(), INIT_VCPU, 0, rcx) }
    }

    /// Installs pages (`KVM_TDX_INIT_MEM_REGION`): `range`, from the first pages of `source` on. Their addresses are measured in any case,
    /// their contents if `measure` says so. Any vCPU of the TD will do, and one at a time.
    ///
    /// # Errors
    ///
    /// In [`Attempt::outcome`]; the pages before the one that failed are installed:
    ///
    /// * [`KvmError::OutOfBounds`] before the kernel is asked: fewer pages in `source` than in `range`.
    /// * `EEXIST` if the page exists (up to Linux 6.19; from 7.0 on `EIO`).
    /// * `EINVAL` before [`tdx_init`](Self::tdx_init), after the end of the launch, and for a page that is not private or has no guest_memfd.
    /// * `EINTR` if a signal was pending, `EBUSY` if the module or a vCPU was busy. It can be asked again.
    /// * `EIO` if the module refuses: the VM is dead from Linux 6.19 on, and before cannot be finished. Also outside the creating process.
    /// * `EFAULT`, `ENOMEM`, `EHWPOISON`; [`KvmError::WroteBack`]; `ENOTTY` or `EINVAL` where KVM has no TDX.
    ///
    /// The module's own word is not known: KVM does not write it back for a vCPU.
    pub fn tdx_init_mem_region(&self, range: GfnRange, source: &PageBuf, measure: bool) -> Attempt {
        if range.pages() > source.page_count() {
            return Attempt::refused(KvmError::OutOfBounds {
                op: INIT_MEM_REGION.op,
                first: 0,
                pages: range.pages(),
                total: source.page_count(),
            });
        }
        let mut region = InitMemRegion {
            source_addr: source.expose(),
            gpa: range.start().gpa().get(),
            nr_pages: range.pages(),
        };
        let before = cursor(&region);
        let flags = if measure {
            KVM_TDX_MEASURE_MEMORY_REGION
        } else {
            0
        };
        let address = ptr::from_mut(&mut region).expose_provenance() as u64;
        // SAFETY: the kernel reads and writes `region`, the structure of this command, live and unaliased for the call. It reads `nr_pages`
        // pages at `source_addr`: no more than `source` has, which is borrowed for all of this method.
        let outcome = unsafe { encrypt::tdx(self.fd(), INIT_MEM_REGION, flags, address) };
        Attempt::new(
            INIT_MEM_REGION.op,
            &Walk::tdx(),
            before,
            cursor(&region),
            outcome,
        )
    }
}

fn cursor(region: &InitMemRegion) -> Cursor {
    Cursor {
        guest: region.gpa,
        source: region.source_addr,
        left: region.nr_pages,
    }
}
