//! Images that are committed, shared and deleted.

use super::*;
use crate::{OwnerUsage, WriteState};

#[test]
fn what_was_committed_is_read_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    for (seed, bytes) in [
        (1, 1),
        (2, 4096),
        (3, BYTES),
        (4, 2 << 20),
        (5, (2 << 20) + 1),
    ] {
        let image = image(seed, bytes);
        let committed = put(&store, ANN, &image).unwrap();
        assert_eq!(
            (committed.digest, committed.size),
            (digest(&image), bytes as u64)
        );
        let complete = WriteState::Complete { size: bytes as u64 };
        assert_eq!(store.query(ANN, digest(&image), "any").unwrap(), complete);
    }
    let before = store.list(ANN, None, 10).unwrap();
    drop(store);
    let store = Store::open(dir.path(), limits()).unwrap();
    assert_eq!(store.report(), crate::Report::default());
    let after = store.list(ANN, None, 10).unwrap();
    let names = |page: &crate::ImagePage| -> Vec<_> {
        page.images.iter().map(|image| image.digest).collect()
    };
    assert_eq!(names(&before), names(&after));
    for seed in 1..=5 {
        let image = after
            .images
            .iter()
            .find(|image| image.size == [1, 4096, BYTES, 2 << 20, (2 << 20) + 1][seed - 1] as u64)
            .unwrap();
        let bytes = usize::try_from(image.size).unwrap();
        assert_eq!(
            read(&store, ANN, image.digest).unwrap(),
            super::image(seed as u64, bytes)
        );
        store.verify(image.digest).unwrap();
    }
}

#[test]
fn a_list_is_cut_into_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let mut digests: Vec<_> = (0..5)
        .map(|seed| put(&store, ANN, &image(seed, 10)).unwrap().digest)
        .collect();
    digests.sort();
    put(&store, BOB, &image(9, 10)).unwrap();
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list(ANN, after, 2).unwrap();
        listed.extend(page.images.iter().map(|image| image.digest));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((listed, pages), (digests, 3));
}

#[test]
fn an_owner_sees_no_image_of_another_before_it_has_uploaded_or_been_granted_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let name = digest(&image);
    put(&store, ANN, &image).unwrap();
    let missing = |owner| store.find_missing(owner, &[name]).unwrap();
    assert_eq!((missing(ANN), missing(BOB)), (vec![], vec![name]));
    assert!(matches!(
        store.get(BOB, name),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        store.open_image(BOB, name),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        store.delete(BOB, name),
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(store.query(BOB, name, ID).unwrap(), WriteState::Unknown);
    assert_eq!(store.list(BOB, None, 9).unwrap().images, []);

    // Its name alone does not do.
    let mut forged = begin(&store, BOB, &image, ID).unwrap();
    forged.write_zeros(0, BYTES as u64).unwrap();
    assert!(matches!(
        forged.commit(),
        Err(StoreError::DigestMismatch { .. })
    ));
    assert_eq!(missing(BOB), [name]);

    put(&store, BOB, &image).unwrap();
    store.grant("eve", name, None).unwrap();
    assert_eq!(read(&store, BOB, name).unwrap(), image);
    let usage = store.usage();
    assert_eq!(
        (usage.image_bytes, usage.images, usage.uploads),
        (BYTES as u64, 1, 0)
    );
    let one = OwnerUsage {
        image_bytes: BYTES as u64,
        upload_bytes: 0,
        pinned_bytes: 0,
        images: 1,
        uploads: 0,
    };
    for owner in [ANN, BOB, "eve"] {
        assert_eq!(store.owner_usage(owner).unwrap(), one);
    }

    store.delete(ANN, name).unwrap();
    drop(store);
    let store = Store::open(dir.path(), limits()).unwrap();
    assert_eq!(store.find_missing(ANN, &[name]).unwrap(), [name]);
    assert_eq!(read(&store, BOB, name).unwrap(), image);
    store.delete(BOB, name).unwrap();
    store.delete("eve", name).unwrap();
    assert_eq!(
        files(dir.path()),
        BTreeMap::new(),
        "the bytes go with the last owner"
    );
    let nobodys = store.grant(BOB, name, None);
    assert!(matches!(nobodys, Err(StoreError::NotFound { .. })));
}

#[test]
fn an_image_that_is_read_stays_until_its_last_reader_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let name = put(&store, ANN, &image).unwrap().digest;
    let readers = [
        store.open_image(ANN, name).unwrap(),
        store.open_image(ANN, name).unwrap(),
    ];
    assert!(
        Arc::ptr_eq(readers[0].pieces(), readers[1].pieces()),
        "read once"
    );
    assert_eq!(store.get(ANN, name).unwrap().pins, 2);
    assert!(matches!(
        store.delete(ANN, name),
        Err(StoreError::Pinned { pins: 2, .. })
    ));
    assert_eq!(store.usage().pinned_bytes, BYTES as u64);
    drop(readers);
    assert_eq!(store.usage().pinned_bytes, 0);
    store.delete(ANN, name).unwrap();
}

#[test]
fn a_directory_is_one_stores_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let refused = Store::open(dir.path(), limits());
    assert!(matches!(refused, Err(StoreError::InUse { .. })));
    drop(store);
    Store::open(dir.path(), limits()).unwrap();
}
