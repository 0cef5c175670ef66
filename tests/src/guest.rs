//! The memory of a launch, read through /proc: an opinion that owes nothing to the ledger.
//!
//! Plain memory is read through the mappings of the launch host. Encrypted memory is nobody's to read; that of the model is a file which the host
//! holds, and which is found among its descriptors.
//!
//! **Invariant:** nothing is read or written but guest memory, and only in processes of the daemon under test.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

use stagepages_kvm::Gpa;

/// One region in a launch host.
#[derive(Debug)]
pub struct GuestMemory {
    memory: File,
    /// Where it lies in the file, by offset in the region: place and length, all in bytes.
    parts: BTreeMap<u64, (u64, u64)>,
}

impl GuestMemory {
    /// The region of `region_bytes` bytes in the host with process id `host_pid`. A test that uses this gives each region of a launch
    /// another size.
    ///
    /// # Panics
    /// If that host has no such region mapped, or several.
    #[must_use]
    pub fn open(host_pid: u32, region_bytes: u64) -> Self {
        assert_ne!(host_pid, 0, "the launch host is gone");
        let maps = std::fs::read_to_string(format!("/proc/{host_pid}/maps"))
            .expect("the launch host lives");
        let mut files: BTreeMap<(String, u64), BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
        for mapping in maps.lines().filter_map(mapping) {
            files
                .entry(mapping.file)
                .or_default()
                .insert(mapping.offset, (mapping.address, mapping.length));
        }
        let mut fitting = files
            .into_values()
            .filter(|parts| parts.values().map(|(_, length)| length).sum::<u64>() == region_bytes);
        let parts = fitting.next().unwrap_or_else(|| {
            panic!("host {host_pid} maps no region of 0x{region_bytes:x} bytes:\n{maps}")
        });
        assert!(
            fitting.next().is_none(),
            "host {host_pid} maps several regions of 0x{region_bytes:x} bytes:\n{maps}"
        );
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{host_pid}/mem"))
            .expect("the host's memory opens");
        Self { memory, parts }
    }

    /// The region of `region_bytes` bytes in the host with process id `host_pid`, which runs on the model of the kernel.
    ///
    /// # Panics
    /// If that host has no such region, or several.
    #[must_use]
    pub(crate) fn of_model(host_pid: u32, region_bytes: u64) -> Self {
        assert_ne!(host_pid, 0, "the launch host is gone");
        let descriptors = std::fs::read_dir(format!("/proc/{host_pid}/fd"));
        let descriptors = descriptors.expect("the launch host lives");
        let mut files = BTreeMap::new();
        for descriptor in descriptors.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_memory = std::fs::read_link(&descriptor)
                .is_ok_and(|name| name.to_string_lossy().contains("stagepages-model-gmem"));
            if is_memory {
                let file = File::open(&descriptor).expect("a file of the model opens again");
                let about = file.metadata().expect("an open file");
                if about.len() == region_bytes {
                    files.insert(about.ino(), file);
                }
            }
        }
        assert_eq!(
            files.len(),
            1,
            "regions of 0x{region_bytes:x} bytes in host {host_pid}"
        );
        let (_, memory) = files.pop_first().expect("is one");
        Self {
            memory,
            parts: BTreeMap::from([(0, (0, region_bytes))]),
        }
    }

    /// `length` bytes from `offset`, a distance from the start of the region. Reading a page that does not exist creates it.
    ///
    /// # Panics
    /// If they are not all in the region.
    #[must_use]
    pub fn read(&self, offset: Gpa, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory
            .read_exact_at(&mut bytes, self.address(offset, length))
            .expect("guest memory can be read");
        bytes
    }

    /// Overwrites memory from `offset` on, which no caller of the API can.
    ///
    /// # Panics
    /// If it is not all in the region.
    pub fn write(&self, offset: Gpa, bytes: &[u8]) {
        self.memory
            .write_all_at(bytes, self.address(offset, bytes.len()))
            .expect("guest memory can be written");
    }

    fn address(&self, offset: Gpa, length: usize) -> u64 {
        let offset = offset.get();
        let (start, (address, bytes)) = self
            .parts
            .range(..=offset)
            .next_back()
            .expect("inside the region");
        assert!(
            offset - start + u64::try_from(length).unwrap() <= *bytes,
            "0x{offset:x} + 0x{length:x} is not in one part of the region"
        );
        address + (offset - start)
    }
}

struct MappedPart {
    /// Device and inode.
    file: (String, u64),
    offset: u64,
    address: u64,
    length: u64,
}

/// A line of /proc/PID/maps, if it is guest memory: "START-END PERMS OFFSET DEVICE INODE NAME".
fn mapping(line: &str) -> Option<MappedPart> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let file = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    let name = fields.next()?;
    if !name.contains("kvm-gmem") && !name.contains("stagepages-sim") {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let address = hex(start)?;
    Some(MappedPart {
        file,
        offset: hex(offset)?,
        address,
        length: hex(end)? - address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_guest_memory_counts() {
        let guest =
            "7f0000001000-7f0000003000 rw-s 00002000 00:01 1027  /memfd:stagepages-sim (deleted)";
        let part = mapping(guest).unwrap();
        assert_eq!(
            (part.address, part.length, part.offset),
            (0x7f00_0000_1000, 0x2000, 0x2000)
        );
        assert_eq!(part.file, ("00:01".to_owned(), 1027));
        for other in [
            "7f0000001000-7f0000003000 rw-s 00000000 00:01 1028  /memfd:stagepages-staging (deleted)",
            "7f0000001000-7f0000003000 rw-p 00000000 00:00 0",
        ] {
            assert!(mapping(other).is_none(), "{other}");
        }
    }
}
