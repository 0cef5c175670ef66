//! What keeps an SNP launch from being finished.
//!
//! The VMSA of every vCPU is measured first, so that whatever fails after that is final, and from outside nobody can tell whether it was after (kernel.md, section 2.6).
//!
//! **Invariant:** LAUNCH_FINISH is asked for once.
use stagepages_kernel_model::{Call, Effect, Fault, Profile};
use stagepages_proto::v1::SevSnpFinish;

use crate::faults::row::{
    After, DIGEST_MISMATCH, Expect, FIRMWARE_REFUSED, INVALID_LAUNCH, KERNEL_REFUSED, Row, clean,
    done, firmware, over,
};
use crate::faults::staged::OWN_DIGEST;

const FINISH: &str = "snp_launch_finish(), arch/x86/kvm/svm/sev.c";
const VMSA: &str = "snp_launch_update_vmsa(), arch/x86/kvm/svm/sev.c";
const ISSUE: &str = "__sev_issue_cmd(), arch/x86/kvm/svm/sev.c; __sev_do_cmd_locked(), drivers/crypto/ccp/sev-dev.c";
const DISPATCH: &str = "sev_mem_enc_ioctl(), arch/x86/kvm/svm/sev.c";
const CREATE_VCPU: &str = "kvm_vm_ioctl_create_vcpu(), virt/kvm/kvm_main.c";
const SET_CPUID: &str = "kvm_vcpu_ioctl_set_cpuid2(), arch/x86/kvm/cpuid.c";
const NAME: &str = "KVM_SEV_SNP_LAUNCH_FINISH";

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let mut rows = by_firmware();
    rows.extend(by_kernel(profile));
    rows.extend(vcpus());
    rows.extend(id_blocks());
    rows
}

fn row(what: impl Into<String>, source: &'static str, effect: Effect, expect: Expect) -> Row {
    Row::new(what, source)
        .vcpus(2)
        .fault(Fault::at(Call::SnpLaunchFinish, effect))
        .finish(None, expect)
}

fn by_firmware() -> Vec<Row> {
    [
        (0x2, "INVALID_GUEST_STATE"),
        (0x7, "POLICY_FAILURE"),
        (0xa, "BAD_SIGNATURE"),
        (0xb, "BAD_MEASUREMENT"),
        (0x15, "UNSUPPORTED"),
        (0x16, "INVALID_PARAM"),
    ]
    .map(|(status, name)| {
        row(
            format!("firmware answers {name} behind the VMSAs"),
            FINISH,
            firmware(status),
            over(FIRMWARE_REFUSED)
                .at(NAME)
                .errno("EIO")
                .firmware(status)
                .says(name),
        )
    })
    .into()
}

fn by_kernel(profile: Profile) -> Vec<Row> {
    let refused = |errno| over(KERNEL_REFUSED).at(NAME).errno(errno);
    let mut rows = Vec::new();
    if profile.finish_excludes_vcpu_creation() {
        // Before anything was measured. From outside it looks like a dead processor, after: so it is not tried again.
        let effect = Effect::VcpuCreationRace;
        let what = "a vCPU is being made at the finish";
        rows.push(row(what, VMSA, effect, refused("EBUSY")));
    }
    rows.extend([
        row(
            "EBUSY to the finish",
            ISSUE,
            Effect::Errno(16),
            refused("EBUSY"),
        ),
        row(
            "EINTR to the finish",
            FINISH,
            Effect::Errno(4),
            refused("EINTR"),
        ),
        row(
            "EAGAIN to the finish",
            FINISH,
            Effect::Errno(11),
            refused("EAGAIN"),
        ),
        row(
            "EINVAL of a VMSA",
            VMSA,
            Effect::Errno(22),
            refused("EINVAL"),
        ),
        row(
            "EFAULT of the ID block",
            FINISH,
            Effect::Errno(14),
            refused("EFAULT"),
        ),
        row(
            "the finish cannot be written back",
            DISPATCH,
            Effect::CopyBackFault,
            refused("EFAULT"),
        ),
        row(
            "the processor does not answer to the finish",
            ISSUE,
            Effect::PspDead,
            refused("ETIMEDOUT"),
        ),
        row(
            "the processor is gone at the finish",
            ISSUE,
            Effect::PspGone,
            refused("ENODEV"),
        ),
        row(
            "the VM is dead at the finish",
            "kvm_vm_ioctl(), virt/kvm/kvm_main.c",
            Effect::Dead,
            refused("EIO"),
        ),
    ]);
    rows
}

fn vcpus() -> Vec<Row> {
    let mut rows = Vec::new();
    for (call, name, source) in [
        (Call::CreateVcpu, "KVM_CREATE_VCPU", CREATE_VCPU),
        (Call::SetCpuid2, "KVM_SET_CPUID2", SET_CPUID),
    ] {
        for (errno, errno_name) in [(12, "ENOMEM"), (22, "EINVAL"), (17, "EEXIST")] {
            rows.push(
                Row::new(format!("{name} of the second vCPU: {errno_name}"), source)
                    .vcpus(2)
                    .fault(Fault::at(call, Effect::Errno(errno)).after(1))
                    .finish(None, over(KERNEL_REFUSED).at(name).errno(errno_name)),
            );
        }
    }
    rows
}

/// Firmware compares the launch with what its owner signed.
fn id_blocks() -> Vec<Row> {
    let checked = |what: &str, policy, expect| {
        let mut row = Row::new(what, FINISH).vcpus(2);
        row.script.checks_id_block = true;
        row.finish(id_block(OWN_DIGEST, policy), expect)
    };
    let mut taken = done();
    taken.after = After::Finished;
    let mismatch = || clean(DIGEST_MISMATCH).says("sev_snp.id_block");
    // What firmware would not compare, or only when nothing can be taken back, is compared before it is asked.
    let mut unchecked = Row::new("an ID block for other pages", FINISH).vcpus(2);
    unchecked.script.checks_id_block = false;
    vec![
        unchecked.finish(id_block([7; 48], 0x3_0000), mismatch()),
        checked("nothing, and firmware compares", 0x3_0000, taken),
        // Both policies are known beforehand, so that firmware need not be asked and nothing is lost.
        checked(
            "an ID block for another policy",
            0xb_0000,
            clean(INVALID_LAUNCH).blames("sev_snp.id_block"),
        ),
    ]
}

/// {launch_digest[48]@0, family_id[16], image_id[16], version u32@80, guest_svn u32, policy u64@88} (kernel.md, section 8.1).
fn id_block(digest: [u8; 48], policy: u64) -> SevSnpFinish {
    let mut block = vec![0; 96];
    block[..48].copy_from_slice(&digest);
    block[80] = 1;
    block[88..].copy_from_slice(&policy.to_le_bytes());
    SevSnpFinish {
        id_block: block.into(),
        id_auth: vec![0; 4096].into(),
        host_data: vec![7; 32].into(),
        ..SevSnpFinish::default()
    }
}
