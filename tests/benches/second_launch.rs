//! `second_launch`: what the second launch of an image sends and receives, against the first.
//!
//! Both are `stagectl stage` of a guest of 64 MiB, from its creation to its finish, on a connection that counts bytes both ways.
//!
//! **Invariant:** no bytes but those on the socket are counted, and none of those is left out.

use std::{fs, path::PathBuf};

use stagepages_proto::v1::Platform;
use stagepages_tests::{Contents, DaemonOptions, PAGE, stagectl};
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use crate::{
    report::{Target, figure, judged},
    scratch,
    world::World,
};

/// Of the guest.
const BYTES: u64 = 64 << 20;

const MANIFEST: &str = r#"
version = 1
platform = "sim"
memory = ["0x0+64M"]
[[extent]]
gpa = 0x0
type = "normal"
file = "contents"
"#;

pub(crate) fn run(world: &World) {
    let dir = scratch::directory();
    let pages = world.scale.of(BYTES) / PAGE;
    fs::write(dir.path().join("contents"), Contents::new(9).pages(pages)).unwrap();
    let guest = dir.path().join("guest.toml");
    fs::write(&guest, MANIFEST).unwrap();
    world.with_daemon(&DaemonOptions::new(), Platform::Sim, |bench| {
        let _in_runtime = world.runtime.enter();
        let socket = dir.path().join("wire.sock");
        let (passed, mut counted) = mpsc::unbounded_channel();
        let listener = UnixListener::bind(&socket).unwrap();
        let wire = tokio::spawn(pass_on(listener, bench.daemon.socket().to_owned(), passed));
        let endpoint = format!("--endpoint=unix:{}", socket.display());
        let mut stage = |launch| {
            let image = guest.to_str().unwrap();
            let run = stagectl::run(&[&endpoint, "stage", image, "--launch", launch]);
            assert_eq!(run.exit, Some(0), "{run:?}");
            bytes(counted.blocking_recv().unwrap())
        };
        let (first, second) = (stage("first"), stage("second"));
        assert!(counted.is_empty(), "stagectl made more than one connection");
        wire.abort();
        figure("second_launch.product_bytes", second);
        figure("second_launch.baseline_bytes", first);
        let how = "both ways, from CreateLaunch to the answer of FinishLaunch";
        judged(
            world.scale,
            "second_launch",
            second / first,
            Target::AtMost(0.01),
            how,
        );
    });
}

/// Passes connections on, one after the other. Tells of each how many bytes passed, when it has ended.
async fn pass_on(listener: UnixListener, upstream: PathBuf, passed: mpsc::UnboundedSender<u64>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut daemon = UnixStream::connect(&upstream).await.unwrap();
        let ways = copy_bidirectional(&mut client, &mut daemon).await;
        let (sent, received) = ways.unwrap();
        passed.send(sent + received).unwrap();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure of four digits")]
fn bytes(count: u64) -> f64 {
    count as f64
}
