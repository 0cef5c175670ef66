//! `unary`: what single calls take, one at a time: StagePages of one page, and GetLaunch.
//!
//! **Invariant:** every page is a new one, so every call installs it.

use stagepages_client::LaunchRef;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Contents, DaemonOptions, Extent, PAGE, page, region, spec};

use crate::{
    clock::Times,
    report::figure,
    stage::{create, end},
    world::{World, client},
};

/// Of each kind.
const CALLS: u64 = 8000;

pub(crate) fn run(world: &World) {
    let calls = world.scale.of(CALLS);
    for (word, platform) in [("sim", Platform::Sim), ("kvm", Platform::Kvm)] {
        world.with_daemon(&DaemonOptions::new(), platform, |bench| {
            world.runtime.block_on(async {
                let client = client(bench).await;
                let region = region(page(0), calls * PAGE);
                let launch = create(&client, spec(platform, [region])).await;
                let name = LaunchRef::from(&launch);
                let data = Contents::new(7).pages(1);
                let (mut staged, mut got) = (Times::default(), Times::default());
                for number in 0..calls {
                    let request = Extent::normal(page(number), data.clone()).request(&launch.name);
                    let answer = staged.take(client.stage_pages(request)).await.unwrap();
                    assert_eq!(answer.installed_pages, 1);
                    got.take(client.get_launch(&name)).await.unwrap();
                }
                end(&client, &launch).await;
                for (call, times) in [("stage_pages", &staged), ("get_launch", &got)] {
                    for percent in [50, 99] {
                        let name = format!("unary.{word}_{call}_p{percent}_us");
                        figure(&name, times.percentile(percent) * 1e6);
                    }
                }
            });
        });
    }
}
