//! Private memory of a confidential VM: memslots on memory that nobody maps, and which frames are private.
//!
//! **Invariant:** what a guest may write through such a memslot has no reference in this process, ever.

use std::sync::Arc;

use kvm_bindings::{KVM_MEMORY_ATTRIBUTE_PRIVATE, kvm_enable_cap, kvm_memory_attributes};

use super::{SET_REGION, Vm};
use crate::span::Span;
use crate::{Cap, GfnRange, GuestMemfd, KvmError};

impl Vm {
    /// Puts the local APICs into the kernel and leaves the other interrupt controllers to user space (`KVM_ENABLE_CAP` of
    /// `KVM_CAP_SPLIT_IRQCHIP`), with `ioapic_pins` interrupt lines reserved for an I/O APIC there. TDX needs it, before any vCPU.
    ///
    /// HLT is then the kernel's business, and every vCPU but the first waits to be started by another.
    ///
    /// # Errors
    ///
    /// `EEXIST` the second time and once there is a vCPU, `EINVAL` for more pins than the kernel routes; `EIO` outside the creating process.
    pub fn enable_split_irqchip(&self, ioapic_pins: u32) -> Result<(), KvmError> {
        let cap = kvm_enable_cap {
            cap: Cap::SplitIrqchip.abi(),
            args: [ioapic_pins.into(), 0, 0, 0],
            ..Default::default()
        };
        self.fd
            .enable_cap(&cap)
            .map_err(|error| KvmError::ioctl("KVM_ENABLE_CAP KVM_CAP_SPLIT_IRQCHIP", error))
    }

    /// Binds guest memory to the pages of a guest_memfd that nobody maps, from page `first` of it on, as memslot `slot`.
    ///
    /// A memslot needs user addresses as well, for those frames that the guest shares. They are address space of their own, which the VM
    /// keeps for as long as the slot exists and which costs no memory until a guest touches it. Kernel memory is taken as for
    /// [`set_memory_region`](Self::set_memory_region).
    ///
    /// # Errors
    ///
    /// * [`KvmError::Mappable`] for memory with [`GuestMemfdFlags::MMAP`](crate::GuestMemfdFlags::MMAP).
    /// * [`KvmError::OutOfBounds`] if the pages are not all in the memory.
    /// * `ENOMEM` from `mmap` where there is no room for the addresses.
    /// * Otherwise as [`set_memory_region`](Self::set_memory_region).
    pub fn set_private_region(
        &mut self,
        slot: u32,
        range: GfnRange,
        memory: &GuestMemfd,
        first: u64,
    ) -> Result<(), KvmError> {
        if memory.is_mappable() {
            return Err(KvmError::Mappable { op: SET_REGION });
        }
        let (pages, total) = (range.pages(), memory.page_count());
        if first.checked_add(pages).is_none_or(|end| end > total) {
            return Err(KvmError::OutOfBounds {
                op: SET_REGION,
                first,
                pages,
                total,
            });
        }
        let span =
            Span::reserved(range.bytes()).map_err(|os| KvmError::Kernel { op: "mmap", os })?;
        self.bind(slot, range, (memory, first), (Arc::new(span), 0))
    }

    /// Makes frames private (`KVM_SET_MEMORY_ATTRIBUTES`): the guest finds them in the guest_memfd, and only there.
    ///
    /// # Errors
    ///
    /// `EINVAL` where [`Cap::MemoryAttributes`] lacks the attribute; `ENOTTY` in a kernel without any; `ENOMEM`; `EIO` outside the creating
    /// process.
    pub fn set_private(&self, range: GfnRange) -> Result<(), KvmError> {
        let attributes = kvm_memory_attributes {
            address: range.start().gpa().get(),
            size: range.bytes(),
            attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE.into(),
            flags: 0,
        };
        self.fd
            .set_memory_attributes(attributes)
            .map_err(|error| KvmError::ioctl("KVM_SET_MEMORY_ATTRIBUTES", error))
    }
}
