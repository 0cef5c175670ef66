//! Many callers at once.

use std::{thread, time::Instant};

use super::*;

/// Whether others at the same store explain the error.
fn explained(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Fenced
            | StoreError::Dropped
            | StoreError::Committing
            | StoreError::WrongOffset { .. }
            | StoreError::NotFound { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Pinned { .. }
            | StoreError::QuotaExceeded { .. }
            | StoreError::TooManyUploads { .. }
    )
}

fn one_caller(store: &Store, images: &[Vec<u8>], caller: usize) -> usize {
    let mut done = 0;
    for round in 0..40 {
        let image = &images[(caller + round) % images.len()];
        let owner = [ANN, BOB][round % 2];
        let name = digest(image);
        let outcome = match (caller + 3 * round) % 7 {
            0 => store.delete(owner, name),
            1 => {
                store.quarantine(name, "a test says so");
                Ok(())
            }
            2 => {
                let later = Instant::now() + limits().upload_idle;
                assert!(store.expire(later) <= 4);
                Ok(())
            }
            3 => match store.open_image(owner, name) {
                Ok(pinned) => {
                    let mut bytes = vec![0; image.len()];
                    pinned.file().read_exact_at(&mut bytes, 0).unwrap();
                    assert_eq!(&bytes, image);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            _ => put(store, owner, image).map(|_| done += 1),
        };
        if let Err(error) = outcome {
            assert!(explained(&error), "{error}");
        }
        let usage = store.usage();
        assert!(usage.uploads <= 4, "{usage:?}");
    }
    done
}

#[test]
fn callers_that_get_in_each_others_way_leave_whole_images_and_right_sums() {
    let dir = tempfile::tempdir().unwrap();
    let images: Vec<_> = (1..4).map(|seed| image(seed, 300_000)).collect();
    let limits = Limits {
        quota_bytes: 1_300_000,
        max_uploads: 4,
        max_uploads_of_owner: 4,
        ..limits()
    };
    let store = Store::open(dir.path(), limits).unwrap();
    let done: usize = thread::scope(|scope| {
        let callers: Vec<_> = (0..6)
            .map(|caller| {
                scope.spawn({
                    let (store, images) = (&store, &images);
                    move || one_caller(store, images, caller)
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum()
    });
    assert!(done > 0);
    crash::check(dir.path(), &store, &images, "at the end");
    let before = store.usage();
    drop(store);
    let store = Store::open(dir.path(), limits).unwrap();
    assert_eq!(store.usage(), before);
    assert_eq!(store.report().cleared, 0);
}
