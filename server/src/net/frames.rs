//! HTTP/2's frames as they pass by: their heads, and of a reset its code (RFC 9113, 4.1).
//!
//! **Invariant:** no byte is changed or kept, but those of a head, and of a reset, that are not all there yet.

/// What comes before the first frame of a client (RFC 9113, 3.4), in bytes.
const PREFACE_BYTES: usize = 24;

/// A frame's head.
const HEAD_BYTES: usize = 9;

/// A reset's code, which is all that it carries.
const CODE_BYTES: usize = 4;

/// Types of frames (RFC 9113, 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of its payload.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) stream: u32,
    /// Of a reset, the beginning of its payload: why.
    pub(super) code: Option<u32>,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes that pass before the next head.
    pass: usize,
    /// The head that comes, and of a reset its code.
    begun: Vec<u8>,
}

impl Frames {
    /// What a client sends, from its first byte.
    pub(super) fn from_client() -> Self {
        Self {
            pass: PREFACE_BYTES,
            begun: Vec::with_capacity(HEAD_BYTES + CODE_BYTES),
        }
    }

    /// What a server sends, from its first byte.
    pub(super) fn from_server() -> Self {
        Self {
            pass: 0,
            ..Self::from_client()
        }
    }

    /// Whether the last frame is whole, and no other has begun.
    pub(super) fn is_between(&self) -> bool {
        self.pass == 0 && self.begun.is_empty()
    }

    /// Looks at what comes next, and tells of each frame whose head is whole with it.
    pub(super) fn look(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let passed = self.pass.min(bytes.len());
            self.pass -= passed;
            bytes = bytes.split_at(passed).1;
            let wanted = HEAD_BYTES + self.code_bytes();
            let step = (wanted - self.begun.len()).min(bytes.len());
            let (begun, rest) = bytes.split_at(step);
            self.begun.extend_from_slice(begun);
            bytes = rest;
            if let Some(head) = Head::read(&self.begun)
                && self.begun.len() == HEAD_BYTES + self.code_bytes()
            {
                self.pass = head.length - self.code_bytes();
                self.begun.clear();
                tell(head);
            }
        }
    }

    /// How much of the payload belongs to the head that has begun.
    fn code_bytes(&self) -> usize {
        let reset = Head::read(&self.begun).filter(|head| head.kind == RESET);
        reset.map_or(0, |head| head.length.min(CODE_BYTES))
    }
}

impl Head {
    /// From its bytes; none if they are not all there.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, code) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [l0, l1, l2, kind, _flags, s0, s1, s2, s3] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        Some(Self {
            // 24 bits.
            length: usize::try_from(length).unwrap_or(usize::MAX),
            kind,
            // The highest bit means nothing.
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & (u32::MAX >> 1),
            code: code.first_chunk().map(|code| u32::from_be_bytes(*code)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, 0], &stream.to_be_bytes()].concat();
        [&head, payload].concat()
    }

    #[test]
    fn frames_are_told_however_they_are_cut() {
        let sent = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, &[]),
            frame(HEADERS, 1 << 31 | 5, &[7; 300]),
            frame(RESET, 5, &[0, 0, 0, 8]),
            // Neither is a reset, by its length.
            frame(RESET, 7, &[1]),
            frame(RESET, 9, &[0, 0, 0, 1, 1, 1]),
            frame(DATA, 3, &[1]),
        ]
        .concat();
        let found = |cut: usize| {
            let (mut frames, mut found) = (Frames::from_client(), Vec::new());
            for part in sent.chunks(cut) {
                frames.look(part, |head| {
                    found.push((head.kind, head.stream, head.length, head.code));
                });
            }
            assert!(frames.is_between());
            found
        };
        let whole = found(sent.len());
        assert_eq!(
            whole,
            [
                (4, 0, 0, None),
                (HEADERS, 5, 300, None),
                (RESET, 5, 4, Some(8)),
                (RESET, 7, 1, None),
                (RESET, 9, 6, Some(1)),
                (DATA, 3, 1, None),
            ]
        );
        for cut in 1..sent.len() {
            assert_eq!(found(cut), whole, "cut every {cut} bytes");
        }
    }

    #[test]
    fn within_a_frame_is_not_between_frames() {
        let mut frames = Frames::from_server();
        assert!(frames.is_between());
        let sent = frame(DATA, 1, &[1, 2]);
        for (at, byte) in sent.iter().enumerate() {
            frames.look(&[*byte], |_| {});
            assert_eq!(frames.is_between(), at + 1 == sent.len());
        }
    }
}
