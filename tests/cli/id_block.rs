//! `stagectl id-block`: made, checked, and refused before it costs a launch.
use std::path::Path;

use serde_json::Value;
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, DaemonOptions, on_platform,
    stagectl::{Run, failing_json, run},
};

/// Keys that protect nothing.
const ID_KEY: &str = include_str!("../../client/src/id_block/testdata/id-key.pem");
const AUTHOR_KEY: &str = include_str!("../../client/src/id_block/testdata/author-key.pem");

/// The digests of those, as `sev-snp-measure` prints them.
const ID_KEY_DIGEST: &str = "52be9aaa8c28caecac869a12dc8ad8cd714aa2efa305ca8bb9a333fc7f2afc2559061e8f845891fb3d3591c75be3cb8b";
const AUTHOR_KEY_DIGEST: &str = "9e6114520333a1249f2097b9f5e10dd8ec63104f37a408638a95a53ba639666e5af5cf7059f8a72d53b5f62de57ea916";

/// A folder with keys, and where the two files go.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("id.pem"), ID_KEY).unwrap();
        std::fs::write(dir.path().join("author.pem"), AUTHOR_KEY).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// `id-block create` with both keys for this digest, and what else.
    fn create(&self, digest: &str, more: &[&str]) -> Run {
        let (id, author) = (self.path("id.pem"), self.path("author.pem"));
        let (block, auth) = (self.path("block"), self.path("auth"));
        let create = [
            "--output",
            "json",
            "id-block",
            "create",
            "--digest",
            digest,
            "--id-key",
            &id,
            "--author-key",
            &author,
            "--out-block",
            &block,
            "--out-auth",
            &auth,
        ];
        run(&[&create, more].concat())
    }

    fn check(&self, more: &[&str]) -> Run {
        let (block, auth) = (self.path("block"), self.path("auth"));
        let check = [
            "--output", "json", "id-block", "check", "--block", &block, "--auth", &auth,
        ];
        run(&[&check, more].concat())
    }

    /// Flips a byte.
    fn spoil(&self, name: &str, at: usize) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        bytes[at] ^= 1;
        std::fs::write(self.path(name), bytes).unwrap();
    }
}

fn problems(document: &Value) -> Vec<(&str, &str)> {
    let problems = document["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|it| {
            let text = |name| it[name].as_str().unwrap_or_default();
            (text("structure"), text("offset"))
        })
        .collect()
}

#[test]
fn what_was_signed_is_what_check_shows_and_firmware_would_take_it() {
    let desk = Desk::new();
    let digest = "a5".repeat(48);
    let (family, image) = ("fa".repeat(16), "1a".repeat(16));
    let more = [
        "--policy",
        "smt,debug",
        "--family-id",
        &family,
        "--image-id",
        &image,
        "--guest-svn",
        "7",
    ];
    let made = desk.create(&digest, &more);
    assert_eq!(made.exit, Some(0), "{made:?}");
    let checked = desk.check(&["--author-key", "--digest", &digest, "--policy", "0xb0000"]);
    assert_eq!(checked.exit, Some(0), "{checked:?}");
    let document = checked.document();
    assert_eq!(document, made.document());
    for (name, value) in [
        ("launch_digest", &*digest),
        ("policy", "0xb0000"),
        ("family_id", &*family),
        ("image_id", &*image),
        ("id_key_digest", ID_KEY_DIGEST),
        ("author_key_digest", AUTHOR_KEY_DIGEST),
    ] {
        assert_eq!(document[name], value, "{name}");
    }
    assert_eq!(
        (&document["guest_svn"], &document["version"]),
        (&7.into(), &1.into())
    );
    let sizes = ["block", "auth"].map(|name| std::fs::metadata(desk.path(name)).unwrap().len());
    assert_eq!(sizes, [96, 4096]);
    let people = run(&[
        "id-block",
        "check",
        "--block",
        &desk.path("block"),
        "--auth",
        &desk.path("auth"),
    ]);
    for words in [&*digest, "0xb0000 (smt, debug)", ID_KEY_DIGEST] {
        assert!(people.stdout.contains(words), "{words}: {people:?}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let desk = Desk::new();
    std::fs::write(desk.path("auth"), "precious").unwrap();
    let made = desk.create(&"00".repeat(48), &[]);
    assert_eq!(made.exit, Some(1), "{made:?}");
    assert!(
        made.stderr.contains("auth") && made.stderr.contains("does not exist yet"),
        "{made:?}"
    );
    assert_eq!(std::fs::read(desk.path("auth")).unwrap(), b"precious");
    // Half a pair is of no use, and would be in the way once the other is gone.
    assert!(!Path::new(&desk.path("block")).exists());
    std::fs::remove_file(desk.path("auth")).unwrap();
    assert_eq!(desk.create(&"00".repeat(48), &[]).exit, Some(0));
}

#[test]
fn a_key_that_is_none_is_refused_with_the_way_out_and_never_shown() {
    let desk = Desk::new();
    let secret = ID_KEY.lines().nth(1).unwrap();
    let encrypted = AUTHOR_KEY.replace("PRIVATE", "ENCRYPTED PRIVATE");
    for (name, text, words) in [
        ("id.pem", "nothing", "secp384r1"),
        ("id.pem", &encrypted, "openssl pkey"),
        ("id.pem", &ID_KEY.replace('A', "B"), "secp384r1"),
    ] {
        std::fs::write(desk.path(name), text).unwrap();
        let made = desk.create(&"00".repeat(48), &[]);
        assert_eq!(made.exit, Some(1), "{made:?}");
        assert!(
            made.stderr.contains(words) && made.stderr.contains(name),
            "{made:?}"
        );
        assert!(!made.stderr.contains(&secret[..16]), "{made:?}");
        assert!(!Path::new(&desk.path("block")).exists());
    }
    std::fs::remove_file(desk.path("id.pem")).unwrap();
    let made = desk.create(&"00".repeat(48), &[]);
    assert!(made.stderr.contains("cannot be read"), "{made:?}");
}

#[test]
fn a_policy_that_no_launch_can_have_is_not_signed() {
    let desk = Desk::new();
    let made = desk.create(&"00".repeat(48), &["--policy", "0x10000"]);
    assert_eq!(made.exit, Some(1), "{made:?}");
    assert!(made.stderr.contains("bit 17"), "{made:?}");
    assert!(!Path::new(&desk.path("block")).exists());
}

#[test]
fn every_reason_to_refuse_is_in_the_document() {
    let desk = Desk::new();
    let digest = "a5".repeat(48);
    assert_eq!(desk.create(&digest, &[]).exit, Some(0));
    let other = "a6".repeat(48);
    let checked = desk.check(&["--digest", &other, "--policy", "debug"]);
    assert_eq!(checked.exit, Some(1), "{checked:?}");
    assert_eq!(
        problems(&checked.document()),
        [("ID block", "0x0"), ("ID block", "0x58")]
    );
    desk.spoil("block", 0);
    desk.spoil("auth", 0x680);
    let checked = desk.check(&[]);
    assert_eq!(checked.exit, Some(1), "{checked:?}");
    let auth = "ID authentication information";
    assert_eq!(
        problems(&checked.document()),
        [(auth, "0x40"), (auth, "0x680")]
    );
    desk.spoil("auth", 0xfff);
    let checked = desk.check(&[]);
    assert_eq!(checked.exit, Some(1), "{checked:?}");
    assert!(checked.stderr.contains("offset 0xfff"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_firmware_would_refuse_is_not_sent() {
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            bench.launch("vm").await;
            let desk = Desk::new();
            let digest = "a5".repeat(48);
            assert_eq!(desk.create(&digest, &[]).exit, Some(0));
            let (block, auth) = (desk.path("block"), desk.path("auth"));
            let finish = [
                "launch",
                "finish",
                "vm",
                "--snp-id-block",
                &block,
                "--snp-id-auth",
                &auth,
            ];
            let other = "a6".repeat(48);
            let expecting = [&finish[..], &["--expect-digest", &other]].concat();
            let refused = failing_json(bench, &expecting);
            assert!(
                refused["error"]["reason"].is_null(),
                "the daemon was asked: {refused}"
            );
            assert!(
                refused["error"]["what"].as_str().unwrap().contains(&other),
                "{refused}"
            );
            // The author key is judged only where firmware would.
            desk.spoil("auth", 0x680);
            let with_author = [&finish[..], &["--snp-author-key"]].concat();
            let refused = failing_json(bench, &with_author);
            assert!(
                refused["error"]["what"]
                    .as_str()
                    .unwrap()
                    .contains("BAD_SIGNATURE"),
                "{refused}"
            );
            let asked = failing_json(bench, &finish);
            assert_eq!(
                asked["error"]["reason"], "INVALID_LAUNCH",
                "sim takes none: {asked}"
            );
            desk.spoil("block", 0);
            let refused = failing_json(bench, &finish);
            assert!(
                refused["error"]["what"].as_str().unwrap().contains("0x40"),
                "{refused}"
            );
        },
    )
    .await;
}

#[test]
fn the_block_of_an_image_is_for_the_digest_that_it_ends_in() {
    let desk = Desk::new();
    let image = desk.path("image");
    std::fs::write(&image, stagepages_tests::amd_firmware(1)).unwrap();
    let options = ["--platform", "sev-snp", "--vcpus", "2"];
    let digest = run(&[&["digest", &image], &options[..]].concat());
    assert_eq!(digest.exit, Some(0), "{digest:?}");
    let id = desk.path("id.pem");
    let sign = |name: &str, more: &[&str]| {
        let (block, auth) = (desk.path(name), desk.path(&format!("{name}.auth")));
        let create = ["--output", "json", "id-block", "create", "--id-key", &id];
        let out = ["--out-block", &block, "--out-auth", &auth];
        run(&[&create[..], &out, more].concat())
    };
    let planned = [
        &[image.as_str()],
        &options[..],
        &["--snp-policy", "smt,debug"],
    ]
    .concat();
    let made = sign("planned", &planned);
    assert_eq!(made.exit, Some(0), "{made:?}");
    let document = made.document();
    assert_eq!(document["launch_digest"], digest.stdout.trim());
    assert_eq!(document["policy"], "0xb0000");

    let other = sign("other", &[&image, "--platform", "sim"]);
    assert_eq!(other.exit, Some(1), "{other:?}");
    assert!(other.stderr.contains("--platform sev-snp"), "{other:?}");
    let digest = digest.stdout.trim();
    for wrong in [
        &[][..],
        &[&image, "--digest", digest],
        &[&image, "--policy", "smt"],
        &["--digest", digest, "--vcpus", "2"],
        // Of an image's plan; without one it would say nothing.
        &["--digest", digest, "--snp-policy", "smt"],
        &["--digest", "00"],
    ] {
        let told = sign("wrong", wrong);
        assert_eq!(told.exit, Some(2), "{wrong:?}: {told:?}");
    }
}
