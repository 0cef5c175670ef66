//! Text from elsewhere, made fit for a terminal.
//!
//! **Invariant:** no control character passes, so nothing that a daemon or another client wrote can drive the terminal.

/// `text` on one line: control characters escaped, line breaks as spaces.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, char| {
            match char {
                '\n' => line.push(' '),
                _ if char.is_control() => line.extend(char.escape_default()),
                _ => line.push(char),
            }
            line
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_lines_joined() {
        assert_eq!(
            plain("a\x1b[31mb\x07\nc\u{9b}"),
            "a\\u{1b}[31mb\\u{7} c\\u{9b}"
        );
        assert_eq!(plain("größer 🙂"), "größer 🙂");
    }
}
