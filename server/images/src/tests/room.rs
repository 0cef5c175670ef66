//! Quota, eviction, and the number of uploads.

use super::*;

/// Three images of a thousand bytes.
fn three() -> Limits {
    Limits {
        quota_bytes: 3000,
        max_uploads: 3,
        max_uploads_of_owner: 8,
        ..limits()
    }
}

#[test]
fn the_least_recently_used_image_that_nobody_reads_goes_first_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), three()).unwrap();
    let images: Vec<_> = (0..6).map(|seed| image(seed, 1000)).collect();
    let name = |at: usize| digest(&images[at]);
    for image in &images[..3] {
        put(&store, ANN, image).unwrap();
    }
    drop(store.open_image(ANN, name(0)).unwrap());
    put(&store, ANN, &images[3]).unwrap();
    let all: Vec<_> = (0..6).map(name).collect();
    let missing = |store: &Store| store.find_missing(ANN, &all).unwrap();
    assert_eq!(
        missing(&store),
        [name(1), name(4), name(5)],
        "1 was used least recently"
    );
    drop(store);

    let store = Store::open(dir.path(), three()).unwrap();
    let pinned = store.open_image(ANN, name(2)).unwrap();
    put(&store, ANN, &images[4]).unwrap();
    assert_eq!(
        missing(&store),
        [name(0), name(1), name(5)],
        "2 is read, and 0 was used before 3"
    );
    let refused = begin(&store, ANN, &image(9, 2001), ID).unwrap_err();
    let StoreError::QuotaExceeded {
        need,
        used,
        pinned: read,
        quota,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((need, used, read, quota), (2001, 3000, 1000, 3000));
    assert_eq!(store.usage().images, 3, "nothing goes if it is not enough");
    put(&store, ANN, &image(9, 2000)).unwrap();
    drop(pinned);
    assert_eq!(store.usage().used_bytes(), 3000);
}

#[test]
fn what_was_only_declared_goes_before_any_image_and_never_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), three()).unwrap();
    let kept = put(&store, ANN, &image(1, 1000)).unwrap().digest;
    drop(begin(&store, ANN, &image(2, 1000), ID).unwrap());
    let held = begin(&store, ANN, &image(3, 1000), ID).unwrap();
    let next = begin(&store, ANN, &image(4, 1000), ID).unwrap();
    assert_eq!(store.usage().uploads, 2, "the one that nobody writes went");
    store.get(ANN, kept).unwrap();
    let refused = begin(&store, ANN, &image(5, 1001), ID);
    assert!(matches!(
        refused,
        Err(StoreError::QuotaExceeded { need: 1001, .. })
    ));
    drop((held, next));
    drop(begin(&store, ANN, &image(5, 3000), ID).unwrap());
    let usage = store.usage();
    assert_eq!(
        (usage.uploads, usage.images, usage.used_bytes()),
        (1, 0, 3000)
    );
}

#[test]
fn uploads_are_counted_and_the_one_that_was_left_first_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), three()).unwrap();
    let mut held: Vec<_> = (0..3)
        .map(|seed| begin(&store, ANN, &image(seed, 10), ID).unwrap())
        .collect();
    let refused = begin(&store, ANN, &image(3, 10), ID);
    assert!(matches!(
        refused,
        Err(StoreError::TooManyUploads { limit: 3 })
    ));
    drop(held.remove(1));
    drop(held.remove(0));
    let _new = begin(&store, ANN, &image(3, 10), ID).unwrap();
    let state = |seed| store.query(ANN, digest(&image(seed, 10)), ID).unwrap();
    assert_eq!(state(1), crate::WriteState::Unknown);
    assert_eq!(state(0), crate::WriteState::Partial { offset: 0 });
}

#[test]
fn lower_limits_hold_from_the_next_start_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), three()).unwrap();
    let first = put(&store, ANN, &image(1, 1000)).unwrap().digest;
    let second = put(&store, ANN, &image(2, 1000)).unwrap().digest;
    drop(store);
    let quota_bytes = 1500;
    let store = Store::open(
        dir.path(),
        Limits {
            quota_bytes,
            ..three()
        },
    )
    .unwrap();
    assert_eq!(store.find_missing(ANN, &[first, second]).unwrap(), [first]);
}

#[test]
fn a_full_disk_costs_the_upload_at_hand_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let kept = image(1, BYTES);
    put(&Store::open(dir.path(), limits()).unwrap(), ANN, &kept).unwrap();
    let full = image(2, BYTES);
    let mut after = 0;
    loop {
        let script = Script::fail_once(Some(Step::Write), after, io::ErrorKind::StorageFull);
        let store = Store::open_with(dir.path(), limits(), script.clone()).unwrap();
        let outcome = put(&store, ANN, &full);
        if !script.failed() {
            outcome.unwrap();
            break;
        }
        assert!(
            matches!(outcome, Err(StoreError::DiskFull { .. })),
            "write {after}: {outcome:?}"
        );
        assert_eq!(store.usage().used_bytes(), BYTES as u64);
        assert_eq!(
            files(dir.path()).len(),
            3,
            "the image, its sidecar and its owner"
        );
        assert_eq!(read(&store, ANN, digest(&kept)).unwrap(), kept);
        after += 1;
    }
    assert!(
        after >= 5,
        "the record, three parts of the bytes, and the sidecar"
    );
}
