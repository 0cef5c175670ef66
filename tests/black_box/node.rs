//! GetNodeInfo: every platform with what it can do and what it lacks, every limit, and what is in use.
use std::path::Path;

use stagepages_kvm::{Kvm, VmType};
use stagepages_proto::v1::{PageType, Platform};
use stagepages_tests::{Api, Daemon, DaemonOptions, PAGE, page, region, spec};

#[tokio::test(flavor = "multi_thread")]
async fn every_platform_is_listed_with_what_it_can_do_and_what_it_lacks() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let info = Api::unix(daemon.socket()).await.node_info().await;
    assert!(!info.version.is_empty());
    let platforms: Vec<_> = info
        .platforms
        .iter()
        .map(stagepages_proto::v1::PlatformInfo::platform)
        .collect();
    assert_eq!(
        platforms,
        [
            Platform::Sim,
            Platform::Kvm,
            Platform::SevSnp,
            Platform::Tdx
        ]
    );

    for platform in &info.platforms {
        let confidential = matches!(platform.platform(), Platform::SevSnp | Platform::Tdx);
        assert_eq!(platform.confidential, confidential, "{platform:?}");
        assert!(
            platform
                .page_types()
                .all(|page_type| page_type != PageType::Unspecified),
            "{platform:?}"
        );
        assert_eq!(
            platform.available,
            platform.checks.iter().all(|check| check.ok),
            "{platform:?}"
        );
        for check in &platform.checks {
            assert!(
                !check.subject.is_empty() && !check.found.is_empty(),
                "{check:?}"
            );
            assert_eq!(
                check.ok,
                check.remedy.is_empty(),
                "a way out of what is missing, and of nothing else: {check:?}"
            );
        }
    }
    let (sim, kvm) = (&info.platforms[0], &info.platforms[1]);
    assert!(sim.available && sim.verifies_contents);
    assert_eq!((sim.launch_digest_bytes, kvm.launch_digest_bytes), (48, 0));
    assert!(
        kvm.checks
            .iter()
            .any(|check| check.subject.contains("/dev/kvm")),
        "{kvm:?}"
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confidential_platform_is_looked_at_as_far_as_this_machine_goes() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let info = Api::unix(daemon.socket()).await.node_info().await;
    // What this machine is, asked without the product.
    let types = Kvm::open().and_then(|kvm| kvm.vm_types()).unwrap();
    let before = |parameter| vec!["/dev/kvm", parameter, "KVM_CAP_VM_TYPES"];
    let memory = [
        "KVM_CAP_USER_MEMORY2",
        "KVM_CAP_GUEST_MEMFD",
        "KVM_CAP_MEMORY_ATTRIBUTES",
    ];
    for platform in &info.platforms {
        // What only a VM of the type can tell is not asked where there is none: there is a cause for it already.
        let (vm_type, parameter, asked, rest): (_, _, &[_], &[_]) = match platform.platform() {
            Platform::SevSnp => (
                VmType::SevSnp,
                "kvm_amd.sev_snp",
                &["guest policy bits", "VMSA features", "ASIDs"],
                &["/dev/sev", "locked memory"],
            ),
            Platform::Tdx => (
                VmType::Tdx,
                "kvm_intel.tdx",
                &["KVM_TDX_CAPABILITIES", "key ids (HKIDs)"],
                &["locked memory"],
            ),
            Platform::Unspecified | Platform::Sim | Platform::Kvm => continue,
        };
        let offered = types.contains(vm_type);
        let mut subjects = before(parameter);
        if offered {
            subjects.push("KVM_CREATE_VM");
        }
        subjects.extend(memory);
        if platform.platform() == Platform::Tdx {
            subjects.push("KVM_CAP_SPLIT_IRQCHIP");
        }
        if offered {
            subjects.extend(asked);
        }
        subjects.extend(rest);
        let listed = platform.checks.iter().map(|check| check.subject.as_str());
        assert_eq!(listed.collect::<Vec<_>>(), subjects, "{platform:?}");

        let ok = |subject: &str| {
            let found = platform
                .checks
                .iter()
                .find(|check| check.subject == subject);
            found.unwrap().ok
        };
        assert!(ok("/dev/kvm"), "this test has opened it: {platform:?}");
        assert_eq!(ok("KVM_CAP_VM_TYPES"), offered, "{platform:?}");
        if !offered {
            assert!(!platform.available && !ok(parameter), "{platform:?}");
            assert!(platform.sev_snp.is_none() && platform.tdx.is_none());
            assert!(platform.capacity.is_none(), "{platform:?}");
        }
        if platform.platform() == Platform::SevSnp && !Path::new("/dev/sev").exists() {
            assert!(!ok("/dev/sev"), "{platform:?}");
        }
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_positive_and_fit_each_other() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let limits = Api::unix(daemon.socket())
        .await
        .node_info()
        .await
        .limits
        .unwrap();
    assert!(
        limits.max_data_bytes >= PAGE && limits.max_data_bytes.is_multiple_of(PAGE),
        "{limits:?}"
    );
    assert!(
        limits.max_message_bytes > limits.max_data_bytes,
        "room for the rest of the request: {limits:?}"
    );
    assert!(
        limits.max_regions > 0
            && limits.max_launches > 0
            && limits.max_pending_calls > 0
            && limits.chunk_pages > 0,
        "{limits:?}"
    );
    assert!(limits.max_memory_bytes >= 1 << 30, "{limits:?}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_counts_what_lives_and_what_has_ended() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let api = Api::tcp(&daemon).await;
    let usage = async || {
        let usage = api.node_info().await.usage.unwrap();
        (usage.launches, usage.live_launches, usage.draining)
    };
    assert_eq!(usage().await, (0, 0, false));
    for id in ["a", "b"] {
        api.create(id, spec(Platform::Sim, [region(page(0), PAGE)]))
            .await
            .unwrap();
    }
    assert_eq!(usage().await, (2, 2, false));
    assert!(api.abort("launches/a").await.unwrap().resources_released);
    assert_eq!(usage().await, (2, 1, false));
    api.delete("launches/a").await.unwrap();
    assert_eq!(usage().await, (1, 1, false));
    daemon.stop();
}
