//! Where the zeros are in a block of an image. Pure.
//!
//! **Invariant:** what it returns is consecutive from the block's beginning, and no run of zeros that is long enough is in data, also none that
//! crosses the block's ends.

use std::ops::Range;

/// Zeros that are told instead of sent come in runs of at least this many bytes: 64 KiB. Shorter ones are not worth a message.
pub(super) const SHORTEST: usize = 64 << 10;
const PAGE: usize = 4096;
static ZEROS: [u8; PAGE] = [0; PAGE];

/// A part of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// To be sent.
    Data(Range<usize>),
    /// To be told: so many zeros.
    Zeros(usize),
}

/// Where a block lies in its image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// It comes right behind zeros that were told.
    pub(super) behind_zeros: bool,
    /// It is the image's last.
    pub(super) last: bool,
}

/// Cuts `block`, which begins at a page, into runs. Zeros at its end that may go on behind it are left to the next block: nothing is returned of them.
pub(super) fn cut(block: &[u8], place: Place) -> Vec<Run> {
    let (mut runs, mut data) = (Vec::new(), 0);
    for zeros in zero_runs(block) {
        let at_end = zeros.end == block.len() && !place.last;
        let goes_on = zeros.start == 0 && place.behind_zeros;
        if zeros.len() >= SHORTEST || goes_on {
            if data < zeros.start {
                runs.push(Run::Data(data..zeros.start));
            }
            runs.push(Run::Zeros(zeros.len()));
            data = zeros.end;
        } else if at_end && zeros.start > 0 {
            if data < zeros.start {
                runs.push(Run::Data(data..zeros.start));
            }
            return runs;
        }
    }
    if data < block.len() {
        runs.push(Run::Data(data..block.len()));
    }
    runs
}

/// The longest runs of pages that are zero, in their order.
fn zero_runs(block: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (nth, page) in block.chunks(PAGE).enumerate() {
        if ZEROS.get(..page.len()) != Some(page) {
            continue;
        }
        let (start, end) = (nth * PAGE, nth * PAGE + page.len());
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SHORTEST_PAGES: usize = SHORTEST / PAGE;

    /// Cuts an image block by block, as `read` does: offset, length and whether it was told as zeros.
    fn all(image: &[u8], most: usize) -> Vec<(usize, usize, bool)> {
        let (mut at, mut behind_zeros, mut seen) = (0, false, Vec::new());
        while at < image.len() {
            let end = image.len().min(at + most);
            let place = Place {
                behind_zeros,
                last: end == image.len(),
            };
            let runs = cut(&image[at..end], place);
            assert!(!runs.is_empty(), "no progress at {at:#x}");
            let begin = at;
            for run in runs {
                let (length, zeros) = match run {
                    Run::Data(range) => {
                        assert_eq!(begin + range.start, at);
                        (range.len(), false)
                    }
                    Run::Zeros(length) => (length, true),
                };
                seen.push((at, length, zeros));
                at += length;
                behind_zeros = zeros;
            }
        }
        seen
    }

    fn of_pages(pages: &[bool]) -> Vec<u8> {
        pages
            .iter()
            .flat_map(|data| [u8::from(*data); PAGE])
            .collect()
    }

    #[test]
    fn short_runs_of_zeros_travel_and_long_ones_do_not() {
        let mut pages = vec![true; 4];
        pages.extend([false; SHORTEST_PAGES - 1]);
        pages.push(true);
        pages.extend([false; SHORTEST_PAGES]);
        pages.push(true);
        let image = of_pages(&pages);
        let first = (4 + SHORTEST_PAGES) * PAGE;
        assert_eq!(
            all(&image, image.len()),
            [
                (0, first, false),
                (first, SHORTEST, true),
                (first + SHORTEST, PAGE, false)
            ]
        );
    }

    #[test]
    fn a_run_across_blocks_is_told_whole() {
        // Half of it at the end of the first block.
        let mut pages = vec![true; 32 - SHORTEST_PAGES / 2];
        pages.extend([false; SHORTEST_PAGES]);
        pages.push(true);
        let image = of_pages(&pages);
        let start = (32 - SHORTEST_PAGES / 2) * PAGE;
        assert_eq!(
            all(&image, 32 * PAGE),
            [
                (0, start, false),
                (start, SHORTEST, true),
                (start + SHORTEST, PAGE, false)
            ]
        );
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_run_and_no_long_run_of_zeros_in_data(
            lengths in vec((any::<bool>(), 1..40_usize), 1..8),
            tail in 0..PAGE,
            most in SHORTEST_PAGES + 1..64,
        ) {
            let pages: Vec<bool> = (lengths.iter()).flat_map(|(data, length)| vec![*data; *length]).collect();
            let mut image = of_pages(&pages);
            image.extend(vec![0; tail]);
            let runs = all(&image, most * PAGE);
            let mut end = 0;
            let mut data_zeros = 0;
            for (at, length, zeros) in runs {
                prop_assert_eq!(at, end);
                end += length;
                for page in image[at..end].chunks(PAGE) {
                    let is_zero = page.iter().all(|byte| *byte == 0);
                    prop_assert!(is_zero || !zeros);
                    data_zeros = if is_zero && !zeros { data_zeros + page.len() } else { 0 };
                    prop_assert!(data_zeros < SHORTEST, "zeros travel at {:#x}", at);
                }
            }
            prop_assert_eq!(end, image.len());
        }
    }
}
