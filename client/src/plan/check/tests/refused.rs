//! What a daemon, KVM or firmware would refuse: an error each, of its code.

use super::*;

#[test]
fn what_would_be_refused_is_an_error_of_its_code() {
    let extents = |platform, extents| plan(platform, extents);
    let vcpus = |platform, vcpus| {
        let mut plan = sound(platform);
        plan.vcpus = vcpus;
        plan
    };
    let mut no_memory = sound(Platform::Kvm);
    no_memory.memory.clear();
    let mut settings = sound(Platform::Sim);
    settings.tdx = Some(TdxSettings::default());
    let mut ghcb = with_policy(0x3_0000);
    ghcb.sev_snp.as_mut().unwrap().ghcb_version = 1;
    let mut gosvw = with_policy(0x3_0000);
    gosvw.sev_snp.as_mut().unwrap().gosvw = vec![0; 15].into();
    let mut auth = with_block(|_| ());
    auth.finish.as_mut().unwrap().id_auth.truncate(4095);
    let mut unsigned = with_block(|_| ());
    unsigned.finish.as_mut().unwrap().id_auth = vec![0; 4096].into();
    let mut no_author = with_block(|_| ());
    no_author.finish.as_mut().unwrap().author_key = true;
    let mut reserved = with_block(|_| ());
    reserved.finish.as_mut().unwrap().id_auth = vec![1; 4096].into();
    let mut unexpected = sound(Platform::Tdx);
    unexpected.expected_digest = Some([1; 48]);
    let mut short_block = with_block(|_| ());
    short_block.finish.as_mut().unwrap().id_block.truncate(95);
    let reset = || sound(Platform::Kvm).vcpus[0];
    let rcx = |index| vcpu(index, State::Tdx(TdxVcpuState { rcx: 1 }));
    let mut too_high = sound(Platform::Tdx);
    too_high.memory.push(Region {
        gpa: Gpa::new(1 << 47),
        size: 4096,
    });
    let table: Vec<(Plan, &[&str])> = vec![
        (no_memory, &["NO_MEMORY", "OUTSIDE_MEMORY"]),
        (with_memory(&[(1 << 30, 4097)]), &["REGION_UNALIGNED"]),
        (with_memory(&[(1 << 30, 0)]), &["REGION_UNALIGNED"]),
        (with_memory(&[(32 << 20, 4096)]), &["REGION_OVERLAP"]),
        (with_memory(&[((1 << 52) - 4096, 8192)]), &["REGION_BEYOND"]),
        (with_memory(&[(u64::MAX - 4095, 4096)]), &["REGION_BEYOND"]),
        (too_high, &["REGION_BEYOND"]),
        (
            extents(Platform::Kvm, vec![zeros(0x1001, PageType::Zero, 1)]),
            &["UNALIGNED"],
        ),
        (
            extents(
                Platform::Kvm,
                vec![
                    zeros(0x3000, PageType::Zero, 1),
                    zeros(0, PageType::Zero, 4),
                ],
            ),
            &["OVERLAP"],
        ),
        (
            extents(Platform::Kvm, vec![zeros(0x3ff_f000, PageType::Zero, 2)]),
            &["OUTSIDE_MEMORY"],
        ),
        (
            extents(Platform::Tdx, vec![zeros(0, PageType::Secrets, 1)]),
            &["PAGE_TYPE"],
        ),
        (
            extents(Platform::SevSnp, vec![bytes(0, PageType::Zero, 1)]),
            &["CONTENTS"],
        ),
        (vcpus(Platform::Kvm, vec![]), &["VCPU_COUNT"]),
        (
            vcpus(Platform::Tdx, (0..65).map(rcx).collect()),
            &["VCPU_COUNT"],
        ),
        (
            vcpus(Platform::Kvm, vec![reset(), reset()]),
            &["VCPU_INDEX"],
        ),
        (vcpus(Platform::SevSnp, vec![rcx(0)]), &["VCPU_STATE"]),
        (settings, &["SETTINGS"]),
        (ghcb, &["GHCB_VERSION"]),
        (gosvw, &["FIELD_LENGTH"]),
        (with_policy(0x1_0000), &["POLICY_BIT_17"]),
        (unexpected, &["DIGEST_MISMATCH"]),
        (auth, &["ID_AUTH"]),
        // The algorithm's number, and the key.
        (unsigned, &["ID_BLOCK_SIGNATURE"; 2]),
        (no_author, &["ID_BLOCK_SIGNATURE"]),
        (reserved, &["ID_BLOCK_SIGNATURE"]),
        (short_block, &["ID_BLOCK_LENGTH"]),
        (
            with_block(|block| block.launch_digest[0] ^= 1),
            &["ID_BLOCK_DIGEST"],
        ),
        (
            with_block(|block| block.policy ^= 1 << 16),
            &["ID_BLOCK_POLICY"],
        ),
        (
            with_block(|block| block.version = 2),
            &["ID_BLOCK_SIGNATURE"],
        ),
    ];
    for (plan, wanted) in table {
        let found = plan.check();
        let errors: Vec<_> = { found.iter() }
            .filter(|it| it.severity == Severity::Error)
            .map(|it| it.code)
            .collect();
        assert_eq!(errors, wanted, "{found:#?}");
    }
}
