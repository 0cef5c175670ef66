//! What is chosen and refused, against a KVM that takes little.

use stagepages_kvm::{CpuidTable, TdxCapabilities};

use super::{CpuidEntry, TdxInfo, TdxSettings};

const ADDRESS_SIZES: u32 = 0x8000_0008;

fn leaf(function: u32, index: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> CpuidEntry {
    CpuidEntry {
        function,
        index,
        eax,
        ebx,
        ecx,
        edx,
    }
}

fn table(leaves: &[CpuidEntry]) -> CpuidTable {
    leaves.iter().copied().map(Into::into).collect()
}

/// Attributes 28 and 63, features 0xe7, four leaves; one of them this KVM cannot show to a guest.
fn taken() -> TdxCapabilities {
    TdxCapabilities {
        supported_attributes: 1 << 28 | 1 << 63,
        supported_xfam: 0xe7,
        cpuid: table(&[
            leaf(7, 0, [0, 0xf0, 0, 0]),
            leaf(7, 1, [0xff, 0, 0, 0x3]),
            leaf(0x24, 0, [0, u32::MAX, 0, 0]),
            leaf(ADDRESS_SIZES, 0, [0x00ff_0000, 0, 0, 0]),
        ]),
    }
}

fn supported() -> CpuidTable {
    table(&[
        leaf(1, 0, [1, 2, 3, 4]),
        leaf(7, 0, [2, 0x3c, 9, 9]),
        leaf(7, 1, [0x10f, 9, 9, 0xe]),
        leaf(ADDRESS_SIZES, 0, [0x002f_392e, 5, 6, 7]),
    ])
}

fn leaves(cpuid: &CpuidTable) -> Vec<CpuidEntry> {
    cpuid.entries().map(CpuidEntry::from).collect()
}

#[test]
fn nothing_given_is_what_kvm_supports_of_what_can_be_chosen() {
    let init = TdxSettings::default()
        .choose(&taken(), &supported())
        .unwrap();
    assert_eq!((init.attributes, init.xfam), (1 << 28, 0xe7));
    assert_eq!(
        leaves(&init.cpuid),
        [
            leaf(7, 0, [0, 0x30, 0, 0]),
            leaf(7, 1, [0x0f, 0, 0, 0x2]),
            leaf(ADDRESS_SIZES, 0, [48 << 16, 0, 0, 0]),
        ]
    );
    assert_eq!(init.cpuid.guest_physical_bits(), Some(48));
    let other = TdxCapabilities {
        supported_attributes: 1 << 63,
        ..taken()
    };
    let init = TdxSettings::default().choose(&other, &supported()).unwrap();
    assert_eq!(init.attributes, 0);
}

#[test]
fn what_is_given_is_taken_as_it_is() {
    let given = TdxSettings {
        attributes: Some(0),
        xfam: Some(0x3),
        mrconfigid: [1; 48],
        mrowner: [2; 48],
        mrownerconfig: [3; 48],
        cpuid: vec![
            leaf(ADDRESS_SIZES, 0, [52 << 16, 0, 0, 0]),
            leaf(7, 1, [0x81, 0, 0, 0x3]),
        ],
    };
    let init = given.choose(&taken(), &supported()).unwrap();
    assert_eq!((init.attributes, init.xfam), (0, 3));
    assert_eq!(
        (init.mrconfigid, init.mrowner, init.mrownerconfig),
        ([1; 48], [2; 48], [3; 48])
    );
    assert_eq!(leaves(&init.cpuid), given.cpuid);
    assert_eq!(init.cpuid.guest_physical_bits(), Some(52));
}

#[test]
fn what_kvm_does_not_take_is_refused_with_its_field_and_the_bits() {
    let sizes = leaf(ADDRESS_SIZES, 0, [48 << 16, 0, 0, 0]);
    let cpuid = |leaves: &[CpuidEntry]| TdxSettings {
        cpuid: leaves.to_vec(),
        ..TdxSettings::default()
    };
    let cases = [
        (
            TdxSettings {
                attributes: Some(1 << 28 | 1),
                ..TdxSettings::default()
            },
            "tdx.attributes",
            "has bits 0x1 ",
        ),
        (
            TdxSettings {
                xfam: Some(0x1e7),
                ..TdxSettings::default()
            },
            "tdx.xfam",
            "has bits 0x100 ",
        ),
        (
            cpuid(&[leaf(7, 0, [0; 4])]),
            "tdx.cpuid",
            "lacks leaf 0x80000008",
        ),
        (
            cpuid(&[sizes, leaf(7, 2, [0; 4])]),
            "tdx.cpuid[1]",
            "leaf 0x7 index 0x2",
        ),
        (
            cpuid(&[sizes, leaf(1, 0, [0; 4])]),
            "tdx.cpuid[1]",
            "leaf 0x1 index 0x0",
        ),
        (
            cpuid(&[leaf(7, 1, [1, 0, 0, 0x7]), sizes]),
            "tdx.cpuid[0]",
            "edx 0x7 has bits 0x4 ",
        ),
        (
            cpuid(&[leaf(7, 0, [0, 0x1f0, 0, 0]), sizes]),
            "tdx.cpuid[0]",
            "ebx 0x1f0 has bits 0x100 ",
        ),
        (cpuid(&[sizes, sizes]), "tdx.cpuid[1]", "twice"),
        (
            cpuid(&[leaf(ADDRESS_SIZES, 0, [47 << 16, 0, 0, 0])]),
            "tdx.cpuid[0]",
            "says 47 ",
        ),
        (
            cpuid(&[leaf(ADDRESS_SIZES, 0, [48 << 16 | 1, 0, 0, 0])]),
            "tdx.cpuid[0]",
            "eax 0x300001 has bits 0x1 ",
        ),
    ];
    for (given, field, words) in cases {
        let refusal = given.choose(&taken(), &supported()).unwrap_err();
        assert_eq!(refusal.field, field, "{refusal:?}");
        assert!(refusal.message.contains(words), "{refusal:?}");
    }
}

#[test]
fn what_kvm_takes_is_told_leaf_by_leaf() {
    let info = TdxInfo::from(&taken());
    assert_eq!((info.attributes, info.xfam), (1 << 28 | 1 << 63, 0xe7));
    assert_eq!(info.cpuid.len(), 4);
    assert_eq!(info.cpuid.get(1), Some(&leaf(7, 1, [0xff, 0, 0, 0x3])));
}
