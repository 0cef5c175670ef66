//! The memory that a daemon puts pages into for its host.
//!
//! Locked here too, as far as the limit allows: the daemon may end and leave contents to this host. The daemon says once what the limit has to be.
//!
//! **Invariant:** only copied from; what a daemon changes meanwhile is seen in the copy, or not at all.

use std::{fs::File, os::fd::AsFd as _};

use stagepages_kvm::Window;

use crate::platform::SourceFile;

/// As the daemon sent it.
#[derive(Debug)]
pub(super) struct Staging {
    file: File,
    /// All of it. Without, for want of addresses or of the seals that a daemon of this program sets, the file is read.
    window: Option<Window>,
}

impl Staging {
    pub(super) fn new(file: File) -> Self {
        let mapped = file
            .metadata()
            .map_err(|error| error.to_string())
            .and_then(|about| {
                let window = Window::map(file.as_fd(), about.len());
                window.map_err(|error| error.to_string())
            });
        let window = mapped
            .inspect_err(|error| tracing::warn!(error, "the staging memory is read, not mapped"))
            .ok();
        let locked = window.as_ref().map_or(Ok(()), Window::lock);
        if let Err(error) = locked {
            tracing::debug!(%error, "the staging memory is not locked here");
        }
        Self { file, window }
    }

    pub(super) fn source(&self) -> SourceFile<'_> {
        match &self.window {
            Some(window) => SourceFile::mapped(&self.file, window),
            None => SourceFile::from(&self.file),
        }
    }
}
