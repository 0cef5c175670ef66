//! The gate: who is let in, and for how long.

use super::*;

const STAGE: &str = "/stagepages.v1.LaunchService/StagePages";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

fn peer(uid: u32) -> PeerInfo {
    PeerInfo::Unix {
        uid,
        gid: 9,
        pid: None,
    }
}

fn policy(tenant: &str, role: &str) -> Arc<Policy> {
    let text =
        format!("[[caller]]\nidentity = \"uid:1\"\ntenant = \"{tenant}\"\nroles = [\"{role}\"]\n");
    Arc::new(Policy::parse(&text).unwrap())
}

#[test]
fn strangers_get_what_anyone_gets_and_callers_what_their_roles_allow() {
    let (_change, current) = watch::channel(policy("blue", "viewer"));
    let keeper = Gatekeeper::new(current);
    assert!(
        keeper
            .admit(&peer(2), HEALTH, None)
            .unwrap()
            .caller()
            .is_none()
    );
    for path in [STAGE, REFLECTION, "/no.Such/Method"] {
        let error = keeper.admit(&peer(2), path, None).unwrap_err();
        assert_eq!(error.reason(), Reason::Permission);
        assert!(error.to_string().contains("uid:2 is nobody"), "{error}");
    }
    let caller = keeper.admit(&peer(1), REFLECTION, None).unwrap();
    assert_eq!(caller.caller().unwrap().tenant.as_str(), "blue");
    let error = keeper.admit(&peer(1), STAGE, None).unwrap_err();
    assert!(
        error.to_string().contains("role stager or admin"),
        "{error}"
    );
}

#[test]
fn where_only_health_is_served_everything_else_is_not_implemented() {
    let (_change, current) = watch::channel(Arc::new(Policy::health_only()));
    let keeper = Gatekeeper::new(current);
    let anybody = PeerInfo::Plain {
        address: ([127, 0, 0, 1], 9).into(),
    };
    assert!(
        keeper
            .admit(&anybody, HEALTH, None)
            .unwrap()
            .caller()
            .is_none()
    );
    for path in [
        STAGE,
        REFLECTION,
        "/grpc.health.v1.Health/List",
        "/no.Such/Method",
    ] {
        let error = keeper.admit(&anybody, path, None).unwrap_err();
        assert_eq!(error.reason(), Reason::UnsupportedOperation);
        assert!(error.to_string().contains("health_listen"), "{error}");
    }
}

#[tokio::test]
async fn a_call_goes_on_only_while_the_policy_has_it_and_as_who_it_began() {
    let (change, current) = watch::channel(policy("blue", "stager"));
    let keeper = Gatekeeper::new(current);
    let mut call = keeper.admit(&peer(1), STAGE, None).unwrap();
    call.check().unwrap();
    change.send_replace(policy("blue", "admin"));
    call.changed().await;
    call.check().unwrap();
    for other in [
        policy("red", "stager"),
        policy("blue", "viewer"),
        Arc::default(),
    ] {
        let mut call = call.clone();
        let before = change.send_replace(other);
        call.changed().await;
        assert_eq!(call.check().unwrap_err().reason(), Reason::Permission);
        change.send_replace(before);
    }
    call.check().unwrap();
}
