//! A ledger's file against the ledger that it was made from, and against everything that can happen to a file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use proptest::prelude::*;
use stagepages_host::{
    launch::{Order, cut},
    ledger::{Ledger as Living, PageHash},
    protocol::{self, ListRuns, MAX_PAGE_RUNS},
};
use stagepages_kvm::{Gfn, GfnRange, PageType};

use super::{
    draft::{Draft, Part},
    format::Note,
    kept::Ledger,
    shelf::Shelf,
    store::Ledgers,
};

const UID: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";
const LARGE: u64 = 1 << 30;

/// An extent: first frame, pages, type, uniform.
type Extent = (u64, u64, PageType, bool);

/// What a host has.
fn living(extents: &[Extent]) -> Living {
    let mut ledger = Living::new([7; 32]);
    for &(start, pages, page_type, uniform) in extents {
        let range = GfnRange::new(Gfn::new(start).unwrap(), pages).unwrap();
        // Of one that overlaps, nothing is installed.
        if ledger.first_installed(range).is_some() {
            continue;
        }
        let hash = |gfn: u64| PageHash(*blake3::hash(&gfn.to_le_bytes()).as_bytes());
        if uniform {
            ledger.append_uniform(range, page_type, hash(start))
        } else {
            let hashes: Vec<_> = range.iter().map(|gfn| hash(gfn.get())).collect();
            ledger.append(range, page_type, &hashes)
        }
        .unwrap();
    }
    ledger
}

fn told(ledger: &Living, list: &ListRuns) -> protocol::RunsPage {
    let Ok(page) = cut(
        ledger,
        list.order(),
        list.from,
        list.hashes,
        list.most_runs(),
    );
    (&page).into()
}

fn asked(part: Part, from: u64) -> ListRuns {
    ListRuns {
        by_installation: part != Part::Places,
        from,
        hashes: part == Part::Hashes,
        max_runs: u32::try_from(MAX_PAGE_RUNS).unwrap(),
    }
}

fn shelf(dir: &Path, max_bytes: u64, recorded: &[&str]) -> Arc<Shelf> {
    let recorded: BTreeSet<_> = recorded.iter().map(ToString::to_string).collect();
    Arc::new(Shelf::open(dir, max_bytes, &recorded))
}

/// As `copy` does it, without a host.
fn write(shelf: &Arc<Shelf>, dir: &Path, uid: &str, ledger: &Living) -> std::io::Result<Note> {
    let mut draft = Draft::new(
        tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?,
        uid.to_owned(),
    )?;
    for part in Part::ALL {
        let mut from = Some(0);
        while let Some(position) = from {
            let page = told(ledger, &asked(part, position));
            draft.add(part, &page.runs)?;
            from = page.next;
        }
        draft.end(part)?;
        if part == Part::Runs {
            draft.room = shelf.set_aside(draft.bytes().unwrap())?;
            if draft.room.is_none() {
                return Err(std::io::Error::other("no room"));
            }
        }
    }
    shelf.put(draft, ledger.len(), uid)
}

fn open(dir: &Path, uid: &str, note: &Note) -> std::io::Result<Ledger> {
    Ledger::open(fs::File::open(dir.join(uid))?, uid, note.clone())
}

fn all_asked(ledger: &Living) -> Vec<ListRuns> {
    let mut asked = Vec::new();
    let ends = [ledger.len(), ledger.len() + 1, 1 << 40, u64::MAX];
    let starts = (0..48).chain(ends);
    for from in starts {
        for (by_installation, hashes, max_runs) in [
            (true, true, 512),
            (true, false, 2),
            (false, true, 3),
            (false, false, 512),
        ] {
            asked.push(ListRuns {
                by_installation,
                from,
                hashes,
                max_runs,
            });
        }
    }
    asked
}

fn extents() -> impl Strategy<Value = Vec<Extent>> {
    let page_type = prop_oneof![
        Just(PageType::Normal),
        Just(PageType::Zero),
        Just(PageType::Unmeasured),
        Just(PageType::Secrets),
    ];
    proptest::collection::vec((0..40u64, 1..6u64, page_type, any::<bool>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_tells_every_part_as_the_host_did(extents in extents()) {
        let dir = tempfile::tempdir().unwrap();
        let ledger = living(&extents);
        let note = write(&shelf(dir.path(), LARGE, &[]), dir.path(), UID, &ledger).unwrap();
        let kept = open(dir.path(), UID, &note).unwrap();
        for list in all_asked(&ledger) {
            prop_assert_eq!(kept.list(&list).unwrap(), told(&ledger, &list));
        }
    }
}

#[test]
fn a_file_of_many_chunks_and_frames_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let scattered = (0..3000).map(|page| (1_000_000 - 2 * page, 1, PageType::Normal, false));
    let long = [(2_000_000, 5000, PageType::Normal, false)];
    let uniform = [(3_000_000, 100_000, PageType::Zero, true)];
    let extents: Vec<_> = scattered.chain(long).chain(uniform).collect();
    let ledger = living(&extents);
    let note = write(&shelf(dir.path(), LARGE, &[]), dir.path(), UID, &ledger).unwrap();
    assert!(fs::metadata(dir.path().join(UID)).unwrap().len() > 300_000);
    let kept = open(dir.path(), UID, &note).unwrap();
    for part in Part::ALL {
        let mut from = Some(0);
        while let Some(position) = from {
            let list = asked(part, position);
            let page = kept.list(&list).unwrap();
            assert_eq!(page, told(&ledger, &list));
            from = page.next;
        }
    }
}

/// A small ledger in a file.
fn small() -> (tempfile::TempDir, PathBuf, Living, Note) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = living(&[
        (8, 3, PageType::Normal, false),
        (2, 2, PageType::Unmeasured, false),
        (5, 1, PageType::Zero, true),
    ]);
    let note = write(&shelf(dir.path(), LARGE, &[]), dir.path(), UID, &ledger).unwrap();
    let path = dir.path().join(UID);
    (dir, path, ledger, note)
}

/// Reads all there is; what is read is the ledger, or nothing is.
fn read(dir: &Path, note: &Note, ledger: &Living) -> std::io::Result<()> {
    let kept = open(dir, UID, note)?;
    for list in all_asked(ledger) {
        assert_eq!(kept.list(&list)?, told(ledger, &list), "a wrong ledger");
    }
    Ok(())
}

#[test]
fn a_file_that_is_torn_longer_or_flipped_anywhere_is_an_error() {
    let (dir, path, ledger, note) = small();
    read(dir.path(), &note, &ledger).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        read(dir.path(), &note, &ledger).unwrap_err();
    }
    fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
    read(dir.path(), &note, &ledger).unwrap_err();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        read(dir.path(), &note, &ledger).unwrap_err();
    }
}

#[test]
fn a_file_of_another_launch_or_with_another_record_is_an_error() {
    let (dir, path, ledger, note) = small();
    fs::copy(&path, dir.path().join(OTHER)).unwrap();
    open(dir.path(), OTHER, &note).unwrap_err();
    let lies: [fn(&mut Note); 5] = [
        |note| note.runs = u64::MAX,
        |note| note.hashes = u64::MAX / 32,
        |note| note.pages += 1,
        |note| (note.runs, note.hashes) = (note.runs + 2, note.hashes - 3),
        |note| note.seal.clear(),
    ];
    for lie in lies {
        let mut wrong = note.clone();
        lie(&mut wrong);
        read(dir.path(), &wrong, &ledger).unwrap_err();
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    read(dir.path(), &note, &ledger).unwrap_err();
}

#[test]
fn a_host_that_contradicts_itself_or_tells_a_secret_is_not_believed() {
    let run = |gpa: u64, pages, page_type, first_ordinal, hashes: usize| protocol::Run {
        gpa: gpa * 4096,
        pages,
        page_type: protocol::page_type_number(page_type),
        first_ordinal,
        uniform: false,
        hashes: vec![1; 32 * hashes],
    };
    let (normal, private) = (PageType::Normal, PageType::Unmeasured);
    let good = [run(4, 2, normal, 0, 0), run(1, 1, private, 2, 0)];
    let places = [good[1].clone(), good[0].clone()];
    let hashes = [run(4, 2, normal, 0, 2), run(1, 1, private, 2, 0)];
    let dir = tempfile::tempdir().unwrap();
    let told = |parts: [&[protocol::Run]; 3], pages| {
        let file = tempfile::NamedTempFile::new_in(dir.path()).unwrap();
        let mut draft = Draft::new(file, UID.to_owned())?;
        for (part, runs) in Part::ALL.into_iter().zip(parts) {
            draft.add(part, runs)?;
            draft.end(part)?;
        }
        draft.seal(pages).map(drop)
    };
    told([&good, &places, &hashes], 3).unwrap();
    let gap = [run(4, 2, normal, 1, 0)];
    let none = [run(4, 0, normal, 0, 0)];
    let endless = [run(4, u64::MAX, normal, 0, 0)];
    let short = [run(4, 2, normal, 0, 1), run(1, 1, private, 2, 0)];
    let secret = [run(4, 2, normal, 0, 2), run(1, 1, private, 2, 1)];
    for (parts, pages) in [
        ([&good[..], &places, &hashes], 4),
        ([&good, &good, &hashes], 3),
        ([&good, &places[..1], &hashes], 3),
        ([&good, &places, &hashes[..1]], 3),
        ([&good, &places, &short], 3),
        ([&good, &places, &secret], 3),
        ([&good[..1], &places, &hashes], 3),
        ([&gap, &gap, &gap], 2),
        ([&none, &none, &none], 0),
        ([&endless, &endless, &endless], u64::MAX),
    ] {
        told(parts, pages).unwrap_err();
    }
    // Whatever became of it, nothing is left.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_oldest_are_dropped_for_room_and_one_that_never_fits_drops_none() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = living(&[(0, 4, PageType::Normal, false)]);
    let large = living(&[(0, 400, PageType::Normal, false)]);
    let uid = |number: u8| format!("{number:032x}");
    let there = || {
        let names = fs::read_dir(dir.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    let first = shelf(dir.path(), LARGE, &[]);
    write(&first, dir.path(), &uid(0), &ledger).unwrap();
    let bytes = fs::metadata(dir.path().join(uid(0))).unwrap().len();
    let three = shelf(dir.path(), 3 * bytes + 1, &[&uid(0)]);
    for number in 1..5 {
        write(&three, dir.path(), &uid(number), &ledger).unwrap();
    }
    assert_eq!(there(), [2, 3, 4].map(uid).into());
    write(&three, dir.path(), &uid(5), &large).unwrap_err();
    assert_eq!(there(), [2, 3, 4].map(uid).into());
    // Written again, as after a crash, it counts once.
    write(&three, dir.path(), &uid(4), &ledger).unwrap();
    three.remove(&uid(3)).unwrap();
    three.remove(&uid(3)).unwrap();
    write(&three, dir.path(), &uid(6), &ledger).unwrap();
    assert!(
        there().contains(&uid(4)) && there().len() <= 3,
        "{:?}",
        there()
    );
}

#[test]
fn what_no_record_has_is_removed_at_the_start_and_what_is_foreign_is_not() {
    let (dir, path, ledger, note) = small();
    for name in [OTHER, ".new-x1", "notes.txt"] {
        fs::write(dir.path().join(name), "half").unwrap();
    }
    fs::create_dir(dir.path().join("folder")).unwrap();
    shelf(dir.path(), LARGE, &[UID]);
    read(dir.path(), &note, &ledger).unwrap();
    assert!(!dir.path().join(OTHER).exists() && !dir.path().join(".new-x1").exists());
    assert!(dir.path().join("notes.txt").exists() && dir.path().join("folder").exists());
    shelf(dir.path(), LARGE, &[]);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_costs_ledgers_and_not_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledgers");
    fs::write(&path, "in the way").unwrap();
    let (ledgers, _) = Ledgers::open(&path, LARGE, &BTreeSet::new()).unwrap();
    // Mended too late: nobody has counted what is there.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let why = ledgers.draft(UID).await.unwrap_err().to_string();
    assert!(why.contains("when the daemon started"), "{why}");
    let (ledgers, _) = Ledgers::open(&path, LARGE, &BTreeSet::new()).unwrap();
    ledgers.draft(UID).await.unwrap();
}

/// So that the names above are what they are meant as.
#[test]
fn an_order_of_the_protocol_is_one_of_the_ledger() {
    assert_eq!(asked(Part::Places, 0).order(), Order::Gpa);
    assert_eq!(asked(Part::Hashes, 0).order(), Order::Installation);
}
