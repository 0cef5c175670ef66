//! What registries do wrong, as faults.
//!
//! **Invariant:** each tells the reference, and none of the credentials.

use std::time::Duration;

use oci_client::{
    Reference,
    errors::{DigestError, OciDistributionError, OciErrorCode},
};

use crate::{fault::Fault, resources::bounded};

/// Bytes of what a registry says that are shown.
const TOLD: usize = 300;

/// Of an answer that the client could not use.
pub(super) fn fault(reference: &Reference, error: &OciDistributionError) -> Fault {
    let told = bounded(&with_causes(error), TOLD);
    if is_missing(error) {
        return not_found(reference);
    }
    if matches!(
        error,
        OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
    ) {
        return unauthorized(reference);
    }
    let is_other = matches!(error, OciDistributionError::DigestError(_))
        || matches!(error, OciDistributionError::IoError(error) if is_digest(error));
    match is_other {
        true => mismatch(reference, &told),
        false => unreachable(reference, &told),
    }
}

/// Whether the registry says that it does not have it.
fn is_missing(error: &OciDistributionError) -> bool {
    if let OciDistributionError::RegistryError { envelope, .. } = error {
        return envelope.errors.iter().any(|it| {
            matches!(
                it.code,
                OciErrorCode::BlobUnknown
                    | OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
            )
        });
    }
    matches!(
        error,
        OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. }
    )
}

fn is_digest(error: &std::io::Error) -> bool {
    { error.get_ref() }.is_some_and(|inner| inner.is::<DigestError>())
}

/// Of a stream that broke.
pub(super) fn broken(reference: &Reference, error: &std::io::Error) -> Fault {
    let told = bounded(&with_causes(error), TOLD);
    match is_digest(error) {
        true => mismatch(reference, &told),
        false => unreachable(reference, &told),
    }
}

/// It is not there.
pub(super) fn not_found(reference: &Reference) -> Fault {
    let text = format!(
        "{reference} is not in its registry; push it there, or correct image.ref in another ConfidentialLaunch. It is asked for again"
    );
    Fault::passing("IMAGE_NOT_IN_REGISTRY", text)
}

/// The registry does not let this node read it.
pub(super) fn unauthorized(reference: &Reference) -> Fault {
    let text = format!(
        "the registry of {reference} does not let this node read it; give the node agent credentials with --registry-auth, or let anybody read it"
    );
    Fault::passing("REGISTRY_UNAUTHORIZED", text)
}

/// Something else has that name there.
pub(super) fn mismatch(reference: &Reference, told: &str) -> Fault {
    let text = format!(
        "what the registry sends for {reference} has another digest ({told}); nothing of it was used. Look at the registry, and at what is between it and this node"
    );
    Fault::passing("IMAGE_DIGEST_MISMATCH", text)
}

/// It says more than it may.
pub(super) fn too_much(reference: &Reference, most: u64) -> Fault {
    let text = format!(
        "the registry sends more for {reference} than the {most} bytes that there can be; nothing of it was used. Look at the registry"
    );
    Fault::passing("IMAGE_DIGEST_MISMATCH", text)
}

/// It does not answer, or not in time, or in no terms of the distribution specification.
pub(super) fn unreachable(reference: &Reference, told: &str) -> Fault {
    let text = format!(
        "the registry of {reference} cannot be used: {told}; check its name, its certificate and the network of this node. It is tried again"
    );
    Fault::passing("REGISTRY_UNREACHABLE", text)
}

/// It is silent.
pub(super) fn silent(reference: &Reference, after: Duration) -> Fault {
    let text = format!("no answer for {} s", after.as_secs());
    unreachable(reference, &text)
}

/// An error and its causes, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text.replace(char::is_control, " ")
}
