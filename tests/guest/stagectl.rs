//! `stagectl` with a guest: started, listened to, and its end as an exit status.
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use stagepages_tests::{Bench, binaries};

use crate::listing::{DEBUG, SERIAL, assemble, exit, print};
use crate::program::{guest, image, on_kvm, stage};

fn stagectl(bench: &Bench, arguments: &[&str]) -> Output {
    Command::new(&binaries().stagectl)
        .arg("--endpoint")
        .arg(format!("unix:{}", bench.daemon.socket().display()))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn staged(bench: &Bench, id: &str, code: u8) -> String {
    let listing = assemble(64, |a| {
        print(a, SERIAL, "serial\n")?;
        print(a, DEBUG, "debug\n")?;
        exit(a, code)
    });
    let launch = bench.api.create(id, guest([])).await.unwrap();
    let output = stagectl(bench, &["launch", "set-vcpu", id, "0=long:0x1000:0x4000"]);
    assert!(output.status.success(), "{output:?}");
    stage(bench, &launch, image(&listing)).await;
    assert!(stagectl(bench, &["launch", "finish", id]).status.success());
    id.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_started_heard_and_shown() {
    on_kvm(async |bench: &Bench| {
        let id = staged(bench, "good", 0).await;
        let early = stagectl(bench, &["launch", "console", &id]);
        assert_eq!(early.status.code(), Some(1), "{early:?}");
        assert!(
            String::from_utf8_lossy(&early.stderr).contains("WRONG_STATE"),
            "{early:?}"
        );
        let started = document(&stagectl(
            bench,
            &["--output", "json", "launch", "start", &id],
        ));
        assert!(["RUNNING", "STOPPED"].contains(&started["state"].as_str().unwrap()));
        let console = stagectl(bench, &["launch", "console", &id]);
        assert_eq!(console.status.code(), Some(0), "{console:?}");
        assert_eq!(console.stdout, b"serial\ndebug\n");
        let told = String::from_utf8_lossy(&console.stderr);
        assert!(told.contains("EXIT_CODE 0x0"), "{told}");
        let shown = document(&stagectl(
            bench,
            &["--output", "json", "launch", "get", &id],
        ));
        assert_eq!(
            (
                &shown["state"],
                &shown["stop"]["reason"],
                &shown["stop"]["exit_code"]
            ),
            (&json!("STOPPED"), &json!("EXIT_CODE"), &json!(0))
        );
        let again = document(&stagectl(
            bench,
            &["--output", "json", "launch", "stop", &id],
        ));
        assert_eq!(again["stop"], shown["stop"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ends_badly_is_an_exit_status_of_one() {
    on_kvm(async |bench: &Bench| {
        let id = staged(bench, "bad", 3).await;
        assert!(stagectl(bench, &["launch", "start", &id]).status.success());
        let console = stagectl(bench, &["--output", "json", "launch", "console", &id]);
        assert_eq!(console.status.code(), Some(1), "{console:?}");
        let text = String::from_utf8(console.stdout.clone()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [output @ .., last] = &lines[..] else {
            panic!("nothing: {console:?}");
        };
        let hex = |text: &str| {
            text.bytes()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(
            output[0],
            json!({"offset": 0, "port": "SERIAL", "data": hex("serial\n")})
        );
        assert_eq!(
            output[1],
            json!({"offset": 7, "port": "DEBUG", "data": hex("debug\n")})
        );
        assert_eq!(last["launch"]["stop"]["exit_code"], 3);
        let told = String::from_utf8_lossy(&console.stderr);
        assert!(
            told.contains("error: ") && told.contains("EXIT_CODE 0x3"),
            "{told}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_states_vcpus_on_the_command_line() {
    on_kvm(async |bench: &Bench| {
        let created = document(&stagectl(
            bench,
            &[
                "--output",
                "json",
                "launch",
                "create",
                "vm",
                "--platform",
                "kvm",
                "--memory",
                "0x0+64K",
                "--vcpus",
                "2",
                "--vcpu",
                "1=real:0x0:0x1000",
                "--vcpu",
                "0=long:0x1000:0x4000,rdi=0x7",
            ],
        ));
        assert_eq!(
            (&created["vcpus"], &created["vcpu_states"]),
            (
                &json!(2),
                &json!(["1=real:0x0:0x1000", "0=long:0x1000:0x4000,rdi=0x7"])
            )
        );
        let refused = stagectl(
            bench,
            &[
                "--output",
                "json",
                "launch",
                "set-vcpu",
                "vm",
                "0=long:0x1000:0x4001",
            ],
        );
        assert_eq!(refused.status.code(), Some(1));
        let error: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(error["error"]["reason"], "INVALID_VCPU_STATE");
        assert_eq!(
            error["error"]["violations"][0]["subject"],
            "state.long_mode.cr3"
        );
        let node = document(&stagectl(bench, &["--output", "json", "node"]));
        let kvm = node["platforms"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["platform"] == "kvm");
        assert_eq!(kvm.unwrap()["runs_guests"], true);
        let wrong = stagectl(bench, &["launch", "set-vcpu", "vm", "0=long"]);
        assert_eq!(wrong.status.code(), Some(2));
    })
    .await;
}
