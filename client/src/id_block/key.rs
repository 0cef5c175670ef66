//! A private key of P-384, from PEM.
//!
//! **Invariant:** never shown: `Debug` says that it is one, errors say where the decoder stopped; wiped when dropped.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use p384::{
    SecretKey,
    ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer as _},
    elliptic_curve::{DecodeError, zeroize::Zeroizing},
};

/// The largest file that is taken for a key, in bytes; one of P-384 has some 300.
const LARGEST_FILE: usize = 64 << 10;

/// How to come by a key that is taken.
const WAY_OUT: &str =
    "make one with `openssl ecparam -name secp384r1 -genkey -noout -out id-key.pem`";

/// A private key.
pub struct Key(SigningKey);

/// Why a text or file is no key. Never shows any of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot be read: {0}; give a file that this user can read")]
    Unreadable(io::Error),
    /// No private key is in it.
    #[error("is no private key in PEM (PKCS#8 or SEC1); {WAY_OUT}")]
    None,
    /// The key is under a password.
    #[error(
        "is an encrypted private key; decrypt it first: `openssl pkey -in KEY.pem -out PLAIN.pem`"
    )]
    Encrypted,
    /// There is a private key, but none of P-384, or it is damaged.
    #[error("is no whole private key of P-384 ({0}); {WAY_OUT}")]
    Other(DecodeError),
}

impl Key {
    /// The first private key in a text of PEM: PKCS#8 or SEC1. Other blocks, such as the parameters that OpenSSL puts before a key, are passed over.
    ///
    /// # Errors
    /// There is none, or it is encrypted, damaged or of another curve.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = private_key(text).ok_or(KeyError::None)?;
        if block.starts_with("-----BEGIN ENCRYPTED") || block.contains("\nProc-Type:") {
            return Err(KeyError::Encrypted);
        }
        let secret = SecretKey::from_pem(block).map_err(KeyError::Other)?;
        Ok(Self(secret.into()))
    }

    /// The first private key in a file of PEM, of which no copy is left behind.
    ///
    /// # Errors
    /// The file cannot be read; else as for [`Key::from_pem`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        // Whole from the beginning: a buffer that grew would leave pieces of the key where it was.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST_FILE));
        let read = File::open(path).and_then(|file| {
            let bound = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX);
            file.take(bound).read_to_end(&mut bytes)
        });
        read.map_err(KeyError::Unreadable)?;
        let text = std::str::from_utf8(&bytes).or(Err(KeyError::None))?;
        Self::from_pem(text)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message)
    }

    pub(super) fn public(&self) -> &VerifyingKey {
        self.0.verifying_key()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// From the first `-----BEGIN … PRIVATE KEY-----` on, up to the end of the block that it begins.
fn private_key(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let begin = text.len() - after.len() - "-----BEGIN ".len();
        let (label, inside) = after.split_once("-----")?;
        rest = inside;
        if !label.ends_with("PRIVATE KEY") || label.contains('\n') {
            continue;
        }
        let (_, behind) = inside.split_once(&format!("-----END {label}-----"))?;
        return text.get(begin..text.len() - behind.len());
    }
}
