//! Files that a manifest names.
//!
//! **Invariant:** nothing is opened that is no regular file: opening a device may do something, and a FIFO may wait forever.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{Mode, OFlags};
use toml::Spanned;

use super::place::Text;
use crate::{image::ImageError, plan::FileSlice};

/// Each stays open until the plan is staged.
const MOST_FILES: usize = 256;

/// The files, each opened once.
#[derive(Debug)]
pub(super) struct Files<'a> {
    pub(super) text: Text<'a>,
    base: &'a Path,
    open: HashMap<PathBuf, (Arc<File>, u64)>,
}

impl<'a> Files<'a> {
    pub(super) fn new(text: Text<'a>, base: &'a Path) -> Self {
        Self {
            text,
            base,
            open: HashMap::new(),
        }
    }

    /// A file and how many bytes it has.
    pub(super) fn open(
        &mut self,
        path: &Spanned<PathBuf>,
        key: &str,
    ) -> Result<(Arc<File>, u64), ImageError> {
        if let Some((file, length)) = self.open.get(path.get_ref()) {
            return Ok((Arc::clone(file), *length));
        }
        let wrong = |problem: &str| {
            let problem = format!("{}: {problem}", path.get_ref().display());
            self.text.at(path, key, &problem)
        };
        if self.open.len() == MOST_FILES {
            return Err(wrong(&format!(
                "more than {MOST_FILES} different files; put several into one, and give offsets"
            )));
        }
        let (file, length) = regular(&self.base.join(path.get_ref())).map_err(|error| {
            wrong(&format!(
                "{error}; give a regular file that this user can read"
            ))
        })?;
        let file = Arc::new(file);
        let opened = (Arc::clone(&file), length);
        self.open.insert(path.get_ref().clone(), opened);
        Ok((file, length))
    }

    /// All of a file that has exactly so many bytes.
    pub(super) fn whole(
        &mut self,
        path: &Spanned<PathBuf>,
        key: &str,
        length: usize,
    ) -> Result<Vec<u8>, ImageError> {
        let (file, has) = self.open(path, key)?;
        let wrong = |problem: String| self.text.at(path, key, &problem);
        if has != length as u64 {
            let name = path.get_ref().display();
            return Err(wrong(format!(
                "{name} has {has:#x} bytes; give one of {length:#x}"
            )));
        }
        let mut bytes = vec![0; length];
        FileSlice::new(file, 0, has)
            .read(0, &mut bytes)
            .map_err(|error| wrong(format!("cannot be read: {error}; give a file that can")))?;
        Ok(bytes)
    }
}

fn regular(path: &Path) -> io::Result<(File, u64)> {
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    // It may have been exchanged since: what is open now is looked at again, and opening it has not waited.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let about = file.metadata()?;
    match about.is_file() {
        true => Ok((file, about.len())),
        false => Err(not_regular()),
    }
}
