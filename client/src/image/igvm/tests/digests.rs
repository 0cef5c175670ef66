//! The plan's digest is that of the igvm crate, wherever KVM does not decide otherwise.

use igvm::{
    IgvmDirectiveHeader as Directive, IgvmFile,
    measurement::{generate_snp_measurement, generate_tdx_measurement},
};
use igvm_defs::{IgvmPageDataFlags, IgvmPageDataType as Type};

use super::made::{
    SNP, TDX, area, bytes, codes, file, insert, page, page_of, parameter, plan, planned, save_area,
    shared, snp_context, unmeasured,
};
use crate::{
    image::Options,
    plan::Plan,
    v1::{PageType, Platform},
};

fn snp_digest(file: &IgvmFile) -> [u8; 48] {
    generate_snp_measurement(file.initializations(), file.directives(), SNP).unwrap()
}

fn tdx_digest(file: &IgvmFile) -> [u8; 48] {
    generate_tdx_measurement(file.directives(), TDX).unwrap()
}

fn special(gpa: u64, data_type: Type, data: &[u8]) -> Directive {
    page_of(SNP, gpa, data_type, IgvmPageDataFlags::new(), data)
}

/// Pages of every kind that both platforms have, in no order of addresses.
fn pages(mask: u32) -> Vec<Directive> {
    vec![
        page(mask, 0x10_0000, &[1; 4096]),
        page(mask, 0x10_1000, &[2; 4096]),
        page(mask, 0x10_2000, &[1; 4096]),
        page(mask, 0x10_3000, &[]),
        page(mask, 0x10_4000, &[]),
        page(mask, 0x10_5000, &[3; 100]),
        unmeasured(mask, 0x4000, &[4; 4096]),
        unmeasured(mask, 0x5000, &[]),
        shared(mask, 0x6000, &[]),
        page(mask, 0x1000, &[5; 4096]),
        area(7, 0x3000, &[6; 5000]),
        Directive::VpCount(parameter(7, 8)),
        insert(mask, 7, 0x20_0000),
    ]
}

fn snp_file(vcpus: u16) -> IgvmFile {
    let mut directives = pages(SNP);
    directives.push(special(0xd000, Type::SECRETS, &[]));
    directives.push(special(0xe000, Type::CPUID_DATA, &[1; 8]));
    directives.push(special(0xf000, Type::CPUID_XF, &[1; 8]));
    directives.extend((0..vcpus).map(|index| snp_context(index, save_area(index))));
    file(SNP, directives)
}

#[test]
fn snp_digests_are_those_of_the_igvm_crate_for_one_to_three_vcpus() {
    for vcpus in 1..=3 {
        let file = snp_file(vcpus);
        let plan = planned(&file);
        assert_eq!(plan.vcpus.len(), usize::from(vcpus));
        assert_eq!(plan.digest().unwrap(), Some(snp_digest(&file)), "{vcpus}");
        assert_eq!(
            codes(&plan),
            ["SHARED_ZEROS", "CPUID_XF"],
            "{:?}",
            plan.findings
        );
    }
}

#[test]
fn sim_ends_in_the_digest_of_sev_snp() {
    let file = snp_file(2);
    let options = Options {
        platform: Some(Platform::Sim),
        ..Options::default()
    };
    let plan = plan(bytes(&file), &options).unwrap();
    assert_eq!(plan.digest().unwrap(), Some(snp_digest(&file)));
    assert_eq!((plan.sev_snp, plan.finish), (None, None));
}

#[test]
fn tdx_digests_are_those_of_the_igvm_crate() {
    let file = file(TDX, pages(TDX));
    let plan = planned(&file);
    assert_eq!(plan.platform, Platform::Tdx);
    assert_eq!(plan.digest().unwrap(), Some(tdx_digest(&file)));
    assert_eq!(codes(&plan), ["SHARED_ZEROS"]);
}

#[test]
fn of_a_file_for_both_each_has_its_own_pages() {
    let mut directives = vec![
        page(SNP | TDX, 0x1000, &[1; 4096]),
        page(SNP, 0x2000, &[2; 4096]),
    ];
    directives.push(page(TDX, 0x2000, &[3; 4096]));
    directives.push(snp_context(0, save_area(0)));
    let file = file(SNP | TDX, directives);
    for (platform, digest) in [
        (Platform::SevSnp, snp_digest(&file)),
        (Platform::Tdx, tdx_digest(&file)),
    ] {
        let options = Options {
            platform: Some(platform),
            ..Options::default()
        };
        let plan = plan(bytes(&file), &options).unwrap();
        assert_eq!(plan.digest().unwrap(), Some(digest), "{platform:?}");
        assert_eq!((plan.pages(), plan.extents.len()), (2, 1), "{platform:?}");
    }
}

/// Where the crate follows the file, and the plan KVM: the crate agrees when it is given KVM's order.
#[test]
fn save_areas_before_pages_are_measured_last_and_told() {
    let areas = [snp_context(1, save_area(1)), snp_context(0, save_area(0))];
    let pages = pages(SNP);
    let before = file(SNP, areas.iter().cloned().chain(pages.clone()).collect());
    let last = file(
        SNP,
        pages.into_iter().chain(areas.into_iter().rev()).collect(),
    );
    let plan = planned(&before);
    assert_ne!(snp_digest(&before), snp_digest(&last));
    assert_eq!(plan.digest().unwrap(), Some(snp_digest(&last)));
    assert!(codes(&plan).contains(&"VMSA_ORDER"), "{:?}", plan.findings);
}

fn shape(plan: &Plan) -> Vec<(u64, u64, PageType, &str)> {
    let of = |it: &crate::plan::Extent| (it.gpa().bytes(), it.pages(), it.page_type());
    plan.extents
        .iter()
        .map(|it| {
            let (gpa, pages, page_type) = of(it);
            (gpa, pages, page_type, it.name())
        })
        .collect()
}

#[test]
fn pages_that_follow_one_another_are_one_extent() {
    let plan = planned(&snp_file(1));
    assert_eq!(
        shape(&plan),
        [
            (0x10_0000, 3, PageType::Normal, "data"),
            (0x10_3000, 2, PageType::Normal, "zeros"),
            (0x10_5000, 1, PageType::Normal, "data"),
            (0x4000, 1, PageType::Unmeasured, "unmeasured data"),
            (0x5000, 1, PageType::Unmeasured, "unmeasured zeros"),
            (0x1000, 1, PageType::Normal, "data"),
            (
                0x20_0000,
                3,
                PageType::Unmeasured,
                "parameter area 7: VP count"
            ),
            (0xd000, 1, PageType::Secrets, "secrets page"),
            (0xe000, 1, PageType::Cpuid, "CPUID page"),
            (0xf000, 1, PageType::Cpuid, "CPUID page"),
        ]
    );
    let memory: Vec<_> = { plan.memory.iter() }
        .map(|it| (it.gpa.bytes(), it.size))
        .collect();
    assert_eq!(
        memory,
        [
            (0x1000, 0x1000),
            (0x4000, 0x2000),
            (0xd000, 0x3000),
            (0x10_0000, 0x6000),
            (0x20_0000, 0x3000)
        ]
    );
}

/// So that a file of one page and a million headers costs no million copies.
#[test]
fn a_page_that_is_named_very_often_is_not_copied_each_time() {
    let often = (0..500)
        .map(|at| page(TDX, at * 0x1000, &[9; 4096]))
        .collect();
    let file = file(TDX, often);
    let plan = planned(&file);
    assert_eq!(plan.pages(), 500);
    assert_eq!(plan.extents.len(), 500);
    assert_eq!(plan.digest().unwrap(), Some(tdx_digest(&file)));
}

#[test]
fn an_extent_ends_where_a_region_does() {
    let file = file(
        TDX,
        vec![page(TDX, 0x1000, &[1; 4096]), page(TDX, 0x2000, &[2; 4096])],
    );
    let options = Options {
        memory: vec!["0x2000+64K".parse().unwrap(), "0x0+8K".parse().unwrap()],
        ..Options::default()
    };
    let plan = plan(bytes(&file), &options).unwrap();
    assert_eq!(plan.extents.len(), 2);
    assert_eq!(plan.memory.first().map(|it| it.gpa.bytes()), Some(0));
    assert_eq!(plan.digest().unwrap(), Some(tdx_digest(&file)));
}
