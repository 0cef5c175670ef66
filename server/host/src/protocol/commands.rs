//! What the daemon sends, field by field.
//!
//! Enumerations travel as numbers of this protocol (see `convert.rs`), addresses in bytes.

use super::{Context, GetRejectedCpuid, SevSnp, SevSnpFinish, Tdx, Vcpu};

/// What the daemon sends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Chosen by the daemon; the answer carries it.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What to do.
    #[prost(
        oneof = "Command",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21"
    )]
    pub command: Option<Command>,
    /// Whose work it is, if a call's. Hosts from before it came do not look at it.
    #[prost(message, optional, tag = "22")]
    pub context: Option<Context>,
}

/// The commands of a [`Request`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Command {
    /// First on every connection.
    #[prost(message, tag = "2")]
    Hello(Hello),
    /// Reports what this machine has for each platform. Needs no launch.
    #[prost(message, tag = "3")]
    Probe(Probe),
    /// Makes the launch of this host; once. Carries the staging memfd.
    #[prost(message, tag = "4")]
    Create(Create),
    /// Installs an extent.
    #[prost(message, tag = "5")]
    Stage(Stage),
    /// Lists the ledger. From version 5 on also that of an ABORTED launch.
    #[prost(message, tag = "6")]
    ListRuns(ListRuns),
    /// Checks ledger, existence and contents against each other.
    #[prost(message, tag = "7")]
    Verify(Verify),
    /// Ends staging.
    #[prost(message, tag = "8")]
    Finish(Finish),
    /// Ends the launch and then the host. Stops a running extent between two chunks.
    #[prost(message, tag = "9")]
    Abort(Abort),
    /// Asks for a remembered answer.
    #[prost(message, tag = "10")]
    GetResult(GetResult),
    /// A stream is over: its stop, if it had one, may be forgotten. Not answered.
    #[prost(message, tag = "11")]
    EndStream(EndStream),
    /// Carries the staging memfd of a daemon that adopts the host, for the [`Stage`]s that follow on this connection.
    #[prost(message, tag = "12")]
    Staging(Staging),
    /// Asks for a sign of life. Answered beside the launch thread, whatever that does.
    #[prost(message, tag = "13")]
    Ping(Ping),
    /// What the ended launch told is safe elsewhere: the host may end.
    #[prost(message, tag = "14")]
    Bye(Bye),
    /// Sets how a vCPU begins. From version 3 on, as all that follow.
    #[prost(message, tag = "15")]
    SetVcpu(Vcpu),
    /// Runs the guest.
    #[prost(message, tag = "16")]
    Start(Start),
    /// Stops the guest.
    #[prost(message, tag = "17")]
    Stop(StopGuest),
    /// Wants to be told what the guest writes, from an offset on, for as long as the connection lasts; may be sent before it runs, and
    /// again without effect. If it has stopped, all that is kept comes before the answer.
    #[prost(message, tag = "18")]
    ListenConsole(ListenConsole),
    /// Input for the guest's serial port. Not answered: `Console` tells what the guest has taken.
    #[prost(message, tag = "19")]
    ConsoleInput(ConsoleInput),
    /// Asks for the CPUID page that firmware refused last. From version 4 on.
    #[prost(message, tag = "20")]
    GetRejectedCpuid(GetRejectedCpuid),
    /// Says how far the launch may go, for as long as this connection lasts; without it, it goes on by itself. Not answered. From version 6 on.
    #[prost(message, tag = "21")]
    Meter(Meter),
}

/// Opens a connection.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Hello {
    /// The daemon's version of this protocol.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Which daemon: a host obeys only the highest that it has seen.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// Asks what platforms find here.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Probe {}

/// Makes the launch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Create {
    /// The platform's number.
    #[prost(uint32, tag = "1")]
    pub platform: u32,
    /// Memory regions.
    #[prost(message, repeated, tag = "2")]
    pub regions: Vec<Region>,
    /// Script of the simulator.
    #[prost(message, optional, tag = "3")]
    pub sim: Option<Sim>,
    /// Opaque to the host, returned by [`Welcome`](super::Welcome).
    #[prost(bytes = "vec", tag = "4")]
    pub record: Vec<u8>,
    /// Calls are numbered and taken in order.
    #[prost(bool, tag = "5")]
    pub sequenced: bool,
    /// How long the host waits for a daemon before it ends itself; 0 for ever.
    #[prost(uint64, tag = "6")]
    pub lease_millis: u64,
    /// How many vCPUs the guest has; 0 for 1. From version 3 on.
    #[prost(uint32, tag = "7")]
    pub vcpus: u32,
    /// How they begin; as the architecture resets them where nothing is said.
    #[prost(message, repeated, tag = "8")]
    pub vcpu_states: Vec<Vcpu>,
    /// Settings of `sev-snp`. From version 4 on, as all that follow.
    #[prost(message, optional, tag = "9")]
    pub sev_snp: Option<SevSnp>,
    /// Settings of `tdx`.
    #[prost(message, optional, tag = "10")]
    pub tdx: Option<Tdx>,
}

/// Brings a staging memory.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Staging {}

/// Says how far the launch may go.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Meter {
    /// Pages that the ledger may reach, from all calls. A host that has to wait tells its snapshot. Never less than before on the same connection.
    #[prost(uint64, tag = "1")]
    pub up_to_pages: u64,
}

/// Asks for a sign of life.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Ping {}

/// Lets the host of an ended launch go.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Bye {}

/// Runs the guest.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Start {}

/// Stops the guest.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StopGuest {}

/// Listens to the console.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ListenConsole {
    /// Bytes of output that the daemon has already, from the first that the guest ever wrote.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
}

/// Input for the serial port.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConsoleInput {
    /// At most so many that no more than [`super::CONSOLE_INPUT`] are sent and not taken.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

/// One memory region.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Region {
    /// First address.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// Bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
}

/// Script of the simulator.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sim {
    /// Firmware time for one page.
    #[prost(uint64, tag = "1")]
    pub page_latency_nanos: u64,
    /// Faults.
    #[prost(message, repeated, tag = "2")]
    pub faults: Vec<SimFault>,
}

/// One scripted fault.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SimFault {
    /// The page.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// How often it strikes.
    #[prost(uint32, tag = "2")]
    pub times: u32,
    /// What happens.
    #[prost(oneof = "SimEffect", tags = "3, 4, 5, 6")]
    pub effect: Option<SimEffect>,
}

/// The effects of a [`SimFault`].
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum SimEffect {
    /// Firmware refuses with this status.
    #[prost(uint32, tag = "3")]
    FirmwareStatus(u32),
    /// The kernel refuses with this errno.
    #[prost(uint32, tag = "4")]
    KernelErrno(u32),
    /// The call succeeds short of this page.
    #[prost(bool, tag = "5")]
    StopShort(bool),
    /// The page exists although the ledger does not hold it.
    #[prost(bool, tag = "6")]
    StrayPage(bool),
}

/// Installs an extent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stage {
    /// First address.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// Bytes.
    #[prost(uint64, tag = "2")]
    pub length: u64,
    /// The page type's number.
    #[prost(uint32, tag = "3")]
    pub page_type: u32,
    /// Where the contents begin in the staging memfd; unset for an extent without contents.
    #[prost(uint64, optional, tag = "4")]
    pub staging_offset: Option<u64>,
    /// The call's number.
    #[prost(uint64, optional, tag = "5")]
    pub sequence: Option<u64>,
    /// The call's name; empty if it has none.
    #[prost(bytes = "vec", tag = "6")]
    pub request_id: Vec<u8>,
    /// The stream that it came on, not 0 and of this connection's choosing; 0 if it came alone.
    #[prost(uint64, tag = "7")]
    pub stream: u64,
    /// The contents are part of a stored image, whose descriptor comes with the request. From version 6 on.
    #[prost(message, optional, tag = "8")]
    pub image: Option<Image>,
}

/// Part of a stored image.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Image {
    /// Where the contents begin, in bytes.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// Bytes of the whole image.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// Digests of its pieces that the contents are in, 32 bytes each (`stagepages_digest::pieces`).
    #[prost(bytes = "vec", tag = "3")]
    pub pieces: Vec<u8>,
}

/// Asks for a remembered answer, by one of the two.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetResult {
    /// The call's number.
    #[prost(uint64, optional, tag = "1")]
    pub sequence: Option<u64>,
    /// The call's name.
    #[prost(bytes = "vec", tag = "2")]
    pub request_id: Vec<u8>,
}

/// A stream is over.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct EndStream {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub stream: u64,
}

/// Lists the ledger.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ListRuns {
    /// By installation, not by GPA.
    #[prost(bool, tag = "1")]
    pub by_installation: bool,
    /// Where to begin: an ordinal, or a frame number.
    #[prost(uint64, tag = "2")]
    pub from: u64,
    /// With hashes.
    #[prost(bool, tag = "3")]
    pub hashes: bool,
    /// Most runs wanted; at most [`super::MAX_PAGE_RUNS`] come.
    #[prost(uint32, tag = "4")]
    pub max_runs: u32,
}

/// Checks the launch.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Verify {}

/// Ends staging.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Finish {
    /// The digest that the caller expects; empty for no check.
    #[prost(bytes = "vec", tag = "1")]
    pub expected_digest: Vec<u8>,
    /// What firmware is given, on `sev-snp`. From version 4 on.
    #[prost(message, optional, tag = "2")]
    pub sev_snp: Option<SevSnpFinish>,
}

impl Finish {
    /// The launch digest that the argument at this path names, as a refusal tells it; nothing if it names none.
    #[must_use]
    pub fn digest_of(&self, field: &str) -> &[u8] {
        let id_block = self.sev_snp.as_ref().map(|snp| snp.id_block.as_slice());
        match field {
            "expected_launch_digest" => &self.expected_digest,
            "sev_snp.id_block" => id_block.and_then(|id| id.get(..48)).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Ends the launch.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Abort {
    /// Its lease ran out; otherwise somebody asked for it.
    #[prost(bool, tag = "1")]
    pub lease_expired: bool,
}
