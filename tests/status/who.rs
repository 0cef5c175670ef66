//! Who sees what: the policy decides, as for the API, at every request.

use stagepages_tests::{Api, DaemonOptions, SimScript, User, page, region};

use crate::site::{Open, Page, entry, user};

const ROLES: [&str; 4] = ["viewer", "stager", "runner", "admin"];
const STRANGER: User = user(2099);

fn person(tenant: &str, role: &str) -> User {
    let nth = ROLES.iter().position(|known| *known == role).unwrap();
    let first = if tenant == "blue" { 2001 } else { 2011 };
    user(first + u32::try_from(nth).unwrap())
}

fn policy() -> String {
    let people = ["blue", "red"]
        .into_iter()
        .flat_map(|tenant| ROLES.map(|role| entry(person(tenant, role).uid, tenant, role)));
    people.collect()
}

#[track_caller]
fn denied(page: &Page, says: &str) {
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.says(says), "{page:?}");
    assert!(
        !page.body.contains("<data"),
        "a number slipped out: {page:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_sees_its_own_tenant_and_nobody_else_anything() {
    let open = Open::start(Some(&policy()), DaemonOptions::new());
    for tenant in ["blue", "red"] {
        let api = Api::unix_as(&open.api(), person(tenant, "admin")).await;
        let spec = SimScript::new().spec([region(page(0), 1 << 20)]);
        api.create(&format!("{tenant}-vm"), spec).await.unwrap();
        api.get(&format!("launches/{tenant}-missing"))
            .await
            .unwrap_err();
    }
    let stranger = Api::unix_as(&open.api(), STRANGER).await;
    stranger.get("launches/stranger-asks").await.unwrap_err();
    for role in ROLES {
        for (tenant, other) in [("blue", "red"), ("red", "blue")] {
            let who = person(tenant, role);
            let page = open.look(who, "/").await.ok();
            assert!(page.says(&format!("{tenant}-vm")), "{role}");
            assert!(page.says(&format!("{tenant}-missing")), "{role}");
            assert!(
                !page.body.contains(&format!("{other}-")),
                "{role} of {tenant}"
            );
            assert_eq!(page.number("node:usage.launches"), 1);
            let detail = open.look(who, &format!("/launches/{tenant}-vm")).await.ok();
            assert!(detail.says("Page map") && detail.says(&format!("of tenant {tenant}")));
            let foreign = open.look(who, &format!("/launches/{other}-vm")).await;
            assert_eq!(foreign.status, 404, "{foreign:?}");
            // Strangers have no tenant, so who administers is told of them.
            assert_eq!(page.says("uid:2099"), role == "admin", "{role}");
        }
    }
    for path in ["/", "/data", "/launches/blue-vm", "/data/launches/blue-vm"] {
        denied(
            &open.look(STRANGER, path).await,
            "uid:2099 is nobody that the daemon's policy knows",
        );
    }
    // It is in the audit log as any refused call is.
    stagepages_tests::eventually("the refusal in the audit log", async || {
        let dir = open.daemon.dir().join("state/audit");
        let files = std::fs::read_dir(dir).unwrap().flatten();
        let text: String = files
            .filter_map(|file| std::fs::read_to_string(file.path()).ok())
            .collect();
        text.contains("uid:2099").then_some(())
    })
    .await;
    open.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_policy_holds_at_the_next_request() {
    let viewer = person("blue", "viewer");
    let open = Open::start(Some(&policy()), DaemonOptions::new());
    open.look(viewer, "/").await.ok();
    open.change_policy(&entry(viewer.uid, "red", "viewer"))
        .await;
    let page = open.look(viewer, "/").await.ok();
    assert!(page.says("of tenant red"));
    open.change_policy("").await;
    denied(&open.look(viewer, "/").await, "uid:2001 is nobody");
    open.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_only_who_runs_the_daemon_looks() {
    let open = Open::start(None, DaemonOptions::new());
    open.look(user(0), "/").await.ok();
    denied(&open.look(user(2001), "/").await, "uid:2001 is nobody");
    open.daemon.stop();
}
