//! Settings and vCPU types that a firmware image is planned with.

use stagepages_client::{
    image::{Options, SevSnpOptions, TdxOptions},
    v1::Platform,
};

use crate::image::{Image, codes, on};

fn asks(platform: Platform) -> Options {
    Options {
        sev_snp: SevSnpOptions {
            vmsa_features: Some(0x20),
            ..SevSnpOptions::default()
        },
        tdx: TdxOptions {
            xfam: Some(3),
            ..TdxOptions::default()
        },
        cpu_signature: Some(0xa0_0f11),
        ..on(platform)
    }
}

#[test]
fn a_platform_has_its_own_settings_and_tells_those_of_others() {
    let all = Image {
        tdx: Image::tdx().tdx,
        ..Image::sev()
    };
    for (platform, has, unused) in [
        (Platform::SevSnp, (true, false), 1),
        (Platform::Sim, (false, false), 2),
        (Platform::Tdx, (false, true), 1),
        (Platform::Kvm, (false, false), 2),
    ] {
        let plan = all.load(&asks(platform)).unwrap();
        assert_eq!((plan.sev_snp.is_some(), plan.tdx.is_some()), has);
        let codes = codes(&plan.findings);
        let told = |code| codes.iter().filter(|it| **it == code).count();
        assert_eq!(told("SETTINGS_UNUSED"), unused, "{platform:?}: {codes:?}");
        let is_measured = matches!(platform, Platform::SevSnp | Platform::Sim);
        assert_eq!(told("VCPU_TYPE_UNUSED"), usize::from(!is_measured));
    }
}
