//! `stagectl diff`: where a launch and its image part, in every state that a launch can be in, and two images without a daemon.
use serde_json::{Value, json as value};
use stagepages_proto::v1::{LaunchSpec, Platform};
use stagepages_tests::{Bench, DaemonOptions, Extent, elf, igvm, on_platform, page};

use crate::stagectl::{Run, failing_json, json, run, stagectl};

/// What fills the first two pages of [`igvm`], at 0x100000 and 0x101000.
const SEED: u8 = 0x40;
const FIRST: [u8; 4096] = [SEED ^ 1; 4096];
const SECOND: [u8; 4096] = [SEED ^ 2; 4096];

async fn on_sim(test: impl AsyncFn(&Bench)) {
    // On the heap: a test here holds whole specs.
    Box::pin(on_platform(&DaemonOptions::new(), Platform::Sim, test)).await;
}

/// Writes a file that the daemon's directory takes away again.
fn file(bench: &Bench, name: &str, contents: &[u8]) -> String {
    let path = bench.daemon.dir().join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The image with one byte of its second page flipped.
fn flipped() -> Vec<u8> {
    let mut image = igvm(SEED);
    let at = image.windows(4096).position(|page| page == SECOND).unwrap();
    image[at + 1000] ^= 1;
    image
}

/// Stages the image into `launches/whole`, and says what that was created with.
async fn whole(bench: &Bench) -> (String, Box<LaunchSpec>) {
    let image = file(bench, "guest.igvm", &igvm(SEED));
    let stage = [
        "stage",
        &image,
        "--launch",
        "whole",
        "--platform",
        "sim",
        "--no-finish",
    ];
    assert_eq!(json(bench, &stage)["outcome"], "complete");
    let launch = bench.api.get("launches/whole").await.unwrap();
    (image, Box::new(launch.spec.unwrap()))
}

/// A launch made as `whole` was, in which calls need no number.
async fn like(bench: &Bench, id: &str, spec: &LaunchSpec) -> String {
    let spec = LaunchSpec {
        ordering: 0,
        ..spec.clone()
    };
    Box::pin(bench.api.create(id, spec)).await.unwrap().name
}

fn page_at(first: &Value, side: &str, which: &str) -> (Value, Value) {
    let page = &first[side][which];
    (page["ordinal"].clone(), page["gpa"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_image_is_identical_and_a_flipped_byte_names_its_page_in_every_state() {
    on_sim(async |bench: &Bench| {
        let (image, _) = whole(bench).await;
        let flipped = file(bench, "flipped.igvm", &flipped());
        let pages = json(bench, &["plan", &image, "--platform", "sim"])["pages"].clone();
        for (state, step) in [
            ("STAGING", None),
            ("FINISHED", Some("finish")),
            ("ABORTED", Some("abort")),
        ] {
            if let Some(step) = step {
                assert_eq!(json(bench, &["launch", step, "whole"])["state"], state);
            }
            let same = json(bench, &["diff", "whole", &image]);
            assert_eq!(
                (&same["verdict"], &same["state"], &same["first"]),
                (&value!("IDENTICAL"), &value!(state), &Value::Null)
            );
            assert_eq!(
                (
                    &same["planned_pages"],
                    &same["installed_pages"],
                    &same["same_pages"]
                ),
                (&pages, &pages, &pages)
            );
            assert_eq!(same["planned_digest"], same["installed_digest"]);
            assert_ne!(
                same["not_compared"]["pages"], 0,
                "UNMEASURED and SECRETS: {same}"
            );

            let other = failing_json(bench, &["diff", "whole", &flipped]);
            let first = &other["first"];
            assert_eq!(
                (&other["verdict"], &first["why"]),
                (&value!("DIVERGES"), &value!("CONTENTS"))
            );
            assert_eq!(first["ordinal"], 1);
            for side in ["planned", "installed"] {
                assert_eq!(
                    page_at(first, side, "before"),
                    (value!(0), value!("0x100000"))
                );
                assert_eq!(
                    page_at(first, side, "page"),
                    (value!(1), value!("0x101000"))
                );
                assert_eq!(
                    page_at(first, side, "after"),
                    (value!(2), value!("0x102000"))
                );
            }
            let installed = blake3::hash(&SECOND).to_hex().to_string();
            assert_eq!(first["installed"]["page"]["hash"], installed);
            assert_ne!(first["planned"]["page"]["hash"], installed);
            assert_eq!(other["contents"]["pages"], 1);
            assert_ne!(other["planned_digest"], other["installed_digest"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_that_changed_places_name_the_first() {
    on_sim(async |bench: &Bench| {
        let (image, spec) = whole(bench).await;
        let name = like(bench, "swapped", &spec).await;
        for (at, contents) in [(0x101, SECOND), (0x100, FIRST)] {
            let extent = Extent::normal(page(at), contents.to_vec());
            bench.api.stage(&name, extent).await.unwrap();
        }
        let diff = failing_json(bench, &["diff", "swapped", &image, "--prefix"]);
        let first = &diff["first"];
        assert_eq!(
            (&first["ordinal"], &first["why"]),
            (&value!(0), &value!("ORDER"))
        );
        assert_eq!(
            (&first["installed_at"], &first["planned_at"]),
            (&value!(1), &value!(1))
        );
        assert_eq!(page_at(first, "planned", "page").1, "0x100000");
        assert_eq!(page_at(first, "installed", "page").1, "0x101000");
        assert_eq!(first["planned"]["before"], Value::Null);
        assert_eq!(
            (&diff["moved"]["pages"], &diff["contents"]["pages"]),
            (&value!(1), &value!(0))
        );

        let people = stagectl(&bench.daemon, &["diff", "swapped", &image]);
        assert_eq!(people.exit, Some(1), "{people:?}");
        for words in [
            "DIVERGES",
            "another order",
            "0x100000",
            "0x101000",
            "only in the image",
        ] {
            assert!(people.stdout.contains(words), "{words}: {people:?}");
        }
        assert!(people.stderr.contains("error: ") && people.stderr.contains("hint: "));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_not_finished_is_a_success_only_where_that_is_enough() {
    on_sim(async |bench: &Bench| {
        let (image, spec) = whole(bench).await;
        let name = like(bench, "part", &spec).await;
        let diff = ["diff", "part", &image];
        let enough = [&diff[..], &["--prefix"]].concat();
        for pages in 0..3 {
            let told = failing_json(bench, &diff);
            assert_eq!(
                (&told["verdict"], &told["same_pages"]),
                (&value!("PREFIX"), &value!(pages))
            );
            assert_eq!(told["first"]["why"], "MISSING");
            assert_eq!(json(bench, &enough)["verdict"], "PREFIX");
            let next = match pages {
                0 => Extent::normal(page(0x100), FIRST.to_vec()),
                1 => Extent::normal(page(0x101), SECOND.to_vec()),
                _ => break,
            };
            bench.api.stage(&name, next).await.unwrap();
        }
        bench.api.abort(&name).await.unwrap();
        assert_eq!(json(bench, &enough)["state"], "ABORTED");

        // Of a launch that was finished nothing more can come.
        let ended = like(bench, "ended", &spec).await;
        let first = Extent::normal(page(0x100), FIRST.to_vec());
        bench.api.stage(&ended, first).await.unwrap();
        bench.api.finish(&ended, Vec::new()).await.unwrap();
        let told = failing_json(bench, &["diff", "ended", &image, "--prefix"]);
        assert_eq!(
            (&told["verdict"], &told["state"]),
            (&value!("PREFIX"), &value!("FINISHED"))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_planned_and_other_settings_are_told() {
    on_sim(async |bench: &Bench| {
        let (image, spec) = whole(bench).await;
        let stray = LaunchSpec {
            vcpus: 3,
            ..(*spec).clone()
        };
        let name = like(bench, "stray", &stray).await;
        let extent = Extent::normal(page(0x50), FIRST.to_vec());
        bench.api.stage(&name, extent).await.unwrap();
        let told = failing_json(bench, &["diff", "stray", &image]);
        assert_eq!(told["first"]["why"], "REPLACED");
        assert_eq!(told["extra"]["listed"][0]["gpa"], "0x50000");
        assert_eq!(
            told["settings"],
            value!([{"name": "vcpus", "planned": "2", "installed": "3", "measured": true}])
        );

        let kernel = file(bench, "kernel.elf", &elf(&[0xf4]));
        let stage = ["stage", &kernel, "--launch", "kernel", "--platform", "sim"];
        json(bench, &stage);
        let more = ["diff", "kernel", &kernel, "--vcpus", "2"];
        let told = failing_json(bench, &more);
        assert_eq!(
            (&told["verdict"], &told["first"]),
            (&value!("DIVERGES"), &Value::Null)
        );
        assert_eq!(told["settings"][0]["name"], "vcpus");
        let people = stagectl(&bench.daemon, &more);
        assert!(people.stdout.contains("OTHER SETTINGS"), "{people:?}");

        let stranger = stagectl(
            &bench.daemon,
            &["diff", "whole", &image, "--uid", &"0".repeat(32)],
        );
        assert_eq!(
            (stranger.exit, stranger.stdout.as_str()),
            (Some(1), ""),
            "{stranger:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vcpu_that_was_set_after_creation_is_told_by_the_digests() {
    on_sim(async |bench: &Bench| {
        let (image, _) = whole(bench).await;
        let diff = ["diff", "whole", &image];
        assert_eq!(json(bench, &diff)["verdict"], "IDENTICAL");
        let set = ["launch", "set-vcpu", "whole", "1=long:0x123000:0x1000"];
        json(bench, &set);
        for state in ["STAGING", "FINISHED"] {
            let told = failing_json(bench, &diff);
            assert_eq!(
                (&told["verdict"], &told["state"], &told["first"]),
                (&value!("OTHER_DIGEST"), &value!(state), &Value::Null)
            );
            assert_eq!(told["settings"], value!([]));
            assert_ne!(told["planned_digest"], told["installed_digest"]);
            if state == "STAGING" {
                json(bench, &["launch", "finish", "whole"]);
            }
        }
        let people = stagectl(&bench.daemon, &diff);
        assert!(people.stdout.contains("ANOTHER DIGEST"), "{people:?}");
        assert!(people.stderr.contains("set-vcpu"), "{people:?}");
    })
    .await;
}

#[test]
fn two_images_are_compared_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let written = |name: &str, contents: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, other) = (written("one", &igvm(SEED)), written("other", &flipped()));
    let diff = |one: &str, other: &str| -> Run {
        let images = ["diff", "--images", one, other];
        run(&[&images[..], &["--platform", "sev-snp", "--output", "json"]].concat())
    };
    let same = diff(&one, &one);
    assert_eq!(same.exit, Some(0), "{same:?}");
    assert_eq!(same.document()["verdict"], "IDENTICAL");
    let parted = diff(&one, &other);
    assert_eq!(parted.exit, Some(1), "{parted:?}");
    let told = parted.document();
    assert_eq!(
        (&told["first"]["ordinal"], &told["state"]),
        (&value!(1), &Value::Null)
    );
    assert_ne!(told["planned_digest"], told["installed_digest"]);

    let cut = written("cut", &igvm(SEED)[..100]);
    let refused = diff(&cut, &one);
    assert_eq!(refused.exit, Some(1), "{refused:?}");
    let error = refused.document()["error"]["what"].to_string();
    assert!(error.contains("cut"), "the image is named: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_and_a_stopped_guest_are_compared_too() {
    on_platform(
        &DaemonOptions::new(),
        Platform::Kvm,
        async |bench: &Bench| {
            // A jump to itself: it runs until it is stopped.
            let image = file(bench, "guest.elf", &elf(&[0xeb, 0xfe]));
            let stage = [
                "stage",
                &image,
                "--launch",
                "vm",
                "--platform",
                "kvm",
                "--start",
            ];
            assert_eq!(json(bench, &stage)["state"], "RUNNING");
            for state in ["RUNNING", "STOPPED"] {
                let same = json(bench, &["diff", "vm", &image]);
                assert_eq!(
                    (&same["verdict"], &same["state"], &same["planned_digest"]),
                    (&value!("IDENTICAL"), &value!(state), &Value::Null)
                );
                if state == "RUNNING" {
                    json(bench, &["launch", "stop", "vm"]);
                }
            }
        },
    )
    .await;
}
