//! Headers that few files have.

use igvm::{
    IgvmDirectiveHeader as Directive, IgvmFile, IgvmInitializationHeader as Initialization,
    IgvmRevision, hv_defs::Vtl, registers::X86Register,
};
use igvm_defs::IgvmPlatformType;

use super::{
    made::{NATIVE, SNP, TDX, bytes, codes, file, page, plan, planned, platform, shared, with},
    refused::summed,
};
use crate::{
    image::Options,
    plan::{Contents, Severity},
    v1::Platform,
};

/// Where the flags of the first page's header are in a file of one platform, which has no policy.
const FLAGS: usize = 0x20 + 24 + 24;

fn large(gpa: u64, data: &[u8], length: usize) -> Vec<u8> {
    let mut made = bytes(&file(TDX, vec![page(TDX, gpa, data)]));
    made[FLAGS] |= 1;
    if !data.is_empty() {
        made.resize(made.len() - 4096 + length, 0x77);
        let length = u32::try_from(made.len()).unwrap();
        made[16..20].copy_from_slice(&length.to_le_bytes());
    }
    summed(made)
}

#[test]
fn a_page_of_two_mebibytes_is_512_pages() {
    let blank = plan(large(0x20_0000, &[], 0), &Options::default()).unwrap();
    assert_eq!((blank.pages(), codes(&blank)), (512, vec!["LARGE_PAGE"]));
    assert!(matches!(blank.extents[0].contents(), Contents::Zeros));
    let full = plan(
        large(0x20_0000, &[0x77; 4096], 2 << 20),
        &Options::default(),
    )
    .unwrap();
    let same: Vec<_> = (0..512)
        .map(|at| page(TDX, 0x20_0000 + at * 4096, &[0x77; 4096]))
        .collect();
    assert_eq!(
        full.digest().unwrap(),
        planned(&file(TDX, same)).digest().unwrap()
    );
    for (bytes, words) in [
        (
            large(0x20_0000, &[1; 4096], (2 << 20) - 1),
            "its data is 0x200000 bytes",
        ),
        (large(0x20_1000, &[], 0), "multiples of 0x200000"),
    ] {
        let error = plan(bytes, &Options::default()).unwrap_err();
        assert!(error.problem.contains(words), "{error}");
        assert_eq!(error.offset, Some(0x38));
    }
}

#[test]
fn version_1_is_read_too() {
    let headers = vec![platform(TDX, IgvmPlatformType::TDX)];
    let directives = vec![page(TDX, 0x1000, &[1; 4096])];
    let old = IgvmFile::new(IgvmRevision::V1, headers, vec![], directives.clone()).unwrap();
    let (old, new) = (planned(&old), planned(&file(TDX, directives)));
    assert_eq!(old.digest().unwrap(), new.digest().unwrap());
    assert_eq!(old.format, "IGVM version 1 for TDX");
}

#[test]
fn a_shared_page_with_contents_is_an_error_where_memory_is_private() {
    let made = |mask| file(mask, vec![page(mask, 0, &[1]), shared(mask, 0x1000, &[2])]);
    let plan = planned(&made(TDX));
    assert_eq!((codes(&plan), plan.pages()), (vec!["SHARED_PAGE"], 1));
    assert_eq!(plan.findings[0].severity, Severity::Error);
    let native = planned(&made(NATIVE));
    assert_eq!(
        (codes(&native), native.pages()),
        (vec!["VCPU_WITHOUT_CONTEXT"], 2)
    );
}

#[test]
fn what_may_be_moved_stays_and_has_its_memory() {
    let region = Initialization::RelocatableRegion {
        compatibility_mask: TDX,
        relocation_alignment: 0x20_0000,
        relocation_region_gpa: 0x20_0000,
        relocation_region_size: 0x40_0000,
        minimum_relocation_gpa: 0,
        maximum_relocation_gpa: 0x4000_0000,
        is_vtl2: false,
        apply_rip_offset: false,
        apply_gdtr_offset: false,
        vp_index: 0,
        vtl: Vtl::Vtl0,
    };
    // The crate writes such a region only with the context of VSM isolation.
    let context = Directive::X64VbsVpContext {
        vtl: Vtl::Vtl0,
        registers: vec![X86Register::Rip(0x20_0000)],
        compatibility_mask: TDX,
    };
    let headers = vec![platform(TDX, IgvmPlatformType::VSM_ISOLATION)];
    let directives = vec![page(TDX, 0x20_0000, &[1]), context];
    let mut made = bytes(&with(headers, vec![region], directives));
    let options = Options {
        platform: Some(Platform::Kvm),
        ..Options::default()
    };
    let plan_of = |bytes| plan(bytes, &options);
    let plan = plan_of(made.clone()).unwrap();
    assert_eq!(codes(&plan), ["RELOCATABLE"]);
    assert_eq!(plan.memory, ["0x200000+4M".parse().unwrap()]);
    // The size of the region.
    made[0x38 + 8 + 24] = 1;
    let error = plan_of(summed(made)).unwrap_err();
    assert_eq!(
        (error.structure.as_str(), error.offset),
        ("IGVM relocatable region", Some(0x38))
    );
}

#[test]
fn error_ranges_and_required_memory_are_memory_and_nothing_is_loaded() {
    let directives = vec![
        page(SNP, 0, &[1]),
        Directive::ErrorRange {
            gpa: 0x8000,
            compatibility_mask: SNP,
            size_bytes: 0x2000,
        },
        Directive::RequiredMemory {
            gpa: 0x1000,
            compatibility_mask: SNP,
            number_of_bytes: 0x3000,
            vtl2_protectable: true,
        },
        Directive::RequiredMemory {
            gpa: 0x100_0000,
            compatibility_mask: TDX,
            number_of_bytes: 0x1000,
            vtl2_protectable: false,
        },
    ];
    let plan = planned(&file(SNP, directives));
    assert_eq!((plan.pages(), plan.memory.len()), (1, 2));
    assert_eq!((plan.memory[0].size, plan.memory[1].size), (0x4000, 0x2000));
    assert_eq!(
        codes(&plan),
        ["ERROR_RANGE", "VTL2_PROTECTABLE", "VCPU_WITHOUT_CONTEXT"]
    );
}

#[test]
fn vtoms_and_vtls_are_told() {
    let mut made = bytes(&file(SNP, vec![page(SNP, 0, &[1])]));
    // The highest VTL, and the shared boundary.
    made[0x20 + 8 + 4] = 2;
    made[0x20 + 8 + 8 + 5] = 0x40;
    let plan = plan(summed(made), &Options::default()).unwrap();
    let told: Vec<_> = { plan.findings.iter() }
        .map(|it| (it.code, it.severity))
        .collect();
    assert_eq!(
        told[..2],
        [
            ("HIGHEST_VTL", Severity::Warning),
            ("SHARED_GPA_BOUNDARY", Severity::Error)
        ]
    );
}

#[test]
fn wishes_that_an_igvm_file_cannot_have_are_refused() {
    let input = crate::image::Input {
        name: "vmlinuz".to_owned(),
        bytes: vec![1].into(),
    };
    let options = Options {
        kernel: Some(input),
        ..Options::default()
    };
    let error = plan(bytes(&file(TDX, vec![page(TDX, 0, &[1])])), &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("takes no kernel"), "{error}");
}
