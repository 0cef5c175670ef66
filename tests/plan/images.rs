//! The images, by platform, as `stagectl` is given them.
//!
//! **Invariant:** each format is among the images of each platform that it is for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use stagepages_proto::v1::Platform;
use stagepages_tests::{amd_firmware, bzimage, elf, igvm, intel_firmware, say};

/// The firmware that Debian's package `ovmf` installs.
const DEBIAN: &str = "/usr/share/ovmf/OVMF.fd";

/// A raw image, its pages out of order and of several types, for any platform.
const MANIFEST: &str = r#"
version = 1
memory = ["0x0+1M", "0x40000000+64K"]

[[extent]]
gpa = "0x40000000"
type = "normal"
file = "raw"
length = "8K"

[[extent]]
gpa = "0x1000"
type = "normal"
file = "raw"
offset = "8K"
pad = true

[[extent]]
gpa = "0x8000"
type = "zero"
length = "16K"

[[extent]]
gpa = "0x10000"
type = "unmeasured"
file = "raw"
length = "4K"

[[extent]]
gpa = "0x20000"
type = "normal"
length = "12K"
"#;

/// An image, and what it is planned with.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: &'static str,
    /// The file, and options of `plan`, `digest`, `stage` and `diff` beside the platform.
    pub(crate) arguments: Vec<String>,
}

/// The images of `platform`, in files of `directory`.
pub(crate) fn images(platform: Platform, directory: &Path) -> Vec<Planned> {
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let planned = |name, path: &PathBuf, options: &[&str]| Planned {
        name,
        arguments: [path.to_str().unwrap()]
            .iter()
            .chain(options)
            .map(ToString::to_string)
            .collect(),
    };
    let raw: Vec<u8> = (0..20_000_u32)
        .map(|at| u8::try_from(at * 11 % 251).unwrap())
        .collect();
    let raw = file("raw", &raw);
    let raw = raw.to_str().unwrap();
    let manifest = file("image.toml", MANIFEST.as_bytes());
    let all = file("all.igvm", &igvm(3));
    // A loop that ends at once, in whatever mode.
    let hlt = [0xf4, 0xeb, 0xfd];
    let mut images = vec![
        planned("a manifest", &manifest, &[]),
        planned("an IGVM file", &all, &[]),
    ];
    let snp = |images: &mut Vec<Planned>| {
        let amd = file("amd.fd", &amd_firmware(5));
        images.push(planned("firmware with SEV metadata", &amd, &[]));
        let typed = &["--vcpus", "3", "--vcpu-type", "EPYC-Milan"];
        images.push(planned("the same for three vCPUs", &amd, typed));
        let kernel = &[
            "--kernel",
            raw,
            "--initrd",
            raw,
            "--append",
            "console=ttyS0",
        ];
        images.push(planned("the same with a kernel", &amd, kernel));
        if Path::new(DEBIAN).exists() {
            let options = &["--vcpu-type", "EPYC-v4", "--vcpus", "2"];
            images.push(planned("Debian's OVMF", &DEBIAN.into(), options));
        } else {
            say(&format!(
                "not tested here: {DEBIAN}, of package ovmf, is missing"
            ));
        }
    };
    let kernels = |images: &mut Vec<Planned>| {
        let elf = file("hlt.elf", &elf(&hlt));
        images.push(planned("an ELF executable", &elf, &[]));
        let kernel = file("hlt.bzimage", &bzimage(&hlt));
        let options = &["--initrd", raw, "--append", "quiet", "--memory", "0x0+64M"];
        images.push(planned("a bzImage", &kernel, options));
    };
    match platform {
        Platform::Sim => {
            snp(&mut images);
            kernels(&mut images);
        }
        Platform::SevSnp => snp(&mut images),
        Platform::Kvm => kernels(&mut images),
        Platform::Tdx => {
            let intel = file("intel.fd", &intel_firmware(5));
            images.push(planned("firmware with TDX metadata", &intel, &[]));
            images.push(planned("the same for two vCPUs", &intel, &["--vcpus", "2"]));
        }
        Platform::Unspecified => panic!("no platform"),
    }
    images
}
