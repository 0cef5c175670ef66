//! How a vCPU begins, in the form in which people type it.
//!
//! ```text
//! INDEX=reset                     as the architecture resets it
//! INDEX=real:CS:IP[:SP]           16-bit real mode
//! INDEX=long:RIP:CR3[:RSP]        64-bit mode with the page tables at CR3
//! INDEX=tdx:RCX                   as the TDX module resets it, with this in RCX
//! ```
//!
//! `real` and `long` may be followed by other general registers: `0=long:0x100000:0x1000,rsi=0x7000`. Numbers are hex with `0x`, or decimal.
//!
//! **Invariant:** never judges a register: what a vCPU allows, the launch host says.

use std::{fmt, str::FromStr};

use stagepages_proto::v1::{self, GeneralRegisters, vcpu_state::State};

use crate::addr::{ParseError, number};

const FORM: &str = "INDEX=reset, INDEX=tdx:RCX, INDEX=real:CS:IP[:SP] or INDEX=long:RIP:CR3[:RSP], the last two with ,REGISTER=VALUE as wanted; numbers in hex (0x1000) or decimal";

/// One vCPU and how it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Vcpu(Box<v1::VcpuState>);

impl From<Vcpu> for v1::VcpuState {
    fn from(vcpu: Vcpu) -> Self {
        *vcpu.0
    }
}

impl From<&v1::VcpuState> for Vcpu {
    fn from(state: &v1::VcpuState) -> Self {
        Self(Box::new(*state))
    }
}

impl FromStr for Vcpu {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (index, state) = text.split_once('=')?;
            Some(v1::VcpuState {
                index: number(index).and_then(narrow)?,
                state: Some(state_of(state)?),
            })
        };
        parse()
            .map(|state| Self(Box::new(state)))
            .ok_or_else(|| ParseError::new(text, "a vCPU's state", FORM))
    }
}

fn state_of(text: &str) -> Option<State> {
    if text == "reset" {
        return Some(State::Reset(v1::VcpuReset {}));
    }
    if let Some(rcx) = text.strip_prefix("tdx:") {
        let rcx = number(rcx)?;
        return Some(State::Tdx(v1::TdxVcpuState { rcx }));
    }
    let (place, registers) = text.split_once(',').unwrap_or((text, ""));
    let general = general_of(registers)?;
    let mut parts = place.split(':');
    let mode = parts.next()?;
    let (first, second) = (number(parts.next()?)?, number(parts.next()?)?);
    let stack = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() || (text.contains(',') && general.is_none()) {
        return None;
    }
    match mode {
        "real" => Some(State::RealMode(v1::RealModeState {
            cs: narrow(first)?,
            ip: narrow(second)?,
            sp: narrow(stack)?,
            general,
        })),
        "long" => Some(State::LongMode(v1::LongModeState {
            rip: first,
            cr3: second,
            rsp: stack,
            general,
        })),
        _ => None,
    }
}

/// `NAME=VALUE,…`; `Some(None)` if there is none. A register that is named twice is a mistake.
fn general_of(text: &str) -> Option<Option<GeneralRegisters>> {
    if text.is_empty() {
        return Some(None);
    }
    let mut general = GeneralRegisters::default();
    let mut seen = Vec::new();
    for assignment in text.split(',') {
        let (name, value) = assignment.split_once('=')?;
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        let known = registers(&mut general).into_iter();
        let (_, register) = { known }.find(|(known, _)| *known == name)?;
        *register = number(value)?;
    }
    Some(Some(general))
}

fn registers(general: &mut GeneralRegisters) -> [(&'static str, &mut u64); 15] {
    [
        ("rax", &mut general.rax),
        ("rbx", &mut general.rbx),
        ("rcx", &mut general.rcx),
        ("rdx", &mut general.rdx),
        ("rsi", &mut general.rsi),
        ("rdi", &mut general.rdi),
        ("rbp", &mut general.rbp),
        ("r8", &mut general.r8),
        ("r9", &mut general.r9),
        ("r10", &mut general.r10),
        ("r11", &mut general.r11),
        ("r12", &mut general.r12),
        ("r13", &mut general.r13),
        ("r14", &mut general.r14),
        ("r15", &mut general.r15),
    ]
}

fn narrow(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

impl fmt::Display for Vcpu {
    /// The form that is typed; a state that cannot be typed, every register, is summed up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.0.index)?;
        let (general, stack) = match &self.0.state {
            None => return f.write_str("unset"),
            Some(State::Reset(v1::VcpuReset {})) => return f.write_str("reset"),
            Some(State::Registers(all)) => {
                return write!(
                    f,
                    "registers, rip {:#x}, cr0 {:#x}, cr3 {:#x}",
                    all.rip, all.cr0, all.cr3
                );
            }
            Some(State::Tdx(tdx)) => return write!(f, "tdx:{:#x}", tdx.rcx),
            Some(State::RealMode(real)) => {
                write!(f, "real:{:#x}:{:#x}", real.cs, real.ip)?;
                (real.general, u64::from(real.sp))
            }
            Some(State::LongMode(long)) => {
                write!(f, "long:{:#x}:{:#x}", long.rip, long.cr3)?;
                (long.general, long.rsp)
            }
        };
        if stack != 0 {
            write!(f, ":{stack:#x}")?;
        }
        let mut general = general.unwrap_or_default();
        for (name, value) in registers(&mut general) {
            if *value != 0 {
                write!(f, ",{name}={value:#x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_shown_again() {
        for text in [
            "0=reset",
            "1=real:0x0:0x1000",
            "2=real:0xf000:0xfff0:0x8000",
            "0=long:0x100000:0x1000",
            "1=tdx:0x0",
            "0=tdx:0x809000",
            "63=long:0xffffffff80000000:0x1000:0x9000,rsi=0x7000,r15=0x1",
        ] {
            assert_eq!(text.parse::<Vcpu>().unwrap().to_string(), text);
        }
        assert_eq!("0=real:0:4096".parse(), "0=real:0x0:0x1000".parse::<Vcpu>());
    }

    #[test]
    fn registers_go_where_their_names_say() {
        let vcpu: Vcpu = "3=long:1:2:3,rax=4,r8=5".parse().unwrap();
        let state = v1::LongModeState {
            rip: 1,
            cr3: 2,
            rsp: 3,
            general: Some(GeneralRegisters {
                rax: 4,
                r8: 5,
                ..GeneralRegisters::default()
            }),
        };
        assert_eq!(
            (vcpu.0.index, vcpu.0.state),
            (3, Some(State::LongMode(state)))
        );
    }

    #[test]
    fn anything_else_is_refused_with_the_form() {
        for text in [
            "",
            "reset",
            "0",
            "0=",
            "=reset",
            "x=reset",
            "-1=reset",
            "4294967296=reset",
            "0=Reset",
            "0=real",
            "0=real:0",
            "0=real:0:0:0:0",
            "0=real:0x100000000:0",
            "0=long:0x1000",
            "0=long:0:0,",
            "0=long:0:0,rsp=1",
            "0=long:0:0,rax",
            "0=long:0:0,rax=1,rax=2",
            "0=reset,rax=1",
            "0=wide:0:0",
            "0=tdx",
            "0=tdx:",
            "0=tdx:1:2",
            "0=tdx:1,rcx=2",
        ] {
            let error = text.parse::<Vcpu>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("INDEX=long:RIP:CR3"),
                "{error}"
            );
        }
    }
}
