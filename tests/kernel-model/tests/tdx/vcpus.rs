//! vCPUs: when they can be created, INIT_VCPU, GET_CPUID, registers (kernel.md sections 3.2 and 13).

use stagepages_kernel_model::{Errno, Profile, Script};

use crate::rig::{FINALIZE_VM, GET_CPUID, INIT_VCPU, Init, KERNELS, PARAMS, Rig, address_width};

#[test]
fn a_vcpu_needs_a_td_and_then_a_split_irqchip() {
    for profile in KERNELS {
        let rig = Rig::new(Script::tdx(profile));
        assert_eq!(rig.create_vcpu(0), Err(Errno::EIO), "{profile}");
        assert_eq!(rig.init_vm(&Init::default()).0, Ok(0));
        assert_eq!(rig.create_vcpu(0), Err(Errno::EINVAL), "{profile}");
        assert_eq!(rig.split_irqchip(), Ok(0));
        rig.create_vcpu(0).unwrap();
        assert!(rig.process.violations().is_empty());
    }
}

#[test]
fn a_td_has_no_irqchip_in_the_kernel() {
    const CREATE_IRQCHIP: u64 = 0xae60;
    let rig = Rig::new(Script::tdx(Profile::V7_1));
    assert_eq!(rig.ioctl(CREATE_IRQCHIP, 0), Err(Errno::ENOTTY));
    assert_eq!(
        rig.process.violations(),
        ["a TD has no interrupt controller in the kernel"]
    );
}

#[test]
fn a_vcpu_is_made_known_once_and_with_x2apic() {
    for profile in KERNELS {
        let rig = Rig::new(Script::tdx(profile));
        assert_eq!(rig.init_vm(&Init::default()).0, Ok(0));
        assert_eq!(rig.split_irqchip(), Ok(0));
        let vcpu = rig.create_vcpu(0).unwrap();
        assert_eq!(rig.init_vcpu(vcpu), Err(Errno::EINVAL), "no CPUID");
        rig.set_features(vcpu, !(1 << 21));
        assert_eq!(rig.init_vcpu(vcpu), Err(Errno::EINVAL), "no x2APIC");
        // Not known yet, so nothing can be installed through it.
        assert_eq!(rig.stage(vcpu, 0, 1).answer, Err(Errno::EINVAL));
        rig.set_features(vcpu, 1 << 21);
        assert_eq!(rig.init_vcpu(vcpu), Ok(0), "{profile}");
        assert_eq!(rig.init_vcpu(vcpu), Err(Errno::EINVAL), "twice");
        assert_eq!(rig.stage(vcpu, 0, 1).answer, Ok(0), "{profile}");
    }
}

#[test]
fn registers_are_out_of_reach() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    for request in [0x8090_ae81, 0x4090_ae82, 0x8138_ae83, 0x4138_ae84] {
        let answer = rig.vcpu_ioctl(vcpu, request, PARAMS);
        assert_eq!(answer, Err(Errno::EINVAL), "{request:#x}");
    }
}

#[test]
fn get_cpuid_tells_how_much_room_it_needs() {
    let rig = Rig::new(Script::tdx(Profile::V6_19));
    let sha = 1 << 29;
    let chosen = [7, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    let init = Init {
        cpuid: vec![address_width(52), chosen],
        ..Init::default()
    };
    assert_eq!(rig.init_vm(&init), (Ok(0), 0));
    assert_eq!(rig.split_irqchip(), Ok(0));
    let vcpu = rig.create_vcpu(0).unwrap();
    rig.put(PARAMS, &[&[0; 8]]);
    assert_eq!(rig.plain(vcpu, GET_CPUID).0, Err(Errno::E2BIG));
    let count = u32::from_le_bytes(rig.get(PARAMS));
    assert_eq!(rig.plain(vcpu, GET_CPUID).0, Ok(0));
    assert_eq!(u32::from_le_bytes(rig.get(PARAMS)), count);
    let entries = (0..u64::from(count)).map(|at| {
        let entry = PARAMS + 8 + at * 40;
        [0, 12, 16, 20].map(|at| u32::from_le_bytes(rig.get(entry + at)))
    });
    let entries: Vec<_> = entries.collect();
    let leaf = |function| entries.iter().find(|entry| entry[0] == function).unwrap();
    // Chosen bits are as they were chosen, the others as the processor has them.
    assert_eq!(leaf(7)[2] & 1, 1);
    assert_eq!(leaf(7)[2] & sha, sha);
    assert_eq!(leaf(7)[2] & 8, 0);
    assert_eq!(leaf(1)[3] & 1 << 21, 1 << 21);
    assert_eq!(leaf(0x8000_0008)[1] >> 16, 52);
}

#[test]
fn a_command_has_its_descriptor() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1));
    assert_eq!(rig.plain(vcpu, FINALIZE_VM).0, Err(Errno::EINVAL));
    assert_eq!(rig.plain(rig.vm, INIT_VCPU).0, Err(Errno::EINVAL));
    assert_eq!(rig.plain(rig.vm, 6).0, Err(Errno::EINVAL));
    assert_eq!(
        rig.process.violations(),
        [
            "KVM_TDX_FINALIZE_VM is no command of a vCPU",
            "KVM_TDX_INIT_VCPU is no command of a VM",
            "command 6 is none of a TD",
        ]
    );
}
