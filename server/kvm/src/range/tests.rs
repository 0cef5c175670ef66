//! The arithmetic of ranges, at every edge.

use super::*;

fn gfn(frame: u64) -> Gfn {
    Gfn::new(frame).unwrap()
}

fn range(start: u64, pages: u64) -> GfnRange {
    GfnRange::new(gfn(start), pages).unwrap()
}

/// Every range inside the first few frames.
fn small() -> impl Iterator<Item = GfnRange> + Clone {
    (0..5).flat_map(|start| (1..=5 - start).map(move |pages| range(start, pages)))
}

#[test]
fn construction_refuses_what_is_empty_or_too_long() {
    let top = Gfn::MAX;
    for (start, pages, good) in [
        (gfn(0), 0, false),
        (gfn(0), 1, true),
        (gfn(0), FRAMES, true),
        (gfn(0), FRAMES + 1, false),
        (gfn(1), FRAMES, false),
        (gfn(1), u64::MAX, false),
        (top, 0, false),
        (top, 1, true),
        (top, 2, false),
        (top, u64::MAX, false),
    ] {
        assert_eq!(
            GfnRange::new(start, pages).is_ok(),
            good,
            "{start} {pages:#x}"
        );
    }
}

#[test]
fn byte_ranges_are_refused_for_the_right_reason() {
    use RangeError::{BeyondMemory, Empty, UnalignedAddress, UnalignedLength};
    let limit = 1_u64 << 52;
    let aligned_max = !0xfff_u64;
    let pages = |len: u64| len / PAGE_SIZE;
    for (address, len, why) in [
        (1, 0x1000, UnalignedAddress { gpa: Gpa::new(1) }),
        (
            0xfff,
            0,
            UnalignedAddress {
                gpa: Gpa::new(0xfff),
            },
        ),
        (
            u64::MAX,
            u64::MAX,
            UnalignedAddress {
                gpa: Gpa::new(u64::MAX),
            },
        ),
        (
            0x1000,
            1,
            UnalignedLength {
                gpa: Gpa::new(0x1000),
                len: 1,
            },
        ),
        (
            0,
            u64::MAX,
            UnalignedLength {
                gpa: Gpa::new(0),
                len: u64::MAX,
            },
        ),
        (
            aligned_max,
            1,
            UnalignedLength {
                gpa: Gpa::new(aligned_max),
                len: 1,
            },
        ),
        (0, 0, Empty { gpa: Gpa::new(0) }),
        (
            aligned_max,
            0,
            Empty {
                gpa: Gpa::new(aligned_max),
            },
        ),
        (
            limit,
            0x1000,
            BeyondMemory {
                gpa: Gpa::new(limit),
                pages: 1,
            },
        ),
        (
            limit - 0x1000,
            0x2000,
            BeyondMemory {
                gpa: Gpa::new(limit - 0x1000),
                pages: 2,
            },
        ),
        (
            0,
            limit + 0x1000,
            BeyondMemory {
                gpa: Gpa::new(0),
                pages: pages(limit) + 1,
            },
        ),
        // Would wrap around 2^64 to a small address.
        (
            aligned_max,
            0x2000,
            BeyondMemory {
                gpa: Gpa::new(aligned_max),
                pages: 2,
            },
        ),
        (
            0x1000,
            aligned_max,
            BeyondMemory {
                gpa: Gpa::new(0x1000),
                pages: pages(aligned_max),
            },
        ),
        (
            aligned_max,
            aligned_max,
            BeyondMemory {
                gpa: Gpa::new(aligned_max),
                pages: pages(aligned_max),
            },
        ),
    ] {
        assert_eq!(
            GfnRange::from_bytes(Gpa::new(address), len),
            Err(why),
            "{address:#x} {len:#x}"
        );
    }
}

#[test]
fn byte_ranges_reach_the_last_page() {
    let limit = 1_u64 << 52;
    assert_eq!(
        GfnRange::from_bytes(Gpa::new(0), limit),
        GfnRange::new(gfn(0), FRAMES)
    );
    let last = GfnRange::from_bytes(Gpa::new(limit - 0x1000), 0x1000).unwrap();
    assert_eq!(
        (last.start(), last.last(), last.end_frame()),
        (Gfn::MAX, Gfn::MAX, FRAMES)
    );
    assert_eq!(last.end(), Gpa::new(limit));
}

#[test]
fn membership_agrees_with_the_frames_themselves() {
    for a in small() {
        let frames: Vec<Gfn> = a.iter().collect();
        assert_eq!(frames.len() as u64, a.pages());
        assert_eq!(
            (frames.first(), frames.last()),
            (Some(&a.start()), Some(&a.last()))
        );
        for frame in (0..7).map(gfn) {
            assert_eq!(a.contains(frame), frames.contains(&frame), "{a} {frame}");
        }
        for b in small() {
            assert_eq!(
                a.encloses(&b),
                b.iter().all(|frame| a.contains(frame)),
                "{a} {b}"
            );
            assert_eq!(
                a.overlaps(&b),
                b.iter().any(|frame| a.contains(frame)),
                "{a} {b}"
            );
        }
    }
}

#[test]
fn take_and_skip_part_a_range_without_loss() {
    for a in small().chain([range(0, FRAMES), range(FRAMES - 3, 3)]) {
        for pages in [
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            FRAMES - 1,
            FRAMES,
            FRAMES + 1,
            u64::MAX,
        ] {
            let (head, tail) = (a.take(pages), a.skip(pages));
            let length = |part: Option<GfnRange>| part.map_or(0, |part| part.pages());
            assert_eq!(length(head), pages.min(a.pages()), "{a} {pages:#x}");
            assert_eq!(length(head) + length(tail), a.pages(), "{a} {pages:#x}");
            assert!(head.is_none_or(|head| head.start() == a.start()));
            assert!(tail.is_none_or(|tail| tail.last() == a.last()));
        }
    }
}

#[test]
fn ranges_and_their_errors_print_byte_addresses() {
    assert_eq!(range(1, 2).to_string(), "0x1000..0x3000");
    assert_eq!(range(0, FRAMES).to_string(), "0x0..0x10000000000000");
    assert_eq!(range(3, 2).bytes(), 0x2000);
    let unaligned = GfnRange::from_bytes(Gpa::new(0x1001), 0x1000).unwrap_err();
    assert_eq!(
        unaligned.to_string(),
        "gpa 0x1001 is not page aligned; use a multiple of 0x1000 bytes"
    );
}
