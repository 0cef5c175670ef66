//! MRTD, the measurement of a TD as it is built (kernel.md section 8.2, one pass).
//!
//! **Invariant:** it only grows: nothing takes a record out again.

use sha2::{Digest, Sha384};

const CHUNK: usize = 256;
const RECORD: usize = 128;

/// One running SHA-384 over all records.
#[derive(Clone, Debug, Default)]
pub struct Mrtd(Sha384);

impl Mrtd {
    /// TDH.MEM.PAGE.ADD: where the page is.
    pub fn add(&mut self, gpa: u64) {
        self.0.update(record(b"MEM.PAGE.ADD", gpa));
    }

    /// TDH.MR.EXTEND, 16 times: what is in the page.
    pub fn extend(&mut self, gpa: u64, contents: &[u8; 4096]) {
        for (at, chunk) in (gpa..).step_by(CHUNK).zip(contents.chunks_exact(CHUNK)) {
            self.0.update(record(b"MR.EXTEND", at));
            self.0.update(chunk);
        }
    }

    /// What it would be if nothing more were added.
    #[must_use]
    pub fn value(&self) -> [u8; 48] {
        self.0.clone().finalize().into()
    }
}

/// The name at 0, the GPA at 16, zeros elsewhere.
fn record(name: &[u8], gpa: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    for (at, bytes) in [(0, name), (16, &gpa.to_le_bytes())] {
        for (to, from) in record.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;

    #[test]
    fn known_answers() {
        let mut mrtd = Mrtd::default();
        assert_eq!(
            hex(&mrtd.value()),
            "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b"
        );
        mrtd.add(0);
        assert_eq!(
            hex(&mrtd.value()),
            "8f3e9a8aca6784eab874f7aa4dda5d49104a88047f1f86695ef2a88f5691a90e34aac48ce45ffa1f5a23c7d62980d570"
        );
        mrtd.extend(0, &[0; 4096]);
        assert_eq!(
            hex(&mrtd.value()),
            "236f0efa607ff8843f1855d7ef80dc3dda8fb455787a186b8787212951eab0096e3193bb26f817c2b63c21f5e10f9938"
        );
        mrtd.add(0x1000);
        mrtd.extend(0x1000, &[0xaa; 4096]);
        assert_eq!(
            hex(&mrtd.value()),
            "d872f439e727948d169ba92830f5ed3fab8e6d883f20fea1e2df2c7f315f374b0deff410b34df43863b72ff0472f5037"
        );
    }
}
