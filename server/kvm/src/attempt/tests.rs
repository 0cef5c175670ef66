//! The arithmetic of what was written back.

use super::*;

const GFN: u64 = 0x800;
const UADDR: u64 = 0x7f00_0000_0000;

fn snp(pages: u64) -> Cursor {
    Cursor {
        guest: GFN,
        source: UADDR,
        left: pages * PAGE_SIZE,
    }
}

fn tdx(pages: u64) -> Cursor {
    Cursor {
        guest: GFN * PAGE_SIZE,
        source: UADDR,
        left: pages,
    }
}

fn errno(errno: i32) -> Result<(), KvmError> {
    Err(KvmError::from_errno("op", errno))
}

#[test]
fn snp_counts_frames_and_bytes() {
    for done in 0..=64 {
        let after = Cursor {
            guest: GFN + done,
            source: UADDR + done * 0x1000,
            left: (64 - done) * 0x1000,
        };
        let attempt = Attempt::new("op", &Walk::snp(false), snp(64), after, Ok(()));
        assert_eq!(attempt.pages, done);
        attempt.outcome.unwrap();
    }
}

#[test]
fn zeros_have_no_source_to_walk() {
    let before = Cursor {
        source: 0,
        ..snp(8)
    };
    let after = Cursor {
        guest: GFN + 5,
        source: 0,
        left: 0x3000,
    };
    assert_eq!(Walk::snp(true).pages(before, after), Ok(5));
    assert_eq!(Walk::snp(false).pages(before, after), Err(("uaddr", 0)));
}

#[test]
fn tdx_counts_what_precedes_the_page_that_failed() {
    let after = Cursor {
        guest: (GFN + 3) * 0x1000,
        source: UADDR + 0x3000,
        left: 61,
    };
    let attempt = Attempt::new("op", &Walk::tdx(), tdx(64), after, errno(libc::EEXIST));
    assert_eq!(attempt.pages, 3);
    assert_eq!(attempt.outcome.unwrap_err().errno(), Some(libc::EEXIST));
}

#[test]
fn what_was_not_written_back_is_nothing_installed() {
    for (walk, cursor) in [(Walk::snp(false), snp(64)), (Walk::tdx(), tdx(64))] {
        let attempt = Attempt::new("op", &walk, cursor, cursor, errno(libc::EIO));
        assert_eq!(attempt.pages, 0);
        assert_eq!(attempt.outcome.unwrap_err().errno(), Some(libc::EIO));
    }
}

#[test]
fn a_contradiction_names_its_field_and_keeps_the_errno() {
    let (bytes, page) = (snp(8), 0x1000);
    let moved = |guest, source, left| Cursor {
        guest: bytes.guest + guest,
        source: bytes.source + source,
        left: bytes.left - left,
    };
    let grown = Cursor {
        left: 9 * page,
        ..bytes
    };
    for (after, field, value) in [
        (grown, "len", 9 * page),
        (moved(1, page, 1), "len", 8 * page - 1),
        (moved(1, page, page + 1), "len", 7 * page - 1),
        (moved(0, page, page), "gfn_start", GFN),
        (moved(2, page, page), "gfn_start", GFN + 2),
        (moved(1, 0, page), "uaddr", UADDR),
        (moved(1, 1, page), "uaddr", UADDR + 1),
        (moved(1, 0, 0), "gfn_start", GFN + 1),
    ] {
        for outcome in [Ok(()), errno(libc::EFAULT)] {
            let failed = outcome.is_err();
            let attempt = Attempt::new("op", &Walk::snp(false), bytes, after, outcome);
            assert_eq!(attempt.pages, 0, "{after:x?}");
            let error = attempt.outcome.unwrap_err();
            assert_eq!(error.errno(), failed.then_some(libc::EFAULT));
            let KvmError::WroteBack {
                field: at,
                value: found,
                ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((at, found), (field, value), "{after:x?}");
        }
    }
}

/// Against an arithmetic that cannot wrap: pages are counted exactly where some number of them explains all three fields.
#[test]
fn a_count_explains_every_field_and_never_exceeds_what_was_asked() {
    let edges = |at: u64| {
        let page = PAGE_SIZE;
        let offsets = [0, 1, 2, 3, 4, page, 2 * page, 3 * page, 4 * page, 1 << 63];
        let up = offsets.map(|offset| at.wrapping_add(offset));
        let down = offsets.map(|offset| at.wrapping_sub(offset));
        [
            up,
            down,
            [
                0,
                1,
                3,
                page,
                2 * page,
                3 * page,
                4 * page,
                u64::MAX,
                1 << 63,
                7,
            ],
        ]
        .concat()
    };
    let mut counted = [0_u32; 4];
    for (walk, before, asked) in [
        (Walk::snp(false), snp(3), 3),
        (
            Walk::snp(true),
            Cursor {
                source: 0,
                ..snp(3)
            },
            3,
        ),
        (Walk::tdx(), tdx(3), 3),
    ] {
        for guest in edges(before.guest) {
            for source in edges(before.source) {
                for left in edges(before.left) {
                    let after = Cursor {
                        guest,
                        source,
                        left,
                    };
                    let explains = |pages: &u64| {
                        let pages = u128::from(*pages);
                        let add =
                            |from: u64, step: u64| u128::from(from) + pages * u128::from(step);
                        u128::from(after.guest) == add(before.guest, walk.guest.step)
                            && u128::from(after.source) == add(before.source, walk.source.step)
                            && add(after.left, walk.left.step) == u128::from(before.left)
                    };
                    let expected = (0..=asked).find(explains);
                    assert_eq!(walk.pages(before, after).ok(), expected, "{after:x?}");
                    if let Some(pages) = expected {
                        counted[usize::try_from(pages).unwrap()] += 1;
                    }
                }
            }
        }
    }
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
}
