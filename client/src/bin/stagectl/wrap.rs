//! Long text, broken into lines.
//!
//! **Invariant:** breaks between words only, so that what is to be copied stays whole.

/// The words of `text` in lines of at most `width` characters; a longer word has a line of its own. No line for no word.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_filled_and_never_overfull() {
        assert_eq!(wrap("a bc def ghij", 6), ["a bc", "def", "ghij"]);
        assert_eq!(wrap("a bc def ghij", 13), ["a bc def ghij"]);
        assert_eq!(wrap("größer größe", 12), ["größer größe"]);
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        assert_eq!(
            wrap("load /sys/module/kvm_amd now", 8),
            ["load", "/sys/module/kvm_amd", "now"]
        );
        assert_eq!(wrap("a b", 0), ["a", "b"]);
        assert!(wrap("  ", 8).is_empty());
    }
}
