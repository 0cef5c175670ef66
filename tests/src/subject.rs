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
}

impl Subjects {
    /// These and no others.
    #[must_use]
    pub fn new(all: impl Into<Vec<Subject>>) -> Self {
        Self {
            all: all.into(),
            need: None,
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
        for subject in &self.all {
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
        for subject in &self.all {
            println!("on {subject}");
            if let Some(bench) = Bench::of(subject).await {
                test(bench).await;
                ran += 1;
            }
        }
        assert_ne!(ran, 0, "none of {:?}", self.all);
    }

    async fn is_for(&self, bench: &Bench) -> bool {
        match self.need {
            None => true,
            Some(need) => need.is_met(&bench.info().await),
        }
    }
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
