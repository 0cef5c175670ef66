//! The simulator: SNP's rules in memory, with faults and latency by script.
//!
//! Its memory is an unlinked file; a page that exists there is one that its "RMP" calls assigned, which is what makes installation
//! create-only underneath the ledger too. Like the kernel it drops an error when some pages were done before it, and shows it on the
//! next call (`kvm_gmem_populate()`, virt/kvm/guest_memfd.c).
//!
//! **Invariant:** it is a model. It keeps nothing secret, and runs no guest.

use std::{collections::HashMap, io, os::unix::fs::FileExt as _, time::Duration};

use nix::errno::Errno;
use stagepages_kvm::{
    Anonymous, FirmwareStatus, Gfn, GfnRange, KvmError, Mapping, PAGE_BYTES, PageType,
};

use super::{
    Chunk, Contents, Finish, Firmware, Installed, Memory, Platform, PlatformKind, Source, Stop,
    fill::{absent_prefix, contents, fill},
};
use crate::{cpuid_page, launch::Spent, vcpu::CpuModel};

/// Longest time that one command may hold the firmware; larger chunks are cut.
const LONGEST_COMMAND: Duration = Duration::from_millis(100);

/// What it plays.
const UPDATE: &str = "KVM_SEV_SNP_LAUNCH_UPDATE";

/// INVALID_PARAM: with a CPUID page, that firmware would have it otherwise (kernel.md, section 2.5).
const CPUID_CORRECTED: u32 = 0x16;

/// What the simulator does beside installing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimScript {
    /// Firmware time for one page.
    pub page_latency: Duration,
    /// Faults by page.
    pub faults: HashMap<Gfn, Fault>,
}

/// A scripted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// How often it still strikes.
    pub times: u32,
    /// What happens instead of the installation.
    pub effect: Effect,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Firmware refuses the page with this status; the kernel takes it back.
    Firmware(u32),
    /// The kernel refuses with this errno.
    Kernel(i32),
    /// The call ends before this page, without an error.
    StopShort,
    /// The page is there already.
    Stray,
}

/// A simulated VM.
#[derive(Debug)]
pub struct SimPlatform {
    memory: Memory<Mapping<Anonymous>>,
    script: SimScript,
    firmware: Firmware,
}

impl SimPlatform {
    /// A VM with these regions.
    ///
    /// # Errors
    /// What the kernel said to the memory's file.
    pub fn new(plan: &Memory<()>, script: SimScript, firmware: Firmware) -> Result<Self, KvmError> {
        let memory = Memory::back(plan, |_, region| {
            Mapping::anonymous(c"stagepages-sim", region.bytes())
        })?;
        Ok(Self {
            memory,
            script,
            firmware,
        })
    }

    /// Takes one strike of the fault at `gfn`, if it has one left.
    fn strike(&mut self, gfn: Gfn) -> Option<Effect> {
        let fault = self
            .script
            .faults
            .get_mut(&gfn)
            .filter(|fault| fault.times > 0)?;
        fault.times -= 1;
        Some(fault.effect)
    }

    /// How many pages of `range` one command may take: up to the next page with a fault, and not too long.
    fn command_pages(&self, range: GfnRange) -> u64 {
        let slowest = LONGEST_COMMAND
            .as_nanos()
            .checked_div(self.script.page_latency.as_nanos());
        let longest = slowest.map_or(range.pages(), |pages| {
            u64::try_from(pages)
                .unwrap_or(u64::MAX)
                .clamp(1, range.pages())
        });
        let armed = |gfn: &Gfn| {
            self.script
                .faults
                .get(gfn)
                .is_some_and(|fault| fault.times > 0)
        };
        let before_fault = (0..)
            .zip(range.iter())
            .skip(1)
            .find(|(_, gfn)| armed(gfn))
            .map_or(range.pages(), |(index, _)| index);
        longest.min(before_fault)
    }

    fn attempt(&mut self, chunk: &Chunk<'_>, spent: &mut Spent) -> Result<u64, Stop> {
        let start = chunk.range.start();
        match self.strike(start) {
            Some(Effect::Firmware(status)) => {
                return Err(refused(chunk, status));
            }
            Some(Effect::Kernel(errno)) => {
                let error = KvmError::Kernel {
                    op: UPDATE,
                    os: io::Error::from_raw_os_error(errno),
                };
                return Err(if transient(errno) {
                    Stop::Again(error)
                } else {
                    error.into()
                });
            }
            Some(Effect::Stray) => {
                if let Some((mapping, index)) = self.memory.backing_mut(start) {
                    mapping.populate(index, 1)?;
                }
            }
            // Short of the first page is no progress; the call before ended here already.
            Some(Effect::StopShort) | None => {}
        }
        let pages = self.command_pages(chunk.range);
        let Some((mapping, index)) = self.memory.backing_mut(start) else {
            return Err(Stop::stray(start));
        };
        let pages = absent_prefix(mapping, index, pages)?;
        if pages == 0 {
            return Err(Stop::stray(start));
        }
        let span = self
            .script
            .page_latency
            .saturating_mul(u32::try_from(pages).unwrap_or(u32::MAX));
        let command = self.firmware.begin(span).map_err(Stop::Source)?;
        fill(&mut mapping.part(index, pages)?, chunk.source, spent)?;
        command.wait().map_err(Stop::Source)?;
        Ok(pages)
    }
}

/// What firmware refusing the first page of `chunk` with `status` looks like.
fn refused(chunk: &Chunk<'_>, status: u32) -> Stop {
    let error = KvmError::Firmware {
        op: UPDATE,
        status: FirmwareStatus::new(status),
        os: Errno::EIO.into(),
    };
    let page = match (chunk.page_type, chunk.source) {
        (PageType::Cpuid, Source::File(file, offset)) if status == CPUID_CORRECTED => {
            let mut page = vec![0; PAGE_BYTES];
            file.read_exact_at(&mut page, offset).map(|()| page)
        }
        _ => return Stop::Firmware(error),
    };
    match page {
        Ok(submitted) => match cpuid_page::corrected(&submitted) {
            corrected if corrected == submitted => Stop::Firmware(error),
            corrected => Stop::CpuidRejected {
                error,
                corrected: corrected.into(),
                submitted: submitted.into(),
            },
        },
        Err(error) => Stop::Source(error),
    }
}

fn transient(errno: i32) -> bool {
    matches!(
        io::Error::from_raw_os_error(errno).kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy
    )
}

impl Platform for SimPlatform {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Sim
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let mut spent = Spent::default();
        let pages = match self.attempt(chunk, &mut spent) {
            Ok(pages) => pages,
            Err(stop) => {
                return Installed {
                    pages: 0,
                    contents: Contents::Unknown,
                    stop: Some(stop),
                    spent,
                };
            }
        };
        let contents = match (chunk.page_type, self.memory.backing(chunk.range.start())) {
            (PageType::Secrets, _) | (_, None) => Contents::Unknown,
            (_, Some((mapping, index))) => contents(mapping, index, pages),
        };
        Installed {
            pages,
            contents,
            stop: None,
            spent,
        }
    }

    fn cpu(&self) -> CpuModel {
        CpuModel::generous()
    }

    fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
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
