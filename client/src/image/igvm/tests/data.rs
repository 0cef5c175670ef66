//! A real file: OVMF, wrapped for SEV-SNP by another project's tool.

use std::{env, path::Path};

use igvm::{
    IgvmDirectiveHeader as Directive, IgvmFile, measurement::generate_snp_measurement,
    snp_defs::SevVmsa,
};
use stagepages_digest::vmsa;
use zerocopy::FromBytes as _;

use super::made::codes;
use crate::{
    image::{Input, Options, igvm::load},
    plan::registers,
};

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
