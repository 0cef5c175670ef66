//! Certificates for tests: CAs, daemons and clients, good ones and bad ones.
//!
//! **Invariant:** every CA is made anew, so nothing that a test signs is good anywhere else.
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

/// The identity of the client that every test has without asking.
pub const CLIENT_ID: &str = "spiffe://test/client";
/// The SPIFFE ID in the daemon's certificate.
pub const SERVER_ID: &str = "spiffe://test/stagepagesd";

/// A CA.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(..)")
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct Leaf {
    names: Vec<SanType>,
    usage: ExtendedKeyUsagePurpose,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Leaf {
    fn new(names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> Self {
        let now = SystemTime::now();
        Self {
            names,
            usage,
            not_before: now - Duration::from_secs(3600),
            not_after: now + Duration::from_secs(3600),
        }
    }

    /// Of a daemon on this machine.
    #[must_use]
    pub fn server() -> Self {
        let names = vec![
            SanType::DnsName(ascii("localhost")),
            SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
            SanType::URI(ascii(SERVER_ID)),
        ];
        Self::new(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Of a client with these URIs.
    #[must_use]
    pub fn client(uris: &[&str]) -> Self {
        let names = uris.iter().map(|uri| SanType::URI(ascii(uri))).collect();
        Self::new(names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// With a DNS name more.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        self.names.push(SanType::DnsName(ascii(name)));
        self
    }

    /// Valid from then to then. Certificates count whole seconds.
    #[must_use]
    pub fn valid(self, not_before: SystemTime, not_after: SystemTime) -> Self {
        Self {
            not_before,
            not_after,
            ..self
        }
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If the system gives no random numbers; so below.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("random numbers");
        Self(CertifiedIssuer::self_signed(params, key).expect("sound parameters"))
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate that it signs.
    ///
    /// # Panics
    /// See [`Authority::new`].
    #[must_use]
    pub fn issue(&self, leaf: &Leaf) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.subject_alt_names = leaf.names.clone();
        params.extended_key_usages = vec![leaf.usage.clone()];
        params.not_before = leaf.not_before.into();
        params.not_after = leaf.not_after.into();
        let key = KeyPair::generate().expect("random numbers");
        let cert = params.signed_by(&key, &self.0).expect("sound parameters");
        Issued {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// The files of one daemon and of its client, and the CA that signed both.
#[derive(Debug)]
pub struct Pki {
    /// Signed all of it.
    pub ca: Authority,
    dir: PathBuf,
}

impl Pki {
    /// Files in `dir`, which is made.
    ///
    /// # Panics
    /// If they cannot be written.
    #[must_use]
    pub fn create(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a directory of the harness");
        let ca = Authority::new("test CA");
        let pki = Self {
            ca,
            dir: dir.to_owned(),
        };
        pki.put("ca.crt", &pki.ca.pem());
        pki.put("policy.toml", &policy());
        pki.put_pair("server", &pki.ca.issue(&Leaf::server()));
        pki.put_pair("client", &pki.ca.issue(&Leaf::client(&[CLIENT_ID])));
        pki
    }

    /// Where a file is: `ca.crt`, `server.crt`, `server.key`, `client.crt`, `client.key`, `policy.toml`.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Replaces a file at one instant.
    ///
    /// # Panics
    /// If it cannot be written; so below.
    pub fn put(&self, file: &str, text: &str) {
        let next = self.dir.join("next");
        fs::write(&next, text).expect("a file of the harness");
        fs::rename(next, self.path(file)).expect("a file of the harness");
    }

    /// Replaces a certificate, and then its key.
    ///
    /// # Panics
    /// See [`Pki::put`].
    pub fn put_pair(&self, name: &str, issued: &Issued) {
        self.put(&format!("{name}.crt"), &issued.cert);
        self.put(&format!("{name}.key"), &issued.key);
    }

    /// What is in a file.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn get(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a file of the harness")
    }

    /// The client that every test has without asking.
    #[must_use]
    pub fn client(&self) -> Issued {
        Issued {
            cert: self.get("client.crt"),
            key: self.get("client.key"),
        }
    }
}

/// What a daemon does by itself, and the same for the trust domain of these certificates.
fn policy() -> String {
    let me = nix::unistd::geteuid().as_raw();
    let mut names = vec![
        format!("uid:{me}"),
        "spiffe://test/*".to_owned(),
        "dns:node".to_owned(),
    ];
    if me != 0 {
        names.push("uid:0".to_owned());
    }
    names
        .iter()
        .map(|name| {
            format!("[[caller]]\nidentity = \"{name}\"\ntenant = \"local\"\nroles = [\"admin\"]\n")
        })
        .collect()
}

fn ascii(text: &str) -> Ia5String {
    Ia5String::try_from(text).expect("names in tests are ASCII")
}
