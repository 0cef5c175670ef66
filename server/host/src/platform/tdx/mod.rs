//! Intel TDX: pages are copied, encrypted and measured by the TDX module, through a vCPU of the TD.
//!
//! ```text
//!  KVM_CREATE_VM ─▶ CAPABILITIES ─▶ split irqchip ─▶ INIT_VM ─▶ memory, bound and private ─▶ vCPUs, INIT_VCPU ─▶ INIT_MEM_REGION* ─▶ FINALIZE_VM
//!  └────────────────────────────── create ──────────────────────────────────────────────┘  └────────────── install ──────────┘  └─ finish ─┘
//! ```
//!
//! (kernel.md, section 3.) The vCPUs come before the first page, so their RCX, which is all of their state that is not the module's, is to be set
//! before it; [`finish`](Platform::finish) makes them where no page was staged.
//!
//! **Invariant:** pages are counted from what INIT_MEM_REGION wrote back, also where it failed; one INIT_MEM_REGION runs at a time.

mod create;
mod init;
mod regions;
mod stops;
mod vcpus;

use std::time::Duration;

use stagepages_kvm::{CpuidTable, Gfn, GfnRange, KvmError, PageType, Vm};

use super::{
    Chunk, Contents, Finish, Installed, Memory, Platform, PlatformKind, Stop,
    confidential::{BUFFER_PAGES, Buffer, Private, is_dead, nothing},
};
use crate::{
    launch::{Lap, Refusal, Spent},
    vcpu::{self, CpuModel, VcpuState},
};
use stops::{finish_stop, install_stop, vcpu_stop};
use vcpus::Vcpus;

/// A TD under launch.
#[derive(Debug)]
pub struct TdxPlatform {
    vcpus: Vcpus,
    _memory: Memory<Private>,
    attributes_time: Duration,
    vm: Vm,
    cpuid: CpuidTable,
    buffer: Buffer,
}

impl Platform for TdxPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Tdx
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let range = chunk
            .range
            .take(chunk.range.pages().min(BUFFER_PAGES))
            .unwrap_or(chunk.range);
        let mut lap = Lap::start();
        if let Err(stop) = self.buffer.load(range.pages(), chunk.source) {
            return nothing(stop);
        }
        let spent = Spent {
            copy: lap.split(),
            ..Spent::default()
        };
        let through = match self.vcpus.ready(&self.vm) {
            Ok(vcpu) => vcpu,
            Err(error) => return nothing(vcpu_stop(error)),
        };
        // The address of a page is measured in any case. There is no other way to install a page of zeros than to copy one.
        let measure = match chunk.page_type {
            PageType::Unmeasured => false,
            PageType::Normal | PageType::Zero | PageType::Secrets | PageType::Cpuid => true,
        };
        let attempt = through.tdx_init_mem_region(range, self.buffer.memory(), measure);
        let stop = attempt.outcome.err().map(|error| {
            let failing = range.skip(attempt.pages).unwrap_or(range).start();
            install_stop(error, failing, || is_dead(&self.vm))
        });
        Installed {
            pages: attempt.pages,
            contents: Contents::Bytes(self.buffer.bytes(attempt.pages)),
            stop,
            spent,
        }
    }

    fn attributes_time(&self) -> Duration {
        self.attributes_time
    }

    fn forget(&mut self) {
        self.buffer.wipe();
    }

    fn cpu(&self) -> CpuModel {
        vcpu::model(&self.cpuid)
    }

    fn set_vcpu(&mut self, index: u32, state: &VcpuState) -> Result<(), Refusal> {
        self.vcpus.set(index, state)
    }

    fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
        // How they begin was told with `set_vcpu`.
        self.vcpus.ready(&self.vm).map_err(vcpu_stop)?;
        self.vm
            .tdx_finalize_vm()
            .map_err(|error| finish_stop(error, || is_dead(&self.vm)))
    }

    fn sees_pages(&self) -> bool {
        false
    }

    fn existing(&self, _range: GfnRange, _out: &mut [u8]) -> Result<(), KvmError> {
        Ok(())
    }

    fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
        None
    }
}
