//! How page types look: a letter, a colour for screens, a colour for files.
//!
//! The colours are of the set by Okabe and Ito, which people with any common colour blindness tell apart; they also differ in lightness, and wherever there
//! is room the letter says the same.
//!
//! **Invariant:** nothing is said by colour alone.

use crate::v1::PageType;

/// In the order of the legend.
pub(super) const TYPES: [PageType; 6] = [
    PageType::Normal,
    PageType::Zero,
    PageType::Unmeasured,
    PageType::Secrets,
    PageType::Cpuid,
    PageType::Unspecified,
];

/// How one type looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Stands for it where all of a cell is of the type.
    pub(super) letter: char,
    /// Its word.
    pub(super) word: &'static str,
    /// Fill, for files.
    pub(super) fill: &'static str,
    /// Letters on that fill.
    pub(super) ink: &'static str,
    /// Select Graphic Rendition: foreground and background of 256 colours.
    pub(super) sgr: &'static str,
    /// What is drawn over what: a single page of the rare types must be seen in any crowd.
    pub(super) rank: u8,
}

pub(super) fn look(page_type: PageType) -> Look {
    let (letter, word, fill, ink, sgr, rank) = match page_type {
        PageType::Normal => ('N', "NORMAL", "#0072b2", "#fff", "38;5;231;48;5;25", 0),
        PageType::Zero => ('Z', "ZERO", "#9ad0f0", "#000", "38;5;16;48;5;117", 0),
        PageType::Unmeasured => ('U', "UNMEASURED", "#e69f00", "#000", "38;5;16;48;5;214", 1),
        PageType::Secrets => ('S', "SECRETS", "#000", "#fff", "38;5;16;48;5;231", 2),
        PageType::Cpuid => ('C', "CPUID", "#cc79a7", "#000", "38;5;16;48;5;175", 3),
        PageType::Unspecified => ('X', "unknown", "#888", "#fff", "38;5;16;48;5;245", 4),
    };
    Look {
        letter,
        word,
        fill,
        ink,
        sgr,
        rank,
    }
}
