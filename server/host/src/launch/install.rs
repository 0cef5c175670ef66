//! Installing an extent: chunk by chunk, never a page twice, counting only what was confirmed.

use stagepages_kvm::{GfnRange, PageType};

use super::{
    AbortCause, AbortReason, Aborted, Between, InTheWay, Lap, Open, Reason, Refusal, RejectedCpuid,
    Spent,
    books::NotEntered,
    image::{Afterwards, Check, Proof},
    judge::{Verdict, contradicted, cpuid_rejected, in_doubt, judge},
    measure::Measure,
    pages_at,
    retry::Retry,
};
use crate::{
    platform::{Chunk, Installed, Source, Stop},
    stack,
};

/// Consecutive pages of one type, submitted together.
#[derive(Debug, Clone, Copy)]
pub struct Extent<'a> {
    /// The pages.
    pub range: GfnRange,
    /// Their type.
    pub page_type: PageType,
    /// Their contents.
    pub source: Source<'a>,
    /// What the contents have to be, where they are part of a stored image.
    pub proof: Option<Proof<'a>>,
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

/// What one chunk came to.
struct Step {
    /// Pages that are installed now.
    pages: u64,
    /// What the page after these met, if anything.
    verdict: Option<Verdict>,
}

impl Open {
    /// Installs `extent` in ascending order, up to the first page that the ledger holds.
    ///
    /// `between` is told after every chunk but the last, and asked before each.
    pub fn install(self, extent: &Extent<'_>, between: &mut dyn Between) -> AfterInstall {
        let mut spent = Spent::default();
        let mut after = self.try_install(extent, between, &mut spent);
        between.spent(spent);
        match &mut after {
            AfterInstall::Applied(open, _) | AfterInstall::Refused(open, _) => {
                open.platform.forget();
            }
            // The platform is gone, and has wiped its memory.
            AfterInstall::Aborted(..) => {}
        }
        stack::wipe();
        after
    }

    fn try_install(
        mut self,
        extent: &Extent<'_>,
        between: &mut dyn Between,
        spent: &mut Spent,
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
        if let Some(refusal) = self.books.rejected_before(extent) {
            return AfterInstall::Refused(self, refusal);
        }
        if let Some(Err(refusal)) = self.books.measure.as_mut().map(Measure::begin) {
            return AfterInstall::Refused(self, refusal);
        }
        let mut check = match Check::new(extent, self.books.kind) {
            Ok(check) => check,
            Err(unproven) => return AfterInstall::Refused(self, unproven.refusal(extent, 0)),
        };
        let mut done = 0;
        let mut retry = Retry::default();
        // What the kernel said to the attempt before at the same page.
        let mut before = None;
        while let Some(rest) = free.skip(done) {
            if self.books.stop.is_set() {
                return self.stopped(rest, extent, done);
            }
            let installed = self.books.ledger.len();
            let mut lap = Lap::start();
            let most = between.leave(installed, &|| self.snapshot());
            spent.turn += lap.split();
            let Some(rest) = rest.take(most.min(rest.pages())) else {
                continue;
            };
            let next = check.next(extent, done, rest);
            spent.hash += lap.split();
            let (part, checks) = match next {
                Ok(next) => next,
                Err(unproven) if done == 0 => {
                    return AfterInstall::Refused(self, unproven.refusal(extent, 0));
                }
                Err(unproven) => return self.over(unproven.refusal(extent, done)),
            };
            let Step { pages, verdict } = self.install_chunk(part, extent, checks, done, spent);
            done += pages;
            if pages > 0 {
                retry = Retry::default();
                before = None;
                if done < free.pages() {
                    between.progress(self.snapshot());
                }
            }
            match verdict {
                None => {}
                Some(Verdict::Again(refusal)) => match retry.next() {
                    Some(pause) => {
                        before = refusal.errno;
                        std::thread::sleep(pause);
                    }
                    None => return self.over(counted(refusal, done)),
                },
                Some(Verdict::Clean(refusal)) if extent.range.pages() == 1 => {
                    return AfterInstall::Refused(self, refusal);
                }
                Some(Verdict::Unasked(refusal)) if done == 0 => {
                    return AfterInstall::Refused(self, refusal);
                }
                Some(
                    Verdict::Clean(refusal) | Verdict::Unasked(refusal) | Verdict::InDoubt(refusal),
                ) => {
                    return self.over(counted(after(before, refusal), done));
                }
            }
        }
        let mut lap = Lap::start();
        let ended = check.end();
        spent.hash += lap.split();
        if let Err(unproven) = ended {
            return self.over(unproven.refusal(extent, done));
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

    /// Hands the platform the next chunk, behind `done` pages of the extent, and enters what it confirmed. Without a verdict there is progress.
    fn install_chunk(
        &mut self,
        part: Chunk<'_>,
        extent: &Extent<'_>,
        after: Option<&mut Afterwards<'_>>,
        done: u64,
        spent: &mut Spent,
    ) -> Step {
        let wide_pages = self.platform.wide_pages();
        // As many are worth a second thread; more of them go in turns.
        let wide = wide_pages > self.books.chunk_pages && part.range.pages() >= wide_pages / 2;
        let most = if wide {
            wide_pages
        } else {
            self.books.chunk_pages
        };
        let range = part.range.take(most).unwrap_or(part.range);
        let chunk = Chunk { range, ..part };
        let mut lap = Lap::start();
        let Installed {
            pages,
            contents,
            stop,
            spent: told,
        } = if wide {
            let hashing = self.books.hashing(chunk.page_type, range.pages());
            self.platform.install_wide(&chunk, hashing)
        } else {
            self.platform.install(&chunk)
        };
        *spent += told;
        spent.ioctl += lap.split().saturating_sub(told.sum());
        let over = |pages, what: &str| Step {
            pages,
            verdict: Some(Verdict::InDoubt(in_doubt(range, extent.page_type, what))),
        };
        if pages > range.pages() {
            return over(0, "the platform reports more pages than it was given");
        }
        if let Some(confirmed) = range.take(pages) {
            let blank = matches!(extent.source, Source::Blank);
            let books = self.books.recorder();
            match books.enter(confirmed, extent.page_type, contents, blank, wide) {
                Ok(()) => {}
                Err(error @ NotEntered::Ledger(_)) => return over(0, &error.to_string()),
                Err(error @ NotEntered::Measure(_)) => return over(pages, &error.to_string()),
            }
            let known =
                after.map(|after| after.installed(chunk.page_type, contents, self.books.hashes()));
            spent.hash += lap.split();
            if let Some(Err(unproven)) = known {
                return Step {
                    pages,
                    verdict: Some(Verdict::InDoubt(unproven.refusal(extent, done + pages))),
                };
            }
        }
        // An error that came with progress is an error all the same: its page must not be submitted again to see it once more.
        let verdict = match (range.skip(pages), stop) {
            (None, None) => None,
            (None, Some(stop)) => Some(Verdict::InDoubt(contradicted(
                &stop,
                range,
                extent.page_type,
            ))),
            (Some(_), None) if pages > 0 => None,
            (
                Some(left),
                Some(Stop::CpuidRejected {
                    error,
                    submitted,
                    corrected,
                }),
            ) => {
                let rejected = RejectedCpuid {
                    gpa: left.start().gpa(),
                    submitted,
                    corrected,
                };
                let refusal = cpuid_rejected(&error, &rejected);
                self.books.rejected_cpuid = Some((rejected, Box::new(refusal.clone())));
                Some(Verdict::Clean(refusal))
            }
            (Some(left), stop) => {
                let unread = matches!(stop, Some(Stop::Source(_) | Stop::Unread(_)));
                let verdict = judge(stop, left, extent.page_type);
                Some(match extent.proof {
                    // An image that cannot be read to its end is not what was committed.
                    Some(_) if unread => verdict.because(Reason::ImageCorrupt),
                    Some(_) | None => verdict,
                })
            }
        };
        Step { pages, verdict }
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

/// Names the errno that the attempt before was answered with: on TDX up to Linux 6.18 a busy module leaves the page behind, and the retry meets it
/// (kernel.md, section 3.3).
fn after(before: Option<i32>, mut refusal: Refusal) -> Refusal {
    if let Some(errno) = before {
        let said = stagepages_kvm::errno_name(errno);
        refusal
            .message
            .push_str(&format!("; the attempt before was answered {said}"));
    }
    refusal
}

fn counted(mut refusal: Refusal, installed_pages: u64) -> Refusal {
    refusal.installed_pages = installed_pages;
    refusal
}
