//! The end of a file that a daemon is to go on with.

use crate::{Hash, Head, Torn, chain};

/// What the last bytes of a file hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last whole record; `None` if there is none in these bytes.
    pub head: Option<Head>,
    /// How many bytes there are up to and with the newline of that record.
    pub whole: usize,
    /// What is behind it, if anything is.
    pub torn: Option<Torn>,
    /// Whether the bytes behind it want a newline before a line can follow.
    pub open: bool,
}

/// Looks for the last whole record in `bytes`, the end of a file.
///
/// A last line that lacks only its newline is whole but for that: it counts, and the newline is what is [`Tail::open`].
#[must_use]
pub fn tail(bytes: &[u8]) -> Tail {
    let mut end = bytes.len();
    while end > 0 {
        let closed = bytes[end - 1] == b'\n';
        let line_end = if closed { end - 1 } else { end };
        let start = bytes[..line_end]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        if let Some(link) = chain::link(&bytes[start..line_end]) {
            return Tail {
                head: Some(Head {
                    seq: link.seq,
                    hash: link.hash,
                }),
                whole: end,
                ..behind(bytes, end, closed)
            };
        }
        end = start;
    }
    behind(bytes, 0, true)
}

/// What is behind `whole` bytes, which end with a newline if `closed`.
fn behind(bytes: &[u8], whole: usize, closed: bool) -> Tail {
    let rest = &bytes[whole..];
    let open = if rest.is_empty() {
        !closed
    } else {
        rest.last() != Some(&b'\n')
    };
    let torn = rest.strip_suffix(b"\n").unwrap_or(rest);
    Tail {
        head: None,
        whole,
        torn: (!rest.is_empty()).then(|| Torn {
            bytes: torn.len() as u64,
            sha256: Hash::of(torn),
        }),
        open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Entry, Event};

    #[test]
    fn wherever_a_crash_cuts_the_last_whole_record_is_found() {
        let mut chain = Chain::behind(None);
        let lines: Vec<_> = (0..3)
            .map(|_| {
                let line = chain.seal(&Entry::new(Event::DaemonStarted)).unwrap();
                (chain.head(), line)
            })
            .collect();
        let file: Vec<u8> = lines.iter().flat_map(|(_, line)| line.clone()).collect();
        for cut in 0..=file.len() {
            let found = tail(&file[..cut]);
            let (mut end, mut head) = (0, None);
            for (its, line) in &lines {
                // Without its newline it is whole all the same.
                if end + line.len() - 1 <= cut {
                    end += line.len();
                    head = *its;
                }
            }
            assert_eq!(found.head, head, "{cut}");
            assert_eq!(found.whole, end.min(cut), "{cut}");
            let torn = cut.saturating_sub(end);
            assert_eq!(found.torn.map_or(0, |torn| torn.bytes), torn as u64);
            assert_eq!(found.open, torn > 0 || end > cut, "{cut}");
        }
    }

    #[test]
    fn pages_that_were_lost_in_the_middle_are_torn_with_what_follows() {
        let mut chain = Chain::behind(None);
        let mut file = chain.seal(&Entry::new(Event::DaemonStarted)).unwrap();
        let (whole, head) = (file.len(), chain.head());
        file.extend_from_slice(b"\0\0\0\0{\"seq\":3}\n");
        let found = tail(&file);
        assert_eq!((found.head, found.whole, found.open), (head, whole, false));
        assert_eq!(
            found.torn,
            Some(Torn {
                bytes: 13,
                sha256: Hash::of(b"\0\0\0\0{\"seq\":3}")
            })
        );
    }
}
