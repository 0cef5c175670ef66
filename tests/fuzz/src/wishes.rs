//! The options, from the last eight bytes of what the fuzzer gives.
//!
//! ```text
//! 0 platform   1 vCPUs   2 switches   3 log2 of memory, in pages   4..6 where memory begins, in MiB   6 features   7 repairs
//! ```
//!
//! At the end and not at the beginning, so that a dictionary and other fuzzers' corpora for a format are of use.

use bytes::Bytes;
use stagepages_client::{
    addr::{Gpa, Region},
    image::{Options, SevSnpOptions, TdxOptions},
    v1::Platform,
};

use crate::images::another;

const KERNEL: &[u8] = &[0x90; 700];
const INITRD: &[u8] = &[0x17; 5000];
const APPEND: &str = "console=ttyS0 root=/dev/vda";

/// The last eight bytes.
#[derive(Debug)]
pub(crate) struct Wishes([u8; 8]);

impl Wishes {
    /// The image, and these.
    pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], Self)> {
        let (image, wishes) = bytes.split_last_chunk()?;
        Some((image, Self(*wishes)))
    }

    fn switch(&self, bit: u32) -> bool {
        self.0[2] >> bit & 1 == 1
    }

    /// Whether a checksum is to be put right.
    pub(crate) fn repairs(&self) -> bool {
        self.0[7] & 1 == 0
    }

    /// Bytes of the other files.
    pub(crate) fn given(&self) -> u64 {
        let options = self.options();
        let of = |file: Option<&Bytes>| file.map_or(0, |bytes| bytes.len() as u64);
        of(options.kernel.as_ref().map(|it| &it.bytes))
            + of(options.initrd.as_ref().map(|it| &it.bytes))
            + of(options.cpuid_page.as_ref())
    }

    /// What they stand for.
    pub(crate) fn options(&self) -> Options {
        let [platform, vcpus, _, pages, low, high, features, _] = self.0;
        let region = Region {
            gpa: Gpa::new(u64::from(u16::from_le_bytes([low, high])) << 20),
            size: 4096_u64 << (pages % 40),
        };
        let file = |bit, name, bytes| self.switch(bit).then(|| another(name, bytes));
        Options {
            platform: match platform % 6 {
                0 => None,
                1 => Some(Platform::Sim),
                2 => Some(Platform::Kvm),
                3 => Some(Platform::SevSnp),
                4 => Some(Platform::Tdx),
                _ => Some(Platform::Unspecified),
            },
            vcpus: (vcpus != 0).then(|| u32::from(vcpus)),
            cpu_signature: self.switch(3).then_some(0x80_0f12),
            sev_snp: SevSnpOptions {
                vmsa_features: self.switch(4).then_some(features.into()),
                ..SevSnpOptions::default()
            },
            tdx: TdxOptions {
                attributes: self.switch(7).then_some(features.into()),
                ..TdxOptions::default()
            },
            kernel: file(0, "kernel", KERNEL),
            initrd: file(1, "initrd", INITRD),
            append: self.switch(2).then(|| APPEND.to_owned()),
            memory: Vec::from_iter(self.switch(5).then_some(region)),
            cpuid_page: self.switch(6).then(|| Bytes::from_static(&[3; 100])),
        }
    }
}
