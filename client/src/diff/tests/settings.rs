//! What else decides a digest, compared.

use crate::{
    diff::{Setting, settings},
    v1::{LaunchSpec, Platform, SevSnpSettings, TdxSettings, VcpuState},
    vcpu::Vcpu,
};

fn spec(platform: Platform, vcpus: &[&str]) -> LaunchSpec {
    LaunchSpec {
        platform: platform.into(),
        vcpus: u32::try_from(vcpus.len()).unwrap(),
        vcpu_states: vcpus
            .iter()
            .map(|text| VcpuState::from(text.parse::<Vcpu>().unwrap()))
            .collect(),
        ..LaunchSpec::default()
    }
}

fn told(settings: &[Setting]) -> Vec<(&str, &str, &str, bool)> {
    settings
        .iter()
        .map(|it| {
            (
                it.name.as_str(),
                it.planned.as_str(),
                it.installed.as_str(),
                it.measured,
            )
        })
        .collect()
}

#[test]
fn two_ways_to_say_the_same_are_no_difference() {
    let mut one = spec(Platform::SevSnp, &["0=reset"]);
    let mut other = LaunchSpec {
        vcpus: 0,
        vcpu_states: Vec::new(),
        ..one.clone()
    };
    one.sev_snp = Some(SevSnpSettings {
        vmsa_features: 1,
        ghcb_version: 2,
        guest_policy: Some("smt".parse::<crate::sev_snp::Policy>().unwrap().into()),
        gosvw: vec![0; 16].into(),
    });
    assert_eq!(settings(&one, &other), []);
    other.sev_snp = Some(SevSnpSettings::default());
    assert_eq!(settings(&one, &other), []);
    let reset = spec(Platform::SevSnp, &["0=real:0xf000:0xfff0,rdx=0x600"]);
    let names: Vec<_> = settings(&one, &reset)
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name != "vcpu 0 rdx" && name != "vcpu 0 rip"),
        "{names:?}"
    );
    let (module, zero) = (
        spec(Platform::Tdx, &["0=reset"]),
        spec(Platform::Tdx, &["0=tdx:0"]),
    );
    assert_eq!(settings(&module, &zero), []);
}

#[test]
fn a_register_that_differs_is_named() {
    let one = spec(
        Platform::SevSnp,
        &["0=reset", "1=long:0x100000:0x1000,rdx=0x800f12"],
    );
    let other = spec(
        Platform::SevSnp,
        &["0=reset", "1=long:0x200000:0x1000,rdx=0x600"],
    );
    assert_eq!(
        told(&settings(&one, &other)),
        [
            ("vcpu 1 rdx", "0x800f12", "0x600", true),
            ("vcpu 1 rip", "0x100000", "0x200000", true)
        ]
    );
}

#[test]
fn vcpus_that_only_one_side_has_are_told_by_their_number() {
    let one = spec(Platform::Sim, &["0=reset", "1=long:0x100000:0x1000"]);
    let other = spec(Platform::Sim, &["0=reset"]);
    assert_eq!(told(&settings(&one, &other)), [("vcpus", "2", "1", true)]);
    let unmeasured = (
        spec(Platform::Kvm, &["0=reset", "1=reset"]),
        spec(Platform::Kvm, &["0=reset"]),
    );
    assert_eq!(
        told(&settings(&unmeasured.0, &unmeasured.1)),
        [("vcpus", "2", "1", false)]
    );
    let many = LaunchSpec {
        vcpus: u32::MAX,
        ..other.clone()
    };
    assert_eq!(settings(&many, &other).len(), 1, "claims cost nothing");
}

#[test]
fn platforms_and_their_settings_are_compared() {
    let snp = LaunchSpec {
        sev_snp: Some(SevSnpSettings {
            vmsa_features: 0x200,
            guest_policy: Some(
                "smt,debug"
                    .parse::<crate::sev_snp::Policy>()
                    .unwrap()
                    .into(),
            ),
            ..SevSnpSettings::default()
        }),
        ..spec(Platform::SevSnp, &["0=reset"])
    };
    assert_eq!(
        told(&settings(&snp, &spec(Platform::Sim, &["0=reset"]))),
        [
            ("platform", "sev-snp", "sim", true),
            ("vmsa features", "0x201", "0x1", true),
            (
                "guest policy",
                "0xb0000 (smt, debug)",
                "0x30000 (smt)",
                false
            )
        ]
    );
    let tdx = |attributes, owner: &[u8]| LaunchSpec {
        tdx: Some(TdxSettings {
            attributes,
            mrowner: owner.to_vec().into(),
            ..TdxSettings::default()
        }),
        ..spec(Platform::Tdx, &["0=tdx:0x809000"])
    };
    assert_eq!(
        told(&settings(
            &tdx(None, &[]),
            &tdx(Some(0x1000_0000), &[0xa5; 2])
        )),
        [
            ("attributes", "unset", "0x10000000", false),
            ("mrowner", "zeros", "a5a5", false)
        ]
    );
}
