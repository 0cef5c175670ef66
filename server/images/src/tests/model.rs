//! Random histories against a model in memory.

mod room;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use proptest::prelude::*;

use super::*;
use crate::{Pinned, WriteState};

const SIZES: [usize; 4] = [1000, 4096, 9000, 20_000];
const OWNERS: [&str; 2] = [ANN, BOB];
const QUOTA: u64 = 40_000;

/// Uploads at one time, and one owner's.
const UPLOADS: (usize, usize) = (3, 2);

/// An owner and an image, by their numbers.
type Hold = (usize, usize);

#[derive(Debug, Clone)]
enum Op {
    /// Writes up to so many bytes of an upload, and commits it if they are all there.
    Write {
        hold: Hold,
        bytes: usize,
        zeros: bool,
        most: Option<u64>,
    },
    Delete(Hold),
    Grant(Hold, Option<u64>),
    Pin(Hold),
    Unpin,
    Quarantine(usize),
    Expire,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let hold = (0..OWNERS.len(), 0..SIZES.len());
    let most = prop_oneof![3 => Just(None), 1 => Just(Some(13_000)), 1 => Just(Some(24_000))];
    let write = (hold.clone(), 1..25_000usize, prop::bool::weighted(0.1));
    prop_oneof![
        8 => (write, most.clone())
            .prop_map(|((hold, bytes, zeros), most)| Op::Write { hold, bytes, zeros, most }),
        2 => hold.clone().prop_map(Op::Delete),
        2 => (hold.clone(), most).prop_map(|(hold, most)| Op::Grant(hold, most)),
        2 => hold.prop_map(Op::Pin),
        1 => Just(Op::Unpin),
        1 => (0..SIZES.len()).prop_map(Op::Quarantine),
        1 => Just(Op::Expire),
        1 => Just(Op::Restart),
    ]
}

/// What ought to be there. What goes for room is not foretold, but taken from the store, and checked.
#[derive(Debug, Default)]
struct Model {
    /// Who has what, and the number of the last use.
    holds: BTreeMap<Hold, u64>,
    uploads: BTreeMap<Hold, (usize, bool)>,
    pins: Vec<Hold>,
    uses: u64,
    /// What owners were told of their uses.
    told: BTreeMap<Hold, SystemTime>,
}

impl Model {
    fn owners(&self, image: usize) -> usize {
        self.holds.keys().filter(|hold| hold.1 == image).count()
    }

    fn pins(&self, hold: Hold) -> usize {
        self.pins.iter().filter(|pinned| **pinned == hold).count()
    }

    fn uses(&mut self, hold: Hold) {
        self.uses += 1;
        self.holds.insert(hold, self.uses);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_random_history_leaves_what_the_model_says(ops in prop::collection::vec(op(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            quota_bytes: QUOTA,
            max_uploads: UPLOADS.0,
            max_uploads_of_owner: UPLOADS.1,
            ..limits()
        };
        let images: Vec<_> = SIZES.iter().zip(1..).map(|(size, seed)| image(seed, *size)).collect();
        let name = |image: usize| digest(&images[image]);
        let mut store = Store::open(dir.path(), limits).unwrap();
        let mut model = Model::default();
        let mut pins: Vec<Pinned> = Vec::new();
        for op in ops {
            let mut actor = None;
            match op {
                Op::Write { hold, bytes, zeros, most } => {
                    actor = Some(hold.0);
                    let asked = room::Asked::new(&store, &images, hold, most);
                    let begun = store.begin(OWNERS[hold.0], name(hold.1), SIZES[hold.1] as u64, ID, most);
                    asked.check(&mut model, &store, &images, &begun)?;
                    write(&mut model, begun, hold, &images[hold.1], bytes, zeros)?;
                }
                Op::Delete(hold) => {
                    let deleted = store.delete(OWNERS[hold.0], name(hold.1));
                    let own = model.pins(hold);
                    if !model.holds.contains_key(&hold) {
                        prop_assert!(matches!(deleted, Err(StoreError::NotFound { .. })), "{deleted:?}");
                    } else if own > 0 {
                        // Whoever else has it, and reads it.
                        prop_assert!(matches!(deleted, Err(StoreError::Pinned { pins, .. }) if pins == own), "{deleted:?}");
                    } else {
                        prop_assert!(deleted.is_ok());
                        model.holds.remove(&hold);
                    }
                }
                Op::Grant(hold, most) => {
                    actor = Some(hold.0);
                    let used = store.owner_usage(OWNERS[hold.0]).unwrap().used_bytes();
                    let granted = store.grant(OWNERS[hold.0], name(hold.1), most);
                    let over = most.is_some_and(|most| used + SIZES[hold.1] as u64 > most);
                    if model.owners(hold.1) == 0 {
                        prop_assert!(matches!(granted, Err(StoreError::NotFound { .. })), "{granted:?}");
                    } else if model.holds.contains_key(&hold) {
                        prop_assert!(granted.is_ok());
                    } else if over {
                        prop_assert!(matches!(granted, Err(StoreError::OwnerQuota { .. })), "{granted:?}");
                    } else {
                        prop_assert!(granted.is_ok());
                        model.uses(hold);
                        model.uploads.remove(&hold);
                    }
                }
                Op::Pin(hold) => {
                    actor = Some(hold.0);
                    let pinned = store.open_image(OWNERS[hold.0], name(hold.1));
                    prop_assert_eq!(pinned.is_ok(), model.holds.contains_key(&hold));
                    if let Ok(pinned) = pinned {
                        pins.push(pinned);
                        model.pins.push(hold);
                        model.uses(hold);
                    }
                }
                Op::Unpin => {
                    pins.clear();
                    model.pins.clear();
                }
                Op::Quarantine(image) => {
                    store.quarantine(name(image), "a test says so");
                    model.holds.retain(|hold, _| hold.1 != image);
                    // Its readers have the old file; a new one of this name is not theirs.
                    model.pins.retain(|hold| hold.1 != image);
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
                    written_down(&mut model, &store, &images);
                }
            }
            agree(&store, &mut model, &images, actor)?;
            for hold in model.holds.keys() {
                let bytes = fs::read(blob(dir.path(), name(hold.1))).unwrap();
                prop_assert_eq!(&bytes, &images[hold.1]);
            }
        }
    }
}

/// After a restart uses are in the order in which they were written down.
fn written_down(model: &mut Model, store: &Store, images: &[Vec<u8>]) {
    let used = |hold: &Hold| {
        let name = digest(&images[hold.1]);
        let info = store.get(OWNERS[hold.0], name);
        info.map(|info| (info.last_used, name, *hold)).unwrap()
    };
    let mut uses: Vec<_> = model.holds.keys().map(used).collect();
    uses.sort();
    for (_, _, hold) in uses {
        model.uses(hold);
    }
    model.told.clear();
}

/// Who has which image, and how far uploads are.
type Seen = (BTreeSet<Hold>, BTreeMap<Hold, u64>);

fn seen(store: &Store, images: &[Vec<u8>]) -> Seen {
    let (mut holds, mut uploads) = Seen::default();
    for (at, image) in images.iter().enumerate() {
        for (who, owner) in OWNERS.iter().enumerate() {
            match store.query(owner, digest(image), ID).unwrap() {
                WriteState::Complete { .. } => {
                    holds.insert((who, at));
                }
                WriteState::Partial { offset } => {
                    uploads.insert((who, at), offset);
                }
                WriteState::Unknown => {}
            }
        }
    }
    (holds, uploads)
}

fn write(
    model: &mut Model,
    begun: Result<Begun, StoreError>,
    hold: Hold,
    image: &[u8],
    bytes: usize,
    zeros: bool,
) -> Result<(), TestCaseError> {
    let mut writer = match begun {
        Ok(Begun::Complete { size }) => {
            prop_assert_eq!(size, image.len() as u64);
            prop_assert!(model.holds.contains_key(&hold));
            return Ok(());
        }
        Ok(Begun::Upload(writer)) => writer,
        Err(StoreError::QuotaExceeded { .. } | StoreError::OwnerQuota { .. }) => return Ok(()),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    let (offset, good) = model.uploads.entry(hold).or_insert((0, true));
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
            model.uses(hold);
            model.uploads.remove(&hold);
        }
        Err(StoreError::Incomplete { .. }) => prop_assert!(!whole),
        Err(StoreError::DigestMismatch { .. }) => {
            prop_assert!(whole && !good);
            model.uploads.remove(&hold);
        }
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    }
    Ok(())
}

fn agree(
    store: &Store,
    model: &mut Model,
    images: &[Vec<u8>],
    actor: Option<usize>,
) -> Result<(), TestCaseError> {
    let (holds, uploads) = seen(store, images);
    prop_assert_eq!(&holds, &model.holds.keys().copied().collect());
    let offsets = model.uploads.iter();
    let offsets: BTreeMap<_, _> = offsets
        .map(|(hold, (offset, _))| (*hold, *offset as u64))
        .collect();
    prop_assert_eq!(&uploads, &offsets);
    let bytes = |images: &mut dyn Iterator<Item = usize>| -> u64 {
        images.map(|image| SIZES[image] as u64).sum()
    };
    let stored: BTreeSet<_> = holds.iter().map(|hold| hold.1).collect();
    let pinned: BTreeSet<_> = model.pins.iter().map(|hold| hold.1).collect();
    let usage = store.usage();
    prop_assert!(usage.used_bytes() <= QUOTA, "{:?}", usage);
    prop_assert_eq!(usage.image_bytes, bytes(&mut stored.into_iter()));
    prop_assert_eq!(
        usage.upload_bytes,
        bytes(&mut uploads.keys().map(|hold| hold.1))
    );
    prop_assert_eq!(usage.pinned, pinned.len());
    for (who, owner) in OWNERS.iter().enumerate() {
        let own = |hold: &&Hold| hold.0 == who;
        let usage = store.owner_usage(owner).unwrap();
        let listed = store.owner_usages().get(*owner).copied();
        prop_assert_eq!(listed.unwrap_or_default(), usage);
        let pinned = holds.iter().filter(own).filter(|h| model.pins(**h) > 0);
        prop_assert_eq!(usage.pinned_bytes, bytes(&mut pinned.map(|hold| hold.1)));
        let stored = holds.iter().filter(own).map(|hold| hold.1);
        prop_assert_eq!(usage.image_bytes, bytes(&mut { stored }));
        let begun = uploads.keys().filter(own).map(|hold| hold.1);
        prop_assert_eq!(usage.upload_bytes, bytes(&mut { begun }));
        prop_assert!(usage.uploads <= UPLOADS.1);
    }
    let before = std::mem::take(&mut model.told);
    for hold in &holds {
        let info = store.get(OWNERS[hold.0], digest(&images[hold.1])).unwrap();
        prop_assert_eq!(info.pins, model.pins(*hold), "those of others are not told");
        if let Some(told) = before.get(hold)
            && actor != Some(hold.0)
        {
            prop_assert_eq!(info.last_used, *told, "uses of others are not told");
        }
        model.told.insert(*hold, info.last_used);
    }
    Ok(())
}
