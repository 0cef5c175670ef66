use proptest::prelude::*;

use super::*;
use crate::{
    image::testing::{self, put},
    v1::{Platform, vcpu_state::State},
};

const SETUP: usize = 3 * 512;
const PREFERRED: u64 = 0x100_0000;

/// A kernel of 0x280 bytes that wants 128 KiB at 16 MiB.
fn small() -> Vec<u8> {
    let mut file = vec![0; SETUP];
    file.extend([0xf4; 0x280]);
    put(&mut file, 0x1f1, &[2]);
    put(&mut file, 0x1f4, &[0x28]);
    put(&mut file, 0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(&mut file, 0x202, b"HdrS\x0f\x02");
    put(&mut file, 0x211, &[1]);
    put(&mut file, 0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(&mut file, 0x230, &0x20_0000_u32.to_le_bytes());
    put(&mut file, 0x234, &[1, 21, 1]);
    put(&mut file, 0x238, &[255]);
    put(&mut file, 0x258, &PREFERRED.to_le_bytes());
    put(&mut file, 0x260, &0x2_0000_u32.to_le_bytes());
    file
}

fn planned(file: Vec<u8>, options: &Options) -> Result<Plan, ImageError> {
    load(&testing::input(file), options)
}

fn refused(file: Vec<u8>) -> String {
    planned(file, &Options::default()).unwrap_err().to_string()
}

fn in_memory(memory: &[&str]) -> Options {
    Options {
        memory: memory.iter().map(|it| it.parse().unwrap()).collect(),
        ..Options::default()
    }
}

fn entry(plan: &Plan) -> u64 {
    let Some(State::Registers(registers)) = plan.vcpus[0].state else {
        panic!("{:?}", plan.vcpus);
    };
    registers.rip
}

/// `boot_params`.
fn params(plan: &Plan) -> Vec<u8> {
    let mut page = Vec::new();
    let found = plan
        .extents
        .iter()
        .find(|it| it.name() == "boot_params")
        .unwrap();
    found
        .each_page(|_, bytes| page = bytes.unwrap().to_vec())
        .unwrap();
    page
}

#[test]
fn a_kernel_is_loaded_where_it_prefers_with_its_own_header_in_boot_params() {
    let mut file = small();
    file.extend(b"a signature, which is not loaded");
    let plan = planned(file.clone(), &Options::default()).unwrap();
    assert_eq!(plan.format, "Linux bzImage, protocol 2.15");
    assert_eq!(
        (plan.platform, entry(&plan)),
        (Platform::Kvm, PREFERRED + 0x200)
    );
    let kernel = plan.extents.last().unwrap();
    let Contents::Bytes(bytes) = kernel.contents() else {
        panic!("{kernel:?}");
    };
    assert_eq!(
        (kernel.gpa().bytes(), &bytes[..]),
        (PREFERRED, &[0xf4; 0x280][..])
    );
    assert_eq!(plan.memory, ["0x0+256M".parse().unwrap()]);
    let params = params(&plan);
    assert_eq!((params[0x1e8], params[0x210]), (1, 0xff));
    assert_eq!(params[0x211], file[0x211]);
    assert_eq!(params[0x214..0x218], 0x100_0000_u32.to_le_bytes());
    assert_eq!(params[0x22c..0x264], file[0x22c..0x264]);
    assert!(params[0x264..0x2d0].iter().all(|byte| *byte == 0));
    assert_eq!(plan.findings[0].code, "NO_INTERRUPT_CONTROLLER");
}

#[test]
fn a_kernel_that_can_be_moved_is_moved_up_and_never_down() {
    for (memory, at) in [
        (&["0x0+64M"][..], PREFERRED),
        (&["0x0+1M", "0x1010000+64M"], 0x120_0000),
        (&["0x0+1M", "0x100001000+64M"], 0),
        (&["0x0+16M"], 0),
        (&["0x0+0x1010000"], 0),
    ] {
        match planned(small(), &in_memory(memory)) {
            Ok(plan) => {
                assert_eq!(entry(&plan), at + 0x200);
                let moved = plan.findings.iter().any(|it| it.code == "RELOCATED");
                assert_eq!(moved, at != PREFERRED);
            }
            Err(error) => assert!(
                at == 0 && error.to_string().contains("0x20000 bytes at GPA 0x1000000"),
                "{error}"
            ),
        }
    }
    let mut fixed = small();
    fixed[0x234] = 0;
    let error = planned(fixed, &in_memory(&["0x0+1M", "0x1010000+64M"])).unwrap_err();
    assert!(error.to_string().contains("not relocatable"), "{error}");
}

#[test]
fn an_initrd_is_as_high_as_the_kernel_takes_it() {
    let with = |memory: &[&str]| Options {
        initrd: Some(testing::input(vec![7; 0x1800])),
        append: Some("quiet".to_owned()),
        ..in_memory(memory)
    };
    let place = |options| {
        let plan = planned(small(), &options).unwrap();
        testing::assert_sound(&plan);
        u32::from_le_bytes(params(&plan)[0x218..0x21c].try_into().unwrap())
    };
    assert_eq!(place(with(&["0x0+64M"])), 0x3ff_e000);
    assert_eq!(place(with(&["0x0+4G"])), 0x7fff_e000);
    assert_eq!(
        place(with(&["0x0+0x1020000"])),
        0xff_e000,
        "not over what the kernel needs"
    );
    let mut low = small();
    put(&mut low, 0x22c, &0x37_ffff_u32.to_le_bytes());
    let plan = planned(low, &with(&["0x0+64M"])).unwrap();
    assert_eq!(params(&plan)[0x218..0x21c], 0x37_e000_u32.to_le_bytes());
}

#[test]
fn a_command_line_is_as_long_as_the_kernel_says() {
    let with = |length| Options {
        append: Some("a".repeat(length)),
        ..Options::default()
    };
    planned(small(), &with(255)).unwrap();
    let error = planned(small(), &with(256)).unwrap_err().to_string();
    assert!(
        error.contains("0x100 bytes") && error.contains("at most 0xff"),
        "{error}"
    );
}

#[test]
fn only_kvm_and_sim_take_a_kernel_alone() {
    for (platform, says) in [(Platform::SevSnp, "--kernel"), (Platform::Tdx, "TDVF")] {
        let options = Options {
            platform: Some(platform),
            ..Options::default()
        };
        let error = planned(small(), &options).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A change to a good file, and what is said of it.
type Spoilt = (fn(&mut Vec<u8>), &'static [&'static str]);

#[test]
fn lies_are_named_with_their_offsets() {
    let cases: [Spoilt; 15] = [
        (|f| f[0x202] = 0, &["at offset 0x202", "HdrS"]),
        (|f| f[0x206] = 0xb, &["at offset 0x206", "2.11", "2.12"]),
        (|f| f[0x201] = 0x10, &["at offset 0x201", "0x212"]),
        (|f| f[0x211] = 0, &["at offset 0x211", "zImage"]),
        (|f| f[0x236] = 2, &["at offset 0x236", "CONFIG_X86_64"]),
        (
            |f| f[0x1f4] = 0x29,
            &[
                "at offset 0x1f4",
                "0x290 bytes of code from offset 0x600",
                "0x880",
            ],
        ),
        (|f| f[0x1f7] = 0xff, &["at offset 0x1f4", "whole"]),
        (|f| f[0x1f4] = 0x20, &["at offset 0x1f4", "0x200 bytes"]),
        (|f| f[0x1f1] = 0, &["at offset 0x1f4", "offset 0xa00"]),
        (|f| f[0x262] = 0, &["at offset 0x260", "init_size"]),
        (
            |f| f[0x258] = 1,
            &["at offset 0x258", "pref_address 0x1000001"],
        ),
        (|f| f[0x25c] = 1, &["at offset 0x258", "4 GiB"]),
        (|f| f[0x25f] = 0xff, &["at offset 0x258", "4 GiB"]),
        (
            |f| f[0x263] = 0xff,
            &["at offset 0x258", "0xff020000 bytes"],
        ),
        (|f| f.truncate(0x300), &["at offset 0x1f4", "whole"]),
    ];
    for (spoil, says) in cases {
        let mut file = small();
        spoil(&mut file);
        let error = refused(file);
        assert!(
            says.iter().all(|it| error.contains(it)),
            "{says:?}: {error}"
        );
    }
    let mut file = small();
    file[0x230] = 3;
    let error = planned(file, &in_memory(&["0x0+1M", "0x1010000+64M"])).unwrap_err();
    assert!(error.to_string().contains("at offset 0x230"), "{error}");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let file = small();
    for end in 0..file.len() {
        let error = refused(file[..end].to_vec());
        assert!(
            error.contains("bzImage setup header at offset"),
            "{end:#x}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_is_flipped_a_plan_is_sound(
        flips in prop::collection::vec((0x1f1..0x270_usize, any::<u8>()), 1..6),
        initrd in any::<bool>(),
        given in any::<bool>(),
    ) {
        let mut file = small();
        for (at, value) in flips {
            file[at] = value;
        }
        let options = Options {
            initrd: initrd.then(|| testing::input(vec![1; 0x3000])),
            ..in_memory(if given { &["0x0+1M", "0x1010000+64M"] } else { &[] })
        };
        if let Ok(plan) = planned(file, &options) {
            testing::assert_sound(&plan);
            prop_assert!(testing::held(&plan) <= 0x4000 + 600 * PAGE_BYTES);
        }
    }
}
