//! Segment registers and descriptor tables.
//!
//! **Invariant:** nothing is checked here; what a register may hold is for the kernel and the processor to say.

use kvm_bindings::{kvm_dtable, kvm_segment};

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The visible part. In real mode a sixteenth of the base.
    pub selector: u16,
    /// Access rights, as bytes 5 and 6 of a descriptor have them and as IGVM files give them: bits 0 to 3 type, 4 S (code or data), 5 and
    /// 6 DPL, 7 present, 12 AVL, 13 L (64-bit code), 14 D/B, 15 G. Bits 8 to 11 are reserved: zero when read, and not passed on. A
    /// VMSA packs bits 12 to 15 into 8 to 11.
    ///
    /// A segment that is not present is *unusable*.
    pub attributes: u16,
    /// The offset of the last byte, in bytes whatever the granularity.
    pub limit: u32,
    /// The linear address of the first byte.
    pub base: u64,
}

/// A segment register as KVM has it; every flag is a byte of its own.
impl Segment {
    pub(super) fn from_abi(segment: &kvm_segment) -> Self {
        // Intel's processors have a bit of their own for a segment that must not be used, whatever its descriptor said.
        let present = segment.present & u8::from(segment.unusable == 0);
        let bit = |flag: u8, at: u32| u16::from(flag & 1) << at;
        Self {
            selector: segment.selector,
            attributes: u16::from(segment.type_ & 0xf)
                | bit(segment.s, 4)
                | u16::from(segment.dpl & 3) << 5
                | bit(present, 7)
                | bit(segment.avl, 12)
                | bit(segment.l, 13)
                | bit(segment.db, 14)
                | bit(segment.g, 15),
            limit: segment.limit,
            base: segment.base,
        }
    }

    pub(super) fn to_abi(self) -> kvm_segment {
        let [low, high] = self.attributes.to_le_bytes();
        let present = low >> 7;
        kvm_segment {
            base: self.base,
            limit: self.limit,
            selector: self.selector,
            type_: low & 0xf,
            s: low >> 4 & 1,
            dpl: low >> 5 & 3,
            present,
            avl: high >> 4 & 1,
            l: high >> 5 & 1,
            db: high >> 6 & 1,
            g: high >> 7,
            unusable: 1 - present,
            padding: 0,
        }
    }
}

/// GDTR or IDTR: where a descriptor table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorTable {
    /// Its linear address.
    pub base: u64,
    /// The offset of its last byte: its size in bytes, less one.
    pub limit: u16,
}

impl DescriptorTable {
    pub(super) fn from_abi(table: &kvm_dtable) -> Self {
        Self {
            base: table.base,
            limit: table.limit,
        }
    }

    pub(super) fn to_abi(self) -> kvm_dtable {
        kvm_dtable {
            base: self.base,
            limit: self.limit,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_those_of_a_descriptor() {
        // 64-bit code, and a flat 32-bit stack of ring 3: known from every operating system's tables.
        let code = Segment {
            selector: 8,
            attributes: 0xa09b,
            limit: 0xffff_ffff,
            base: 0,
        };
        let abi = code.to_abi();
        assert_eq!((abi.type_, abi.s, abi.dpl, abi.present), (0xb, 1, 0, 1));
        assert_eq!((abi.avl, abi.l, abi.db, abi.g), (0, 1, 0, 1));
        assert_eq!(abi.unusable, 0);
        let stack = Segment {
            attributes: 0xc0f3,
            ..code
        };
        let abi = stack.to_abi();
        assert_eq!((abi.type_, abi.s, abi.dpl, abi.present), (3, 1, 3, 1));
        assert_eq!((abi.avl, abi.l, abi.db, abi.g), (0, 0, 1, 1));
    }

    #[test]
    fn every_bit_but_the_reserved_ones_survives() {
        for bit in 0..16 {
            let attributes = 1 << bit | 1 << 7;
            let segment = Segment {
                selector: 0x1234,
                attributes,
                limit: 5,
                base: 6,
            };
            let kept = Segment {
                attributes: attributes & 0xf0ff,
                ..segment
            };
            assert_eq!(Segment::from_abi(&segment.to_abi()), kept, "{bit}");
        }
    }

    #[test]
    fn a_segment_that_is_not_present_is_unusable() {
        assert_eq!(Segment::default().to_abi().unusable, 1);
        let unusable = kvm_segment {
            present: 1,
            unusable: 1,
            ..Default::default()
        };
        assert_eq!(Segment::from_abi(&unusable).attributes, 0);
    }
}
