//! Random histories against a model in memory.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Pinned, WriteState};

const SIZES: [usize; 4] = [1000, 4096, 9000, 20_000];
const OWNERS: [&str; 2] = [ANN, BOB];
const QUOTA: u64 = 40_000;

#[derive(Debug, Clone)]
enum Op {
    /// Writes up to so many bytes of an upload, and commits it if they are all there.
    Write {
        owner: usize,
        image: usize,
        bytes: usize,
        zeros: bool,
    },
    Delete {
        owner: usize,
        image: usize,
    },
    Grant {
        owner: usize,
        image: usize,
    },
    Pin {
        owner: usize,
        image: usize,
    },
    Unpin,
    Quarantine {
        image: usize,
    },
    Expire,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let who = (0..OWNERS.len(), 0..SIZES.len());
    prop_oneof![
        8 => (who.clone(), 1..25_000usize, prop::bool::weighted(0.1))
            .prop_map(|((owner, image), bytes, zeros)| Op::Write { owner, image, bytes, zeros }),
        2 => who.clone().prop_map(|(owner, image)| Op::Delete { owner, image }),
        1 => who.clone().prop_map(|(owner, image)| Op::Grant { owner, image }),
        2 => who.prop_map(|(owner, image)| Op::Pin { owner, image }),
        1 => Just(Op::Unpin),
        1 => (0..SIZES.len()).prop_map(|image| Op::Quarantine { image }),
        1 => Just(Op::Expire),
        1 => Just(Op::Restart),
    ]
}

/// What ought to be there. What goes for room is not foretold, but taken from the store, and checked.
#[derive(Debug, Default)]
struct Model {
    owners: BTreeMap<usize, BTreeSet<usize>>,
    uploads: BTreeMap<(usize, usize), (usize, bool)>,
    pins: Vec<usize>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_random_history_leaves_what_the_model_says(ops in prop::collection::vec(op(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { quota_bytes: QUOTA, max_uploads: 3, ..limits() };
        let images: Vec<_> = SIZES.iter().zip(1..).map(|(size, seed)| image(seed, *size)).collect();
        let mut store = Store::open(dir.path(), limits).unwrap();
        let mut model = Model::default();
        let mut pins: Vec<Pinned> = Vec::new();
        for op in ops {
            match op {
                Op::Write { owner, image, bytes, zeros } => {
                    let before = seen(&store, &images);
                    let begun = store.begin(OWNERS[owner], digest(&images[image]), SIZES[image] as u64, ID);
                    follow(&mut model, &before, &seen(&store, &images))?;
                    write(&mut model, begun, (owner, image), &images[image], bytes, zeros)?;
                }
                Op::Delete { owner, image } => {
                    let deleted = store.delete(OWNERS[owner], digest(&images[image]));
                    let owners = model.owners.entry(image).or_default();
                    if !owners.contains(&owner) {
                        prop_assert!(matches!(deleted, Err(StoreError::NotFound { .. })), "{deleted:?}");
                    } else if owners.len() == 1 && model.pins.contains(&image) {
                        prop_assert!(matches!(deleted, Err(StoreError::Pinned { .. })), "{deleted:?}");
                    } else {
                        prop_assert!(deleted.is_ok());
                        owners.remove(&owner);
                    }
                }
                Op::Grant { owner, image } => {
                    let granted = store.grant(OWNERS[owner], digest(&images[image]));
                    let owners = model.owners.entry(image).or_default();
                    prop_assert_eq!(granted.is_ok(), !owners.is_empty());
                    if granted.is_ok() {
                        owners.insert(owner);
                        model.uploads.remove(&(owner, image));
                    }
                }
                Op::Pin { owner, image } => {
                    let pinned = store.open_image(OWNERS[owner], digest(&images[image]));
                    let owned = model.owners.get(&image).is_some_and(|owners| owners.contains(&owner));
                    prop_assert_eq!(pinned.is_ok(), owned);
                    if let Ok(pinned) = pinned {
                        pins.push(pinned);
                        model.pins.push(image);
                    }
                }
                Op::Unpin => {
                    pins.clear();
                    model.pins.clear();
                }
                Op::Quarantine { image } => {
                    store.quarantine(digest(&images[image]), "a test says so");
                    model.owners.remove(&image);
                    // Its readers have the old file; a new one of this name is not theirs.
                    model.pins.retain(|pinned| *pinned != image);
                }
                Op::Expire => {
                    let later = std::time::Instant::now() + limits.upload_idle;
                    prop_assert_eq!(store.expire(later), model.uploads.len());
                    model.uploads.clear();
                }
                Op::Restart => {
                    pins.clear();
                    model.pins.clear();
                    drop(store);
                    store = Store::open(dir.path(), limits).unwrap();
                    prop_assert_eq!(store.report().cleared, 0);
                }
            }
            agree(&store, &model, &images)?;
        }
    }
}

/// Who has which image, and how far uploads are.
type Seen = (
    BTreeMap<usize, BTreeSet<usize>>,
    BTreeMap<(usize, usize), u64>,
);

fn seen(store: &Store, images: &[Vec<u8>]) -> Seen {
    let (mut owners, mut uploads) = Seen::default();
    for (at, image) in images.iter().enumerate() {
        for (who, owner) in OWNERS.iter().enumerate() {
            match store.query(owner, digest(image), ID).unwrap() {
                WriteState::Complete { .. } => {
                    owners.entry(at).or_insert_with(BTreeSet::new).insert(who);
                }
                WriteState::Partial { offset } => {
                    uploads.insert((who, at), offset);
                }
                WriteState::Unknown => {}
            }
        }
    }
    (owners, uploads)
}

/// Takes over what went for room. Images go whole and unpinned, and uploads before them.
fn follow(model: &mut Model, before: &Seen, after: &Seen) -> Result<(), TestCaseError> {
    let gone: Vec<_> = before
        .0
        .keys()
        .filter(|image| !after.0.contains_key(image))
        .collect();
    for image in &gone {
        prop_assert!(!model.pins.contains(image), "a pinned image was evicted");
        model.owners.remove(image);
    }
    model
        .uploads
        .retain(|upload, _| after.1.contains_key(upload));
    if !gone.is_empty() {
        prop_assert!(
            after.1.len() <= 1,
            "an image went before an upload: {after:?}"
        );
    }
    Ok(())
}

fn write(
    model: &mut Model,
    begun: Result<Begun, StoreError>,
    upload: (usize, usize),
    image: &[u8],
    bytes: usize,
    zeros: bool,
) -> Result<(), TestCaseError> {
    let (owner, at) = upload;
    let mut writer = match begun {
        Ok(Begun::Complete { size }) => {
            prop_assert_eq!(size, image.len() as u64);
            prop_assert!(model.owners[&at].contains(&owner));
            return Ok(());
        }
        Ok(Begun::Upload(writer)) => writer,
        Err(StoreError::QuotaExceeded { need, used, .. }) => {
            prop_assert!(need + used > QUOTA);
            return Ok(());
        }
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    let (offset, good) = model.uploads.entry(upload).or_insert((0, true));
    prop_assert_eq!(writer.committed_offset(), *offset as u64);
    let end = image.len().min(*offset + bytes);
    let from = *offset as u64;
    if zeros {
        writer.write_zeros(from, end as u64 - from).unwrap();
        *good &= image[*offset..end].iter().all(|byte| *byte == 0);
    } else {
        writer.write(from, &copied(&image[*offset..end])).unwrap();
    }
    *offset = end;
    let (whole, good) = (end == image.len(), *good);
    match writer.commit() {
        Ok(_) => {
            prop_assert!(whole && good);
            model.owners.entry(at).or_default().insert(owner);
            model.uploads.remove(&upload);
        }
        Err(StoreError::Incomplete { .. }) => prop_assert!(!whole),
        Err(StoreError::DigestMismatch { .. }) => {
            prop_assert!(whole && !good);
            model.uploads.remove(&upload);
        }
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    }
    Ok(())
}

fn agree(store: &Store, model: &Model, images: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let (owners, uploads) = seen(store, images);
    let expected: BTreeMap<_, _> = model
        .owners
        .iter()
        .filter(|(_, owners)| !owners.is_empty())
        .collect();
    prop_assert_eq!(owners.iter().collect::<BTreeMap<_, _>>(), expected);
    for (upload, offset) in &uploads {
        prop_assert_eq!(
            model.uploads.get(upload).map(|(offset, _)| *offset as u64),
            Some(*offset)
        );
    }
    let usage = store.usage();
    prop_assert!(usage.used_bytes() <= QUOTA, "{:?}", usage);
    prop_assert_eq!(usage.uploads, model.uploads.len());
    let bytes: usize = owners.keys().map(|image| SIZES[*image]).sum();
    prop_assert_eq!(usage.image_bytes, bytes as u64);
    let bytes: usize = model.uploads.keys().map(|(_, image)| SIZES[*image]).sum();
    prop_assert_eq!(usage.upload_bytes, bytes as u64);
    let mut pinned = model.pins.clone();
    pinned.sort_unstable();
    pinned.dedup();
    prop_assert_eq!(usage.pinned, pinned.len());
    for (image, owners) in &owners {
        for owner in owners {
            prop_assert_eq!(
                &read(store, OWNERS[*owner], digest(&images[*image])).unwrap(),
                &images[*image]
            );
        }
    }
    Ok(())
}
