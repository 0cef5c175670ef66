//! ListLaunches: order, paging, filter.
use super::on_every_platform;
use stagepages_proto::v1::{LaunchState, ListLaunchesRequest, ListLaunchesResponse};
use stagepages_tests::{Bench, Contents, Extent, page, refused};

async fn list(
    bench: &Bench,
    page_size: i32,
    page_token: &str,
    states: &[LaunchState],
) -> ListLaunchesResponse {
    let states = states.iter().map(|state| i32::from(*state)).collect();
    let request = ListLaunchesRequest {
        page_size,
        page_token: page_token.to_owned(),
        states,
    };
    bench
        .api
        .launches
        .clone()
        .list_launches(request)
        .await
        .unwrap()
        .into_inner()
}

fn ids(answer: &ListLaunchesResponse) -> Vec<&str> {
    answer
        .launches
        .iter()
        .map(|launch| launch.name.strip_prefix("launches/").unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_are_listed_oldest_first_a_page_at_a_time() {
    on_every_platform(async |bench: &Bench| {
        let empty = list(bench, 0, "", &[]).await;
        assert!(empty.launches.is_empty() && empty.next_page_token.is_empty());

        // Not in the order of their names.
        for id in ["e", "a", "d", "b", "c"] {
            bench.launch(id).await;
        }
        let first = list(bench, 2, "", &[]).await;
        assert_eq!(ids(&first), ["e", "a"]);
        let second = list(bench, 2, &first.next_page_token, &[]).await;
        assert_eq!(ids(&second), ["d", "b"]);

        // What is deleted or created between two pages disturbs neither the rest nor its order.
        bench.api.abort("launches/b").await.unwrap();
        bench.api.delete("launches/b").await.unwrap();
        let third = list(bench, 2, &second.next_page_token, &[]).await;
        assert_eq!(ids(&third), ["c"]);
        assert!(
            third.next_page_token.is_empty()
                || list(bench, 2, &third.next_page_token, &[])
                    .await
                    .launches
                    .is_empty()
        );

        let all = list(bench, 100_000, "", &[]).await;
        assert_eq!(ids(&all), ["e", "a", "d", "c"]);
        assert_eq!(all.launches[0], bench.api.get("launches/e").await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_are_filtered_by_state() {
    on_every_platform(async |bench: &Bench| {
        for id in ["created", "staging", "finished", "aborted"] {
            bench.launch(id).await;
        }
        bench
            .api
            .stage(
                "launches/staging",
                Extent::normal(page(0), Contents::new(1).pages(1)),
            )
            .await
            .unwrap();
        bench.api.finish("launches/finished", vec![]).await.unwrap();
        bench.api.abort("launches/aborted").await.unwrap();

        assert_eq!(
            ids(&list(bench, 0, "", &[LaunchState::Created]).await),
            ["created"]
        );
        assert_eq!(
            ids(&list(bench, 0, "", &[LaunchState::Aborted, LaunchState::Staging]).await),
            ["staging", "aborted"]
        );
        assert!(
            list(bench, 0, "", &[LaunchState::Stopped])
                .await
                .launches
                .is_empty()
        );
        let first = list(bench, 1, "", &[LaunchState::Finished, LaunchState::Aborted]).await;
        assert_eq!(ids(&first), ["finished"]);
        let second = list(
            bench,
            1,
            &first.next_page_token,
            &[LaunchState::Finished, LaunchState::Aborted],
        )
        .await;
        assert_eq!(ids(&second), ["aborted"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_makes_no_sense_is_refused() {
    on_every_platform(async |bench: &Bench| {
        bench.launch("a").await;
        bench.launch("b").await;
        let mut client = bench.api.launches.clone();
        for token in [
            "nonsense",
            "\u{1}",
            "ffffffffffffffffffffffffffffffff",
            &"9".repeat(10_000),
        ] {
            let request = ListLaunchesRequest {
                page_token: token.to_owned(),
                ..ListLaunchesRequest::default()
            };
            refused(client.list_launches(request).await, "MALFORMED_REQUEST").blames("page_token");
        }
        for state in [0, 77, -1] {
            let request = ListLaunchesRequest {
                states: vec![state],
                ..ListLaunchesRequest::default()
            };
            refused(client.list_launches(request).await, "MALFORMED_REQUEST").blames("states");
        }
    })
    .await;
}
