//! A real file: OVMF, wrapped for SEV-SNP by another project's tool.

use std::{env, path::Path};

use igvm::{
    IgvmDirectiveHeader as Directive, IgvmFile, measurement::generate_snp_measurement,
    snp_defs::SevVmsa,
};
use stagepages_digest::{
    PageType,
    snp::LaunchDigest,
    vmsa::{self, General, Registers},
};
use zerocopy::FromBytes as _;

use super::made::codes;
use crate::{
    image::{Input, Options, igvm::load},
    plan::registers,
    v1,
};

/// What sev-snp-measure 0.0.13 says of OVMF.amdsev.fd with one vCPU of type EPYC-v4 (README of the data).
const OVMF_MEASURED: &str = "d74bd3ea40b240c3228edc5177ce6193561ebff633dbd0be76d6c143b876d65102425c0e2e8a930857c48daa5eacda58";

/// The crate agrees once it is given the save area that KVM makes, where KVM measures it.
#[test]
#[expect(clippy::print_stderr, reason = "says that the file is not there")]
fn amdsev_snp_ends_in_what_the_igvm_crate_says_of_kvms_save_area() {
    let Some(folder) = env::var_os("STAGEPAGES_DATA") else {
        eprintln!("STAGEPAGES_DATA is not set: amdsev-snp.igvm was not looked at");
        return;
    };
    let input = Input::read(&Path::new(&folder).join("amdsev-snp.igvm")).unwrap();
    let plan = load(&input, &Options::default()).unwrap();
    assert_eq!(
        codes(&plan),
        [
            "HIGHEST_VTL",
            "VMSA_FIELD",
            "VMSA_FIELD",
            "VMSA_ORDER",
            "MEMORY_MAP",
            "CPUID_EMPTY"
        ]
    );
    let file = IgvmFile::new_from_binary(&input.bytes, None).unwrap();
    let digest = |directives: &[Directive]| {
        generate_snp_measurement(file.initializations(), directives, 2).unwrap()
    };
    let (mut last, mut pages): (Vec<_>, Vec<_>) = { file.directives().iter().cloned() }
        .partition(|it| matches!(it, Directive::SnpVpContext { .. }));
    for directive in &mut last {
        if let Directive::SnpVpContext { vmsa, .. } = directive {
            let kvm = vmsa::page(&registers(&plan.vcpus[0]).unwrap(), 1);
            **vmsa = SevVmsa::read_from_bytes(kvm.as_slice()).unwrap();
        }
    }
    pages.extend(last);
    assert_eq!(plan.digest().unwrap(), Some(digest(&pages)));
    assert_ne!(plan.digest().unwrap(), Some(digest(file.directives())));
}

/// The digest that the firmware has without the wrapper follows from the plan's own pages; what parts the two is what is changed here: the ROM comes
/// first and without its copy under 1 MiB, metadata sections are ZERO pages, no parameters are in them, and the vCPU is after reset.
#[test]
#[expect(clippy::print_stderr, reason = "says that the file is not there")]
fn amdsev_snp_has_the_pages_of_the_firmware_that_it_wraps() {
    let Some(folder) = env::var_os("STAGEPAGES_DATA") else {
        eprintln!("STAGEPAGES_DATA is not set: amdsev-snp.igvm was not looked at");
        return;
    };
    let input = Input::read(&Path::new(&folder).join("amdsev-snp.igvm")).unwrap();
    let plan = load(&input, &Options::default()).unwrap();
    let (rom, rest): (Vec<_>, Vec<_>) = plan
        .extents
        .iter()
        .partition(|it| it.gpa().bytes() == 0xffc0_0000);
    let mut digest = LaunchDigest::new();
    for extent in rom {
        extent
            .each_page(|gpa, page| digest.extend(gpa.bytes(), PageType::Normal, page))
            .unwrap();
    }
    // 0x810000, the hashes of a kernel, is last in the firmware's metadata.
    let mut sections: Vec<(u64, PageType)> = Vec::new();
    for extent in rest {
        extent
            .each_page(|gpa, _| {
                let page_type = match extent.page_type() {
                    v1::PageType::Secrets => PageType::Secrets,
                    v1::PageType::Cpuid => PageType::Cpuid,
                    v1::PageType::Normal
                    | v1::PageType::Zero
                    | v1::PageType::Unmeasured
                    | v1::PageType::Unspecified => PageType::Zero,
                };
                sections.push((gpa.bytes(), page_type));
            })
            .unwrap();
    }
    sections.retain(|(gpa, _)| *gpa >= 0x80_0000);
    sections.sort_by_key(|(gpa, _)| (*gpa == 0x81_0000, *gpa));
    for (gpa, page_type) in sections {
        digest.extend(gpa, page_type, None);
    }
    let reset = Registers::reset();
    let epyc_v4 = Registers {
        general: General {
            rdx: 0x80_0f12,
            ..reset.general
        },
        ..reset
    };
    digest.extend_vmsa(&vmsa::page(&epyc_v4, 1));
    assert_eq!(
        format!("{digest:?}"),
        format!("LaunchDigest({OVMF_MEASURED})")
    );
}
