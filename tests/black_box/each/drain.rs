//! SIGTERM: new launches are refused, calls in progress finish, and then the whole tree is gone with exit status 0.
use stagepages_proto::v1::GetNodeInfoRequest;
use stagepages_tests::{Bench, PAGE, Slow, eventually, page, refused, region, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_progress_finishes() {
    let case = async |bench: Bench| {
        let slow = Slow::launch(&bench, "vm").await;
        let call = slow.start(&bench);
        slow.underway(&bench).await;
        bench.daemon.terminate();

        eventually("a daemon that drains", async || {
            let info = bench
                .api
                .node
                .clone()
                .get_node_info(GetNodeInfoRequest {})
                .await;
            info.ok()?.into_inner().usage?.draining.then_some(())
        })
        .await;
        let late = spec(bench.platform, [region(page(0), PAGE)]);
        refused(bench.api.create("late", late).await, "DRAINING");
        let answer = call.await.unwrap().expect("a call in progress finishes");
        assert_eq!((answer.installed_pages, answer.stop), (slow.pages, None));
        let status = bench.daemon.wait();
        assert!(status.success(), "{status}");
    };
    super::subjects().give_away(case).await;
}
