//! What one install did: pages, and how it ended.
//!
//! Both platforms' ioctls walk a structure of the caller: where the next page goes, where it comes from, how much is left. How far they
//! came is said there and nowhere else, on TDX also when the call failed.
//!
//! **Invariant:** pages are counted from what the kernel wrote back, never from what was asked, and never more than was asked.

#[cfg(test)]
mod tests;

use crate::{KvmError, PAGE_SIZE};

/// What one install did.
#[must_use = "the pages count also where the call failed"]
#[derive(Debug)]
pub struct Attempt {
    /// How many pages, from the first on, this call installed, by what the kernel wrote back: at most what was asked, and 0 where that
    /// is not known ([`KvmError::WroteBack`]).
    pub pages: u64,
    /// How the call ended. `Ok` with fewer pages than asked is a short count whose cause the kernel does not say, and `Ok` with none is
    /// no progress: it is for the caller to bound how often it asks again.
    pub outcome: Result<(), KvmError>,
}

impl Attempt {
    /// A call that was not made.
    pub(crate) fn refused(error: KvmError) -> Self {
        Self {
            pages: 0,
            outcome: Err(error),
        }
    }

    /// A call that was made, walking from `before` to `after`.
    pub(crate) fn new(
        op: &'static str,
        walk: &Walk,
        before: Cursor,
        after: Cursor,
        outcome: Result<(), KvmError>,
    ) -> Self {
        match walk.pages(before, after) {
            Ok(pages) => Self { pages, outcome },
            Err((field, value)) => Self::refused(KvmError::WroteBack {
                op,
                field,
                value,
                cause: outcome.err().map(Box::new),
            }),
        }
    }
}

/// A field of the structure that the kernel walks, and by how much a page moves it.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) step: u64,
}

/// The fields of a structure that the kernel walks.
pub(crate) struct Walk {
    /// Where the next page goes.
    pub(crate) guest: Field,
    /// Where it comes from.
    pub(crate) source: Field,
    /// How much is left.
    pub(crate) left: Field,
}

/// What those fields hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) guest: u64,
    pub(crate) source: u64,
    pub(crate) left: u64,
}

impl Walk {
    /// How a SEV-SNP update is walked (`snp_launch_update()`, `arch/x86/kvm/svm/sev.c`): frames and bytes. Zeros have no source.
    pub(crate) const fn snp(zeros: bool) -> Self {
        Self {
            guest: Field::new("gfn_start", 1),
            source: Field::new("uaddr", if zeros { 0 } else { PAGE_SIZE }),
            left: Field::new("len", PAGE_SIZE),
        }
    }

    /// How a TDX region is walked (`tdx_vcpu_init_mem_region()`, `arch/x86/kvm/vmx/tdx.c`): bytes and pages.
    pub(crate) const fn tdx() -> Self {
        Self {
            guest: Field::new("gpa", PAGE_SIZE),
            source: Field::new("source_addr", PAGE_SIZE),
            left: Field::new("nr_pages", 1),
        }
    }

    /// How many pages lie between the two; else the field that contradicts, and what was written there.
    fn pages(&self, before: Cursor, after: Cursor) -> Result<u64, (&'static str, u64)> {
        let done = before
            .left
            .checked_sub(after.left)
            .filter(|done| done.is_multiple_of(self.left.step))
            .ok_or((self.left.name, after.left))?;
        let pages = done / self.left.step;
        let at = |field: &Field, from: u64| from.wrapping_add(pages.wrapping_mul(field.step));
        if after.guest != at(&self.guest, before.guest) {
            return Err((self.guest.name, after.guest));
        }
        if after.source != at(&self.source, before.source) {
            return Err((self.source.name, after.source));
        }
        Ok(pages)
    }
}

impl Field {
    const fn new(name: &'static str, step: u64) -> Self {
        Self { name, step }
    }
}
