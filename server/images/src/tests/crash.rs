//! The end of the world between any two steps.

use super::*;
use crate::WriteState;

/// Everything that changes the store, once. Ends where the world does.
fn history(store: &Store, images: &[Vec<u8>]) -> Result<(), StoreError> {
    let [one, two, three, four] = images else {
        panic!("four images");
    };
    put(store, ANN, one)?;
    drop(store.open_image(ANN, digest(one))?);
    let mut upload = begin(store, ANN, two, ID)?;
    upload.write(0, &copied(&two[..300_000]))?;
    drop(upload);
    put(store, ANN, two)?;
    put(store, BOB, one)?;
    store.grant(BOB, digest(two), None)?;
    store.delete(ANN, digest(one))?;
    store.delete(BOB, digest(one))?;
    store.quarantine(digest(two), "a test says so");
    put(store, ANN, three)?;
    put(store, BOB, three)?;
    // Within one image's bytes Bob loses what Ann has too, then what nobody else has.
    put_within(store, BOB, two, Some(BYTES as u64))?;
    put_within(store, BOB, four, Some(BYTES as u64))?;
    put(store, ANN, one)?;
    // For these, where the quota is small, what is in quarantine goes, then the least recently used image.
    put(store, ANN, two)?;
    put(store, ANN, four)?;
    Ok(())
}

/// Whatever happened: what there is is whole, and nothing else is there.
pub(super) fn check(dir: &Path, store: &Store, images: &[Vec<u8>], when: &str) {
    let mut expected = 0;
    for image in images {
        let name = digest(image);
        let mut owned = false;
        for owner in [ANN, BOB] {
            if store.find_missing(owner, &[name]).unwrap().is_empty() {
                assert_eq!(&read(store, owner, name).unwrap(), image, "{when}");
                owned = true;
            }
        }
        assert_eq!(blob(dir, name).exists(), owned, "{when}");
        expected += if owned { image.len() as u64 } else { 0 };
    }
    let usage = store.usage();
    assert_eq!(usage.image_bytes, expected, "{when}");
    assert_eq!(usage.pinned, 0);
    let files = files(dir);
    let below = |dir: &str| {
        files
            .iter()
            .filter(|(name, _)| name.starts_with(dir))
            .collect::<Vec<_>>()
    };
    assert_eq!(below("blobs/").len(), 2 * usage.images, "{when}: {files:?}");
    assert_eq!(
        below("uploads/").len(),
        2 * usage.uploads,
        "{when}: {files:?}"
    );
    let owned: usize = [ANN, BOB]
        .iter()
        .map(|owner| store.owner_usage(owner).unwrap().images)
        .sum();
    assert_eq!(below("owners/").len(), owned, "{when}: {files:?}");
    let aside = below("quarantine/");
    assert_eq!(
        aside.iter().map(|(_, size)| **size).sum::<u64>(),
        usage.quarantined_bytes
    );
}

#[test]
fn after_a_crash_at_any_step_each_image_is_whole_or_absent_and_the_work_can_be_done_again() {
    let images: Vec<_> = (1..5).map(|seed| image(seed, BYTES)).collect();
    let limits = Limits {
        quota_bytes: 3 * BYTES as u64 + 10,
        ..limits()
    };
    let mut steps = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let script = Script::crash_after(steps);
        let ended = Store::open_with(dir.path(), limits, script.clone())
            .and_then(|store| history(&store, &images));
        let when = format!("after {steps} steps: {ended:?}");
        let store = Store::open(dir.path(), limits).unwrap();
        check(dir.path(), &store, &images, &when);
        if !script.failed() {
            ended.unwrap();
            break;
        }
        assert_eq!(store.report().foreign, [""; 0], "{when}");
        // What is left is no obstacle.
        for image in &images {
            put(&store, ANN, image).unwrap();
            assert_eq!(&read(&store, ANN, digest(image)).unwrap(), image);
        }
        check(dir.path(), &store, &images, &when);
        drop(store);
        let store = Store::open(dir.path(), limits).unwrap();
        assert_eq!(store.report().cleared, 0, "{when}");
        steps += 1;
    }
    assert!(steps > 80, "{steps}");
}

#[test]
fn after_any_one_step_that_fails_the_store_goes_on() {
    let images: Vec<_> = (1..5).map(|seed| image(seed, BYTES)).collect();
    let mut after = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), limits()).unwrap());
        let script = Script::fail_once(None, after, io::ErrorKind::Other);
        let store = Store::open_with(dir.path(), limits(), script.clone()).unwrap();
        let ended = history(&store, &images);
        if !script.failed() {
            ended.unwrap();
            break;
        }
        let when = format!("step {after} failed: {ended:?}");
        for image in &images {
            for owner in [ANN, BOB] {
                put(&store, owner, image).unwrap();
                assert_eq!(
                    &read(&store, owner, digest(image)).unwrap(),
                    image,
                    "{when}"
                );
            }
        }
        assert_eq!(store.usage().image_bytes, 4 * BYTES as u64, "{when}");
        assert_eq!(store.usage().upload_bytes, 0, "{when}");
        drop(store);
        let store = Store::open(dir.path(), limits()).unwrap();
        check(dir.path(), &store, &images, &when);
        assert_eq!(store.usage().images, images.len(), "{when}");
        after += 1;
    }
    assert!(after > 50, "{after}");
}

#[test]
fn a_crash_in_the_middle_of_a_write_keeps_the_parts_that_were_written() {
    let image = image(1, BYTES);
    let mut offsets = Vec::new();
    for steps in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        drop(begin(&Store::open(dir.path(), limits()).unwrap(), ANN, &image, ID).unwrap());
        let store = Store::open_with(dir.path(), limits(), Script::crash_after(steps)).unwrap();
        let mut upload = begin(&store, ANN, &image, ID).unwrap();
        upload.write(0, &copied(&image)).unwrap_err();
        drop((upload, store));
        let store = Store::open(dir.path(), limits()).unwrap();
        match store.query(ANN, digest(&image), ID).unwrap() {
            WriteState::Partial { offset } => offsets.push(offset),
            other @ (WriteState::Complete { .. } | WriteState::Unknown) => panic!("{other:?}"),
        }
        put(&store, ANN, &image).unwrap();
        assert_eq!(read(&store, ANN, digest(&image)).unwrap(), image);
    }
    assert_eq!(offsets, [0, 256 << 10, 512 << 10]);
}
