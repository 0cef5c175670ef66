//! Page contents that are random to the product and known to the test.
//!
//! **Invariant:** the same seed gives the same bytes on every machine, so a failure can be repeated.
use bytes::Bytes;
use stagepages_kvm::Gpa;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// The address of the page with number `number`.
///
/// # Panics
/// If the address does not fit 64 bits.
#[must_use]
pub fn page(number: u64) -> Gpa {
    Gpa::new(number.checked_mul(PAGE).expect("page number below 2^52"))
}

/// A deterministic generator (splitmix64: one addition, two multiplications, no state to get wrong).
#[derive(Debug, Clone)]
pub struct Contents(u64);

impl Contents {
    /// A generator that repeats itself for an equal `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0. Slightly uneven, which no test minds.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// The contents of `count` pages, all different.
    ///
    /// # Panics
    /// If that many bytes do not fit the address space.
    pub fn pages(&mut self, count: u64) -> Bytes {
        let bytes = usize::try_from(count * PAGE).expect("test data fits memory");
        let mut data = Vec::with_capacity(bytes);
        while data.len() < bytes {
            data.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        Bytes::from(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for seed 0 in every description of the algorithm.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = Contents::new(0);
        assert_eq!(random.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn pages_are_whole_and_differ() {
        let pages = Contents::new(1).pages(3);
        assert_eq!(pages.len(), 3 * 4096);
        assert_ne!(pages[..4096], pages[4096..8192]);
        assert_eq!(page(3).get(), 3 * PAGE);
    }
}
