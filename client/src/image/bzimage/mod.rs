//! A Linux kernel as its build makes it: bzImage, `vmlinuz`. For `kvm` and `sim`.
//!
//! The file is real-mode code, of which only the setup header counts here (Documentation/arch/x86/boot.rst), and behind it protected-mode code that
//! unpacks the kernel. The latter is loaded where the header prefers it, or higher if the guest has no memory there and the kernel can be moved, and
//! begins in 64-bit mode 0x200 bytes on. What surrounds it is that of the boot protocol (`image/linux_boot`).
//!
//! On the built-in host, which has no interrupt controller and no timer, Linux does not get far beyond its first messages; a launch host of one's own may
//! have both.
//!
//! **Invariant:** `init_size` bytes from the load address on are the kernel's, in the guest's memory, and nothing else lies there.

mod header;

use super::{
    ImageError, Input, Options,
    linux_boot::{Kernel, Mode, Needs, Space, Span, platform},
    unused,
};
use crate::{
    addr::{Gpa, PAGE_BYTES},
    plan::{Contents, Extent, Finding, Plan, Severity},
    v1::PageType,
};

use header::Header;

/// Where 64-bit code begins, behind the load address.
const ENTRY: u64 = 0x200;
/// A kernel that unpacks itself needs memory beyond what its header says: what a guest gets if nobody says how much it has.
const USUAL_MEMORY: u64 = 256 << 20;
/// A kernel's own addresses here have 32 bits.
const LIMIT: u64 = 1 << 32;

/// Whether it has the marks of a setup header.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    header::is_there(bytes)
}

/// The plan of a kernel.
///
/// # Errors
/// It is too old, has no 64-bit entry, lies, or does not fit the guest's memory.
pub fn load(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let plan = plan(input, options).map_err(|error| error.of(&input.name))?;
    Ok(unused::told(plan, options))
}

fn plan(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let platform = platform(options)?;
    let header = Header::parse(&input.bytes)?;
    let initrd_limit = Gpa::new(u64::from(header.initrd_last) + 1);
    let preferred = header.preferred()?;
    let usual = Span::of(Gpa::new(0), USUAL_MEMORY);
    let spans: Vec<Span> = usual.into_iter().chain([preferred]).collect();
    let mut space = Needs {
        spans: &spans,
        initrd_limit,
    }
    .memory(options)?;
    let place = place(&space, &header, preferred)?;
    space.take("the kernel", place)?;
    let mut findings = vec![Finding::new(
        Severity::Note,
        "NO_INTERRUPT_CONTROLLER",
        "the built-in host has no interrupt controller and no timer: Linux stops soon after its first messages; run it with a host program that has them",
    )];
    if place != preferred {
        let text = format!(
            "the guest has no memory where the kernel prefers to be, GPA {}; it is loaded higher",
            preferred.start
        );
        findings.push(Finding::new(Severity::Note, "RELOCATED", text).at(place.start));
    }
    let contents = Contents::Bytes(input.bytes.slice(header.code.clone()));
    let extent = Extent::new(place.start, PageType::Normal, contents, "kernel");
    let kernel = Kernel {
        format: format!("Linux bzImage, protocol {}", header.version()),
        mode: Mode::Long,
        entry: Gpa::new(place.start.bytes() + ENTRY),
        extents: extent.into_iter().collect(),
        header: Some((header.bytes.to_vec(), place.start)),
        longest_command_line: header.command_line.into(),
        initrd_limit,
        findings,
    };
    kernel.plan(platform, space, options)
}

/// Where it prefers to be, or higher: below that it would move itself there again (`startup_64`, arch/x86/boot/compressed/head_64.S).
fn place(space: &Space, header: &Header<'_>, preferred: Span) -> Result<Span, ImageError> {
    if space.is_free(preferred) {
        return Ok(preferred);
    }
    let higher = header.alignment()?.and_then(|align| {
        let within = Span::between(preferred.start, Gpa::new(LIMIT))?;
        space.lowest(preferred.bytes(), align.max(PAGE_BYTES), within)
    });
    higher.ok_or_else(|| {
        let way = match header.is_relocatable {
            true => "there, or higher and below 4 GiB",
            false => "there, for it is not relocatable",
        };
        let problem = format!(
            "the kernel needs {:#x} bytes at GPA {}, which are not all memory; give memory {way}",
            preferred.bytes(),
            preferred.start
        );
        ImageError::whole("guest memory", problem)
    })
}

#[cfg(test)]
mod tests;
