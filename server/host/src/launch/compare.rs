//! Checking an extent before its first page, and comparing it with what is installed.

use std::os::unix::fs::FileExt as _;

use stagepages_kvm::{Gfn, GfnRange, PAGE_BYTES, PAGE_SIZE, PageType};

use super::{Extent, Reason, Refusal, books::Books};
use crate::{ledger::Run, platform::Source};

/// Pages that are read at once to be compared.
const WINDOW_PAGES: u64 = 64;

/// An installed page that an extent ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InTheWay {
    /// The page.
    pub gfn: Gfn,
    /// The type that it was installed with.
    pub page_type: PageType,
    /// Consecutive pages from here on that are installed as submitted; 0 if this one is not.
    ///
    /// For SECRETS and UNMEASURED only the type is compared, so that this is no oracle for guessing contents.
    pub identical_pages: u64,
}

impl Books {
    /// Whether `extent` may be handed to the platform at all. Changes nothing, so that a mistake costs nothing.
    pub(super) fn check(&self, extent: &Extent<'_>) -> Result<(), Refusal> {
        let Extent {
            range,
            page_type,
            source,
            proof,
        } = extent;
        let gpa = range.start().gpa();
        let kind = self.kind;
        if !kind.takes(*page_type) {
            let message = format!(
                "page_type {page_type} does not exist on platform {kind}; GetNodeInfo lists the types of each platform"
            );
            return Err(Refusal::new(Reason::UnsupportedPageType, message).at(gpa, *page_type));
        }
        let mistake = match (page_type, source) {
            (PageType::Zero | PageType::Secrets, Source::File(..)) => {
                Some("takes no data; set length instead")
            }
            (PageType::Unmeasured | PageType::Cpuid, Source::Blank) => {
                Some("needs data, not length")
            }
            (PageType::Cpuid, Source::File(..)) if range.pages() != 1 || proof.is_some() => {
                Some("takes exactly one page of data")
            }
            (PageType::Normal, _)
            | (PageType::Zero | PageType::Secrets, Source::Blank)
            | (PageType::Unmeasured | PageType::Cpuid, Source::File(..)) => None,
        };
        if let Some(mistake) = mistake {
            return Err(Refusal::new(
                Reason::InvalidExtent,
                format!("an extent of page_type {page_type} {mistake}"),
            )
            .at(gpa, *page_type));
        }
        self.memory.locate(*range).map(drop).map_err(|outside| {
            let regions: Vec<_> = self
                .memory
                .regions()
                .take(4)
                .map(|region| region.to_string())
                .collect();
            let message = format!(
                "the extent {range} leaves its memory region at GPA {}; regions (the first {}): {}",
                outside.gpa(),
                regions.len(),
                regions.join(", ")
            );
            Refusal::new(Reason::OutsideMemory, message).at(outside.gpa(), *page_type)
        })
    }

    /// The refusal of the CPUID page that firmware refused last, byte for byte: it would not be taken now either, and is not submitted again.
    pub(super) fn rejected_before(&self, extent: &Extent<'_>) -> Option<Refusal> {
        let (rejected, refusal) = self.rejected_cpuid.as_ref()?;
        let (PageType::Cpuid, Source::File(file, offset)) = (extent.page_type, extent.source)
        else {
            return None;
        };
        let mut page = vec![0; PAGE_BYTES];
        file.read_exact_at(&mut page, offset).ok()?;
        let gpa = extent.range.start().gpa();
        (*page == *rejected.submitted).then(|| Refusal {
            // Both addresses come first: the rest may be long, and is the earlier one's.
            message: format!(
                "the CPUID page at GPA {gpa} was not submitted: its bytes are those that were refused before at GPA {}: {}",
                rejected.gpa, refusal.message
            ),
            ..Refusal::clone(refusal).at(gpa, PageType::Cpuid)
        })
    }

    /// The refusal of an extent whose first page is installed.
    pub(super) fn already_installed(&self, extent: &Extent<'_>) -> Refusal {
        let found = self.in_the_way(extent, 0);
        let gpa = extent.range.start().gpa();
        let (page_type, identical_pages) = found.map_or((extent.page_type, 0), |found| {
            (found.page_type, found.identical_pages)
        });
        let told = if identical_pages == 0 {
            "it differs from what this call submits, and no page can be replaced: abort the launch if it must be different".to_owned()
        } else {
            format!(
                "it and the {} pages after it are installed as this call submits them; go on behind them",
                identical_pages - 1
            )
        };
        let message = format!(
            "the {page_type} page at GPA {gpa} is already installed, nothing was installed by this call; {told}"
        );
        Refusal {
            in_the_way: found,
            ..Refusal::new(Reason::AlreadyInstalled, message).at(gpa, page_type)
        }
    }

    /// What stands at the page `done` pages into `extent`.
    pub(super) fn in_the_way(&self, extent: &Extent<'_>, done: u64) -> Option<InTheWay> {
        let rest = extent.range.skip(done)?;
        let gfn = rest.start();
        let page_type = self.ledger.get(gfn)?.page_type;
        let identical_pages = self.identical_prefix(rest, extent, done);
        Some(InTheWay {
            gfn,
            page_type,
            identical_pages,
        })
    }

    fn identical_prefix(&self, rest: GfnRange, extent: &Extent<'_>, done: u64) -> u64 {
        let mut same = 0;
        for run in self.ledger.runs_by_gpa(rest.start()) {
            let Some(cut) = rest
                .skip(same)
                .filter(|left| left.start() == run.range.start())
                .and_then(|left| run.range.take(left.pages().min(run.range.pages())))
            else {
                break;
            };
            let run = Run { range: cut, ..run };
            let equal = self.equal_pages(&run, extent, done + same);
            same += equal;
            if equal < cut.pages() {
                break;
            }
        }
        same
    }

    /// A hash of what `extent` submits behind its first `done` pages; `None` if that is nothing, or cannot be read.
    pub(super) fn hash_rest(&self, extent: &Extent<'_>, done: u64) -> Option<[u8; 32]> {
        let rest = extent.range.skip(done)?;
        let mut hasher = blake3::Hasher::new();
        if let Source::File(file, at) = extent.source.skip(done * PAGE_SIZE) {
            let mut bytes = vec![0; usize::try_from(WINDOW_PAGES * PAGE_SIZE).ok()?];
            let mut read = 0;
            while let Some(window) = rest
                .skip(read)
                .and_then(|left| left.take(left.pages().min(WINDOW_PAGES)))
            {
                let part = bytes.get_mut(..usize::try_from(window.bytes()).ok()?)?;
                file.read_exact_at(part, at + read * PAGE_SIZE).ok()?;
                hasher.update(part);
                read += window.pages();
            }
        }
        Some(*hasher.finalize().as_bytes())
    }

    /// How many of the first pages of `run` are as the extent submits them, `offset` pages into it.
    pub(super) fn equal_pages(&self, run: &Run, extent: &Extent<'_>, offset: u64) -> u64 {
        if run.page_type != extent.page_type {
            return 0;
        }
        match (run.page_type, extent.source.skip(offset * PAGE_SIZE)) {
            (PageType::Secrets | PageType::Unmeasured, _) => run.range.pages(),
            (page_type, Source::Blank) => {
                let zero = self.hasher().zero_page_hash(page_type);
                if run.uniform {
                    let alike = self.ledger.hash_at(run.first_ordinal) == Some(zero);
                    return if alike { run.range.pages() } else { 0 };
                }
                self.ledger
                    .hashes(run)
                    .take_while(|hash| *hash == zero)
                    .count() as u64
            }
            (page_type, Source::File(file, at)) => {
                let mut hashes = self.ledger.hashes(run);
                let mut equal = 0;
                while let Some(window) = run
                    .range
                    .skip(equal)
                    .and_then(|left| left.take(left.pages().min(WINDOW_PAGES)))
                {
                    let mut bytes = vec![0; usize::try_from(window.bytes()).unwrap_or(0)];
                    if file
                        .read_exact_at(&mut bytes, at + equal * PAGE_SIZE)
                        .is_err()
                    {
                        // Bytes that cannot be read are not known to be the same.
                        break;
                    }
                    let (pages, _) = bytes.as_chunks::<PAGE_BYTES>();
                    let alike = pages
                        .iter()
                        .zip(hashes.by_ref())
                        .take_while(|(page, hash)| self.hasher().hash(page_type, *page) == *hash)
                        .count() as u64;
                    equal += alike;
                    if alike < window.pages() {
                        break;
                    }
                }
                equal
            }
        }
    }
}
