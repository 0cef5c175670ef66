//! A script for `sim` where it is not followed.
use stagepages_proto::v1::{LaunchSpec, SimSettings};
use stagepages_tests::{Bench, PAGE, page, refused, region, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_for_sim_only() {
    let subjects = super::subjects().that_can("a_script_is_for_sim_only");
    subjects
        .run(async |bench: &Bench| {
            let scripted = LaunchSpec {
                sim: Some(SimSettings::default()),
                ..spec(bench.platform, [region(page(0), PAGE)])
            };
            refused(bench.api.create("bad", scripted).await, "INVALID_LAUNCH").blames("spec.sim");
            bench.assert_no_launch().await;
        })
        .await;
}
