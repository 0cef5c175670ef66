//! Launches that do not exist, names that are none, and uids of others: on every RPC that takes them.
use super::on_every_platform;
use stagepages_proto::v1::{
    AbortLaunchRequest, DeleteLaunchRequest, FinishLaunchRequest, GetLaunchRequest,
    ListInstalledPagesRequest, StagePagesRequest, VerifyLaunchRequest,
};
use stagepages_tests::{Bench, Extent, Refusal, page, refused, snapshot};

/// What every RPC that takes a name and a uid answers to these; `reason` from all of them.
async fn everything_refuses(bench: &Bench, name: &str, uid: &str, reason: &str) -> Vec<Refusal> {
    let mut client = bench.api.launches.clone();
    let (name, uid) = (name.to_owned(), uid.to_owned());
    let stage = StagePagesRequest {
        uid: uid.clone(),
        ..Extent::normal(page(0), vec![1; 4096]).request(&name)
    };
    let list = ListInstalledPagesRequest {
        name: name.clone(),
        uid: uid.clone(),
        ..ListInstalledPagesRequest::default()
    };
    let finish = FinishLaunchRequest {
        name: name.clone(),
        uid: uid.clone(),
        ..FinishLaunchRequest::default()
    };
    vec![
        refused(client.stage_pages(stage).await, reason),
        refused(client.list_installed_pages(list).await, reason),
        refused(client.finish_launch(finish).await, reason),
        refused(
            client
                .get_launch(GetLaunchRequest {
                    name: name.clone(),
                    uid: uid.clone(),
                })
                .await,
            reason,
        ),
        refused(
            client
                .verify_launch(VerifyLaunchRequest {
                    name: name.clone(),
                    uid: uid.clone(),
                })
                .await,
            reason,
        ),
        refused(
            client
                .abort_launch(AbortLaunchRequest {
                    name: name.clone(),
                    uid: uid.clone(),
                })
                .await,
            reason,
        ),
        refused(
            client
                .delete_launch(DeleteLaunchRequest { name, uid })
                .await,
            reason,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_launch_is_not_found() {
    on_every_platform(async |bench: &Bench| {
        for refusal in everything_refuses(bench, "launches/nobody", "", "LAUNCH_NOT_FOUND").await {
            assert!(refusal.message.contains("nobody"), "{refusal:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_of_another_launch_is_not_found_and_touches_nothing() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        let other = bench.launch("other").await;
        bench
            .api
            .stage(&name, Extent::normal(page(9), vec![9; 4096]))
            .await
            .unwrap();
        let before = snapshot(&bench.api, &name).await;
        for uid in [
            other.uid.as_str(),
            "0123456789abcdef0123456789abcdef",
            "x",
            "\u{1}",
        ] {
            everything_refuses(bench, &name, uid, "LAUNCH_NOT_FOUND").await;
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_are_malformed() {
    let long = format!("launches/{}", "x".repeat(10_000));
    let bad = [
        "",
        "vm",
        "launches",
        "launches/",
        "launches//vm",
        "launches/vm/",
        "launches/a/b",
        "Launches/vm",
        "launches/a\nb",
        "launches/\u{1b}[2J",
        &long,
    ];
    on_every_platform(async |bench: &Bench| {
        bench.launch("vm").await;
        for name in bad {
            for refusal in everything_refuses(bench, name, "", "MALFORMED_REQUEST").await {
                refusal.blames("name");
            }
        }
    })
    .await;
}
