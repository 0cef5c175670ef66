//! Installing an extent: chunk by chunk, never a page twice, counting only what was confirmed.

use stagepages_kvm::{GfnRange, PageType};

use super::{
    AbortCause, AbortReason, Aborted, InTheWay, Open, Reason, Refusal, Snapshot, pages_at,
    retry::Retry,
};
use crate::platform::{Chunk, Installed, Source, Stop};

/// Firmware status of a CPUID page that firmware would have otherwise (SNP ABI, INVALID_PARAM; kernel.md section 2.5).
const CPUID_CORRECTED: u32 = 0x16;

/// Consecutive pages of one type, submitted together.
#[derive(Debug, Clone, Copy)]
pub struct Extent<'a> {
    /// The pages.
    pub range: GfnRange,
    /// Their type.
    pub page_type: PageType,
    /// Their contents.
    pub source: Source<'a>,
}

/// An extent that was applied: all of it, or all before a page that the ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation {
    /// Pages installed, at least 1.
    pub installed_pages: u64,
    /// What stopped it; `None` if it is complete.
    pub in_the_way: Option<InTheWay>,
}

/// What an install leaves behind.
#[derive(Debug)]
pub enum AfterInstall {
    /// Applied, wholly or short.
    Applied(Open, Installation),
    /// Refused, and the launch goes on. Only a clean refusal of one page, or a mistake found before the first, ends here.
    Refused(Open, Refusal),
    /// The launch is over.
    Aborted(Aborted, Refusal),
}

/// How one platform stop is to be taken.
enum Verdict {
    /// Ask again after a pause.
    Again(Refusal),
    /// Nothing is in doubt.
    Clean(Refusal),
    /// It is over.
    InDoubt(Refusal),
}

impl Open {
    /// Installs `extent` in ascending order, up to the first page that the ledger holds.
    ///
    /// `progress` is called after every chunk but the last, with the launch as it is then.
    pub fn install(
        mut self,
        extent: &Extent<'_>,
        progress: &mut dyn FnMut(Snapshot),
    ) -> AfterInstall {
        if let Err(refusal) = self.books.check(extent) {
            return AfterInstall::Refused(self, refusal);
        }
        let free = extent
            .range
            .take(self.books.ledger.free_prefix(extent.range));
        let Some(free) = free else {
            let refusal = self.books.already_installed(extent);
            return AfterInstall::Refused(self, refusal);
        };
        let mut done = 0;
        let mut retry = Retry::default();
        while let Some(rest) = free.skip(done) {
            if self.books.stop.is_set() {
                return self.stopped(rest, extent, done);
            }
            let verdict = match self.install_chunk(rest, extent, done) {
                Ok(pages) => {
                    done += pages;
                    retry = Retry::default();
                    if done < free.pages() {
                        progress(self.snapshot());
                    }
                    continue;
                }
                Err(verdict) => verdict,
            };
            match verdict {
                Verdict::Again(refusal) => match retry.next() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return self.over(counted(refusal, done)),
                },
                Verdict::Clean(refusal) if extent.range.pages() == 1 => {
                    return AfterInstall::Refused(self, refusal);
                }
                Verdict::Clean(refusal) | Verdict::InDoubt(refusal) => {
                    return self.over(counted(refusal, done));
                }
            }
        }
        let in_the_way = free.pages() < extent.range.pages();
        let in_the_way = if in_the_way {
            self.books.in_the_way(extent, done)
        } else {
            None
        };
        AfterInstall::Applied(
            self,
            Installation {
                installed_pages: done,
                in_the_way,
            },
        )
    }

    /// Hands the platform the next chunk, and enters what it confirmed. Positive, or a reason to stop.
    fn install_chunk(
        &mut self,
        rest: GfnRange,
        extent: &Extent<'_>,
        done: u64,
    ) -> Result<u64, Verdict> {
        let range = rest.take(self.books.chunk_pages).unwrap_or(rest);
        let source = extent.source.skip(done * stagepages_kvm::PAGE_SIZE);
        let chunk = Chunk {
            range,
            page_type: extent.page_type,
            source,
        };
        let Installed {
            pages,
            contents,
            stop,
        } = self.platform.install(&chunk);
        let confirmed = range.take(pages);
        if pages > range.pages() {
            return Err(Verdict::InDoubt(in_doubt(
                range,
                extent,
                "the platform reports more pages than it was given",
            )));
        }
        if let Some(confirmed) = confirmed {
            let blank = matches!(extent.source, Source::Blank);
            let books = self.books.recorder();
            if let Err(error) = books.enter(confirmed, extent.page_type, contents, blank) {
                return Err(Verdict::InDoubt(in_doubt(
                    range,
                    extent,
                    &format!("the ledger cannot take what the platform installed: {error}"),
                )));
            }
            // What stopped it, if anything did, shows again when the rest is tried.
            return Ok(pages);
        }
        Err(judge(stop, range, extent))
    }

    fn stopped(self, rest: GfnRange, extent: &Extent<'_>, done: u64) -> AfterInstall {
        let message = format!(
            "the launch was {} during this call, after {done} pages and before {}; all its pages are gone",
            match self.books.stop.reason() {
                AbortReason::LeaseExpired => "ended by its lease",
                AbortReason::Requested | AbortReason::PlatformRefused => "aborted",
            },
            pages_at(rest)
        );
        let refusal = counted(
            Refusal::new(Reason::AbortedDuringCall, message)
                .at(rest.start().gpa(), extent.page_type),
            done,
        );
        let cause = AbortCause::told(self.books.stop.reason());
        AfterInstall::Aborted(Aborted::bury(self, cause), refusal)
    }

    fn over(self, refusal: Refusal) -> AfterInstall {
        let cause = AbortCause {
            reason: AbortReason::PlatformRefused,
            message: refusal.message.clone(),
        };
        AfterInstall::Aborted(Aborted::bury(self, cause), refusal)
    }
}

fn counted(mut refusal: Refusal, installed_pages: u64) -> Refusal {
    refusal.installed_pages = installed_pages;
    refusal
}

fn in_doubt(range: GfnRange, extent: &Extent<'_>, what: &str) -> Refusal {
    let message = format!(
        "{what}, at {}; the launch is over, start a new one",
        pages_at(range)
    );
    Refusal::new(Reason::KernelRefused, message).at(range.start().gpa(), extent.page_type)
}

/// What a stop of the platform at the first page of `range` means for the launch.
fn judge(stop: Option<Stop>, range: GfnRange, extent: &Extent<'_>) -> Verdict {
    let gpa = range.start().gpa();
    match stop {
        None => Verdict::Again(in_doubt(
            range,
            extent,
            "the platform makes no progress and gives no reason",
        )),
        Some(Stop::Again(error)) => Verdict::Again(
            in_doubt(range, extent, &format!("{error}, again after every retry")).kernel(&error),
        ),
        Some(Stop::Kernel(error)) => {
            let what = format!("{error}; the kernel does not report the cause");
            Verdict::InDoubt(in_doubt(range, extent, &what).kernel(&error))
        }
        Some(Stop::Stray(gfn)) => {
            let what = format!(
                "the page at GPA {} exists although the ledger does not hold it",
                gfn.gpa()
            );
            let mut refusal = in_doubt(range, extent, &what);
            refusal.errno = Some(17); // EEXIST, by any name
            Verdict::InDoubt(refusal)
        }
        Some(Stop::Source(error)) => Verdict::InDoubt(in_doubt(
            range,
            extent,
            &format!("the submitted bytes could not be read: {error}"),
        )),
        Some(Stop::Firmware { command, status }) => {
            let (reason, meaning) = match (extent.page_type, status) {
                (PageType::Cpuid, CPUID_CORRECTED) => (
                    Reason::CpuidRejected,
                    "it would have other CPUID values; correct the table, it is never resubmitted as it is",
                ),
                (
                    PageType::Normal
                    | PageType::Zero
                    | PageType::Unmeasured
                    | PageType::Secrets
                    | PageType::Cpuid,
                    _,
                ) => (
                    Reason::FirmwareRefused,
                    "the page was taken back and may be submitted again if it was alone in its extent",
                ),
            };
            let message = format!(
                "firmware refused {command} for the {} page at GPA {gpa} with status {status:#x}: {meaning}",
                extent.page_type
            );
            let mut refusal = Refusal::new(reason, message).at(gpa, extent.page_type);
            refusal.firmware_status = Some(status);
            Verdict::Clean(refusal)
        }
    }
}
