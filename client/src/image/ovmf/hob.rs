//! The hand-off blocks that tell a TD its memory (UEFI PI specification, volume 3, chapter 5), as QEMU lays them out (hw/i386/tdvf-hob.c).
//!
//! ```text
//! hand-off information │ one resource for each piece of memory, by address: accepted, where pages were installed, or not │ end of list
//! ```
//!
//! The guest finds them through RCX, and measures them itself into RTMR 0: a launch on which other tools are to agree needs the same pieces.
//!
//! **Invariant:** every byte of the memory is in exactly one resource.

use crate::addr::{Gpa, Region};

const HAND_OFF: u16 = 1;
const RESOURCE: u16 = 3;
const END_OF_LIST: u16 = 0xffff;
/// Version of the hand-off information.
const VERSION: u32 = 9;
const SYSTEM_MEMORY: u32 = 0;
const MEMORY_UNACCEPTED: u32 = 7;
/// Present, initialised, tested.
const ATTRIBUTES: u32 = 7;
/// Bytes of a block of each kind, headers of 8 bytes among them.
const HAND_OFF_BYTES: u16 = 56;
const RESOURCE_BYTES: u16 = 48;
const END_BYTES: u16 = 8;

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resource {
    gpa: u64,
    size: u64,
    is_accepted: bool,
}

/// The list at `at` of a TD whose memory is `ram`, in which `installed` are its pages already; both by address, none overlapping.
pub(super) fn list(at: Gpa, ram: &[Region], installed: &[Region]) -> Vec<u8> {
    let resources = resources(ram, installed);
    let count = resources.len() as u64;
    let length =
        u64::from(HAND_OFF_BYTES) + count * u64::from(RESOURCE_BYTES) + u64::from(END_BYTES);
    let mut list = Vec::new();
    header(&mut list, HAND_OFF, HAND_OFF_BYTES);
    list.extend(VERSION.to_le_bytes());
    // Boot mode, and four bounds of free memory, which the guest does not look at.
    list.extend([0; 4 + 4 * 8]);
    // Past the end of the space that the section can be in, nobody reads it.
    list.extend(at.bytes().saturating_add(length).to_le_bytes());
    for resource in resources {
        header(&mut list, RESOURCE, RESOURCE_BYTES);
        // Owner: none.
        list.extend([0; 16]);
        let kind = if resource.is_accepted {
            SYSTEM_MEMORY
        } else {
            MEMORY_UNACCEPTED
        };
        list.extend(kind.to_le_bytes());
        list.extend(ATTRIBUTES.to_le_bytes());
        list.extend(resource.gpa.to_le_bytes());
        list.extend(resource.size.to_le_bytes());
    }
    header(&mut list, END_OF_LIST, END_BYTES);
    list
}

fn header(list: &mut Vec<u8>, kind: u16, length: u16) {
    list.extend(kind.to_le_bytes());
    list.extend(length.to_le_bytes());
    list.extend([0; 4]);
}

/// Each region cut where pages were installed; these are not joined, as QEMU does not join them.
fn resources(ram: &[Region], installed: &[Region]) -> Vec<Resource> {
    let mut resources = Vec::new();
    for region in ram {
        let (mut from, end) = bounds(region);
        let mut push = |from: u64, to: u64, is_accepted| {
            if from < to {
                resources.push(Resource {
                    gpa: from,
                    size: to - from,
                    is_accepted,
                });
            }
        };
        for piece in installed {
            let (start, to) = bounds(piece);
            let (start, to) = (start.max(from), to.min(end));
            if start < to {
                push(from, start, false);
                push(start, to, true);
                from = to;
            }
        }
        push(from, end, false);
    }
    resources
}

fn bounds(region: &Region) -> (u64, u64) {
    let start = region.gpa.bytes();
    (start, start.saturating_add(region.size))
}

/// The regions without these bytes, which are the image's and no memory.
pub(super) fn without(regions: &[Region], hole: Region) -> Vec<Region> {
    let (hole_start, hole_end) = bounds(&hole);
    let mut left = Vec::new();
    for region in regions {
        let (start, end) = bounds(region);
        for (from, to) in [(start, end.min(hole_start)), (start.max(hole_end), end)] {
            if from < to {
                left.push(Region {
                    gpa: Gpa::new(from),
                    size: to - from,
                });
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(texts: &[&str]) -> Vec<Region> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn pieces(ram: &[&str], installed: &[&str]) -> Vec<(u64, u64, bool)> {
        resources(&regions(ram), &regions(installed))
            .into_iter()
            .map(|it| (it.gpa, it.size, it.is_accepted))
            .collect()
    }

    #[test]
    fn memory_is_cut_where_pages_were_installed() {
        assert_eq!(pieces(&["0x0+16K"], &[]), [(0, 0x4000, false)]);
        assert_eq!(
            pieces(
                &["0x0+64K", "0x100000+8K"],
                &["0x2000+4K", "0x3000+4K", "0x100000+8K"]
            ),
            [
                (0, 0x2000, false),
                (0x2000, 0x1000, true),
                (0x3000, 0x1000, true),
                (0x4000, 0xc000, false),
                (0x10_0000, 0x2000, true),
            ]
        );
        assert_eq!(
            pieces(&["0x1000+4K"], &["0x8000+4K"]),
            [(0x1000, 0x1000, false)]
        );
    }

    #[test]
    fn the_image_is_no_memory() {
        let hole: Region = "0x4000+8K".parse().unwrap();
        assert_eq!(without(&regions(&["0x0+16K"]), hole), regions(&["0x0+16K"]));
        assert_eq!(
            without(&regions(&["0x0+64K", "0x4000+4K"]), hole),
            regions(&["0x0+16K", "0x6000+40K"])
        );
    }

    #[test]
    fn blocks_are_as_the_specification_lays_them_out() {
        let list = list(
            Gpa::new(0x80_9000),
            &regions(&["0x0+8K"]),
            &regions(&["0x0+4K"]),
        );
        assert_eq!(list.len(), 56 + 2 * 48 + 8);
        let number = |at: usize| u64::from_le_bytes(list[at..at + 8].try_into().unwrap());
        assert_eq!((number(0), number(8)), (0x38_0001, 9));
        assert_eq!(number(48), 0x80_9000 + list.len() as u64);
        // Header, owner, type and attributes, start, length.
        let resource = |at: usize| [0, 8, 16, 24, 32, 40].map(|field| number(at + field));
        assert_eq!(resource(56), [0x30_0003, 0, 0, 7 << 32, 0, 0x1000]);
        assert_eq!(
            resource(104),
            [0x30_0003, 0, 0, 7 << 32 | 7, 0x1000, 0x1000]
        );
        assert_eq!(number(152), 0x8_ffff);
    }
}
