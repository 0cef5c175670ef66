//! Images as EDK2 lays them out, made to order.

use std::{io::Write as _, path::PathBuf};

use stagepages_client::{
    image::{ImageError, Input, Options, ovmf},
    plan::{Finding, Plan},
    v1::{PageType, Platform},
};

pub(crate) const FOUR_GIB: u64 = 1 << 32;
pub(crate) const PAGE: usize = 4096;

pub(crate) const SEV_METADATA: &str = "dc886566-984a-4798-a75e-5585a7bf67cc";
pub(crate) const TDX_METADATA: &str = "e47a6535-984a-4798-865e-4685a7bf8ec2";
pub(crate) const SEV_RESET: &str = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";
pub(crate) const SEV_HASHES: &str = "7255371f-3a3b-4b04-927b-1da6efa8d454";
pub(crate) const SVSM_INFO: &str = "a789a612-0597-4c4b-a49f-cbb1fe9d1ddd";
const FOOTER: &str = "96b582de-1fb2-45f7-baea-a366c55a082d";

/// Bytes before the end at which the metadata is.
pub(crate) const SEV_AT: usize = 0x1000;
pub(crate) const TDX_AT: usize = 0x800;

/// Address, bytes, type.
pub(crate) type SevSection = [u32; 3];

/// A section of a TDVF.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TdxSection {
    pub(crate) data: [u32; 2],
    pub(crate) gpa: u64,
    pub(crate) size: u64,
    pub(crate) kind: u32,
    pub(crate) attributes: u32,
}

/// An image with a table of GUIDs, and metadata where there are sections.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) pages: usize,
    pub(crate) sev: Option<Vec<SevSection>>,
    pub(crate) tdx: Option<Vec<TdxSection>>,
    /// Entries beside those of the metadata, in the order of reading.
    pub(crate) entries: Vec<(&'static str, Vec<u8>)>,
}

impl Image {
    /// An OVMF with each section that it can have, and kernel hashes.
    pub(crate) fn sev() -> Self {
        Self {
            pages: 4,
            sev: Some(vec![
                [0x80_0000, 0x9000, 1],
                [0x80_a000, 0x3000, 1],
                [0x80_d000, 0x1000, 2],
                [0x80_e000, 0x1000, 3],
                [0x80_f000, 0x1000, 4],
                [0x81_1000, 0x2000, 1],
                [0x81_0000, 0x1000, 0x10],
            ]),
            tdx: None,
            entries: vec![
                (SEV_RESET, 0x80_b004_u32.to_le_bytes().to_vec()),
                (SEV_HASHES, numbers(&[0x81_0c00, 0x400])),
            ],
        }
    }

    /// A TDVF of code and variables, with a hand-off block and memory.
    pub(crate) fn tdx() -> Self {
        let section = |data, gpa, size, kind, attributes| TdxSection {
            data,
            gpa,
            size,
            kind,
            attributes,
        };
        Self {
            pages: 4,
            sev: None,
            tdx: Some(vec![
                section([0x1000, 0x3000], FOUR_GIB - 0x3000, 0x3000, 0, 1),
                section([0, 0x1000], FOUR_GIB - 0x4000, 0x1000, 1, 0),
                section([0, 0], 0x81_0000, 0x2000, 3, 0),
                section([0, 0], 0x80_9000, 0x2000, 2, 0),
            ]),
            entries: Vec::new(),
        }
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // Each page has bytes of its own, none zero.
        let mut bytes: Vec<u8> = (0..self.pages * PAGE)
            .map(|at| u8::try_from((at / PAGE * 7 + at) % 251).unwrap() + 1)
            .collect();
        let end = bytes.len();
        let mut table = Vec::new();
        let mut put = |before_end: usize, what: &[u8]| {
            let at = end - before_end;
            bytes[at..at + what.len()].copy_from_slice(what);
        };
        if let Some(sections) = &self.sev {
            put(
                SEV_AT,
                &list(
                    b"ASEV",
                    &sections.iter().map(|it| numbers(it)).collect::<Vec<_>>(),
                ),
            );
            entry(&mut table, SEV_METADATA, &numbers(&[0x1000]));
        }
        if let Some(sections) = &self.tdx {
            let sections = sections.iter().map(|it| {
                let mut bytes = numbers(&it.data);
                bytes.extend(it.gpa.to_le_bytes());
                bytes.extend(it.size.to_le_bytes());
                bytes.extend(numbers(&[it.kind, it.attributes]));
                bytes
            });
            put(TDX_AT, &list(b"TDVF", &sections.collect::<Vec<_>>()));
            entry(&mut table, TDX_METADATA, &numbers(&[0x800]));
        }
        for (guid, data) in self.entries.iter().rev() {
            entry(&mut table, guid, data);
        }
        let size = u16::try_from(table.len() + 18).unwrap();
        table.extend(size.to_le_bytes());
        table.extend(guid_bytes(FOOTER));
        put(32 + table.len(), &table);
        bytes
    }

    pub(crate) fn load(&self, options: &Options) -> Result<Plan, ImageError> {
        load(self.bytes(), options)
    }
}

pub(crate) fn load(bytes: Vec<u8>, options: &Options) -> Result<Plan, ImageError> {
    ovmf::load(&input("image", bytes), options)
}

pub(crate) fn input(name: &str, bytes: impl Into<bytes::Bytes>) -> Input {
    Input {
        name: name.to_owned(),
        bytes: bytes.into(),
    }
}

pub(crate) fn on(platform: Platform) -> Options {
    Options {
        platform: Some(platform),
        ..Options::default()
    }
}

/// Address, pages and type of each extent.
pub(crate) fn extents(plan: &Plan) -> Vec<(u64, u64, PageType)> {
    plan.extents
        .iter()
        .map(|it| (it.gpa().bytes(), it.pages(), it.page_type()))
        .collect()
}

pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

/// The folder of images that are not in the repository, if there is one. Says so past the harness, which would keep it.
pub(crate) fn data_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("STAGEPAGES_DATA").map(PathBuf::from);
    if folder.is_none() {
        let text = "STAGEPAGES_DATA is unset: its images are not tried; name the folder that has OVMF.amdsev.fd and OVMF.inteltdx.ms.fd";
        let mut line = std::io::stderr();
        writeln!(line, "{text}").unwrap();
    }
    folder
}

pub(crate) fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|it| it.to_le_bytes()).collect()
}

fn list(signature: &[u8; 4], sections: &[Vec<u8>]) -> Vec<u8> {
    let count = sections.len();
    let sections = sections.concat();
    let mut list = signature.to_vec();
    list.extend(numbers(
        &[16 + sections.len(), 1, count].map(|it| u32::try_from(it).unwrap()),
    ));
    list.extend(sections);
    list
}

fn entry(table: &mut Vec<u8>, guid: &str, data: &[u8]) {
    table.extend(data);
    table.extend(u16::try_from(data.len() + 18).unwrap().to_le_bytes());
    table.extend(guid_bytes(guid));
}

/// From the text's hex digits: three numbers little-endian, the rest as it stands.
fn guid_bytes(guid: &str) -> Vec<u8> {
    let digits = guid.replace('-', "");
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    order.into_iter().map(byte).collect()
}
