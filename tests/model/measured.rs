//! What a launch measures, computed anew from what a test staged (kernel.md, section 8).
//!
//! **Invariant:** shares no code with the product or the model: all three have read the same text.
use bytes::Bytes;
use sha2::{Digest as _, Sha384};
use stagepages_proto::v1::PageType;
use stagepages_tests::{SNP_ACTIVE, with_vcpus_at_reset};

/// Pages that a test staged, in the order in which they were installed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured(Vec<(u64, PageType, Bytes)>);

impl Measured {
    /// Pages from GFN `gfn` on, and their bytes; of what has none, zeros.
    pub(crate) fn add(&mut self, gfn: u64, page_type: PageType, bytes: &Bytes) {
        for (gfn, at) in (gfn..).zip((0..bytes.len()).step_by(4096)) {
            self.0.push((gfn, page_type, bytes.slice(at..at + 4096)));
        }
    }

    /// The first `pages` of them.
    pub(crate) fn first(&self, pages: u64) -> Self {
        let pages = usize::try_from(pages).expect("few pages");
        Self(self.0.iter().take(pages).cloned().collect())
    }

    /// How many there are.
    pub(crate) fn pages(&self) -> u64 {
        self.0.len() as u64
    }

    /// SNP's launch digest over them: a chain of PAGE_INFO structures (section 8.1).
    pub(crate) fn snp(&self) -> [u8; 48] {
        self.0.iter().fold([0; 48], |digest, (gfn, kind, bytes)| {
            extend(digest, snp_number(*kind), gfn * 4096, bytes)
        })
    }

    /// The same with the save areas of so many vCPUs as reset leaves them.
    pub(crate) fn snp_with_vcpus(&self, vcpus: u32) -> [u8; 48] {
        with_vcpus_at_reset(self.snp(), vcpus, SNP_ACTIVE)
    }

    /// TDX's MRTD over them: one hash over PAGE.ADD and, of what is measured, 16 MR.EXTEND for each page (section 8.2).
    pub(crate) fn tdx(&self) -> [u8; 48] {
        let mut hash = Sha384::new();
        for (gfn, kind, bytes) in &self.0 {
            let gpa = gfn * 4096;
            hash.update(record(b"MEM.PAGE.ADD", gpa));
            if *kind == PageType::Unmeasured {
                continue;
            }
            for (at, chunk) in (gpa..).step_by(256).zip(bytes.chunks(256)) {
                hash.update(record(b"MR.EXTEND", at));
                hash.update(chunk);
            }
        }
        hash.finalize().into()
    }
}

/// One page more: a `kind` by SNP's numbers.
fn extend(digest: [u8; 48], kind: u8, gpa: u64, bytes: &[u8]) -> [u8; 48] {
    let contents: [u8; 48] = match kind {
        // NORMAL and VMSA.
        1 | 2 => Sha384::digest(bytes).into(),
        _ => [0; 48],
    };
    let mut info = Vec::with_capacity(0x70);
    info.extend(digest);
    info.extend(contents);
    info.extend(0x70_u16.to_le_bytes());
    info.extend([kind, 0, 0, 0, 0, 0]);
    info.extend(gpa.to_le_bytes());
    assert_eq!(info.len(), 0x70);
    Sha384::digest(info).into()
}

/// SNP's number of a page type.
pub(crate) fn snp_number(kind: PageType) -> u8 {
    match kind {
        PageType::Normal => 1,
        PageType::Zero => 3,
        PageType::Unmeasured => 4,
        PageType::Secrets => 5,
        PageType::Cpuid => 6,
        PageType::Unspecified => panic!("no type of page"),
    }
}

fn record(name: &[u8], gpa: u64) -> [u8; 128] {
    let mut record = [0; 128];
    record[..name.len()].copy_from_slice(name);
    record[16..24].copy_from_slice(&gpa.to_le_bytes());
    record
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of(pages: &[(u64, PageType, u8)]) -> Measured {
    let mut measured = Measured::default();
    for (gfn, kind, byte) in pages {
        measured.add(*gfn, *kind, &Bytes::from(vec![*byte; 4096]));
    }
    measured
}

/// The known answers of kernel.md, section 8.1.
#[test]
fn snp_digests_are_those_of_the_reference() {
    let (normal, zero) = ((0, PageType::Normal, 0), (1, PageType::Zero, 0));
    for (pages, expected) in [
        (
            vec![(0, PageType::Unmeasured, 0)],
            "ed501ced343b88df8d4f114dc336e76fa53d3ad6ef71dab22a38755569189d2844af45f162ec25b45beefc8ea308cba7",
        ),
        (
            vec![(1, PageType::Secrets, 0)],
            "ede71fa5ddc72c3de70c6ff1149b8ecb6ef08b74b1d3a72c2cece10bd140c06a6181343d33def7db6cc0da1ff9ba4805",
        ),
        (
            vec![(2, PageType::Cpuid, 0)],
            "8247f0b6bd9552be4f11744b909bfba21d50069716443fef6ee71d4da846b8b21fdb2d0b23245bd2886b91b95f8b71d8",
        ),
        (
            vec![normal, zero],
            "3bb77aec4f0d90c147b6b7884b6bd5741994d2575305f89639c95186690d949261186702ef51f2fa7c0dd4c90f03ebfd",
        ),
        (
            vec![zero, normal],
            "01df08676606c46d74c6e01f0392457b23fe411ad8dac289cc2e74e4e111ce60723012c8fcb7f95e4568aa7514800c5c",
        ),
    ] {
        assert_eq!(hex(&of(&pages).snp()), expected, "{pages:?}");
    }
    let vmsa = extend([0; 48], 2, 0xffff_ffff_f000, &[0; 4096]);
    assert_eq!(
        hex(&vmsa),
        "f4577da9b848673216afc3909e5ea7aa80150dda441526874cd2b0282894709b46484c13a07221aefbedfff667199259"
    );
}

/// The known answers of kernel.md, section 8.2.
#[test]
fn tdx_digests_are_those_of_the_reference() {
    let zero = (0, PageType::Normal, 0);
    for (pages, expected) in [
        (
            vec![],
            "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
        ),
        (
            vec![(0, PageType::Unmeasured, 0)],
            "8f3e9a8aca6784eab874f7aa4dda5d49104a88047f1f86695ef2a88f5691a90e34aac48ce45ffa1f5a23c7d62980d570",
        ),
        (
            vec![zero],
            "236f0efa607ff8843f1855d7ef80dc3dda8fb455787a186b8787212951eab0096e3193bb26f817c2b63c21f5e10f9938",
        ),
        (
            vec![zero, (1, PageType::Normal, 0xaa)],
            "d872f439e727948d169ba92830f5ed3fab8e6d883f20fea1e2df2c7f315f374b0deff410b34df43863b72ff0472f5037",
        ),
    ] {
        assert_eq!(hex(&of(&pages).tdx()), expected, "{pages:?}");
    }
}
