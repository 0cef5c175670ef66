//! What of an image is staged on SEV-SNP and on kvm.

use stagepages_client::{
    addr::Region,
    image::Options,
    plan::Severity,
    v1::{PageType, Platform, vcpu_state::State},
};

use crate::image::{FOUR_GIB, Image, SEV_HASHES, SEV_RESET, codes, extents, input, numbers, on};

const IMAGE: (u64, u64, PageType) = (FOUR_GIB - 0x4000, 4, PageType::Normal);

#[test]
fn the_image_comes_first_and_then_the_sections_in_their_order() {
    for platform in [Platform::SevSnp, Platform::Sim] {
        let plan = Image::sev().load(&on(platform)).unwrap();
        assert_eq!(
            extents(&plan),
            [
                IMAGE,
                (0x80_0000, 9, PageType::Zero),
                (0x80_a000, 3, PageType::Zero),
                (0x80_d000, 1, PageType::Secrets),
                (0x80_e000, 1, PageType::Cpuid),
                (0x80_f000, 1, PageType::Zero),
                (0x81_1000, 2, PageType::Zero),
                (0x81_0000, 1, PageType::Zero),
            ]
        );
        let memory: Vec<String> = plan.memory.iter().map(Region::to_string).collect();
        assert_eq!(memory, ["0x800000+36K", "0x80a000+36K", "0xffffc000+16K"]);
        assert_eq!(
            codes(&plan.findings),
            ["CPUID_WITHOUT_LEAVES", "LEAST_MEMORY"]
        );
        assert_eq!(plan.platform, platform);
    }
}

#[test]
fn an_image_for_one_platform_needs_no_choice_and_one_for_two_does() {
    let plan = Image::sev().load(&Options::default()).unwrap();
    assert_eq!(plan.platform, Platform::SevSnp);
    let plan = Image::tdx().load(&Options::default()).unwrap();
    assert_eq!(plan.platform, Platform::Tdx);
    let both = Image {
        tdx: Image::tdx().tdx,
        ..Image::sev()
    };
    let error = both.load(&Options::default()).unwrap_err().to_string();
    assert!(error.contains("choose one"), "{error}");
    let neither = Image {
        sev: None,
        ..Image::sev()
    };
    let error = neither.load(&Options::default()).unwrap_err().to_string();
    assert!(error.contains("choose kvm"), "{error}");
}

#[test]
fn an_image_for_another_platform_is_refused() {
    let error = Image::tdx().load(&on(Platform::SevSnp)).unwrap_err();
    assert!(error.problem.contains("built for SEV-SNP"), "{error}");
    let error = Image::sev().load(&on(Platform::Tdx)).unwrap_err();
    assert!(error.problem.contains("built for TDX"), "{error}");
}

#[test]
fn on_kvm_the_image_is_staged_alone() {
    let options = Options {
        vcpus: Some(2),
        memory: vec!["0xffff0000+64K".parse().unwrap(), "0x0+1M".parse().unwrap()],
        ..on(Platform::Kvm)
    };
    let plan = Image::sev().load(&options).unwrap();
    assert_eq!(extents(&plan), [IMAGE]);
    assert_eq!(plan.memory, [options.memory[1], options.memory[0]]);
    let states: Vec<_> = plan.vcpus.iter().map(|it| (it.index, &it.state)).collect();
    assert!(matches!(
        states[..],
        [(0, Some(State::Reset(_))), (1, Some(State::Reset(_)))]
    ));
    assert_eq!((plan.digest().unwrap(), plan.findings), (None, vec![]));
}

#[test]
fn a_kernels_hashes_are_where_the_image_looks_for_them() {
    let options = Options {
        kernel: Some(input("kernel", &b"kernel"[..])),
        ..on(Platform::SevSnp)
    };
    let plan = Image::sev().load(&options).unwrap();
    let page = plan.extents.last().unwrap();
    assert_eq!(
        (page.gpa().bytes(), page.page_type()),
        (0x81_0000, PageType::Normal)
    );
    let mut bytes = Vec::new();
    page.each_page(|_, page| bytes.extend_from_slice(page.unwrap()))
        .unwrap();
    assert!(bytes[..0xc00].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[0xc00..0xc04], [0x06, 0xd6, 0x38, 0x94]);
    assert!(bytes[0xc00 + 168..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_kernel_that_nothing_would_measure_is_refused() {
    let kernel = || Some(input("kernel", &b"kernel"[..]));
    let mut no_page = Image::sev();
    no_page.sev.as_mut().unwrap().pop();
    let with_area = |area: &[u32]| {
        let mut image = Image::sev();
        image.entries[1] = (SEV_HASHES, numbers(area));
        image
    };
    let mut no_area = Image::sev();
    no_area.entries.pop();
    let mut two_pages = Image::sev();
    two_pages.sev.as_mut().unwrap()[6] = [0x81_8000, 0x2000, 0x10];
    for (image, told) in [
        (no_page, "no page for them"),
        (no_area, "does not say where"),
        (with_area(&[0x81_0c00, 0xaf]), "its 0xaf bytes do not hold"),
        (with_area(&[0x80_fc00, 0x400]), "not in the measured page"),
        (with_area(&[0x81_0f51, 0x400]), "not in the measured page"),
        (with_area(&[0, 0]), "do not hold"),
        (two_pages, "has 0x2000 bytes and not one page"),
    ] {
        let options = Options {
            kernel: kernel(),
            ..on(Platform::SevSnp)
        };
        let error = image.load(&options).unwrap_err().to_string();
        assert!(
            error.contains(told) && error.contains("no kernel"),
            "{error}"
        );
    }
    let options = Options {
        kernel: kernel(),
        ..on(Platform::SevSnp)
    };
    let error = with_area(&[0x81_0c00])
        .load(&options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it has 0x4 bytes and not the 0x8"),
        "{error}"
    );
    for (image, platform) in [(Image::sev(), Platform::Kvm), (Image::tdx(), Platform::Tdx)] {
        let options = Options {
            kernel: kernel(),
            ..on(platform)
        };
        let error = image.load(&options).unwrap_err().to_string();
        assert!(error.contains("give no kernel"), "{error}");
    }
}

#[test]
fn what_goes_with_a_kernel_is_refused_without_one() {
    let initrd = Options {
        initrd: Some(input("initrd", &b"initrd"[..])),
        ..on(Platform::SevSnp)
    };
    let append = Options {
        append: Some("quiet".to_owned()),
        ..on(Platform::SevSnp)
    };
    for (options, told) in [(initrd, "initial RAM disk"), (append, "command line")] {
        let error = Image::sev().load(&options).unwrap_err().to_string();
        assert!(
            error.contains(told) && error.contains("no kernel"),
            "{error}"
        );
    }
}

#[test]
fn only_one_vcpu_begins_without_a_reset_address() {
    let options = Options {
        vcpus: Some(2),
        ..on(Platform::SevSnp)
    };
    let mut zero = Image::sev();
    zero.entries[0] = (SEV_RESET, numbers(&[0]));
    let mut none = Image::sev();
    none.entries.remove(0);
    for image in [zero, none] {
        let error = image.load(&options).unwrap_err().to_string();
        assert!(
            error.contains("SEV-ES reset block") && error.contains("only one vCPU"),
            "{error}"
        );
        assert_eq!(image.load(&on(Platform::SevSnp)).unwrap().vcpus.len(), 1);
    }
    let too_many = Options {
        vcpus: Some(65),
        ..on(Platform::SevSnp)
    };
    let error = Image::sev().load(&too_many).unwrap_err().to_string();
    assert!(error.contains("65 were asked for"), "{error}");
}

#[test]
fn a_section_that_is_not_known_is_an_error_of_the_plan_and_one_without_pages_is_not() {
    let mut image = Image::sev();
    image
        .sev
        .as_mut()
        .unwrap()
        .extend([[0x90_0000, 0x1000, 0x11], [0, 0, 4], [0, 0, 0x12]]);
    let plan = image.load(&on(Platform::SevSnp)).unwrap();
    assert_eq!(plan.extents.len(), 8);
    let errors: Vec<_> = plan
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| {
            (
                finding.code,
                finding.gpa.unwrap().bytes(),
                finding.offset.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        errors,
        [("UNKNOWN_SECTION", 0x90_0000, 0x3000 + 16 + 7 * 12)]
    );
    let empty = codes(&plan.findings)
        .iter()
        .filter(|code| **code == "EMPTY_SECTION")
        .count();
    assert_eq!(empty, 2);
}

#[test]
fn an_entry_of_the_table_that_is_not_known_is_told() {
    let mut image = Image::sev();
    let unknown = "01234567-89ab-cdef-0123-456789abcdef";
    image.entries.insert(1, (unknown, vec![1; 5]));
    let plan = image.load(&on(Platform::SevSnp)).unwrap();
    let note = plan
        .findings
        .iter()
        .find(|it| it.code == "UNKNOWN_GUID")
        .unwrap();
    assert!(
        note.message.contains(unknown) && note.severity == Severity::Note,
        "{note}"
    );
    // Behind it are the reset block and the footer.
    assert_eq!(note.offset, Some(0x4000 - 32 - 18 - 22 - 23));
}

#[test]
fn a_cpuid_page_is_taken_where_the_image_has_a_place_for_it() {
    let options = |page: Vec<u8>| Options {
        cpuid_page: Some(page.into()),
        ..on(Platform::SevSnp)
    };
    let plan = Image::sev().load(&options(vec![1; 64])).unwrap();
    assert_eq!(codes(&plan.findings), ["LEAST_MEMORY"]);
    let mut first = 0;
    plan.extents[4]
        .each_page(|_, page| first = page.unwrap()[63])
        .unwrap();
    assert_eq!(first, 1);
    for length in [0, 4097] {
        let error = Image::sev()
            .load(&options(vec![1; length]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("CPUID page"), "{error}");
    }
    let mut image = Image::sev();
    image.sev.as_mut().unwrap().remove(3);
    let plan = image.load(&options(vec![1; 64])).unwrap();
    assert_eq!(codes(&plan.findings), ["LEAST_MEMORY", "CPUID_UNUSED"]);
}
