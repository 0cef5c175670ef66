//! The memory regions of a launch, and the mapping behind each.

use stagepages_kvm::{Gfn, GfnRange};

/// Regions in the order of their memslots, none overlapping another, each with what backs it.
#[derive(Debug)]
pub struct Memory<B> {
    regions: Vec<(GfnRange, B)>,
}

/// Two regions of one launch overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("memory regions {0} and {1} overlap")]
pub struct Overlap(pub GfnRange, pub GfnRange);

impl Memory<()> {
    /// Regions without backing, to check extents against.
    ///
    /// # Errors
    /// The first two regions, by address, that overlap.
    pub fn plan(regions: &[GfnRange]) -> Result<Self, Overlap> {
        let mut sorted = regions.to_vec();
        sorted.sort_by_key(|region| region.start());
        for pair in sorted.windows(2) {
            if let [a, b] = pair
                && a.overlaps(b)
            {
                return Err(Overlap(*a, *b));
            }
        }
        Ok(Self {
            regions: regions.iter().map(|region| (*region, ())).collect(),
        })
    }
}

impl<B> Memory<B> {
    /// Backs every region, in order.
    ///
    /// # Errors
    /// The first error of `back`.
    pub fn back<E>(
        plan: &Memory<()>,
        mut back: impl FnMut(u32, GfnRange) -> Result<B, E>,
    ) -> Result<Self, E> {
        let regions = (0..)
            .zip(&plan.regions)
            .map(|(slot, (region, ()))| Ok((*region, back(slot, *region)?)));
        Ok(Self {
            regions: regions.collect::<Result<_, E>>()?,
        })
    }

    /// Takes what backs the regions away from them.
    pub fn take_apart(self) -> (Memory<()>, Vec<B>) {
        let (regions, backing) = self
            .regions
            .into_iter()
            .map(|(region, backing)| ((region, ()), backing))
            .unzip();
        (Memory { regions }, backing)
    }

    /// The regions.
    pub fn regions(&self) -> impl Iterator<Item = GfnRange> {
        self.regions.iter().map(|(region, _)| *region)
    }

    /// The region that holds all of `range`.
    ///
    /// # Errors
    /// The first frame of `range` that is outside the region in which it starts (or its start, if that is in none).
    pub fn locate(&self, range: GfnRange) -> Result<GfnRange, Gfn> {
        let Some((region, _)) = self
            .regions
            .iter()
            .find(|(region, _)| region.contains(range.start()))
        else {
            return Err(range.start());
        };
        if region.encloses(&range) {
            return Ok(*region);
        }
        let inside = region.pages() - (range.start().get() - region.start().get());
        Err(range.start().checked_add(inside).unwrap_or(range.start()))
    }

    /// What backs the region of `gfn`, and the index of `gfn` in it.
    pub fn backing(&self, gfn: Gfn) -> Option<(&B, u64)> {
        let (region, backing) = self
            .regions
            .iter()
            .find(|(region, _)| region.contains(gfn))?;
        Some((backing, gfn.get() - region.start().get()))
    }

    /// The same, to change it.
    pub fn backing_mut(&mut self, gfn: Gfn) -> Option<(&mut B, u64)> {
        let (region, backing) = self
            .regions
            .iter_mut()
            .find(|(region, _)| region.contains(gfn))?;
        Some((backing, gfn.get() - region.start().get()))
    }
}
