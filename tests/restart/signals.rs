//! Hosts that die, of whatever: the launch is over and says of which signal, its memory is free, and nobody else notices.
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use stagepages_proto::v1::{AbortReason, LaunchState, PageType};
use stagepages_tests::{Bench, Contents, Extent, PAGE, Watcher, page, region, say, snapshot, spec};

use crate::rig::{on_every_platform, over, send, staged};

/// What the kernel makes of an instruction.
const FATAL: [(u8, Signal); 3] = [
    (0xcc, Signal::SIGTRAP), // int3
    (0xf4, Signal::SIGSEGV), // hlt: a general protection fault outside the kernel
    (0x06, Signal::SIGILL),  // push es: none in 64-bit mode
];

#[tokio::test(flavor = "multi_thread")]
async fn every_deadly_signal_is_told() {
    on_every_platform(async |bench| {
        let other = staged(&bench, "other", 3).await;
        let before = snapshot(&bench.api, &other.name).await;
        for signal in [Signal::SIGKILL, Signal::SIGTERM] {
            let launch = staged(&bench, signal.as_str(), 3).await;
            let host = bench.daemon.host(&launch);
            dies(&bench, &launch.name, signal, async || send(host, signal)).await;
        }
        for (code, signal) in FATAL {
            let launch = staged(&bench, signal.as_str(), 3).await;
            let host = bench.daemon.host(&launch);
            dies(&bench, &launch.name, signal, async || {
                overwrite_code(host, code);
                let data = Contents::new(1).pages(1);
                let extent = Extent::normal(page(3), data);
                drop(bench.api.stage(&launch.name, extent).await.unwrap_err());
            })
            .await;
        }
        assert_eq!(snapshot(&bench.api, &other.name).await, before);
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_a_host_does_not_hear_do_not_spoil_an_install() {
    on_every_platform(async |bench| {
        let launch = staged(&bench, "vm", 3).await;
        let host = bench.daemon.host(&launch);
        for (number, signal) in (3..).zip([
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGUSR1,
            Signal::SIGALRM,
            Signal::SIGPIPE,
            Signal::SIGCHLD,
            Signal::SIGIO,
        ]) {
            send(host, signal);
            let data = Contents::new(number).pages(1);
            let extent = Extent::normal(page(number), data);
            let answer = bench.api.stage(&launch.name, extent).await.unwrap();
            assert_eq!(answer.installed_pages, 1, "behind {signal}");
        }
        snapshot(&bench.api, &launch.name).await;
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_kernel_kills_for_its_memory_is_told() {
    const PAGES: u64 = (256 << 20) / PAGE;
    on_every_platform(async |bench| {
        let Some(group) = Group::new() else {
            say("not tested here: a host out of memory; no memory cgroup of version 1 or 2 can be made under /sys/fs/cgroup");
            return bench;
        };
        let other = staged(&bench, "other", 3).await;
        let spec = spec(bench.platform, [region(page(0), PAGES * PAGE)]);
        let launch = bench.api.create("vm", spec).await.unwrap();
        group.limit(bench.daemon.host(&launch), 32 << 20);
        dies(&bench, &launch.name, Signal::SIGKILL, async || {
            let extent = Extent::length(page(0), PageType::Normal, PAGES * PAGE);
            drop(bench.api.stage(&launch.name, extent).await.unwrap_err());
        })
        .await;
        snapshot(&bench.api, &other.name).await;
        bench
    })
    .await;
}

/// Has the launch's host die by `death`, and checks what is told of it.
async fn dies(bench: &Bench, name: &str, signal: Signal, death: impl AsyncFnOnce()) {
    let watcher = Watcher::of(bench, name).await.unwrap();
    death().await;
    let told = watcher.rest().await;
    let last = told.last().unwrap();
    assert_eq!(last.state(), LaunchState::Aborted);
    let cause = last.abort.clone().unwrap();
    assert_eq!(
        (cause.reason(), cause.signal),
        (AbortReason::HostDied, signal as i32),
        "{cause:?}"
    );
    assert!(cause.message.contains(signal.as_str()), "{cause:?}");
    let ended = over(bench, name).await;
    assert_eq!(ended.abort, Some(cause));
    assert_eq!(bench.daemon.find_host(&ended), None);
}

/// Overwrites the code of a process, so that whatever it does next is this instruction.
fn overwrite_code(process: Pid, instruction: u8) {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::options()
        .write(true)
        .open(format!("/proc/{process}/mem"))
        .unwrap();
    let code = maps
        .lines()
        .filter(|line| line.contains(" r-xp ") && line.contains("stagepagesd"));
    let mut parts = 0;
    for line in code {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        let length = usize::try_from(address(end) - address(start)).unwrap();
        memory
            .write_all_at(&vec![instruction; length], address(start))
            .unwrap();
        parts += 1;
    }
    assert!(parts > 0, "no code:\n{maps}");
}

/// A memory cgroup for one host.
struct Group {
    dir: std::path::PathBuf,
    limit: &'static str,
}

impl Group {
    fn new() -> Option<Self> {
        let roots = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/unified", "memory.max"),
        ];
        roots.into_iter().find_map(|(root, limit)| {
            let name = tempfile::Builder::new()
                .prefix("stagepages-test-")
                .tempdir_in(root)
                .ok()?;
            let dir = name.keep();
            let group = Self { dir, limit };
            group.dir.join(limit).exists().then_some(group)
        })
    }

    fn limit(&self, process: Pid, bytes: u64) {
        let write = |file: &str, text: String| fs::write(self.dir.join(file), text);
        write(self.limit, bytes.to_string()).unwrap();
        // Without it the kernel would rather swap.
        for swap in ["memory.swappiness", "memory.swap.max"] {
            if Path::new(&self.dir.join(swap)).exists() {
                write(swap, "0".to_owned()).unwrap();
            }
        }
        write("cgroup.procs", process.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty by now, unless the test fails.
        fs::remove_dir(&self.dir).ok();
    }
}
