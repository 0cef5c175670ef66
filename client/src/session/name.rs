//! The names of a session and of its calls, by which the launch host applies each call once.
//!
//! `SESSION:GPA.SLOT.DIGEST`, numbers in hex. SLOT counts the calls of one cut that were applied: a call that stops short is followed by one
//! for what is left, while one that is refused leaves its name for the next. So a restarted session finds what its predecessor got by
//! asking for slot 0, 1, …, wherever that one had to step over pages of others. DIGEST covers page type and length, and in a session
//! with a lasting name the contents too: other contents are another call, never taken for this one. Of a stored image that is its name, which
//! is its contents, and the place in it; the same pages from bytes are other calls, which find them identical.
//!
//! **Invariant:** at most 64 bytes; contents of UNMEASURED pages, which are nobody's business, leave no trace in a name.

use std::{fmt, io, str::FromStr};

use stagepages_proto::v1::PageType;

use crate::{
    addr::{Gpa, ParseError},
    stage::{Pages, content::Content},
};

/// Longest name of a session, in bytes. Behind it come a GPA of 13 digits, a slot of 4, a digest of 12, and 3 separators: 64 in all.
pub const LONGEST_NAME: usize = 32;
/// Digits of the digest. Names are compared within one session at one GPA only, where two contents meet at most a few times.
const DIGEST_DIGITS: usize = 12;

/// The name of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName {
    name: String,
    lasting: bool,
}

impl SessionName {
    /// A name that no other session has: what it staged cannot be told from others' pages by a later one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn unique() -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        Ok(Self {
            name: format!("{random:016x}"),
            lasting: false,
        })
    }

    /// A lasting name that follows from `hash`, as long as a name may be.
    #[must_use]
    pub fn of_hash(hash: &blake3::Hash) -> Self {
        let mut name = hash.to_hex().to_string();
        name.truncate(LONGEST_NAME);
        Self {
            name,
            lasting: true,
        }
    }

    /// The same name for sessions that take each other up: the first of them has to have it already.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self {
            lasting: true,
            ..self
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether a later session can take the same name and go on.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }
}

impl FromStr for SessionName {
    type Err = ParseError;

    /// A lasting name: 1 to 32 of `A-Z a-z 0-9 . _ -`. One name is for one plan, and for one process at a time.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=LONGEST_NAME).contains(&text.len()) || !text.chars().all(fits) {
            return Err(ParseError::new(
                text,
                "a session's name",
                "1 to 32 of A-Z a-z 0-9 . _ -",
            ));
        }
        Ok(Self {
            name: text.to_owned(),
            lasting: true,
        })
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What the calls of one cut are named after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CutName {
    place: String,
    digest: String,
}

impl CutName {
    /// Of the pages `cut`, with these contents.
    pub(super) fn new(
        session: &SessionName,
        cut: Pages,
        page_type: PageType,
        content: &Content,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&i32::from(page_type).to_le_bytes());
        hasher.update(&cut.count.to_le_bytes());
        // A name that ends with its session meets no other contents, and need not pay for hashing them.
        let told = session.lasting && page_type != PageType::Unmeasured;
        match content {
            Content::Data(data) if told => {
                hasher.update(data);
            }
            // Fewer than a page of bytes, so no data is taken for it.
            Content::Image { name, offset } if told => {
                hasher.update(name.digest()).update(&offset.to_le_bytes());
            }
            Content::LengthOnly | Content::Data(_) | Content::Image { .. } => {}
        }
        let mut digest = hasher.finalize().to_hex().to_string();
        digest.truncate(DIGEST_DIGITS);
        Self {
            place: format!("{session}:{:x}", Gpa::bytes(cut.gpa)),
            digest,
        }
    }

    /// The `request_id` of the call that is applied after `slot` others of this cut.
    pub(super) fn call(&self, slot: u32) -> String {
        format!("{}.{slot:x}.{}", self.place, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::images::ImageName;

    fn named(session: &SessionName, page_type: PageType, data: &'static [u8]) -> String {
        let cut = Pages {
            gpa: Gpa::new(0x1000),
            count: 1,
        };
        let content = Content::Data(Bytes::from_static(data));
        CutName::new(session, cut, page_type, &content).call(0x1f)
    }

    #[test]
    fn the_longest_name_is_a_request_id() {
        let session: SessionName = "x".repeat(LONGEST_NAME).parse().unwrap();
        let cut = Pages {
            gpa: Gpa::new((1 << 52) - 4096),
            count: 1,
        };
        let name = CutName::new(&session, cut, PageType::Zero, &Content::LengthOnly).call(0x1000);
        assert_eq!(name.len(), 64, "{name}");
    }

    #[test]
    fn names_are_words() {
        for text in ["", "a b", "a:b", "ä", &"x".repeat(33)] {
            assert!(text.parse::<SessionName>().is_err(), "{text}");
        }
        assert!(
            "6f1c1b1e-pod.uid_7"
                .parse::<SessionName>()
                .unwrap()
                .is_lasting()
        );
        assert!(!SessionName::unique().unwrap().is_lasting());
    }

    #[test]
    fn other_contents_are_another_call_in_a_lasting_session() {
        let lasting: SessionName = "s".parse().unwrap();
        let first = named(&lasting, PageType::Normal, &[1; 4096]);
        assert!(first.starts_with("s:1000.1f."), "{first}");
        assert_eq!(first, named(&lasting, PageType::Normal, &[1; 4096]));
        assert_ne!(first, named(&lasting, PageType::Normal, &[2; 4096]));
        assert_ne!(first, named(&lasting, PageType::Cpuid, &[1; 4096]));
    }

    #[test]
    fn a_slice_is_named_after_its_image_and_its_place_there() {
        let lasting: SessionName = "s".parse().unwrap();
        let cut = Pages {
            gpa: Gpa::new(0x1000),
            count: 1,
        };
        let named = |page_type, digest, offset| {
            let name = ImageName::of_digest([digest; 32]);
            CutName::new(&lasting, cut, page_type, &Content::Image { name, offset }).call(0)
        };
        let first = named(PageType::Normal, 1, 0x2000);
        assert_eq!(first, named(PageType::Normal, 1, 0x2000));
        assert_ne!(first, named(PageType::Normal, 2, 0x2000));
        assert_ne!(first, named(PageType::Normal, 1, 0x3000));
        let unmeasured = named(PageType::Unmeasured, 1, 0x2000);
        assert_eq!(unmeasured, named(PageType::Unmeasured, 2, 0x3000));
    }

    #[test]
    fn unmeasured_contents_leave_no_trace() {
        let lasting: SessionName = "s".parse().unwrap();
        assert_eq!(
            named(&lasting, PageType::Unmeasured, &[1; 4096]),
            named(&lasting, PageType::Unmeasured, &[2; 4096])
        );
    }
}
