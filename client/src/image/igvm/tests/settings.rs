//! What a file says of settings and vCPUs, and what who plans says.

use igvm::{IgvmInitializationHeader as Initialization, snp_defs::SevVmsa};
use igvm_defs::IgvmPlatformType;
use stagepages_digest::vmsa::{self, Registers};
use zerocopy::FromBytes as _;

use super::made::{
    NATIVE, SNP, TDX, bytes, codes, file, page, plan, planned, platform, save_area, snp_context,
    with,
};
use crate::{
    image::{Options, SevSnpOptions, TdxOptions},
    v1::Platform,
};

/// A file with one save area that has DebugSwap.
fn debug_swap() -> Vec<u8> {
    let area = vmsa::page(&Registers::reset(), 0x21);
    let area = SevVmsa::read_from_bytes(area.as_slice()).unwrap();
    let directives = vec![page(SNP, 0x1000, &[1; 4096]), snp_context(0, area)];
    bytes(&file(SNP, directives))
}

fn asks(sev_snp: SevSnpOptions) -> Options {
    Options {
        sev_snp,
        ..Options::default()
    }
}

#[test]
fn a_policy_that_is_asked_for_leaves_the_images_features() {
    let options = asks(SevSnpOptions {
        guest_policy: "smt,debug".parse().ok(),
        ..SevSnpOptions::default()
    });
    let own = plan(debug_swap(), &Options::default()).unwrap();
    let asked = plan(debug_swap(), &options).unwrap();
    let features = |it: &crate::plan::Plan| it.sev_snp.as_ref().unwrap().vmsa_features;
    assert_eq!((features(&own), features(&asked)), (0x20, 0x20));
    assert_eq!(
        (asked.guest_policy(), codes(&asked)),
        (0xb_0000, vec!["GUEST_POLICY"])
    );
    assert_eq!(asked.digest().unwrap(), own.digest().unwrap());
}

#[test]
fn features_that_are_asked_for_leave_the_images_policy_and_are_told() {
    let options = asks(SevSnpOptions {
        vmsa_features: Some(0),
        ..SevSnpOptions::default()
    });
    let asked = plan(debug_swap(), &options).unwrap();
    let settings = asked.sev_snp.as_ref().unwrap();
    assert_eq!(settings.vmsa_features, 0);
    assert!(settings.guest_policy.is_some() && asked.guest_policy() == 0x3_0000);
    assert_eq!(codes(&asked), ["VMSA_FIELD", "SETTING_OVERRIDDEN"]);
}

#[test]
fn one_setting_of_tdx_that_is_asked_for_leaves_the_images_attributes() {
    let start = |policy| Initialization::GuestPolicy {
        policy,
        compatibility_mask: TDX,
    };
    let made = |policy| {
        let headers = vec![platform(TDX, IgvmPlatformType::TDX)];
        bytes(&with(
            headers,
            vec![start(policy)],
            vec![page(TDX, 0, &[1])],
        ))
    };
    let mut options = Options {
        tdx: TdxOptions {
            xfam: Some(3),
            ..TdxOptions::default()
        },
        ..Options::default()
    };
    let kept = plan(made(2), &options).unwrap();
    let tdx = kept.tdx.as_ref().unwrap();
    assert_eq!((tdx.attributes, tdx.xfam), (Some(1 << 28), Some(3)));
    assert_eq!(codes(&kept), [] as [&str; 0]);
    options.tdx.attributes = Some(0);
    // Its bit that stands for nothing known is not taken then either.
    let replaced = plan(made(0x12), &options).unwrap();
    assert_eq!(replaced.tdx.as_ref().unwrap().attributes, Some(0));
    assert_eq!(codes(&replaced), ["SETTING_OVERRIDDEN"]);
    assert!(replaced.findings[0].offset.is_some());
}

#[test]
fn settings_of_another_platform_are_told() {
    let mut options = asks(SevSnpOptions {
        vmsa_features: Some(0x20),
        ..SevSnpOptions::default()
    });
    options.tdx.xfam = Some(3);
    for (mask, platform, unused) in [
        (SNP, Platform::SevSnp, 1),
        (SNP, Platform::Sim, 2),
        (TDX, Platform::Tdx, 1),
        (NATIVE, Platform::Kvm, 2),
    ] {
        options.platform = Some(platform);
        let plan = plan(bytes(&file(mask, vec![page(mask, 0, &[1])])), &options).unwrap();
        let codes = codes(&plan);
        let told = codes.iter().filter(|it| **it == "SETTINGS_UNUSED").count();
        assert_eq!(told, unused, "{platform:?}: {codes:?}");
    }
}

#[test]
fn a_vcpu_type_does_not_reach_vcpus_that_have_a_context_and_that_is_told() {
    let contexts = [0, 1].map(|index| snp_context(index, save_area(index)));
    let directives = [page(SNP, 0x1000, &[1; 4096])].into_iter().chain(contexts);
    let made = file(SNP, directives.collect());
    let options = Options {
        vcpus: Some(3),
        cpu_signature: Some(0xa0_0f11),
        ..Options::default()
    };
    let typed = plan(bytes(&made), &options).unwrap();
    assert_eq!(codes(&typed), ["VCPU_WITHOUT_CONTEXT", "VCPU_TYPE_UNUSED"]);
    let message = &typed.findings[1].message;
    assert!(message.contains("0xa00f11") && message.contains("vCPUs 0..1,"));
    assert_eq!(typed.vcpus[..2], planned(&made).vcpus[..]);
}
