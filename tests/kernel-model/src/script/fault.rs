//! Which call, which page, how often.
//!
//! **Invariant:** a fault strikes in one process on its own: another process with the same script counts anew.

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::{Call, Profile};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The call that it strikes.
    pub at: Call,
    /// The guest frame that it strikes; without one, the call itself or its first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gfn: Option<u64>,
    /// How often it strikes. Without it once, and a latency always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How many such calls, or visits of that page, pass before it strikes.
    #[serde(default)]
    pub after: u64,
    /// What it does.
    pub effect: Effect,
}

/// A fault that has struck, as the trace tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struck {
    /// The call that it struck.
    pub call: Call,
    /// The page that it struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gfn: Option<u64>,
    /// What it did.
    pub effect: Effect,
}

/// The faults of a script, and how often each may still strike.
#[derive(Debug)]
pub struct Faults(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    to_pass: u64,
    left: u64,
}

impl Fault {
    /// Strikes the next such call, once.
    #[must_use]
    pub fn at(call: Call, effect: Effect) -> Self {
        Self {
            at: call,
            gfn: None,
            times: None,
            after: 0,
            effect,
        }
    }

    /// Strikes at this frame.
    #[must_use]
    pub fn on_gfn(mut self, gfn: u64) -> Self {
        self.gfn = Some(gfn);
        self
    }

    /// Lets so many calls, or visits of its page, pass.
    #[must_use]
    pub fn after(mut self, calls: u64) -> Self {
        self.after = calls;
        self
    }

    /// Strikes so often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// It could strike on the kernel of `profile`.
    pub(super) fn check(&self, profile: Profile) -> Result<(), String> {
        let name = self.at.name();
        if !self.effect.fits(self.at) {
            return Err(format!("faults: {:?} cannot happen in {name}", self.effect));
        }
        if !self.effect.is_of(profile, self.at) {
            return Err(format!(
                "faults: {:?} does nothing to {name} on {profile}",
                self.effect
            ));
        }
        if self.gfn.is_some() && !self.effect.strikes_pages(self.at) {
            return Err(format!(
                "faults: {:?} strikes {name} as a whole, not at a gfn",
                self.effect
            ));
        }
        if self.times == Some(0) {
            return Err(format!("faults: one at {name} strikes 0 times"));
        }
        Ok(())
    }

    fn times_or_default(&self) -> u64 {
        let endless = matches!(self.effect, Effect::Latency(_));
        self.times.unwrap_or(if endless { u64::MAX } else { 1 })
    }
}

impl Faults {
    /// Those of a script, none of which has struck.
    #[must_use]
    pub fn new(faults: &[Fault]) -> Self {
        let arm = |fault: &Fault| Armed {
            fault: fault.clone(),
            to_pass: fault.after,
            left: fault.times_or_default(),
        };
        Self(faults.iter().map(arm).collect())
    }

    /// What strikes this call as a whole, now that it was made.
    pub fn strike_call(&mut self, call: Call) -> Option<Effect> {
        self.strike(|fault| {
            fault.at == call && !fault.effect.strikes_pages(call) && !is_latency(fault)
        })
    }

    /// What strikes at this page of a call, now that the call has come to it.
    pub fn strike_page(&mut self, call: Call, gfn: u64, is_first: bool) -> Option<Effect> {
        self.strike(|fault| {
            fault.at == call
                && fault.effect.strikes_pages(call)
                && !is_latency(fault)
                && fault.gfn.map_or(is_first, |at| at == gfn)
        })
    }

    /// How long this call takes, or each page of it, in microseconds.
    pub fn latency(&mut self, call: Call, gfn: Option<u64>) -> u64 {
        let struck = self.strike(|fault| {
            fault.at == call && is_latency(fault) && (fault.gfn.is_none() || fault.gfn == gfn)
        });
        if let Some(Effect::Latency(microseconds)) = struck {
            microseconds
        } else {
            0
        }
    }

    /// The first that fits and is due. One that still lets calls pass counts this one, and leaves it to the others.
    fn strike(&mut self, fits: impl Fn(&Fault) -> bool) -> Option<Effect> {
        for armed in &mut self.0 {
            if armed.left == 0 || !fits(&armed.fault) {
                continue;
            }
            if armed.to_pass > 0 {
                armed.to_pass -= 1;
                continue;
            }
            armed.left -= 1;
            return Some(armed.fault.effect);
        }
        None
    }
}

fn is_latency(fault: &Fault) -> bool {
    matches!(fault.effect, Effect::Latency(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_after_as_many_calls_and_as_often_as_it_says() {
        let fault = Fault::at(Call::CreateVm, Effect::Errno(4))
            .after(1)
            .times(2);
        let mut faults = Faults::new(&[fault]);
        let struck: Vec<_> = (0..4).map(|_| faults.strike_call(Call::CreateVm)).collect();
        let hit = Some(Effect::Errno(4));
        assert_eq!(struck, [None, hit, hit, None]);
    }

    #[test]
    fn a_fault_without_a_gfn_strikes_the_first_page() {
        let call = Call::SnpLaunchUpdate;
        let mut faults = Faults::new(&[Fault::at(call, Effect::Signal)]);
        assert_eq!(faults.strike_page(call, 9, false), None);
        assert_eq!(faults.strike_page(call, 3, true), Some(Effect::Signal));
        assert_eq!(faults.strike_page(call, 3, true), None);
    }

    #[test]
    fn a_fault_with_a_gfn_strikes_there_only() {
        let call = Call::SnpLaunchUpdate;
        let mut faults = Faults::new(&[Fault::at(call, Effect::Signal).on_gfn(9)]);
        assert_eq!(faults.strike_page(call, 3, true), None);
        assert_eq!(faults.strike_page(call, 9, false), Some(Effect::Signal));
    }

    #[test]
    fn latency_hides_no_other_fault_and_lasts() {
        let call = Call::SnpLaunchUpdate;
        let mut faults = Faults::new(&[
            Fault::at(call, Effect::Latency(50)),
            Fault::at(call, Effect::Duplicate),
        ]);
        assert_eq!(faults.strike_page(call, 1, true), Some(Effect::Duplicate));
        assert_eq!(faults.latency(call, Some(1)), 50);
        assert_eq!(faults.latency(call, Some(2)), 50);
    }
}
