//! What the host sends, field by field.
//!
//! Enumerations travel as numbers of this protocol (see `convert.rs`), addresses in bytes.

use super::{ConsoleRun, Facts, RejectedCpuid, Spent, Stage};

/// What the host sends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reply {
    /// Answer or event.
    #[prost(oneof = "Message", tags = "1, 2, 3, 4")]
    pub message: Option<Message>,
}

/// The kinds of [`Reply`].
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, on its way out"
)]
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Message {
    /// The answer to a request.
    #[prost(message, tag = "1")]
    Response(Response),
    /// Progress inside a running extent: the launch as it is now. May be left out.
    #[prost(message, tag = "2")]
    Progress(Snapshot),
    /// When the launch is over, and again to each daemon that comes later: the answers that it remembers. May come in several parts.
    #[prost(message, tag = "3")]
    Farewell(Farewell),
    /// What the guest wrote, to a daemon that listens; all of it comes before the snapshot that says that the guest has stopped.
    #[prost(message, tag = "4")]
    Console(Console),
}

/// What a guest wrote, and what it read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Console {
    /// Bytes that it wrote before these, kept or not.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// What it wrote next; may be empty.
    #[prost(message, repeated, tag = "2")]
    pub runs: Vec<ConsoleRun>,
    /// Bytes of input that it has taken, ever; and those that were dropped with the connection that sent them.
    #[prost(uint64, tag = "3")]
    pub input_taken: u64,
}

/// The answer to one [`Request`](super::Request).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// The request's id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The launch after the request; unset while there is none.
    #[prost(message, optional, tag = "2")]
    pub snapshot: Option<Snapshot>,
    /// What came of it.
    #[prost(oneof = "Outcome", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    pub outcome: Option<Outcome>,
}

/// The outcomes of a [`Response`].
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, on its way out"
)]
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Outcome {
    /// Answers `Hello`.
    #[prost(message, tag = "3")]
    Welcome(Welcome),
    /// Answers `Probe`.
    #[prost(message, tag = "4")]
    Probed(Probed),
    /// Answers `Create`, `Staging`, `SetVcpu`, `Finish`, `Start`, `Stop`, `Abort`, `ListenConsole` and `Bye`.
    #[prost(message, tag = "5")]
    Done(Done),
    /// Answers `Stage`: complete, or a short count.
    #[prost(message, tag = "6")]
    Staged(Staged),
    /// Answers `ListRuns`.
    #[prost(message, tag = "7")]
    Runs(RunsPage),
    /// Answers `Verify`.
    #[prost(message, tag = "8")]
    Verified(VerifyReport),
    /// Any request can be refused.
    #[prost(message, tag = "9")]
    Refused(Refused),
    /// Answers `GetResult`.
    #[prost(message, tag = "10")]
    Remembered(Remembered),
    /// Answers `Ping`.
    #[prost(message, tag = "11")]
    Pong(Pong),
    /// Answers `GetRejectedCpuid`.
    #[prost(message, tag = "12")]
    RejectedCpuid(RejectedCpuid),
}

/// Accepts a connection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    /// The version that both speak from here on.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The daemon's own record as given with [`Create`](super::Create); empty while there is no launch.
    #[prost(bytes = "vec", tag = "2")]
    pub record: Vec<u8>,
}

/// Answers [`Probe`](super::Probe).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Probed {
    /// One for each platform.
    #[prost(message, repeated, tag = "1")]
    pub reports: Vec<ProbeReport>,
}

/// What one platform finds here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProbeReport {
    /// The platform's number.
    #[prost(uint32, tag = "1")]
    pub platform: u32,
    /// Each thing looked at.
    #[prost(message, repeated, tag = "2")]
    pub checks: Vec<ProbeCheck>,
    /// This program can run its guests. From version 3 on.
    #[prost(bool, tag = "3")]
    pub runs_guests: bool,
    /// What KVM takes. From version 4 on.
    #[prost(message, optional, tag = "4")]
    pub facts: Option<Facts>,
}

/// One thing that a platform needs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProbeCheck {
    /// What.
    #[prost(string, tag = "1")]
    pub subject: String,
    /// Whether it is there.
    #[prost(bool, tag = "2")]
    pub ok: bool,
    /// What was found.
    #[prost(string, tag = "3")]
    pub found: String,
    /// What an operator can do.
    #[prost(string, tag = "4")]
    pub remedy: String,
}

/// Answers that are remembered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Farewell {
    /// Some of them.
    #[prost(message, repeated, tag = "1")]
    pub answers: Vec<Remembered>,
    /// Nothing more follows: the host waits for [`Bye`](super::Bye).
    #[prost(bool, tag = "2")]
    pub last: bool,
}

/// Answers [`Ping`](super::Ping).
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Pong {
    /// How long the launch thread has been at its request without finishing a chunk; 0 if it waits for requests.
    #[prost(uint64, tag = "1")]
    pub silent_millis: u64,
}

/// One remembered answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Remembered {
    /// What was asked for, without contents.
    #[prost(message, optional, tag = "1")]
    pub call: Option<Stage>,
    /// What came of it, if it was applied.
    #[prost(message, optional, tag = "2")]
    pub staged: Option<Staged>,
    /// What came of it otherwise.
    #[prost(message, optional, tag = "3")]
    pub refused: Option<Refused>,
}

/// Answers [`Stage`] when the extent was applied, wholly or short of an installed page.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Staged {
    /// Pages that this request installed.
    #[prost(uint64, tag = "1")]
    pub installed_pages: u64,
    /// What stopped it; unset if it is complete.
    #[prost(message, optional, tag = "2")]
    pub stop: Option<Stop>,
    /// What its time went to; unset in what is remembered, and by hosts that do not know it.
    #[prost(message, optional, tag = "3")]
    pub spent: Option<Spent>,
}

/// An installed page in the way.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Stop {
    /// The page.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// The number of the type that it was installed with.
    #[prost(uint32, tag = "2")]
    pub page_type: u32,
    /// Consecutive pages from here on that are installed as submitted; 0 if this one is not.
    #[prost(uint64, tag = "3")]
    pub identical_pages: u64,
}

/// Part of the ledger.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RunsPage {
    /// The runs.
    #[prost(message, repeated, tag = "1")]
    pub runs: Vec<Run>,
    /// Where the next part begins; unset at the end.
    #[prost(uint64, optional, tag = "2")]
    pub next: Option<u64>,
}

/// Consecutive pages of one type, installed one after the other.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Run {
    /// First address.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// Pages.
    #[prost(uint64, tag = "2")]
    pub pages: u64,
    /// The page type's number.
    #[prost(uint32, tag = "3")]
    pub page_type: u32,
    /// Pages installed before.
    #[prost(uint64, tag = "4")]
    pub first_ordinal: u64,
    /// One hash stands for all pages.
    #[prost(bool, tag = "5")]
    pub uniform: bool,
    /// Hashes, 32 bytes each.
    #[prost(bytes = "vec", tag = "6")]
    pub hashes: Vec<u8>,
}

/// Answers [`Verify`](super::Verify).
#[derive(Clone, PartialEq, prost::Message)]
pub struct VerifyReport {
    /// Installed pages whose existence was checked.
    #[prost(uint64, tag = "1")]
    pub pages_checked: u64,
    /// Of these, pages hashed anew.
    #[prost(uint64, tag = "2")]
    pub contents_checked: u64,
    /// The first differences.
    #[prost(message, repeated, tag = "3")]
    pub findings: Vec<Finding>,
    /// All differences.
    #[prost(uint64, tag = "4")]
    pub findings_total: u64,
}

/// One difference.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Finding {
    /// The page.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// 1 missing, 2 stray, 3 contents.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
}

/// Nothing to add to the snapshot.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Done {
    /// What its time went to. Hosts before told it of `Create` alone.
    #[prost(message, optional, tag = "1")]
    pub spent: Option<Spent>,
}

/// The launch as it is at one moment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Snapshot {
    /// The state's number.
    #[prost(uint32, tag = "1")]
    pub state: u32,
    /// Distinct pages installed.
    #[prost(uint64, tag = "2")]
    pub installed_pages: u64,
    /// The launch digest that the launch is expected to end in; empty where the platform has none.
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
    /// Pages that the digest covers. From version 5 on, and set with every digest: one without it is of another meaning.
    #[prost(uint64, optional, tag = "7")]
    pub measured_pages: Option<u64>,
    /// Why it is aborted.
    #[prost(message, optional, tag = "4")]
    pub abort: Option<AbortCause>,
    /// The number of the next call.
    #[prost(uint64, tag = "5")]
    pub next_sequence: u64,
    /// Why the guest stopped.
    #[prost(message, optional, tag = "6")]
    pub stop: Option<GuestStop>,
}

/// Why a guest stopped.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GuestStop {
    /// The reason's number.
    #[prost(uint32, tag = "1")]
    pub reason: u32,
    /// For a person.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The vCPU that did it.
    #[prost(uint32, optional, tag = "3")]
    pub vcpu: Option<u32>,
    /// What it wrote to isa-debug-exit.
    #[prost(uint32, optional, tag = "4")]
    pub exit_code: Option<u32>,
    /// The address of a memory fault.
    #[prost(uint64, optional, tag = "5")]
    pub gpa: Option<u64>,
}

/// Why a launch was aborted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AbortCause {
    /// The reason's number.
    #[prost(uint32, tag = "1")]
    pub reason: u32,
    /// For a person.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// A refused request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    /// The reason's number.
    #[prost(uint32, tag = "1")]
    pub reason: u32,
    /// For a person.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Pages that the request installed before.
    #[prost(uint64, tag = "3")]
    pub installed_pages: u64,
    /// The page it is about.
    #[prost(uint64, optional, tag = "4")]
    pub gpa: Option<u64>,
    /// The number of its page type.
    #[prost(uint32, optional, tag = "5")]
    pub page_type: Option<u32>,
    /// The kernel's errno.
    #[prost(int32, optional, tag = "6")]
    pub errno: Option<i32>,
    /// The firmware's status.
    #[prost(uint32, optional, tag = "7")]
    pub firmware_status: Option<u32>,
    /// For an installed page in the way.
    #[prost(message, optional, tag = "8")]
    pub stop: Option<Stop>,
    /// For a digest that differs: the launch's own.
    #[prost(bytes = "vec", tag = "9")]
    pub actual_digest: Vec<u8>,
    /// For a number out of sequence: the next one.
    #[prost(uint64, optional, tag = "10")]
    pub next_sequence: Option<u64>,
    /// For a vCPU state and for settings: the field that is wrong, as its path in the request, for example `long_mode.cr3`.
    #[prost(string, tag = "11")]
    pub field: String,
    /// What else the platform said. From version 4 on.
    #[prost(message, optional, tag = "12")]
    pub platform: Option<PlatformWords>,
    /// For `Stage`: what its time went to. Unset in what is remembered, for calls that were not taken up, and by hosts that do not know it.
    #[prost(message, optional, tag = "13")]
    pub spent: Option<Spent>,
}

/// What a platform said to a refused call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlatformWords {
    /// The kernel's name for the call that failed.
    #[prost(string, tag = "1")]
    pub ioctl: String,
    /// What the TDX module said.
    #[prost(uint64, optional, tag = "2")]
    pub hw_error: Option<u64>,
    /// Entries of a refused CPUID page that firmware would have otherwise.
    #[prost(uint64, tag = "3")]
    pub cpuid_differences: u64,
    /// The first of them, in words.
    #[prost(string, repeated, tag = "4")]
    pub cpuid_words: Vec<String>,
}
