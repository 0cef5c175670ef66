//! How registries are reached: by TLS unless somebody named one that is not, with the node's credentials where it has some.
//!
//! **Invariant:** every request has a bound of time for the connection and for each piece of its answer; no redirect leads from TLS to none.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use oci_client::{
    Client, Reference,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use serde::Deserialize;

const CONNECT: Duration = Duration::from_secs(10);
/// A credential file of a node is small.
const MOST_CREDENTIALS: u64 = 1 << 20;

/// Flags about registries and what is pulled from them.
#[derive(Clone, Debug, Args)]
pub struct Access {
    /// A registry that is spoken to without TLS, HOST:PORT; repeat for more. For development only: images are verified by digest all the same
    #[arg(
        long,
        env = "REGISTRY_PLAIN_HTTP",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub registry_plain_http: Vec<String>,
    /// Certificates of CAs of registries, beside those that the system trusts: a PEM file
    #[arg(long, env = "REGISTRY_CA", value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
    /// Credentials of registries, in the form of a Docker configuration: {"auths": {"HOST": {"username": "…", "password": "…"}}}
    #[arg(long, env = "REGISTRY_AUTH", value_name = "FILE")]
    pub registry_auth: Option<PathBuf>,
    /// Seconds without a byte after which a registry is given up
    #[arg(long, env = "REGISTRY_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub registry_timeout: u64,
    /// The largest file that is pulled, in bytes
    #[arg(long, env = "IMAGE_BYTES", value_name = "BYTES", default_value_t = 1 << 30)]
    pub image_bytes: u64,
    /// How many bytes of pulled files are kept; the oldest go first
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = 20 << 30)]
    pub cache_bytes: u64,
}

/// Connections to registries.
pub(super) struct Registries {
    pub(super) oci: Client,
    pub(super) plain: reqwest::Client,
    access: Access,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries").finish_non_exhaustive()
    }
}

impl Registries {
    pub(super) fn new(access: &Access) -> anyhow::Result<Self> {
        let authority = match &access.registry_ca {
            Some(path) => {
                let pem = std::fs::read(path)
                    .with_context(|| format!("cannot read --registry-ca {}", path.display()))?;
                Some(pem)
            }
            None => None,
        };
        let silence = Duration::from_secs(access.registry_timeout);
        let mut plain = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(silence);
        let mut config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(access.registry_plain_http.clone()),
            read_timeout: Some(silence),
            connect_timeout: Some(CONNECT),
            user_agent: concat!("stagepages-node-agent/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        if let Some(pem) = authority {
            for certificate in reqwest::Certificate::from_pem_bundle(&pem)
                .context("--registry-ca holds no certificates in PEM")?
            {
                plain = plain.add_root_certificate(certificate);
            }
            config.extra_root_certificates.push(Certificate {
                encoding: CertificateEncoding::Pem,
                data: pem,
            });
        }
        Ok(Self {
            oci: Client::try_from(config).context("cannot make a client of registries")?,
            plain: plain
                .build()
                .context("cannot make a client of registries")?,
            access: access.clone(),
        })
    }

    /// The largest file.
    pub(super) fn most_bytes(&self) -> u64 {
        self.access.image_bytes
    }

    /// How long a registry may be silent.
    pub(super) fn silence(&self) -> Duration {
        Duration::from_secs(self.access.registry_timeout)
    }

    /// `https`, but for the registries that were named.
    pub(super) fn scheme(&self, registry: &str) -> &'static str {
        let plain = &self.access.registry_plain_http;
        match plain.iter().any(|it| it == registry) {
            true => "http",
            false => "https",
        }
    }

    /// The node's credentials there. The file is read anew each time, as a mounted secret changes.
    pub(super) fn auth(&self, reference: &Reference) -> RegistryAuth {
        let Some(path) = &self.access.registry_auth else {
            return RegistryAuth::Anonymous;
        };
        match credentials(path, reference.resolve_registry()) {
            Ok(Some((user, password))) => RegistryAuth::Basic(user, password),
            Ok(None) => RegistryAuth::Anonymous,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "credentials of registries cannot be read; asking without"
                );
                RegistryAuth::Anonymous
            }
        }
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

fn credentials(path: &std::path::Path, registry: &str) -> anyhow::Result<Option<(String, String)>> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)
        .with_context(|| format!("--registry-auth {}", path.display()))?
        .take(MOST_CREDENTIALS)
        .read_to_string(&mut text)?;
    let mut document: Document = serde_json::from_str(&text).context(
        "--registry-auth is no Docker configuration with username and password for each host",
    )?;
    Ok(document
        .auths
        .remove(registry)
        .map(|it| (it.username, it.password)))
}
