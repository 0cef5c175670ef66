//! Every way in which an ID block can be wrong.

use proptest::prelude::*;
use stagepages_proto::v1;

use super::*;
use crate::plan::Plan;

#[test]
fn every_flipped_byte_is_a_reason_to_refuse() {
    let (block, auth) = (signed().block.to_bytes(), signed().auth.to_bytes());
    let refused = |block: &[u8], auth: &[u8]| match SignedId::parse(block, auth) {
        Ok(signed) => !signed.problems(true).is_empty(),
        Err(_) => true,
    };
    assert!(!refused(&block, &auth));
    for at in 0..block.len() {
        let mut changed = block.clone();
        changed[at] ^= 1;
        assert!(refused(&changed, &auth), "block, {at:#x}");
    }
    // All of what has a meaning, and of each reserved place the first and the last.
    let meant = [0..9, 0x3f..0xd1, 0x23f..0x2d5, 0x643..0x711, 0x87f..0x915];
    for at in meant.into_iter().flatten().chain([0xc83, 0xfff]) {
        let mut changed = auth.clone();
        changed[at] ^= 1;
        assert!(refused(&block, &changed), "authentication, {at:#x}");
    }
}

#[test]
fn each_reason_names_its_place_and_the_way_out() {
    type Change = fn(&mut SignedId);
    let cases: [(Change, &str, u64, &str); 9] = [
        (
            |it| it.block.version = 2,
            "ID block",
            0x50,
            "the version is 0x2",
        ),
        (
            |it| it.block.policy = 1 << 16,
            "ID block",
            0x58,
            "lacks bit 17",
        ),
        (|it| it.auth.id_key_algorithm = 0, "ID auth", 0, "is 0x0"),
        (
            |it| it.auth.author_key_algorithm = 2,
            "ID auth",
            4,
            "is 0x2",
        ),
        (
            |it| it.auth.block_signature.s[0] ^= 1,
            "ID auth",
            0x40,
            "BAD_SIGNATURE",
        ),
        (|it| it.auth.id_key.curve = 1, "ID auth", 0x240, "curve 0x1"),
        (|it| it.auth.id_key.qx[71] = 1, "ID auth", 0x240, "no point"),
        (
            |it| it.auth.id_key_signature.r = [0; 72],
            "ID auth",
            0x680,
            "BAD_SIGNATURE",
        ),
        (
            |it| it.auth.author_key.qy[0] ^= 1,
            "ID auth",
            0x880,
            "no point",
        ),
    ];
    for (change, structure, at, words) in cases {
        let mut bad = signed();
        change(&mut bad);
        let problems = bad.problems(true);
        let found = problems.iter().find(|it| it.offset == Some(at));
        let found = found.unwrap_or_else(|| panic!("{words}: {problems:?}"));
        assert!(found.structure.starts_with(structure), "{found}");
        assert!(
            found.problem.contains(words) && found.problem.contains("; "),
            "{found}"
        );
    }
}

#[test]
fn an_author_key_that_nobody_asks_for_is_not_judged() {
    let mut signed = signed();
    signed.auth.author_key.qy[0] ^= 1;
    assert_eq!(signed.problems(false), []);
    assert_eq!(signed.problems(true).len(), 1);
}

#[test]
fn a_launch_of_another_digest_or_policy_is_told_with_both_values() {
    let signed = signed();
    assert_eq!(signed.disagreements(None, None), []);
    assert_eq!(signed.disagreements(Some(&[0xa5; 48]), Some(0xb_0000)), []);
    let both = signed.disagreements(Some(&[0xa6; 48]), Some(0x3_0000));
    let texts: Vec<String> = both.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].contains(&hex(&[0xa5; 48])) && texts[0].contains(&hex(&[0xa6; 48])),
        "{texts:?}"
    );
    assert!(
        texts[1].contains("0xb0000") && texts[1].contains("0x30000"),
        "{texts:?}"
    );
}

#[test]
fn a_plan_is_held_against_its_digest_and_its_policy() {
    let empty = Plan {
        format: String::new(),
        platform: v1::Platform::SevSnp,
        extents: Vec::new(),
        memory: Vec::new(),
        vcpus: Vec::new(),
        sev_snp: None,
        tdx: None,
        finish: None,
        expected_digest: None,
        findings: Vec::new(),
    };
    let block = IdBlock {
        launch_digest: [0; 48],
        policy: 0x3_0000,
        ..block()
    };
    let good = SignedId::sign(block, &keys().0, None);
    assert_eq!(good.disagreements_with(&empty).unwrap(), []);
    let debug = Plan {
        sev_snp: Some(v1::SevSnpSettings {
            guest_policy: Some(v1::sev_snp_settings::GuestPolicy::PolicyNumber(0xb_0000)),
            ..v1::SevSnpSettings::default()
        }),
        ..empty
    };
    let found = good.disagreements_with(&debug).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].offset, Some(0x58));
}

#[test]
fn another_length_is_told() {
    let (block, auth) = OF_SEV_CRATE;
    for length in 0..block.len() {
        let error = IdBlock::parse(&block[..length]).unwrap_err().to_string();
        assert!(error.contains(&format!("has {length} bytes")), "{error}");
    }
    for length in (0..auth.len()).step_by(97) {
        let error = IdAuth::parse(&auth[..length]).unwrap_err().to_string();
        assert!(error.contains(&format!("has {length} bytes")), "{error}");
    }
    let error = IdAuth::parse(&[auth, &[0]].concat()).unwrap_err();
    assert!(error.problem.contains("has 4097 bytes"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn bytes_come_back_as_they_were(block in proptest::collection::vec(any::<u8>(), BLOCK_BYTES), auth in proptest::collection::vec(any::<u8>(), AUTH_BYTES)) {
        prop_assert_eq!(IdBlock::parse(&block).unwrap().to_bytes(), block.clone());
        // Random bytes fill reserved places.
        prop_assert!(SignedId::parse(&block, &auth).is_err());
        let mut sparse = vec![0; AUTH_BYTES];
        for (begin, end) in [(0, 8), (0x40, 0xd0), (0x240, 0x2d4), (0x680, 0x710), (0x880, 0x914)] {
            sparse[begin..end].copy_from_slice(&auth[begin..end]);
        }
        let signed = SignedId::parse(&block, &sparse).unwrap();
        prop_assert_eq!(signed.auth.to_bytes(), sparse);
        prop_assert!(!signed.problems(true).is_empty(), "noise is no signature");
    }
}
