//! What the manifest says of settings and vCPUs, and what who plans says.

use super::*;
use crate::image::{SevSnpOptions, TdxOptions};

const SNP: &str = "[sev_snp]\npolicy='smt,abi=1.55'\nvmsa_features=0x200\nghcb_version=3\ngosvw='01010101010101010101010101010101'\nhost_data='0202020202020202020202020202020202020202020202020202020202020202'";

fn on(platform: &str, tables: &str) -> String {
    let extent = "type='zero'\nlength=4096\n";
    format!("{}{extent}{tables}", SMALL.replace("kvm", platform))
}

fn plan_of(text: &str, options: &Options) -> Plan {
    planned(text, Path::new("."), options).unwrap()
}

fn codes(plan: &Plan) -> Vec<&'static str> {
    plan.findings.iter().map(|it| it.code).collect()
}

#[test]
fn one_setting_of_sev_snp_that_is_asked_for_leaves_the_others() {
    let text = on("sev-snp", SNP);
    let own = plan_of(&text, &Options::default());
    assert_eq!(codes(&own), [] as [&str; 0]);
    let options = Options {
        sev_snp: SevSnpOptions {
            vmsa_features: Some(0x20),
            ..SevSnpOptions::default()
        },
        ..Options::default()
    };
    let plan = plan_of(&text, &options);
    let mut expected = own.sev_snp.clone().unwrap();
    expected.vmsa_features = 0x20;
    assert_eq!(plan.sev_snp, Some(expected));
    assert_eq!((plan.guest_policy(), &plan.finish), (0x3_0137, &own.finish));
    assert_eq!(codes(&plan), ["SETTING_OVERRIDDEN"]);
    let told = &plan.findings[0].message;
    assert!(
        told.contains("SEV_FEATURES is 0x201, and 0x21 was asked for"),
        "{told}"
    );
}

#[test]
fn one_setting_of_tdx_that_is_asked_for_leaves_the_others() {
    let id = "ab".repeat(48);
    let table = format!(
        "[tdx]\nattributes=1\nxfam=7\nmrconfigid='{id}'\nmrowner='{id}'\nmrownerconfig='{id}'\ncpuid=['0x80000008:0x300000:0:0:0']"
    );
    let text = on("tdx", &table);
    let own = plan_of(&text, &Options::default());
    let options = Options {
        tdx: TdxOptions {
            xfam: Some(3),
            ..TdxOptions::default()
        },
        ..Options::default()
    };
    let plan = plan_of(&text, &options);
    let mut expected = own.tdx.unwrap();
    expected.xfam = Some(3);
    assert_eq!(plan.tdx, Some(expected));
    assert_eq!(codes(&plan), ["SETTING_OVERRIDDEN"]);
}

#[test]
fn what_is_asked_for_where_the_manifest_says_nothing_is_taken_without_a_word() {
    let options = Options {
        sev_snp: SevSnpOptions {
            guest_policy: "smt,debug".parse().ok(),
            ..SevSnpOptions::default()
        },
        ..Options::default()
    };
    for tables in ["", "[sev_snp]\nvmsa_features=0x20"] {
        let plan = plan_of(&on("sev-snp", tables), &options);
        assert_eq!(
            (plan.guest_policy(), codes(&plan)),
            (0xb_0000, Vec::new()),
            "{tables}"
        );
    }
}

#[test]
fn settings_of_another_platform_are_told() {
    let options = Options {
        sev_snp: SevSnpOptions {
            vmsa_features: Some(0x20),
            ..SevSnpOptions::default()
        },
        tdx: TdxOptions {
            xfam: Some(3),
            ..TdxOptions::default()
        },
        cpuid_page: Some(vec![1; 16].into()),
        ..Options::default()
    };
    for (platform, unused) in [("sim", 2), ("kvm", 2), ("sev-snp", 1), ("tdx", 1)] {
        let plan = plan_of(&on(platform, SNP), &options);
        let codes = codes(&plan);
        let told = codes.iter().filter(|it| **it == "SETTINGS_UNUSED").count();
        assert_eq!(told, unused, "{platform}: {codes:?}");
        assert!(codes.contains(&"CPUID_UNUSED"), "{platform}: {codes:?}");
    }
}

#[test]
fn a_vcpu_type_that_reaches_no_vcpu_of_the_manifest_is_told_with_the_vcpus() {
    let options = |vcpus| Options {
        vcpus: Some(vcpus),
        cpu_signature: Some(0xa0_0f11),
        ..Options::default()
    };
    let given = "version = 1\nvcpus = ['0=long:0:0x1000', '1=long:0:0x1000', '3=real:0:0']";
    for (platform, told) in [
        ("sev-snp", "on vCPUs 0..1, 3, whose"),
        ("sim", "on vCPUs 0..1, 3, whose"),
        ("kvm", "kvm measures no vCPUs"),
    ] {
        let text = on(platform, "").replace("version = 1", given);
        let plan = plan_of(&text, &options(5));
        assert_eq!(codes(&plan), ["VCPU_TYPE_UNUSED"]);
        let message = &plan.findings[0].message;
        assert!(message.contains(told), "{platform}: {message}");
    }
    let reset = plan_of(&on("sev-snp", ""), &options(3));
    assert_eq!(codes(&reset), [] as [&str; 0]);
}
