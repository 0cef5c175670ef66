//! The launch digest that a launch is expected to end in, from that of its pages: by the model's own save areas and a hash of ours.
//!
//! **Invariant:** shares no code with the product.
use sha2::{Digest as _, Sha384};
use stagepages_kernel_model::{snp::vmsa, vcpu::Vcpu};

/// SEV_FEATURES of a launch that asks for none.
pub const SNP_ACTIVE: u64 = 1;

/// SNP's launch digest of pages, with the save areas of so many vCPUs behind it, each as reset leaves it (kernel.md, section 8.1).
#[must_use]
pub fn with_vcpus_at_reset(pages: [u8; 48], vcpus: u32, features: u64) -> [u8; 48] {
    (0..vcpus).fold(pages, |digest, index| {
        // The host sets every register, those of a reset too.
        let vcpu = Vcpu {
            segments_set: true,
            ..Vcpu::new(index)
        };
        let page = vmsa(&vcpu, features);
        with_save_area(digest, &page)
    })
}

/// One save area more: {digest_cur[48], contents[48], length u16, page_type u8, …, gpa u64@0x68}.
fn with_save_area(digest: [u8; 48], page: &[u8; 4096]) -> [u8; 48] {
    let mut info = Vec::with_capacity(0x70);
    info.extend(digest);
    info.extend(Sha384::digest(page));
    info.extend([0x70, 0, 2, 0, 0, 0, 0, 0]);
    info.extend(0xffff_ffff_f000_u64.to_le_bytes());
    assert_eq!(info.len(), 0x70);
    Sha384::digest(info).into()
}
