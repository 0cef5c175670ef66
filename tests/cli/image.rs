//! `stagectl image`, and staging by reference: what is stored travels once.
use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use bytes::Bytes;
use serde_json::{Value, json as value};
use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::{
    Platform, QueryWriteRequest, QueryWriteResponse, WriteImageRequest,
    image_service_client::ImageServiceClient, write_image_request::Content,
};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, PAGE, elf, eventually, on_every_platform, on_platform, snapshot,
};
use tonic::transport::Channel;

use crate::stagectl::{failing_json, json, platform, run, stagectl, start};

/// A guest that writes 0 to isa-debug-exit, port 0xf4.
const EXITS: &[u8] = b"\x30\xc0\xe6\xf4\xf4";

async fn on_sim(test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new(), Platform::Sim, test).await;
}

fn written(bench: &Bench, name: &str, contents: &[u8]) -> String {
    let path = bench.daemon.dir().join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A guest of about a megabyte, none of it zeros.
fn guest(seed: u64) -> Vec<u8> {
    let mut code = EXITS.to_vec();
    code.extend(Contents::new(seed).pages(240));
    elf(&code)
}

fn name_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("images/sha256:{hex}")
}

fn images(bench: &Bench) -> Vec<Value> {
    let listed = json(bench, &["image", "list"]);
    listed["images"].as_array().unwrap().clone()
}

fn service(bench: &Bench) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(bench.api.channel.clone())
}

async fn progress(bench: &Bench, name: &str, upload_id: &str) -> Option<QueryWriteResponse> {
    let request = QueryWriteRequest {
        name: name.to_owned(),
        upload_id: upload_id.to_owned(),
    };
    let answer = service(bench).query_write(request).await.ok()?;
    Some(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_travels_once_and_its_zeros_never() {
    on_sim(async |bench: &Bench| {
        // 3 MiB and a bit, of which 1 MiB is zeros.
        let mut bytes = Contents::new(301).pages(512).to_vec();
        bytes.extend(vec![0; 1 << 20]);
        bytes.extend(b"the end");
        let (path, name) = (written(bench, "image", &bytes), name_of(&bytes));
        let pushed = json(bench, &["image", "push", &path]);
        assert_eq!(
            pushed,
            value!({
                "name": name, "size": bytes.len(), "was_there": false,
                "sent_bytes": bytes.len() - (1 << 20), "zero_bytes": 1 << 20, "resumed_at": 0
            })
        );
        let again = json(bench, &["image", "push", &path]);
        assert_eq!(
            (&again["was_there"], &again["sent_bytes"], &again["name"]),
            (&value!(true), &value!(0), &value!(name))
        );
        let listed = images(bench);
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (&listed[0]["name"], &listed[0]["size"], &listed[0]["in_use"]),
            (&value!(name), &value!(bytes.len()), &value!(false))
        );
        let got = json(bench, &["image", "get", name.trim_start_matches("images/")]);
        assert_eq!(
            (&got["name"], &got["size"]),
            (&value!(name), &value!(bytes.len()))
        );
        let usage = json(bench, &["node"])["usage"].clone();
        assert_eq!(usage["images"], 1);

        let granted = value!({"name": name, "tenant": "blue"});
        for _ in 0..2 {
            let grant = json(bench, &["image", "grant", &name, "blue"]);
            assert_eq!(grant, granted, "a repeat is the same");
        }
        let refused = failing_json(bench, &["image", "grant", &name, "Blue"]);
        assert_eq!(refused["error"]["reason"], "MALFORMED_REQUEST", "{refused}");

        assert_eq!(
            json(bench, &["image", "rm", &name]),
            value!({"removed": [name]})
        );
        assert!(images(bench).is_empty());
        for command in [
            &["rm", &name][..],
            &["get", &name],
            &["grant", &name, "red"],
        ] {
            let refused = failing_json(bench, &[&["image"], command].concat());
            assert_eq!(refused["error"]["reason"], "IMAGE_NOT_FOUND", "{refused}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_is_refused_before_anything_is_sent() {
    on_sim(async |bench: &Bench| {
        let empty = written(bench, "empty", b"");
        let refused = failing_json(bench, &["image", "push", &empty]);
        assert!(
            refused["error"]["what"]
                .as_str()
                .unwrap()
                .contains("is empty")
        );
        let directory = bench.daemon.dir().to_str().unwrap();
        for path in ["/nowhere/at/all", directory] {
            let refused = failing_json(bench, &["image", "push", path]);
            let what = refused["error"]["what"].as_str().unwrap();
            assert!(what.contains(path), "{refused}");
        }
        let run = run(&["image", "rm", "images/sha256:00"]);
        assert_eq!(run.exit, Some(2), "{run:?}");
        assert!(images(bench).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_launch_of_an_image_sends_no_contents() {
    on_every_platform(async |bench: &Bench| {
        let (path, platform) = (written(bench, "guest", &guest(302)), platform(bench));
        let stage = |id| ["stage", &path, "--platform", &platform, "--launch", id];
        let first = json(bench, &stage("first"));
        assert_eq!(first["state"], "FINISHED", "{first}");
        assert!(first["sent_bytes"].as_u64().unwrap() > 0xf_0000, "{first}");
        assert_eq!(images(bench)[0]["name"], first["image"]);

        let second = json(bench, &stage("second"));
        assert_eq!(second["sent_bytes"], 0, "{second}");
        for member in ["image", "digest", "installed_pages", "total_pages"] {
            assert_eq!(second[member], first[member], "{member}");
        }
        // By hand, byte for byte: the same pages.
        let third = json(bench, &[&stage("third")[..], &["--no-store"]].concat());
        assert!(third["image"].is_null(), "{third}");
        assert!(third["sent_bytes"].as_u64() >= first["sent_bytes"].as_u64());
        assert_eq!(third["digest"], first["digest"]);
        let all = [&third, &second, &first];
        assert!(
            all.iter()
                .all(|it| it["installed_pages"] == it["total_pages"])
        );
        for id in ["first", "second", "third"] {
            json(bench, &["diff", id, &path]);
            snapshot(&bench.api, &format!("launches/{id}")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_at_an_address_is_stored_too_and_zeros_between_count() {
    on_every_platform(async |bench: &Bench| {
        let mut bytes = Contents::new(303).pages(8).to_vec();
        bytes.extend(vec![0; 32 * 4096]);
        bytes.extend(b"tail");
        let path = written(bench, "file", &bytes);
        for (nth, id) in ["a", "b"].into_iter().enumerate() {
            bench.launch(id).await;
            let file = ["launch", "stage", id, &path, "--gpa", "0x10000", "--pad"];
            let staged = json(bench, &[&file[..], &["--type", "unmeasured"]].concat());
            let padded = bytes.len().next_multiple_of(4096);
            assert_eq!(staged["installed_pages"], padded / 4096);
            let sent = [padded - 32 * 4096, 0][nth];
            assert_eq!(staged["sent_bytes"], sent, "{staged}");
            bytes.resize(padded, 0);
            assert_eq!(staged["image"], name_of(&bytes));
            let launch = bench.api.get(&format!("launches/{id}")).await.unwrap();
            let memory = bench
                .memory(&launch)
                .read(stagepages_tests::page(16), bytes.len());
            assert!(memory == bytes, "other bytes than the file's");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_removed_is_pushed_again() {
    on_sim(async |bench: &Bench| {
        let path = written(bench, "guest", &guest(304));
        let stage = |id| ["stage", &path, "--platform", "sim", "--launch", id];
        let first = json(bench, &stage("first"));
        json(bench, &["image", "rm", first["image"].as_str().unwrap()]);
        let second = json(bench, &stage("second"));
        assert_eq!(second["sent_bytes"], first["sent_bytes"]);
        assert_eq!(second["state"], "FINISHED");

        // The launch is finished, and nothing is to be staged: so nothing is pushed.
        json(bench, &["image", "rm", first["image"].as_str().unwrap()]);
        assert_eq!(json(bench, &stage("second"))["outcome"], "finished");
        assert!(images(bench).is_empty());
    })
    .await;
}

/// The files of at least `bytes` bytes below `directory`.
fn large_files(directory: &Path, bytes: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let (path, about) = entry.map(|it| (it.path(), it.metadata().unwrap())).unwrap();
        if about.is_dir() {
            found.extend(large_files(&path, bytes));
        } else if about.len() >= bytes {
            found.push(path);
        }
    }
    found
}

/// Flips a bit of every stored image, behind the daemon's back.
fn spoil(bench: &Bench, size: u64) {
    let files = large_files(&bench.daemon.dir().join("state"), size);
    assert!(!files.is_empty(), "no image is stored");
    for path in files {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, size / 2).unwrap();
        file.write_all_at(&[byte[0] ^ 1], size / 2).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotten_image_is_pushed_again_and_never_installed() {
    on_sim(async |bench: &Bench| {
        let bytes = Contents::new(305).pages(256);
        let path = written(bench, "file", &bytes);
        json(bench, &["image", "push", &path]);
        spoil(bench, bytes.len() as u64);

        let launch = bench.launch("vm").await;
        let stage = [
            "launch", "stage", "vm", &path, "--gpa", "0x0", "--type", "normal",
        ];
        let staged = json(bench, &stage);
        assert_eq!(
            (&staged["outcome"], &staged["installed_pages"]),
            (&value!("complete"), &value!(256))
        );
        assert_eq!(staged["sent_bytes"], bytes.len(), "it travelled again");
        let memory = bench
            .memory(&launch)
            .read(stagepages_tests::page(0), bytes.len());
        assert!(memory == bytes, "a rotten byte was installed");
        snapshot(&bench.api, "launches/vm").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_goes_on_where_another_was_cut_off() {
    on_sim(async |bench: &Bench| {
        let bytes = Contents::new(306).pages(768);
        let (path, name) = (written(bench, "file", &bytes), name_of(&bytes));
        let half = 300 * PAGE;
        let request = WriteImageRequest {
            name: name.clone(),
            size: bytes.len() as u64,
            upload_id: "mine".to_owned(),
            offset: 0,
            content: Some(Content::Data(Bytes::copy_from_slice(
                &bytes[..usize::try_from(half).unwrap()],
            ))),
        };
        // Broken off: half of it is sent, and then the call is dropped.
        let (requests, outgoing) = tokio::sync::mpsc::channel(1);
        let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
        requests.send(request).await.unwrap();
        let mut service = service(bench);
        let call = tokio::spawn(async move { service.write_image(outgoing).await });
        eventually("half of an image", async || {
            progress(bench, &name, "mine")
                .await
                .filter(|it| it.committed_offset == half)
        })
        .await;
        call.abort();

        let pushed = json(bench, &["image", "push", &path, "--upload-id", "mine"]);
        assert_eq!(
            (&pushed["resumed_at"], &pushed["sent_bytes"]),
            (&value!(half), &value!(bytes.len() as u64 - half)),
            "{pushed}"
        );
        drop(requests);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_killed_is_completed_by_the_same_command() {
    on_sim(async |bench: &Bench| {
        let bytes = Contents::new(307).pages(4096);
        let (path, name) = (written(bench, "file", &bytes), name_of(&bytes));
        let push = ["image", "push", &path, "--upload-id", "mine"];
        let mut client = start(bench.daemon.socket(), &push, Stdio::null());
        eventually("the first bytes of an image", async || {
            progress(bench, &name, "mine")
                .await
                .filter(|it| it.committed_offset > 0)
        })
        .await;
        // SIGKILL, wherever it was: it may even have been through.
        client.kill().await.unwrap();

        let pushed = json(bench, &push);
        let count = |member: &str| pushed[member].as_u64().unwrap();
        if pushed["was_there"] == false {
            assert!(count("resumed_at") > 0, "{pushed}");
            assert_eq!(
                count("resumed_at") + count("sent_bytes"),
                bytes.len() as u64
            );
        }
        assert_eq!(images(bench)[0]["name"], name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_an_image_the_contents_travel_with_the_calls() {
    let options = DaemonOptions::new().config("max_image_bytes = 65536");
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        let path = written(bench, "guest", &guest(308));
        let stage = ["stage", &path, "--platform", "sim", "--launch", "vm"];
        let run = stagectl(&bench.daemon, &[&["--output", "json"], &stage[..]].concat());
        assert_eq!(run.exit, Some(0), "{run:?}");
        assert!(run.stderr.contains("as bytes"), "{run:?}");
        let staged = run.document();
        assert_eq!(staged["state"], "FINISHED");
        assert!(staged["image"].is_null() && staged["sent_bytes"].as_u64() > Some(0));

        let refused = failing_json(bench, &["image", "push", &path]);
        assert_eq!(refused["error"]["reason"], "IMAGE_TOO_LARGE", "{refused}");
    })
    .await;
}
