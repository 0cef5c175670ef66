//! The files that TLS is configured with, and how they are read.
//!
//! **Invariant:** what is read is a regular file of bounded size, so reading neither hangs nor grows.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::identity::IdentityKind;

/// The most that a file of certificates may have, in bytes: some hundred CAs.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What TCP is served with, as it is configured. Paths may lead through links that are swapped, as Kubernetes does with secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and its intermediates, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM, not encrypted.
    pub key: PathBuf,
    /// The CAs of clients, PEM; one or more.
    pub client_ca: PathBuf,
    /// What of a client's certificate names it.
    pub identity: IdentityKind,
}

impl TlsFiles {
    pub(super) fn server(&self) -> Vec<PathBuf> {
        vec![self.cert.clone(), self.key.clone()]
    }

    pub(super) fn client_ca(&self) -> Vec<PathBuf> {
        vec![self.client_ca.clone()]
    }
}

/// By what a changed file is told from the one before: another inode, or another time or size of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 6]>>);

impl Stamp {
    /// Of what is at `paths` now. A file that is not there has none.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let stamp = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some([
                found.dev().cast_signed(),
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime() ^ found.mtime_nsec().rotate_left(32),
                found.ctime(),
                found.ctime_nsec(),
            ])
        };
        Self(paths.iter().map(stamp).collect())
    }
}

/// More than `read_to_end` looks for behind the end of a full block, by way of the stack (`small_probe_read()`, library/std/src/io/mod.rs).
const ROOM_BEHIND: usize = 64;

/// All of the file at `path`, in one block. The file may be a key: what is on the heap is wiped when it is freed (`stagepages_kvm::WipingHeap`), and nothing
/// of it is to be anywhere else.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened, which waits at a FIFO; and again after that, when nobody can swap it any more.
    let regular = |found: fs::Metadata| {
        if found.is_file() {
            Ok(())
        } else {
            Err(io::Error::other("it is no regular file"))
        }
    };
    regular(fs::metadata(path)?)?;
    let file = File::open(path)?;
    let found = file.metadata()?;
    let size = found.size().min(MAX_FILE_BYTES + 1);
    regular(found)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + ROOM_BEHIND);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(bytes)
}
