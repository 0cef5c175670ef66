//! Against the `sev` crate and `sev-snp-measure`, both ways; `testdata/README.md` says how theirs were made.

use super::*;

#[test]
fn those_of_two_other_programs_are_good_and_their_key_digests_are_ours() {
    for (block, auth) in [OF_SEV_CRATE, OF_SEV_SNP_MEASURE] {
        let theirs = SignedId::parse(block, auth).unwrap();
        assert_eq!(theirs.problems(true), []);
        assert_eq!(hex(&theirs.id_key_digest()), ID_KEY_DIGEST);
        let author = theirs.author_key_digest().unwrap();
        assert_eq!(hex(&author), AUTHOR_KEY_DIGEST);
        assert_eq!(theirs.block.to_bytes(), block);
        assert_eq!(theirs.auth.to_bytes(), auth);
    }
}

#[test]
fn ours_are_theirs_but_for_the_random_number_in_a_signature() {
    let (id_key, author_key) = keys();
    let default = IdBlock {
        launch_digest: [0x5a; 48],
        family_id: [0; 16],
        image_id: [0; 16],
        version: VERSION,
        guest_svn: 0,
        policy: 0x3_0000,
    };
    for (ours, (block, auth)) in [(block(), OF_SEV_CRATE), (default, OF_SEV_SNP_MEASURE)] {
        let theirs = SignedId::parse(block, auth).unwrap();
        let mut ours = SignedId::sign(ours, &id_key, Some(&author_key));
        assert_eq!(ours.problems(true), []);
        // Their signatures are other ones at every run; each is checked by the other side's key above.
        ours.auth.block_signature = theirs.auth.block_signature.clone();
        ours.auth.id_key_signature = theirs.auth.id_key_signature.clone();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn without_an_author_key_nothing_stands_in_its_place() {
    let signed = SignedId::sign(block(), &keys().0, None);
    assert_eq!(signed.problems(false), []);
    assert_eq!(signed.author_key_digest(), None);
    let bytes = signed.auth.to_bytes();
    assert!(
        bytes[0x680..].iter().all(|byte| *byte == 0),
        "anything behind the ID key"
    );
    let asked = signed.problems(true);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].offset, Some(0x880));
}
