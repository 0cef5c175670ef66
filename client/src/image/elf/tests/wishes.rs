//! Wishes that only a confidential platform could meet.

use super::*;
use crate::image::{SevSnpOptions, TdxOptions};

fn asks() -> [Options; 2] {
    let snp = Options {
        sev_snp: SevSnpOptions {
            vmsa_features: Some(0),
            ..SevSnpOptions::default()
        },
        ..Options::default()
    };
    let tdx = Options {
        tdx: TdxOptions {
            xfam: Some(3),
            ..TdxOptions::default()
        },
        ..Options::default()
    };
    [snp, tdx]
}

#[test]
fn who_wants_a_confidential_guest_gets_no_plain_one_unasked() {
    for options in asks() {
        let error = planned(small(), &options).unwrap_err().to_string();
        assert!(error.contains("name the platform"), "{error}");
    }
}

#[test]
fn on_a_platform_that_was_named_they_are_told() {
    for platform in [Platform::Kvm, Platform::Sim] {
        for options in asks() {
            let options = Options {
                platform: Some(platform),
                cpu_signature: Some(0xa0_0f11),
                ..options
            };
            let plan = planned(small(), &options).unwrap();
            let codes: Vec<_> = plan.findings.iter().map(|it| it.code).collect();
            assert_eq!(codes, ["SETTINGS_UNUSED", "VCPU_TYPE_UNUSED"]);
        }
    }
}
