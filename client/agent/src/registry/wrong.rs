//! What registries do wrong, as faults.
//!
//! **Invariant:** each tells the reference, and none of the credentials.

use std::time::Duration;

use oci_client::Reference;
use stagepages_client::with_causes;

use super::credentials::Credentials;
use crate::{fault::Fault, resources::bounded};

/// It sends something else than was asked for.
pub(super) const MISMATCH: &str = "IMAGE_DIGEST_MISMATCH";
/// It cannot be used at the moment.
pub(super) const UNREACHABLE: &str = "REGISTRY_UNREACHABLE";
/// Bytes of what a registry says that are shown.
const TOLD: usize = 300;

/// Of a connection that was not made, or broke.
pub(super) fn broken(reference: &Reference, error: reqwest::Error) -> Fault {
    // Its URL can be one that a registry made up.
    let told = with_causes(&error.without_url()).replace(char::is_control, " ");
    unreachable(reference, &bounded(&told, TOLD))
}

/// It is not there.
pub(super) fn not_found(reference: &Reference) -> Fault {
    let text = format!(
        "{reference} is not in its registry; push it there, or correct image.ref in another ConfidentialLaunch. It is asked for again"
    );
    Fault::passing("IMAGE_NOT_IN_REGISTRY", text)
}

/// What is to be on this node is not; or of it the file that is needed is not.
pub(super) fn not_on_node(digest: &str, file: Option<&str>) -> Fault {
    let what = match file {
        None => {
            format!("{digest} is not on this node: the node agent's cache has no such manifest")
        }
        Some(file) => format!(
            "{file} of {digest} is not on this node any more: it made room for another image, or was damaged"
        ),
    };
    let text = format!(
        "{what}. Have a LaunchImage pull it to this node, or create another ConfidentialLaunch that names it by ref instead of digest. It is looked for again"
    );
    Fault::passing("IMAGE_NOT_ON_NODE", text)
}

/// The registry does not let this node read it.
pub(super) fn unauthorized(reference: &Reference, credentials: &Credentials) -> Fault {
    let host = reference.resolve_registry();
    let way_out = match credentials {
        Credentials::NoFile => {
            "give the node agent credentials with --registry-auth, or let anybody read it"
                .to_owned()
        }
        Credentials::Unusable(why) => {
            format!(
                "the file of --registry-auth of the node agent cannot be used: {why}; correct it"
            )
        }
        Credentials::NotListed => format!(
            "the file of --registry-auth of the node agent has no credentials for {host}; add them to its auths, or let anybody read it"
        ),
        Credentials::Login(..) => format!(
            "it refuses the credentials for {host} in the file of --registry-auth of the node agent; correct them, or let their user read it"
        ),
    };
    let text = format!(
        "the registry of {reference} does not let this node read it: {way_out}. It is asked for again"
    );
    Fault::passing("REGISTRY_UNAUTHORIZED", text)
}

/// Something else has that name there.
pub(super) fn mismatch(reference: &Reference, told: &str) -> Fault {
    let text = format!(
        "what the registry sends for {reference} has another digest ({told}); nothing of it was used. Look at the registry, and at what is between it and this node"
    );
    Fault::passing(MISMATCH, text)
}

/// It says more than it may.
pub(super) fn too_much(reference: &Reference, most: u64) -> Fault {
    let text = format!(
        "the registry sends more for {reference} than the {most} bytes that there can be; nothing of it was used. Look at the registry"
    );
    Fault::passing(MISMATCH, text)
}

/// It does not answer, or not in time, or in no terms of the distribution specification.
pub(super) fn unreachable(reference: &Reference, told: &str) -> Fault {
    let way_out = match told.contains("certificate") {
        true => {
            "look at its certificate; if that is of a CA that this node does not know, name the CA's certificate with --registry-ca of the node agent"
        }
        false => "check its name and the network of this node, and whether it speaks TLS",
    };
    let text =
        format!("the registry of {reference} cannot be used: {told}; {way_out}. It is tried again");
    Fault::passing(UNREACHABLE, text)
}

/// It is silent.
pub(super) fn silent(reference: &Reference, after: Duration) -> Fault {
    let text = format!("no answer for {} s", after.as_secs());
    unreachable(reference, &text)
}

/// So few bytes came that it could as well be.
pub(super) fn slow(reference: &Reference, bytes: u64, within: Duration) -> Fault {
    match bytes {
        0 => silent(reference, within),
        _ => {
            let text = format!("no more than {bytes} bytes in {} s", within.as_secs());
            unreachable(reference, &text)
        }
    }
}
