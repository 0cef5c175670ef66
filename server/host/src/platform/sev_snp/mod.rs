//! AMD SEV-SNP: pages are encrypted, installed and measured by firmware, one at a time.
//!
//! ```text
//!  KVM_CREATE_VM ─▶ INIT2 ─▶ memory, bound and private ─▶ LAUNCH_START ─▶ LAUNCH_UPDATE* ─▶ vCPUs with their registers ─▶ LAUNCH_FINISH
//!  └───────────────────────── create ─────────────────────────────────┘   └─ install ─┘   └─────────────── finish ───────────────┘
//! ```
//!
//! (kernel.md, section 2.7.) KVM keeps the number of the /dev/sev descriptor from LAUNCH_START to LAUNCH_FINISH, not the file: the device stays open,
//! under one number, for as long as the VM.
//!
//! **Invariant:** pages are counted from what LAUNCH_UPDATE wrote back; a CPUID page that firmware corrected is not submitted again.

mod create;
mod init;
mod stops;

use std::time::Duration;

use stagepages_digest::vmsa::Registers;
use stagepages_kvm::{
    CpuidTable, Gfn, GfnRange, IdBlock, KvmError, PageType, SevDevice, SnpFinish, Vm,
};

use super::{
    Chunk, Contents, Finish, Installed, Memory, Platform, PlatformKind, Stop,
    confidential::{BUFFER_PAGES, Buffer, Private, is_dead, nothing},
    vcpus::{Vcpus, vcpu_stop},
};
use crate::{
    launch::{Lap, Refusal, Spent},
    settings::{self, wrong},
    vcpu::{self, CpuModel, VcpuState},
};
use stops::{finish_stop, update_stop};

/// A VM under launch.
#[derive(Debug)]
pub struct SnpPlatform {
    /// Made at the end of staging, and kept as long as the VM: KVM_RUN is another host's.
    vcpus: Vcpus,
    _memory: Memory<Private>,
    attributes_time: Duration,
    vm: Vm,
    sev: SevDevice,
    cpuid: CpuidTable,
    buffer: Buffer,
    policy: u64,
    /// SEV_FEATURES, SNP_ACTIVE among them.
    features: u64,
}

impl Platform for SnpPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::SevSnp
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let most = match chunk.page_type {
            // A table that firmware refuses in the middle of a call comes back corrected in the source, and the next call would submit that
            // (kernel.md, section 2.5).
            PageType::Cpuid | PageType::Secrets => 1,
            PageType::Normal | PageType::Zero | PageType::Unmeasured => BUFFER_PAGES,
        };
        let range = chunk
            .range
            .take(chunk.range.pages().min(most))
            .unwrap_or(chunk.range);
        let mut lap = Lap::start();
        if let Err(stop) = self.buffer.load(range.pages(), chunk.source) {
            return nothing(stop);
        }
        let spent = Spent {
            copy: lap.split(),
            ..Spent::default()
        };
        let submitted =
            (chunk.page_type == PageType::Cpuid).then(|| Box::<[u8]>::from(self.buffer.bytes(1)));
        let source = match chunk.page_type {
            PageType::Zero => None,
            PageType::Normal | PageType::Unmeasured | PageType::Secrets | PageType::Cpuid => {
                Some(self.buffer.memory())
            }
        };
        let attempt = self
            .vm
            .snp_launch_update(&self.sev, range, chunk.page_type, source);
        let stop = attempt
            .outcome
            .err()
            .map(|error| update_stop(error, || is_dead(&self.vm), submitted, self.buffer.bytes(1)));
        let contents = match chunk.page_type {
            // Zeros that firmware makes, and secrets that it writes: nobody sees them here.
            PageType::Zero | PageType::Secrets => Contents::Unknown,
            PageType::Normal | PageType::Unmeasured | PageType::Cpuid => {
                Contents::Bytes(self.buffer.bytes(attempt.pages))
            }
        };
        Installed {
            pages: attempt.pages,
            contents,
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

    fn save_area_features(&self) -> u64 {
        self.features
    }

    fn check_finish(&self, finish: &Finish<'_>) -> Result<(), Refusal> {
        let block = finish.snp.and_then(|snp| snp.id_block.as_ref());
        match block {
            Some(id) if id.policy() != self.policy => {
                let text = format!(
                    "was signed for policy {:#x}, and the launch has {:#x}; firmware would refuse it: sign one for this policy, or create the launch with that one",
                    id.policy(),
                    self.policy
                );
                Err(wrong("sev_snp.id_block", &text))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn finish(&mut self, finish: &Finish<'_>) -> Result<(), Stop> {
        // KVM measures the save area of every vCPU that exists, so all of them have their registers before.
        self.vcpus
            .prepare(&self.vm, &self.cpuid, finish.vcpus, measured)
            .map_err(vcpu_stop)?;
        let default = settings::SnpFinish::default();
        let given = finish.snp.unwrap_or(&default);
        let arguments = SnpFinish {
            id_block: given.id_block.as_deref().map(|id| IdBlock {
                block: &id.block,
                auth: &id.auth,
                author_key: id.author_key,
            }),
            host_data: given.host_data,
            vcek_disabled: given.vcek_disabled,
        };
        self.vm
            .snp_launch_finish(&self.sev, &arguments)
            .map_err(finish_stop)
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

/// Every register of a vCPU, so that KVM measures what was foretold: of one that nobody set it measures segments otherwise than it shows them
/// (see [`Registers::reset`]).
#[expect(clippy::unnecessary_wraps, reason = "as `Vcpus::prepare` asks for it")]
fn measured(state: &VcpuState) -> Option<Registers> {
    Some(state.registers().unwrap_or_else(Registers::reset))
}
