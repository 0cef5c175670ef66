//! Which platform is loaded, and what the others' loaders do not have.

use igvm::{
    IgvmDirectiveHeader as Directive, IgvmInitializationHeader as Initialization, hv_defs::Vtl,
    registers::X86Register,
};
use igvm_defs::{IgvmNativeVpContextX64, IgvmPlatformType};
use zerocopy::FromZeros as _;

use super::made::{NATIVE, SNP, TDX, bytes, codes, file, page, plan, planned, platform, with};
use crate::{
    image::{Options, SevSnpOptions},
    plan::{Severity, registers},
    v1::{Platform, sev_snp_settings::GuestPolicy, vcpu_state::State},
};

fn on(platform: Platform) -> Options {
    Options {
        platform: Some(platform),
        ..Options::default()
    }
}

#[test]
fn the_only_platform_is_taken_and_of_several_one_must_be_chosen() {
    for (mask, platform) in [
        (SNP, Platform::SevSnp),
        (TDX, Platform::Tdx),
        (NATIVE, Platform::Kvm),
    ] {
        assert_eq!(
            planned(&file(mask, vec![page(mask, 0, &[1])])).platform,
            platform
        );
    }
    let both = bytes(&file(SNP | TDX, vec![page(SNP | TDX, 0, &[1])]));
    let error = plan(both.clone(), &Options::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("SEV-SNP, TDX; choose one"), "{error}");
    plan(both.clone(), &on(Platform::Tdx)).unwrap();
    let error = plan(both, &on(Platform::Kvm)).unwrap_err().to_string();
    assert!(
        error.contains("not for kvm: it is for SEV-SNP, TDX"),
        "{error}"
    );
}

#[test]
fn a_file_for_platforms_that_nobody_here_has_says_which() {
    let headers = vec![
        platform(1, IgvmPlatformType::SEV),
        platform(2, IgvmPlatformType::VSM_ISOLATION),
    ];
    let made = bytes(&with(headers, vec![], vec![page(1, 0, &[1])]));
    let error = plan(made, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("SEV, VSM isolation"), "{error}");
}

#[test]
fn the_policy_is_that_of_the_image_unless_another_is_asked_for() {
    let image = bytes(&file(SNP, vec![page(SNP, 0, &[1])]));
    let own = plan(image.clone(), &Options::default())
        .unwrap()
        .sev_snp
        .unwrap();
    assert_eq!(own.guest_policy, Some(GuestPolicy::PolicyNumber(0x3_0000)));
    let options = Options {
        sev_snp: SevSnpOptions {
            guest_policy: "0xb0000".parse().ok(),
            ..SevSnpOptions::default()
        },
        ..Options::default()
    };
    let asked = plan(image, &options).unwrap();
    let told = { asked.findings.iter() }.find(|it| it.code == "GUEST_POLICY");
    assert!(told.unwrap().offset.is_some());
    assert_eq!(asked.guest_policy(), 0xb_0000);
}

#[test]
fn a_td_policy_becomes_attributes() {
    for (policy, attributes, told) in [
        (0, 0, false),
        (1, 1, false),
        (2, 1 << 28, false),
        (7, 1 | 1 << 28 | 1 << 29, false),
        (0x12, 1 << 28, true),
    ] {
        let start = Initialization::GuestPolicy {
            policy,
            compatibility_mask: TDX,
        };
        let headers = vec![platform(TDX, IgvmPlatformType::TDX)];
        let plan = planned(&with(headers, vec![start], vec![page(TDX, 0, &[1])]));
        assert_eq!(plan.tdx.as_ref().unwrap().attributes, Some(attributes));
        assert_eq!(codes(&plan).contains(&"TD_POLICY"), told);
        assert!(matches!(plan.vcpus[0].state, Some(State::Tdx(_))));
    }
}

#[test]
fn a_native_context_becomes_registers() {
    let mut context = IgvmNativeVpContextX64::new_zeroed();
    (context.rip, context.rsp, context.rsi, context.r15) = (1, 2, 3, 4);
    (context.cr0, context.cr3, context.cr4, context.efer) = (0x8000_0011, 0x1000, 0x20, 0x500);
    (
        context.code_selector,
        context.code_attributes,
        context.code_limit,
    ) = (8, 0xa09b, u32::MAX);
    (
        context.data_selector,
        context.data_attributes,
        context.data_limit,
    ) = (16, 0xc093, u32::MAX);
    (context.gs_base, context.gdtr_base, context.gdtr_limit) = (0x5000, 0x6000, 0x17);
    let directive = Directive::X64NativeVpContext {
        compatibility_mask: NATIVE,
        vp_index: 0,
        context: Box::new(context),
    };
    let plan = planned(&file(NATIVE, vec![page(NATIVE, 0, &[1]), directive]));
    assert_eq!(codes(&plan), [] as [&str; 0]);
    let it = registers(&plan.vcpus[0]).unwrap();
    assert_eq!(
        (
            it.general.rip,
            it.general.rsp,
            it.general.rsi,
            it.general.r15
        ),
        (1, 2, 3, 4)
    );
    assert_eq!(
        (it.cr0, it.cr3, it.cr4, it.efer),
        (0x8000_0011, 0x1000, 0x20, 0x500)
    );
    assert_eq!(
        (it.cs.selector, it.cs.attributes, it.cs.limit),
        (8, 0xa09b, u32::MAX)
    );
    assert_eq!(
        (it.fs.attributes, it.fs.base, it.gs.base, it.gs.selector),
        (0xc093, 0, 0x5000, 16)
    );
    assert_eq!(
        (it.gdtr.base, it.gdtr.limit, it.tr.attributes),
        (0x6000, 0x17, 0x8b)
    );
}

#[test]
fn vsm_registers_are_loaded_on_kvm_where_that_is_asked_for() {
    let context = |vtl| Directive::X64VbsVpContext {
        vtl,
        registers: vec![
            X86Register::Rip(0x1234),
            X86Register::Cr3(0x5000),
            X86Register::MtrrDefType(6),
        ],
        compatibility_mask: 1,
    };
    let made = |vtl| {
        let headers = vec![platform(1, IgvmPlatformType::VSM_ISOLATION)];
        bytes(&with(headers, vec![], vec![page(1, 0, &[1]), context(vtl)]))
    };
    let low = plan(made(Vtl::Vtl0), &on(Platform::Kvm)).unwrap();
    let it = registers(&low.vcpus[0]).unwrap();
    assert_eq!(
        (it.general.rip, it.cr3, codes(&low)),
        (0x1234, 0x5000, vec!["VBS_REGISTER"])
    );
    let high = plan(made(Vtl::Vtl2), &on(Platform::Kvm)).unwrap();
    assert!(
        { high.findings.iter() }.any(|it| it.code == "VBS_VTL" && it.severity == Severity::Error)
    );
    plan(made(Vtl::Vtl0), &Options::default()).unwrap_err();
}
