//! Where marked bytes are: in the memory of every process of a daemon's tree, in the memory files that these hold, and in the files that they write.
//!
//! ```text
//! /proc/PID/maps, mem ─▶ every mapping but text of programs, stacks and heaps among them ─┐
//! /proc/PID/fd        ─▶ every memfd, mapped or not                                       ├─▶ Found: whose, where, and whether that is the guest's memory
//! the daemon's files  ─▶ log, records, ledgers, sockets' directories, and its metrics     ┘
//! ```
//!
//! **Invariant:** what cannot be read is told by a panic, never passed over; only a process that has ended meanwhile holds nothing.
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use memchr::memmem;
use nix::errno::Errno;

use crate::contents::{Contents, PAGE};
use crate::daemon::Daemon;
use crate::process_tree::Member;

/// Bytes of a marker.
const MARKER: usize = 32;

/// What is looked for: any longer run of a page full of markers has it, wherever the run begins and ends.
const NEEDLE: usize = 16;

/// Bytes that are read at once.
const STEP: usize = 1 << 20;

/// Random bytes that are nowhere by chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker([u8; MARKER]);

/// A place where a marker was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// `daemon`, `host`, `serve` for the supervisor, or `file`.
    pub role: String,
    /// What it is in: a mapping's name and address, a descriptor, or a path.
    pub place: String,
    /// It is the memory of a guest, where it belongs.
    pub guest: bool,
}

impl Marker {
    /// Another one for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Contents::new(seed);
        let words: [_; MARKER / 8] = std::array::from_fn(|_| random.next_u64().to_le_bytes());
        Self(std::array::from_fn(|at| words[at / 8][at % 8]))
    }

    /// Bytes that something else made, as long as they are nowhere by chance either.
    #[must_use]
    pub fn of(bytes: [u8; MARKER]) -> Self {
        Self(bytes)
    }

    /// Pages that are full of it.
    ///
    /// # Panics
    /// If that many bytes do not fit the address space.
    #[must_use]
    pub fn pages(&self, pages: u64) -> Bytes {
        let bytes = usize::try_from(pages * PAGE).expect("test data fits memory");
        Bytes::from(self.0.repeat(bytes / MARKER))
    }

    /// Whether bytes hold it: as they are, in hex, or as a list of numbers.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let few = &self.0[..8];
        let hex: String = few.iter().map(|byte| format!("{byte:02x}")).collect();
        let numbers = format!("{few:?}");
        let forms = [
            &self.0[..NEEDLE],
            hex.as_bytes(),
            &hex.to_uppercase().into_bytes(),
            numbers.trim_matches(['[', ']']).as_bytes(),
        ];
        forms.iter().any(|form| memmem::find(bytes, form).is_some())
    }

    fn is_near(&self, bytes: &[u8]) -> bool {
        memmem::find(bytes, &self.0[..NEEDLE]).is_some()
    }
}

impl Daemon {
    /// Every place of this daemon's tree that holds the marker.
    ///
    /// # Panics
    /// If something cannot be read.
    #[must_use]
    pub fn find(&self, marker: &Marker) -> Vec<Found> {
        let mut found = BTreeSet::new();
        for member in self.members() {
            // One that ends meanwhile takes its memory along.
            if let Err(error) = in_process(&member, marker, &mut found) {
                let gone = matches!(error.raw_os_error(), Some(code) if code == Errno::ESRCH as i32)
                    || error.kind() == io::ErrorKind::NotFound;
                assert!(gone, "{member:?}: {error}");
            }
        }
        in_files(self.dir(), marker, &mut found);
        // What it tells of itself is among what it writes.
        if let Ok(answer) = self.metrics().ask("GET", "/metrics", "")
            && marker.is_in(answer.body.as_bytes())
        {
            found.insert(Found {
                role: "file".to_owned(),
                place: "metrics".to_owned(),
                guest: false,
            });
        }
        found.into_iter().collect()
    }
}

fn in_process(member: &Member, marker: &Marker, found: &mut BTreeSet<Found>) -> io::Result<()> {
    let process = PathBuf::from(format!("/proc/{}", member.pid));
    let mut note = |place: String, guest| {
        found.insert(Found {
            role: member.role().to_owned(),
            place,
            guest,
        });
    };
    let memory = File::open(process.join("mem"))?;
    for line in fs::read_to_string(process.join("maps"))?.lines() {
        let Some((start, end)) = readable(line) else {
            continue;
        };
        if reads_with(marker, start, end, |room, at| memory.read_at(room, at))? {
            note(line.to_owned(), is_guest(line));
        }
    }
    for entry in fs::read_dir(process.join("fd"))? {
        let path = entry?.path();
        let Ok(name) = fs::read_link(&path) else {
            continue;
        };
        let name = name.to_string_lossy().into_owned();
        // A guest_memfd cannot be opened again (ENXIO); it is mapped, or nobody's to read.
        if !name.contains("memfd:") || name.contains("kvm-gmem") {
            continue;
        }
        let file = File::open(&path)?;
        let length = file.metadata()?.size();
        if reads_with(marker, 0, length, |room, at| file.read_at(room, at))? {
            note(format!("descriptor {name}"), is_guest(&name));
        }
    }
    Ok(())
}

/// Whether a name in /proc is that of a guest's memory: plain KVM's, the simulator's, the kernel model's.
fn is_guest(name: &str) -> bool {
    let names = ["kvm-gmem", "memfd:stagepages-sim", "stagepages-model-gmem"];
    names.iter().any(|guest| name.contains(guest))
}

/// The addresses of a line of /proc/PID/maps, if they can be read. What the kernel shares with every process holds nothing of its own, nor does the text of a
/// program or library, which is what is in its file.
fn readable(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let access = fields.next()?;
    let file = fields
        .nth(3)
        .is_some_and(|name| name.starts_with('/') && !name.starts_with("/memfd:"));
    let text = file && !access.contains('w');
    if !access.starts_with('r') || text || line.contains("[vvar") || line.contains("[vsyscall") {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some((hex(start)?, hex(end)?))
}

/// Whether the marker is between two places. Where reading fails behind the first byte, a mapping has gone or shrunk meanwhile.
fn reads_with(
    marker: &Marker,
    start: u64,
    end: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<bool> {
    let mut room = vec![0; STEP + NEEDLE];
    let mut at = start;
    while at < end {
        let most = usize::try_from(end - at).map_or(room.len(), |left| left.min(room.len()));
        let got = match read(&mut room[..most], at) {
            Ok(0) => break,
            Ok(got) => got,
            // Nothing is mapped there, or nothing that can be read: memory that the device behind it keeps to itself.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => break,
            Err(error) => return Err(error),
        };
        if marker.is_near(&room[..got]) {
            return Ok(true);
        }
        // What straddles two reads is in the second.
        at += got.saturating_sub(NEEDLE).max(1) as u64;
        if got < most || at + NEEDLE as u64 >= end {
            break;
        }
    }
    Ok(false)
}

/// Looks through the files of a daemon, except those where images are kept.
fn in_files(dir: &Path, marker: &Marker, found: &mut BTreeSet<Found>) {
    let mut look = vec![dir.to_owned()];
    let shared = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    look.extend(
        shared
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains("stagepages")),
    );
    while let Some(path) = look.pop() {
        let Ok(about) = fs::symlink_metadata(&path) else {
            continue;
        };
        if about.is_dir() {
            if path.ends_with("state/images") {
                continue;
            }
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            look.extend(entries.map(|entry| entry.path()));
        } else if about.is_file() {
            let mut bytes = Vec::new();
            let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
            if read.is_ok() && marker.is_in(&bytes) {
                found.insert(Found {
                    role: "file".to_owned(),
                    place: path.display().to_string(),
                    guest: false,
                });
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.role, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_wherever_a_run_of_it_begins() {
        let marker = Marker::new(1);
        assert_ne!(marker, Marker::new(2));
        let page = marker.pages(1);
        assert_eq!(page.len(), 4096);
        for from in 0..MARKER {
            assert!(marker.is_in(&page[from..from + MARKER + NEEDLE]), "{from}");
        }
        assert!(!marker.is_in(&page[1..NEEDLE]));
        assert!(!marker.is_in(&Marker::new(2).pages(1)));
    }

    #[test]
    fn a_marker_is_found_where_two_reads_meet_and_not_behind_the_end() {
        let marker = Marker::new(3);
        let mut bytes = vec![0; 2 * STEP + 100];
        let read = |bytes: &[u8], end| {
            reads_with(&marker, 0, end, |room, at| {
                let rest = &bytes[usize::try_from(at).unwrap()..];
                let length = room.len().min(rest.len());
                room[..length].copy_from_slice(&rest[..length]);
                Ok(length)
            })
            .unwrap()
        };
        let whole = bytes.len() as u64;
        assert!(!read(&bytes, whole));
        for at in [
            0,
            STEP - 8,
            STEP,
            STEP + 8,
            2 * STEP,
            2 * STEP + 100 - NEEDLE,
        ] {
            bytes.fill(0);
            bytes[at..at + NEEDLE].copy_from_slice(&marker.0[..NEEDLE]);
            assert!(read(&bytes, whole), "{at}");
            assert!(!read(&bytes, at as u64), "{at}");
        }
    }
}
