//! A kernel, placed, with what it needs around it: a plan.

use bytes::Bytes;

use super::{Mode, Space, Span, guest, initrd, mode::Pointers, params::Params, tables::Mapped};
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    image::{ImageError, Options},
    plan::{Contents, Extent, Finding, Plan},
    v1::{PageType, Platform},
};

/// Where the structures may be: not in page 0, below 640 KiB and else between 1 MiB and 4 GiB, as the boot protocol's addresses have 32 bits.
const PLACES: [(u64, u64); 2] = [(0x1000, 0xa_0000), (0x10_0000, 1 << 32)];
/// Regions of a guest that gets as much memory as its image needs are whole large pages.
const GRAIN: u64 = 2 << 20;

/// A kernel whose parts are placed.
#[derive(Debug)]
pub(in crate::image) struct Kernel {
    /// For people: `ELF, x86-64`.
    pub(in crate::image) format: String,
    pub(in crate::image) mode: Mode,
    /// Its first instruction.
    pub(in crate::image) entry: Gpa,
    /// What is staged of it; its places are taken.
    pub(in crate::image) extents: Vec<Extent>,
    /// Its own setup header, from offset 0x1f1 on, and where its protected-mode part lies.
    pub(in crate::image) header: Option<(Vec<u8>, Gpa)>,
    /// The longest command line that it takes, in bytes, without the final zero.
    pub(in crate::image) longest_command_line: u64,
    /// The address from which on it takes no initrd.
    pub(in crate::image) initrd_limit: Gpa,
    pub(in crate::image) findings: Vec<Finding>,
}

/// What a guest needs whose memory nobody gave.
#[derive(Debug)]
pub(in crate::image) struct Needs<'a> {
    /// The kernel's places.
    pub(in crate::image) spans: &'a [Span],
    /// The address from which on it takes no initrd.
    pub(in crate::image) initrd_limit: Gpa,
}

impl Needs<'_> {
    /// The memory that was wished for, or as little as is needed.
    pub(in crate::image) fn memory(&self, options: &Options) -> Result<Space, ImageError> {
        if !options.memory.is_empty() {
            return Space::new(&options.memory);
        }
        let low = [Span::of(Gpa::new(0), 1 << 20)];
        let mut spans: Vec<Span> = low
            .into_iter()
            .flatten()
            .chain(self.spans.iter().copied())
            .collect();
        if let Some(input) = &options.initrd {
            spans.push(self.room(&spans, input.bytes.len() as u64)?);
        }
        Space::around(&spans, GRAIN)
    }

    /// The lowest place of whole large pages for an initrd.
    fn room(&self, spans: &[Span], bytes: u64) -> Result<Span, ImageError> {
        let all = Region {
            gpa: Gpa::new(0),
            size: self.initrd_limit.bytes().next_multiple_of(PAGE_BYTES),
        };
        let mut space = Space::new(&[all])?;
        let kernel = Space::around(spans, GRAIN)?;
        for run in kernel.runs() {
            if let Some(inside) = Span::between(run.start, run.end.min(Gpa::new(all.size))) {
                space.take("the kernel", inside)?;
            }
        }
        let within = Span::between(Gpa::new(GRAIN), Gpa::new(all.size));
        within
            .and_then(|within| space.lowest(bytes.max(1), GRAIN, within))
            .ok_or_else(|| {
                let problem = format!(
                    "{bytes:#x} bytes find no place below GPA {:#x}, where this kernel takes it; give a smaller file",
                    all.size
                );
                ImageError::whole("initrd", problem)
            })
    }
}

impl Kernel {
    /// The plan, in a guest with this memory.
    ///
    /// # Errors
    /// No room for what the kernel is given, or it does not take that.
    pub(in crate::image) fn plan(
        self,
        platform: Platform,
        mut space: Space,
        options: &Options,
    ) -> Result<Plan, ImageError> {
        let mapped = match self.mode {
            Mode::Long => Some(Mapped::of(space.runs())),
            Mode::Flat => None,
        };
        let command_line = self.command_line(options)?;
        let line_pages = command_line
            .as_ref()
            .map_or(0, |line| pages(line.len() as u64));
        let table_pages = mapped.as_ref().map_or(0, Mapped::pages);
        let params_at = structures(&mut space, 2 + table_pages + line_pages)?;
        let behind = |pages: u64| Gpa::new(params_at.bytes() + pages * PAGE_BYTES);
        let at = Pointers {
            entry: self.entry,
            params: params_at,
            gdt: behind(1),
            tables: mapped.as_ref().map(|_| behind(2)),
        };

        let mut params = Params::new(self.header.as_ref().map(|(header, _)| header.as_slice()));
        params.memory(space.memory())?;
        if let Some((_, place)) = &self.header {
            params.kernel(*place);
        }
        let mut extents = self.extents;
        if let Some(line) = command_line {
            let place = behind(2 + table_pages);
            params.command_line(place);
            extents.extend(data(place, line.into(), "command line"));
        }
        if let Some(input) = &options.initrd {
            let bytes = input.bytes.len() as u64;
            let place = initrd::place(&mut space, bytes, self.initrd_limit)?;
            params.initrd(place, bytes);
            extents.extend(data(place.start, input.bytes.clone(), "initrd"));
        }
        extents.extend(data(at.gdt, self.mode.gdt().into(), "GDT"));
        if let (Some(mapped), Some(place)) = (mapped, at.tables) {
            extents.extend(data(place, mapped.tables(place).into(), "page tables"));
        }
        extents.extend(data(at.params, params.into_bytes().into(), "boot_params"));
        extents.sort_by_key(Extent::gpa);

        let (vcpus, finding) = guest::vcpus(options, self.mode, at)?;
        let mut findings = self.findings;
        findings.extend(finding);
        Ok(Plan {
            platform,
            format: self.format,
            memory: space.memory().to_vec(),
            extents,
            vcpus,
            sev_snp: None,
            tdx: None,
            finish: None,
            expected_digest: None,
            findings,
        })
    }

    /// The command line with its final zero.
    fn command_line(&self, options: &Options) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(text) = &options.append else {
            return Ok(None);
        };
        let (length, longest) = (text.len() as u64, self.longest_command_line);
        if length > longest {
            let problem = format!(
                "{length:#x} bytes, and this kernel takes at most {longest:#x}; shorten it"
            );
            return Err(ImageError::whole("command line", problem));
        }
        if text.contains('\0') {
            let problem = "a zero byte in it would end it; leave it out";
            return Err(ImageError::whole("command line", problem));
        }
        Ok(Some([text.as_bytes(), &[0]].concat()))
    }
}

/// Takes the lowest place for so many pages.
fn structures(space: &mut Space, pages: u64) -> Result<Gpa, ImageError> {
    let bytes = pages * PAGE_BYTES;
    let place = PLACES.iter().find_map(|&(start, end)| {
        let within = Span::between(Gpa::new(start), Gpa::new(end))?;
        space.lowest(bytes, PAGE_BYTES, within)
    });
    let Some(place) = place else {
        let problem = format!(
            "no free {bytes:#x} bytes below 4 GiB for what a kernel finds at its start (boot_params, GDT, page tables, command line); give memory at 0x0"
        );
        return Err(ImageError::whole("guest memory", problem));
    };
    space.take("what a kernel finds at its start", place)?;
    Ok(place.start)
}

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES)
}

fn data(gpa: Gpa, bytes: Bytes, name: &str) -> Option<Extent> {
    Extent::new(gpa, PageType::Normal, Contents::Bytes(bytes), name)
}
