//! What an operator may set of the policy, and what is refused of it.
//!
//! **Invariant:** a [`Config`] that passed [`Config::validate`] makes every wait of the policy finite.

use std::time::Duration;

/// The policy's settings. [`Config::default`] suits SNP's firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The firmware time that one grant covers, and so the longest time for which a decision binds the machine. More than zero.
    pub quantum: Duration,
    /// Of how many quanta one goes to the lower classes while they wait. At least 2.
    pub low_share: u32,
    /// How long the turn stays with a launch that has nothing to install, from its last progress and once more from the answer to its last
    /// call. At most a quantum; zero turns it off.
    pub patience: Duration,
    /// How long the launch with the turn may show no progress. At least two quanta; also never less than the time of four pages.
    pub stall: Duration,
    /// How many launches may wait before new ones are refused. At least 1.
    pub max_waiting: usize,
    /// The time of a page until it is measured. More than zero.
    pub page_time: Duration,
    /// Pages that a quantum has at least, however long they take: twice those that a host hands to the platform at once. A smaller grant would cut these up, and
    /// the firmware would wait after each for the next grant.
    pub least_pages: u64,
}

/// A setting that cannot be scheduled by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The quantum is zero.
    #[error("quantum is zero: set how long one launch may bind the firmware, such as 50 ms")]
    NoQuantum,
    /// Nothing would be left to a higher class.
    #[error("low_share is {0}: of that many quanta one goes to lower classes, so set at least 2")]
    LowShare(u32),
    /// The firmware would idle for longer than it works.
    #[error("patience of {patience:?} exceeds the quantum of {quantum:?}: set at most a quantum")]
    Patience {
        /// As set.
        patience: Duration,
        /// As set.
        quantum: Duration,
    },
    /// A launch at work would be taken for a stalled one.
    #[error(
        "stall of {stall:?} is less than two quanta of {quantum:?}: a launch may report only when its grant is used up, set more"
    )]
    Stall {
        /// As set.
        stall: Duration,
        /// As set.
        quantum: Duration,
    },
    /// Every launch would be refused.
    #[error("max_waiting is zero: set how many launches may wait, at least 1")]
    NoPlace,
    /// Grants would have no size.
    #[error("page_time is zero: set a first guess, such as 1 ms; it is measured afterwards")]
    NoPageTime,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quantum: Duration::from_millis(50),
            low_share: 8,
            patience: Duration::from_millis(2),
            stall: Duration::from_secs(2),
            max_waiting: 1024,
            page_time: Duration::from_millis(1),
            least_pages: 1,
        }
    }
}

impl Config {
    /// Says whether it can be scheduled by.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            quantum,
            patience,
            stall,
            ..
        } = *self;
        if quantum.is_zero() {
            return Err(ConfigError::NoQuantum);
        }
        if self.low_share < 2 {
            return Err(ConfigError::LowShare(self.low_share));
        }
        if patience > quantum {
            return Err(ConfigError::Patience { patience, quantum });
        }
        if stall < quantum.saturating_mul(2) {
            return Err(ConfigError::Stall { stall, quantum });
        }
        if self.max_waiting == 0 {
            return Err(ConfigError::NoPlace);
        }
        if self.page_time.is_zero() {
            return Err(ConfigError::NoPageTime);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn every_bound_is_refused_by_its_name() {
        let of = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(of(|c| c.quantum = Duration::ZERO).starts_with("quantum is zero"));
        assert!(of(|c| c.low_share = 1).starts_with("low_share is 1"));
        assert!(of(|c| c.patience = Duration::from_millis(51)).starts_with("patience of 51ms"));
        assert!(of(|c| c.stall = Duration::from_millis(99)).starts_with("stall of 99ms"));
        assert!(of(|c| c.max_waiting = 0).starts_with("max_waiting is zero"));
        assert!(of(|c| c.page_time = Duration::ZERO).starts_with("page_time is zero"));
    }
}
