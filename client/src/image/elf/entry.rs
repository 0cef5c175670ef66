//! The physical address of the first instruction.

use super::headers::{Headers, Segment};
use crate::{addr::Gpa, image::ImageError};

/// Offset of `e_entry`, in files of 32 and of 64 bits.
const ENTRY: u64 = 24;

/// `e_entry` as a physical address if a segment has bytes of the file there, else as a virtual one.
pub(super) fn physical(headers: &Headers) -> Result<Gpa, ImageError> {
    let entry = headers.entry;
    let inside = |start: u64, segment: &Segment| {
        entry
            .checked_sub(start)
            .filter(|distance| *distance < segment.file_bytes)
    };
    let segments = &headers.segments;
    let physical = segments
        .iter()
        .find_map(|it| Some((it, inside(it.gpa.bytes(), it)?)));
    let found = physical.or_else(|| {
        segments
            .iter()
            .find_map(|it| Some((it, inside(it.virtual_address, it)?)))
    });
    found
        .map(|(segment, distance)| Gpa::new(segment.gpa.bytes() + distance))
        .ok_or_else(|| {
            let problem = format!(
                "the entry point {entry:#x} is in no segment's bytes, neither by physical nor by virtual address; name it to the linker"
            );
            ImageError::at("ELF header", ENTRY, problem)
        })
}
