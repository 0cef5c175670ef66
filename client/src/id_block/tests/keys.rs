//! Keys in PEM, and what is none.

use proptest::prelude::*;

use super::*;

#[test]
fn a_signature_is_the_one_of_the_rfc() {
    // RFC 6979, A.2.6: P-384 with SHA-384, message "sample". The key in SEC1, without its public half.
    let pem = "-----BEGIN EC PRIVATE KEY-----\n\
        MD4CAQEEMGudPa0uG4wcBbGYdbZln03iPDtme/KXupqkd0B4cTfYltVyTkxwqCX4\n\
        csnqYNLt9aAHBgUrgQQAIg==\n\
        -----END EC PRIVATE KEY-----\n";
    let signature = Signature::of(b"sample", &Key::from_pem(pem).unwrap());
    let mut r = signature.r[..48].to_vec();
    r.reverse();
    let rfc = "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46";
    assert_eq!(hex(&r), rfc);
    assert_eq!(signature.r[48..], [0; 24]);
}

#[test]
fn a_key_is_taken_in_either_form_with_anything_around_it() {
    let public = |pem: &str| PublicKey::of(&Key::from_pem(pem).unwrap());
    let parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n";
    assert_eq!(public(ID_KEY), public(&format!("{parameters}{ID_KEY}")));
    assert_eq!(
        public(AUTHOR_KEY),
        public(&format!("my key\n{AUTHOR_KEY}\nend"))
    );
    assert_eq!(public(ID_KEY), public(&ID_KEY.replace('\n', "\r\n")));
    assert_ne!(public(ID_KEY), public(AUTHOR_KEY));
}

#[test]
fn what_is_no_key_is_refused_and_never_shown() {
    let middle = ID_KEY.lines().nth(1).unwrap();
    let encrypted = ID_KEY.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1);
    let pkcs8 = AUTHOR_KEY.replace("PRIVATE", "ENCRYPTED PRIVATE");
    // Curve P-256 and brainpoolP384r1, whose numbers are as long as ours.
    let p256 = "-----BEGIN EC PRIVATE KEY-----\nMDECAQEEIP//////////////////////////////////////////oAoGCCqGSM49\nAwEH\n-----END EC PRIVATE KEY-----\n";
    let damaged = ID_KEY.replace(middle, &middle.to_lowercase());
    let cut = ID_KEY.replace(middle, "");
    for (text, words) in [
        ("", "no private key"),
        ("-----BEGIN ", "no private key"),
        ("-----BEGIN EC PRIVATE KEY-----\n", "no private key"),
        (&AUTHOR_KEY.replace("PRIVATE", "PUBLIC"), "no private key"),
        (&encrypted, "openssl pkey"),
        (&pkcs8, "openssl pkey"),
        (p256, "P-384"),
        (&damaged, "P-384"),
        (&cut, "P-384"),
    ] {
        let error = Key::from_pem(text).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(words), "{words}: {told}");
        assert!(
            !told.contains(middle) && !told.contains(&middle.to_lowercase()),
            "{told}"
        );
    }
    assert_eq!(format!("{:?}", keys().0), "Key(..)");
}

#[test]
fn a_key_file_is_read_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    std::fs::write(&file, ID_KEY).unwrap();
    assert_eq!(
        PublicKey::of(&Key::read(&file).unwrap()),
        PublicKey::of(&keys().0)
    );
    // Endless.
    let zeros = Key::read("/dev/zero".as_ref()).unwrap_err();
    assert!(matches!(zeros, KeyError::None), "{zeros}");
    let missing = Key::read(&dir.path().join("missing")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    std::fs::write(&file, [0xff; 9]).unwrap();
    let binary = Key::read(&file).unwrap_err();
    assert!(matches!(binary, KeyError::None), "{binary}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_is_more_than_refused(text in ".{0,200}", label in "(EC |ENCRYPTED |RSA |)PRIVATE KEY", body in "[A-Za-z0-9+/=\n]{0,200}") {
        prop_assert!(Key::from_pem(&text).is_err());
        let framed = format!("{text}-----BEGIN {label}-----\n{body}\n-----END {label}-----");
        prop_assert!(Key::from_pem(&framed).is_err());
    }
}
