//! Text from callers, made fit to print: one line, bounded, nothing that moves a terminal's cursor.
//!
//! **Invariant:** what comes out has no control characters and no invisible formatting, whatever went in.

use std::fmt::Write;

/// Copies `text`, escaping what does not print, and ends it with `…` where it would exceed `max` bytes.
pub(crate) fn printable(text: &str, max: usize) -> String {
    const ELLIPSIS: char = '…';
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        // The last length at which the ellipsis still fits.
        let keep = out.len();
        if hidden(c) {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
        if out.len() > max {
            out.truncate(keep);
            while out.len() + ELLIPSIS.len_utf8() > max && out.pop().is_some() {}
            out.push(ELLIPSIS);
            return out;
        }
    }
    out
}

/// Control characters, and those that reorder or hide text (Unicode bidirectional and zero-width formatting).
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_moves_the_cursor_or_reorders_text() {
        assert_eq!(
            printable("a\n\x1b[2J\u{202e}é", 100),
            "a\\u{a}\\u{1b}[2J\\u{202e}é"
        );
    }

    #[test]
    fn never_exceeds_its_bound() {
        for text in ["aaaaaaaaaa", "ééééééé", "\0\0\0\0\0\0", "日本語日本語"] {
            for max in 3..12 {
                let out = printable(text, max);
                assert!(out.len() <= max, "{out:?} at {max}");
            }
        }
        assert_eq!(printable("abcdef", 5), "ab…");
        assert_eq!(printable("abcde", 5), "abcde");
    }
}
