//! MRTD, what the TDX module measures of a TD while it is built.
//!
//! ```text
//! MRTD := SHA-384 over, for each installed page:  MEM.PAGE.ADD record, then 16 times: MR.EXTEND record and 256 bytes of the page
//! ```
//!
//! Mainline KVM adds a page and extends it before the next one (`tdx_gmem_post_populate()`, arch/x86/kvm/vmx/tdx.c): one pass. Tools for older
//! out-of-tree kernels also know two (all pages of a section added, then all extended), which gives another value. Without KVM_TDX_MEASURE_MEMORY_REGION a
//! page is added and not extended, so that its address is measured and its contents are not. The records are those of TDH.MEM.PAGE.ADD and
//! TDH.MR.EXTEND in the TDX module ABI.
//!
//! **Invariant:** holds one running hash, and never goes back.

use std::fmt;

use sha2::{Digest as _, Sha384};

use crate::{PAGE_BYTES, PageType, Value, ZERO_PAGE};

/// Bytes that one TDH.MR.EXTEND measures.
const CHUNK: usize = 256;

/// The MRTD of the pages it was fed.
#[derive(Clone, Default)]
pub struct Mrtd(Sha384);

impl Mrtd {
    /// The MRTD of a TD without pages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one page, the next in order of installation; `gpa` in bytes.
    ///
    /// `contents` are the page's bytes, `None` for zeros. They matter for NORMAL pages only: ZERO pages are zeros, and of the other types the
    /// address alone is measured.
    pub fn extend(&mut self, gpa: u64, page_type: PageType, contents: Option<&[u8; PAGE_BYTES]>) {
        self.record(b"MEM.PAGE.ADD", gpa);
        let contents = match page_type {
            PageType::Normal => contents.unwrap_or(&ZERO_PAGE),
            PageType::Zero => &ZERO_PAGE,
            PageType::Unmeasured | PageType::Secrets | PageType::Cpuid => return,
        };
        let (chunks, _) = contents.as_chunks::<CHUNK>();
        for (at, chunk) in (gpa..).step_by(CHUNK).zip(chunks) {
            self.record(b"MR.EXTEND", at);
            self.0.update(chunk);
        }
    }

    /// What TDH.MR.FINALIZE would make of it now.
    #[must_use]
    pub fn value(&self) -> Value {
        self.0.clone().finalize().into()
    }

    /// 128 bytes: the name at 0, the address at 16, zeros elsewhere.
    fn record(&mut self, name: &[u8], gpa: u64) {
        const ZEROS: [u8; 104] = [0; 104];
        self.0.update(name);
        self.0.update(ZEROS.get(name.len()..16).unwrap_or(&[]));
        self.0.update(gpa.to_le_bytes());
        self.0.update(ZEROS);
    }
}

impl fmt::Debug for Mrtd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mrtd(")?;
        self.value()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(mrtd: &Mrtd) -> String {
        mrtd.value()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    // Known answers of kernel.md section 8.2.
    #[test]
    fn known_answers() {
        let mut mrtd = Mrtd::new();
        assert_eq!(
            hex(&mrtd),
            "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b"
        );
        mrtd.extend(0, PageType::Unmeasured, Some(&[7; PAGE_BYTES]));
        assert_eq!(
            hex(&mrtd),
            "8f3e9a8aca6784eab874f7aa4dda5d49104a88047f1f86695ef2a88f5691a90e34aac48ce45ffa1f5a23c7d62980d570"
        );
        for (page_type, contents) in [
            (PageType::Normal, Some(&[0; PAGE_BYTES])),
            (PageType::Normal, None),
            (PageType::Zero, None),
        ] {
            let mut mrtd = Mrtd::new();
            mrtd.extend(0, page_type, contents);
            assert_eq!(
                hex(&mrtd),
                "236f0efa607ff8843f1855d7ef80dc3dda8fb455787a186b8787212951eab0096e3193bb26f817c2b63c21f5e10f9938"
            );
            mrtd.extend(0x1000, PageType::Normal, Some(&[0xaa; PAGE_BYTES]));
            assert_eq!(
                hex(&mrtd),
                "d872f439e727948d169ba92830f5ed3fab8e6d883f20fea1e2df2c7f315f374b0deff410b34df43863b72ff0472f5037"
            );
        }
    }
}
