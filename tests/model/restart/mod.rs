//! Daemons that are killed over launches on `sev-snp` and `tdx`, hosts that are, and what an abort or an upgrade leaves.
//!
//! A host holds what no other process can take over: the VM, and on SNP the number under which KVM knows /dev/sev (kernel.md, section 2.4). So whatever
//! happens to the daemon, the trace of the host has to read as if nothing had.
//!
//! ```text
//! extent  the daemon dies in the middle of an extent      vcpus   between SetVcpuState and what it is for
//! cpuid   behind a CPUID page that firmware refused       finish  in, behind, and long behind a FinishLaunch
//! death   the host dies                                   abort   an extent is cut off between two chunks
//! upgrade the supervisor goes on as another build         chance  rounds of kills at random moments
//! ```
//!
//! **Invariant:** no case depends on how long anything takes, but that a second of firmware's time is longer than a look at the launch.
mod abort;
mod chance;
mod cpuid;
mod death;
mod extent;
mod finish;
mod upgrade;
mod vcpus;

use std::time::Duration;

use stagepages_kernel_model::{Call, Effect, Event, Fault, Profile, Script};
use stagepages_proto::v1::{Launch, LaunchSpec, Platform};
use stagepages_tests::{Bench, PAGE, eventually, page, region, renew_daemon, spec};

use crate::rig::{Mark, Rig, of_process, start};

/// Time that firmware, or the module, takes for a page: an extent of 512 takes two seconds, and a chunk of it a quarter of one.
const PER_PAGE: Duration = Duration::from_millis(4);
/// Time that it takes to finish: long enough to be found at it.
const PER_FINISH: Duration = Duration::from_secs(2);

/// A daemon on the model that may be killed. Kernels do not differ in what that is to them: one profile has to do.
struct Mortal {
    bench: Bench,
    rig: Rig,
}

impl Mortal {
    async fn start(platform: Platform) -> Self {
        let profile = if platform == Platform::Tdx {
            Profile::V7_1
        } else {
            Profile::V6_18
        };
        let (bench, rig) = start(platform, profile, "").await;
        Self { bench, rig }
    }

    /// Kills the daemon, and waits for the next.
    async fn renew_daemon(&mut self) {
        renew_daemon(&mut self.bench).await;
        self.rig.api = self.bench.api.clone();
    }

    /// Waits for the next daemon: this one was killed.
    async fn reborn(&mut self) {
        self.bench.reborn().await;
        self.rig.api = self.bench.api.clone();
    }

    /// Kills supervisor and daemon, and starts the service again: nothing is left of the launches but their hosts, and their records.
    async fn renew_service(&mut self) {
        tokio::task::block_in_place(|| {
            self.bench.daemon.kill_all_but_hosts();
            self.bench.daemon.start_again();
        });
        self.reborn().await;
    }

    /// Has launches from now on wait for firmware or the module.
    fn slow_down(&self) {
        let latency = |call, time: Duration| {
            let time = u64::try_from(time.as_micros()).expect("seconds");
            Fault::at(call, Effect::Latency(time))
        };
        let (install, finish) = (self.install(), self.finish());
        self.rig.play(&Script {
            faults: vec![latency(install, PER_PAGE), latency(finish, PER_FINISH)],
            ..self.rig.script()
        });
    }

    /// The call that installs pages.
    fn install(&self) -> Call {
        if self.rig.platform == Platform::Tdx {
            Call::TdxInitMemRegion
        } else {
            Call::SnpLaunchUpdate
        }
    }

    /// The call that ends staging.
    fn finish(&self) -> Call {
        if self.rig.platform == Platform::Tdx {
            Call::TdxFinalizeVm
        } else {
            Call::SnpLaunchFinish
        }
    }

    /// A launch of two vCPUs and `pages` pages.
    async fn launch(&self, id: &str, pages: u64) -> Launch {
        let asked = LaunchSpec {
            vcpus: 2,
            ..spec(self.rig.platform, [region(page(0), pages * PAGE)])
        };
        self.rig.api.create(id, asked).await.unwrap()
    }

    /// What the host of a launch did since.
    fn events(&self, since: Mark, launch: &Launch) -> Vec<Event> {
        of_process(&self.rig.events(since), launch.host_pid)
    }

    /// Waits until the host of a launch is in the middle of `call`.
    async fn is_in(&self, since: Mark, launch: &Launch, call: Call) {
        eventually("the begin of a call", async || {
            let events = self.events(since, launch);
            let mut begun = events.iter().filter_map(crate::trace::checks::begun);
            begun.any(|note| note.is(call)).then_some(())
        })
        .await;
    }

    /// Ends it: it serves still, nothing is left, and no rule of the kernel's was broken.
    async fn end(self) {
        self.rig.play(&self.rig.script());
        self.bench.end().await;
    }
}

/// How often the host was at `call`.
fn times(events: &[Event], call: Call) -> usize {
    let ended = events.iter().filter_map(Event::ended);
    ended.filter(|note| note.is(call)).count()
}
