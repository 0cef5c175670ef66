//! Bytes that no client library would send: broken messages, broken frames, broken headers, and what is not HTTP/2 at all.
use super::on_every_platform;
use bytes::Bytes;
use prost::Message as _;
use stagepages_proto::v1::GetLaunchRequest;
use stagepages_tests::{Bench, Extent, Raw, eventually, frame, page, refused, snapshot};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

const CREATE: &str = "/stagepages.v1.LaunchService/CreateLaunch";
const GET: &str = "/stagepages.v1.LaunchService/GetLaunch";
const STAGE: &str = "/stagepages.v1.LaunchService/StagePages";

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_do_not_decode_are_malformed() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench
            .api
            .stage(&name, Extent::normal(page(3), vec![3; 4096]))
            .await
            .unwrap();
        let before = snapshot(&bench.api, &name).await;
        let mut raw = Raw::open(bench.daemon.socket()).await;

        let good = Extent::normal(page(0), vec![1; 4096])
            .request(&name)
            .encode_to_vec();
        let garbage: [&[u8]; 7] = [
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", // no varint ends here
            b"\x0a\x02\xff\xfe",                             // name: not UTF-8
            b"\x0a\x7fshort",                                // name: longer than the message
            b"\x0f\x00",                                     // wire type 7
            b"\x08\x01",                                     // name: a number
            b"GET / HTTP/1.1\r\n\r\n",
            &good[..good.len() - 1],
        ];
        for message in garbage {
            for path in [CREATE, GET, STAGE] {
                let answer = raw.call(path, &[], frame(0, message)).await.unwrap();
                refused(answer.error(), "MALFORMED_REQUEST");
            }
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none_are_malformed() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let good = Extent::normal(page(0), vec![1; 4096])
            .request(&launch.name)
            .encode_to_vec();
        let whole = frame(0, &good);
        let mut raw = Raw::open(bench.daemon.socket()).await;
        let bad = [
            Bytes::new(),                     // no message at all
            whole.slice(..3),                 // part of a header
            whole.slice(..whole.len() - 100), // part of a message
            frame(1, &good),                  // compressed, as it claims, with nothing
            frame(7, &good),                  // a flag that is none
        ];
        for body in bad {
            let answer = raw.call(STAGE, &[], body.clone()).await.unwrap();
            refused(answer.error(), "MALFORMED_REQUEST");
        }
        // A length of 4 GiB is refused by its header, before anybody waits for the rest.
        let answer = raw
            .call(STAGE, &[], Bytes::from_static(b"\x00\xff\xff\xff\xff"))
            .await
            .unwrap();
        refused(answer.error(), "MESSAGE_TOO_LARGE");
        assert_eq!(bench.api.get(&launch.name).await.unwrap(), launch);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_make_no_sense_are_refused() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let get = frame(
            0,
            &GetLaunchRequest {
                name: launch.name.clone(),
                uid: String::new(),
            }
            .encode_to_vec(),
        );
        let mut raw = Raw::open(bench.daemon.socket()).await;
        for timeout in ["soon", "", "1", "123456789S", "-1S", "1 S", "1h"] {
            let answer = raw
                .call(GET, &[("grpc-timeout", timeout)], get.clone())
                .await
                .unwrap();
            refused(answer.error(), "MALFORMED_REQUEST");
        }
        // An encoding that nobody here speaks is UNIMPLEMENTED by gRPC's own rules.
        let answer = raw
            .call(GET, &[("grpc-encoding", "morse")], get.clone())
            .await
            .unwrap();
        refused(answer.error(), "UNSUPPORTED_OPERATION");
        // What is not gRPC gets an answer of HTTP, not a status.
        let answer = raw
            .call(GET, &[("content-type", "text/html")], get.clone())
            .await
            .unwrap();
        assert!(answer.http.is_client_error(), "{answer:?}");
        // And the connection is none the worse for it.
        let answer = raw.call(GET, &[], get).await.unwrap();
        assert_eq!(
            answer.status.as_ref().map(tonic::Status::code),
            Some(tonic::Code::Ok),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_unimplemented() {
    on_every_platform(async |bench: &Bench| {
        let mut raw = Raw::open(bench.daemon.socket()).await;
        for path in [
            "/stagepages.v1.LaunchService/Overwrite",
            "/stagepages.v2.LaunchService/GetLaunch",
            "/nothing",
            "/",
        ] {
            let answer = raw.call(path, &[], frame(0, &[])).await.unwrap();
            refused(answer.error(), "UNSUPPORTED_OPERATION");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http2_is_hung_up_on() {
    on_every_platform(async |bench: &Bench| {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
        let noise: [Vec<u8>; 4] = [
            b"GET / HTTP/1.1\r\nHost: stagepages\r\n\r\n".to_vec(),
            vec![0xff; 4096],
            // A frame of 16 MiB, and a frame on a stream that nobody opened.
            [preface, b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"].concat(),
            [
                preface,
                b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x07abcd",
            ]
            .concat(),
        ];
        for bytes in noise {
            let mut stream = UnixStream::connect(bench.daemon.socket()).await.unwrap();
            // The daemon may hang up in the middle of it.
            drop(stream.write_all(&bytes).await);
            let mut rest = Vec::new();
            let end =
                tokio::time::timeout(stagepages_tests::LONG, stream.read_to_end(&mut rest)).await;
            drop(end.expect("the daemon hangs up"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_in_nobodys_way() {
    on_every_platform(async |bench: &Bench| {
        let mut silent = Vec::new();
        for _ in 0..64 {
            silent.push(UnixStream::connect(bench.daemon.socket()).await.unwrap());
        }
        bench.still_serves().await;
        drop(silent);
        // Descriptors of the daemon come back.
        eventually("an answer after all of them left", async || {
            bench.api.get("launches/none").await.err()
        })
        .await;
    })
    .await;
}
