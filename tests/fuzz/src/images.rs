//! Images of each format.

use std::path::Path;

use bytes::Bytes;
use stagepages_client::{
    image::{self, ImageError, Input, Options},
    plan::Plan,
};

use crate::{sound, wishes::Wishes};

/// What the image is called.
const NAME: &str = "image";

/// An IGVM file.
pub fn igvm(bytes: &[u8]) {
    let Some((image, wishes)) = Wishes::split(bytes) else {
        return;
    };
    let mut image = image.to_vec();
    if wishes.repairs() {
        repair(&mut image);
    }
    run(image, &wishes, image::igvm::load);
}

/// Firmware.
pub fn ovmf(bytes: &[u8]) {
    split(bytes, image::ovmf::load);
}

/// An ELF executable.
pub fn elf(bytes: &[u8]) {
    split(bytes, image::elf::load);
}

/// A manifest, whose files are those in `files`. One that could name others is left out: what they hold is not the fuzzer's to say.
pub fn manifest(bytes: &[u8]) {
    let leads_out = |text: &[u8]| {
        text.iter().any(|byte| b"/\\".contains(byte)) || text.windows(2).any(|pair| pair == b"..")
    };
    let Some((text, wishes)) = Wishes::split(bytes).filter(|(text, _)| !leads_out(text)) else {
        return;
    };
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/files"));
    run(text.to_vec(), &wishes, |input, options| {
        image::manifest::load(input, folder, options)
    });
}

/// A Linux kernel.
pub fn bzimage(bytes: &[u8]) {
    split(bytes, image::bzimage::load);
}

fn split(bytes: &[u8], load: impl Fn(&Input, &Options) -> Result<Plan, ImageError>) {
    if let Some((image, wishes)) = Wishes::split(bytes) {
        run(image.to_vec(), &wishes, load);
    }
}

fn run(
    image: Vec<u8>,
    wishes: &Wishes,
    load: impl Fn(&Input, &Options) -> Result<Plan, ImageError>,
) {
    let input = Input {
        name: NAME.to_owned(),
        bytes: image.into(),
    };
    let options = wishes.options();
    match load(&input, &options) {
        Ok(plan) => sound::plan(&plan, &input, wishes.given()),
        Err(error) => sound::error(&error),
    }
}

/// Writes the size and the checksum that the file must have, which no mutation would find (`IGVM_FIXED_HEADER`: size u32@16, checksum u32@20, over
/// the fixed header, itself zero, and the variable headers at u32@8, of length u32@12).
fn repair(image: &mut [u8]) {
    let length = u32::try_from(image.len()).unwrap_or(u32::MAX);
    put(image, 16, length);
    put(image, 20, 0);
    let Some(version) = get(image, 4) else { return };
    let fixed = if version == 2 { 32 } else { 24 };
    let headers = || {
        let start = usize::try_from(get(image, 8)?).ok()?;
        let size = usize::try_from(get(image, 12)?).ok()?;
        image.get(start..start.checked_add(size)?)
    };
    let Some(sum) = image.get(..fixed).zip(headers()).map(|(fixed, headers)| {
        let mut sum = crc32fast::Hasher::new();
        sum.update(fixed);
        sum.update(headers);
        sum.finalize()
    }) else {
        return;
    };
    put(image, 20, sum);
}

fn get(image: &[u8], at: usize) -> Option<u32> {
    image
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)
}

fn put(image: &mut [u8], at: usize, value: u32) {
    if let Some(field) = image.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// An input of these bytes that is not the image.
pub(crate) fn another(name: &str, bytes: &[u8]) -> Input {
    Input {
        name: name.to_owned(),
        bytes: Bytes::copy_from_slice(bytes),
    }
}
