//! Whether a client's certificate is one: signed by a CA of ours, valid now, for clients, and with an identity in it.
//!
//! **Invariant:** says yes only to a certificate that [`ClientCertificate`] can be made of, so who passes has an identity.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::{certificate::ClientCertificate, identity::IdentityKind};

/// rustls' own judgement, and an identity.
pub(super) struct Identified {
    /// None while no CA is valid.
    pub(super) by_ca: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) kind: IdentityKind,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identified")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Identified {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_ca
            .as_ref()
            .map_or(&[], |ca| ca.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let Some(by_ca) = &self.by_ca else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verified = by_ca.verify_client_cert(end_entity, intermediates, now)?;
        match ClientCertificate::of(end_entity, self.kind) {
            Ok(_) => Ok(verified),
            Err(why) => Err(CertificateError::Other(OtherError(Arc::new(why))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
