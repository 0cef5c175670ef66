//! Settings of SEV-SNP.
//!
//! **Invariant:** two switches of one call never have the same value in every launch.
use sha2::{Digest as _, Sha384};
use stagepages_kernel_model::{Call, Profile};
use stagepages_proto::v1::sev_snp_settings::GuestPolicy;
use stagepages_proto::v1::{LaunchSpec, Platform, SevSnpFinish, SevSnpPolicy, SevSnpSettings};
use stagepages_tests::refused;

use super::{bytes, calls, expected, launch_of, live, takes_anything, the_call};
use crate::measured::hex;
use crate::rig::{Rig, start};

/// Bits 16 and 17 are what every kernel wants, bit 20 what the oldest does not take.
const POLICY: u64 = 0xfedc_ba98_0003_0137;
/// Without the bit that KVM sets itself.
const FEATURES: u64 = 0x8765_4321_0fed_cba0;

fn with_policy(rig: &Rig, policy: GuestPolicy) -> LaunchSpec {
    LaunchSpec {
        sev_snp: Some(SevSnpSettings {
            guest_policy: Some(policy),
            ..SevSnpSettings::default()
        }),
        ..launch_of(rig)
    }
}

/// All but the policy by its names, and `author_key` beside or without `vcek_disabled`: two switches can be told apart only where they differ.
async fn snp_numbers(rig: &Rig, author_key: bool) {
    let gosvw = bytes(0x10, 16);
    let mut id_block = bytes(0x20, 96).to_vec();
    // What it was signed for has to be the launch's.
    id_block[88..].copy_from_slice(&POLICY.to_le_bytes());
    let (id_auth, host_data) = (bytes(1, 4096), bytes(0xa0, 32));
    let asked = LaunchSpec {
        sev_snp: Some(SevSnpSettings {
            guest_policy: Some(GuestPolicy::PolicyNumber(POLICY)),
            vmsa_features: FEATURES,
            ghcb_version: 2,
            gosvw: gosvw.clone(),
        }),
        ..launch_of(rig)
    };
    let events = live(rig, asked, |digest| {
        id_block[..48].copy_from_slice(digest);
        Some(SevSnpFinish {
            id_block: id_block.clone().into(),
            id_auth: id_auth.clone(),
            author_key,
            host_data: host_data.clone(),
            vcek_disabled: !author_key,
        })
    })
    .await;
    assert_eq!(
        the_call(&events, Call::SevInit2),
        expected([
            ("vmsa_features", format!("{FEATURES:#x}")),
            ("ghcb_version", "2".to_owned()),
        ])
    );
    assert_eq!(
        the_call(&events, Call::SnpLaunchStart),
        expected([("policy", format!("{POLICY:#x}")), ("gosvw", hex(&gosvw)),])
    );
    assert_eq!(calls(&events, Call::CreateVcpu).len(), 2);
    assert_eq!(
        the_call(&events, Call::SnpLaunchFinish),
        expected([
            ("id_block_en", "true".to_owned()),
            ("id_block", hex(&id_block)),
            (
                "id_auth",
                format!("sha384:{}", hex(&Sha384::digest(&id_auth)))
            ),
            ("auth_key_en", author_key.to_string()),
            ("vcek_disabled", (!author_key).to_string()),
            ("host_data", hex(&host_data)),
        ])
    );
}

/// Each name of a policy sets its bit and no other (AMD 56860, section 4.3).
async fn snp_names(rig: &Rig) {
    let base = || SevSnpPolicy {
        smt: true,
        ..SevSnpPolicy::default()
    };
    let named = [
        (
            SevSnpPolicy {
                abi_minor: 0x37,
                ..base()
            },
            0x37,
        ),
        (
            SevSnpPolicy {
                abi_major: 0xc1,
                ..base()
            },
            0xc1 << 8,
        ),
        (base(), 0),
        (
            SevSnpPolicy {
                migrate_ma: true,
                ..base()
            },
            1 << 18,
        ),
        (
            SevSnpPolicy {
                debug: true,
                ..base()
            },
            1 << 19,
        ),
        (
            SevSnpPolicy {
                single_socket: true,
                ..base()
            },
            1 << 20,
        ),
        (
            SevSnpPolicy {
                cxl_allow: true,
                ..base()
            },
            1 << 21,
        ),
        (
            SevSnpPolicy {
                mem_aes_256_xts: true,
                ..base()
            },
            1 << 22,
        ),
        (
            SevSnpPolicy {
                rapl_dis: true,
                ..base()
            },
            1 << 23,
        ),
        (
            SevSnpPolicy {
                ciphertext_hiding_dram: true,
                ..base()
            },
            1 << 24,
        ),
        (
            SevSnpPolicy {
                page_swap_disable: true,
                ..base()
            },
            1 << 25,
        ),
    ];
    let mut all: Vec<_> = named.map(|(policy, bits)| (policy, bits | 0x3_0000)).into();
    if rig.profile.start_wants_smt() {
        all.retain(|(policy, _)| !policy.single_socket);
    } else {
        all.push((SevSnpPolicy::default(), 0x2_0000));
    }
    for (policy, number) in all {
        let events = live(rig, with_policy(rig, GuestPolicy::Policy(policy)), |_| None).await;
        let start = the_call(&events, Call::SnpLaunchStart);
        assert_eq!(start["policy"], format!("{number:#x}"), "{policy:?}");
    }
}

/// KVM takes one version so far: that another one gets there shows in its refusal.
async fn snp_ghcb_version(rig: &Rig) {
    let asked = LaunchSpec {
        sev_snp: Some(SevSnpSettings {
            ghcb_version: 3,
            ..SevSnpSettings::default()
        }),
        ..launch_of(rig)
    };
    let mark = rig.mark();
    refused(rig.api.create("", asked).await, "INVALID_LAUNCH");
    let init = the_call(&rig.events(mark), Call::SevInit2);
    assert_eq!(init["ghcb_version"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_of_sev_snp_reaches_the_kernel() {
    for profile in Profile::ALL {
        let (bench, rig) = start(Platform::SevSnp, profile, "").await;
        rig.play(&takes_anything(&rig));
        for author_key in [true, false] {
            snp_numbers(&rig, author_key).await;
        }
        snp_names(&rig).await;
        snp_ghcb_version(&rig).await;
        bench.end().await;
    }
}
