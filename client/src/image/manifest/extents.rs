//! Extents, in the manifest's order.

use toml::Spanned;

use super::{
    document::{Extent as Given, PageType},
    files::Files,
};
use crate::{
    addr::PAGE_BYTES,
    image::{ImageError, Options},
    plan::{Contents, Extent, FileSlice, Finding, Severity},
};

/// Bytes of zeros in one manifest. What a typing error must not make of a small file: zeros are measured page by page.
const MOST_ZEROS: u64 = 16 << 30;
/// Bytes of files in one manifest. Each is read and measured, and neither a hole in a file nor a file that several extents name costs anything to claim.
const MOST_OF_FILES: u64 = 64 << 30;

/// All of them, and what is worth saying.
pub(super) fn extents(
    files: &mut Files<'_>,
    given: &[Spanned<Given>],
    options: &Options,
) -> Result<(Vec<Extent>, Vec<Finding>), ImageError> {
    let mut reader = Reader {
        files,
        options,
        findings: Vec::new(),
        zeros: Total::of("zeros", MOST_ZEROS),
        of_files: Total::of("contents from files", MOST_OF_FILES),
    };
    let extents = given.iter().enumerate();
    let extents: Result<_, _> = extents
        .map(|(index, it)| reader.extent(index, it))
        .collect();
    Ok((extents?, reader.findings))
}

struct Reader<'a, 'b> {
    files: &'a mut Files<'b>,
    options: &'a Options,
    findings: Vec<Finding>,
    zeros: Total,
    of_files: Total,
}

/// Bytes of a kind so far.
struct Total {
    what: &'static str,
    bytes: u64,
    most: u64,
}

impl Total {
    fn of(what: &'static str, most: u64) -> Self {
        Self {
            what,
            bytes: 0,
            most,
        }
    }

    /// Counts more.
    ///
    /// # Errors
    /// What is wrong, if they are too many now.
    fn add(&mut self, bytes: u64) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.most {
            return Ok(());
        }
        Err(format!(
            "up to here {} are {:#x} bytes, more than {:#x}; stage less of it: memory that is not staged needs no pages",
            self.what, self.bytes, self.most
        ))
    }
}

impl Reader<'_, '_> {
    fn extent(&mut self, index: usize, given: &Spanned<Given>) -> Result<Extent, ImageError> {
        let key = |part: &str| format!("extent[{index}]{part}");
        let it = given.get_ref();
        self.fits_type(index, given)?;
        let contents = match (&it.file, &it.hex, &it.length) {
            (Some(path), ..) => {
                let (file, has) = self.files.open(path, &key(".file"))?;
                let offset = it.offset.as_ref().map_or(0, |it| it.get_ref().0.0);
                let rest = has.saturating_sub(offset);
                let length = it.length.as_ref().map_or(rest, |it| it.get_ref().0.0);
                if length == 0 || length > rest {
                    let problem = format!(
                        "{length:#x} bytes from offset {offset:#x} of {}, which has {has:#x}; give a part of the file that is there",
                        path.get_ref().display()
                    );
                    return Err(self.files.text.at(path, &key(".file"), &problem));
                }
                Contents::File(FileSlice::new(file, offset, length))
            }
            (None, Some(hex), _) => Contents::Bytes(hex.get_ref().0.0.clone()),
            (None, None, Some(_)) => Contents::Zeros,
            (None, None, None) => Contents::Bytes(self.no_leaves()),
        };
        let contents = match &self.options.cpuid_page {
            Some(page) if it.page_type == PageType::Cpuid => Contents::Bytes(page.clone()),
            Some(_) | None => contents,
        };
        let bytes = match &contents {
            Contents::Bytes(bytes) => bytes.len() as u64,
            Contents::File(slice) => slice.length(),
            Contents::Zeros => it.length.as_ref().map_or(0, |it| it.get_ref().0.0),
        };
        let wrong = |problem: &str| self.files.text.at(given, &key(""), problem);
        let is_cpuid = it.page_type == PageType::Cpuid;
        if is_cpuid && bytes > PAGE_BYTES {
            return Err(wrong(&format!(
                "a CPUID page has 0x1000 bytes, and this {bytes:#x}; give one page"
            )));
        }
        if !is_cpuid && !it.pad && !bytes.is_multiple_of(PAGE_BYTES) {
            return Err(wrong(&format!(
                "{bytes:#x} bytes are no whole pages of 0x1000; add pad = true to fill the last one up with zeros, or give other lengths"
            )));
        }
        let name = it.name.clone().unwrap_or_else(|| usual_name(it));
        let (gpa, page_type) = (it.gpa.0, it.page_type.into());
        let counted = match &contents {
            Contents::Zeros => self.zeros.add(bytes),
            Contents::File(_) => self.of_files.add(bytes),
            Contents::Bytes(_) => Ok(()),
        };
        counted.map_err(|problem| wrong(&problem))?;
        let extent = match contents {
            Contents::Zeros => Extent::zeros(gpa, page_type, bytes.div_ceil(PAGE_BYTES), name),
            contents @ (Contents::Bytes(_) | Contents::File(_)) => {
                Extent::new(gpa, page_type, contents, name)
            }
        };
        extent.ok_or_else(|| {
            wrong(&format!("{bytes:#x} bytes at GPA {gpa} are nothing, or leave the address space; give other numbers"))
        })
    }

    /// Whether the page type takes what was given.
    fn fits_type(&self, index: usize, given: &Spanned<Given>) -> Result<(), ImageError> {
        let it = given.get_ref();
        let has = (it.file.is_some(), it.hex.is_some(), it.length.is_some());
        let problem = match (it.page_type, has) {
            (_, (true, true, _)) => "`file` and `hex` are both contents; give one",
            (_, (false, true, true)) => "`hex` has a length of its own; leave `length` out",
            (_, (false, ..)) if it.offset.is_some() => {
                "`offset` is one in a file; give `file`, or leave it out"
            }
            (PageType::Normal | PageType::Unmeasured, (false, false, false)) => {
                "no contents; give `file`, `hex`, or for zeros `length`"
            }
            (PageType::Zero | PageType::Secrets, (true, ..) | (_, true, _)) => {
                "zero and secrets pages have no contents of yours; give `length` alone"
            }
            (PageType::Zero | PageType::Secrets, (.., false)) => "no length; give `length`",
            (PageType::Cpuid, (false, false, true)) => {
                "a CPUID page is one page of contents; give `file` or `hex`, or neither and the page when planning"
            }
            (
                PageType::Normal
                | PageType::Unmeasured
                | PageType::Cpuid
                | PageType::Zero
                | PageType::Secrets,
                _,
            ) => {
                return Ok(());
            }
        };
        Err(self
            .files
            .text
            .at(given, &format!("extent[{index}]"), problem))
    }

    /// A CPUID page of a manifest that has none.
    fn no_leaves(&mut self) -> bytes::Bytes {
        if self.options.cpuid_page.is_none() {
            let text = "the CPUID page has no leaves, and a guest that asks finds none; give `file` or `hex` in its extent, or a page when planning";
            self.findings
                .push(Finding::new(Severity::Warning, "CPUID_PAGE_EMPTY", text));
        }
        bytes::Bytes::from_static(&[0; 4096])
    }
}

fn usual_name(given: &Given) -> String {
    let file = given
        .file
        .as_ref()
        .and_then(|path| path.get_ref().file_name());
    match (file, &given.hex, given.page_type) {
        (Some(name), ..) => name.to_string_lossy().into_owned(),
        (None, Some(_), _) => "hex".to_owned(),
        (None, None, PageType::Normal | PageType::Zero | PageType::Unmeasured) => {
            "zeros".to_owned()
        }
        (None, None, PageType::Secrets) => "secrets".to_owned(),
        (None, None, PageType::Cpuid) => "CPUID page".to_owned(),
    }
}
