//! The state of each vCPU of the plan, and what KVM makes of it that the image says otherwise.
//!
//! **Invariant:** as many states as vCPUs, in the order of their indices.

use igvm_defs::IgvmPlatformType;
use stagepages_digest::{
    snp::VMSA_GPA,
    vmsa::{self as save_area, SNP_ACTIVE},
};

use super::{
    super::{ImageError, Options},
    contexts::{Context, Contexts, MOST_VCPUS},
    native,
    notes::Notes,
    platform::Target,
    vbs, vmsa,
};
use crate::{
    addr::Gpa,
    plan::{Finding, Severity, registers},
    v1::{self, Platform, vcpu_state::State},
};

/// RDX of a vCPU that was made without CPUID (`kvm_vcpu_reset()`, arch/x86/kvm/x86.c).
const KVM_SIGNATURE: u32 = 0x600;
/// SEV_FEATURES that KVM offers anywhere (`sev_hardware_setup()`, arch/x86/kvm/svm/sev.c): DEBUG_SWAP and SECURE_TSC.
const KVM_FEATURES: u64 = 1 << 5 | 1 << 9;

/// How vCPUs begin.
#[derive(Debug)]
pub(super) struct Vcpus {
    /// One for each.
    pub(super) states: Vec<v1::VcpuState>,
    /// SEV_FEATURES that the image wants beside SNP_ACTIVE and KVM can have; on SEV-SNP, where it has a save area.
    pub(super) features: Option<u64>,
}

/// # Errors
/// More vCPUs than a launch has, or none; or a context is broken.
pub(super) fn states(
    contexts: &Contexts,
    target: &Target,
    options: &Options,
    notes: &mut Notes,
) -> Result<Vcpus, ImageError> {
    let count = options.vcpus.unwrap_or_else(|| contexts.vcpus().max(1));
    if !(1..=MOST_VCPUS).contains(&count) {
        let problem = format!("{count} vCPUs; give 1 to {MOST_VCPUS}");
        return Err(ImageError::whole("options", problem));
    }
    tell_missing(contexts, count, target, notes);
    // sim has no features to choose from.
    let can_choose = target.platform == Platform::SevSnp;
    let features = { contexts.get(0) }
        .filter(|_| can_choose)
        .map(|first| vmsa::features(&first.bytes) & KVM_FEATURES);
    let asked = { options.sev_snp.vmsa_features }.filter(|_| can_choose);
    let measured_features = asked.or(features).unwrap_or_default() | SNP_ACTIVE;
    let mut states = Vec::new();
    for index in 0..count {
        let state = match contexts.get(index) {
            None => reset(target, options),
            Some(context) => state(context, target, notes)?,
        };
        let state = v1::VcpuState {
            index,
            state: Some(state),
        };
        if let (IgvmPlatformType::SEV_SNP, Some(context)) = (target.kind, contexts.get(index)) {
            compare(context, &state, measured_features, notes);
        }
        states.push(state);
    }
    if let Some(first) = contexts
        .out_of_order()
        .filter(|_| target.kind == IgvmPlatformType::SEV_SNP)
    {
        notes.once(Severity::Warning, "VMSA_ORDER", first.offset, || {
            "the image has save areas before other pages, or not in the order of their vCPUs; KVM measures them after all pages, in the order of their vCPUs: the digest will be KVM's and not that of the image's order".to_owned()
        });
    }
    Ok(Vcpus { states, features })
}

fn state(context: &Context, target: &Target, notes: &mut Notes) -> Result<State, ImageError> {
    let registers = match target.kind {
        IgvmPlatformType::SEV_SNP => vmsa::registers(&context.bytes, context.offset)?,
        IgvmPlatformType::VSM_ISOLATION => vbs::registers(context, notes)?,
        _ => native::registers(context)?,
    };
    Ok(State::Registers(registers))
}

/// A vCPU that the image says nothing of.
fn reset(target: &Target, options: &Options) -> State {
    match (target.kind, options.cpu_signature) {
        (IgvmPlatformType::TDX, _) => State::Tdx(v1::TdxVcpuState { rcx: 0 }),
        (IgvmPlatformType::SEV_SNP, Some(signature)) if signature != KVM_SIGNATURE => {
            let reset = save_area::Registers::reset();
            State::Registers(v1::VcpuRegisters {
                general: Some(v1::GeneralRegisters {
                    rdx: signature.into(),
                    ..v1::GeneralRegisters::default()
                }),
                rip: reset.general.rip,
                rflags: reset.general.rflags,
                cr0: reset.cr0,
                ..v1::VcpuRegisters::default()
            })
        }
        _ => State::Reset(v1::VcpuReset {}),
    }
}

fn tell_missing(contexts: &Contexts, count: u32, target: &Target, notes: &mut Notes) {
    if target.kind == IgvmPlatformType::TDX {
        return;
    }
    let lacking = (0..count)
        .filter(|index| contexts.get(*index).is_none())
        .count();
    if lacking > 0 {
        notes.tell(Finding::new(
            Severity::Warning,
            "VCPU_WITHOUT_CONTEXT",
            format!("the image says nothing of {lacking} of {count} vCPUs; they begin as the architecture resets them, and are measured so where vCPUs are measured: give as many vCPUs as the image has contexts for, or check that it expects that"),
        ));
    }
    let left_out = (count..contexts.vcpus()).filter_map(|index| contexts.get(index));
    for context in left_out {
        notes.once(Severity::Warning, "VP_CONTEXT_LEFT_OUT", context.offset, || {
            format!("the image has contexts for {} vCPUs, and the launch {count}; the others are left out, and the digest is not the image's: leave the number of vCPUs to the image", contexts.vcpus())
        });
    }
}

/// Tells where KVM's save area is not the image's.
fn compare(context: &Context, state: &v1::VcpuState, features: u64, notes: &mut Notes) {
    const RESULT: &str = "the digest will be KVM's and not the image's";
    let index = state.index;
    if context.gpa != VMSA_GPA {
        let message = format!(
            "vCPU {index}'s save area is at {:#x} in the image, and KVM measures every one at {VMSA_GPA:#x}; {RESULT}: make the image so",
            context.gpa
        );
        let finding = Finding::new(Severity::Warning, "VMSA_GPA", message);
        notes.tell(finding.at(Gpa::new(context.gpa)).at_offset(context.offset));
    }
    let Some(registers) = registers(state) else {
        return;
    };
    let measured = save_area::page(&registers, features);
    for it in vmsa::differences(&context.bytes, measured.as_slice()) {
        let message = format!(
            "vCPU {index}'s save area has {} (offset {:#x}) {:#x}, and KVM measures {:#x}; {RESULT}: make the image with that value",
            it.field, it.offset, it.image, it.kvm
        );
        let finding = Finding::new(it.severity, "VMSA_FIELD", message);
        notes.tell(finding.at_offset(context.offset));
    }
}
