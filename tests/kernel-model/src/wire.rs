//! Reading and writing the kernel's structures by offset.
//!
//! Not `#[repr(C)]` structs: the offsets stand in the code as in kernel.md, and what is between them can be checked to be zero.
//!
//! **Invariant:** every offset lies within the array that was copied in; the table of a structure is a constant of the code.

/// Bytes in hex, two digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a structure.
#[derive(Debug)]
pub(crate) struct Fields<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Fields<N> {
    /// `W` bytes at an offset; zeros beyond the end, which no constant of the code reaches.
    pub(crate) fn bytes<const W: usize>(&self, at: usize) -> [u8; W] {
        let mut bytes = [0; W];
        for (to, from) in bytes.iter_mut().zip(self.0.iter().skip(at)) {
            *to = *from;
        }
        bytes
    }

    pub(crate) fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// So many bytes at an offset are zero.
    pub(crate) fn is_zero(&self, at: usize, bytes: usize) -> bool {
        self.0.iter().skip(at).take(bytes).all(|byte| *byte == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_little_endian_and_where_they_were_put() {
        let mut fields = Fields([0; 16]);
        fields.put(8, &0x1122_3344_5566_7788_u64.to_le_bytes());
        assert_eq!(fields.u64(8), 0x1122_3344_5566_7788);
        assert_eq!(fields.u32(8), 0x5566_7788);
        assert_eq!(fields.u16(14), 0x1122);
        assert_eq!(fields.u8(15), 0x11);
        assert!(fields.is_zero(0, 8));
        assert!(!fields.is_zero(0, 9));
    }
}
