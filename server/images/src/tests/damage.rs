//! Files that are not what the store wrote.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_flipped_byte_is_found_and_never_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, (4 << 20) + 77);
    let name = put(&store, ANN, &image).unwrap().digest;
    let file = fs::File::options()
        .write(true)
        .open(blob(dir.path(), name))
        .unwrap();
    file.write_all_at(&[image[3 << 20] ^ 1], 3 << 20).unwrap();
    let refused = store.verify(name).unwrap_err();
    assert!(refused.to_string().contains("0x200000"), "{refused}");
    assert!(matches!(
        store.open_image(ANN, name),
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(store.report().quarantined[0].digest, name);
    assert_eq!(store.usage().quarantined_bytes, image.len() as u64);
    drop(store);
    let store = Store::open(dir.path(), limits()).unwrap();
    assert_eq!(store.find_missing(ANN, &[name]).unwrap(), [name]);
    assert_eq!(store.report().quarantined[0].digest, name);
    put(&store, ANN, &image).unwrap();
    store.verify(name).unwrap();
}

#[test]
fn a_late_report_of_a_reader_does_not_touch_the_image_that_was_uploaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let name = put(&store, ANN, &image).unwrap().digest;
    let reader = store.open_image(ANN, name).unwrap();
    store.quarantine(name, "a test says so");
    put(&store, ANN, &image).unwrap();
    store.quarantine_pinned(&reader, "late");
    assert_eq!(read(&store, ANN, name).unwrap(), image);
    let again = store.open_image(ANN, name).unwrap();
    store.quarantine_pinned(&again, "in time");
    assert_eq!(store.find_missing(ANN, &[name]).unwrap(), [name]);
}

/// What somebody does to a file of the store.
type Harm = fn(&Path);

#[test]
fn an_image_that_was_cut_removed_or_replaced_is_corrupt_before_and_after_a_restart() {
    let harms: [(&str, Harm); 7] = [
        ("cut", |path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(4096)
                .unwrap();
        }),
        ("longer", |path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(1 << 20)
                .unwrap();
        }),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("a link", |path| {
            fs::rename(path, path.with_extension("real")).unwrap();
            symlink(path.with_extension("real"), path).unwrap();
        }),
        ("a directory", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("without a sidecar", |path| {
            fs::remove_file(path.with_extension("pieces")).unwrap();
        }),
        ("a rotten sidecar", |path| {
            let sidecar = fs::File::options()
                .write(true)
                .open(path.with_extension("pieces"))
                .unwrap();
            sidecar.write_all_at(&[0xff], 70).unwrap();
        }),
    ];
    let image = image(1, BYTES);
    for (what, harm) in harms {
        for restart in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path(), limits()).unwrap();
            let other = put(&store, ANN, &super::image(2, BYTES)).unwrap().digest;
            let name = put(&store, ANN, &image).unwrap().digest;
            harm(&blob(dir.path(), name));
            if restart {
                drop(store);
                store = Store::open(dir.path(), limits()).unwrap();
            }
            let refused = store.open_image(ANN, name).unwrap_err();
            if restart {
                assert!(
                    matches!(refused, StoreError::NotFound { .. }),
                    "{what}: {refused}"
                );
            } else {
                assert!(
                    matches!(refused, StoreError::Corrupt { .. }),
                    "{what}: {refused}"
                );
            }
            assert_eq!(
                store.find_missing(ANN, &[name, other]).unwrap(),
                [name],
                "{what}"
            );
            if what.starts_with("a link") || what.starts_with("a dir") {
                let committed = put(&store, ANN, &image).unwrap_err();
                assert!(committed.to_string().contains("move"), "{committed}");
                assert!(
                    fs::symlink_metadata(blob(dir.path(), name)).is_ok(),
                    "it is not touched"
                );
            } else {
                put(&store, ANN, &image).unwrap();
                assert_eq!(read(&store, ANN, name).unwrap(), image, "{what}");
            }
            assert_eq!(store.usage().upload_bytes, 0);
        }
    }
}

#[test]
fn another_owners_upload_mends_an_image_whose_file_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits()).unwrap();
    let image = image(1, BYTES);
    let name = put(&store, ANN, &image).unwrap().digest;
    fs::File::options()
        .write(true)
        .open(blob(dir.path(), name))
        .unwrap()
        .set_len(1)
        .unwrap();
    put(&store, BOB, &image).unwrap();
    assert_eq!(read(&store, BOB, name).unwrap(), image);
    assert_eq!(store.find_missing(ANN, &[name]).unwrap(), [name]);
}

#[test]
fn things_that_are_not_the_stores_are_said_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), limits()).unwrap());
    let outside = dir.path().join("outside");
    fs::write(&outside, "precious").unwrap();
    let hex = "ab".repeat(32);
    let things = [
        "blobs/README".to_owned(),
        format!("blobs/{hex}"),
        format!("uploads/{hex}.about"),
        "uploads/x.bytes".to_owned(),
        "owners/notes".to_owned(),
        format!("quarantine/{:016x}-{hex}", 3),
    ];
    for thing in &things {
        symlink(&outside, dir.path().join(thing)).unwrap();
    }
    let store = Store::open(dir.path(), limits()).unwrap();
    let mut foreign = store.report().foreign;
    foreign.sort();
    let mut expected = things.to_vec();
    expected.sort();
    assert_eq!(foreign, expected);
    for thing in &things {
        assert!(
            fs::symlink_metadata(dir.path().join(thing))
                .unwrap()
                .is_symlink()
        );
    }
    assert_eq!(fs::read_to_string(outside).unwrap(), "precious");
    assert_eq!(store.usage().used_bytes(), 0);
}

#[test]
fn quarantine_keeps_the_newest_four_and_gives_way_to_uploads() {
    let dir = tempfile::tempdir().unwrap();
    let quota_bytes = 5000;
    let store = Store::open(
        dir.path(),
        Limits {
            quota_bytes,
            ..limits()
        },
    )
    .unwrap();
    let names: Vec<_> = (0..6)
        .map(|seed| {
            let name = put(&store, ANN, &image(seed, 1000)).unwrap().digest;
            store.quarantine(name, "a test says so");
            name
        })
        .collect();
    let aside = |store: &Store| -> Vec<_> {
        store
            .report()
            .quarantined
            .iter()
            .map(|aside| aside.digest)
            .collect()
    };
    assert_eq!(aside(&store), names[2..]);
    drop(store);
    let store = Store::open(
        dir.path(),
        Limits {
            quota_bytes,
            ..limits()
        },
    )
    .unwrap();
    assert_eq!(aside(&store), names[2..]);
    put(&store, ANN, &image(9, 2500)).unwrap();
    assert_eq!(aside(&store), names[4..]);
    assert_eq!(store.usage().used_bytes(), 4500);
}
