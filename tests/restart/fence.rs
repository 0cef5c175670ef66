//! Whoever else connects to a launch host: a daemon of the past, one that says too much too early, and one that makes no sense.
use stagepages_host::protocol::{self, Command, Hello, Request};
use stagepages_host::wire::{self, SeqSocket};
use stagepages_proto::v1::LaunchState;
use stagepages_tests::{Contents, Extent, page};

use crate::rig::{on_every_platform, renew_daemon, staged};

fn request(id: u64, command: Command) -> Vec<u8> {
    let request = Request {
        id,
        command: Some(command),
        context: None,
    };
    wire::encode(&request).unwrap()
}

fn hello(version: u32, epoch: u64) -> Vec<u8> {
    request(1, Command::Hello(Hello { version, epoch }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_hangs_up_on_all_but_its_daemon_and_notices_nothing_else() {
    on_every_platform(async |mut bench| {
        let launch = staged(&bench, "vm", 3).await;
        // Then this daemon is not the first.
        renew_daemon(&mut bench).await;
        let path = bench
            .daemon
            .dir()
            .join(format!("run/h/{}.sock", launch.uid));
        let abort = || request(2, Command::Abort(protocol::Abort::default()));
        let said = [
            (
                "an epoch that is over",
                vec![hello(protocol::VERSION, 1), abort()],
            ),
            (
                "a version that nobody speaks",
                vec![hello(1, u64::MAX), abort()],
            ),
            ("no greeting", vec![abort()]),
            ("no message", vec![vec![0xff; 64]]),
            (
                "the largest frame there is",
                vec![vec![0xff; wire::MAX_FRAME]],
            ),
            ("a greeting that is empty", vec![hello(0, 0)]),
        ];
        for (what, frames) in said {
            let socket = SeqSocket::connect(&path).unwrap();
            for frame in frames {
                // It may have hung up already.
                socket.send(&frame, &[]).ok();
            }
            let end = tokio::task::block_in_place(|| socket.recv());
            assert!(
                matches!(end, Ok(None) | Err(_)),
                "{what} is answered: {end:?}"
            );
            let data = Contents::new(9).pages(1);
            let next = bench.api.get(&launch.name).await.unwrap();
            assert_eq!(next.state(), LaunchState::Staging, "{what}");
            let extent = Extent::normal(page(next.installed_pages), data);
            let staged = bench.api.stage(&launch.name, extent).await.unwrap();
            assert_eq!(staged.installed_pages, 1, "{what}");
        }
        bench
    })
    .await;
}
