//! Every RPC, as every role, of the tenant whose things they are about and of another, and as nobody: what each is answered.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use stagepages_proto::v1::ListLaunchesRequest;
use stagepages_tests::{Api, Refusal, User, refused};
use tonic::Status;

use crate::{
    calls::{About, call, prepare},
    town::{ROLES, STRANGER, Town, entry, person},
};

/// Who may, of viewer, stager, runner and admin; what they are answered about their own launch and image; and what about another tenant's.
struct Row(&'static str, &'static str, &'static str, &'static str);

const LAUNCHES: &str = "/stagepages.v1.LaunchService/";
const IMAGES: &str = "/stagepages.v1.ImageService/";
const NO_LAUNCH: &str = "LAUNCH_NOT_FOUND";
const NO_IMAGE: &str = "IMAGE_NOT_FOUND";
/// Left out of a list.
const NOT_LISTED: &str = "not listed";

#[rustfmt::skip]
const TABLE: &[(&str, Row)] = &[
    (LAUNCHES, Row("CreateLaunch",       "-s-a", "OK", "OK")),
    (LAUNCHES, Row("GetLaunch",          "vsra", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("ListLaunches",       "vsra", "OK", NOT_LISTED)),
    (LAUNCHES, Row("WatchLaunch",        "vsra", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("RenewLease",         "-sra", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("StagePages",         "-s-a", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("StagePagesStream",   "-s-a", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("GetStageResult",     "-s-a", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("ListInstalledPages", "vsra", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("VerifyLaunch",       "-sra", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("GetRejectedCpuid",   "-s-a", "RESULT_NOT_FOUND", NO_LAUNCH)),
    (LAUNCHES, Row("SetVcpuState",       "-s-a", "MALFORMED_REQUEST", NO_LAUNCH)),
    (LAUNCHES, Row("FinishLaunch",       "-s-a", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("StartLaunch",        "--ra", "WRONG_STATE", NO_LAUNCH)),
    (LAUNCHES, Row("StopLaunch",         "--ra", "WRONG_STATE", NO_LAUNCH)),
    (LAUNCHES, Row("AttachConsole",      "--ra", "WRONG_STATE", NO_LAUNCH)),
    (LAUNCHES, Row("AbortLaunch",        "-sra", "OK", NO_LAUNCH)),
    (LAUNCHES, Row("DeleteLaunch",       "-sra", "WRONG_STATE", NO_LAUNCH)),
    (IMAGES, Row("FindMissingImages",    "vsra", "OK", NOT_LISTED)),
    (IMAGES, Row("WriteImage",           "-s-a", "OK", "OK")),
    (IMAGES, Row("QueryWrite",           "-s-a", "OK", NO_IMAGE)),
    (IMAGES, Row("GetImage",             "vsra", "OK", NO_IMAGE)),
    (IMAGES, Row("ListImages",           "vsra", "OK", NOT_LISTED)),
    (IMAGES, Row("GrantImage",           "---a", "OK", NO_IMAGE)),
    (IMAGES, Row("DeleteImage",          "---a", "OK", NO_IMAGE)),
    ("/stagepages.v1.NodeService/", Row("GetNodeInfo", "vsra", "OK", "OK")),
    ("/grpc.health.v1.Health/", Row("Check", "vsra", "OK", "OK")),
    ("/grpc.health.v1.Health/", Row("Watch", "vsra", "OK", "OK")),
    ("/grpc.reflection.v1.ServerReflection/", Row("ServerReflectionInfo", "vsra", "OK", "OK")),
    ("/grpc.reflection.v1alpha.ServerReflection/", Row("ServerReflectionInfo", "vsra", "OK", "OK")),
];

/// "OK", or a reason.
fn outcome(answer: Result<(), Status>) -> String {
    match answer {
        Ok(()) => "OK".to_owned(),
        // Ours to say that a list does not have it.
        Err(status) if status.details().is_empty() => NOT_LISTED.to_owned(),
        Err(status) => Refusal::of(&status).reason,
    }
}

#[test]
fn the_table_has_every_method_that_is_served() {
    let mut served = BTreeSet::new();
    for descriptors in [
        stagepages_proto::v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        for file in FileDescriptorSet::decode(descriptors).unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    served.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
    }
    served.remove("/grpc.health.v1.Health/List");
    let rows: BTreeSet<_> = TABLE
        .iter()
        .map(|(service, row)| format!("{service}{}", row.0))
        .collect();
    assert_eq!(rows, served);
}

#[tokio::test]
async fn every_call_of_every_role_of_either_tenant_has_its_outcome() {
    let town = Town::with("");
    let admin = town.api(person("blue", "admin")).await;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for (nth, role) in ROLES.into_iter().enumerate() {
        let own = town.api(person("blue", role)).await;
        let other = town.api(person("red", role)).await;
        for (service, Row(method, roles, of_own, of_other)) in TABLE {
            let path = format!("{service}{method}");
            let may = roles.as_bytes()[nth] != b'-';
            for (api, expected) in [(&other, *of_other), (&own, *of_own)] {
                // Fresh each time: some calls end it.
                let about = fresh(&admin, asked).await;
                asked += 1;
                let got = outcome(call(api, &path, &about).await);
                let expected = if may { expected } else { "PERMISSION" };
                if got != expected {
                    wrong.push(format!("{role} {path}: {got}, not {expected}"));
                }
            }
        }
    }
    assert_eq!(asked, 4 * 2 * 30);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn fresh(admin: &Api, seed: u64) -> About {
    prepare(admin, &format!("vm-{seed}"), 1000 + seed, "green").await
}

/// Whether the gate lets this call through that names a tenant, whatever comes of it then.
async fn let_in(api: &Api, path: &str, tenant: &str) -> bool {
    let path = path.parse().unwrap();
    let mut request = tonic::Request::new(());
    let name = tenant.parse().unwrap();
    request.metadata_mut().insert("x-stagepages-tenant", name);
    let mut grpc = tonic::client::Grpc::new(api.channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = match grpc.server_streaming(request, path, codec).await {
        Ok(answer) => answer.into_inner().message().await.map(drop),
        Err(status) => Err(status),
    };
    outcome(answer) != "PERMISSION"
}

#[tokio::test]
async fn whoever_oversees_looks_at_any_tenant_and_does_nothing_there() {
    let town = Town::with(&entry("uid:2050", "ops", &["overseer"]));
    let overseer = town
        .api(User {
            uid: 2050,
            gid: 2050,
        })
        .await;
    let admin = town.api(person("blue", "admin")).await;
    let about = fresh(&admin, 0).await;
    let viewer = town.api(person("red", "viewer")).await;
    let other = town.api(person("red", "admin")).await;
    for (service, Row(method, roles, ..)) in TABLE {
        let path = format!("{service}{method}");
        let looks = roles.starts_with('v');
        assert_eq!(let_in(&overseer, &path, "blue").await, looks, "{path}");
        for api in [&viewer, &other] {
            assert!(!let_in(api, &path, "blue").await, "{path}");
        }
        // One's own is no other's, and who oversees has no more there than it is given.
        assert!(let_in(&admin, &path, "blue").await, "{path}");
        assert_eq!(let_in(&overseer, &path, "ops").await, looks, "{path}");
    }
    let listed = async |tenant: Option<&str>| {
        let mut request = tonic::Request::new(ListLaunchesRequest::default());
        if let Some(tenant) = tenant {
            let tenant = tenant.parse().unwrap();
            request.metadata_mut().insert("x-stagepages-tenant", tenant);
        }
        let listed = overseer.launches.clone().list_launches(request).await;
        listed.map(|answer| answer.into_inner().launches)
    };
    assert!(listed(None).await.unwrap().is_empty());
    assert!(listed(Some("nobody")).await.unwrap().is_empty());
    let seen = listed(Some("blue")).await.unwrap();
    assert!(seen.iter().any(|launch| launch.name == about.launch));
    for none in ["", "Blue", "device:x"] {
        refused(listed(Some(none)).await, "MALFORMED_REQUEST");
    }
}

#[tokio::test]
async fn nobody_is_answered_nothing_but_health() {
    let town = Town::with("");
    let admin = town.api(person("blue", "admin")).await;
    let about = fresh(&admin, 0).await;
    let stranger = town.api(STRANGER).await;
    for (service, row) in TABLE {
        let path = format!("{service}{}", row.0);
        let expected = if path.contains("health") {
            "OK"
        } else {
            "PERMISSION"
        };
        assert_eq!(
            outcome(call(&stranger, &path, &about).await),
            expected,
            "{path}"
        );
    }
    // Nor what is not served.
    let unknown = http::uri::PathAndQuery::from_static("/no.Such/Method");
    let mut grpc = tonic::client::Grpc::new(stranger.channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = grpc.unary(tonic::Request::new(()), unknown, codec).await;
    assert_eq!(Refusal::of(&answer.unwrap_err()).reason, "PERMISSION");
}

#[tokio::test]
async fn anyone_is_answered_what_the_policy_opens_and_health_can_be_closed() {
    let town = Town::with("[anyone]\nhealth = false\nreflection = true\n");
    let admin = town.api(person("blue", "admin")).await;
    let about = fresh(&admin, 0).await;
    let stranger = town.api(STRANGER).await;
    for (path, expected) in [
        ("/grpc.health.v1.Health/Check", "PERMISSION"),
        ("/grpc.health.v1.Health/Watch", "PERMISSION"),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "OK",
        ),
        ("/stagepages.v1.NodeService/GetNodeInfo", "PERMISSION"),
    ] {
        assert_eq!(
            outcome(call(&stranger, path, &about).await),
            expected,
            "{path}"
        );
    }
}
