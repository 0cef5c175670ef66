//! What decides the launch digest, or what a guest's owner sees of a launch, beside its pages.
//!
//! **Invariant:** two ways to say the same are no difference: an unset value is the default that the API promises, and a vCPU's state is the registers
//! that are made of it.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display};

use stagepages_digest::vmsa::{General, Registers, SNP_ACTIVE, Segment, Table};

use crate::{
    hex::digits,
    plan::registers,
    sev_snp::Policy,
    tdx::CpuidLeaf,
    v1::{self, LaunchSpec, Platform, sev_snp_settings::GuestPolicy, vcpu_state::State},
    vcpu::Vcpu,
    words,
};

/// What an unset guest policy means.
const DEFAULT_POLICY: u64 = 0x3_0000;
/// What an unset version of the GHCB protocol means.
const DEFAULT_GHCB: u32 = 2;
/// What is left to the host.
const UNSET: &str = "unset";

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which: `platform`, `vcpus`, `vcpu 0 rip`, `vmsa features`, `guest policy`, `xfam`, …
    pub name: String,
    /// Its value in the plan.
    pub planned: String,
    /// Its value in the launch.
    pub installed: String,
    /// Whether it is part of the launch digest; the others are in attestation reports beside it, or are seen by the guest alone.
    pub measured: bool,
}

/// The settings that differ between a plan's spec ([`Plan::spec`](crate::plan::Plan::spec)) and that of a launch or another plan.
///
/// A state that SetVcpuState gave a vCPU later is not in a launch's spec, so it is not compared: where vCPUs are measured, only the digests tell. Nor is memory in which nothing is staged.
#[must_use]
pub fn settings(planned: &LaunchSpec, installed: &LaunchSpec) -> Vec<Setting> {
    let mut all = Differences::default();
    let both = [planned, installed];
    let platforms = both.map(|spec| words::platform(spec.platform));
    all.compare("platform", true, platforms);
    let measures = both.into_iter().any(measures_vcpus);
    all.compare("vcpus", measures, both.map(|spec| spec.vcpus.max(1)));
    all.vcpus(planned, installed, measures);
    if both.iter().any(|spec| spec.sev_snp.is_some()) {
        all.sev_snp(both.map(|spec| spec.sev_snp.clone().unwrap_or_default()));
    }
    if both.iter().any(|spec| spec.tdx.is_some()) {
        all.tdx(&both.map(|spec| spec.tdx.clone().unwrap_or_default()));
    }
    all.0
}

/// Whether the digest ends in the save areas of the vCPUs.
fn measures_vcpus(spec: &LaunchSpec) -> bool {
    match spec.platform() {
        Platform::Sim | Platform::SevSnp => true,
        Platform::Unspecified | Platform::Kvm | Platform::Tdx => false,
    }
}

#[derive(Debug, Default)]
struct Differences(Vec<Setting>);

impl Differences {
    fn compare<T: PartialEq + Display>(
        &mut self,
        name: impl Into<String>,
        measured: bool,
        [planned, installed]: [T; 2],
    ) {
        if planned != installed {
            self.0.push(Setting {
                name: name.into(),
                planned: planned.to_string(),
                installed: installed.to_string(),
                measured,
            });
        }
    }

    /// Only of vCPUs that both have: of more, their number is told.
    fn vcpus(&mut self, planned: &LaunchSpec, installed: &LaunchSpec, measured: bool) {
        let count = planned.vcpus.max(1).min(installed.vcpus.max(1));
        let of = |spec: &LaunchSpec| -> BTreeMap<u32, v1::VcpuState> {
            let states = spec.vcpu_states.iter().map(|state| (state.index, *state));
            states.filter(|(index, _)| *index < count).collect()
        };
        let (planned, installed) = (of(planned), of(installed));
        let mut indices: Vec<u32> = planned.keys().chain(installed.keys()).copied().collect();
        indices.sort_unstable();
        indices.dedup();
        for index in indices {
            let state = |states: &BTreeMap<u32, v1::VcpuState>| {
                states.get(&index).copied().unwrap_or(v1::VcpuState {
                    index,
                    state: Some(State::Reset(v1::VcpuReset {})),
                })
            };
            self.vcpu(index, &state(&planned), &state(&installed), measured);
        }
    }

    fn vcpu(&mut self, index: u32, one: &v1::VcpuState, other: &v1::VcpuState, measured: bool) {
        match (registers(one), registers(other)) {
            (Some(one), Some(other)) => {
                for ((name, one), (_, other)) in named(&one).into_iter().zip(named(&other)) {
                    self.compare(format!("vcpu {index} {name}"), measured, [one, other]);
                }
            }
            (_, _) if tdx_rcx(one).is_some() && tdx_rcx(one) == tdx_rcx(other) => {}
            (_, _) => {
                let words = |state: &v1::VcpuState| Vcpu::from(state).to_string();
                let name = format!("vcpu {index}");
                self.compare(name, measured, [words(one), words(other)]);
            }
        }
    }

    fn sev_snp(&mut self, both: [v1::SevSnpSettings; 2]) {
        let features = |it: &v1::SevSnpSettings| hex(it.vmsa_features | SNP_ACTIVE);
        self.compare("vmsa features", true, both.each_ref().map(features));
        let policies = both.each_ref().map(|it| {
            let policy = it.guest_policy.map(|it| Policy::from(it).number());
            // A number and names for it are the same policy.
            Policy::from(GuestPolicy::PolicyNumber(policy.unwrap_or(DEFAULT_POLICY)))
        });
        self.compare("guest policy", false, policies);
        let versions = both.each_ref().map(|it| match it.ghcb_version {
            0 => DEFAULT_GHCB,
            version => version,
        });
        self.compare("ghcb version", false, versions);
        self.compare("gosvw", false, both.map(|it| id(&it.gosvw)));
    }

    fn tdx(&mut self, both: &[v1::TdxSettings; 2]) {
        let number = |it: Option<u64>| it.map_or_else(|| UNSET.to_owned(), hex);
        let both = both.each_ref();
        self.compare("attributes", false, both.map(|it| number(it.attributes)));
        self.compare("xfam", false, both.map(|it| number(it.xfam)));
        self.compare("mrconfigid", false, both.map(|it| id(&it.mrconfigid)));
        self.compare("mrowner", false, both.map(|it| id(&it.mrowner)));
        let owners = both.map(|it| id(&it.mrownerconfig));
        self.compare("mrownerconfig", false, owners);
        let leaves = both.map(|it| {
            let leaves = it.cpuid.iter().map(|it| CpuidLeaf::from(it).to_string());
            let mut leaves: Vec<_> = leaves.collect();
            leaves.sort();
            match leaves.is_empty() {
                true => UNSET.to_owned(),
                false => leaves.join(" "),
            }
        });
        self.compare("cpuid", false, leaves);
    }
}

/// RCX of a vCPU that the TDX module resets.
fn tdx_rcx(state: &v1::VcpuState) -> Option<u64> {
    match state.state.as_ref()? {
        State::Tdx(tdx) => Some(tdx.rcx),
        State::Reset(_) => Some(0),
        State::RealMode(_) | State::LongMode(_) | State::Registers(_) => None,
    }
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// Zeros and nothing are the same id.
fn id(bytes: &[u8]) -> Cow<'static, str> {
    match bytes.iter().all(|byte| *byte == 0) {
        true => Cow::Borrowed("zeros"),
        false => digits(bytes).into(),
    }
}

/// Every register by its name.
fn named(registers: &Registers) -> Vec<(&'static str, String)> {
    let Registers {
        general,
        cs,
        ds,
        es,
        fs,
        gs,
        ss,
        tr,
        ldtr,
        gdtr,
        idtr,
        cr0,
        cr2,
        cr3,
        cr4,
        efer,
        pat,
    } = registers;
    let numbers = [
        ("cr0", cr0),
        ("cr2", cr2),
        ("cr3", cr3),
        ("cr4", cr4),
        ("efer", efer),
        ("pat", pat),
    ];
    let segments = [
        ("cs", cs),
        ("ds", ds),
        ("es", es),
        ("fs", fs),
        ("gs", gs),
        ("ss", ss),
        ("tr", tr),
        ("ldtr", ldtr),
    ];
    let segment = |it: &Segment| {
        let Segment {
            selector,
            attributes,
            limit,
            base,
        } = it;
        format!("{selector:#x} base {base:#x} limit {limit:#x} attributes {attributes:#x}")
    };
    let table = |it: &Table| format!("base {:#x} limit {:#x}", it.base, it.limit);
    let mut all: Vec<_> = general_registers(general)
        .into_iter()
        .chain(numbers)
        .map(|(name, number)| (name, hex(*number)))
        .collect();
    all.extend(segments.map(|(name, it)| (name, segment(it))));
    all.extend([("gdtr", table(gdtr)), ("idtr", table(idtr))]);
    all
}

fn general_registers(it: &General) -> [(&'static str, &u64); 18] {
    [
        ("rax", &it.rax),
        ("rbx", &it.rbx),
        ("rcx", &it.rcx),
        ("rdx", &it.rdx),
        ("rsi", &it.rsi),
        ("rdi", &it.rdi),
        ("rsp", &it.rsp),
        ("rbp", &it.rbp),
        ("r8", &it.r8),
        ("r9", &it.r9),
        ("r10", &it.r10),
        ("r11", &it.r11),
        ("r12", &it.r12),
        ("r13", &it.r13),
        ("r14", &it.r14),
        ("r15", &it.r15),
        ("rip", &it.rip),
        ("rflags", &it.rflags),
    ]
}
