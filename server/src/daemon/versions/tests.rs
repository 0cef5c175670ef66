//! What hosts of each version are asked for, and what is refused to who asks.

use stagepages_host::protocol;

use super::*;

fn td_vcpu() -> Vcpu {
    Vcpu {
        index: 0,
        start: Some(VcpuStart::Tdx(protocol::TdxStart { rcx: 7 })),
    }
}

#[test]
fn a_host_of_an_older_version_is_asked_for_nothing_that_it_would_not_see() {
    let plain = Create {
        vcpus: 1,
        ..Create::default()
    };
    let several = Create {
        vcpus: 2,
        ..Create::default()
    };
    fits(&plain, 2).unwrap();
    fits(&several, 3).unwrap();
    let error = fits(&several, 2).unwrap_err();
    assert_eq!(error.reason(), Reason::UnsupportedOperation);
    assert!(error.to_string().contains("spec.vcpus"), "{error}");
}

#[test]
fn a_host_without_settings_is_never_made_a_launch_that_has_them() {
    let sev_snp = Create {
        sev_snp: Some(protocol::SevSnp::default()),
        ..Create::default()
    };
    let tdx = Create {
        tdx: Some(protocol::Tdx::default()),
        ..Create::default()
    };
    let vcpu = Create {
        vcpu_states: vec![td_vcpu()],
        ..Create::default()
    };
    for (create, field) in [
        (sev_snp, "spec.sev_snp"),
        (tdx, "spec.tdx"),
        (vcpu, "spec.vcpu_states"),
    ] {
        fits(&create, SETTINGS_SINCE).unwrap();
        for version in [2, 3] {
            let error = fits(&create, version).unwrap_err();
            assert_eq!(error.reason(), Reason::UnsupportedOperation);
            let text = error.to_string();
            assert!(text.contains(field) && text.contains("version 4"), "{text}");
            // In the text and as the field to leave out.
            assert!(format!("{error:?}").matches(field).count() > 1, "{error:?}");
        }
    }
}

#[test]
fn a_host_without_settings_is_asked_for_nothing_that_goes_with_them() {
    for command in [
        Command::GetRejectedCpuid(protocol::GetRejectedCpuid {}),
        Command::SetVcpu(td_vcpu()),
    ] {
        knows(&command, SETTINGS_SINCE, "do it").unwrap();
        for version in [2, 3] {
            let error = knows(&command, version, "do it").unwrap_err();
            assert_eq!(error.reason(), Reason::UnsupportedOperation);
            assert!(error.to_string().contains("cannot do it"), "{error}");
        }
    }
}

fn expecting(digest: &[u8]) -> Finish {
    Finish {
        expected_digest: digest.to_vec(),
        sev_snp: None,
    }
}

fn given(sev_snp: protocol::SevSnpFinish) -> Finish {
    Finish {
        expected_digest: Vec::new(),
        sev_snp: Some(sev_snp),
    }
}

fn id_block() -> Finish {
    given(protocol::SevSnpFinish {
        id_block: vec![7; 96],
        id_auth: vec![7; 4096],
        ..protocol::SevSnpFinish::default()
    })
}

/// Refused because of `field`, which hosts take from version `since` on.
fn unsupported(finish: &Finish, version: u32, field: &str, since: u32) {
    let error = guards(finish, PlatformKind::SevSnp, version).unwrap_err();
    assert_eq!(error.reason(), Reason::UnsupportedOperation);
    let text = error.to_string();
    let wanted = [
        format!("cannot finish with {field}:"),
        format!("version {since} "),
    ];
    assert!(wanted.iter().all(|part| text.contains(part)), "{text}");
    // In the text and as the field to leave out.
    assert!(format!("{error:?}").matches(field).count() > 1, "{error:?}");
}

#[test]
fn a_host_that_compares_another_digest_is_not_asked_to() {
    let (digest, id_block) = (expecting(&[7; 48]), id_block());
    for version in 2..EXPECTED_SINCE {
        guards(&expecting(&[]), PlatformKind::SevSnp, version).unwrap();
        unsupported(&digest, version, "expected_launch_digest", EXPECTED_SINCE);
    }
    // Firmware would compare it, behind the vCPUs, and end the launch.
    unsupported(&id_block, 4, "sev_snp.id_block", EXPECTED_SINCE);
    for finish in [digest, id_block] {
        guards(&finish, PlatformKind::SevSnp, EXPECTED_SINCE).unwrap();
    }
}

#[test]
fn what_firmware_compares_with_nothing_needs_settings_alone() {
    let host_data = given(protocol::SevSnpFinish {
        host_data: vec![7; 32],
        vcek_disabled: true,
        ..protocol::SevSnpFinish::default()
    });
    for finish in [&host_data, &id_block()] {
        for version in [2, 3] {
            unsupported(finish, version, "sev_snp", SETTINGS_SINCE);
        }
    }
    guards(&host_data, PlatformKind::SevSnp, SETTINGS_SINCE).unwrap();
}

#[test]
fn what_no_launch_of_the_platform_takes_is_left_for_the_host_to_refuse() {
    guards(&expecting(&[7; 48]), PlatformKind::Kvm, 2).unwrap();
    for kind in [PlatformKind::Sim, PlatformKind::Kvm, PlatformKind::Tdx] {
        guards(&id_block(), kind, SETTINGS_SINCE).unwrap();
    }
}
