//! What of a TDVF is staged on TDX, and MRTD anew from its sections.

use std::path::Path;

use sha2::{Digest as _, Sha384};
use stagepages_client::{
    image::{Input, Options, ovmf},
    plan::Plan,
    v1::{PageType, Platform, vcpu_state::State},
};

use crate::image::{FOUR_GIB, Image, TdxSection, codes, data_folder, extents, on};

/// MRTD of the TDVF sections in these bytes, read anew: none of the loader's code, nor of the digest crate's.
fn mrtd(image: &[u8]) -> [u8; 48] {
    let u32_at = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let found = image.windows(4).rposition(|it| it == b"TDVF").unwrap();
    let record = |hash: &mut Sha384, name: &str, gpa: u64| {
        let mut record = [0; 128];
        record[..name.len()].copy_from_slice(name.as_bytes());
        record[16..24].copy_from_slice(&gpa.to_le_bytes());
        hash.update(record);
    };
    let mut hash = Sha384::new();
    for section in (0..u32_at(found + 12) as usize).map(|it| found + 16 + 32 * it) {
        let mut bytes = image[u32_at(section) as usize..][..u32_at(section + 4) as usize].to_vec();
        bytes.resize(usize::try_from(u64_at(section + 16)).unwrap(), 0);
        let (gpa, is_measured) = (u64_at(section + 8), u32_at(section + 28) & 1 == 1);
        for (page, at) in bytes.chunks(4096).zip((gpa..).step_by(4096)) {
            record(&mut hash, "MEM.PAGE.ADD", at);
            for (chunk, at) in page.chunks(256).zip((at..).step_by(256)) {
                if is_measured {
                    record(&mut hash, "MR.EXTEND", at);
                    hash.update(chunk);
                }
            }
        }
    }
    hash.finalize().into()
}

fn rcx(plan: &Plan) -> Vec<Option<u64>> {
    let of = |state: &Option<State>| match state {
        Some(State::Tdx(tdx)) => Some(tdx.rcx),
        _ => None,
    };
    plan.vcpus.iter().map(|it| of(&it.state)).collect()
}

#[test]
fn sections_are_staged_in_their_order_and_measured_as_their_attributes_say() {
    let options = Options {
        vcpus: Some(3),
        ..on(Platform::Tdx)
    };
    let plan = Image::tdx().load(&options).unwrap();
    assert_eq!(
        extents(&plan),
        [
            (FOUR_GIB - 0x3000, 3, PageType::Normal),
            (FOUR_GIB - 0x4000, 1, PageType::Unmeasured),
            (0x81_0000, 2, PageType::Unmeasured),
            (0x80_9000, 1, PageType::Unmeasured),
            (0x80_a000, 1, PageType::Unmeasured),
        ]
    );
    assert_eq!(rcx(&plan), [Some(0x80_9000); 3]);
    let memory: Vec<String> = plan.memory.iter().map(ToString::to_string).collect();
    assert_eq!(memory, ["0x0+512M", "0xffffc000+16K"]);
    assert_eq!(codes(&plan.findings), ["DEFAULT_MEMORY"]);
    assert_eq!(plan.digest().unwrap(), Some(mrtd(&Image::tdx().bytes())));
}

#[test]
fn the_hand_off_blocks_tell_the_guest_its_memory() {
    let options = Options {
        memory: vec![
            "0x0+16M".parse().unwrap(),
            "0xffff0000+64K".parse().unwrap(),
        ],
        ..on(Platform::Tdx)
    };
    let plan = Image::tdx().load(&options).unwrap();
    let mut bytes = Vec::new();
    plan.extents[3]
        .each_page(|_, page| bytes.extend_from_slice(page.unwrap()))
        .unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let resources: Vec<_> = (56..)
        .step_by(48)
        .take_while(|at| number(*at) == 0x30_0003)
        .map(|at| (number(at + 32), number(at + 40), number(at + 24) & 0xff))
        .collect();
    assert_eq!(
        resources,
        [
            (0, 0x80_9000, 7),
            (0x80_9000, 0x2000, 0),
            (0x80_b000, 0x5000, 7),
            (0x81_0000, 0x2000, 0),
            (0x81_2000, 0x7e_e000, 7),
            (0xffff_0000, 0xc000, 7),
        ]
    );
    assert_eq!(number(48), 0x80_9000 + 56 + 6 * 48 + 8);
}

#[test]
fn data_that_does_not_fill_its_section_is_followed_by_zeros() {
    let mut image = Image::tdx();
    let sections = image.tdx.as_mut().unwrap();
    sections[0].data = [0x1000, 0x1001];
    sections[2].attributes = 1;
    let plan = image.load(&on(Platform::Tdx)).unwrap();
    assert_eq!(
        extents(&plan)[..3],
        [
            (FOUR_GIB - 0x3000, 2, PageType::Normal),
            (FOUR_GIB - 0x1000, 1, PageType::Normal),
            (FOUR_GIB - 0x4000, 1, PageType::Unmeasured),
        ]
    );
    assert_eq!(plan.digest().unwrap(), Some(mrtd(&image.bytes())));
}

#[test]
fn a_measured_hand_off_block_is_in_the_digest() {
    let mut image = Image::tdx();
    image.tdx.as_mut().unwrap()[3].attributes = 1;
    let digest = |memory: &[&str]| {
        let options = Options {
            memory: memory.iter().map(|text| text.parse().unwrap()).collect(),
            ..on(Platform::Tdx)
        };
        image.load(&options).unwrap().digest().unwrap()
    };
    let rom = "0xffffc000+16K";
    assert_ne!(digest(&["0x0+16M", rom]), digest(&["0x0+32M", rom]));
    assert_eq!(digest(&["0x0+512M", rom]), digest(&[]));
}

#[test]
fn what_the_guest_accepts_later_is_not_staged() {
    let mut image = Image::tdx();
    let later = TdxSection {
        gpa: 0x100_0000,
        size: 1 << 40,
        kind: 4,
        attributes: 2,
        ..TdxSection::default()
    };
    let payload = TdxSection {
        gpa: 0xa0_0000,
        size: 0x1000,
        kind: 5,
        ..TdxSection::default()
    };
    let information = TdxSection {
        data: [0x10, 0x20],
        kind: 7,
        ..TdxSection::default()
    };
    let unknown = TdxSection {
        gpa: 0xb0_0000,
        size: 0x1000,
        kind: 9,
        ..TdxSection::default()
    };
    image
        .tdx
        .as_mut()
        .unwrap()
        .extend([later, payload, information, unknown]);
    let plan = image.load(&on(Platform::Tdx)).unwrap();
    assert_eq!(
        codes(&plan.findings),
        [
            "DEFAULT_MEMORY",
            "ACCEPTED_LATER",
            "NO_PAYLOAD",
            "EMPTY_SECTION",
            "UNKNOWN_SECTION"
        ]
    );
    assert_eq!(extents(&plan)[5..], [(0xa0_0000, 1, PageType::Unmeasured)]);
}

#[test]
fn without_a_hand_off_block_rcx_is_zero_and_that_is_told() {
    let mut image = Image::tdx();
    image.tdx.as_mut().unwrap().pop();
    let plan = image.load(&on(Platform::Tdx)).unwrap();
    assert_eq!(rcx(&plan), [Some(0)]);
    assert_eq!(codes(&plan.findings), ["DEFAULT_MEMORY", "NO_HAND_OFF"]);
}

#[test]
fn memory_has_to_hold_the_sections_and_its_list_has_to_fit() {
    let options = |memory: Vec<String>| Options {
        memory: memory.iter().map(|text| text.parse().unwrap()).collect(),
        ..on(Platform::Tdx)
    };
    let error = Image::tdx()
        .load(&options(vec!["0x0+512M".to_owned()]))
        .unwrap_err();
    assert!(
        error.problem.contains("BFV at 0xffffd000+0x3000"),
        "{error}"
    );
    let scattered = (0..200).map(|it| format!("{:#x}+4K", 0x1_0000_0000_u64 + it * 0x2000));
    let memory = ["0x0+512M".to_owned(), "0xffffc000+16K".to_owned()];
    let error = Image::tdx().load(&options(memory.into_iter().chain(scattered).collect()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("give fewer regions"), "{error}");
}

fn check_file(path: &Path) {
    let input = Input::read(path).unwrap();
    let plan = ovmf::load(&input, &on(Platform::Tdx)).unwrap();
    assert_eq!(
        plan.digest().unwrap(),
        Some(mrtd(&input.bytes)),
        "{}",
        path.display()
    );
    assert_eq!(rcx(&plan), [Some(0x80_9000)]);
}

#[test]
fn debians_ovmf_ends_in_the_mrtd_of_its_sections() {
    check_file(Path::new("/usr/share/ovmf/OVMF.fd"));
}

#[test]
fn the_images_of_the_data_folder_end_in_the_mrtd_of_their_sections() {
    let Some(folder) = data_folder() else {
        return;
    };
    for name in ["OVMF.inteltdx.ms.fd", "OVMF.amdsev.fd"] {
        check_file(&folder.join(name));
    }
}
