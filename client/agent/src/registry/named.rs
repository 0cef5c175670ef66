//! How an artifact is named: in a registry, or on this node.
//!
//! **Invariant:** either way by the digest of its manifest, which is a name of a file and no path.

use std::fmt;

use oci_client::Reference;

use crate::{fault::Fault, resources::Artifact};

/// One artifact.
#[derive(Clone, Debug)]
pub(super) enum Named {
    /// What of it is not here is pulled from there.
    InRegistry(Reference),
    /// It is here, or it is not to be had.
    OnNode(String),
}

impl Named {
    /// As the object names it.
    pub(super) fn of(artifact: &Artifact) -> Result<Self, Fault> {
        let invalid = |text: String| Fault::lasting("IMAGE_REFERENCE_INVALID", text);
        match (&artifact.reference, &artifact.digest) {
            (Some(reference), None) => {
                let read = reference.parse().map_err(|error| {
                    invalid(format!(
                        "image.ref {reference:?} cannot be read: {error}; write REGISTRY/REPOSITORY@sha256:DIGEST"
                    ))
                });
                read.map(Self::InRegistry)
            }
            (None, Some(digest)) if is_sha256(digest) => Ok(Self::OnNode(digest.clone())),
            (None, Some(digest)) => Err(invalid(format!(
                "image.digest {digest:?} cannot be read; write sha256: and 64 hex digits in lower case"
            ))),
            (None, None) | (Some(_), Some(_)) => Err(invalid(
                "an image is named by exactly one of ref and digest; create another ConfidentialLaunch that names it so".to_owned(),
            )),
        }
    }

    /// That of its manifest.
    pub(super) fn digest(&self) -> &str {
        match self {
            Self::InRegistry(reference) => reference.digest().unwrap_or_default(),
            Self::OnNode(digest) => digest,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InRegistry(reference) => reference.fmt(f),
            Self::OnNode(digest) => digest.fmt(f),
        }
    }
}

/// Whether it is a digest that files of the cache can be named by.
pub(super) fn is_sha256(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|it| {
        it.len() == 64 && { it.bytes() }.all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(reference: Option<&str>, digest: Option<&str>) -> Result<String, String> {
        let artifact = Artifact {
            reference: reference.map(str::to_owned),
            digest: digest.map(str::to_owned),
            file: None,
        };
        let named = Named::of(&artifact).map_err(|it| it.reason)?;
        Ok(named.digest().to_owned())
    }

    #[test]
    fn what_is_not_named_once_by_a_digest_is_not_looked_for() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let reference = format!("r/a@{digest}");
        assert_eq!(named(Some(&reference), None), Ok(digest.clone()));
        assert_eq!(named(None, Some(&digest)), Ok(digest.clone()));
        let invalid = || Err("IMAGE_REFERENCE_INVALID".to_owned());
        assert_eq!(named(None, None), invalid());
        assert_eq!(named(Some(&reference), Some(&digest)), invalid());
        for path in ["sha256:../../etc", "sha256:", "../manifests/a", ""] {
            assert_eq!(named(None, Some(path)), invalid(), "{path}");
        }
    }
}
