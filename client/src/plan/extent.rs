//! Consecutive pages of one type, and where their bytes are.
//!
//! **Invariant:** never empty, never past the end of the address space, and its contents end in its last page.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    addr::{Gpa, PAGE_BYTES},
    images::ReadAt,
    v1::PageType,
};

/// Bytes of a page, as a length in memory.
const PAGE: usize = 4096;
/// Pages that are read from a file at once.
const READ_PAGES: usize = 64;

/// Pages that are staged together.
#[derive(Clone)]
pub struct Extent {
    gpa: Gpa,
    pages: u64,
    page_type: PageType,
    contents: Contents,
    name: String,
}

/// What is in the pages of an extent. Bytes that do not fill the last page are followed by zeros.
#[derive(Clone, Debug)]
pub enum Contents {
    /// These.
    Bytes(Bytes),
    /// Those of a part of a file.
    File(FileSlice),
    /// Zeros, or what firmware writes.
    Zeros,
}

/// A part of a file, read when it is needed.
#[derive(Clone, Debug)]
pub struct FileSlice {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

impl FileSlice {
    /// `length` bytes from `offset` on.
    #[must_use]
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            length,
        }
    }

    /// All of a regular file, as long as it is now.
    ///
    /// # Errors
    /// Its length cannot be asked for.
    pub fn whole(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(Arc::new(file), 0, length))
    }

    /// Bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether both are the same bytes of one file, which may have been opened twice.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let file = |slice: &Self| {
            let about = slice.file.metadata().ok()?;
            Some((about.dev(), about.ino()))
        };
        let place = |slice: &Self| (slice.offset, slice.length);
        place(self) == place(other)
            && (Arc::ptr_eq(&self.file, &other.file)
                || file(self).is_some_and(|it| Some(it) == file(other)))
    }

    /// Reads bytes from `at` on, counted from the slice's beginning.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    pub fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, self.offset.saturating_add(at))
    }
}

impl ReadAt for FileSlice {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.read(at, out)
    }
}

impl Extent {
    /// Pages with contents, as many as these need. `None` if there are none, or they reach past the end of the address space.
    #[must_use]
    pub fn new(
        gpa: Gpa,
        page_type: PageType,
        contents: Contents,
        name: impl Into<String>,
    ) -> Option<Self> {
        let pages = contents.length()?.div_ceil(PAGE_BYTES);
        Self::build(gpa, pages, page_type, contents, name.into())
    }

    /// Pages of zeros, or that firmware writes. `None` as for [`Extent::new`].
    #[must_use]
    pub fn zeros(
        gpa: Gpa,
        page_type: PageType,
        pages: u64,
        name: impl Into<String>,
    ) -> Option<Self> {
        Self::build(gpa, pages, page_type, Contents::Zeros, name.into())
    }

    fn build(
        gpa: Gpa,
        pages: u64,
        page_type: PageType,
        contents: Contents,
        name: String,
    ) -> Option<Self> {
        let fits = gpa.plus_pages(pages).is_some();
        (pages > 0 && fits).then_some(Self {
            gpa,
            pages,
            page_type,
            contents,
            name,
        })
    }

    /// Address of the first page.
    #[must_use]
    pub fn gpa(&self) -> Gpa {
        self.gpa
    }

    /// How many, at least one.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The address behind the last one.
    #[must_use]
    pub fn end(&self) -> Gpa {
        Gpa::new(self.gpa.bytes() + self.pages * PAGE_BYTES)
    }

    /// Type of every page.
    #[must_use]
    pub fn page_type(&self) -> PageType {
        self.page_type
    }

    /// What is in them.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// What the image calls it, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shows every page in ascending order: its address and its bytes, `None` for zeros that nothing in the image spells out.
    ///
    /// # Errors
    /// A file could not be read.
    pub fn each_page(&self, mut page: impl FnMut(Gpa, Option<&[u8; PAGE]>)) -> io::Result<()> {
        let mut gpas = (self.gpa.bytes()..).step_by(PAGE).map(Gpa::new);
        let mut show = |bytes: &[u8]| {
            let (whole, rest) = bytes.as_chunks::<PAGE>();
            // In this order: a zip takes from its left first, and would lose an address at the end.
            for (bytes, gpa) in whole.iter().zip(gpas.by_ref()) {
                page(gpa, Some(bytes));
            }
            if !rest.is_empty() {
                let mut last = [0; PAGE];
                last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                gpas.next()
                    .into_iter()
                    .for_each(|gpa| page(gpa, Some(&last)));
            }
        };
        match &self.contents {
            Contents::Bytes(bytes) => show(bytes),
            Contents::File(slice) => {
                let mut buffer = vec![0; PAGE * READ_PAGES];
                let mut at = 0;
                while at < slice.length {
                    let left = usize::try_from(slice.length - at).unwrap_or(usize::MAX);
                    let part = left.min(buffer.len());
                    let part = buffer.get_mut(..part).unwrap_or_default();
                    slice.read(at, part)?;
                    show(part);
                    at += part.len() as u64;
                }
            }
            Contents::Zeros => gpas
                .take(usize::try_from(self.pages).unwrap_or(usize::MAX))
                .for_each(|gpa| page(gpa, None)),
        }
        Ok(())
    }
}

impl Contents {
    /// Bytes; `None` for zeros, which have no length of their own.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(slice) => Some(slice.length),
            Self::Zeros => None,
        }
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {}+{} pages",
            self.name, self.page_type, self.gpa, self.pages
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn pages_of(extent: &Extent) -> Vec<(u64, Option<[u8; PAGE]>)> {
        let mut pages = Vec::new();
        extent
            .each_page(|gpa, bytes| pages.push((gpa.bytes(), bytes.copied())))
            .unwrap();
        pages
    }

    #[test]
    fn bytes_and_a_file_with_the_same_bytes_are_the_same_pages() {
        let bytes: Vec<u8> = (0..PAGE * READ_PAGES + 5)
            .map(|at| u8::try_from(at % 251).unwrap() | 1)
            .collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"xyz").unwrap();
        file.write_all(&bytes).unwrap();
        let slice = FileSlice::new(Arc::new(file), 3, bytes.len() as u64);
        let at = Gpa::new(0x1000);
        let of_file = Extent::new(at, PageType::Normal, Contents::File(slice), "a").unwrap();
        let of_bytes =
            Extent::new(at, PageType::Normal, Contents::Bytes(bytes.into()), "b").unwrap();
        let pages = pages_of(&of_bytes);
        assert!(pages == pages_of(&of_file));
        assert_eq!(pages.len() as u64, of_bytes.pages());
        let (gpa, last) = pages.last().unwrap();
        assert_eq!((*gpa, of_file.end().bytes()), (0x41000, 0x42000));
        assert!(
            last.unwrap()[..5].iter().all(|byte| *byte != 0) && last.unwrap()[5..] == [0; PAGE - 5]
        );
    }

    #[test]
    fn parts_of_files_are_the_same_where_file_and_place_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let slice = |offset, length| {
            let file = File::options().read(true).open(&path).unwrap();
            FileSlice::new(Arc::new(file), offset, length)
        };
        std::fs::write(&path, [7; 8]).unwrap();
        let first = slice(0, 8);
        assert!(first.is_same(&first.clone()) && first.is_same(&slice(0, 8)));
        assert!(!first.is_same(&slice(0, 7)) && !first.is_same(&slice(1, 8)));
        // Another one of the same name, bytes and all.
        std::fs::write(directory.path().join("b"), [7; 8]).unwrap();
        std::fs::rename(directory.path().join("b"), &path).unwrap();
        assert!(!first.is_same(&slice(0, 8)));
    }

    #[test]
    fn a_file_that_shrank_is_an_error_and_not_zeros() {
        let slice = FileSlice::new(Arc::new(tempfile::tempfile().unwrap()), 0, 1);
        let extent =
            Extent::new(Gpa::new(0), PageType::Normal, Contents::File(slice), "a").unwrap();
        extent.each_page(|_, _| ()).unwrap_err();
    }

    #[test]
    fn nothing_and_what_leaves_the_address_space_is_no_extent() {
        let last = Gpa::new(u64::MAX - 0xfff);
        assert!(Extent::zeros(last, PageType::Zero, 1, "a").is_none());
        assert!(Extent::zeros(Gpa::new(0), PageType::Zero, 0, "a").is_none());
        assert!(Extent::zeros(Gpa::new(0), PageType::Zero, u64::MAX, "a").is_none());
        let none = Contents::Bytes(Bytes::new());
        assert!(Extent::new(Gpa::new(0), PageType::Normal, none, "a").is_none());
        assert!(Extent::new(Gpa::new(0), PageType::Normal, Contents::Zeros, "a").is_none());
    }

    #[test]
    fn zeros_are_told_apart_from_bytes_that_are_zero() {
        let zeros = Extent::zeros(Gpa::new(0x2000), PageType::Zero, 2, "a").unwrap();
        assert!(pages_of(&zeros) == [(0x2000, None), (0x3000, None)]);
    }
}
