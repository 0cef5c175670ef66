//! Pages joined into extents: what follows one another in the guest and is of one type becomes one.
//!
//! Files hold equal pages once, so pages that follow one another in the guest are scattered in the file. They are copied together, as long as the copies
//! are no larger than eight files; beyond that, each part of the file stays an extent of its own.
//!
//! **Invariant:** order is kept, no extent crosses from one region into another, and a CPUID or SECRETS page is alone.

use std::ops::Range;

use bytes::Bytes;

use super::{
    super::{ImageError, Options},
    fixed::File,
    notes::Notes,
    pages::{Part, Piece},
    parameters::{self, Facts},
};
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    plan::{Contents, Extent, Severity},
    v1::PageType,
};

/// How many times the file's size is copied at most. Firmware of 4 MiB, most of it erased flash, is a file of less than a fifth of that.
const COPIES: usize = 8;

static ZERO_PAGE: [u8; 4096] = [0; 4096];

/// The extents, in order.
///
/// # Errors
/// A parameter does not fit, or the caller's CPUID page is no page.
pub(super) fn extents(
    file: &File,
    pieces: Vec<Piece>,
    facts: &Facts<'_>,
    options: &Options,
    memory: &[Region],
    notes: &mut Notes,
) -> Result<Vec<Extent>, ImageError> {
    let mut runs = Runs {
        file,
        starts: memory.iter().map(|region| region.gpa.bytes()).collect(),
        copies: file.length().saturating_mul(COPIES),
        run: None,
        list: Vec::new(),
    };
    let mut has_command_line = false;
    for piece in pieces {
        let (gpa, page_type) = (Gpa::new(piece.gpa), piece.page_type);
        let pages = piece.gpa..piece.gpa + piece.pages * PAGE_BYTES;
        match piece.part {
            Part::Area(area) => {
                let filled = parameters::fill(file, &area, facts, notes)?;
                has_command_line |= filled.has_command_line;
                let extent = match filled.bytes {
                    Some(bytes) => {
                        Extent::new(gpa, page_type, Contents::Bytes(bytes.into()), filled.name)
                    }
                    None => Extent::zeros(gpa, page_type, piece.pages, filled.name),
                };
                runs.alone(extent);
            }
            part if page_type == PageType::Cpuid => {
                let page = cpuid_page(file, part, piece.offset, options, notes)?;
                runs.alone(Extent::new(
                    gpa,
                    page_type,
                    Contents::Bytes(page),
                    "CPUID page",
                ));
            }
            _ if page_type == PageType::Secrets => {
                runs.alone(Extent::zeros(gpa, page_type, 1, "secrets page"));
            }
            Part::Data(range) => runs.add(&pages, page_type, Some(range)),
            Part::Zeros => runs.add(&pages, page_type, None),
        }
    }
    runs.flush();
    if options.append.is_some() && !has_command_line {
        let problem = "the image has no place for a command line; leave it out";
        return Err(ImageError::whole("IGVM parameter", problem));
    }
    Ok(runs.list)
}

/// What is in a CPUID page: what the caller says, or else the image; one without leaves fails at no launch and helps no guest.
fn cpuid_page(
    file: &File,
    part: Part,
    offset: u64,
    options: &Options,
    notes: &mut Notes,
) -> Result<Bytes, ImageError> {
    if let Some(page) = &options.cpuid_page {
        if page.is_empty() || page.len() as u64 > PAGE_BYTES {
            let problem = format!(
                "the CPUID page that was given has {:#x} bytes; give 1 to {PAGE_BYTES:#x}",
                page.len()
            );
            return Err(ImageError::at("IGVM page data", offset, problem));
        }
        return Ok(page.clone());
    }
    let page = match part {
        Part::Data(range) => file.slice(range),
        Part::Zeros | Part::Area(_) => Bytes::from_static(&ZERO_PAGE),
    };
    if page.iter().all(|byte| *byte == 0) {
        notes.once(Severity::Warning, "CPUID_EMPTY", offset, || {
            "the CPUID page has no leaves, and a guest that trusts it knows no feature of its processor; give a CPUID page".to_owned()
        });
    }
    Ok(page)
}

struct Runs<'a> {
    file: &'a File,
    /// Where regions begin, by address.
    starts: Vec<u64>,
    /// Bytes that may still be copied.
    copies: usize,
    run: Option<Run>,
    list: Vec<Extent>,
}

/// Pages that follow one another.
struct Run {
    gpa: u64,
    end: u64,
    page_type: PageType,
    /// Where their bytes are; `None` if they are zeros.
    data: Option<Vec<Range<usize>>>,
}

impl Runs<'_> {
    fn add(&mut self, pages: &Range<u64>, page_type: PageType, data: Option<Range<usize>>) {
        let starts_region = self.starts.binary_search(&pages.start).is_ok();
        if let Some(run) = &mut self.run
            && run.end == pages.start
            && run.page_type == page_type
            && run.data.is_some() == data.is_some()
            && !starts_region
        {
            run.end = pages.end;
            run.join(data);
            return;
        }
        self.flush();
        self.run = Some(Run {
            gpa: pages.start,
            end: pages.end,
            page_type,
            data: data.map(|range| vec![range]),
        });
    }

    fn alone(&mut self, extent: Option<Extent>) {
        self.flush();
        self.list.extend(extent);
    }

    fn flush(&mut self) {
        let Some(run) = self.run.take() else {
            return;
        };
        let (gpa, page_type) = (Gpa::new(run.gpa), run.page_type);
        let Some(parts) = run.data else {
            let pages = (run.end - run.gpa) / PAGE_BYTES;
            let zeros = Extent::zeros(gpa, page_type, pages, name(page_type, "zeros"));
            self.list.extend(zeros);
            return;
        };
        let slice = |range: &Range<usize>| self.file.slice(range.clone());
        let length: usize = parts.iter().map(Range::len).sum();
        let joined = match parts.as_slice() {
            [only] => Some(slice(only)),
            _ if length <= self.copies => {
                self.copies -= length;
                let mut bytes = Vec::with_capacity(length);
                parts
                    .iter()
                    .for_each(|part| bytes.extend_from_slice(&slice(part)));
                Some(bytes.into())
            }
            _ => None,
        };
        let extent = |gpa, bytes| {
            Extent::new(
                gpa,
                page_type,
                Contents::Bytes(bytes),
                name(page_type, "data"),
            )
        };
        if let Some(bytes) = joined {
            self.list.extend(extent(gpa, bytes));
            return;
        }
        let mut at = run.gpa;
        for part in &parts {
            self.list.extend(extent(Gpa::new(at), slice(part)));
            at += part.len() as u64;
        }
    }
}

impl Run {
    fn join(&mut self, data: Option<Range<usize>>) {
        let (Some(parts), Some(data)) = (&mut self.data, data) else {
            return;
        };
        match parts.last_mut() {
            Some(last) if last.end == data.start => last.end = data.end,
            _ => parts.push(data),
        }
    }
}

fn name(page_type: PageType, what: &str) -> String {
    match page_type {
        PageType::Unmeasured => format!("unmeasured {what}"),
        PageType::Normal
        | PageType::Zero
        | PageType::Secrets
        | PageType::Cpuid
        | PageType::Unspecified => what.to_owned(),
    }
}
