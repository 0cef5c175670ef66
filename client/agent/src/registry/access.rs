//! How registries are reached: by TLS unless somebody named one that is not, with the node's credentials where it has some.
//!
//! **Invariant:** every connection has a bound of time, and whoever asks bounds the answer; no redirect leads from TLS to none.

use std::{fmt, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use reqwest::redirect::Policy;

use super::credentials::{Credentials, credentials};

const CONNECT: Duration = Duration::from_secs(10);
/// Redirects of one question; most registries send once, to where they keep blobs.
const REDIRECTS: usize = 5;

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
    /// Credentials of registries, in the form of a Docker configuration: {"auths": {"HOST": {"username": "…", "password": "…"}}}, or auth with both in base64
    #[arg(long, env = "REGISTRY_AUTH", value_name = "FILE")]
    pub registry_auth: Option<PathBuf>,
    /// Seconds without a byte, or with next to none, after which a registry is given up
    #[arg(long, env = "REGISTRY_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub registry_timeout: u64,
    /// The largest file that is pulled, in bytes
    #[arg(long, env = "IMAGE_BYTES", value_name = "BYTES", default_value_t = 1 << 30)]
    pub image_bytes: u64,
    /// How many bytes of images are held in memory at once: each is while it is planned and staged, and others wait meanwhile
    #[arg(long, env = "IMAGE_MEMORY", value_name = "BYTES", default_value_t = 2 << 30)]
    pub image_memory: u64,
    /// How many bytes of pulled files are kept, with those that are on their way; the oldest go first, and what a LaunchImage wants last
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = 20 << 30)]
    pub cache_bytes: u64,
}

/// Connections to registries.
pub(super) struct Registries {
    pub(super) http: reqwest::Client,
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
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirects())
            .user_agent(concat!("stagepages-node-agent/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = authority {
            for certificate in reqwest::Certificate::from_pem_bundle(&pem)
                .context("--registry-ca holds no certificates in PEM")?
            {
                http = http.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            http: http.build().context("cannot make a client of registries")?,
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

    /// The node's credentials there.
    pub(super) fn credentials(&self, registry: &str) -> Credentials {
        credentials(self.access.registry_auth.as_deref(), registry)
    }
}

/// As many redirects as any registry has use for, and none that gives up TLS.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let was_tls = attempt.previous().iter().any(|it| it.scheme() == "https");
        if was_tls && attempt.url().scheme() != "https" {
            return attempt.error("it sends from TLS to where there is none");
        }
        match attempt.previous().len() > REDIRECTS {
            true => attempt.error("it sends from one place to the next"),
            false => attempt.follow(),
        }
    })
}
