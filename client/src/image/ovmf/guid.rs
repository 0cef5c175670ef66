//! GUIDs as EDK2 stores them: three little-endian numbers and eight bytes.
//!
//! **Invariant:** compared byte for byte; which are known is said here once.

use std::fmt;

/// One GUID, in the order of its bytes in a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Guid([u8; 16]);

/// Ends the table; stands 48 bytes before the end of the image.
pub(super) const FOOTER: Guid = Guid::new(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d);
/// Where the table of kernel hashes is in the guest: address, bytes.
pub(super) const SEV_HASHES: Guid = Guid::new(0x7255_371f, 0x3a3b, 0x4b04, 0x927b_1da6_efa8_d454);
/// Where vCPUs but the first begin on SEV-ES and SEV-SNP: address.
pub(super) const SEV_RESET: Guid = Guid::new(0x00f7_71de, 0x1a7e, 0x4fcb, 0x890e_68c7_7e2f_b44e);
/// Where the SEV metadata is in the image: bytes before its end.
pub(super) const SEV_METADATA: Guid = Guid::new(0xdc88_6566, 0x984a, 0x4798, 0xa75e_5585_a7bf_67cc);
/// Where the TDVF descriptor is in the image: bytes before its end.
pub(super) const TDX_METADATA: Guid = Guid::new(0xe47a_6535, 0x984a, 0x4798, 0x865e_4685_a7bf_8ec2);
/// Says that the image is an SVSM's, which does not end at 4 GiB.
pub(super) const SVSM_INFO: Guid = Guid::new(0xa789_a612, 0x0597, 0x4c4b, 0xa49f_cbb1_fe9d_1ddd);
/// Where SEV and SEV-ES inject secrets; SEV-SNP does not.
const SEV_SECRET: Guid = Guid::new(0x4c2e_b361, 0x7d9b, 0x4cc3, 0x8081_127c_90d3_d294);
/// Where an IGVM file around this image is to put its parameters.
const IGVM_PARAMETERS: Guid = Guid::new(0x784f_a70e, 0x3176, 0x4677, 0x8a20_04b6_8699_e374);

impl Guid {
    pub(super) const fn new(first: u32, second: u16, third: u16, last: u64) -> Self {
        let [a, b, c, d] = first.to_le_bytes();
        let [e, f] = second.to_le_bytes();
        let [g, h] = third.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = last.to_be_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Whether a table may have it without anyone wondering: it is used here, or is for launches of another kind.
    pub(super) fn is_known(self) -> bool {
        [
            SEV_HASHES,
            SEV_RESET,
            SEV_METADATA,
            TDX_METADATA,
            SVSM_INFO,
            SEV_SECRET,
            IGVM_PARAMETERS,
        ]
        .contains(&self)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        let last = u64::from_be_bytes(rest);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            u32::from_le_bytes([a, b, c, d]),
            u16::from_le_bytes([e, g]),
            u16::from_le_bytes([h, i]),
            last >> 48,
            last & 0xffff_ffff_ffff,
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_reads_as_edk2_writes_it() {
        assert_eq!(FOOTER.to_string(), "96b582de-1fb2-45f7-baea-a366c55a082d");
        assert_eq!(
            SEV_RESET.to_string(),
            "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
        );
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0xde, 0x82, 0xb5, 0x96]);
        bytes[4..8].copy_from_slice(&[0xb2, 0x1f, 0xf7, 0x45]);
        bytes[8..].copy_from_slice(&[0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d]);
        assert_eq!(Guid::from_bytes(bytes), FOOTER);
    }
}
