//! vCPU states and console output, field by field.
//!
//! The same shapes as in the public API, which this crate does not know.

/// How one vCPU begins.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Vcpu {
    /// Which, from 0.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    /// Its registers.
    #[prost(oneof = "VcpuStart", tags = "2, 3, 4, 5, 6")]
    pub start: Option<VcpuStart>,
}

/// The ways to begin.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum VcpuStart {
    /// As the architecture resets it.
    #[prost(bool, tag = "2")]
    Reset(bool),
    /// 16-bit real mode.
    #[prost(message, tag = "3")]
    RealMode(RealMode),
    /// 64-bit mode.
    #[prost(message, tag = "4")]
    LongMode(LongMode),
    /// Every register.
    #[prost(message, boxed, tag = "5")]
    Registers(Box<Registers>),
    /// As the TDX module resets it, with this. From version 4 on.
    #[prost(message, tag = "6")]
    Tdx(TdxStart),
}

/// How a TDX vCPU begins.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct TdxStart {
    /// RCX.
    #[prost(uint64, tag = "1")]
    pub rcx: u64,
}

/// 16-bit real mode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RealMode {
    /// The code segment's selector.
    #[prost(uint32, tag = "1")]
    pub cs: u32,
    /// The instruction pointer.
    #[prost(uint32, tag = "2")]
    pub ip: u32,
    /// The stack pointer.
    #[prost(uint32, tag = "3")]
    pub sp: u32,
    /// The others.
    #[prost(message, optional, tag = "4")]
    pub general: Option<General>,
}

/// 64-bit mode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LongMode {
    /// The instruction pointer.
    #[prost(uint64, tag = "1")]
    pub rip: u64,
    /// The stack pointer.
    #[prost(uint64, tag = "2")]
    pub rsp: u64,
    /// The top page table.
    #[prost(uint64, tag = "3")]
    pub cr3: u64,
    /// The others.
    #[prost(message, optional, tag = "4")]
    pub general: Option<General>,
}

/// General registers, but the stack pointer.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct General {
    /// rax.
    #[prost(uint64, tag = "1")]
    pub rax: u64,
    /// rbx.
    #[prost(uint64, tag = "2")]
    pub rbx: u64,
    /// rcx.
    #[prost(uint64, tag = "3")]
    pub rcx: u64,
    /// rdx.
    #[prost(uint64, tag = "4")]
    pub rdx: u64,
    /// rsi.
    #[prost(uint64, tag = "5")]
    pub rsi: u64,
    /// rdi.
    #[prost(uint64, tag = "6")]
    pub rdi: u64,
    /// rbp.
    #[prost(uint64, tag = "7")]
    pub rbp: u64,
    /// r8.
    #[prost(uint64, tag = "8")]
    pub r8: u64,
    /// r9.
    #[prost(uint64, tag = "9")]
    pub r9: u64,
    /// r10.
    #[prost(uint64, tag = "10")]
    pub r10: u64,
    /// r11.
    #[prost(uint64, tag = "11")]
    pub r11: u64,
    /// r12.
    #[prost(uint64, tag = "12")]
    pub r12: u64,
    /// r13.
    #[prost(uint64, tag = "13")]
    pub r13: u64,
    /// r14.
    #[prost(uint64, tag = "14")]
    pub r14: u64,
    /// r15.
    #[prost(uint64, tag = "15")]
    pub r15: u64,
}

/// Every register.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Registers {
    /// General registers.
    #[prost(message, optional, tag = "1")]
    pub general: Option<General>,
    /// The stack pointer.
    #[prost(uint64, tag = "2")]
    pub rsp: u64,
    /// The instruction pointer.
    #[prost(uint64, tag = "3")]
    pub rip: u64,
    /// Flags.
    #[prost(uint64, tag = "4")]
    pub rflags: u64,
    /// Code segment.
    #[prost(message, optional, tag = "5")]
    pub cs: Option<Segment>,
    /// Data segment.
    #[prost(message, optional, tag = "6")]
    pub ds: Option<Segment>,
    /// Extra segment.
    #[prost(message, optional, tag = "7")]
    pub es: Option<Segment>,
    /// FS.
    #[prost(message, optional, tag = "8")]
    pub fs: Option<Segment>,
    /// GS.
    #[prost(message, optional, tag = "9")]
    pub gs: Option<Segment>,
    /// Stack segment.
    #[prost(message, optional, tag = "10")]
    pub ss: Option<Segment>,
    /// Task register.
    #[prost(message, optional, tag = "11")]
    pub tr: Option<Segment>,
    /// Local descriptor table.
    #[prost(message, optional, tag = "12")]
    pub ldtr: Option<Segment>,
    /// Global descriptor table.
    #[prost(message, optional, tag = "13")]
    pub gdtr: Option<Table>,
    /// Interrupt descriptor table.
    #[prost(message, optional, tag = "14")]
    pub idtr: Option<Table>,
    /// Control register 0.
    #[prost(uint64, tag = "15")]
    pub cr0: u64,
    /// Control register 2.
    #[prost(uint64, tag = "16")]
    pub cr2: u64,
    /// Control register 3.
    #[prost(uint64, tag = "17")]
    pub cr3: u64,
    /// Control register 4.
    #[prost(uint64, tag = "18")]
    pub cr4: u64,
    /// Extended features.
    #[prost(uint64, tag = "19")]
    pub efer: u64,
    /// Page attribute table; unset as the architecture resets it.
    #[prost(uint64, optional, tag = "20")]
    pub pat: Option<u64>,
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Segment {
    /// The selector.
    #[prost(uint32, tag = "1")]
    pub selector: u32,
    /// Attributes as in a VMCB.
    #[prost(uint32, tag = "2")]
    pub attributes: u32,
    /// The limit, in bytes.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
    /// The base.
    #[prost(uint64, tag = "4")]
    pub base: u64,
}

/// A descriptor table register.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Table {
    /// The base.
    #[prost(uint64, tag = "1")]
    pub base: u64,
    /// The limit, in bytes.
    #[prost(uint32, tag = "2")]
    pub limit: u32,
}

/// Bytes that a guest wrote to one port, one after the other.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConsoleRun {
    /// The port's number.
    #[prost(uint32, tag = "1")]
    pub port: u32,
    /// The bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}
