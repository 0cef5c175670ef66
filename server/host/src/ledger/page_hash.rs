//! The hash of one installed page, and the hasher that knows the launch's key.
//!
//! **Invariant:** the hash of a page that nobody outside may learn is keyed, so that it would not serve for guessing the page
//! even if it got out; neither the key nor a whole hash is ever printed.

use std::fmt;

use stagepages_kvm::{PAGE_BYTES, PageType};

/// BLAKE3-256 of one page's 4096 bytes, keyed where [`hash_is_private`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageHash(pub [u8; 32]);

impl fmt::Debug for PageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "PageHash({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Whether hashes of this type's pages are keyed and never leave the launch host.
///
/// Contents of SECRETS and UNMEASURED pages are not in the launch digest, and whoever had a plain hash could test guesses of
/// them.
#[must_use]
pub const fn hash_is_private(page_type: PageType) -> bool {
    match page_type {
        PageType::Secrets | PageType::Unmeasured => true,
        PageType::Normal | PageType::Zero | PageType::Cpuid => false,
    }
}

/// Hashes pages for one launch. Cheap to clone; each hashing thread has its own.
#[derive(Clone)]
pub struct PageHasher {
    key: [u8; 32],
    zero_page: PageHash,
    zero_page_keyed: PageHash,
}

impl PageHasher {
    pub(super) fn new(key: [u8; 32]) -> Self {
        let zeros = [0; PAGE_BYTES];
        Self {
            key,
            zero_page: plain(&zeros),
            zero_page_keyed: keyed(&key, &zeros),
        }
    }

    /// The hash of `page`, the 4096 bytes of one page of type `page_type`.
    #[must_use]
    pub fn hash(&self, page_type: PageType, page: &[u8]) -> PageHash {
        debug_assert_eq!(page.len(), PAGE_BYTES, "a page hash is of one whole page");
        if hash_is_private(page_type) {
            keyed(&self.key, page)
        } else {
            plain(page)
        }
    }

    /// The hash of 4096 zeros as a page of type `page_type`; costs nothing.
    #[must_use]
    pub fn zero_page_hash(&self, page_type: PageType) -> PageHash {
        if hash_is_private(page_type) {
            self.zero_page_keyed
        } else {
            self.zero_page
        }
    }
}

impl fmt::Debug for PageHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageHasher").finish_non_exhaustive()
    }
}

fn plain(page: &[u8]) -> PageHash {
    PageHash(blake3::hash(page).into())
}

fn keyed(key: &[u8; 32], page: &[u8]) -> PageHash {
    PageHash(blake3::keyed_hash(key, page).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_hashes_depend_on_the_launch() {
        let (one, other) = (PageHasher::new([1; 32]), PageHasher::new([2; 32]));
        let page = [0x5a; PAGE_BYTES];
        for page_type in PageType::ALL {
            let differs = one.hash(page_type, &page) != other.hash(page_type, &page);
            assert_eq!(differs, hash_is_private(page_type), "{page_type}");
        }
    }

    #[test]
    fn a_public_hash_is_plain_blake3() {
        let page = [0x5a; PAGE_BYTES];
        assert_eq!(
            PageHasher::new([1; 32]).hash(PageType::Normal, &page).0,
            *blake3::hash(&page).as_bytes()
        );
    }

    #[test]
    fn the_cached_hash_of_zeros_is_the_hash_of_zeros() {
        let hasher = PageHasher::new([7; 32]);
        for page_type in PageType::ALL {
            assert_eq!(
                hasher.zero_page_hash(page_type),
                hasher.hash(page_type, &[0; PAGE_BYTES]),
                "{page_type}"
            );
        }
    }

    #[test]
    fn debug_output_shows_neither_key_nor_whole_hash() {
        let hasher = PageHasher::new([0xab; 32]);
        assert_eq!(format!("{hasher:?}"), "PageHasher { .. }");
        assert_eq!(
            format!("{:?}", PageHash([0xcd; 32])),
            "PageHash(cdcdcdcd..)"
        );
    }
}
