//! Which of a certificate's names (subjectAltName, RFC 5280, 4.2.1.6) is the client's identity.
//!
//! **Invariant:** there is exactly one such name or no identity: which of several comes first never decides who somebody is.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use x509_cert::{
    Certificate,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::spiffe;
use crate::rpc::status::printable;

/// The kind of name that identities are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// A SPIFFE ID: the only URI of the certificate.
    #[default]
    Spiffe,
    /// The only DNS name, in lower case, without wildcards.
    Dns,
    /// The only mail address.
    Email,
}

/// Why a certificate has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoIdentity {
    #[error("the certificate has no {0} among its subjectAltNames, which tls_identity asks for")]
    None(&'static str),
    #[error("the certificate has {0} {1}s among its subjectAltNames; exactly one is an identity")]
    Several(usize, &'static str),
    #[error("the {kind} {name:?} of the certificate is no identity: {why}")]
    Malformed {
        kind: &'static str,
        name: String,
        why: &'static str,
    },
    #[error("the certificate's subjectAltName cannot be read")]
    Unreadable,
}

/// The longest name of a host (RFC 1035, 2.3.4) and of a mailbox (RFC 5321, 4.5.3.1, and its erratum 1690), in bytes.
const MAX_NAME_BYTES: usize = 254;

impl IdentityKind {
    /// The identity that `certificate` gives its holder, as policies write it: `spiffe://…`, `dns:NAME` or `email:NAME`.
    pub(super) fn of(self, certificate: &Certificate) -> Result<String, NoIdentity> {
        let names = match certificate
            .tbs_certificate()
            .get_extension::<SubjectAltName>()
        {
            Ok(found) => found.map(|(_, names)| names.0).unwrap_or_default(),
            Err(_unreadable) => return Err(NoIdentity::Unreadable),
        };
        let mut mine = names.iter().filter_map(|name| self.pick(name));
        let kind = self.noun();
        let Some(name) = mine.next() else {
            return Err(NoIdentity::None(kind));
        };
        let more = mine.count();
        if more > 0 {
            return Err(NoIdentity::Several(more + 1, kind));
        }
        self.check(name).map_err(|why| NoIdentity::Malformed {
            kind,
            name: printable(name, 200),
            why,
        })
    }

    /// The name, if it is of this kind. Names of others are nobody's business.
    fn pick(self, name: &GeneralName) -> Option<&str> {
        if let (Self::Spiffe, GeneralName::UniformResourceIdentifier(name))
        | (Self::Dns, GeneralName::DnsName(name))
        | (Self::Email, GeneralName::Rfc822Name(name)) = (self, name)
        {
            Some(name.as_str())
        } else {
            None
        }
    }

    fn check(self, name: &str) -> Result<String, &'static str> {
        if self == Self::Spiffe {
            return spiffe::check(name).map(|()| name.to_owned());
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err("it is empty or too long");
        }
        // No control characters and no blanks: it goes into logs and into policies.
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has characters that no such name has");
        }
        match self {
            Self::Dns if name.contains('*') => Err("a wildcard is nobody's name"),
            Self::Dns => Ok(format!("dns:{}", name.to_ascii_lowercase())),
            Self::Email if name.matches('@').count() != 1 => Err("it is no mail address"),
            Self::Email | Self::Spiffe => Ok(format!("email:{name}")),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Spiffe => "URI",
            Self::Dns => "DNS name",
            Self::Email => "mail address",
        }
    }
}

impl FromStr for IdentityKind {
    type Err = crate::config::values::ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "spiffe" => Ok(Self::Spiffe),
            "dns" => Ok(Self::Dns),
            "email" => Ok(Self::Email),
            _ => Err(Self::Err::Identity(printable(text, 64))),
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spiffe => "spiffe",
            Self::Dns => "dns",
            Self::Email => "email",
        })
    }
}
