//! An error of the API server, or of the way to it, with all that caused it: on its own it says no more than that something did not work.
//!
//! **Invariant:** each cause is said once, and one that waiting does not mend has its way out.

use std::error::Error;

use stagepages_client::with_causes;

/// What rustls says of a certificate that it does not take.
const NOT_TRUSTED: &str = "invalid peer certificate";

/// The error and its causes in one line.
pub(crate) fn whole(error: &dyn Error) -> String {
    let mut text = with_causes(error);
    if text.contains(NOT_TRUSTED) {
        text += "; whoever answers at that address is not vouched for by the CA that this agent was given: check ca.crt of its service account, or certificate-authority in KUBECONFIG";
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Layer {
        said: &'static str,
        source: Option<Box<dyn Error + 'static>>,
    }

    fn layers(said: &[&'static str]) -> Option<Box<dyn Error + 'static>> {
        let (first, rest) = said.split_first()?;
        let source = layers(rest);
        Some(Box::new(Layer {
            said: first,
            source,
        }))
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = layers(&["no list: no connection", "no connection", "refused"]).unwrap();
        assert_eq!(whole(&*error), "no list: no connection: refused");
        assert_eq!(whole(&io::Error::other("broken")), "broken");
    }

    #[test]
    fn a_certificate_that_is_not_trusted_has_its_way_out() {
        let error = layers(&["connect", "invalid peer certificate: UnknownIssuer"]).unwrap();
        let said = whole(&*error);
        assert!(
            said.starts_with("connect: invalid peer certificate: UnknownIssuer; ")
                && said.contains("ca.crt"),
            "{said}"
        );
    }
}
