//! Who may make which call: one row for each RPC that this daemon serves.
//!
//! **Invariant:** a method without a row is refused to everybody who has no role at all, and is not served to the others.

use super::role::{Role, Roles};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A caller with one of these roles.
    OneOf(Roles),
    /// A caller with any role, or whoever is connected, as the policy says under `anyone.health`.
    Health,
    /// The same, under `anyone.reflection`.
    Reflection,
}

const LOOK: Needs = Needs::OneOf(Roles::of(&Role::ALL));
const STAGE: Needs = Needs::OneOf(Roles::of(&[Role::Stager, Role::Admin]));
const RUN: Needs = Needs::OneOf(Roles::of(&[Role::Runner, Role::Admin]));
const KEEP: Needs = Needs::OneOf(Roles::of(&[Role::Stager, Role::Runner, Role::Admin]));
const DROP: Needs = Needs::OneOf(Roles::of(&[Role::Admin, Role::Holder]));
const ADMINISTER: Needs = Needs::OneOf(Roles::of(&[Role::Admin]));

/// Every method, by its path.
const TABLE: &[(&str, Needs)] = &[
    ("/stagepages.v1.LaunchService/CreateLaunch", STAGE),
    ("/stagepages.v1.LaunchService/GetLaunch", LOOK),
    ("/stagepages.v1.LaunchService/ListLaunches", LOOK),
    ("/stagepages.v1.LaunchService/WatchLaunch", LOOK),
    ("/stagepages.v1.LaunchService/RenewLease", KEEP),
    ("/stagepages.v1.LaunchService/StagePages", STAGE),
    ("/stagepages.v1.LaunchService/StagePagesStream", STAGE),
    ("/stagepages.v1.LaunchService/GetStageResult", STAGE),
    ("/stagepages.v1.LaunchService/ListInstalledPages", LOOK),
    // Hashes every page on the thread that installs: not for those who only look.
    ("/stagepages.v1.LaunchService/VerifyLaunch", KEEP),
    // Page contents.
    ("/stagepages.v1.LaunchService/GetRejectedCpuid", STAGE),
    ("/stagepages.v1.LaunchService/SetVcpuState", STAGE),
    ("/stagepages.v1.LaunchService/FinishLaunch", STAGE),
    ("/stagepages.v1.LaunchService/StartLaunch", RUN),
    ("/stagepages.v1.LaunchService/StopLaunch", RUN),
    // What a guest writes to its console, others need not read.
    ("/stagepages.v1.LaunchService/AttachConsole", RUN),
    ("/stagepages.v1.LaunchService/AbortLaunch", KEEP),
    ("/stagepages.v1.LaunchService/DeleteLaunch", KEEP),
    ("/stagepages.v1.ImageService/FindMissingImages", LOOK),
    ("/stagepages.v1.ImageService/WriteImage", STAGE),
    ("/stagepages.v1.ImageService/QueryWrite", STAGE),
    ("/stagepages.v1.ImageService/GetImage", LOOK),
    ("/stagepages.v1.ImageService/ListImages", LOOK),
    ("/stagepages.v1.ImageService/GrantImage", ADMINISTER),
    // Other launches of the tenant may count on it.
    ("/stagepages.v1.ImageService/DeleteImage", DROP),
    ("/stagepages.v1.NodeService/GetNodeInfo", LOOK),
    ("/grpc.health.v1.Health/Check", Needs::Health),
    ("/grpc.health.v1.Health/Watch", Needs::Health),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Needs::Reflection,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Needs::Reflection,
    ),
];

/// Who may call the method at `path` (`/package.Service/Method`). What is not served, any caller with a role is told so.
#[must_use]
pub fn needs(path: &str) -> Needs {
    let row = TABLE.iter().find(|(method, _)| *method == path);
    row.map_or(LOOK, |(_, needs)| *needs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_that_is_served_has_one_row_and_nothing_else_has() {
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
        // The next version of the health protocol lists services; tonic-health does not serve it.
        served.remove("/grpc.health.v1.Health/List");
        let rows: BTreeSet<_> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(rows.len(), TABLE.len());
        assert_eq!(rows, served);
    }

    #[test]
    fn admins_may_do_all_and_viewers_change_nothing() {
        let (admin, viewer) = (Roles::of(&[Role::Admin]), Roles::of(&[Role::Viewer]));
        let mut looking = 0;
        for (path, needs) in TABLE {
            let Needs::OneOf(roles) = needs else { continue };
            assert!(roles.meet(admin), "{path}");
            let method = path.rsplit('/').next().unwrap();
            let reads = ["Get", "List", "Watch", "Find"];
            if roles.meet(viewer) {
                looking += 1;
                assert!(reads.iter().any(|read| method.starts_with(read)), "{path}");
            }
        }
        assert_eq!(looking, 8);
        assert_eq!(needs("/nobody.Knows/This"), LOOK);
    }
}
