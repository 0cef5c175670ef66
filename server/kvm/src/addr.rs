//! Guest-physical addresses: in bytes ([`Gpa`]) and in frames ([`Gfn`]).
//!
//! **Invariant:** a `Gfn` always has a byte address below 2^52; a `Gpa` promises nothing, because it may come from a client.

use std::fmt;

use crate::PAGE_SIZE;

/// The number of page frames that x86 can address: guest-physical addresses have at most 52 bits.
pub(crate) const FRAMES: u64 = 1 << 40;

/// A guest-physical address in bytes. Any value, aligned or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gpa(u64);

impl Gpa {
    /// Takes an address as it came.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The address in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the address is the first of a page.
    pub const fn is_page_aligned(self) -> bool {
        self.0.is_multiple_of(PAGE_SIZE)
    }
}

impl fmt::Display for Gpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for Gpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// A guest frame number: a guest-physical address divided by 4096, below 2^40.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gfn(u64);

impl Gfn {
    /// The last frame there is.
    pub const MAX: Self = Self(FRAMES - 1);

    /// Takes a frame number; `None` at 2^40 and above.
    pub const fn new(frame: u64) -> Option<Self> {
        if frame < FRAMES {
            Some(Self(frame))
        } else {
            None
        }
    }

    /// The frame number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address of the frame's first byte.
    pub const fn gpa(self) -> Gpa {
        Gpa(self.0 * PAGE_SIZE)
    }

    /// The frame `pages` further up; `None` at 2^40 and above.
    pub const fn checked_add(self, pages: u64) -> Option<Self> {
        match self.0.checked_add(pages) {
            Some(frame) => Self::new(frame),
            None => None,
        }
    }
}

impl fmt::Display for Gfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for Gfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_at_2_to_the_40() {
        assert_eq!(Gfn::new(FRAMES - 1), Some(Gfn::MAX));
        assert_eq!(Gfn::new(FRAMES), None);
        assert_eq!(Gfn::new(u64::MAX), None);
        assert_eq!(Gfn::MAX.gpa(), Gpa::new((1 << 52) - 0x1000));
    }

    #[test]
    fn adding_pages_never_leaves_the_address_space() {
        let first = Gfn::new(0).unwrap();
        assert_eq!(first.checked_add(0), Some(first));
        assert_eq!(first.checked_add(FRAMES - 1), Some(Gfn::MAX));
        assert_eq!(first.checked_add(FRAMES), None);
        assert_eq!(Gfn::MAX.checked_add(1), None);
        assert_eq!(Gfn::MAX.checked_add(u64::MAX), None);
    }

    #[test]
    fn alignment_is_that_of_a_page() {
        for (address, aligned) in [
            (0, true),
            (1, false),
            (0xfff, false),
            (0x1000, true),
            (u64::MAX, false),
        ] {
            assert_eq!(Gpa::new(address).is_page_aligned(), aligned, "{address:#x}");
        }
    }

    #[test]
    fn addresses_print_in_hex() {
        assert_eq!(Gpa::new(0x80a000).to_string(), "0x80a000");
        assert_eq!(
            format!("{:x} {:#x}", Gpa::new(255), Gpa::new(255)),
            "ff 0xff"
        );
        assert_eq!(Gfn::new(0x80a).unwrap().to_string(), "0x80a");
    }
}
