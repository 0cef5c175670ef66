//! The SNP launch digest against an independent calculator, the `sev` crate, on random sequences of pages.
//!
//! That crate measures firmware images only and shows no digest in between. So each case is a random image with a random list of
//! metadata sections, which it reads from a file, and the same pages fed to ours one by one: the image as NORMAL pages, then
//! ZERO, SECRETS and CPUID sections and the page of kernel hashes, which is NORMAL, in any order, then the vCPUs' save areas.
//!
//! UNMEASURED pages are not among them: no image section has that type, and the `sev` crate would measure a region of them once
//! where KVM measures every page. Their known answer is in `src/snp.rs`.
//!
//! **Invariant:** every digest compared here comes from bytes that both calculators got; neither is told a hash by the other.

#![expect(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use sev::measurement::ovmf::OVMF;
use sev::measurement::sev_hashes::SevHashes;
use sev::measurement::snp::{SnpMeasurementArgs, calc_snp_ovmf_hash, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType, VMSA};
use stagepages_digest::snp::LaunchDigest;
use stagepages_digest::{PAGE_BYTES, PageType};

/// The image ends here.
const FOUR_GIB: u64 = 1 << 32;

/// Where in its page the kernel hash table is.
const HASH_TABLE_OFFSET: u32 = 0xc00;

const AP_RESET_EIP: u32 = 0x0080_b004;

/// Section types of OVMF's SEV metadata (edk2, OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Memory { pages: u32 },
    Secrets,
    Cpuid,
    KernelHashes,
}

#[derive(Clone, Debug)]
struct Launch {
    /// One byte a page of the image, which fills it; 0 makes a page of zeros.
    image: Vec<u8>,
    /// Page numbers and sections, in order.
    sections: Vec<(u32, Section)>,
    vcpus: u32,
}

impl Section {
    fn number(self) -> u32 {
        match self {
            Self::Memory { .. } => 1,
            Self::Secrets => 2,
            Self::Cpuid => 3,
            Self::KernelHashes => 0x10,
        }
    }

    fn pages(self) -> u32 {
        match self {
            Self::Memory { pages } => pages,
            Self::Secrets | Self::Cpuid | Self::KernelHashes => 1,
        }
    }
}

impl Launch {
    /// The image as a file holds it: pages, and in the last one the metadata and the table of GUIDs that leads to it.
    fn firmware(&self) -> Vec<u8> {
        let mut image: Vec<u8> = self
            .image
            .iter()
            .flat_map(|byte| [*byte; PAGE_BYTES])
            .collect();
        let len = image.len();

        let mut metadata = b"ASEV".to_vec();
        let size = 16 + 12 * self.sections.len();
        metadata.extend([size, 1, self.sections.len()].map(le32).concat());
        for (page, section) in &self.sections {
            metadata.extend((page << 12).to_le_bytes());
            metadata.extend((section.pages() << 12).to_le_bytes());
            metadata.extend(section.number().to_le_bytes());
        }
        let metadata_at = len - PAGE_BYTES;
        image[metadata_at..metadata_at + metadata.len()].copy_from_slice(&metadata);

        // Read from the end: an entry is its data, its size in bytes, its GUID; the footer has the size of all.
        let entries = [
            (le32(PAGE_BYTES), "dc886566-984a-4798-a75e-5585a7bf67cc"),
            (
                AP_RESET_EIP.to_le_bytes(),
                "00f771de-1a7e-4fcb-890e-68c77e2fb44e",
            ),
            (
                HASH_TABLE_OFFSET.to_le_bytes(),
                "7255371f-3a3b-4b04-927b-1da6efa8d454",
            ),
        ];
        let mut table = Vec::new();
        for (data, guid) in entries {
            table.extend(data);
            table.extend(22_u16.to_le_bytes());
            table.extend(guid_bytes(guid));
        }
        let size = u16::try_from(table.len() + 18).unwrap();
        table.extend(size.to_le_bytes());
        table.extend(guid_bytes("96b582de-1fb2-45f7-baea-a366c55a082d"));
        let table_at = len - 32 - table.len();
        image[table_at..table_at + table.len()].copy_from_slice(&table);
        image
    }

    /// Our digest of the image alone, then of everything.
    fn ours(&self, image: &[u8], kernel_hashes: &[u8]) -> [[u8; 48]; 2] {
        let mut digest = LaunchDigest::new();
        let mut gpa = FOUR_GIB - image.len() as u64;
        for page in image.as_chunks().0 {
            digest.extend(gpa, PageType::Normal, Some(page));
            gpa += PAGE_BYTES as u64;
        }
        let of_image = digest.value();
        for (first, section) in &self.sections {
            for page in *first..first + section.pages() {
                let gpa = u64::from(page) << 12;
                match section {
                    Section::Memory { .. } => digest.extend(gpa, PageType::Zero, None),
                    Section::Secrets => digest.extend(gpa, PageType::Secrets, None),
                    Section::Cpuid => digest.extend(gpa, PageType::Cpuid, None),
                    Section::KernelHashes => {
                        digest.extend(
                            gpa,
                            PageType::Normal,
                            Some(kernel_hashes.try_into().unwrap()),
                        );
                    }
                }
            }
        }
        let vmsa = VMSA::new(
            AP_RESET_EIP.into(),
            CpuType::EpycV4,
            VMMType::QEMU,
            None,
            GuestFeatures::default(),
        );
        for page in vmsa.pages(self.vcpus as usize).unwrap() {
            digest.extend_vmsa(page.as_slice().try_into().unwrap());
        }
        [of_image, digest.value()]
    }

    /// The `sev` crate's two digests of the image in the file.
    fn theirs(&self, image: &Path, kernel: &Path) -> [[u8; 48]; 2] {
        let has_hashes = self
            .sections
            .iter()
            .any(|(_, section)| *section == Section::KernelHashes);
        let of_image = calc_snp_ovmf_hash(image.into()).unwrap();
        let of_all = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus: self.vcpus,
            vcpu_type: CpuType::EpycV4,
            ovmf_file: image.into(),
            guest_features: GuestFeatures::default(),
            kernel_file: has_hashes.then(|| kernel.into()),
            initrd_file: None,
            append: None,
            ovmf_hash_str: None,
            vmm_type: Some(VMMType::QEMU),
        });
        [of_image, of_all.unwrap()].map(|digest| {
            let bytes: Vec<u8> = digest.try_into().unwrap();
            bytes.try_into().unwrap()
        })
    }
}

fn le32(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap().to_le_bytes()
}

fn guid_bytes(guid: &str) -> [u8; 16] {
    sev::measurement::ovmf::guid_le_to_slice(guid).unwrap()
}

fn launches() -> impl Strategy<Value = Launch> {
    let section = prop_oneof![
        (1..5_u32).prop_map(|pages| Section::Memory { pages }),
        Just(Section::Secrets),
        Just(Section::Cpuid),
        Just(Section::KernelHashes),
    ];
    let byte = prop_oneof![Just(0), any::<u8>()];
    (
        vec(byte, 1..12),
        vec((0..0xf_fff0_u32, section), 0..12),
        0..4_u32,
    )
        .prop_map(|(image, sections, vcpus)| Launch {
            image,
            sections,
            vcpus,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_sev_crate_on_random_launches(launch in launches(), kernel in vec(any::<u8>(), 0..64)) {
        let dir = tempfile::tempdir().unwrap();
        let [image_file, kernel_file] = ["image", "kernel"].map(|name| dir.path().join(name));
        let image = launch.firmware();
        std::fs::write(&image_file, &image).unwrap();
        std::fs::write(&kernel_file, &kernel).unwrap();
        let hashes = SevHashes::new(kernel_file.clone(), None, None).unwrap();
        let hashes = hashes.construct_page(HASH_TABLE_OFFSET as usize).unwrap();

        // Both read the image as we meant it, or a comparison would prove little.
        prop_assert_eq!(OVMF::new(image_file.clone()).unwrap().metadata_items().len(), launch.sections.len());
        prop_assert_eq!(launch.ours(&image, &hashes), launch.theirs(&image_file, &kernel_file));
    }
}
