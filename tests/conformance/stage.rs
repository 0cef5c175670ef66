//! StagePages that goes well: counts, states, contents, and the digest that they add up to.
use super::{on_every_platform, subjects};
use stagepages_proto::v1::{LaunchState, PageType};
use stagepages_tests::{
    Api, Bench, Contents, Extent, PAGE, SNP_ACTIVE, page, refused, region, snapshot, spec,
    with_vcpus_at_reset,
};

#[tokio::test(flavor = "multi_thread")]
async fn pages_arrive_as_they_were_sent() {
    on_every_platform(async |bench: &Bench| {
        let mut contents = Contents::new(11);
        let launch = bench.launch("vm").await;
        assert_eq!(launch.state(), LaunchState::Created);

        // The first page, the last page, and a run in the middle.
        let extents = [(0, 1), (1023, 1), (300, 257)];
        let mut sent = Vec::new();
        let mut total = 0;
        for (first, count) in extents {
            let data = contents.pages(count);
            let answer = bench
                .api
                .stage(&launch.name, Extent::normal(page(first), data.clone()))
                .await
                .unwrap();
            assert_eq!(
                (answer.installed_pages, answer.next_gpa, answer.stop),
                (count, page(first + count).get(), None)
            );
            total += count;
            let now = bench.api.get(&launch.name).await.unwrap();
            assert_eq!(
                (now.state(), now.installed_pages),
                (LaunchState::Staging, total)
            );
            sent.push((first, data));
        }
        snapshot(&bench.api, &launch.name).await;
        for (first, data) in sent {
            bench.assert_holds(&launch, page(first), &data);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_extent_that_is_advertised_is_taken() {
    on_every_platform(async |bench: &Bench| {
        let limits = bench.api.node_info().await.limits.unwrap();
        let pages = limits.max_data_bytes / PAGE;
        let launch = bench
            .api
            .create(
                "vm",
                spec(bench.platform, [region(page(0), 2 * pages * PAGE)]),
            )
            .await
            .unwrap();
        let answer = bench
            .api
            .stage(
                &launch.name,
                Extent::normal(page(pages), Contents::new(3).pages(pages)),
            )
            .await
            .unwrap();
        assert_eq!(answer.installed_pages, pages);

        let over = bench
            .api
            .stage(
                &launch.name,
                Extent::normal(page(0), Contents::new(3).pages(pages + 1)),
            )
            .await;
        let refusal = refused(over, "MESSAGE_TOO_LARGE");
        assert!(
            refusal.message.contains(&limits.max_data_bytes.to_string())
                || refusal
                    .message
                    .contains(&limits.max_message_bytes.to_string()),
            "{refusal:?}"
        );
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            pages
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_of_zeros_needs_no_data() {
    on_every_platform(async |bench: &Bench| {
        // More than a message could carry.
        const PAGES: u64 = 16 * 1024;
        let launch = bench
            .api
            .create(
                "vm",
                spec(bench.platform, [region(page(8), 2 * PAGES * PAGE)]),
            )
            .await
            .unwrap();
        for (first, page_type) in [(8, PageType::Normal), (8 + PAGES, PageType::Zero)] {
            let answer = bench
                .api
                .stage(
                    &launch.name,
                    Extent::length(page(first), page_type, PAGES * PAGE),
                )
                .await
                .unwrap();
            assert_eq!((answer.installed_pages, answer.stop), (PAGES, None));
        }
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_on_either_socket_share_one_launch() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let tcp = Api::tcp(&bench.daemon).await;
        let data = Contents::new(5).pages(2);
        bench
            .api
            .stage(&launch.name, Extent::normal(page(4), data.clone()))
            .await
            .unwrap();
        let refusal = refused(
            tcp.stage(&launch.name, Extent::normal(page(4), data)).await,
            "ALREADY_INSTALLED",
        );
        assert_eq!(refusal.meta("identical"), "true");
        assert_eq!(
            tcp.get(&launch.name).await.unwrap(),
            bench.api.get(&launch.name).await.unwrap()
        );
    })
    .await;
}

/// Digests of single pages and of two, worked out without this project's code: kernel.md section 8.1 names the source.
const KNOWN_DIGESTS: [(&[(u64, PageType)], &str); 7] = [
    (
        &[(0, PageType::Normal)],
        "9d13634b6014bb21cf059b2dc694e7bff01a8a7137041100cd2b695f3d10fb687267b97808b27f8f471d943bc6f53a20",
    ),
    (
        &[(0, PageType::Zero)],
        "70c0ecaab9608f14ebf8ac6f0f07bcd8728f4e2ab30382b539b4de4de904ca9f8ebdf4b2cd3cd84dd996bd55dd794676",
    ),
    (
        &[(0, PageType::Unmeasured)],
        "ed501ced343b88df8d4f114dc336e76fa53d3ad6ef71dab22a38755569189d2844af45f162ec25b45beefc8ea308cba7",
    ),
    (
        &[(1, PageType::Secrets)],
        "ede71fa5ddc72c3de70c6ff1149b8ecb6ef08b74b1d3a72c2cece10bd140c06a6181343d33def7db6cc0da1ff9ba4805",
    ),
    (
        &[(2, PageType::Cpuid)],
        "8247f0b6bd9552be4f11744b909bfba21d50069716443fef6ee71d4da846b8b21fdb2d0b23245bd2886b91b95f8b71d8",
    ),
    (
        &[(0, PageType::Normal), (1, PageType::Zero)],
        "3bb77aec4f0d90c147b6b7884b6bd5741994d2575305f89639c95186690d949261186702ef51f2fa7c0dd4c90f03ebfd",
    ),
    (
        &[(1, PageType::Zero), (0, PageType::Normal)],
        "01df08676606c46d74c6e01f0392457b23fe411ad8dac289cc2e74e4e111ce60723012c8fcb7f95e4568aa7514800c5c",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_launch_digest_covers_pages_in_their_order() {
    let case = "the_launch_digest_covers_pages_in_their_order";
    subjects()
        .that_can(case)
        .run(async |bench: &Bench| {
            for (pages, digest) in KNOWN_DIGESTS {
                let launch = bench.launch("").await;
                for (number, page_type) in pages {
                    let extent = match page_type {
                        PageType::Unmeasured | PageType::Cpuid => {
                            Extent::data(page(*number), *page_type, vec![0; 4096])
                        }
                        PageType::Unspecified
                        | PageType::Normal
                        | PageType::Zero
                        | PageType::Secrets => Extent::length(page(*number), *page_type, PAGE),
                    };
                    bench.api.stage(&launch.name, extent).await.unwrap();
                }
                let now = bench.api.get(&launch.name).await.unwrap();
                let byte = |at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap();
                let of_pages = std::array::from_fn(|at| byte(2 * at));
                let expected = with_vcpus_at_reset(of_pages, 1, SNP_ACTIVE);
                assert_eq!(hex(&now.launch_digest), hex(&expected), "{pages:?}");
                assert_eq!(now.measured_pages, now.installed_pages);
            }
        })
        .await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
