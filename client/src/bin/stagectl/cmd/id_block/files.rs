//! The two files of an ID block: read whole and no further, written only where nothing is, both or none.
//!
//! **Invariant:** of a file no more is read than it may have, and one byte; no file is overwritten.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};

use bytes::Bytes;
use stagepages_client::id_block::{AUTH_BYTES, BLOCK_BYTES, SignedId};

use crate::failure::Failure;

/// Both files, as firmware takes them, and what they say.
#[derive(Debug)]
pub(crate) struct Files {
    /// The ID block, 96 bytes.
    pub(crate) block: Bytes,
    /// The ID authentication information, 4096 bytes.
    pub(crate) auth: Bytes,
    /// What they say. Signatures may be wrong.
    pub(crate) signed: SignedId,
}

/// Reads them.
pub(crate) fn read(block_file: &Path, auth_file: &Path) -> Result<Files, Failure> {
    let block = exactly(block_file, "an ID block", BLOCK_BYTES)?;
    let auth = exactly(auth_file, "ID authentication information", AUTH_BYTES)?;
    let signed = SignedId::parse(&block, &auth).map_err(|error| {
        Failure::new(
            format!("firmware would refuse {}: {error}", auth_file.display()),
            "give the files as `stagectl id-block create` wrote them",
        )
    })?;
    Ok(Files {
        block,
        auth,
        signed,
    })
}

/// Writes files that do not exist yet: all of them, or none. One half of a pair would be in the way of the next attempt, and of no use.
pub(super) fn write(wanted: [(&Path, &[u8]); 2]) -> Result<(), Failure> {
    // Only what was made here is ever removed.
    let mut made = Vec::new();
    let written = write_into(&mut made, wanted);
    written.inspect_err(|_| {
        for (path, _) in made {
            // What cannot be removed either is told by the next attempt, which finds it there.
            drop(fs::remove_file(path));
        }
    })
}

fn write_into<'a>(
    made: &mut Vec<(&'a Path, File)>,
    wanted: [(&'a Path, &[u8]); 2],
) -> Result<(), Failure> {
    for (path, _) in wanted {
        let file = File::create_new(path).map_err(|error| unwritten(path, &error))?;
        made.push((path, file));
    }
    for ((path, file), (_, bytes)) in made.iter_mut().zip(wanted) {
        let written = file.write_all(bytes);
        written.map_err(|error| unwritten(path, &error))?;
    }
    Ok(())
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("cannot write {}: {error}", path.display()),
        "name a file that does not exist yet, in a folder that this user can write to",
    )
}

/// The bytes of a file that has to have `length` of them.
fn exactly(path: &Path, what: &str, length: usize) -> Result<Bytes, Failure> {
    let bytes = at_most(path, length).map_err(|error| {
        Failure::new(
            format!("cannot read {}: {error}", path.display()),
            "give a file that this user can read",
        )
    })?;
    if bytes.len() == length {
        return Ok(bytes.into());
    }
    let has = match bytes.len() > length {
        true => format!("more than {length}"),
        false => bytes.len().to_string(),
    };
    Err(Failure::new(
        format!(
            "{} has {has} bytes, where {what} has {length}",
            path.display()
        ),
        "give it in binary, as firmware takes it; what QEMU takes is the same in base64: decode it first (base64 -d)",
    ))
}

/// The file, but no more of it than `length` bytes and one, by which it shows that it is longer.
fn at_most(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length + 1);
    let bound = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}
