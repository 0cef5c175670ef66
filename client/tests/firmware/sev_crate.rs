//! The digest of a plan against an independent calculator, the `sev` crate, which reads the same files by itself.
//!
//! The script `tests/oracles/sev_snp_measure.py` makes the same comparison with sev-snp-measure.
//!
//! **Invariant:** every digest compared here comes from files that both read; neither is told anything by the other.

use std::path::{Path, PathBuf};

use sev::measurement::{
    snp::{SnpMeasurementArgs, snp_calc_launch_digest},
    vcpu_types,
    vmsa::{GuestFeatures, VMMType},
};
use stagepages_client::{
    cpu_type::CpuType,
    image::{Input, Options, SevSnpOptions, ovmf},
    v1::Platform,
};

use crate::image::{Image, data_folder};

const TYPES: [&str; 3] = ["EPYC-v4", "EPYC-Milan", "EPYC-Genoa"];
const COMMAND_LINE: &str = "console=ttyS0 root=/dev/vda1";

/// A kernel and what goes with it.
#[derive(Clone, Copy, Debug)]
struct Boot<'a> {
    kernel: Option<&'a Path>,
    initrd: Option<&'a Path>,
    append: Option<&'a str>,
}

impl Boot<'_> {
    const NONE: Self = Boot {
        kernel: None,
        initrd: None,
        append: None,
    };
}

fn check(image: &Path, vcpus: u32, cpu: &str, features: u64, boot: Boot<'_>) {
    let theirs: Vec<u8> = snp_calc_launch_digest(SnpMeasurementArgs {
        vcpus,
        vcpu_type: vcpu_types::CpuType::try_from(cpu).unwrap(),
        ovmf_file: image.to_owned(),
        guest_features: GuestFeatures(features),
        kernel_file: boot.kernel.map(PathBuf::from),
        initrd_file: boot.initrd.map(PathBuf::from),
        append: boot.append,
        ovmf_hash_str: None,
        vmm_type: Some(VMMType::QEMU),
    })
    .unwrap()
    .try_into()
    .unwrap();

    let open = |path: Option<&Path>| path.map(|it| Input::read(it).unwrap());
    let options = Options {
        platform: Some(Platform::SevSnp),
        vcpus: Some(vcpus),
        cpu_signature: Some(cpu.parse::<CpuType>().unwrap().signature()),
        sev_snp: SevSnpOptions {
            vmsa_features: Some(features),
            ..SevSnpOptions::default()
        },
        kernel: open(boot.kernel),
        initrd: open(boot.initrd),
        append: boot.append.map(str::to_owned),
        ..Options::default()
    };
    let plan = ovmf::load(&Input::read(image).unwrap(), &options).unwrap();
    let ours = plan.digest().unwrap().unwrap();
    assert!(
        ours[..] == theirs,
        "{} with {vcpus} vCPUs {cpu}, {boot:?}: {ours:02x?}, the sev crate has {theirs:02x?}",
        image.display()
    );
}

fn check_without_kernel(image: &Path) {
    for vcpus in 1..=8 {
        for cpu in TYPES {
            check(image, vcpus, cpu, 1, Boot::NONE);
        }
    }
    check(image, 2, "EPYC-Turin", 0x21, Boot::NONE);
}

fn check_with_kernel(image: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let [kernel, initrd] = ["kernel", "initrd"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, name.repeat(1000)).unwrap();
        path
    });
    for initrd in [None, Some(initrd.as_path())] {
        for append in [None, Some(COMMAND_LINE)] {
            let boot = Boot {
                kernel: Some(&kernel),
                initrd,
                append,
            };
            for (vcpus, cpu) in (1..=8).zip(TYPES.into_iter().cycle()) {
                check(image, vcpus, cpu, 1, boot);
            }
        }
    }
}

#[test]
fn debians_ovmf_ends_in_the_digest_of_the_sev_crate() {
    check_without_kernel(Path::new("/usr/share/ovmf/OVMF.fd"));
}

#[test]
fn an_image_with_every_section_ends_in_the_digest_of_the_sev_crate() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::write(&image, Image::sev().bytes()).unwrap();
    check_without_kernel(&image);
    check_with_kernel(&image);
}

#[test]
fn the_images_of_the_data_folder_end_in_the_digest_of_the_sev_crate() {
    let Some(folder) = data_folder() else {
        return;
    };
    let image = folder.join("OVMF.amdsev.fd");
    check_without_kernel(&image);
    check_with_kernel(&image);
}
