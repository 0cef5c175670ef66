//! Logs: machines can read them, and they hold what happened, never what the pages hold.
use serde_json::Value;
use stagepages_proto::v1::PageType;
use stagepages_tests::{Bench, Extent, page, refused};

/// Sixteen bytes that nobody writes by chance; pages are full of them.
const SECRET: &[u8; 16] = b"hunter2-hunter2-";

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_logged_but_the_pages() {
    let subjects = super::subjects().with(|options| {
        options
            .environment("STAGEPAGES_LOG_FORMAT", "json")
            .environment("STAGEPAGES_LOG", "trace")
    });
    subjects
        .run(async |bench: &Bench| {
            let launch = bench.launch("logged").await;
            let contents = SECRET.repeat(256);
            let unmeasured = Extent::data(page(1), PageType::Unmeasured, contents.clone());
            bench
                .api
                .stage(&launch.name, Extent::normal(page(0), contents.clone()))
                .await
                .unwrap();
            bench.api.stage(&launch.name, unmeasured).await.unwrap();
            // Refusals are where contents slip into messages.
            for attempt in [
                Extent::normal(page(0), contents.repeat(2)),
                Extent::normal(page(0), contents[..100].to_vec()),
            ] {
                let status = bench.api.stage(&launch.name, attempt).await.unwrap_err();
                assert!(
                    !contains(status.message().as_bytes()) && !contains(status.details()),
                    "{status:?}"
                );
            }
            refused(
                bench
                    .api
                    .create("logged", stagepages_tests::spec(bench.platform, []))
                    .await,
                "INVALID_LAUNCH",
            );
            bench.api.abort(&launch.name).await.unwrap();

            let log = bench.daemon.log();
            assert!(!contains(log.as_bytes()), "page contents in the log");
            let lines: Vec<Value> = log
                .lines()
                .map(|line| {
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
                })
                .collect();
            assert!(
                lines.iter().any(|line| line.to_string().contains("logged")),
                "the launch is in the log"
            );
            assert!(
                lines
                    .iter()
                    .all(|line| line["level"].is_string() && line["timestamp"].is_string()),
                "{log}"
            );
        })
        .await;
}

/// Whether `text` holds the contents of a page, as such, in hex, in base64, or as a list of numbers.
fn contains(text: &[u8]) -> bool {
    let hex: String = SECRET[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let numbers = format!("{:?}", &SECRET[..8]);
    // "hunter2-" at each of the three places that it can have in groups of three bytes.
    let base64 = ["aHVudGVyMi1o", "h1bnRlcjItaH", "odW50ZXIyLWh1"];
    let mut forms = vec![
        SECRET[..8].to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        numbers.trim_matches(['[', ']']).as_bytes().to_vec(),
    ];
    forms.extend(base64.iter().map(|form| form.as_bytes().to_vec()));
    forms
        .iter()
        .any(|form| text.windows(form.len()).any(|part| part == form))
}
