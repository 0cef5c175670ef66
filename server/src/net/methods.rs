//! What is special about a method: that it takes or gives more than one message, read from the descriptors of what this daemon serves, and that
//! its peer may take its time.
//!
//! **Invariant:** a method that is not known here takes one message and gives one, and its peer is not waited for without end.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message;
use prost_types::FileDescriptorSet;

/// The methods that are streams, by path, and whether they take one; others only give one.
static STREAMING: LazyLock<HashMap<String, bool>> = LazyLock::new(|| {
    [
        stagepages_proto::v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .into_iter()
    .flat_map(streams)
    .collect()
});

/// The console of a guest: whoever looks at it may stop reading and go on days later, as at any terminal.
const CONSOLE: &str = "/stagepages.v1.LaunchService/AttachConsole";

/// Whether the peer of the method at `path` may leave an answer untaken for as long as it likes.
pub(super) fn may_pause(path: &str) -> bool {
    path == CONSOLE
}

/// Whether the method at `path` (`/package.Service/Method`) takes a stream of messages.
pub(super) fn takes_stream(path: &str) -> bool {
    STREAMING.get(path).copied().unwrap_or(false)
}

/// Whether the method at `path` takes or gives a stream of messages, and so may go on for long.
pub(super) fn is_stream(path: &str) -> bool {
    STREAMING.contains_key(path)
}

fn streams(descriptors: &[u8]) -> Vec<(String, bool)> {
    #[expect(
        clippy::expect_used,
        reason = "encoded when this binary was built, and covered by a test"
    )]
    let set = FileDescriptorSet::decode(descriptors).expect("built-in descriptors decode");
    let mut paths = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let takes = method.client_streaming();
                if takes || method.server_streaming() {
                    let (package, service) = (file.package(), service.name());
                    paths.push((format!("/{package}.{service}/{}", method.name()), takes));
                }
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_single_messages() {
        assert!(takes_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        ));
        assert!(takes_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        ));
        assert!(!takes_stream("/stagepages.v1.LaunchService/StagePages"));
        for path in [
            "/grpc.health.v1.Health/Watch",
            "/stagepages.v1.LaunchService/WatchLaunch",
        ] {
            assert!(!takes_stream(path) && is_stream(path), "{path}");
        }
        assert!(is_stream("/stagepages.v1.ImageService/WriteImage"));
        for path in [
            "/grpc.health.v1.Health/Check",
            "/stagepages.v1.LaunchService/StagePages",
            "/nobody.Knows/This",
        ] {
            assert!(!takes_stream(path) && !is_stream(path), "{path}");
        }
    }

    #[test]
    fn the_method_that_may_pause_is_one_that_is_served() {
        assert!(takes_stream(CONSOLE) && may_pause(CONSOLE));
        assert!(!may_pause("/stagepages.v1.LaunchService/WatchLaunch"));
    }
}
