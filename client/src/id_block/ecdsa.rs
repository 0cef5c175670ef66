//! Public keys and signatures of ECDSA with P-384 and SHA-384, in the form of the firmware's ABI: numbers of 72 bytes, little-endian.
//!
//! **Invariant:** a number that does not fit P-384 is refused, never cut.

use p384::{
    FieldBytes, Sec1Point,
    ecdsa::{self, VerifyingKey, signature::Verifier as _},
};
use sha2::{Digest as _, Sha384};

use super::{key::Key, read::Fields};
use crate::image::ImageError;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 512;

/// Bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = 1028;

/// P-384 among the curves.
const CURVE_P384: u32 = 2;

/// Bytes of a number; firmware's field is wide enough for a curve of 576 bits.
const NUMBER: usize = 72;

/// Bytes of a number of P-384.
const OF_P384: usize = 48;

/// A signature (AMD 56860, table "Format for an ECDSA P-384 Signature").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// R, little-endian.
    pub r: [u8; NUMBER],
    /// S, little-endian.
    pub s: [u8; NUMBER],
}

/// A public key (AMD 56860, table "Format for an ECDSA P-384 Public Key").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The curve: 2 is P-384.
    pub curve: u32,
    /// The x coordinate, little-endian.
    pub qx: [u8; NUMBER],
    /// The y coordinate, little-endian.
    pub qy: [u8; NUMBER],
}

impl Default for Signature {
    /// Zeros: no signature.
    fn default() -> Self {
        Self {
            r: [0; NUMBER],
            s: [0; NUMBER],
        }
    }
}

impl Default for PublicKey {
    /// Zeros: no key.
    fn default() -> Self {
        Self {
            curve: 0,
            qx: [0; NUMBER],
            qy: [0; NUMBER],
        }
    }
}

impl Signature {
    /// Signs a message. The same key and message give the same signature (RFC 6979).
    #[must_use]
    pub fn of(message: &[u8], key: &Key) -> Self {
        let (r, s) = key.sign(message).split_bytes();
        Self {
            r: widened(&r.into()),
            s: widened(&s.into()),
        }
    }

    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, ImageError> {
        let (r, s) = (fields.bytes()?, fields.bytes()?);
        fields.reserved::<{ SIGNATURE_BYTES - 2 * NUMBER }>()?;
        Ok(Self { r, s })
    }

    /// As firmware takes it: 512 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.r, self.s].concat();
        bytes.resize(SIGNATURE_BYTES, 0);
        bytes
    }

    /// `None` if no key can have made it.
    fn numbers(&self) -> Option<ecdsa::Signature> {
        let (r, s) = (narrowed(&self.r)?, narrowed(&self.s)?);
        ecdsa::Signature::from_scalars(r, s).ok()
    }
}

impl PublicKey {
    /// The public half.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        let point = key.public().to_sec1_point(false);
        let number = |coordinate: Option<&FieldBytes>| {
            coordinate.map_or([0; NUMBER], |it| widened(&(*it).into()))
        };
        Self {
            curve: CURVE_P384,
            qx: number(point.x()),
            qy: number(point.y()),
        }
    }

    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, ImageError> {
        let (curve, qx, qy) = (fields.u32()?, fields.bytes()?, fields.bytes()?);
        fields.reserved::<{ PUBLIC_KEY_BYTES - 4 - 2 * NUMBER }>()?;
        Ok(Self { curve, qx, qy })
    }

    /// As firmware takes it: 1028 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.curve.to_le_bytes()[..], &self.qx, &self.qy].concat();
        bytes.resize(PUBLIC_KEY_BYTES, 0);
        bytes
    }

    /// SHA-384 of its 1028 bytes, which attestation reports carry.
    #[must_use]
    pub fn digest(&self) -> [u8; 48] {
        Sha384::digest(self.to_bytes()).into()
    }

    /// What is wrong with it, and the way out; `None` if it is a key.
    pub(super) fn problem(&self) -> Option<String> {
        if self.curve != CURVE_P384 {
            return Some(format!(
                "is of curve {:#x}, where firmware takes {CURVE_P384:#x} (P-384) only; sign with a key of P-384",
                self.curve
            ));
        }
        let text = "is no point of P-384; make the file anew with `stagectl id-block create`";
        self.point().is_none().then(|| text.to_owned())
    }

    /// Whether the signature is by this key and of this message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let both = self.point().zip(signature.numbers());
        self.curve == CURVE_P384
            && both.is_some_and(|(key, signature)| key.verify(message, &signature).is_ok())
    }

    fn point(&self) -> Option<VerifyingKey> {
        let (x, y) = (narrowed(&self.qx)?, narrowed(&self.qy)?);
        VerifyingKey::from_sec1_point(&Sec1Point::from_affine_coordinates(&x, &y, false)).ok()
    }
}

/// A big-endian number as firmware has it.
fn widened(number: &[u8; OF_P384]) -> [u8; NUMBER] {
    let mut wide = [0; NUMBER];
    for (to, from) in wide.iter_mut().zip(number.iter().rev()) {
        *to = *from;
    }
    wide
}

/// A number of firmware's as big-endian; `None` if it is too large.
fn narrowed(wide: &[u8; NUMBER]) -> Option<FieldBytes> {
    let (number, above) = wide.split_first_chunk::<OF_P384>()?;
    let mut number = *number;
    number.reverse();
    above.iter().all(|byte| *byte == 0).then(|| number.into())
}
