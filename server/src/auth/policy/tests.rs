use super::*;

fn unix(uid: u32, gid: u32) -> PeerInfo {
    PeerInfo::Unix {
        uid,
        gid,
        pid: None,
    }
}

fn who(policy: &Policy, peer: &PeerInfo) -> Option<String> {
    let (name, grant) = policy.of(peer)?;
    Some(format!("{name} {} {}", grant.tenant, grant.roles))
}

#[test]
fn who_is_not_named_has_no_role() {
    let nobody = Policy::parse("").unwrap();
    assert_eq!(who(&nobody, &unix(0, 0)), None);
    let own = Policy::builtin(7);
    for (uid, gid) in [(7, 1), (0, 0)] {
        let has = format!("uid:{uid} local admin or overseer");
        assert_eq!(who(&own, &unix(uid, gid)), Some(has));
    }
    assert_eq!(who(&own, &unix(8, 7)), None);
}

#[test]
fn the_user_decides_before_the_group() {
    let text = r#"
[[caller]]
identity = "gid:5"
tenant = "blue"
roles = ["viewer"]
[[caller]]
identity = "uid:1"
tenant = "red"
roles = ["stager", "runner"]
"#;
    let policy = Policy::parse(text).unwrap();
    assert_eq!(
        who(&policy, &unix(1, 5)).as_deref(),
        Some("uid:1 red stager or runner")
    );
    assert_eq!(
        who(&policy, &unix(2, 5)).as_deref(),
        Some("gid:5 blue viewer")
    );
    assert_eq!(who(&policy, &unix(5, 1)), None);
}

#[test]
fn who_holds_a_device_socket_is_that_device_whatever_the_policy_says() {
    let text = "[[caller]]\nidentity = \"uid:0\"\ntenant = \"a\"\nroles = [\"admin\"]\n";
    let peer = PeerInfo::Device {
        id: "kvm-2".parse().unwrap(),
        uid: 0,
        gid: 0,
        pid: None,
    };
    for policy in [Policy::parse(text).unwrap(), Policy::builtin(0)] {
        assert_eq!(
            who(&policy, &peer).as_deref(),
            Some("device:kvm-2 device:kvm-2 stager or runner")
        );
    }
}

#[test]
fn devices_take_what_the_policy_allows_them_and_one_launch_at_most() {
    let quota = |text: &str, tenant: &str| {
        let policy = Policy::parse(text).unwrap();
        policy.bounds(&tenant.parse().unwrap()).own
    };
    let usual = quota("", "device:kvm-0");
    assert_eq!(usual, DEVICE);
    let text = "[device]\nlive_launches = 9\nimage_bytes = 5\nstreams = 3\n[default]\nlaunches = 2\nimage_bytes = 7\n";
    let device = quota(text, "device:sev-snp-1");
    assert_eq!((device.live_launches, device.launches), (Some(1), Some(2)));
    assert_eq!((device.image_bytes, device.streams), (Some(5), Some(3)));
    let other = quota(text, "blue");
    assert_eq!((other.live_launches, other.image_bytes), (None, Some(7)));
    assert_eq!(
        quota("[device]\nlive_launches = 0\n", "device:kvm-0").live_launches,
        Some(0)
    );
}

#[test]
fn quotas_fall_back_by_the_bound() {
    let text =
        "[default]\nlaunches = 3\nstreams = 9\n[tenant.blue]\nlaunches = 0\n[total]\nstreams = 1\n";
    let policy = Policy::parse(text).unwrap();
    let quota = |name: &str| policy.bounds(&name.parse().unwrap()).own;
    assert_eq!(
        (quota("blue").launches, quota("blue").streams),
        (Some(0), Some(9))
    );
    assert_eq!(
        (quota("red").launches, quota("red").memory_bytes),
        (Some(3), None)
    );
    assert_eq!(policy.bounds(&Tenant::local()).total.streams, Some(1));
}

#[test]
fn mistakes_name_their_line() {
    let row = "[[caller]]\nidentity = \"uid:1\"\ntenant = \"a\"\nroles = [\"viewer\"]\n";
    for (text, line, part) in [
        ("[anyone]\nhealth = 1\n".to_owned(), 2, "health"),
        (row.replace("viewer", "owner"), 4, "owner"),
        (row.replace("[\"viewer\"]", "[]"), 1, "no roles"),
        (row.replace("\"a\"", "\"A\""), 3, "no tenant"),
        (
            row.replace("\"a\"", "\"device:kvm-0\""),
            3,
            "device sockets",
        ),
        (row.replace("uid:1", "device:kvm-0"), 1, "no identity"),
        ("[tenant.\"device:kvm-0\"]\n".to_owned(), 1, "[device]"),
        (row.replace("uid:1", "uid:x"), 1, "spiffe://DOMAIN/PATH"),
        (row.replace("tenant", "tenants"), 3, "tenants"),
        (format!("{row}{row}"), 5, "there twice"),
        ("[tenant.blue]\nlaunch = 1\n".to_owned(), 2, "launch"),
        ("[default]\nlaunches = -1\n".to_owned(), 2, "-1"),
        ("[total]\nimage_bytes = 1\n".to_owned(), 2, "image_bytes"),
        ("[tenant.B]\n".to_owned(), 1, "no tenant"),
        ("x".to_owned(), 1, "x"),
    ] {
        let error = Policy::parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}
