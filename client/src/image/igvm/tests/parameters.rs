//! What guests read in parameter areas.

use igvm::IgvmDirectiveHeader as Directive;

use super::made::{SNP, TDX, area, bytes, codes, file, insert, page, parameter, plan, planned};
use crate::{
    image::Options,
    plan::{Contents, Plan, Severity},
    v1::PageType,
};

/// The bytes of the plan's last extent.
fn last(plan: &Plan) -> Vec<u8> {
    let extent = plan.extents.last().unwrap();
    assert_eq!(extent.page_type(), PageType::Unmeasured);
    let mut all = Vec::new();
    extent
        .each_page(|_, page| all.extend_from_slice(page.unwrap_or(&[0; 4096])))
        .unwrap();
    all
}

fn one_area(parameters: Vec<Directive>) -> Vec<u8> {
    let mut directives = vec![page(SNP, 0, &[1; 4096]), area(3, 0x1000, &[0xee; 4096])];
    directives.extend(parameters);
    directives.push(insert(SNP, 3, 0x8000));
    bytes(&file(SNP, directives))
}

fn given() -> Options {
    Options {
        vcpus: Some(3),
        memory: vec!["0xffc00000+4M".parse().unwrap(), "0x0+64M".parse().unwrap()],
        append: Some("console=ttyS0".to_owned()),
        ..Options::default()
    }
}

#[test]
fn what_is_known_is_written_at_its_offset_and_the_rest_stays() {
    let image = one_area(vec![
        Directive::VpCount(parameter(3, 0x10)),
        Directive::EnvironmentInfo(parameter(3, 0x20)),
        Directive::MemoryMap(parameter(3, 0x100)),
        Directive::CommandLine(parameter(3, 0x200)),
        Directive::MmioRanges(parameter(3, 0x300)),
    ]);
    let plan = plan(image, &given()).unwrap();
    let mut expected = vec![0xee; 4096];
    expected[0x10..0x14].copy_from_slice(&[3, 0, 0, 0]);
    expected[0x20..0x24].fill(0);
    let entry = |page: u64, pages: u64, kind: u16| {
        [
            page.to_le_bytes(),
            pages.to_le_bytes(),
            u64::from(kind).to_le_bytes(),
        ]
        .concat()
    };
    // Sorted, the firmware's region reserved, and an empty entry behind.
    let map = [
        entry(0, 0x4000, 0),
        entry(0xf_fc00, 0x400, 1),
        entry(0, 0, 0),
    ]
    .concat();
    expected[0x100..0x100 + map.len()].copy_from_slice(&map);
    expected[0x200..0x20e].copy_from_slice(b"console=ttyS0\0");
    expected[0x300..0x320].fill(0);
    assert!(last(&plan) == expected);
    assert_eq!(codes(&plan), ["VCPU_WITHOUT_CONTEXT"]);
}

#[test]
fn the_least_memory_is_told_to_be_the_least() {
    let options = Options {
        append: None,
        memory: vec![],
        ..given()
    };
    let image = one_area(vec![Directive::MemoryMap(parameter(3, 0))]);
    assert!(codes(&plan(image, &options).unwrap()).contains(&"MEMORY_MAP"));
}

#[test]
fn tables_that_cannot_be_given_are_told() {
    let options = || Options {
        append: None,
        ..given()
    };
    type Make = fn(igvm_defs::IGVM_VHS_PARAMETER) -> Directive;
    let tables: [(Make, Severity); 5] = [
        (Directive::Srat, Severity::Warning),
        (Directive::Slit, Severity::Warning),
        (Directive::Pptt, Severity::Warning),
        (Directive::Madt, Severity::Error),
        (Directive::DeviceTree, Severity::Error),
    ];
    for (make, severity) in tables {
        let plan = plan(one_area(vec![make(parameter(3, 0))]), &options()).unwrap();
        let told = { plan.findings.iter() }
            .find(|it| it.code.starts_with("PARAMETER_"))
            .unwrap();
        assert_eq!(told.severity, severity, "{told}");
        assert!(last(&plan) == [0xee; 4096]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for (at, directive) in [
        (0xffd, Directive::VpCount as fn(_) -> _),
        (0xff8, Directive::CommandLine),
        (0xfc0, Directive::MemoryMap),
        (0x1000, Directive::VpCount),
    ] {
        let parameters = vec![
            directive(parameter(3, at)),
            Directive::CommandLine(parameter(3, 0)),
        ];
        let parameters = if at == 0xff8 {
            parameters[..1].to_vec()
        } else {
            parameters
        };
        let error = plan(one_area(parameters), &given()).unwrap_err();
        assert_eq!(error.structure, "IGVM parameter", "{error}");
        assert!(
            error.offset.is_some() && error.problem.contains("area 3"),
            "{error}"
        );
    }
}

#[test]
fn a_command_line_needs_a_place_and_ascii() {
    let error = plan(one_area(vec![]), &given()).unwrap_err().to_string();
    assert!(error.contains("no place for a command line"), "{error}");
    let options = Options {
        append: Some("größe".to_owned()),
        ..given()
    };
    let image = one_area(vec![Directive::CommandLine(parameter(3, 0))]);
    let error = plan(image, &options).unwrap_err().to_string();
    assert!(error.contains("is ASCII"), "{error}");
}

#[test]
fn an_area_in_which_nothing_is_written_is_zeros_without_bytes() {
    let directives = vec![area(1, 0x20_0000, &[]), insert(TDX, 1, 0x100_0000)];
    let plan = planned(&file(TDX, directives));
    assert!(matches!(plan.extents[0].contents(), Contents::Zeros));
    assert_eq!(plan.pages(), 0x200);
}
