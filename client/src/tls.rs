//! Dialling a daemon over TCP: the connection, the handshake, and what became of it in words.
//!
//! **Invariant:** nothing is sent to a daemon that has not proved its name.

use std::{io, net::IpAddr, sync::Arc};

use rustls::{AlertDescription, CertificateError, Error, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::credentials::{Credentials, CredentialsError};

/// Bytes that may wait to be encrypted or sent: two records. What is beyond waits in HTTP/2's own buffers.
const MAX_UNSENT_BYTES: usize = 32 << 10;

/// Why a connection over TCP did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("{0:?} is no name or address of a host")]
    Name(String),
    #[error(transparent)]
    Connect(io::Error),
    #[error("{0}")]
    Handshake(String),
}

/// Connects to `host`, which is resolved, and makes the handshake.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    credentials: &Credentials,
) -> Result<TlsStream<TcpStream>, DialError> {
    let config = credentials.config()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = credentials.server_name.as_deref();
    let shown = name.unwrap_or(host);
    // A SPIFFE ID is no host; the verifier compares it, and SNI says where we think we are.
    let asked = name
        .filter(|name| !name.starts_with("spiffe://"))
        .unwrap_or(host);
    let asked = server_name(asked).ok_or_else(|| DialError::Name(asked.to_owned()))?;
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(DialError::Connect)?;
    stream.set_nodelay(true).map_err(DialError::Connect)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(asked, stream);
    let mut stream = connecting
        .await
        .map_err(|error| DialError::Handshake(words(&error, shown)))?;
    let (_, session) = stream.get_mut();
    session.set_buffer_limit(Some(MAX_UNSENT_BYTES));
    Ok(stream)
}

/// What the text of a broken connection means, if it is an alert of TLS. h2 keeps no more of it than the text.
pub(crate) fn late(text: &str) -> Option<&'static str> {
    let (_, name) = text.split_once("received fatal alert: ")?;
    [
        AlertDescription::UnknownCA,
        AlertDescription::DecryptError,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateRequired,
        AlertDescription::CertificateUnknown,
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::AccessDenied,
    ]
    .into_iter()
    .find(|alert| name == format!("{alert:?}"))
    .and_then(refusal)
}

/// What the daemon has against the client's certificate.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "alerts of TLS, of which only some are about certificates"
)]
fn refusal(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the daemon does not know the CA of the client's certificate"
        }
        AlertDescription::CertificateExpired => {
            "the daemon says that the client's certificate has expired, or is not valid yet"
        }
        AlertDescription::CertificateRequired => "the daemon asks for a client certificate",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => {
            "the daemon refuses the client's certificate: see that it is for clients, and has the one subjectAltName that the daemon takes for an identity"
        }
        _ => return None,
    })
}

fn server_name(text: &str) -> Option<ServerName<'static>> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(ServerName::from(ip)),
        Err(_name) => ServerName::try_from(text.to_owned()).ok(),
    }
}

/// What an error of TLS means to whoever chose the files. Also of one that comes later: in TLS 1.3 a server judges the client's certificate when the
/// client has already finished (RFC 8446, 4.4.2.4).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors of another crate, of which only some have a meaning of their own here"
)]
pub(crate) fn words(error: &io::Error, name: &str) -> String {
    let inner = error.get_ref();
    let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) else {
        return format!("the connection ended in its handshake of TLS: {error}");
    };
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the daemon's certificate is signed by none of the CAs in the CA file".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the daemon's certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the daemon's certificate is not valid yet, or this machine's clock is wrong"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "the daemon's certificate is not for {name}; name the one it has with --server-name"
                )
            }
            other => format!("the daemon's certificate is not valid: {other}"),
        },
        Error::AlertReceived(alert) => match refusal(*alert) {
            Some(words) => words.to_owned(),
            None => format!("the daemon refuses the handshake of TLS (alert {alert:?})"),
        },
        Error::InvalidMessage(_) => "what listens there does not speak TLS".to_owned(),
        other => format!("the handshake of TLS failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_wrong_with_which_certificate() {
        let said = |error: Error| words(&io::Error::other(error), "h");
        for (error, part) in [
            (
                CertificateError::UnknownIssuer.into(),
                "daemon's certificate is signed by none",
            ),
            (CertificateError::NotValidForName.into(), "not for h; name"),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "does not know the CA of the client",
            ),
        ] {
            let text = said(error);
            assert!(text.contains(part), "{text}");
        }
        let text = "connection error: received fatal alert: CertificateRequired";
        assert_eq!(late(text), Some("the daemon asks for a client certificate"));
        assert_eq!(late("connection error: received fatal alert: X"), None);
        let other = words(&io::ErrorKind::UnexpectedEof.into(), "h");
        assert!(other.contains("ended in its handshake"), "{other}");
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        assert!(matches!(
            server_name("127.0.0.1"),
            Some(ServerName::IpAddress(_))
        ));
        assert!(matches!(server_name("::1"), Some(ServerName::IpAddress(_))));
        assert!(matches!(
            server_name("node-1.example"),
            Some(ServerName::DnsName(_))
        ));
        assert!(server_name("a b").is_none());
    }
}
