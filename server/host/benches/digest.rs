//! What measuring costs a launch: the same extents, on an installer that keeps the launch thread busy for so long a page, as firmware does.
//!
//! Three ways to launch: on a platform without a digest (*unmeasured*), on one with (*measured*, by the library, on a thread of its own), and on the former
//! with the hashing in the launch thread (*inline*). Each pair is run alternately, seven times after one that warms up; told are the medians.
//!
//! `seconds` are by the clock on the wall, and mean something on a machine with two idle processors. `critical_seconds` are processor time of the thread that
//! takes longer, the launch's or the measuring one, which is what a launch takes where neither has to wait for a processor; others that use
//! the machine hardly change it.
//!
//! ```text
//! cargo bench -p stagepages-host --bench digest
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints its figures, and has nobody to tell of a failure"
)]

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use stagepages_digest::{self as digest, snp::LaunchDigest, tdx::Mrtd};
use stagepages_host::{
    launch::{CallKey, Extent, Launch, Open, Ordering, Spent, StopFlag},
    platform::{Chunk, Contents, Finish, Installed, Memory, Platform, PlatformKind, Source, Stop},
    vcpu::CpuModel,
};
use stagepages_kvm::{Gfn, GfnRange, KvmError, PAGE_BYTES, PAGE_SIZE, PageType};

const PAGES: u64 = 16 * 1024;
const EXTENT_PAGES: u64 = 512;
const CHUNK_PAGES: u64 = 64;
const PAIRS: usize = 7;
/// A fast installer, fifty times as fast as SNP's firmware.
const PAGE_TIME: Duration = Duration::from_micros(20);

/// Hashing in the launch thread.
#[derive(Debug)]
enum Inline {
    Snp(LaunchDigest),
    Tdx(Box<Mrtd>),
}

/// Keeps its caller busy for so long a page, by the processor time that passes, reading the source included.
#[derive(Debug)]
struct Busy {
    kind: PlatformKind,
    buffer: Vec<u8>,
    inline: Option<Inline>,
}

impl Platform for Busy {
    fn kind(&self) -> PlatformKind {
        self.kind
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let end = processor_time(LAUNCH) + PAGE_TIME * u32::try_from(chunk.range.pages()).unwrap();
        let bytes = usize::try_from(chunk.range.bytes()).unwrap();
        let Source::File(file, offset) = chunk.source else {
            panic!("pages without contents");
        };
        file.read_exact_at(&mut self.buffer[..bytes], offset)
            .unwrap();
        while processor_time(LAUNCH) < end {
            std::hint::spin_loop();
        }
        let (pages, _) = self.buffer[..bytes].as_chunks::<PAGE_BYTES>();
        for (gfn, page) in chunk.range.iter().zip(pages) {
            let (gpa, page_type) = (gfn.gpa().get(), digest::PageType::Normal);
            match &mut self.inline {
                None => {}
                Some(Inline::Snp(digest)) => digest.extend(gpa, page_type, Some(page)),
                Some(Inline::Tdx(mrtd)) => mrtd.extend(gpa, page_type, Some(page)),
            }
        }
        Installed {
            pages: chunk.range.pages(),
            contents: Contents::Bytes(&self.buffer[..bytes]),
            stop: None,
            spent: Spent::default(),
        }
    }

    fn cpu(&self) -> CpuModel {
        CpuModel::generous()
    }

    fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn existing(&self, _range: GfnRange, _out: &mut [u8]) -> Result<(), KvmError> {
        Ok(())
    }

    fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
        None
    }
}

fn range(first: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(first).unwrap(), pages).unwrap()
}

const LAUNCH: ClockId = ClockId::CLOCK_THREAD_CPUTIME_ID;
const BOTH: ClockId = ClockId::CLOCK_PROCESS_CPUTIME_ID;

fn processor_time(of: ClockId) -> Duration {
    clock_gettime(of).unwrap().into()
}

/// What a launch took.
#[derive(Debug, Clone, Copy)]
struct Took {
    wall: Duration,
    critical: Duration,
}

/// From the first page until the digest of all of them is known.
fn launch(image: &File, kind: PlatformKind, inline: Option<Inline>) -> Took {
    let memory = Memory::plan(&[range(0, PAGES)]).unwrap();
    let platform = Busy {
        kind,
        buffer: vec![0; usize::try_from(CHUNK_PAGES * PAGE_SIZE).unwrap()],
        inline,
    };
    let mut launch = Launch::Open(Open::new(
        Box::new(platform),
        memory,
        [7; 32],
        StopFlag::default(),
        CHUNK_PAGES,
        Ordering::Unordered,
        1,
    ));
    let begun = (Instant::now(), processor_time(LAUNCH), processor_time(BOTH));
    for first in (0..PAGES).step_by(usize::try_from(EXTENT_PAGES).unwrap()) {
        let extent = Extent {
            range: range(first, EXTENT_PAGES),
            page_type: PageType::Normal,
            source: Source::File(image.into(), first * PAGE_SIZE),
            proof: None,
        };
        let answer;
        (launch, answer) = launch.stage(&CallKey::default(), &extent, &mut |_| {});
        assert_eq!(answer.unwrap().installed_pages, EXTENT_PAGES);
    }
    let launch = launch.settle();
    let installing = processor_time(LAUNCH) - begun.1;
    let measuring = (processor_time(BOTH) - begun.2).saturating_sub(installing);
    let took = Took {
        wall: begun.0.elapsed(),
        critical: installing.max(measuring),
    };
    let measured = launch.snapshot().measured_pages;
    assert_eq!(measured == PAGES, kind != PlatformKind::Kvm);
    took
}

fn median(all: &[Took], of: impl Fn(&Took) -> Duration) -> f64 {
    let mut times: Vec<_> = all.iter().map(of).collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Runs both alternately, and prints both medians and how they compare.
fn pair(name: &str, other: &str, mut one: impl FnMut() -> Took, mut two: impl FnMut() -> Took) {
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for round in 0..=PAIRS {
        let times = (one(), two());
        if round > 0 {
            ones.push(times.0);
            twos.push(times.1);
        }
    }
    let wall = |took: &Took| took.wall;
    let critical = |took: &Took| took.critical;
    for (unit, one, two) in [
        ("", median(&ones, wall), median(&twos, wall)),
        (
            "critical_",
            median(&ones, critical),
            median(&twos, critical),
        ),
    ] {
        println!("figure {name}_unmeasured_{unit}seconds {one:.4}");
        println!("figure {name}_{other}_{unit}seconds {two:.4}");
        println!("figure {name}_{other}_{unit}ratio {:.3}", two / one);
    }
}

fn main() {
    let mut image = tempfile::tempfile().unwrap();
    for page in 0..PAGES {
        // No two pages alike, and none of zeros, which are recognised and not hashed.
        let bytes: Vec<u8> = page.to_le_bytes().repeat(PAGE_BYTES / 8);
        image.write_all(&bytes).unwrap();
        image
            .write_all_at(&[0xa5], page * PAGE_SIZE + 0xfff)
            .unwrap();
    }
    println!("figure pages {PAGES}");
    println!("figure page_micros {}", PAGE_TIME.as_micros());
    let none = || launch(&image, PlatformKind::Kvm, None);
    for (name, kind) in [("snp", PlatformKind::SevSnp), ("tdx", PlatformKind::Tdx)] {
        pair(name, "measured", none, || launch(&image, kind, None));
        pair(name, "inline", none, || {
            let inline = match kind {
                PlatformKind::Tdx => Inline::Tdx(Box::default()),
                PlatformKind::SevSnp | PlatformKind::Sim | PlatformKind::Kvm => {
                    Inline::Snp(LaunchDigest::new())
                }
            };
            launch(&image, PlatformKind::Kvm, Some(inline))
        });
    }
}
