//! SEV-SNP: the layouts of kvm-bindings, checked against Linux 7.1.
//!
//! **Invariant:** no struct here has bytes that no field covers, so a value with zero padding is a structure with zero padding.

use std::mem::{offset_of, size_of};

use kvm_bindings::{
    kvm_sev_cmd, kvm_sev_init, kvm_sev_snp_launch_finish, kvm_sev_snp_launch_start,
    kvm_sev_snp_launch_update,
};

/// `KVM_X86_GRP_SEV`: the group of SEV's attributes on the descriptor of `/dev/kvm`.
pub(crate) const KVM_X86_GRP_SEV: u32 = kvm_bindings::KVM_X86_GRP_SEV;

/// `KVM_X86_SEV_VMSA_FEATURES`: the features that a VMSA may have.
pub(crate) const KVM_X86_SEV_VMSA_FEATURES: u32 = kvm_bindings::KVM_X86_SEV_VMSA_FEATURES;

/// The policy bits of SNP that KVM takes, Linux 6.19. kvm-bindings does not have it.
pub(crate) const KVM_X86_SNP_POLICY_BITS: u32 = 1;

const _: () = {
    assert!(KVM_X86_GRP_SEV == 1);
    assert!(KVM_X86_SEV_VMSA_FEATURES == 0);
    assert!(kvm_bindings::sev_cmd_id_KVM_SEV_INIT2 == 22);
    assert!(kvm_bindings::sev_cmd_id_KVM_SEV_SNP_LAUNCH_START == 100);
    assert!(kvm_bindings::sev_cmd_id_KVM_SEV_SNP_LAUNCH_UPDATE == 101);
    assert!(kvm_bindings::sev_cmd_id_KVM_SEV_SNP_LAUNCH_FINISH == 102);
};

const _: () = {
    assert!(size_of::<kvm_sev_cmd>() == 24);
    assert!(offset_of!(kvm_sev_cmd, id) == 0);
    assert!(offset_of!(kvm_sev_cmd, pad0) == 4);
    assert!(offset_of!(kvm_sev_cmd, data) == 8);
    assert!(offset_of!(kvm_sev_cmd, error) == 16);
    assert!(offset_of!(kvm_sev_cmd, sev_fd) == 20);
};

const _: () = {
    assert!(size_of::<kvm_sev_init>() == 48);
    assert!(offset_of!(kvm_sev_init, vmsa_features) == 0);
    assert!(offset_of!(kvm_sev_init, flags) == 8);
    assert!(offset_of!(kvm_sev_init, ghcb_version) == 12);
    assert!(offset_of!(kvm_sev_init, pad1) == 14);
    assert!(offset_of!(kvm_sev_init, pad2) == 16);
};

const _: () = {
    assert!(size_of::<kvm_sev_snp_launch_start>() == 64);
    assert!(offset_of!(kvm_sev_snp_launch_start, policy) == 0);
    assert!(offset_of!(kvm_sev_snp_launch_start, gosvw) == 8);
    assert!(offset_of!(kvm_sev_snp_launch_start, flags) == 24);
    assert!(offset_of!(kvm_sev_snp_launch_start, pad0) == 26);
    assert!(offset_of!(kvm_sev_snp_launch_start, pad1) == 32);
};

const _: () = {
    assert!(size_of::<kvm_sev_snp_launch_update>() == 64);
    assert!(offset_of!(kvm_sev_snp_launch_update, gfn_start) == 0);
    assert!(offset_of!(kvm_sev_snp_launch_update, uaddr) == 8);
    assert!(offset_of!(kvm_sev_snp_launch_update, len) == 16);
    assert!(offset_of!(kvm_sev_snp_launch_update, type_) == 24);
    assert!(offset_of!(kvm_sev_snp_launch_update, pad0) == 25);
    assert!(offset_of!(kvm_sev_snp_launch_update, flags) == 26);
    assert!(offset_of!(kvm_sev_snp_launch_update, pad1) == 28);
    assert!(offset_of!(kvm_sev_snp_launch_update, pad2) == 32);
};

const _: () = {
    assert!(size_of::<kvm_sev_snp_launch_finish>() == 88);
    assert!(offset_of!(kvm_sev_snp_launch_finish, id_block_uaddr) == 0);
    assert!(offset_of!(kvm_sev_snp_launch_finish, id_auth_uaddr) == 8);
    assert!(offset_of!(kvm_sev_snp_launch_finish, id_block_en) == 16);
    assert!(offset_of!(kvm_sev_snp_launch_finish, auth_key_en) == 17);
    assert!(offset_of!(kvm_sev_snp_launch_finish, vcek_disabled) == 18);
    assert!(offset_of!(kvm_sev_snp_launch_finish, host_data) == 19);
    assert!(offset_of!(kvm_sev_snp_launch_finish, pad0) == 51);
    assert!(offset_of!(kvm_sev_snp_launch_finish, flags) == 54);
    assert!(offset_of!(kvm_sev_snp_launch_finish, pad1) == 56);
};
