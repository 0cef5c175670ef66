//! What a suite runs on: platforms, and ways to have them.
//!
//! ```text
//! this machine's    sim  kvm                         kvm is left out, in one visible line, where it is missing
//!                   sev-snp or tdx                   with `--features hw`, and then never left out
//! a program's       kvm, hosted by somebody else's program
//! the model's       sev-snp  tdx                     on a model of the kernel, by profile
//! ```
//!
//! **Invariant:** a case that ran on nothing has failed.
use std::fmt;

use stagepages_proto::v1::Platform;

use crate::abilities::Need;
use crate::bench::Bench;
use crate::options::DaemonOptions;
use crate::say::say;

/// A platform, and how the daemon is started that has it.
#[derive(Debug, Clone)]
pub struct Subject {
    platform: Platform,
    options: DaemonOptions,
    /// That the platform is missing is a failure, and not only told.
    required: bool,
}

impl Subject {
    /// A platform of this machine, if it has it.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            options: DaemonOptions::new(),
            required: platform == Platform::Sim,
        }
    }

    /// `kvm`, its launches hosted by `program`, an absolute path, and not by the built-in host.
    #[must_use]
    pub fn hosted_by(program: &str) -> Self {
        Self {
            options: DaemonOptions::new().flag(&format!("--host-program=kvm={program}")),
            ..Self::new(Platform::Kvm)
        }
    }

    /// A confidential platform on the model of a kernel, which goes by `profile` (such as `6.18`).
    #[must_use]
    pub fn modelled(platform: Platform, profile: &str) -> Self {
        Self {
            platform,
            options: DaemonOptions::new().model(profile),
            required: true,
        }
    }

    /// The confidential platform that the maker of this machine's processor has.
    ///
    /// # Panics
    /// If it is neither Intel's nor AMD's.
    #[cfg(feature = "hw")]
    #[must_use]
    pub fn hardware() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").expect("/proc is mounted");
        let vendor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("vendor_id")?.split_once(':'))
            .map(|(_, vendor)| vendor.trim());
        let platform = match vendor {
            Some("GenuineIntel") => Platform::Tdx,
            Some("AuthenticAMD") => Platform::SevSnp,
            other => panic!("a processor by {other:?} has neither TDX nor SEV-SNP"),
        };
        Self {
            required: true,
            ..Self::new(platform)
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.platform.as_str_name())?;
        match self.options.profile() {
            Some(profile) => write!(f, ", model of {profile}"),
            None => Ok(()),
        }
    }
}

/// Several subjects.
#[derive(Debug, Clone)]
pub struct Subjects {
    all: Vec<Subject>,
    need: Option<Need>,
    /// Each case runs on one of each platform only.
    turns: bool,
}

impl Subjects {
    /// These and no others.
    #[must_use]
    pub fn new(all: impl Into<Vec<Subject>>) -> Self {
        Self {
            all: all.into(),
            need: None,
            turns: false,
        }
    }

    /// What this machine has: `sim`, `kvm`, and with the feature `hw` its confidential platform.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::new([
            // First, because it is most likely to be missing.
            #[cfg(feature = "hw")]
            Subject::hardware(),
            Subject::new(Platform::Sim),
            Subject::new(Platform::Kvm),
        ])
    }

    /// And that one.
    #[must_use]
    pub fn and(mut self, subject: Subject) -> Self {
        self.all.push(subject);
        self
    }

    /// The same, each started with `line` in its configuration file.
    #[must_use]
    pub fn with_config(self, line: &str) -> Self {
        self.with(|options| options.config(line))
    }

    /// The same, each started with other options.
    #[must_use]
    pub fn with(mut self, change: impl Fn(DaemonOptions) -> DaemonOptions) -> Self {
        for subject in &mut self.all {
            subject.options = change(subject.options.clone());
        }
        self
    }

    /// Of each platform one for each case, by the case's name, so that all get their turn among many cases.
    #[must_use]
    pub fn taking_turns(mut self) -> Self {
        self.turns = true;
        self
    }

    /// Those of them that can have `case`.
    ///
    /// # Panics
    /// If it is not in the table of exceptions.
    #[must_use]
    pub fn that_can(mut self, case: &str) -> Self {
        self.need = Some(Need::of(case));
        self
    }

    /// Runs `test` on one after the other; each with a daemon of its own, which must end cleanly.
    ///
    /// # Panics
    /// If the test fails on any, or ran on none.
    pub async fn run(self, test: impl AsyncFn(&Bench)) {
        let mut ran = 0;
        for subject in self.whose_turn(name_of(&test)) {
            println!("on {subject}");
            let Some(bench) = Bench::of(subject).await else {
                continue;
            };
            if self.is_for(&bench).await {
                test(&bench).await;
                ran += 1;
            }
            bench.end().await;
        }
        assert_ne!(ran, 0, "none of {:?} has {:?}", self.all, self.need);
    }

    /// As [`Self::run`], for a test that ends the daemon itself.
    ///
    /// # Panics
    /// If the test fails on any, or ran on none.
    pub async fn give_away(self, test: impl AsyncFn(Bench)) {
        let mut ran = 0;
        for subject in self.whose_turn(name_of(&test)) {
            println!("on {subject}");
            if let Some(bench) = Bench::of(subject).await {
                test(bench).await;
                ran += 1;
            }
        }
        assert_ne!(ran, 0, "none of {:?}", self.all);
    }

    /// Those on which the case `name` runs.
    fn whose_turn(&self, name: &str) -> Vec<&Subject> {
        if !self.turns {
            return self.all.iter().collect();
        }
        let mut platforms: Vec<Platform> = Vec::new();
        for subject in &self.all {
            if !platforms.contains(&subject.platform) {
                platforms.push(subject.platform);
            }
        }
        let turn = name.bytes().map(usize::from).sum::<usize>();
        let taken = platforms.into_iter().enumerate().map(|(nth, platform)| {
            let its = self.all.iter().filter(|its| its.platform == platform);
            let its: Vec<_> = its.collect();
            // Never the same place for two platforms: a case that fails on one has more to tell then.
            its[(turn + nth) % its.len()]
        });
        taken.collect()
    }

    async fn is_for(&self, bench: &Bench) -> bool {
        match self.need {
            None => true,
            Some(need) => need.is_met(&bench.info().await),
        }
    }
}

/// The path of the function in which a test was written down as a closure: the case's name, wherever in its file it stands.
fn name_of<T>(_test: &T) -> &'static str {
    let path = std::any::type_name::<T>();
    path.split("::{{closure}}").next().unwrap_or(path)
}

impl Bench {
    /// Starts a daemon for `subject`, if this machine has its platform.
    ///
    /// # Panics
    /// If the daemon does not start, or if the platform is missing and must not be; then with all that is missing.
    pub async fn of(subject: &Subject) -> Option<Self> {
        match Self::try_start(&subject.options, subject.platform).await {
            Ok(bench) => Some(bench),
            Err(missing) if subject.required => panic!("{subject} is not available: {missing}"),
            Err(missing) => {
                say(&format!("not tested here: {subject}; {missing}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PROFILES: [&str; 3] = ["6.18", "6.19", "7.1"];

    fn subjects() -> Subjects {
        let of = |platform| PROFILES.map(|profile| Subject::modelled(platform, profile));
        Subjects::new([of(Platform::SevSnp), of(Platform::Tdx)].concat())
    }

    fn turn(name: &str) -> Vec<String> {
        let subjects = subjects().taking_turns();
        let turn = subjects.whose_turn(name);
        turn.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_case_s_turn_is_one_of_each_platform_and_every_one_has_some() {
        assert_eq!(subjects().whose_turn("a").len(), 6);
        let mut had = BTreeSet::new();
        for name in ["a", "b", "c"] {
            let turn = turn(name);
            let [snp, tdx] = &turn[..] else {
                panic!("{turn:?}");
            };
            assert!(snp.contains("SEV_SNP") && tdx.contains("TDX"), "{turn:?}");
            had.extend(turn);
        }
        assert_eq!(had.len(), 6, "{had:?}");
    }

    /// Not by its line: a comment above it must not move it to another kernel.
    #[test]
    fn a_case_is_known_by_the_function_that_it_is_written_in() {
        let name = name_of(&async |_: &Bench| {});
        assert!(
            name.ends_with("a_case_is_known_by_the_function_that_it_is_written_in"),
            "{name}"
        );
        assert_eq!(turn(name), turn(name_of(&async |_: &Bench| {})));
    }
}
