//! Whether the daemon's certificate is signed by a CA of ours, valid now, and has the name that was asked for: a host's, as everywhere, or a
//! SPIFFE ID, as workloads of SPIRE have instead.
//!
//! **Invariant:** the chain is judged by rustls alone; only the comparison of a SPIFFE ID is done here, on texts, byte for byte.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{ParsedCertificate, VerifierBuilderError},
};
use x509_cert::{
    Certificate,
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// A verifier of the daemon's certificate.
#[derive(Debug)]
pub(crate) struct ByName {
    roots: Arc<RootCertStore>,
    by_host: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
    spiffe_id: Option<String>,
}

impl ByName {
    /// By the host that is connected to, or by `spiffe_id` where there is one.
    pub(crate) fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
        spiffe_id: Option<&str>,
    ) -> Result<Self, VerifierBuilderError> {
        let roots = Arc::new(roots);
        let algorithms = provider.signature_verification_algorithms;
        let by_host = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider);
        Ok(Self {
            roots,
            by_host: by_host.build()?,
            algorithms,
            spiffe_id: spiffe_id.map(str::to_owned),
        })
    }
}

impl ServerCertVerifier for ByName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(wanted) = &self.spiffe_id else {
            return self.by_host.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        };
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if only_uri(end_entity).as_ref() == Some(wanted) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The URI of a certificate, if it has exactly one (X509-SVID, section 2).
fn only_uri(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    let (_, names) = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .ok()??;
    let mut uris = names.0.iter().filter_map(|name| {
        if let GeneralName::UniformResourceIdentifier(uri) = name {
            Some(uri.to_string())
        } else {
            None
        }
    });
    uris.next().filter(|_| uris.next().is_none())
}
