//! CAPABILITIES and INIT_VM (kernel.md sections 3.2 and 13).

use stagepages_kernel_model::{Call, Effect, Errno, Fault, Profile, Script};

use crate::rig::{CAPABILITIES, Init, KERNELS, PARAMS, Rig, address_width};

const TABLE: u64 = PARAMS + 2048;
const LEAVES: u32 = 6;

#[test]
fn capabilities_say_what_can_be_configured() {
    let rig = Rig::new(Script::tdx(Profile::V6_18));
    rig.put(TABLE, &[&64_u32.to_le_bytes()]);
    assert_eq!(rig.plain(rig.vm, CAPABILITIES), (Ok(0), 0));
    assert_eq!(rig.word(PARAMS), 1 << 28);
    assert_eq!(rig.word(PARAMS + 8), 0x6_02e7);
    assert_eq!(rig.get::<2032>(PARAMS + 16), [0; 2032]);
    assert_eq!(u32::from_le_bytes(rig.get(TABLE)), LEAVES);
    let leaves = (0..u64::from(LEAVES)).map(|at| {
        let entry = TABLE + 8 + at * 40;
        [0, 4, 8, 12].map(|at| u32::from_le_bytes(rig.get(entry + at)))
    });
    let leaves: Vec<_> = leaves.collect();
    assert_eq!(leaves[1][..3], [7, 0, 1]);
    assert_eq!(leaves[3], [0xd, 1, 1, 0x1f]);
    assert_eq!(leaves[5], [0x8000_0008, 0, 0, 0x00ff_0000]);
}

#[test]
fn too_little_room_is_e2big_and_nothing_is_written() {
    let rig = Rig::new(Script::tdx(Profile::V7_1));
    rig.put(PARAMS, &[&[0xee; 2048]]);
    rig.put(TABLE, &[&(LEAVES - 1).to_le_bytes()]);
    assert_eq!(rig.plain(rig.vm, CAPABILITIES), (Err(Errno::E2BIG), 0));
    assert_eq!(rig.get::<2048>(PARAMS), [0xee; 2048]);
    assert_eq!(u32::from_le_bytes(rig.get(TABLE)), LEAVES - 1);
}

#[test]
fn init_vm_refuses_what_a_td_cannot_be() {
    let leaf = |function, index, flags, ecx| [function, index, flags, 0, 0, ecx, 0, 0, 0, 0];
    let with = |more: &[[u32; 10]]| [&[address_width(48)], more].concat();
    let ok = Init::default();
    for (what, init, expected) in [
        ("as it should be", ok.clone(), Ok(0)),
        (
            "52 bits",
            Init {
                cpuid: vec![address_width(52)],
                ..ok.clone()
            },
            Ok(0),
        ),
        (
            "a configured leaf",
            Init {
                cpuid: with(&[leaf(7, 0, 1, 0x1000)]),
                ..ok.clone()
            },
            Ok(0),
        ),
        (
            "attributes",
            Init {
                attributes: 1,
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "xfam",
            Init {
                xfam: 1 << 8,
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "reserved",
            Init {
                reserved: 1,
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "padding",
            Init {
                padding: 1,
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "no width",
            Init {
                cpuid: vec![],
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "47 bits",
            Init {
                cpuid: vec![address_width(47)],
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "a leaf that is not configurable",
            Init {
                cpuid: with(&[leaf(2, 0, 0, 0)]),
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "a subleaf that is not configurable",
            Init {
                cpuid: with(&[leaf(7, 2, 1, 0)]),
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "a leaf twice",
            Init {
                cpuid: with(&[address_width(48)]),
                ..ok.clone()
            },
            Err(Errno::EINVAL),
        ),
        (
            "too many leaves",
            Init {
                cpuid: vec![address_width(48); 257],
                ..ok.clone()
            },
            Err(Errno::E2BIG),
        ),
    ] {
        for profile in KERNELS {
            let rig = Rig::new(Script::tdx(profile));
            assert_eq!(rig.init_vm(&init), (expected, 0), "{profile}: {what}");
            // A refused one has changed nothing, and a second one is refused.
            let again = if expected.is_ok() {
                Err(Errno::EINVAL)
            } else {
                Ok(0)
            };
            assert_eq!(
                rig.init_vm(&ok),
                (again, 0),
                "{profile}: {what}, then again"
            );
        }
    }
}

#[test]
fn a_bit_that_is_not_configurable_is_the_module_s_refusal() {
    let rig = Rig::new(Script::tdx(Profile::V6_18));
    // x2APIC, which every TD has.
    let features = [1, 0, 0, 0, 0, 1 << 21, 0, 0, 0, 0];
    let init = Init {
        cpuid: vec![address_width(48), features],
        ..Init::default()
    };
    let expected = (Err(Errno::EINVAL), 0xc000_0100_0000_0000);
    assert_eq!(rig.init_vm(&init), expected);
    assert_eq!(rig.init_vm(&Init::default()), (Ok(0), 0));
}

#[test]
fn init_vm_fails_as_each_step_of_it_does() {
    const MODULE: Effect = Effect::Module {
        status: 0xc000_0010_0000_0000,
        in_extend: false,
    };
    for (effect, expected) in [
        (Effect::NoHkid, (Err(Errno::ENOSPC), 0)),
        (MODULE, (Err(Errno::EIO), 0xc000_0010_0000_0000)),
        (Effect::Errno(libc::ENOMEM), (Err(Errno::ENOMEM), 0)),
    ] {
        let fault = Fault::at(Call::TdxInitVm, effect);
        let rig = Rig::new(Script::tdx(Profile::V6_19).with_fault(fault));
        assert_eq!(rig.init_vm(&Init::default()), expected, "{effect:?}");
        assert_eq!(rig.init_vm(&Init::default()), (Ok(0), 0), "{effect:?}");
    }
}

#[test]
fn the_script_says_what_a_td_can_be() {
    let mut script = Script::tdx(Profile::V6_18);
    script.tdx_attributes = 1;
    script.tdx_xfam = 7;
    let rig = Rig::new(script);
    assert_eq!(rig.init_vm(&Init::default()).0, Err(Errno::EINVAL));
    let init = Init {
        attributes: 1,
        xfam: 7,
        ..Init::default()
    };
    assert_eq!(rig.init_vm(&init).0, Ok(0));
}
