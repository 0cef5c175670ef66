//! Platforms: the ways to install a page, behind one small trait.
//!
//! A [`Platform`] installs one chunk and says what the kernel wrote back; where it can, it then becomes the guest that runs. Order, partial progress, retry bounds, the ledger and the launch
//! digest are written once, above it, in [`crate::launch`].
//!
//! **Invariant:** a platform never counts a page that was not confirmed to it, and never retries.

mod confidential;
mod fill;
mod firmware;
mod kind;
mod kvm;
mod memory;
mod probe;
pub(crate) mod refused;
mod sev_snp;
mod sim;
mod stop;
mod tdx;
mod vcpus;

use std::{fmt, fs::File, io, ops::Deref, time::Duration};

use stagepages_kvm::{Gfn, GfnRange, KvmError, PageType, Window};

use crate::{
    guest::{Guest, GuestIo},
    launch::{Refusal, Spent},
    ledger::{PageHash, PageHasher},
    settings::SnpFinish,
    vcpu::{CpuModel, VcpuState},
};

pub use firmware::Firmware;
pub use kind::PlatformKind;
pub use kvm::KvmPlatform;
pub use memory::Memory;
pub use probe::{Capacity, Check, Facts, Report, probe};
pub use sev_snp::SnpPlatform;
pub use sim::{Effect, Fault, SimPlatform, SimScript};
pub use stop::Stop;
pub use tdx::TdxPlatform;

/// A file with contents. Read with `pread` or copied through a window of it, so that whoever else holds the file cannot change what is hashed after it was
/// read, nor raise a signal by truncating it.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    file: &'a File,
    window: Option<&'a Window>,
}

impl<'a> SourceFile<'a> {
    /// A file that is mapped from its beginning on, too.
    #[must_use]
    pub fn mapped(file: &'a File, window: &'a Window) -> Self {
        let window = Some(window);
        Self { file, window }
    }

    /// The file's bytes, where copying them is enough.
    #[must_use]
    pub fn window(&self) -> Option<&'a Window> {
        self.window
    }
}

impl<'a> From<&'a File> for SourceFile<'a> {
    fn from(file: &'a File) -> Self {
        let window = None;
        Self { file, window }
    }
}

impl Deref for SourceFile<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        self.file
    }
}

/// Where the bytes of a chunk come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A file with the bytes, and where the chunk's begin.
    File(SourceFile<'a>, u64),
    /// No bytes: zeros, or what firmware writes.
    Blank,
}

impl Source<'_> {
    /// The same source, `bytes` further on.
    #[must_use]
    pub fn skip(self, bytes: u64) -> Self {
        match self {
            Source::File(file, offset) => Source::File(file, offset.saturating_add(bytes)),
            Source::Blank => Source::Blank,
        }
    }
}

/// Consecutive pages of one type inside one memory region, handed to a platform at once.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The pages.
    pub range: GfnRange,
    /// Their type.
    pub page_type: PageType,
    /// Their contents.
    pub source: Source<'a>,
}

/// How the pages of a wide installation are hashed.
#[derive(Debug)]
pub struct Hashing<'a> {
    /// The launch's.
    pub hasher: &'a PageHasher,
    /// Which type they are.
    pub page_type: PageType,
    /// Where their hashes go: one for each page of the chunk.
    pub hashes: &'a mut [PageHash],
    /// How many pages are best filled and hashed at once, so that they are hashed out of the processor's cache.
    pub step: usize,
}

/// What the pages of an installation hold, as far as the host can know.
#[derive(Clone, Copy)]
pub enum Contents<'a> {
    /// These bytes, 4096 a page.
    Bytes(&'a [u8]),
    /// Firmware wrote them; the host never sees them.
    Unknown,
}

impl fmt::Debug for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contents::Bytes(bytes) => write!(
                f,
                "Bytes({} pages)",
                bytes.len() / stagepages_kvm::PAGE_BYTES
            ),
            Contents::Unknown => f.write_str("Unknown"),
        }
    }
}

/// What one call of [`Platform::install`] did.
#[derive(Debug)]
pub struct Installed<'a> {
    /// How many of the chunk's first pages are installed now, as the platform confirmed it.
    pub pages: u64,
    /// Exactly those pages' contents.
    pub contents: Contents<'a>,
    /// Why it stopped there; `None` if it may simply be called again with the rest, if there is one.
    pub stop: Option<Stop>,
    /// What of the call's time did not go to the kernel and to firmware, as far as the platform knows.
    pub spent: Spent,
}

/// What the end of staging is given.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    /// How each vCPU begins, in the order of their indices.
    pub vcpus: &'a [VcpuState],
    /// What firmware is given, on `sev-snp`; `None` for the default of each.
    pub snp: Option<&'a SnpFinish>,
}

/// A way to install pages.
pub trait Platform: fmt::Debug + Send {
    /// Which one this is.
    fn kind(&self) -> PlatformKind;

    /// Installs the first pages of `chunk`: as many as it can, in ascending order, none that exists.
    ///
    /// The caller has checked that the chunk lies in one memory region, that the ledger holds none of its pages, and that its type and
    /// source go together on this platform.
    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_>;

    /// How many pages [`install_wide`](Self::install_wide) takes at once; 0 where it takes none.
    fn wide_pages(&self) -> u64 {
        0
    }

    /// As [`install`](Self::install), for memory that several threads can fill; and hashes each page that it installs where it was installed, as soon as it was.
    /// An extent that is long enough comes this way. Those pages behind a stop that were touched are in doubt, so the stop MUST be one that ends the launch.
    fn install_wide(&mut self, _chunk: &Chunk<'_>, _hashing: Hashing<'_>) -> Installed<'_> {
        Installed {
            pages: 0,
            contents: Contents::Unknown,
            stop: Some(Stop::Source(io::Error::new(
                io::ErrorKind::Unsupported,
                "this platform installs on one thread",
            ))),
            spent: Spent::default(),
        }
    }

    /// How long it took to have its memory made private (KVM_SET_MEMORY_ATTRIBUTES), which is done before the first page.
    fn attributes_time(&self) -> Duration {
        Duration::ZERO
    }

    /// The call is over: overwrites what this process holds of its pages beside the guest's memory. Where contents go there directly, that is nothing.
    fn forget(&mut self) {}

    /// What its vCPUs may hold. Every state is checked against it before the platform sees it.
    fn cpu(&self) -> CpuModel;

    /// SEV_FEATURES of the save area of every vCPU, which the launch digest covers on `sev-snp` and `sim`.
    fn save_area_features(&self) -> u64 {
        stagepages_digest::vmsa::SNP_ACTIVE
    }

    /// A vCPU will begin like this, unless it is told otherwise later; all begin as the architecture resets them. For platforms that make vCPUs
    /// before the first page (tdx), and for those that take less than the processor allows; the others get all states with
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// The state is not taken, and the one before stays.
    fn set_vcpu(&mut self, _index: u32, _state: &VcpuState) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether `finish` could end it, as far as can be known beforehand.
    ///
    /// # Errors
    /// What of it is wrong; nothing changed.
    fn check_finish(&self, _finish: &Finish<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Ends installation, and makes the vCPUs that are not there yet: one for each state. An error leaves the launch unusable, unless it is
    /// [`Stop::Again`]: then it is called again, a bounded number of times.
    ///
    /// # Errors
    /// [`Stop::Firmware`], [`Stop::Kernel`] or [`Stop::Again`].
    fn finish(&mut self, finish: &Finish<'_>) -> Result<(), Stop>;

    /// Whether [`start`](Self::start) is worth a try.
    fn runs_guests(&self) -> bool {
        false
    }

    /// Runs the guest, after [`finish`](Self::finish). Does not wait for it: returns when its vCPUs run or are about to.
    ///
    /// From here on memory is the guest's, so the platform is gone. `io.ended` MUST be called exactly once, from any thread but the caller's, when no vCPU
    /// runs any more and the VM's memory is given back; unless an error is returned.
    ///
    /// # Errors
    /// Why it does not run; the launch is over.
    fn start(self: Box<Self>, _io: GuestIo) -> Result<Box<dyn Guest>, Stop> {
        Err(Stop::Source(io::Error::new(
            io::ErrorKind::Unsupported,
            "this platform runs no guests",
        )))
    }

    /// Whether [`existing`](Self::existing) can tell.
    fn sees_pages(&self) -> bool {
        true
    }

    /// Tells for each page of `range`, which lies in one memory region, whether it exists: bit 0 of `out[i]`, as mincore(2) does.
    /// `out` has as many bytes as `range` has pages. Only asked where [`sees_pages`](Self::sees_pages).
    ///
    /// # Errors
    /// What the kernel said.
    fn existing(&self, range: GfnRange, out: &mut [u8]) -> Result<(), KvmError>;

    /// The contents of an installed page; `None` where the host cannot read it.
    fn page(&self, gfn: Gfn) -> Option<&[u8]>;
}
