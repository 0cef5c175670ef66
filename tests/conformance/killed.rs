//! A client that is killed in the middle of staging a file: whole calls are installed, with the right bytes, and the launch goes on.
use std::process::Stdio;

use super::on_every_platform;
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, Contents, Extent, PAGE, SimScript, eventually, page, refused, region, snapshot, spec,
    stagectl::start,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_leaves_whole_calls_behind() {
    on_every_platform(async |bench: &Bench| {
        let pages = bench.file_pages();
        let regions = [region(page(0), pages * PAGE)];
        let spec = if bench.platform == Platform::Sim {
            SimScript::new()
                .latency(std::time::Duration::from_millis(4))
                .spec(regions)
        } else {
            spec(bench.platform, regions)
        };
        let launch = bench.api.create("vm", spec).await.unwrap();
        let data = Contents::new(101).pages(pages);
        let file = bench.daemon.dir().join("image");
        std::fs::write(&file, &data).unwrap();

        let file = file.to_str().unwrap();
        let stage = [
            "launch", "stage", "vm", file, "--gpa", "0x0", "--type", "normal",
        ];
        let mut client = start(bench.daemon.socket(), &stage, Stdio::null());
        eventually("the first pages of a client's file", async || {
            Some(bench.api.get(&launch.name).await.unwrap())
                .filter(|launch| launch.installed_pages > 0)
        })
        .await;
        // SIGKILL: nothing of the client gets to say goodbye.
        client.kill().await.unwrap();

        // A call that was handed to the host completes, and then the count rests on a boundary between calls.
        let per_call = bench.api.node_info().await.limits.unwrap().max_data_bytes / PAGE;
        let installed = eventually("the end of the killed client's last call", async || {
            let before = bench.api.get(&launch.name).await.unwrap().installed_pages;
            // Waits for what the host is at.
            bench.api.verify(&launch.name).await.unwrap();
            let now = bench.api.get(&launch.name).await.unwrap().installed_pages;
            Some(now)
                .filter(|now| *now == before && (now.is_multiple_of(per_call) || *now == pages))
        })
        .await;
        snapshot(&bench.api, &launch.name).await;
        let length = usize::try_from(installed * PAGE).unwrap();
        bench.assert_holds(&launch, page(0), &data[..length]);

        // Whoever comes next finds its predecessor's pages, and no others.
        let again = Extent::normal(page(0), data.slice(..4096));
        assert_eq!(
            refused(
                bench.api.stage(&launch.name, again).await,
                "ALREADY_INSTALLED"
            )
            .meta("identical"),
            "true"
        );
        if installed < pages {
            let next = Extent::normal(page(installed), data.slice(length..length + 4096));
            assert_eq!(
                bench
                    .api
                    .stage(&launch.name, next)
                    .await
                    .unwrap()
                    .installed_pages,
                1
            );
        }
    })
    .await;
}
