//! What certificates and files are made of, with a CA for each test.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, string::Ia5String,
};

use super::{
    Tls, TlsError, TlsFiles,
    certificate::ClientCertificate,
    identity::{IdentityKind, NoIdentity},
};
use crate::audit::Audit;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("is ASCII"))
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).expect("is ASCII"))
}

fn mail(text: &str) -> SanType {
    SanType::Rfc822Name(Ia5String::try_from(text).expect("is ASCII"))
}

fn identity(kind: IdentityKind, names: &[SanType]) -> Result<String, NoIdentity> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    ClientCertificate::of(certificate.der(), kind).map(|it| it.identity().to_owned())
}

#[test]
fn the_only_name_of_the_kind_is_the_identity() {
    let all = [uri("spiffe://a/b"), dns("Node.Example"), mail("x@y")];
    for (kind, name) in [
        (IdentityKind::Spiffe, "spiffe://a/b"),
        (IdentityKind::Dns, "dns:node.example"),
        (IdentityKind::Email, "email:x@y"),
    ] {
        assert_eq!(identity(kind, &all).as_deref(), Ok(name));
        assert!(matches!(identity(kind, &[]), Err(NoIdentity::None(_))));
        let twice = [&all[..], &all[..]].concat();
        assert!(matches!(
            identity(kind, &twice),
            Err(NoIdentity::Several(2, _))
        ));
    }
    for (kind, name) in [
        (IdentityKind::Spiffe, uri("https://a/b")),
        (IdentityKind::Spiffe, uri("spiffe://a")),
        (IdentityKind::Dns, dns("*.example")),
        (IdentityKind::Dns, dns("a b")),
        (IdentityKind::Email, mail("x")),
    ] {
        let refused = identity(kind, &[name]);
        assert!(
            matches!(refused, Err(NoIdentity::Malformed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_certificate_tells_what_it_is_recognised_by() {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri("spiffe://a/b")];
    params.serial_number = Some(vec![0x1a, 0xff].into());
    let end = SystemTime::UNIX_EPOCH + 30_000 * DAY;
    params.not_after = end.into();
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let certificate =
        ClientCertificate::of(made.der(), IdentityKind::Spiffe).expect("has an identity");
    assert_eq!(certificate.serial(), "1aff");
    assert_eq!(certificate.not_after(), end);
    assert!(!certificate.has_expired(end) && certificate.has_expired(end + DAY));
    assert_eq!(certificate.fingerprint().len(), 64);
}

/// Files of one daemon.
struct Files(tempfile::TempDir);

impl Files {
    /// Good ones.
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        files.pair(1);
        files.put("ca", &ca(1));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let next = self.path("next");
        fs::write(&next, text).expect("is written");
        fs::rename(next, self.path(name)).expect("is renamed");
    }

    /// A certificate that ends after `days`, and its key.
    fn pair(&self, days: i32) {
        let key = KeyPair::generate().expect("a key");
        self.put("key", &key.serialize_pem());
        self.put(
            "cert",
            &params(days).self_signed(&key).expect("a certificate").pem(),
        );
    }

    fn open(&self) -> Result<Tls, TlsError> {
        let files = TlsFiles {
            cert: self.path("cert"),
            key: self.path("key"),
            client_ca: self.path("ca"),
            identity: IdentityKind::Spiffe,
        };
        Tls::open(&files, Audit::off())
    }

    fn refusal(&self) -> String {
        self.open().expect_err("is refused").to_string()
    }
}

fn days(days: i32) -> SystemTime {
    let whole = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("is later")
        .as_secs();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(whole);
    if days < 0 {
        now - days.unsigned_abs() * DAY
    } else {
        now + days.unsigned_abs() * DAY
    }
}

fn params(end: i32) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("is a name");
    params.not_after = days(end).into();
    params
}

fn ca(end: i32) -> String {
    let mut params = params(end);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key)
        .expect("a CA")
        .pem()
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let files = Files::new();
    files.open().expect("is good");
    files.put("key", &KeyPair::generate().expect("a key").serialize_pem());
    assert!(
        files
            .refusal()
            .contains("is not the key of the certificate")
    );
    files.put("key", "nothing");
    assert!(files.refusal().starts_with("tls_key ") && files.refusal().contains("private key"));
    fs::remove_file(files.path("key")).expect("is there");
    assert!(files.refusal().contains("cannot be read"));
    let files = Files::new();
    files.put(
        "cert",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    );
    assert!(files.refusal().starts_with("tls_cert ") && files.refusal().contains("parse"));
    let files = Files::new();
    files.put("ca", "");
    assert!(files.refusal().starts_with("tls_client_ca ") && files.refusal().contains("holds no"));
    let leaf = params(1).self_signed(&KeyPair::generate().expect("a key"));
    files.put("ca", &leaf.expect("a certificate").pem());
    assert!(files.refusal().contains("no CA's"));
    fs::remove_file(files.path("ca")).expect("is there");
    nix::unistd::mkfifo(Path::new(&files.path("ca")), nix::sys::stat::Mode::S_IRWXU)
        .expect("a FIFO");
    assert!(files.refusal().contains("no regular file"));
}

#[test]
fn what_has_expired_replaces_nothing_and_is_taken_where_there_is_nothing() {
    let files = Files::new();
    let tls = files.open().expect("is good");
    assert_eq!(tls.not_after().server, days(1));
    files.pair(-1);
    files.put("ca", &ca(-1));
    tls.reload();
    assert!(tls.not_after().server > SystemTime::now());
    assert!(tls.not_after().client_ca > SystemTime::now());
    let late = files.open().expect("starts all the same");
    assert!(late.not_after().server < SystemTime::now());
    files.pair(3);
    // One that has gone, in a bundle with one that is good, is left out.
    files.put("ca", &format!("{}{}", ca(-1), ca(2)));
    for tls in [&tls, &late] {
        tls.reload();
        assert_eq!(tls.not_after().server, days(3));
        assert_eq!(tls.not_after().client_ca, days(2));
    }
}

#[test]
fn a_pair_that_is_half_written_does_not_hold_up_a_new_ca() {
    let files = Files::new();
    let tls = files.open().expect("is good");
    files.put("key", &KeyPair::generate().expect("a key").serialize_pem());
    files.put("ca", &ca(5));
    let before = tls.current();
    tls.look(false);
    assert_eq!(tls.not_after().client_ca, days(5));
    assert_eq!(tls.not_after().server, days(1));
    assert!(!std::sync::Arc::ptr_eq(&before, &tls.current()));
    let before = tls.current();
    tls.look(false);
    assert!(
        std::sync::Arc::ptr_eq(&before, &tls.current()),
        "nothing new"
    );
}
