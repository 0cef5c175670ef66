//! Why a guest stopped.

use stagepages_kvm::Gpa;

/// What ended a guest's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// StopLaunch.
    Requested,
    /// Every vCPU has halted, and nothing can wake one.
    Halted,
    /// The guest wrote to isa-debug-exit.
    ExitCode,
    /// The guest asked for a shutdown or a reset.
    Shutdown,
    /// A triple fault.
    TripleFault,
    /// KVM could not go on.
    InternalError,
    /// An address that is no memory of the guest, or memory that is lost.
    MemoryFault,
}

/// Why and how a guest stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestStop {
    /// What happened.
    pub reason: StopReason,
    /// For a person.
    pub message: String,
    /// The vCPU that did it.
    pub vcpu: Option<u32>,
    /// What it wrote to isa-debug-exit.
    pub exit_code: Option<u32>,
    /// Where a memory fault was.
    pub gpa: Option<Gpa>,
}
