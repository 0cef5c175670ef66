//! What keeps an SNP launch from being made.
//!
//! CreateLaunch has four answers for it (launch.proto): the settings are wrong (INVALID_LAUNCH), firmware makes no guest of them (FIRMWARE_REFUSED), the machine has no
//! room for another (NO_CAPACITY), or it lacks what the platform needs (PLATFORM_UNAVAILABLE).
//!
//! **Invariant:** of a launch that is not made nothing remains, so its name is free.
use stagepages_kernel_model::{Call, Effect, Fault, File, Profile};
use stagepages_proto::v1::SevSnpSettings;
use stagepages_proto::v1::sev_snp_settings::GuestPolicy;

use crate::faults::row::{
    Expect, FIRMWARE_REFUSED, INVALID_LAUNCH, NO_CAPACITY, Row, UNAVAILABLE, done, firmware,
    no_launch,
};

const INIT2: &str = "__sev_guest_init(), arch/x86/kvm/svm/sev.c";
const START: &str = "snp_launch_start(), arch/x86/kvm/svm/sev.c";
const CONTEXT: &str = "snp_context_create(), arch/x86/kvm/svm/sev.c";
const ISSUE: &str = "__sev_issue_cmd(), arch/x86/kvm/svm/sev.c; __sev_do_cmd_locked(), drivers/crypto/ccp/sev-dev.c";
const CREATE_VM: &str = "kvm_dev_ioctl_create_vm(), virt/kvm/kvm_main.c";
const GUEST_MEMFD: &str = "kvm_gmem_create(), virt/kvm/guest_memfd.c";
const MEMSLOT: &str = "kvm_set_memory_region(), virt/kvm/kvm_main.c";
const ATTRIBUTES: &str = "kvm_vm_ioctl_set_mem_attributes(), virt/kvm/kvm_main.c";
const OPEN: &str = "sev_misc_init(), drivers/crypto/ccp/sev-dev.c";

const POLICY: &str = "spec.sev_snp.policy_number";
const MUST_BE_ONE: u64 = 1 << 17;
const SMT: u64 = 1 << 16;
/// Not among the bits that the modelled machine takes.
const MIGRATE_MA: u64 = 1 << 18;
const SINGLE_SOCKET: u64 = 1 << 20;

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let mut rows = start();
    rows.extend(policies(profile));
    rows.extend(init2());
    rows.extend(memory());
    rows.extend(device());
    rows
}

fn with_policy(what: &str, policy: u64, expect: Expect) -> Row {
    let settings = SevSnpSettings {
        guest_policy: Some(GuestPolicy::PolicyNumber(policy)),
        ..SevSnpSettings::default()
    };
    Row::new(what, START).settings(settings).create(expect)
}

fn policies(profile: Profile) -> Vec<Row> {
    let by_kvm = || {
        no_launch(INVALID_LAUNCH)
            .at("KVM_SEV_SNP_LAUNCH_START")
            .errno("EINVAL")
            .blames(POLICY)
    };
    // Since the two bits are the mask's alone, they are taken.
    let without_smt = || match profile {
        Profile::V6_11 => by_kvm(),
        Profile::V6_18 | Profile::V6_19 | Profile::V7_1 => done(),
    };
    // From 6.19 on KVM tells the bits beforehand, so that nothing is made to find out.
    let unknown = match profile {
        Profile::V6_11 | Profile::V6_18 => by_kvm(),
        Profile::V6_19 | Profile::V7_1 => no_launch(INVALID_LAUNCH).blames(POLICY),
    };
    vec![
        with_policy("a policy without SMT", MUST_BE_ONE, without_smt()),
        with_policy(
            "a policy with SINGLE_SOCKET",
            MUST_BE_ONE | SMT | SINGLE_SOCKET,
            without_smt(),
        ),
        with_policy(
            "a policy with a bit that KVM does not take",
            MUST_BE_ONE | SMT | MIGRATE_MA,
            unknown,
        ),
    ]
}

fn start() -> Vec<Row> {
    let refused = |errno, status| {
        no_launch(FIRMWARE_REFUSED)
            .at("KVM_SEV_SNP_LAUNCH_START")
            .errno(errno)
            .firmware(status)
    };
    let row = |what, source, effect, expect: Expect| {
        Row::new(what, source)
            .fault(Fault::at(Call::SnpLaunchStart, effect))
            .create(expect)
    };
    let unavailable = |errno| {
        no_launch(UNAVAILABLE)
            .at("KVM_SEV_SNP_LAUNCH_START")
            .errno(errno)
    };
    vec![
        row(
            "firmware answers POLICY_FAILURE to the start",
            START,
            firmware(7),
            refused("EIO", 7),
        ),
        row(
            "firmware answers RESOURCE_LIMIT to the start",
            START,
            firmware(0x17),
            refused("EIO", 0x17),
        ),
        row(
            "the guest's context cannot be made",
            CONTEXT,
            Effect::ContextCreation,
            // With whatever firmware said of it.
            refused("ENOTTY", 1),
        ),
        row(
            "the processor does not answer to the start",
            ISSUE,
            Effect::PspDead,
            unavailable("ETIMEDOUT"),
        ),
        row(
            "the processor is gone at the start",
            ISSUE,
            Effect::PspGone,
            unavailable("ENODEV"),
        ),
        row(
            "the processor was given up before the start",
            ISSUE,
            Effect::Errno(16),
            unavailable("EBUSY"),
        ),
        row(
            "there is no memory for the start",
            START,
            Effect::Errno(12),
            no_launch(NO_CAPACITY)
                .at("KVM_SEV_SNP_LAUNCH_START")
                .errno("ENOMEM"),
        ),
    ]
}

fn init2() -> Vec<Row> {
    let row = |what, effect, expect: Expect| {
        Row::new(what, INIT2)
            .fault(Fault::at(Call::SevInit2, effect))
            .create(expect)
    };
    let refused = |reason, errno| no_launch(reason).at("KVM_SEV_INIT2").errno(errno);
    let later_ghcb = SevSnpSettings {
        ghcb_version: 3,
        ..SevSnpSettings::default()
    };
    vec![
        row(
            "no ASID is free",
            Effect::NoAsid,
            refused(NO_CAPACITY, "EBUSY").says("ASID"),
        ),
        row(
            "there is no memory for the guest",
            Effect::Errno(12),
            refused(NO_CAPACITY, "ENOMEM"),
        ),
        // KVM passes on what firmware said when the first guest initialised the platform.
        row(
            "firmware does not initialise the platform",
            firmware(1),
            refused(FIRMWARE_REFUSED, "EIO")
                .firmware(1)
                .says("INVALID_PLATFORM_STATE"),
        ),
        row(
            "the platform cannot be initialised, without a status",
            Effect::Errno(5),
            refused(UNAVAILABLE, "EIO"),
        ),
        row(
            "there is no processor to initialise",
            Effect::Errno(19),
            refused(UNAVAILABLE, "ENODEV"),
        ),
        row(
            "the VM is dead from the start",
            Effect::Dead,
            refused(UNAVAILABLE, "EIO"),
        ),
        Row::new(
            "a version of the GHCB protocol that KVM does not speak",
            INIT2,
        )
        .settings(later_ghcb)
        .create(refused(INVALID_LAUNCH, "EINVAL").blames("spec.sev_snp.ghcb_version")),
    ]
}

fn memory() -> Vec<Row> {
    let mut rows = Vec::new();
    for (call, name, source) in [
        (Call::CreateVm, "KVM_CREATE_VM", CREATE_VM),
        (
            Call::CreateGuestMemfd,
            "KVM_CREATE_GUEST_MEMFD",
            GUEST_MEMFD,
        ),
        (
            Call::SetUserMemoryRegion2,
            "KVM_SET_USER_MEMORY_REGION2",
            MEMSLOT,
        ),
        (
            Call::SetMemoryAttributes,
            "KVM_SET_MEMORY_ATTRIBUTES",
            ATTRIBUTES,
        ),
    ] {
        // What runs out, and what this kernel does not do.
        for (errno, errno_name, reason) in [
            (12, "ENOMEM", NO_CAPACITY),
            (24, "EMFILE", NO_CAPACITY),
            (22, "EINVAL", UNAVAILABLE),
            (5, "EIO", UNAVAILABLE),
        ] {
            rows.push(
                Row::new(format!("{name}: {errno_name}"), source)
                    .fault(Fault::at(call, Effect::Errno(errno)))
                    .create(no_launch(reason).at(name).errno(errno_name)),
            );
        }
    }
    rows
}

/// What goes after the daemon has seen that the platform works.
fn device() -> Vec<Row> {
    let row = |what, file, errno| {
        let mut row = Row::new(what, OPEN);
        row.script.files.insert("/dev/sev".into(), file);
        row.create(no_launch(UNAVAILABLE).at("open /dev/sev").errno(errno))
    };
    vec![
        row("/dev/sev is gone", File::Absent, "ENOENT"),
        row("/dev/sev has no driver", File::refused(19), "ENODEV"),
        row(
            "/dev/sev is closed to the host",
            File::refused(13),
            "EACCES",
        ),
    ]
}
