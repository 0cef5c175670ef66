//! Several owners of the same images: what each may have, and that none is told of another.

use super::*;
use crate::{Gone, Witness, WriteState};

const SIZE: u64 = 1000;

fn images(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|seed| image(seed, 1000)).collect()
}

#[test]
fn an_owner_is_told_of_its_own_uses_alone_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let name = put(&store, ANN, &image(1, BYTES)).unwrap().digest;
    store.grant(BOB, name, None).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(86_400);
    let mark = |owner: &str| {
        let owner = crate::key::Owner::new(owner).unwrap().dir();
        dir.path().join("owners").join(owner).join(name.hex())
    };
    drop(store);
    for owner in [ANN, BOB] {
        let file = fs::File::open(mark(owner)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let store = Store::open(dir.path(), limits()).unwrap();
    let told = |store: &Store, owner| store.get(owner, name).unwrap();
    let before = told(&store, BOB);
    let reader = store.open_image(ANN, name).unwrap();
    assert_eq!(told(&store, BOB), before);
    let listed = store.list(BOB, None, 9).unwrap().images;
    assert_eq!(listed, std::slice::from_ref(&before));
    let anns = told(&store, ANN);
    assert_eq!(anns.pins, 1);
    assert!(anns.last_used > long_ago + Duration::from_secs(86_000));
    drop((reader, store));

    let store = Store::open(dir.path(), limits()).unwrap();
    assert_eq!(told(&store, BOB), before, "a restart tells nothing either");
    assert!(told(&store, ANN).last_used > long_ago + Duration::from_secs(86_000));
}

#[test]
fn an_owner_gives_an_image_up_by_its_own_readers_whoever_else_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let bytes = image(1, BYTES);
    let name = put(&store, ANN, &bytes).unwrap().digest;
    let refused = |store: &Store| {
        let refused = store.delete(ANN, name).unwrap_err();
        assert!(
            matches!(refused, StoreError::Pinned { pins: 1, .. }),
            "{refused}"
        );
        refused.to_string()
    };
    let alone = store.open_image(ANN, name).unwrap();
    let told = refused(&store);
    store.grant(BOB, name, None).unwrap();
    let _bobs = store.open_image(BOB, name).unwrap();
    assert_eq!(refused(&store), told, "with another owner as without");
    drop(alone);
    store.delete(ANN, name).unwrap();
    assert_eq!(read(&store, BOB, name).unwrap(), bytes);
    assert_eq!(store.usage().pinned, 1);
}

#[test]
fn an_owner_over_its_quota_loses_its_own_uploads_then_its_own_images_and_others_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let images = images(9);
    let name = |at: usize| digest(&images[at]);
    let has = |owner, at: usize| store.find_missing(owner, &[name(at)]).unwrap().is_empty();
    for at in [0, 1, 2] {
        put(&store, ANN, &images[at]).unwrap();
    }
    // Bob has one with her, and one alone; both are older than what she uses next.
    store.grant(BOB, name(1), None).unwrap();
    put(&store, BOB, &images[3]).unwrap();
    drop(begin(&store, BOB, &images[4], ID).unwrap());
    drop(begin(&store, ANN, &images[5], ID).unwrap());
    drop(store.open_image(ANN, name(0)).unwrap());

    put_within(&store, ANN, &images[6], Some(4 * SIZE)).unwrap();
    let unfinished = store.query(ANN, name(5), ID).unwrap();
    assert_eq!(unfinished, WriteState::Unknown, "uploads go first");
    assert!(has(ANN, 0) && has(ANN, 1) && has(ANN, 2));
    put_within(&store, ANN, &images[7], Some(4 * SIZE)).unwrap();
    assert!(!has(ANN, 1) && has(ANN, 2), "1 was used least recently");
    assert_eq!(read(&store, BOB, name(1)).unwrap(), images[1]);
    put_within(&store, ANN, &images[8], Some(4 * SIZE)).unwrap();
    assert!(!has(ANN, 2) && has(ANN, 0));
    assert!(!blob(dir.path(), name(2)).exists(), "nobody else had it");

    assert!(has(BOB, 1) && has(BOB, 3));
    let bobs = store.query(BOB, name(4), ID).unwrap();
    assert_eq!(bobs, WriteState::Partial { offset: 0 });
    assert_eq!(store.owner_usage(ANN).unwrap().used_bytes(), 4 * SIZE);
}

#[test]
fn an_image_that_an_owner_loses_for_room_is_told_also_if_another_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let witness = Witness::new({
        let told = Arc::clone(&told);
        move |gone, digest, size| told.lock().unwrap().push((gone, digest, size))
    });
    let store = Store::open_witnessed(dir.path(), limits(), witness).unwrap();
    let images = images(3);
    put(&store, BOB, &images[0]).unwrap();
    let mut expected = Vec::new();
    for image in &images {
        put_within(&store, ANN, image, Some(SIZE)).unwrap();
        expected.push((Gone::Evicted, digest(image), Some(SIZE)));
    }
    expected.pop();
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn where_what_an_owner_can_spare_is_not_enough_nothing_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let images = images(4);
    for image in &images[..3] {
        put(&store, ANN, image).unwrap();
    }
    let pinned = store.open_image(ANN, digest(&images[1])).unwrap();
    drop(begin(&store, ANN, &images[3], ID).unwrap());
    // A lower quota takes nothing by itself, and what was begun can be finished.
    put_within(&store, ANN, &images[3], Some(SIZE)).unwrap();
    let before = files(dir.path());
    for (size, most) in [(SIZE, SIZE), (2 * SIZE + 1, 3 * SIZE), (1, 0)] {
        let refused = store.begin(ANN, digest(b"more"), size, ID, Some(most));
        let refused = refused.unwrap_err();
        let StoreError::OwnerQuota {
            need,
            used,
            pinned,
            quota,
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!((need, used), (size, 4 * SIZE));
        assert_eq!((pinned, quota), (SIZE, most));
    }
    assert_eq!(files(dir.path()), before);
    drop(pinned);
    put_within(&store, ANN, &image(9, 1000), Some(SIZE)).unwrap();
    assert_eq!(store.owner_usage(ANN).unwrap().image_bytes, SIZE);
}

#[test]
fn a_gift_is_within_the_quota_of_who_gets_it_and_costs_it_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let images = images(3);
    let name = |at: usize| digest(&images[at]);
    put(&store, ANN, &images[0]).unwrap();
    put(&store, BOB, &images[1]).unwrap();
    drop(begin(&store, BOB, &images[2], ID).unwrap());
    let refused = store.grant(BOB, name(0), Some(3 * SIZE - 1)).unwrap_err();
    assert!(
        matches!(refused, StoreError::OwnerQuota { need: SIZE, .. }),
        "{refused}"
    );
    assert_eq!(
        store.query(BOB, name(2), ID).unwrap(),
        WriteState::Partial { offset: 0 }
    );
    store.grant(BOB, name(0), Some(3 * SIZE)).unwrap();
    // What it has it keeps, whatever it may have now.
    store.grant(BOB, name(0), Some(0)).unwrap();
    assert_eq!(store.owner_usage(BOB).unwrap().used_bytes(), 3 * SIZE);
}

#[test]
fn no_owner_takes_the_places_of_all_writers() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_uploads: 4,
        max_uploads_of_owner: 2,
        ..limits()
    };
    let store = Store::open(dir.path(), limits).unwrap();
    let images = images(5);
    let first = begin(&store, ANN, &images[0], ID).unwrap();
    let _second = begin(&store, ANN, &images[1], ID).unwrap();
    let refused = begin(&store, ANN, &images[2], ID).unwrap_err();
    assert!(
        matches!(refused, StoreError::TooManyOfOwner { limit: 2 }),
        "{refused}"
    );
    let _bobs = begin(&store, BOB, &images[2], ID).unwrap();
    drop(begin(&store, BOB, &images[3], ID).unwrap());
    // Who has its share makes room by its own, while all places are taken.
    drop(first);
    let _third = begin(&store, ANN, &images[2], ID).unwrap();
    let state = |owner, at: usize| store.query(owner, digest(&images[at]), ID).unwrap();
    assert_eq!(state(ANN, 0), WriteState::Unknown);
    assert_eq!(state(BOB, 3), WriteState::Partial { offset: 0 });
    let _eves = begin(&store, "eve", &images[4], ID).unwrap();
    assert_eq!(
        state(BOB, 3),
        WriteState::Unknown,
        "the only one that nobody writes"
    );
    let full = begin(&store, "eve", &images[0], ID).unwrap_err();
    assert!(
        matches!(full, StoreError::TooManyUploads { limit: 4 }),
        "{full}"
    );
}
