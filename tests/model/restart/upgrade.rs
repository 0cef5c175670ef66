//! The supervisor goes on as another build, and keeps what it was told to give its hosts: those started after it run on the model too.
//!
//! **Invariant:** a host that had lost its environment would find this machine, which has neither platform: it could not begin.
use stagepages_proto::v1::{LaunchState, Platform};
use stagepages_tests::{Contents, Extent, answered, page};

use super::Mortal;
use crate::trace::checks;

async fn goes_on(platform: Platform) {
    let mut mortal = Mortal::start(platform).await;
    let mark = mortal.rig.mark();
    let old = mortal.launch("old", 64).await;
    let stage = async |mortal: &Mortal, name: &str, gfn: u64| {
        let extent = Extent::normal(page(gfn), Contents::new(gfn).pages(3));
        mortal.rig.api.stage(name, extent).await.unwrap();
    };
    stage(&mortal, &old.name, 0).await;
    for number in 0..2 {
        mortal.bench.upgrade().await;
        mortal.reborn().await;
        answered(&mortal.bench, &old.name).await;
        assert!(
            mortal.bench.info().await.available,
            "the probe is a host too"
        );
        stage(&mortal, &old.name, 8 + 8 * number).await;
        let new = mortal.launch(&format!("new-{number}"), 64).await;
        stage(&mortal, &new.name, 0).await;
        let finished = mortal.rig.api.finish(&new.name, vec![]).await.unwrap();
        assert_eq!(finished.state(), LaunchState::Finished);
        checks::every_rule(&mortal.events(mark, &new), 64).unwrap();
        mortal.rig.api.abort(&new.name).await.unwrap();
    }
    let finished = mortal.rig.api.finish(&old.name, vec![]).await.unwrap();
    assert_eq!(
        (finished.state(), finished.installed_pages),
        (LaunchState::Finished, 9)
    );
    checks::every_rule(&mortal.events(mark, &old), 64).unwrap();
    mortal.rig.api.abort(&old.name).await.unwrap();
    mortal.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_snp_get_their_environment_from_the_next_build_too() {
    goes_on(Platform::SevSnp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_tdx_get_their_environment_from_the_next_build_too() {
    goes_on(Platform::Tdx).await;
}
