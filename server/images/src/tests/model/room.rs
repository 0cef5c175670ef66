//! What may go when an upload is begun, and what may not.

use super::*;
use crate::{OwnerUsage, Usage};

/// An upload that is about to be begun.
pub(super) struct Asked {
    hold: Hold,
    most: Option<u64>,
    seen: Seen,
    usage: Usage,
    own: OwnerUsage,
}

impl Asked {
    pub(super) fn new(store: &Store, images: &[Vec<u8>], hold: Hold, most: Option<u64>) -> Self {
        Self {
            hold,
            most,
            seen: seen(store, images),
            usage: store.usage(),
            own: store.owner_usage(OWNERS[hold.0]).unwrap(),
        }
    }

    /// Takes over what went.
    pub(super) fn check(
        self,
        model: &mut Model,
        store: &Store,
        images: &[Vec<u8>],
        begun: &Result<Begun, StoreError>,
    ) -> Result<(), TestCaseError> {
        let (owner, size) = (self.hold.0, SIZES[self.hold.1] as u64);
        let after = seen(store, images);
        let known = self.seen.0.contains(&self.hold) || self.seen.1.contains_key(&self.hold);
        if known || begun.is_err() {
            prop_assert_eq!(&after, &self.seen, "nothing goes for nothing");
            return self.refused(begun);
        }
        let own = store.owner_usage(OWNERS[owner]).unwrap();
        prop_assert!(own.used_bytes() <= self.most.unwrap_or(u64::MAX));
        prop_assert_eq!(after.1.get(&self.hold), Some(&0));

        let gone: Vec<_> = self.seen.0.difference(&after.0).copied().collect();
        let dropped = self.seen.1.keys().copied();
        let dropped: Vec<_> = dropped.filter(|hold| !after.1.contains_key(hold)).collect();
        let fits = self
            .most
            .is_none_or(|most| self.own.used_bytes() + size <= most)
            && self.own.uploads < UPLOADS.1;
        let roomy = self.usage.used_bytes() + size <= QUOTA && self.usage.uploads < UPLOADS.0;
        let others = gone.iter().chain(&dropped).any(|hold| hold.0 != owner);
        prop_assert!(
            !(others && roomy),
            "no quota of one costs another: {:?}",
            gone
        );
        let any = !gone.is_empty() || !dropped.is_empty();
        prop_assert!(!(any && roomy && fits), "{:?} {:?}", gone, dropped);
        if !gone.is_empty() {
            let left = after
                .1
                .keys()
                .filter(|hold| hold.0 == owner || others_gone(&gone, owner));
            prop_assert_eq!(left.count(), 1, "an image went before an upload");
        }
        self.order(model, &gone, &after)?;
        model.holds.retain(|hold, _| !gone.contains(hold));
        model.uploads.retain(|hold, _| !dropped.contains(hold));
        Ok(())
    }

    /// Nothing changed, for a reason that is one.
    fn refused(&self, begun: &Result<Begun, StoreError>) -> Result<(), TestCaseError> {
        match begun {
            Err(StoreError::OwnerQuota {
                need,
                used,
                pinned,
                quota,
            }) => {
                prop_assert_eq!(Some(*quota), self.most);
                prop_assert_eq!(*used, self.own.used_bytes());
                prop_assert_eq!(*pinned, self.own.pinned_bytes);
                prop_assert!(need + pinned > *quota, "all that nobody uses could go");
            }
            Err(StoreError::QuotaExceeded {
                need, used, pinned, ..
            }) => {
                prop_assert!(need + used > QUOTA);
                prop_assert!(need + pinned > QUOTA, "all that nobody uses could go");
            }
            Ok(_) => {}
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
        Ok(())
    }

    /// What went was not read, and used before what stayed and was not read either.
    fn order(&self, model: &Model, gone: &[Hold], after: &Seen) -> Result<(), TestCaseError> {
        let owner = self.hold.0;
        let image_gone = |image: usize| !after.0.iter().any(|hold| hold.1 == image);
        let any_pin = |image: usize| model.pins.iter().any(|hold| hold.1 == image);
        let last_use = |image: usize| {
            let uses = model.holds.iter().filter(|(hold, _)| hold.1 == image);
            uses.map(|(_, used)| *used).max()
        };
        for hold in gone {
            if image_gone(hold.1) {
                prop_assert!(!any_pin(hold.1), "it was read");
            }
            if hold.0 == owner && !image_gone(hold.1) {
                prop_assert!(model.pins(*hold) == 0, "it was read by its owner");
                let mut kept = after
                    .0
                    .iter()
                    .filter(|kept| kept.0 == owner && model.pins(**kept) == 0);
                prop_assert!(kept.all(|kept| model.holds[kept] > model.holds[hold]));
            }
            if hold.0 != owner {
                prop_assert!(image_gone(hold.1), "another lost its hold alone");
                let mut kept = after.0.iter().filter(|kept| !any_pin(kept.1));
                prop_assert!(kept.all(|kept| last_use(kept.1) > last_use(hold.1)));
            }
        }
        Ok(())
    }
}

fn others_gone(gone: &[Hold], owner: usize) -> bool {
    gone.iter().any(|hold| hold.0 != owner)
}
