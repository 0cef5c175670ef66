//! The VMM: one VM, whose memory is guest_memfd.

use std::{io, os::fd::AsFd as _};

use stagepages_host::{
    launch::{Reason, Refusal, Spent},
    platform::{
        Check, Chunk, Contents, Facts, Finish, Installed, Platform, PlatformKind, Report, Source,
        Stop,
    },
    serve::{PlatformSpec, Platforms},
    vcpu::CpuModel,
};
use stagepages_kvm::{
    Gfn, GfnRange, GuestMemfdFlags, Kvm, KvmError, Mapping, PAGE_SIZE, Vm, VmType,
};

/// What this program offers: `kvm`, and nothing else.
#[derive(Debug)]
pub(crate) struct Vmm;

/// The VM under launch.
#[derive(Debug)]
struct Machine {
    regions: Vec<(GfnRange, Mapping)>,
    _vm: Vm,
}

impl Platforms for Vmm {
    fn probe(&self) -> Vec<Report> {
        let found = Kvm::open().map(|_kvm| ());
        vec![Report {
            platform: PlatformKind::Kvm,
            checks: vec![Check {
                subject: "/dev/kvm".to_owned(),
                ok: found.is_ok(),
                found: found.map_or_else(|error| error.to_string(), |()| "opens".to_owned()),
                remedy: "load the kvm module, and give this user access".to_owned(),
            }],
            runs_guests: false,
            facts: Facts::default(),
        }]
    }

    fn create(&self, spec: PlatformSpec<'_>) -> Result<Box<dyn Platform>, Refusal> {
        if spec.kind != PlatformKind::Kvm {
            let text = format!("this program hosts kvm and not {}", spec.kind);
            return Err(Refusal::new(Reason::PlatformUnavailable, text));
        }
        let machine = Machine::new(spec.memory.regions()).map_err(|error| {
            Refusal::new(Reason::NoCapacity, format!("no VM: {error}")).kernel(&error)
        })?;
        Ok(Box::new(machine))
    }
}

impl Machine {
    fn new(regions: impl Iterator<Item = GfnRange>) -> Result<Self, KvmError> {
        let mut vm = Kvm::open()?.create_vm(VmType::Default)?;
        let flags = GuestMemfdFlags::MMAP | GuestMemfdFlags::INIT_SHARED;
        let mut backed = Vec::new();
        for (slot, region) in (0..).zip(regions) {
            let memory = vm.create_guest_memfd(region.bytes(), flags)?.map()?;
            vm.set_memory_region(slot, region, &memory, 0)?;
            backed.push((region, memory));
        }
        Ok(Self {
            regions: backed,
            _vm: vm,
        })
    }

    fn find(&self, gfn: Gfn) -> Option<(&Mapping, u64)> {
        let (region, memory) = self
            .regions
            .iter()
            .find(|(region, _)| region.contains(gfn))?;
        Some((memory, gfn.get() - region.start().get()))
    }

    /// One page after the other, as a VMM without ambition does; the library asks again for the rest.
    fn install_one(&mut self, chunk: &Chunk<'_>) -> Result<(), Stop> {
        let gfn = chunk.range.start();
        let region = self
            .regions
            .iter_mut()
            .find(|(region, _)| region.contains(gfn));
        let (region, memory) = region.ok_or(Stop::stray(gfn))?;
        let index = gfn.get() - region.start().get();
        let mut exists = [0];
        memory.exists(index, &mut exists)?;
        if exists != [0] {
            return Err(Stop::stray(gfn));
        }
        memory.populate(index, 1)?;
        if let Source::File(file, offset) = chunk.source {
            let got = memory.read_from(index, 1, file.as_fd(), offset);
            let got = got.map_err(|error| Stop::Source(io::Error::other(error)))?;
            if got as u64 != PAGE_SIZE {
                return Err(Stop::Source(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}

impl Platform for Machine {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Kvm
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let done = self.install_one(chunk);
        let contents = match &done {
            Ok(()) => self.page(chunk.range.start()),
            Err(_) => None,
        };
        Installed {
            pages: done.is_ok().into(),
            contents: contents.map_or(Contents::Unknown, Contents::Bytes),
            stop: done.err(),
            spent: Spent::default(),
        }
    }

    fn cpu(&self) -> CpuModel {
        CpuModel::generous()
    }

    fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn existing(&self, range: GfnRange, out: &mut [u8]) -> Result<(), KvmError> {
        self.find(range.start())
            .map_or(Ok(()), |(memory, index)| memory.exists(index, out))
    }

    fn page(&self, gfn: Gfn) -> Option<&[u8]> {
        self.find(gfn)
            .and_then(|(memory, index)| memory.pages(index, 1).ok())
    }
}
