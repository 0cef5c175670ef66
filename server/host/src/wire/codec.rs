//! Protobuf messages as frames.
//!
//! **Invariant:** what [`encode`] returns fits a frame and is not empty.

use std::io;

use prost::Message;

use super::MAX_FRAME;

/// Why a message is no frame, or a frame no message.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Too long for one frame.
    #[error("a message of {len:#x} bytes is over the {MAX_FRAME:#x} bytes of a frame")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Encodes to nothing, which cannot be sent (see the module). Messages whose body is a oneof that is set never do.
    #[error("a message with no field set cannot be sent as a frame")]
    Empty,
    /// Not protobuf, or not of this message.
    #[error("malformed frame")]
    Malformed(#[from] prost::DecodeError),
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        let kind = match error {
            CodecError::TooLong { .. } | CodecError::Empty => io::ErrorKind::InvalidInput,
            CodecError::Malformed(_) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Encodes a message as the bytes of one frame.
///
/// # Errors
/// [`CodecError::TooLong`] and [`CodecError::Empty`].
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    match message.encoded_len() {
        0 => Err(CodecError::Empty),
        len if len > MAX_FRAME => Err(CodecError::TooLong { len }),
        _ => Ok(message.encode_to_vec()),
    }
}

/// Decodes the bytes of one frame.
///
/// # Errors
/// [`CodecError::TooLong`] before anything is looked at, [`CodecError::Malformed`].
pub fn decode<M: Message + Default>(frame: &[u8]) -> Result<M, CodecError> {
    if frame.len() > MAX_FRAME {
        return Err(CodecError::TooLong { len: frame.len() });
    }
    Ok(M::decode(frame)?)
}
