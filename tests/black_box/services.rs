//! The services beside our own: health, and reflection in both versions, with the details of errors resolvable.
use prost::Message as _;
use stagepages_tests::{Api, Daemon, DaemonOptions};
use tokio_stream::StreamExt as _;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const OURS: [&str; 2] = ["stagepages.v1.LaunchService", "stagepages.v1.NodeService"];

#[tokio::test(flavor = "multi_thread")]
async fn health_says_serving() {
    let daemon = Daemon::start(&DaemonOptions::new());
    for api in [Api::unix(daemon.socket()).await, Api::tcp(&daemon).await] {
        let mut health = HealthClient::new(api.channel);
        for service in ["", OURS[0], OURS[1]] {
            let answer = health
                .check(HealthCheckRequest {
                    service: service.to_owned(),
                })
                .await
                .unwrap()
                .into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
        }
    }
    daemon.stop();
}

/// Reflection is one protocol under two names; so is its test.
macro_rules! reflection_test {
    ($name:ident, $version:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let daemon = Daemon::start(&DaemonOptions::new());
            let mut client = ServerReflectionClient::new(Api::unix(daemon.socket()).await.channel);
            let symbols = [
                "stagepages.v1.LaunchService",
                "stagepages.v1.LaunchService.StagePages",
                "stagepages.v1.NodeService",
                "stagepages.v1.PageType",
                // What grpcurl looks up to print the details of an error.
                "google.rpc.ErrorInfo",
                "google.rpc.BadRequest",
                "google.rpc.PreconditionFailure",
                "google.rpc.RetryInfo",
                "google.rpc.QuotaFailure",
                "grpc.health.v1.Health",
            ];
            let mut questions = vec![MessageRequest::ListServices(String::new())];
            questions.extend(
                symbols
                    .iter()
                    .map(|symbol| MessageRequest::FileContainingSymbol((*symbol).to_owned())),
            );
            let asked = questions.len();
            let requests = questions
                .into_iter()
                .map(|question| ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                });
            let answers = client
                .server_reflection_info(tokio_stream::iter(requests))
                .await
                .unwrap()
                .into_inner();
            let answers: Vec<_> = answers
                .map(|answer| answer.unwrap().message_response.unwrap())
                .collect()
                .await;
            assert_eq!(answers.len(), asked);

            let mut answers = answers.into_iter();
            let Some(MessageResponse::ListServicesResponse(services)) = answers.next() else {
                panic!("no list of services")
            };
            let names: Vec<_> = services
                .service
                .into_iter()
                .map(|service| service.name)
                .collect();
            for service in OURS.iter().chain(&["grpc.health.v1.Health"]) {
                assert!(
                    names.iter().any(|name| name == service),
                    "{service} is not among {names:?}"
                );
            }
            for (symbol, answer) in symbols.iter().zip(answers) {
                let MessageResponse::FileDescriptorResponse(files) = answer else {
                    panic!("{symbol}: {answer:?}")
                };
                let bytes = files.file_descriptor_proto.first().unwrap();
                let file = prost_types::FileDescriptorProto::decode(bytes.as_ref()).unwrap();
                assert!(
                    symbol.starts_with(file.package()),
                    "{symbol} in {}",
                    file.name()
                );
            }
            daemon.stop();
        }
    };
}

reflection_test!(
    reflection_resolves_our_services_and_the_details_of_errors,
    v1
);
reflection_test!(reflection_does_so_under_its_old_name_too, v1alpha);
