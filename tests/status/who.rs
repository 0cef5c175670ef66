//! Who sees what: the policy decides, as for the API, at every request. Overseers look at one tenant after the other.

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

/// An overseer among the callers of both tenants.
const OVERSEER: User = user(2050);

fn overseen() -> String {
    policy()
        + &format!(
            "[[caller]]\nidentity = \"uid:{}\"\ntenant = \"ops\"\nroles = [\"viewer\", \"overseer\"]\n",
            OVERSEER.uid
        )
}

/// Where links of this page lead, and where it renews itself from.
fn places(page: &Page) -> Vec<&str> {
    let parts = ["href=\"", "data-from=\""].into_iter().flat_map(|mark| {
        let rest = page.body.split(mark).skip(1);
        rest.map(|rest| rest.split_once('"').unwrap().0)
    });
    // The script has a pattern of links, too.
    parts.filter(|place| place.starts_with('/')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overseer_finds_every_tenant_with_launches_and_stays_with_the_one_it_chose() {
    let open = Open::start(Some(&overseen()), DaemonOptions::new());
    let spec = || SimScript::new().spec([region(page(0), 1 << 20)]);
    for (tenant, ids) in [("blue", &["blue-1", "blue-2"][..]), ("red", &["red-1"][..])] {
        let api = Api::unix_as(&open.api(), person(tenant, "admin")).await;
        for id in ids {
            api.create(id, spec()).await.unwrap();
        }
        if tenant == "blue" {
            api.abort("launches/blue-2").await.unwrap();
        }
    }
    let own = open.look(OVERSEER, "/").await.ok();
    assert!(!own.body.contains("blue-1"), "{own:?}");
    assert_eq!(
        stagepages_tests::eventually("the aborted launch's host to be gone", async || {
            let page = open.look(OVERSEER, "/").await;
            let part = (page.status == 200).then(|| page.part("tenants"))?;
            part.contains("blue 1 2").then_some(part)
        })
        .await
        .split_once("Kept")
        .unwrap()
        .1
        .trim(),
        "ops yours 0 0 blue 1 2 red 1 1"
    );
    assert!(places(&own).contains(&"/?tenant=blue"));

    let blue = quiet(&open, "/?tenant=blue").await.ok();
    assert!(blue.says("launches and images of tenant blue") && blue.says("blue-1"));
    assert!(!blue.body.contains("red-1"), "{blue:?}");
    assert_eq!(blue.number("node:usage.launches"), 2);
    // Only the list of tenants leads elsewhere.
    let mut elsewhere = places(&blue);
    elsewhere.retain(|place| !place.contains("tenant=blue"));
    elsewhere.sort_unstable();
    assert_eq!(elsewhere, ["/", "/", "/?tenant=red"]);
    assert!(places(&blue).contains(&"/data?tenant=blue"));
    let live = quiet(&open, "/data?show=live&tenant=blue").await.ok();
    assert!(live.says("blue-1") && !live.says("blue-2"));

    let detail = quiet(&open, "/launches/blue-1?tenant=blue").await.ok();
    assert!(detail.says("Page map") && detail.says("of tenant blue"));
    let data = "/data/launches/blue-1?tenant=blue";
    assert!(places(&detail).contains(&data), "{:?}", places(&detail));
    quiet(&open, data).await.ok();
    assert_eq!(quiet(&open, "/launches/blue-1").await.status, 404);
    assert_eq!(
        quiet(&open, "/launches/red-1?tenant=blue").await.status,
        404
    );
    open.daemon.stop();
}

/// The page at this path as the overseer, which asks more often than one reader may.
async fn quiet(open: &Open, path: &str) -> Page {
    stagepages_tests::eventually("an answer that is not 429", async || {
        let page = open.look(OVERSEER, path).await;
        (page.status != 429).then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_an_overseer_looks_at_another_tenant_or_learns_which_there_are() {
    let open = Open::start(Some(&overseen()), DaemonOptions::new());
    for tenant in ["blue", "red"] {
        let api = Api::unix_as(&open.api(), person(tenant, "admin")).await;
        let spec = SimScript::new().spec([region(page(0), 1 << 20)]);
        api.create(&format!("{tenant}-vm"), spec).await.unwrap();
    }
    for role in ROLES {
        let who = person("blue", role);
        let own = open.look(who, "/").await.ok();
        assert!(!own.body.contains("id=\"tenants\""), "{own:?}");
        // Its own by its name is no other.
        open.look(who, "/?tenant=blue").await.ok();
        for path in [
            "/?tenant=red",
            "/data?tenant=red",
            "/launches/red-vm?tenant=red",
        ] {
            denied(&open.look(who, path).await, "takes the role overseer");
        }
    }
    for (path, says) in [
        ("/?tenant=Blue", "is no tenant: write 1 to 63"),
        ("/launches/blue-vm?tenant=", "is no tenant"),
        ("/?tenant=blue&tenant=red", "name one tenant"),
    ] {
        let wrong = quiet(&open, path).await;
        assert_eq!(wrong.status, 400, "{wrong:?}");
        assert!(wrong.says(says), "{wrong:?}");
    }
    // A role that is taken away is gone with the next request.
    open.change_policy(&policy()).await;
    denied(&quiet(&open, "/?tenant=blue").await, "uid:2050 is nobody");
    open.daemon.stop();
}
