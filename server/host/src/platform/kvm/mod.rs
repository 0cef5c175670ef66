//! Plain KVM: a real VM with one mappable guest_memfd for each memory region.
//!
//! A VM type without an architecture's populate has no create-only installation in the kernel (kernel.md, section 1): pages are copied
//! through the mapping. What makes it create-only is the ledger above, and here the check that a page does not exist before it is written.
//!
//! The vCPUs are made at the end of staging, so that registers which the kernel refuses end the launch there and not when it is to run.
//!
//! **Invariant:** a page that exists is never written; once the guest runs, nothing of its memory is reached from here.

#[cfg(test)]
mod tests;
mod two_threads;

use std::{io, sync::Arc};

use stagepages_kvm::{
    CpuidTable, Gfn, GfnRange, GuestMemfdFlags, Kvm, KvmError, Mapping, Part, Vm, VmType,
};

use super::{
    Chunk, Contents, Finish, Hashing, Installed, Memory, Platform, PlatformKind, Source, Stop,
    fill::{absent_prefix, contents, fill},
    vcpus::{Prepared, Vcpus, vcpu_stop},
};
use crate::{
    guest::{self, Crew, Guest, GuestIo},
    launch::Spent,
    vcpu::{self, CpuModel, VcpuState},
};

/// A VM with memory, and from the end of staging on with vCPUs, of which none runs.
#[derive(Debug)]
pub struct KvmPlatform {
    vcpus: Vcpus,
    memory: Memory<Mapping>,
    vm: Vm,
    cpuid: CpuidTable,
}

impl KvmPlatform {
    /// A VM with these regions, each a memslot on a guest_memfd of its own.
    ///
    /// # Errors
    /// What the kernel said, by ioctl.
    pub fn new(plan: &Memory<()>) -> Result<Self, KvmError> {
        let kvm = Kvm::open()?;
        let cpuid = kvm.supported_cpuid()?;
        let mut vm = kvm.create_vm(VmType::Default)?;
        let memory = Memory::back(plan, |slot, region| {
            let guest_memfd = vm.create_guest_memfd(
                region.bytes(),
                GuestMemfdFlags::MMAP | GuestMemfdFlags::INIT_SHARED,
            )?;
            let mapping = guest_memfd.map()?;
            vm.set_memory_region(slot, region, &mapping, 0)?;
            Ok(mapping)
        })?;
        Ok(Self {
            vcpus: Vcpus::default(),
            memory,
            vm,
            cpuid,
        })
    }
}

impl KvmPlatform {
    /// Has `fill` install those first pages of `chunk` that do not exist. It says how many of them it did, and why it stopped.
    fn install_with(
        &mut self,
        chunk: &Chunk<'_>,
        fill: impl FnOnce(Part<'_>, Source<'_>, &mut Spent) -> (u64, Option<Stop>),
    ) -> Installed<'_> {
        let start = chunk.range.start();
        let refused = |stop| Installed {
            pages: 0,
            contents: Contents::Unknown,
            stop: Some(stop),
            spent: Spent::default(),
        };
        let Some((mapping, index)) = self.memory.backing_mut(start) else {
            return refused(Stop::stray(start));
        };
        let pages = match absent_prefix(mapping, index, chunk.range.pages()) {
            Ok(0) => return refused(Stop::stray(start)),
            Ok(pages) => pages,
            Err(error) => return refused(error.into()),
        };
        let mut spent = Spent::default();
        let (pages, stop) = match mapping.part(index, pages) {
            Ok(part) => fill(part, chunk.source, &mut spent),
            Err(error) => return refused(error.into()),
        };
        Installed {
            pages,
            // Looked at here, in the guest's own memory, so that the ledger tells what was installed and not what was sent.
            contents: contents(mapping, index, pages),
            stop,
            spent,
        }
    }
}

impl Platform for KvmPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Kvm
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        self.install_with(chunk, |mut part, source, spent| {
            let pages = part.pages() as u64;
            match fill(&mut part, source, spent) {
                Ok(()) => (pages, None),
                Err(stop) => (0, Some(stop)),
            }
        })
    }

    fn wide_pages(&self) -> u64 {
        two_threads::PAGES
    }

    fn install_wide(&mut self, chunk: &Chunk<'_>, hashing: Hashing<'_>) -> Installed<'_> {
        self.install_with(chunk, |part, source, spent| {
            two_threads::fill_and_hash(part, source, hashing, spent)
        })
    }

    fn cpu(&self) -> CpuModel {
        vcpu::model(&self.cpuid)
    }

    fn finish(&mut self, finish: &Finish<'_>) -> Result<(), Stop> {
        self.vcpus
            .prepare(&self.vm, &self.cpuid, finish.vcpus, VcpuState::registers)
            .map_err(vcpu_stop)
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn start(self: Box<Self>, io: GuestIo) -> Result<Box<dyn Guest>, Stop> {
        let Self {
            vcpus, memory, vm, ..
        } = *self;
        // Neither can be: all mappings are given up, and all vCPUs are this VM's.
        let impossible = |error: String| Stop::Source(io::Error::other(error));
        let (memory, mappings) = memory.take_apart();
        let running = vm
            .into_running(mappings)
            .map_err(|withheld| impossible(withheld.to_string()))?;
        let running = Arc::new(running);
        let mut crew = Crew::default();
        for (index, Prepared { vcpu, runs }) in (0..).zip(vcpus.into_prepared()) {
            if runs {
                let vcpu = vcpu
                    .attach(&running)
                    .map_err(|refused| impossible(refused.to_string()))?;
                crew.running.push((index, vcpu));
            } else {
                crew.waiting.push(index);
            }
        }
        guest::start(crew, memory, io).map_err(Stop::Source)
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
