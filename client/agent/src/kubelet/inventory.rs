//! The devices of this node, and what ails them.
//!
//! **Invariant:** a platform that was once offered stays in it: kubelet is told that its devices are unhealthy, not that they never were.

use std::collections::{BTreeMap, BTreeSet};

use stagepages_client::{v1::Platform, words};

use super::{
    api::{HEALTHY, UNHEALTHY, v1beta1::Device},
    device::DeviceId,
};

/// The devices of one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// How many there are, numbered from 0.
    pub count: u32,
    /// What ails all of them.
    pub problem: Option<String>,
    /// Those whose directory is missing, so that there is nothing to mount.
    pub without_directory: BTreeSet<u32>,
}

impl Offer {
    /// What ails one of them.
    #[must_use]
    pub fn ails(&self, number: u32) -> Option<&str> {
        let missing = self.without_directory.contains(&number);
        let missing = missing.then_some("the daemon has made no directory for it");
        self.problem.as_deref().or(missing)
    }
}

/// All that is known of this node's devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    offers: BTreeMap<Platform, Offer>,
    is_told: bool,
}

impl Inventory {
    /// Whether the daemon has said what there is, though it be nothing.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Platforms that have, or had, devices.
    #[must_use]
    pub fn offered(&self) -> Vec<Platform> {
        self.offers.keys().copied().collect()
    }

    /// What there is of a platform.
    #[must_use]
    pub fn of(&self, platform: Platform) -> Option<&Offer> {
        self.offers.get(&platform)
    }

    /// The same devices, none of them usable.
    #[must_use]
    pub fn ailing(&self, problem: &str) -> Self {
        let mut ailing = self.clone();
        for offer in ailing.offers.values_mut() {
            offer.problem = Some(problem.to_owned());
        }
        ailing
    }

    /// What the daemon says now. Platforms without devices are not taken up, but one that had some stays.
    #[must_use]
    pub fn renewed(&self, said: impl IntoIterator<Item = (Platform, Offer)>) -> Self {
        let mut offers: BTreeMap<_, _> = { self.offers.keys() }
            .map(|had| (*had, Offer::default()))
            .collect();
        for (platform, offer) in said {
            if offer.count > 0 || self.offers.contains_key(&platform) {
                offers.insert(platform, offer);
            }
        }
        Self {
            offers,
            is_told: true,
        }
    }

    /// The devices of a platform as kubelet is told of them.
    #[must_use]
    pub fn devices(&self, platform: Platform) -> Vec<Device> {
        let Some(offer) = self.of(platform) else {
            return Vec::new();
        };
        let device = |number| Device {
            id: DeviceId { platform, number }.to_string(),
            health: match offer.ails(number) {
                None => HEALTHY.to_owned(),
                Some(_) => UNHEALTHY.to_owned(),
            },
        };
        (0..offer.count).map(device).collect()
    }

    /// Logs what is different from before.
    pub fn log_changes(&self, before: &Self) {
        for (platform, offer) in &self.offers {
            if before.of(*platform) == Some(offer) {
                continue;
            }
            let word = words::platform((*platform).into());
            let (platform, count) = (word.as_ref(), offer.count);
            let without_directory = offer.without_directory.len();
            match &offer.problem {
                Some(problem) => tracing::warn!(platform, count, problem, "devices are unhealthy"),
                None if without_directory > 0 => tracing::warn!(
                    platform,
                    count,
                    without_directory,
                    "some devices are unhealthy: the daemon has made no directories for them"
                ),
                None => tracing::info!(platform, count, "devices are healthy"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(count: u32) -> Offer {
        Offer {
            count,
            ..Offer::default()
        }
    }

    #[test]
    fn only_platforms_with_devices_are_offered() {
        let said = [(Platform::Sim, offer(0)), (Platform::Kvm, offer(2))];
        let inventory = Inventory::default().renewed(said);
        assert_eq!(inventory.offered(), [Platform::Kvm]);
    }

    #[test]
    fn a_daemon_without_devices_has_told_so() {
        let none = Inventory::default().renewed([(Platform::Sim, offer(0))]);
        assert!(none.offered().is_empty());
        assert_ne!(none, Inventory::default());
        assert!(none.is_told() && none.ailing("gone").is_told());
        assert!(!Inventory::default().ailing("not there yet").is_told());
    }

    #[test]
    fn a_platform_that_is_gone_stays_with_no_devices() {
        let before = Inventory::default().renewed([(Platform::Kvm, offer(2))]);
        let after = before.renewed([]);
        assert_eq!(after.offered(), [Platform::Kvm]);
        assert!(after.devices(Platform::Kvm).is_empty());
    }

    #[test]
    fn without_the_daemon_all_are_unhealthy() {
        let inventory = Inventory::default().renewed([(Platform::Kvm, offer(2))]);
        let devices = inventory.ailing("gone").devices(Platform::Kvm);
        let told: Vec<_> = devices
            .iter()
            .map(|it| (it.id.as_str(), it.health.as_str()))
            .collect();
        assert_eq!(told, [("kvm-0", UNHEALTHY), ("kvm-1", UNHEALTHY)]);
        let healthy = inventory.devices(Platform::Kvm);
        assert!(healthy.iter().all(|device| device.health == HEALTHY));
    }

    #[test]
    fn a_device_without_a_directory_is_unhealthy_alone() {
        let mut one = offer(2);
        one.without_directory.insert(1);
        assert_eq!(one.ails(0), None);
        assert!(one.ails(1).is_some());
    }
}
