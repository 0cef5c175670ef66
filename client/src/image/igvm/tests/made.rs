//! Files made of headers.

use igvm::{
    Arch, IgvmDirectiveHeader as Directive, IgvmFile, IgvmInitializationHeader as Initialization,
    IgvmPlatformHeader, IgvmRevision, snp_defs::SevVmsa,
};
use igvm_defs::{
    IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_SUPPORTED_PLATFORM, IgvmPageDataFlags,
    IgvmPageDataType as Type, IgvmPlatformType,
};
use stagepages_digest::{
    snp::VMSA_GPA,
    vmsa::{self, General, Registers},
};
use zerocopy::FromBytes as _;

use crate::{
    image::{ImageError, Input, Options, igvm::load},
    plan::Plan,
};

pub(super) const SNP: u32 = 1;
pub(super) const TDX: u32 = 2;
pub(super) const NATIVE: u32 = 4;

/// A file with a platform header for each mask in `masks`, and a policy for SEV-SNP.
pub(super) fn file(masks: u32, directives: Vec<Directive>) -> IgvmFile {
    let known = [
        (SNP, IgvmPlatformType::SEV_SNP),
        (TDX, IgvmPlatformType::TDX),
        (NATIVE, IgvmPlatformType::NATIVE),
    ];
    let platforms = { known.into_iter() }
        .filter(|(mask, _)| mask & masks != 0)
        .map(|(mask, kind)| platform(mask, kind))
        .collect();
    let policy = Initialization::GuestPolicy {
        policy: 0x3_0000,
        compatibility_mask: SNP,
    };
    let starts = if masks & SNP == 0 {
        vec![]
    } else {
        vec![policy]
    };
    with(platforms, starts, directives)
}

pub(super) fn with(
    platforms: Vec<IgvmPlatformHeader>,
    starts: Vec<Initialization>,
    directives: Vec<Directive>,
) -> IgvmFile {
    let revision = IgvmRevision::V2 {
        arch: Arch::X64,
        page_size: 4096,
    };
    IgvmFile::new(revision, platforms, starts, directives).unwrap()
}

pub(super) fn platform(mask: u32, kind: IgvmPlatformType) -> IgvmPlatformHeader {
    IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: mask,
        highest_vtl: 0,
        platform_type: kind,
        platform_version: 1,
        shared_gpa_boundary: 0,
    })
}

pub(super) fn bytes(file: &IgvmFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.serialize(&mut bytes).unwrap();
    bytes
}

pub(super) fn plan(bytes: Vec<u8>, options: &Options) -> Result<Plan, ImageError> {
    let input = Input {
        name: "test.igvm".to_owned(),
        bytes: bytes.into(),
    };
    load(&input, options)
}

pub(super) fn planned(file: &IgvmFile) -> Plan {
    plan(bytes(file), &Options::default()).unwrap()
}

pub(super) fn page_of(
    mask: u32,
    gpa: u64,
    data_type: Type,
    flags: IgvmPageDataFlags,
    data: &[u8],
) -> Directive {
    Directive::PageData {
        gpa,
        compatibility_mask: mask,
        flags,
        data_type,
        data: data.to_vec(),
    }
}

pub(super) fn page(mask: u32, gpa: u64, data: &[u8]) -> Directive {
    page_of(mask, gpa, Type::NORMAL, IgvmPageDataFlags::new(), data)
}

pub(super) fn unmeasured(mask: u32, gpa: u64, data: &[u8]) -> Directive {
    let flags = IgvmPageDataFlags::new().with_unmeasured(true);
    page_of(mask, gpa, Type::NORMAL, flags, data)
}

pub(super) fn shared(mask: u32, gpa: u64, data: &[u8]) -> Directive {
    let flags = IgvmPageDataFlags::new().with_shared(true);
    page_of(mask, gpa, Type::NORMAL, flags, data)
}

pub(super) fn area(index: u32, bytes: u64, initial: &[u8]) -> Directive {
    Directive::ParameterArea {
        number_of_bytes: bytes,
        parameter_area_index: index,
        initial_data: initial.to_vec(),
    }
}

pub(super) fn parameter(index: u32, byte_offset: u32) -> IGVM_VHS_PARAMETER {
    IGVM_VHS_PARAMETER {
        parameter_area_index: index,
        byte_offset,
    }
}

pub(super) fn insert(mask: u32, index: u32, gpa: u64) -> Directive {
    Directive::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa,
        compatibility_mask: mask,
        parameter_area_index: index,
    })
}

/// The save area that KVM makes of 64-bit registers that differ by vCPU.
pub(super) fn save_area(index: u16) -> SevVmsa {
    let general = General {
        rip: 0x10_0000 + u64::from(index),
        rsp: 0x9000,
        rsi: 0x7000,
        r15: 15,
        ..General::default()
    };
    let page = vmsa::page(&Registers::long_mode(0x1000, &general), 1);
    SevVmsa::read_from_bytes(page.as_slice()).unwrap()
}

pub(super) fn snp_context(index: u16, vmsa: SevVmsa) -> Directive {
    Directive::SnpVpContext {
        gpa: VMSA_GPA,
        compatibility_mask: SNP,
        vp_index: index,
        vmsa: Box::new(vmsa),
    }
}

pub(super) fn codes(plan: &Plan) -> Vec<&'static str> {
    plan.findings.iter().map(|finding| finding.code).collect()
}
