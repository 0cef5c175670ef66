//! Slices of a stored image, whole and rotten, on the platform that checks before and on the one that checks afterwards.

use std::{fs::File, io::Write as _, os::unix::fs::FileExt as _};

use proptest::prelude::*;
use stagepages_digest::pieces::{PIECE_PAGES, PieceDigest, piece_digests};
use stagepages_kvm::{PAGE_BYTES, PAGE_SIZE, PageType};

use super::{
    CallKey, Extent, Installation, Launch, Open, Order, Ordering, Proof, Reason, Refusal, Snapshot,
    State, StopFlag,
    tests::{range, stage},
};
use crate::platform::{
    Firmware, KvmPlatform, Memory, Platform, PlatformKind, SimPlatform, SimScript, Source,
};

/// Two pieces, and a third that ends early.
const PAGES: u64 = 2 * PIECE_PAGES as u64 + 100;

const BOTH: [PlatformKind; 2] = [PlatformKind::Sim, PlatformKind::Kvm];

struct Image {
    file: File,
    pieces: Vec<PieceDigest>,
}

/// An image whose pages are all different, but for zeros.
fn image() -> Image {
    let page = |number: u64| {
        let mut page = [0; PAGE_BYTES];
        if number % 7 != 3 {
            page[..8].copy_from_slice(&(number + 1).to_le_bytes());
        }
        page
    };
    let bytes: Vec<u8> = (0..PAGES).flat_map(page).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    Image {
        file,
        pieces: piece_digests(&bytes),
    }
}

impl Image {
    fn flip(&self, page: u64) {
        let mut byte = [0];
        let at = page * PAGE_SIZE + 77;
        self.file.read_exact_at(&mut byte, at).unwrap();
        self.file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
}

fn fresh(kind: PlatformKind) -> Launch {
    let plan = Memory::plan(&[range(0, 2048)]).unwrap();
    let platform: Box<dyn Platform> = match kind {
        PlatformKind::Kvm => Box::new(KvmPlatform::new(&plan).unwrap()),
        PlatformKind::Sim | PlatformKind::SevSnp | PlatformKind::Tdx => {
            let firmware = Firmware::instant();
            Box::new(SimPlatform::new(&plan, SimScript::default(), firmware).unwrap())
        }
    };
    let stop = StopFlag::default();
    let open = Open::new(platform, plan, [7; 32], stop, 64, Ordering::Unordered, 1);
    Launch::Open(open)
}

/// Stages `pages` pages of the image from `first` on to frame `to`.
fn slice(
    launch: Launch,
    image: &Image,
    to: u64,
    first: u64,
    pages: u64,
    page_type: PageType,
) -> (Launch, Result<Installation, Refusal>) {
    let from = usize::try_from(first).unwrap() / PIECE_PAGES;
    let extent = Extent {
        range: range(to, pages),
        page_type,
        source: Source::File((&image.file).into(), first * PAGE_SIZE),
        proof: Some(Proof {
            size: PAGES * PAGE_SIZE,
            pieces: &image.pieces[from..],
        }),
    };
    launch.stage(&CallKey::default(), &extent, &mut |_: Snapshot| {})
}

fn hashes(launch: &Launch) -> Vec<[u8; 32]> {
    let page = launch.runs(Order::Installation, 0, true, 512);
    let runs = page.runs.iter();
    runs.flat_map(|(_, hashes)| hashes.iter().map(|hash| hash.0))
        .collect()
}

#[test]
fn a_rotten_page_is_told_before_it_is_installed_or_before_any_guest_can_run() {
    // Which page is rotten, which are staged, and what is installed before it is noticed where that is before.
    for (rotten, first, pages, installed) in [
        (5, 0, 10, 0),
        // In the piece, and not in the slice: behind it, and before it.
        (300, 0, 10, 0),
        (3, 10, 10, 0),
        (511, 0, 1124, 0),
        (512, 0, 1124, 512),
        (1100, 500, 624, 524),
    ] {
        for kind in BOTH {
            let image = image();
            image.flip(rotten);
            let (launch, answer) = slice(fresh(kind), &image, 0, first, pages, PageType::Normal);
            let refusal = answer.unwrap_err();
            assert_eq!(refusal.reason, Reason::ImageCorrupt, "{kind} {rotten}");
            let state = launch.snapshot().state;
            if kind == PlatformKind::Kvm || installed > 0 {
                assert_eq!(state, State::Aborted, "{kind} {rotten}");
            } else {
                assert_eq!(state, State::Created, "{kind} {rotten}");
            }
            assert_eq!(refusal.installed_pages, launch.snapshot().installed_pages);
            if kind == PlatformKind::Sim {
                assert_eq!(refusal.installed_pages, installed, "{rotten}");
            }
        }
    }
}

#[test]
fn an_image_that_is_cut_short_is_corrupt_and_no_signal() {
    for kind in BOTH {
        let image = image();
        image.file.set_len(600 * PAGE_SIZE + 1).unwrap();
        let (_, answer) = slice(fresh(kind), &image, 0, 510, 300, PageType::Normal);
        assert_eq!(answer.unwrap_err().reason, Reason::ImageCorrupt, "{kind}");
    }
}

#[test]
fn what_stands_in_the_way_stops_a_slice_that_is_checked_all_the_same() {
    for kind in BOTH {
        for rotten in [None, Some(40)] {
            let image = image();
            let (launch, _) = stage(fresh(kind), 20, 1, PageType::Normal, Some(9));
            if let Some(rotten) = rotten {
                image.flip(rotten);
            }
            let (launch, answer) = slice(launch, &image, 0, 10, 30, PageType::Normal);
            match (rotten, kind) {
                (None, _) => {
                    let done = answer.unwrap();
                    assert_eq!(done.installed_pages, 20);
                    assert_eq!(done.in_the_way.unwrap().identical_pages, 0);
                    assert_eq!(launch.snapshot().installed_pages, 21);
                }
                (Some(_), _) => assert_eq!(answer.unwrap_err().reason, Reason::ImageCorrupt),
            }
        }
    }
}

#[test]
fn too_few_digests_install_nothing_that_stays() {
    for kind in BOTH {
        let mut image = image();
        image.pieces.truncate(1);
        let (launch, answer) = slice(fresh(kind), &image, 0, 500, 100, PageType::Normal);
        assert_eq!(
            answer.unwrap_err().reason,
            Reason::MalformedRequest,
            "{kind}"
        );
        assert_eq!(launch.snapshot().state, State::Aborted, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_slice_installs_its_bytes_and_a_repeat_is_known(
        first in 0..PAGES,
        pages in 1..1200_u64,
        unmeasured in any::<bool>(),
    ) {
        let image = image();
        let pages = pages.min(PAGES - first);
        let page_type = if unmeasured { PageType::Unmeasured } else { PageType::Normal };
        for kind in BOTH {
            let (launch, answer) = slice(fresh(kind), &image, 3, first, pages, page_type);
            prop_assert_eq!(answer.unwrap().installed_pages, pages);
            if !unmeasured {
                let told = hashes(&launch);
                let mut page = [0; PAGE_BYTES];
                for (nth, hash) in (0..).zip(told) {
                    image.file.read_exact_at(&mut page, (first + nth) * PAGE_SIZE).unwrap();
                    prop_assert_eq!(hash, *blake3::hash(&page).as_bytes());
                }
            }
            prop_assert_eq!(launch.verify(&|| ()).unwrap().findings_total, 0);
            let (_, again) = slice(launch, &image, 3, first, pages, page_type);
            let refusal = again.unwrap_err();
            prop_assert_eq!(refusal.reason, Reason::AlreadyInstalled);
            prop_assert_eq!(refusal.in_the_way.unwrap().identical_pages, pages);
        }
    }
}
