//! Images that lie: each is refused with the structure, its offset, and a way out.

use stagepages_client::{image::ovmf, v1::Platform};

use crate::image::{Image, SEV_AT, SEV_METADATA, SVSM_INFO, TDX_AT, TdxSection, load, numbers, on};

/// What is written over the image, so many bytes before its end.
type Change = (usize, Vec<u8>);

fn refused(image: &Image, platform: Platform, (before_end, with): Change, told: &[&str]) {
    let mut bytes = image.bytes();
    let at = bytes.len() - before_end;
    bytes[at..at + with.len()].copy_from_slice(&with);
    let error = load(bytes, &on(platform)).unwrap_err().to_string();
    for told in told {
        assert!(error.contains(told), "{error}: no `{told}`");
    }
    assert!(error.starts_with("image: "), "{error}");
    assert!(
        error.contains("give ") || error.contains("only 0x1 is known"),
        "{error}"
    );
}

#[test]
fn a_table_whose_sizes_do_not_add_up() {
    let image = Image::sev();
    let table = |before: usize, size: u16| (32 + before, size.to_le_bytes().to_vec());
    // The footer, then the first entry behind it, of 22 bytes, whose size is before its GUID.
    let footer = ["GUID table at offset 0x3fce", "the footer alone has 0x12"];
    for size in [0, 17, 0x4000, 0xffff] {
        refused(&image, Platform::Kvm, table(18, size), &footer);
    }
    refused(
        &image,
        Platform::Kvm,
        table(18, 18 + 17),
        &["GUID table", "too few for an entry"],
    );
    for size in [0, 17, 0x100, 0xffff] {
        let told = ["GUID table at offset 0x3fbc", "an entry has at least 0x12"];
        refused(&image, Platform::Kvm, table(36, size), &told);
    }
}

#[test]
fn a_table_with_two_answers() {
    let mut image = Image::sev();
    image.entries.push((SEV_METADATA, numbers(&[0x1000])));
    let error = image.load(&on(Platform::SevSnp)).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn metadata_outside_the_file_or_of_another_kind() {
    for (image, platform, at, name) in [
        (Image::sev(), Platform::SevSnp, SEV_AT, "SEV metadata"),
        (Image::tdx(), Platform::Tdx, TDX_AT, "TDVF descriptor"),
    ] {
        let count = if name == "SEV metadata" { 7 } else { 4 };
        let header = |field: usize, value: u32| (at - field, value.to_le_bytes().to_vec());
        for (change, told) in [
            (header(0, 0), "begins with 0x00000000"),
            (header(4, 16), "need"),
            (header(4, u32::MAX), "it has 0xffffffff bytes"),
            (header(8, 2), "its version is 0x2"),
            (header(12, count + 1), "need"),
            (header(12, u32::MAX), "claims 0xffffffff sections"),
        ] {
            refused(
                &image,
                platform,
                change,
                &[&format!("{name} at offset"), told],
            );
        }
        // The entry that leads to it is the table's first, the last to be read.
        let entry = image.bytes();
        let entry = entry.len() - {
            let guid = if name == "SEV metadata" {
                [0x66, 0x65, 0x88, 0xdc]
            } else {
                [0x35, 0x65, 0x7a, 0xe4]
            };
            entry.windows(4).rposition(|it| it == guid).unwrap()
        };
        for (distance, told) in [
            (0_u32, "it has 0x10 bytes"),
            (15, "it has 0x10 bytes"),
            (0x4001, "begins 0x4001 bytes before the end"),
            (u32::MAX, "begins 0xffffffff bytes before the end"),
        ] {
            let change = (entry + 6, distance.to_le_bytes().to_vec());
            refused(&image, platform, change, &[name, told]);
        }
    }
}

#[test]
fn sev_sections_that_cannot_be() {
    let section = |number: usize, fields: [u32; 3]| (SEV_AT - 16 - 12 * number, numbers(&fields));
    for (change, told) in [
        (
            section(0, [0x80_0001, 0x1000, 1]),
            "0x800001 is no multiple",
        ),
        (
            section(0, [0x80_0000, 0x1001, 1]),
            "0x1001 bytes is no multiple",
        ),
        (
            section(2, [0x80_d000, 0x2000, 2]),
            "SECRETS has 0x2000 bytes",
        ),
        (section(2, [0x80_d000, 0, 2]), "SECRETS has 0x0 bytes"),
        (section(3, [0x80_e000, 0x2000, 3]), "CPUID has 0x2000 bytes"),
        (
            section(1, [0x80_8000, 0x1000, 1]),
            "SNP_SEC_MEM (0x808000+0x1000) overlaps SNP_SEC_MEM (0x800000+0x9000)",
        ),
        (
            section(1, [0x80_8000, 0x1000, 0x77]),
            "unknown section (0x808000+0x1000) overlaps",
        ),
        (
            section(1, [0xffff_f000, 0x1000, 1]),
            "overlaps the image itself",
        ),
        (section(1, [0xffff_b000, 0x2000, 1]), "overlaps SNP_SEC_MEM"),
        (
            section(0, [0x100_0000, 0x1000_5000, 1]),
            "more than 0x10004000",
        ),
    ] {
        refused(
            &Image::sev(),
            Platform::SevSnp,
            change,
            &["SEV metadata section at offset 0x", told],
        );
    }
}

#[test]
fn tdvf_sections_that_cannot_be() {
    let bfv = Image::tdx().tdx.unwrap()[0];
    let memory = Image::tdx().tdx.unwrap()[2];
    let with = |number: usize, section: TdxSection| {
        let mut image = Image::tdx();
        image.tdx.as_mut().unwrap()[number] = section;
        image
    };
    for (image, told) in [
        (
            with(
                0,
                TdxSection {
                    data: [0x1001, 0x3000],
                    ..bfv
                },
            ),
            "the file ends at 0x4000",
        ),
        (
            with(
                0,
                TdxSection {
                    data: [u32::MAX, u32::MAX],
                    ..bfv
                },
            ),
            "the file ends at 0x4000",
        ),
        (
            with(
                0,
                TdxSection {
                    data: [0, 0x4000],
                    ..bfv
                },
            ),
            "0x4000 bytes in the file and 0x3000 in the guest",
        ),
        (
            with(
                0,
                TdxSection {
                    data: [0, 0],
                    ..bfv
                },
            ),
            "BFV has no bytes",
        ),
        (with(0, TdxSection { gpa: 0x800, ..bfv }), "no multiple"),
        (
            with(
                0,
                TdxSection {
                    size: 0x3001,
                    ..bfv
                },
            ),
            "no multiple",
        ),
        (
            with(
                0,
                TdxSection {
                    attributes: 3,
                    ..bfv
                },
            ),
            "measured and not to be installed",
        ),
        (
            with(
                0,
                TdxSection {
                    attributes: 4,
                    ..bfv
                },
            ),
            "attributes 0x4",
        ),
        (
            with(
                2,
                TdxSection {
                    data: [0, 1],
                    ..memory
                },
            ),
            "TempMem has 0x1 bytes and takes none",
        ),
        (
            with(
                2,
                TdxSection {
                    gpa: u64::MAX - 0xfff,
                    size: 0x1000,
                    ..memory
                },
            ),
            "leave the address space",
        ),
        (
            with(
                2,
                TdxSection {
                    gpa: 0x80_a000,
                    ..memory
                },
            ),
            "overlaps TD_HOB",
        ),
        (with(2, TdxSection { kind: 2, ..memory }), "second TD_HOB"),
        (
            with(
                2,
                TdxSection {
                    gpa: 0x100_0000,
                    size: 1 << 40,
                    ..memory
                },
            ),
            "more than 0x10004000",
        ),
        (
            with(
                2,
                TdxSection {
                    gpa: 1 << 52,
                    ..memory
                },
            ),
            "no region holds",
        ),
    ] {
        let error = image.load(&on(Platform::Tdx)).unwrap_err().to_string();
        assert!(error.contains(told), "{error}: no `{told}`");
    }
    let no_code = with(0, TdxSection { kind: 1, ..bfv });
    let error = no_code.load(&on(Platform::Tdx)).unwrap_err().to_string();
    assert!(error.contains("no section is a BFV"), "{error}");
}

#[test]
fn an_image_that_is_no_whole_pages_and_one_of_an_svsm() {
    let mut bytes = vec![0];
    bytes.extend(Image::sev().bytes());
    let error = load(bytes, &on(Platform::SevSnp)).unwrap_err().to_string();
    assert!(error.contains("0x4001 bytes, no multiple"), "{error}");
    let mut image = Image::sev();
    image.entries.push((SVSM_INFO, vec![0; 4]));
    for platform in [Platform::SevSnp, Platform::Kvm] {
        let error = image.load(&on(platform)).unwrap_err().to_string();
        assert!(error.contains("SVSM") && error.contains("IGVM"), "{error}");
    }
}

#[test]
fn an_image_is_told_by_its_table_or_its_first_volume() {
    let mut bytes = Image::sev().bytes();
    assert!(ovmf::recognises(&bytes));
    let footer = bytes.len() - 48;
    bytes[footer] ^= 1;
    assert!(!ovmf::recognises(&bytes));
    bytes[40..44].copy_from_slice(b"_FVH");
    assert!(ovmf::recognises(&bytes));
    assert!(!ovmf::recognises(&[]) && !ovmf::recognises(&bytes[..43]));
    // Without a table it is for kvm alone.
    load(bytes.clone(), &on(Platform::Kvm)).unwrap();
    for platform in [Platform::SevSnp, Platform::Tdx, Platform::Unspecified] {
        load(bytes.clone(), &on(platform)).unwrap_err();
    }
}
