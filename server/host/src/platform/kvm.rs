//! Plain KVM: a real VM with one mappable guest_memfd for each memory region.
//!
//! A VM type without an architecture's populate has no create-only installation in the kernel (kernel.md, section 1): pages are copied
//! through the mapping. What makes it create-only is the ledger above, and here the check that a page does not exist before it is written.
//!
//! **Invariant:** a page that exists is never written.

use stagepages_kvm::{Gfn, GfnRange, GuestMemfdFlags, Kvm, KvmError, Mapping, Vm, VmType};

use super::{
    Chunk, Contents, Installed, Memory, Platform, PlatformKind, Stop,
    fill::{absent_prefix, contents, fill},
};

/// A VM with memory and no vCPU.
#[derive(Debug)]
pub struct KvmPlatform {
    memory: Memory<Mapping>,
    /// Owns the memslots. Nothing runs yet; the guest's issue takes it from here.
    _vm: Vm,
}

impl KvmPlatform {
    /// A VM with these regions, each a memslot on a guest_memfd of its own.
    ///
    /// # Errors
    /// What the kernel said, by ioctl.
    pub fn new(plan: &Memory<()>) -> Result<Self, KvmError> {
        let mut vm = Kvm::open()?.create_vm(VmType::Default)?;
        let memory = Memory::back(plan, |slot, region| {
            let guest_memfd = vm.create_guest_memfd(
                region.bytes(),
                GuestMemfdFlags::MMAP | GuestMemfdFlags::INIT_SHARED,
            )?;
            let mapping = guest_memfd.map()?;
            vm.set_memory_region(slot, region, &mapping, 0)?;
            Ok(mapping)
        })?;
        Ok(Self { memory, _vm: vm })
    }
}

impl Platform for KvmPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Kvm
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let start = chunk.range.start();
        let refused = |stop| Installed {
            pages: 0,
            contents: Contents::Unknown,
            stop: Some(stop),
        };
        let Some((mapping, index)) = self.memory.backing_mut(start) else {
            return refused(Stop::Stray(start));
        };
        let pages = match absent_prefix(mapping, index, chunk.range.pages()) {
            Ok(0) => return refused(Stop::Stray(start)),
            Ok(pages) => pages,
            Err(error) => return refused(Stop::Kernel(error)),
        };
        match fill(mapping, index, pages, chunk.source) {
            // Hashed from here, the guest's own memory, so that the ledger tells what was installed and not what was sent.
            Ok(()) => Installed {
                pages,
                contents: contents(mapping, index, pages),
                stop: None,
            },
            Err(stop) => refused(stop),
        }
    }

    fn finish(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn existing(&self, range: GfnRange, out: &mut [u8]) -> Result<(), KvmError> {
        self.memory
            .backing(range.start())
            .map_or(Ok(()), |(mapping, index)| mapping.exists(index, out))
    }

    fn page(&self, gfn: Gfn) -> Option<&[u8]> {
        self.memory
            .backing(gfn)
            .and_then(|(mapping, index)| mapping.pages(index, 1).ok())
    }
}
