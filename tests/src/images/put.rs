//! Writing numbers into images.

/// Bytes that are written from both ends.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    /// Bytes at an offset.
    ///
    /// # Panics
    /// If there is no room.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}

/// A GUID as firmware writes it: the first three fields little-endian.
pub(super) fn guid(text: &str) -> [u8; 16] {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).expect("a GUID is ASCII");
        *byte = u8::from_str_radix(pair, 16).expect("a GUID is hex");
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}
