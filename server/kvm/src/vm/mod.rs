//! A VM: its capabilities, its memory, its memslots.
//!
//! A VM belongs to the address space that created it: in any other process, a forked child included, each of these calls is `EIO`
//! (`kvm_vm_ioctl()`, `virt/kvm/kvm_main.c`, all kernels). So is every call once KVM has declared the VM dead; nothing tells the two
//! apart. A VM therefore lives and dies in the process that staged it.
//!
//! **Invariant:** a user address that KVM knows stays mapped until KVM has forgotten it.

mod private;

use std::collections::BTreeMap;
use std::sync::Arc;

use kvm_bindings::{KVM_MEM_GUEST_MEMFD, kvm_userspace_memory_region2};
use kvm_ioctls::VmFd;

use crate::caps::{Cap, GuestMemfdFlags};
use crate::guest_memfd::GuestMemfd;
use crate::kvm::not_negative;
use crate::mapping::{Guest, Mapping};
use crate::span::Span;
use crate::{GfnRange, KvmError, PAGE_SIZE, Vcpu};

const SET_REGION: &str = "KVM_SET_USER_MEMORY_REGION2";

/// A VM of which no vCPU runs. [`into_running`](Self::into_running) makes it one of which they can.
#[derive(Debug)]
pub struct Vm {
    // Declared first, so closed first. An open guest_memfd or vCPU keeps KVM's side and its memslots alive even then, but only a vCPU that
    // runs makes KVM use their addresses, and those share in a `RunningVm`.
    fd: VmFd,
    id: VmId,
    slots: BTreeMap<u32, Arc<Span>>,
}

/// Which VM something belongs to.
#[derive(Clone, Debug)]
pub(crate) struct VmId(Arc<()>);

impl PartialEq for VmId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Vm {
    pub(crate) fn new(fd: VmFd) -> Self {
        Self {
            fd,
            id: VmId(Arc::new(())),
            slots: BTreeMap::new(),
        }
    }

    /// What the kernel says about a capability of this VM: 0 if it has none, else a positive number or a mask.
    ///
    /// # Errors
    ///
    /// `EIO` outside the creating process.
    pub fn check_extension(&self, cap: Cap) -> Result<u32, KvmError> {
        not_negative(
            "KVM_CHECK_EXTENSION",
            self.fd.check_extension_raw(cap.abi().into()),
        )
    }

    /// The flags that a guest_memfd of this VM may have. None before Linux 6.18.
    ///
    /// # Errors
    ///
    /// As [`check_extension`](Self::check_extension).
    pub fn guest_memfd_flags(&self) -> Result<GuestMemfdFlags, KvmError> {
        self.check_extension(Cap::GuestMemfdFlags)
            .map(|bits| GuestMemfdFlags::from_bits(bits.into()))
    }

    /// Creates a vCPU (`KVM_CREATE_VCPU`). Without an interrupt controller in the kernel it is runnable at once, whatever its index, and HLT
    /// comes back as [`Exit::Halt`](crate::Exit::Halt); [`enable_split_irqchip`](Self::enable_split_irqchip) changes both.
    ///
    /// `index` is its APIC id too, which [`CpuidTable::for_vcpu`](crate::CpuidTable::for_vcpu) has to say as well.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one with this index, also if it was dropped: a vCPU lives as long as its VM. `EINVAL` for an index beyond the
    /// kernel's limit, `EMFILE`, `ENOMEM`; `EIO` outside the creating process.
    pub fn create_vcpu(&self, index: u32) -> Result<Vcpu, KvmError> {
        Vcpu::create(&self.fd, self.id.clone(), index)
    }

    /// Creates memory for this VM, of `bytes` bytes. Costs no memory until pages are allocated or touched.
    ///
    /// The kernel gives the descriptor without close-on-exec, so a second call sets it. Between the two, another thread that forks and
    /// execs would leak the guest's memory to the new program. A launch host has no such thread: it never forks and never execs.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a size that is zero, no multiple of 4096 or above 2^63, or for a flag that
    /// [`guest_memfd_flags`](Self::guest_memfd_flags) lacks; `EMFILE`, `ENOMEM`; `EIO` outside the creating process.
    pub fn create_guest_memfd(
        &self,
        bytes: u64,
        flags: GuestMemfdFlags,
    ) -> Result<GuestMemfd, KvmError> {
        GuestMemfd::create(&self.fd, bytes, flags)
    }

    /// Binds guest memory to the pages of a mapped guest_memfd, from page `first` of it on, as memslot `slot`.
    ///
    /// The guest and the kernel reach the same pages: the guest through the guest_memfd, the kernel also through the mapping. The VM
    /// keeps the addresses mapped for as long as the slot exists, even if `memory` is dropped.
    /// Kernel memory is taken for every page bound, used or not: about 2.4 GiB for 1 TiB.
    ///
    /// # Errors
    ///
    /// * [`KvmError::OutOfBounds`] if the pages are not all in the mapping.
    /// * `EEXIST` if a slot has some of these guest frames, or from Linux 7.2 on some of these pages.
    /// * `EINVAL` if the slot exists (it can be deleted, not changed), its number is too high, the memory belongs to another VM, or some
    ///   of these pages are bound already (up to Linux 7.1).
    /// * `ENOMEM`; `EIO` outside the creating process.
    pub fn set_memory_region(
        &mut self,
        slot: u32,
        range: GfnRange,
        memory: &Mapping<Guest>,
        first: u64,
    ) -> Result<(), KvmError> {
        let span = Arc::clone(memory.span());
        self.bind(slot, range, (memory.memory(), first), (span, first))
    }

    /// Binds frames to the pages of a guest_memfd, and to user addresses for the same frames: those of a span, each from a page on.
    fn bind(
        &mut self,
        slot: u32,
        range: GfnRange,
        (memory, first): (&GuestMemfd, u64),
        (span, page): (Arc<Span>, u64),
    ) -> Result<(), KvmError> {
        let (addr, _length) = span
            .pages(page, range.pages())
            .ok_or(KvmError::OutOfBounds {
                op: SET_REGION,
                first: page,
                pages: range.pages(),
                total: span.bytes() as u64 / PAGE_SIZE,
            })?;
        let region = kvm_userspace_memory_region2 {
            slot,
            flags: KVM_MEM_GUEST_MEMFD,
            guest_phys_addr: range.start().gpa().get(),
            memory_size: range.bytes(),
            userspace_addr: addr.as_ptr().expose_provenance() as u64,
            guest_memfd_offset: first * PAGE_SIZE,
            guest_memfd: memory.fd_number(),
            ..Default::default()
        };
        // `span` was owned before the kernel knows the address. On failure KVM keeps none of it, and the old owner, if any, was kept by KVM too.
        // SAFETY: the kernel reads `region`, and from then on may access `memory_size` bytes at `userspace_addr`, for the guest. They are
        // mapped until `span` is dropped, which the entry made below prevents until the slot is gone; borrows of them, where there are any,
        // see no change because only a running vCPU makes KVM write. The length was checked by `Span::pages`.
        unsafe { self.fd.set_user_memory_region2(region) }
            .map_err(|error| KvmError::ioctl(SET_REGION, error))?;
        self.slots.insert(slot, span);
        Ok(())
    }

    /// Deletes a memslot. The pages of its guest_memfd keep their contents.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such slot; `EIO` outside the creating process.
    pub fn delete_memory_region(&mut self, slot: u32) -> Result<(), KvmError> {
        let region = kvm_userspace_memory_region2 {
            slot,
            ..Default::default()
        };
        // SAFETY: the kernel reads `region`, whose size of zero makes it forget the slot's addresses; it is given no new ones.
        unsafe { self.fd.set_user_memory_region2(region) }
            .map_err(|error| KvmError::ioctl(SET_REGION, error))?;
        self.slots.remove(&slot);
        Ok(())
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> &VmFd {
        &self.fd
    }

    /// The identity of this VM.
    pub(crate) fn id(&self) -> &VmId {
        &self.id
    }

    /// The first memslot to whose memory there may be another way than through `given`.
    pub(crate) fn slot_withheld(&self, given: &[Mapping<Guest>]) -> Option<u32> {
        let is_given = |span: &Arc<Span>| {
            given
                .iter()
                .any(|mapping| Arc::ptr_eq(mapping.span(), span))
        };
        // Where all owners of a span are slots, its mapping was dropped. No owner can appear meanwhile: that takes the mapping.
        let is_dropped = |span: &Arc<Span>| {
            let slots = self.slots.values().filter(|slot| Arc::ptr_eq(slot, span));
            slots.count() == Arc::strong_count(span)
        };
        self.slots
            .iter()
            .find(|(_, span)| !is_given(span) && !is_dropped(span))
            .map(|(slot, _)| *slot)
    }

    /// The descriptor's number, for tests of what another process may do with it.
    #[cfg(test)]
    pub(crate) fn fd_number(&self) -> libc::c_int {
        std::os::fd::AsRawFd::as_raw_fd(&self.fd)
    }
}
