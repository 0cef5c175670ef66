//! `struct boot_params` (arch/x86/include/uapi/asm/bootparam.h), the page that tells a kernel about its machine.
//!
//! **Invariant:** what is not written is zero, as the boot protocol wants it.

use super::Span;
use crate::{
    addr::{Gpa, Region},
    image::ImageError,
};

/// Where the setup header is, here and in a bzImage.
pub(in crate::image) const HEADER: usize = 0x1f1;
/// The end of the room for it.
const HEADER_END: usize = 0x290;
const EXT_INITRD: usize = 0x0c0;
const EXT_INITRD_SIZE: usize = 0x0c4;
const E820_ENTRIES: usize = 0x1e8;
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const CODE32_START: usize = 0x214;
const INITRD: usize = 0x218;
const INITRD_SIZE: usize = 0x21c;
const COMMAND_LINE: usize = 0x228;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY: usize = 20;
const MOST_E820: usize = 128;
/// Memory that may be used.
const E820_RAM: u32 = 1;
/// A loader without a number of its own.
const UNDEFINED_LOADER: u8 = 0xff;
/// loadflags, LOADED_HIGH: the kernel is not below 1 MiB.
const LOADED_HIGH: u8 = 1;

/// The page.
pub(super) struct Params(Vec<u8>);

impl Params {
    /// With the kernel's own setup header, or for a kernel without one that of a loader which knows protocol 2.12.
    pub(super) fn new(header: Option<&[u8]>) -> Self {
        let mut page = Self(vec![0; 4096]);
        match header {
            Some(header) => {
                let (fits, _) = header
                    .split_at_checked(HEADER_END - HEADER)
                    .unwrap_or((header, &[]));
                page.put(HEADER, fits);
            }
            None => {
                page.put(BOOT_FLAG, &0xaa55_u16.to_le_bytes());
                page.put(MAGIC, b"HdrS\x0c\x02");
                page.put(LOADFLAGS, &[LOADED_HIGH]);
            }
        }
        page.put(TYPE_OF_LOADER, &[UNDEFINED_LOADER]);
        page
    }

    /// All memory as usable: there is nothing else in the guest.
    ///
    /// # Errors
    /// More regions than the table has entries.
    pub(super) fn memory(&mut self, regions: &[Region]) -> Result<(), ImageError> {
        let Some(count) = u8::try_from(regions.len())
            .ok()
            .filter(|it| usize::from(*it) <= MOST_E820)
        else {
            let problem = format!(
                "{} regions, and boot_params has room for {MOST_E820}; give fewer and larger ones",
                regions.len()
            );
            return Err(ImageError::whole("guest memory", problem));
        };
        self.put(E820_ENTRIES, &[count]);
        for (at, region) in (E820_TABLE..).step_by(E820_ENTRY).zip(regions) {
            self.put(at, &region.gpa.bytes().to_le_bytes());
            self.put(at + 8, &region.size.to_le_bytes());
            self.put(at + 16, &E820_RAM.to_le_bytes());
        }
        Ok(())
    }

    /// Where the kernel lies, for a bzImage, which may have been moved.
    pub(super) fn kernel(&mut self, at: Gpa) {
        self.low(CODE32_START, at.bytes());
    }

    /// Where the command line is, below 4 GiB.
    pub(super) fn command_line(&mut self, at: Gpa) {
        self.low(COMMAND_LINE, at.bytes());
    }

    /// Where the initial RAM disk is, and how many bytes it has.
    pub(super) fn initrd(&mut self, place: Span, bytes: u64) {
        self.low(INITRD, place.start.bytes());
        self.low(EXT_INITRD, place.start.bytes() >> 32);
        self.low(INITRD_SIZE, bytes);
        self.low(EXT_INITRD_SIZE, bytes >> 32);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The low 32 bits of a number, as the fields are wide.
    fn low(&mut self, at: usize, number: u64) {
        let [a, b, c, d, ..] = number.to_le_bytes();
        self.put(at, &[a, b, c, d]);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let room = self.0.iter_mut().skip(at);
        room.zip(bytes).for_each(|(to, from)| *to = *from);
    }
}
