//! `stagectl launch stage`: files and runs, counts that survive a repeat, conflicts that fail.
use serde_json::json as value;
use stagepages_tests::{
    Bench, Contents, Extent, GuestMemory, PAGE, on_every_platform, page, region, snapshot, spec,
};

use crate::stagectl::{failing_json, json, stagectl};

/// Writes a file that the daemon's directory takes away again.
fn file(bench: &Bench, name: &str, contents: &[u8]) -> String {
    let path = bench.daemon.dir().join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_staged_whole_and_a_repeat_finds_it_there() {
    on_every_platform(async |bench: &Bench| {
        // More than one call takes, and not a multiple of it.
        let pages = 2 * bench.api.node_info().await.limits.unwrap().max_data_bytes / PAGE + 3;
        let regions = [region(page(16), (pages + 16) * PAGE)];
        let launch = bench
            .api
            .create("vm", spec(bench.platform, regions))
            .await
            .unwrap();
        let data = Contents::new(201).pages(pages);
        let path = file(bench, "image", &data);

        let stage = [
            "launch", "stage", "vm", &path, "--gpa", "0x10000", "--type", "normal",
        ];
        let staged = json(bench, &stage);
        assert_eq!(
            (&staged["outcome"], &staged["installed_pages"]),
            (&value!("complete"), &value!(pages))
        );
        assert_eq!(
            (&staged["total_pages"], &staged["identical_pages"]),
            (&value!(pages), &value!(0))
        );
        snapshot(&bench.api, "launches/vm").await;
        let memory = GuestMemory::open(launch.host_pid, (pages + 16) * PAGE);
        assert!(
            memory.read(page(0), data.len()) == data,
            "other bytes than the file's"
        );

        let again = json(bench, &stage);
        assert_eq!(
            (&again["outcome"], &again["installed_pages"]),
            (&value!("complete"), &value!(0))
        );
        assert_eq!(
            again["identical_pages"],
            value!(pages),
            "what is there as wanted is a success"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_somebody_else_is_a_conflict_that_names_it() {
    on_every_platform(async |bench: &Bench| {
        bench.launch("vm").await;
        let data = Contents::new(202).pages(8);
        let path = file(bench, "image", &data);
        // Page 2 is there as wanted, page 5 is not.
        bench
            .api
            .stage(
                "launches/vm",
                Extent::normal(page(2), data.slice(2 * 4096..3 * 4096)),
            )
            .await
            .unwrap();
        bench
            .api
            .stage(
                "launches/vm",
                Extent::normal(page(5), Contents::new(203).pages(1)),
            )
            .await
            .unwrap();

        let staged = failing_json(
            bench,
            &[
                "launch", "stage", "vm", &path, "--gpa", "0x0", "--type", "normal",
            ],
        );
        assert_eq!(staged["outcome"], "conflict");
        assert_eq!(
            (&staged["installed_pages"], &staged["identical_pages"]),
            (&value!(4), &value!(1))
        );
        assert_eq!(
            staged["conflict"],
            value!({"gpa": "0x5000", "page_type": "NORMAL"})
        );
        assert_eq!(
            bench.api.get("launches/vm").await.unwrap().installed_pages,
            6
        );
        snapshot(&bench.api, "launches/vm").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_without_contents_need_no_file() {
    on_every_platform(async |bench: &Bench| {
        bench.launch("vm").await;
        for (gpa, page_type) in [("0x0", "zero"), ("0x10000", "normal")] {
            let staged = json(
                bench,
                &[
                    "launch", "stage", "vm", "--gpa", gpa, "--type", page_type, "--length", "64K",
                ],
            );
            assert_eq!(
                (&staged["outcome"], &staged["installed_pages"]),
                (&value!("complete"), &value!(16))
            );
        }
        snapshot(&bench.api, "launches/vm").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_page_is_padded_only_when_asked() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let path = file(bench, "crooked", b"crooked");
        let stage = [
            "launch",
            "stage",
            "vm",
            &path,
            "--gpa",
            "0x3000",
            "--type",
            "unmeasured",
        ];
        let run = stagectl(&bench.daemon, &stage);
        assert_eq!(run.exit, Some(1), "{run:?}");
        assert!(run.stderr.contains("--pad"), "{run:?}");
        assert_eq!(bench.api.get("launches/vm").await.unwrap(), launch);

        assert_eq!(
            json(bench, &[&stage[..], &["--pad"]].concat())["installed_pages"],
            1
        );
        let page_bytes = bench.memory(&launch).read(page(3), 4096);
        assert!(
            page_bytes.starts_with(b"crooked\0") && page_bytes[7..].iter().all(|byte| *byte == 0)
        );
    })
    .await;
}
