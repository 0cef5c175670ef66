//! CreateLaunch with everything that a launch cannot be: each is refused by name, and nothing is left of it.
use std::collections::HashMap;

use super::on_every_platform;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::{CreateLaunchRequest, LaunchSpec, MemoryRegion};
use stagepages_tests::{Bench, PAGE, page, refused, region, spec};

#[tokio::test(flavor = "multi_thread")]
async fn bad_regions_are_refused() {
    const TOP: u64 = 1 << 52;
    let far = |gpa: u64, size: u64| vec![region(Gpa::new(gpa), size)];
    let bad: [(&str, Vec<MemoryRegion>); 15] = [
        ("none", vec![]),
        ("empty", far(0, 0)),
        ("unaligned gpa", far(1, PAGE)),
        ("unaligned size", far(0, PAGE + 1)),
        ("less than a page", far(0, 1)),
        ("2^63 bytes", far(0, 1 << 63)),
        ("at 2^63", far(1 << 63, PAGE)),
        ("beyond 64 bits", far(u64::MAX - PAGE + 1, 2 * PAGE)),
        ("as long as numbers go", far(0, u64::MAX)),
        ("beyond 2^52", far(TOP - PAGE, 2 * PAGE)),
        ("behind 2^52", far(TOP, PAGE)),
        ("twice", vec![region(page(4), PAGE), region(page(4), PAGE)]),
        (
            "overlapping",
            vec![region(page(0), 3 * PAGE), region(page(2), 2 * PAGE)],
        ),
        (
            "overlapping out of order",
            vec![
                region(page(8), 3 * PAGE),
                region(page(0), PAGE),
                region(page(7), 2 * PAGE),
            ],
        ),
        (
            "one in another",
            vec![region(page(0), 64 * PAGE), region(page(8), PAGE)],
        ),
    ];
    on_every_platform(async |bench: &Bench| {
        let end = bench.abilities().memory_end;
        let beyond = [
            ("at the end", far(end, PAGE)),
            ("across the end", far(end - PAGE, 2 * PAGE)),
        ];
        for (what, regions) in bad.iter().chain(&beyond) {
            let refusal = refused(
                bench
                    .api
                    .create("bad", spec(bench.platform, regions.clone()))
                    .await,
                "INVALID_LAUNCH",
            );
            assert!(refusal.message.len() < 1024, "{what}: {refusal:?}");
            refusal.blames("spec.regions");
        }
        bench.assert_no_launch().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_by_its_measure() {
    on_every_platform(async |bench: &Bench| {
        let limits = bench.api.node_info().await.limits.unwrap();
        let many = |count: u64| {
            (0..count)
                .map(|number| region(page(2 * number), PAGE))
                .collect::<Vec<_>>()
        };
        let over = u64::from(limits.max_regions) + 1;
        for count in [over, 100_000] {
            refused(
                bench
                    .api
                    .create("many", spec(bench.platform, many(count)))
                    .await,
                "INVALID_LAUNCH",
            )
            .blames("spec.regions");
        }
        // A million does not even fit a message; a client that caps nothing itself gets the server's own word for it.
        let request = CreateLaunchRequest {
            launch_id: "many".to_owned(),
            spec: Some(spec(bench.platform, many(1_000_000))),
        };
        let mut uncapped = bench
            .api
            .launches
            .clone()
            .max_encoding_message_size(usize::MAX);
        refused(uncapped.create_launch(request).await, "MESSAGE_TOO_LARGE");

        let huge = region(page(0), limits.max_memory_bytes / PAGE * PAGE + PAGE);
        refused(
            bench.api.create("huge", spec(bench.platform, [huge])).await,
            "NO_CAPACITY",
        );
        let halves = [
            region(page(0), huge.size / PAGE / 2 * PAGE),
            region(page(1 << 32), huge.size / PAGE / 2 * PAGE + PAGE),
        ];
        refused(
            bench.api.create("huge", spec(bench.platform, halves)).await,
            "NO_CAPACITY",
        );
        bench.assert_no_launch().await;

        let full = bench
            .api
            .create("full", spec(bench.platform, many(over - 1)))
            .await
            .unwrap();
        assert_eq!(
            full.spec.unwrap().regions.len(),
            usize::try_from(over - 1).unwrap()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ids_are_refused() {
    let bad = [
        "-a",
        ".a",
        "_a",
        "a b",
        "a/b",
        "a\nb",
        "a\0",
        "\u{1b}[31ma",
        "\u{7f}",
        "ä",
        "launches/a",
        "a\u{202e}b",
        &"x".repeat(64),
        &"y".repeat(100_000),
    ];
    on_every_platform(async |bench: &Bench| {
        for id in bad {
            let refusal = refused(
                bench
                    .api
                    .create(id, spec(bench.platform, [region(page(0), PAGE)]))
                    .await,
                "INVALID_LAUNCH",
            );
            refusal.blames("launch_id");
            assert!(
                !refusal.message.contains('\u{1b}') && !refusal.message.contains('\u{202e}'),
                "{refusal:?}"
            );
        }
        bench.assert_no_launch().await;
        bench
            .api
            .create(
                &"x".repeat(63),
                spec(bench.platform, [region(page(0), PAGE)]),
            )
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_platforms_and_labels_are_refused() {
    on_every_platform(async |bench: &Bench| {
        let plain = spec(bench.platform, [region(page(0), PAGE)]);
        for unknown in [99, -1, i32::MIN] {
            let unknown = LaunchSpec {
                platform: unknown,
                ..plain.clone()
            };
            refused(bench.api.create("bad", unknown).await, "INVALID_LAUNCH")
                .blames("spec.platform");
        }
        let label = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
        let many = (0..33)
            .map(|number| (number.to_string(), String::new()))
            .collect();
        let long = ("k".repeat(64), "v".repeat(256));
        for labels in [
            label("", "a"),
            label(&long.0, "a"),
            label("k", &long.1),
            label("k\n", "a"),
            label("k", "a\u{1}"),
            many,
        ] {
            refused(
                bench
                    .api
                    .create(
                        "bad",
                        LaunchSpec {
                            labels,
                            ..plain.clone()
                        },
                    )
                    .await,
                "INVALID_LAUNCH",
            )
            .blames("spec.labels");
        }
        let without_spec = CreateLaunchRequest {
            launch_id: "bad".to_owned(),
            spec: None,
        };
        refused(
            bench.api.launches.clone().create_launch(without_spec).await,
            "INVALID_LAUNCH",
        )
        .blames("spec");
        bench.assert_no_launch().await;
    })
    .await;
}
