//! Uploads: offsets, writers that meet, resumption, expiry.

use std::time::Instant;

use super::*;
use crate::WriteState;

#[test]
fn bytes_come_at_the_committed_offset_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let size = BYTES as u64;
    let mut upload = begin(&store, ANN, &image, ID).unwrap();
    assert_eq!(upload.write(0, &copied(&image[..10])).unwrap(), 10);
    for wrong in [0, 9, 11, u64::MAX] {
        let refused = upload.write(wrong, &copied(&image[..1])).unwrap_err();
        let StoreError::WrongOffset {
            offset,
            committed: 10,
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!(offset, wrong);
    }
    let past = upload.write(10, &copied(&image[9..])).unwrap_err();
    assert!(matches!(past, StoreError::PastEnd { end, .. } if end == size + 1));
    let past = upload.write_zeros(10, u64::MAX).unwrap_err();
    assert!(matches!(past, StoreError::PastEnd { .. }));
    assert_eq!(upload.committed_offset(), 10);
    let early = upload.commit().unwrap_err();
    assert!(matches!(
        early,
        StoreError::Incomplete { committed: 10, .. }
    ));
    assert_eq!(
        store.query(ANN, digest(&image), ID).unwrap(),
        WriteState::Partial { offset: 10 }
    );
    put(&store, ANN, &image).unwrap();
    assert_eq!(read(&store, ANN, digest(&image)).unwrap(), image);
}

#[test]
fn runs_of_zeros_are_holes_and_hashed_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let mut image = image(1, 5 << 20);
    image[4097..4 << 20].fill(0);
    image[(5 << 20) - 3..].fill(0);
    let mut upload = begin(&store, ANN, &image, ID).unwrap();
    upload.write(0, &copied(&image[..4097])).unwrap();
    upload.write_zeros(4097, (4 << 20) - 4097).unwrap();
    upload
        .write(4 << 20, &copied(&image[4 << 20..(5 << 20) - 3]))
        .unwrap();
    upload.write_zeros((5 << 20) - 3, 3).unwrap();
    let name = upload.commit().unwrap().digest;
    assert_eq!(read(&store, ANN, name).unwrap(), image);
    let about = fs::metadata(blob(dir.path(), name)).unwrap();
    let blocks = std::os::unix::fs::MetadataExt::blocks(&about) * 512;
    assert!(blocks < 2 << 20, "{blocks:#x} bytes on disk");
}

#[test]
fn a_newer_writer_of_the_same_upload_fences_the_older_one_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let mut older = begin(&store, ANN, &image, ID).unwrap();
    older.write(0, &copied(&image[..5000])).unwrap();
    let mut newer = begin(&store, ANN, &image, ID).unwrap();
    assert_eq!(newer.committed_offset(), 5000);
    assert!(matches!(
        older.write(5000, &copied(&image[5000..])),
        Err(StoreError::Fenced)
    ));
    drop(older);
    newer.write(5000, &copied(&image[5000..])).unwrap();
    let mut late = begin(&store, ANN, &image, ID).unwrap();
    assert!(matches!(newer.commit(), Err(StoreError::Fenced)));
    assert!(matches!(
        late.write(0, &copied(&[])),
        Err(StoreError::WrongOffset { .. })
    ));
    late.commit().unwrap();
    assert_eq!(read(&store, ANN, digest(&image)).unwrap(), image);
}

#[test]
fn writers_of_different_bytes_under_one_digest_never_mix() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let (good, bad) = (image(1, BYTES), image(2, BYTES));
    let mut wrong = begin(&store, ANN, &good, "wrong").unwrap();
    let mut right = begin(&store, ANN, &good, "right").unwrap();
    for (from, to) in [(0, 100_000), (100_000, BYTES)] {
        wrong.write(from as u64, &copied(&bad[from..to])).unwrap();
        right.write(from as u64, &copied(&good[from..to])).unwrap();
    }
    let refused = wrong.commit().unwrap_err();
    let StoreError::DigestMismatch { found, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(found, digest(&bad));
    assert_eq!(
        store.query(ANN, digest(&good), "wrong").unwrap(),
        WriteState::Unknown
    );
    right.commit().unwrap();
    assert_eq!(read(&store, ANN, digest(&good)).unwrap(), good);
    assert_eq!(store.usage().upload_bytes, 0);
}

#[test]
fn two_uploads_of_one_image_may_both_be_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let mut uploads = [
        begin(&store, ANN, &image, "a").unwrap(),
        begin(&store, ANN, &image, "b").unwrap(),
    ];
    for upload in &mut uploads {
        upload.write(0, &copied(&image)).unwrap();
    }
    for upload in uploads {
        upload.commit().unwrap();
    }
    assert_eq!(store.usage().used_bytes(), BYTES as u64);
    assert!(matches!(
        store.begin(ANN, digest(&image), 1, "c", None),
        Ok(Begun::Complete { .. })
    ));
}

#[test]
fn an_upload_is_resumed_where_it_was_left_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(1, BYTES);
    let mut at = 0;
    while at < BYTES {
        let store = Store::open(dir.path(), limits()).unwrap();
        for _ in 0..2 {
            let mut upload = begin(&store, ANN, &image, ID).unwrap();
            assert_eq!(upload.committed_offset(), at as u64);
            let to = BYTES.min(at + 70_001);
            upload.write(at as u64, &copied(&image[at..to])).unwrap();
            at = to;
        }
        let offset = at as u64;
        assert_eq!(
            store.query(ANN, digest(&image), ID).unwrap(),
            WriteState::Partial { offset }
        );
        assert_eq!(store.usage().upload_bytes, BYTES as u64);
    }
    let store = Store::open(dir.path(), limits()).unwrap();
    begin(&store, ANN, &image, ID).unwrap().commit().unwrap();
    assert_eq!(read(&store, ANN, digest(&image)).unwrap(), image);
}

#[test]
fn an_idle_upload_gives_its_space_back_also_if_its_writer_stalls() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let (one, two) = (image(1, BYTES), image(2, BYTES));
    let mut stalled = begin(&store, ANN, &one, ID).unwrap();
    drop(begin(&store, ANN, &two, ID).unwrap());
    let now = Instant::now();
    assert_eq!(store.expire(now), 0);
    assert_eq!(store.expire(now + Duration::from_secs(601)), 2);
    assert_eq!(store.usage().used_bytes(), 0);
    assert_eq!(files(dir.path()), BTreeMap::new());
    assert!(matches!(
        stalled.write(0, &copied(&one)),
        Err(StoreError::Dropped)
    ));
    assert!(matches!(stalled.commit(), Err(StoreError::Dropped)));
    put(&store, ANN, &one).unwrap();
}

#[test]
fn an_upload_that_was_changed_behind_the_stores_back_is_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let file = || {
        let names = files(dir.path());
        let bytes = names.keys().find(|name| name.ends_with(".bytes")).unwrap();
        fs::File::options()
            .write(true)
            .open(dir.path().join(bytes))
            .unwrap()
    };
    let mut upload = begin(&store, ANN, &image, ID).unwrap();
    upload.write(0, &copied(&image)).unwrap();
    file().set_len(BYTES as u64 + 1).unwrap();
    assert!(
        matches!(upload.commit(), Err(StoreError::Dropped)),
        "longer"
    );
    let mut upload = begin(&store, ANN, &image, ID).unwrap();
    upload.write(0, &copied(&image[..4096])).unwrap();
    drop(upload);
    file().set_len(4095).unwrap();
    assert!(
        matches!(begin(&store, ANN, &image, ID), Err(StoreError::Dropped)),
        "shorter"
    );
    put(&store, ANN, &image).unwrap();
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let name = ImageDigest([1; 32]);
    let refused = |size, id| store.begin(ANN, name, size, id, None).unwrap_err();
    assert!(matches!(refused(0, ID), StoreError::Empty));
    assert!(matches!(
        refused((1 << 30) + 1, ID),
        StoreError::TooLarge { .. }
    ));
    assert!(matches!(refused(1, ""), StoreError::BadUploadId { .. }));
    let upload = begin(&store, ANN, &image(1, 10), ID).unwrap();
    let other = store.begin(ANN, digest(&image(1, 10)), 11, ID, None);
    assert!(matches!(
        other,
        Err(StoreError::SizeConflict {
            size: 11,
            before: 10
        })
    ));
    drop(upload);
    assert_eq!(store.usage().uploads, 1);
}
