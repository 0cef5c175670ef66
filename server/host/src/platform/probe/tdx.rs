//! What `tdx` needs, and what KVM and the TDX module take of its settings.
//!
//! **Invariant:** capabilities are asked of a bare VM that never becomes a TD, so no key id is taken.

use stagepages_kvm::{Cap, Kvm, KvmError, TdxCapabilities, VmType, errno_name};

use super::{
    Check, Findings,
    caps::{Asked, GUEST_MEMFD, Need, PRIVATE_MEMORY, USER_MEMORY2},
    device::DevKvm,
    locked_memory,
    misc::{self, Resource},
    module::{self, Parameter},
    vm::Typed,
};
use crate::settings::{CpuidEntry, TdxInfo};

const ENABLE: &str = "enable TDX in firmware setup, load kvm_intel with tdx=1, and see the kernel's log (tdx) for what it lacks";

const PARAMETER: Parameter = Parameter {
    module: "kvm_intel",
    name: "tdx",
    machine: "the machine needs a processor with TDX (Xeon of the 5th generation or later)",
    kernel: "run Linux 6.16 or later with CONFIG_KVM_INTEL_TDX",
    enable: ENABLE,
};

/// TDs have no other interrupt controller in the kernel.
const SPLIT_IRQCHIP: Need = Need {
    cap: Cap::SplitIrqchip,
    bits: 1,
    remedy: "run a kernel whose KVM emulates the I/O APIC and local APICs for x86",
};

const HKIDS: Resource = Resource {
    key: "tdx",
    subject: "key ids (HKIDs)",
    remedy: "give TDX private key ids in firmware setup (TME-MT/TDX key split), and load kvm_intel again",
};

const CAPABILITIES: &str = "KVM_TDX_CAPABILITIES";

/// Looks at all of it.
pub(super) fn look(dev_kvm: &DevKvm) -> Findings {
    let mut findings = Findings::from(vec![dev_kvm.check.clone()]);
    match &dev_kvm.kvm {
        Some(kvm) => look_at_kvm(kvm, &mut findings),
        None => findings.checks.push(module::check(&PARAMETER, false)),
    }
    findings.checks.push(locked_memory::check());
    findings
}

fn look_at_kvm(kvm: &Kvm, findings: &mut Findings) {
    let Typed {
        checks,
        offered,
        vm,
    } = Typed::look(kvm, VmType::Tdx, ENABLE);
    findings.checks.push(module::check(&PARAMETER, offered));
    findings.checks.extend(checks);
    let asked = vm.as_ref().map_or(Asked::Device(kvm), Asked::Vm);
    let needs = [USER_MEMORY2, GUEST_MEMFD, PRIVATE_MEMORY, SPLIT_IRQCHIP];
    findings.checks.extend(needs.map(|need| asked.check(need)));
    if let Some(vm) = &vm {
        let (check, info) = capabilities(vm.tdx_capabilities());
        findings.checks.push(check);
        findings.facts.tdx = info;
    }
    if offered {
        let (check, capacity) = misc::check(HKIDS);
        findings.checks.push(check);
        findings.facts.capacity = capacity;
    }
}

fn capabilities(answer: Result<TdxCapabilities, KvmError>) -> (Check, Option<TdxInfo>) {
    match answer {
        Ok(told) => {
            let info = info(&told);
            let found = format!(
                "attributes {:#x}, XFAM {:#x}, {} CPUID leaves",
                info.attributes,
                info.xfam,
                info.cpuid.len()
            );
            (Check::there(CAPABILITIES, found), Some(info))
        }
        Err(error) => {
            let remedy = match error.errno().map_or("", errno_name) {
                "E2BIG" => {
                    "use a later version of stagepages: this one takes 256 CPUID leaves at most"
                }
                "ENOTTY" | "EINVAL" => {
                    "run Linux 6.16 or later: this kernel has other commands for TDX"
                }
                _ => "see the kernel's log (tdx); update the TDX module and the kernel",
            };
            (
                Check::missing(CAPABILITIES, error.to_string(), remedy),
                None,
            )
        }
    }
}

fn info(told: &TdxCapabilities) -> TdxInfo {
    let leaf = |entry: stagepages_kvm::CpuidEntry| CpuidEntry {
        function: entry.function,
        index: entry.index.unwrap_or(0),
        eax: entry.leaf.eax,
        ebx: entry.leaf.ebx,
        ecx: entry.leaf.ecx,
        edx: entry.leaf.edx,
    };
    TdxInfo {
        attributes: told.supported_attributes,
        xfam: told.supported_xfam,
        cpuid: told.cpuid.entries().map(leaf).collect(),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use stagepages_kvm::CpuidLeaf;

    use super::*;

    #[test]
    fn capabilities_are_told_whole() {
        let leaf = |function, index| stagepages_kvm::CpuidEntry {
            function,
            index,
            leaf: CpuidLeaf {
                eax: 0xff,
                ..CpuidLeaf::default()
            },
        };
        let told = TdxCapabilities {
            supported_attributes: 1 << 28,
            supported_xfam: 0x2e7,
            cpuid: [leaf(0x8000_0008, None), leaf(7, Some(1))]
                .into_iter()
                .collect(),
        };
        let (check, info) = capabilities(Ok(told));
        assert_eq!(
            (check.ok, check.found.as_str()),
            (true, "attributes 0x10000000, XFAM 0x2e7, 2 CPUID leaves")
        );
        let info = info.unwrap();
        assert_eq!(
            (info.cpuid[0].function, info.cpuid[0].index),
            (0x8000_0008, 0)
        );
        assert_eq!((info.cpuid[1].index, info.cpuid[1].eax), (1, 0xff));
    }

    #[test]
    fn a_failure_has_its_errno_and_a_way_out() {
        for (errno, words) in [
            (Errno::E2BIG, "later version of stagepages"),
            (Errno::ENOTTY, "Linux 6.16"),
            (Errno::EIO, "kernel's log"),
        ] {
            let error = KvmError::from_errno(CAPABILITIES, errno as i32);
            let (check, info) = capabilities(Err(error));
            assert!(!check.ok && check.remedy.contains(words), "{check:?}");
            assert_eq!(info, None);
        }
    }
}
