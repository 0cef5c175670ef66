//! Small files of sysfs and of cgroups.
//!
//! **Invariant:** no more than [`LIMIT`] bytes are read, whatever the path leads to.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Far more than any of these files has.
const LIMIT: u64 = 4096;

/// What the file holds.
///
/// # Errors
/// The kernel's; `InvalidData` for a file that is longer than these are, or no text.
pub(super) fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(LIMIT + 1)
        .read_to_string(&mut text)?;
    if read as u64 > LIMIT {
        let error = format!("has more than {LIMIT:#x} bytes, which this file never has");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_small_file_is_read_whole_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sev_snp");
        fs::write(&path, "Y\n").unwrap();
        assert_eq!(read(&path).unwrap(), "Y\n");
        fs::write(&path, vec![b'a'; 4096]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 4096);
        fs::write(&path, vec![b'a'; 4097]).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let absent = read(dir.path().join("absent")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_without_end_is_left_soon() {
        let error = read("/dev/zero").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
