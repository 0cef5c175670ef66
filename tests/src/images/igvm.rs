//! An IGVM file for SEV-SNP, TDX and plain KVM at once, written by the crate that defines the format.

use igvm::{
    IgvmDirectiveHeader, IgvmFile, IgvmInitializationHeader, IgvmPlatformHeader, IgvmRevision,
    snp_defs::{SevSelector, SevVmsa},
};
use igvm_defs::{
    IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_SUPPORTED_PLATFORM,
    IgvmNativeVpContextX64, IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
};
use zerocopy::FromZeros as _;

const NATIVE: u32 = 1;
const SNP: u32 = 2;
const TDX: u32 = 4;
const ALL: u32 = NATIVE | SNP | TDX;

/// Where KVM says that save areas are.
const VMSA_GPA: u64 = 0xffff_ffff_f000;

/// Pages of every kind, a parameter area, memory that has to be there, and two vCPUs. `seed` changes its contents.
///
/// # Panics
/// Never, unless the crate takes no such file.
#[must_use]
pub fn igvm(seed: u8) -> Vec<u8> {
    let platforms = [
        (NATIVE, IgvmPlatformType::NATIVE),
        (SNP, IgvmPlatformType::SEV_SNP),
        (TDX, IgvmPlatformType::TDX),
    ];
    let policy = |compatibility_mask, policy| IgvmInitializationHeader::GuestPolicy {
        policy,
        compatibility_mask,
    };
    let file = IgvmFile::new(
        IgvmRevision::V1,
        platforms.map(|(mask, kind)| platform(mask, kind)).into(),
        vec![policy(SNP, 0x3_0000), policy(TDX, 0)],
        directives(seed),
    );
    let mut bytes = Vec::new();
    let file = file.expect("a file by the rules");
    file.serialize(&mut bytes).expect("a file by the rules");
    bytes
}

fn platform(compatibility_mask: u32, platform_type: IgvmPlatformType) -> IgvmPlatformHeader {
    IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask,
        highest_vtl: 0,
        platform_type,
        platform_version: 1,
        shared_gpa_boundary: 0,
    })
}

fn directives(seed: u8) -> Vec<IgvmDirectiveHeader> {
    let unmeasured = IgvmPageDataFlags::new().with_unmeasured(true);
    let measured = IgvmPageDataFlags::new();
    let page = |gpa: u64, mask, flags, data_type, data: Vec<u8>| IgvmDirectiveHeader::PageData {
        gpa,
        compatibility_mask: mask,
        flags,
        data_type,
        data,
    };
    let filled = |nth: u8| vec![seed ^ nth; 4096];
    let normal = IgvmPageDataType::NORMAL;
    let mut all = vec![
        IgvmDirectiveHeader::RequiredMemory {
            gpa: 0,
            compatibility_mask: ALL,
            number_of_bytes: 0x20_0000,
            vtl2_protectable: false,
        },
        page(0x10_0000, ALL, measured, normal, filled(1)),
        page(0x10_1000, ALL, measured, normal, filled(2)),
        page(0x10_2000, ALL, measured, normal, Vec::new()),
        // Less than a page.
        page(0x10_3000, ALL, measured, normal, vec![seed; 100]),
        page(0x10_4000, ALL, unmeasured, normal, filled(3)),
        page(0x9000, ALL, measured, normal, filled(4)),
        page(0xa000, SNP, measured, IgvmPageDataType::SECRETS, Vec::new()),
        page(
            0xb000,
            SNP,
            measured,
            IgvmPageDataType::CPUID_DATA,
            Vec::new(),
        ),
        IgvmDirectiveHeader::ParameterArea {
            number_of_bytes: 0x1000,
            parameter_area_index: 0,
            initial_data: Vec::new(),
        },
        IgvmDirectiveHeader::VpCount(IGVM_VHS_PARAMETER {
            parameter_area_index: 0,
            byte_offset: 8,
        }),
        IgvmDirectiveHeader::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: 0xc000,
            compatibility_mask: ALL,
            parameter_area_index: 0,
        }),
    ];
    for vp_index in 0..2 {
        all.push(IgvmDirectiveHeader::SnpVpContext {
            gpa: VMSA_GPA,
            compatibility_mask: SNP,
            vp_index,
            vmsa: Box::new(save_area(vp_index)),
        });
    }
    all.push(IgvmDirectiveHeader::X64NativeVpContext {
        compatibility_mask: NATIVE,
        vp_index: 0,
        context: Box::new(native()),
    });
    all
}

/// The state after reset but for where the code is, as KVM would measure it.
fn save_area(vp_index: u16) -> SevVmsa {
    let segment = |selector, attrib: u16, base| SevSelector {
        selector,
        attrib,
        limit: 0xffff,
        base,
    };
    let mut save = SevVmsa::new_zeroed();
    let data = segment(0, 0x93, 0);
    save.es = data;
    save.ss = data;
    save.ds = data;
    save.fs = data;
    save.gs = data;
    save.cs = segment(0x1000, 0x9b, 0x1_0000);
    save.gdtr = segment(0, 0, 0);
    save.idtr = segment(0, 0, 0);
    save.ldtr = segment(0, 0x82, 0);
    save.tr = segment(0, 0x8b, 0);
    save.efer = 0x1000;
    save.cr4 = 0x40;
    save.cr0 = 0x10;
    save.dr7 = 0x400;
    save.dr6 = 0xffff_0ff0;
    save.rflags = 2;
    save.rip = 0x100 + 0x10 * u64::from(vp_index);
    save.pat = 0x0007_0406_0007_0406;
    save.rdx = 0x80_0f12;
    save.sev_features = 1.into();
    save.xcr0 = 1;
    save.mxcsr = 0x1f80;
    save.x87_fcw = 0x37f;
    save
}

/// 64-bit code at the first page.
fn native() -> IgvmNativeVpContextX64 {
    let mut context = IgvmNativeVpContextX64::new_zeroed();
    context.rip = 0x10_0000;
    context.rsp = 0x9000;
    context.cr3 = 0x9000;
    context.cr0 = 0x8000_0011;
    context.cr4 = 0x20;
    context.efer = 0x500;
    context.rflags = 2;
    context.code_selector = 8;
    context.code_attributes = 0xa09b;
    context.code_limit = u32::MAX;
    context.data_selector = 0x10;
    context.data_attributes = 0xc093;
    context.data_limit = u32::MAX;
    context
}
