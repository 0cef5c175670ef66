//! A number below 2^40 in five bytes.
//!
//! GFNs are below 2^40 because GPAs are below 2^52, and so are the ordinals of distinct pages and the numbers of runs and
//! hashes, of which there are no more than pages. A scattered page costs the ledger four; as `u64` they take 12 bytes more.
//!
//! **Invariant:** never holds, and never silently cuts to, another number than the one given.

/// A number below 2^40, without alignment.
#[derive(Clone, Copy)]
pub(super) struct U40([u8; 5]);

impl U40 {
    /// Packs `value`, which counts or names distinct pages of one address space and is therefore below 2^40.
    pub(super) fn new(value: u64) -> Self {
        let [a, b, c, d, e, rest @ ..] = value.to_le_bytes();
        assert_eq!(
            rest, [0; 3],
            "{value:#x} counts pages, and an address space has 2^40"
        );
        Self([a, b, c, d, e])
    }

    pub(super) fn get(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::U40;

    #[test]
    fn keeps_every_value_of_forty_bits() {
        for value in [0, 1, 0xff, 0x100, 0x12_3456_789a, (1 << 40) - 1] {
            assert_eq!(U40::new(value).get(), value);
        }
    }
}
