//! Quotas: of all tenants together, and of whichever has the least left.
use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::PathBuf};

use stagepages_proto::v1;
use stagepages_tests::{
    Api, Contents, Daemon, DaemonOptions, Extent, PAGE, Scrape, SimScript, User, eventually, page,
    refused, region,
};
use tempfile::TempDir;

const BLUE: User = User {
    uid: 2001,
    gid: 2001,
};
const RED: User = User {
    uid: 2002,
    gid: 2002,
};

/// Two tenants, and the bounds at the end of their policy.
fn policy(bounds: &str) -> String {
    let caller = |user: User, tenant| {
        let uid = user.uid;
        format!(
            "[[caller]]\nidentity = \"uid:{uid}\"\ntenant = \"{tenant}\"\nroles = [\"admin\"]\n"
        )
    };
    caller(BLUE, "blue") + &caller(RED, "red") + bounds
}

struct Bounded {
    daemon: Daemon,
    dir: TempDir,
}

impl Bounded {
    fn start(bounds: &str) -> Self {
        assert!(
            User::can_be_taken(),
            "only root can be other users; run this suite as root"
        );
        let dir = tempfile::Builder::new().prefix("sp").tempdir_in("/tmp");
        let dir = dir.unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(dir.path().join("policy.toml"), policy(bounds)).unwrap();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let options = DaemonOptions::new()
            .metrics()
            .config("max_launches = 4\nmax_memory_bytes = 1048576")
            .listen(&format!("unix:{}", file("open.sock")))
            .flag(&format!("--policy={}", file("policy.toml")))
            .flag("--socket-mode=0666");
        let daemon = Daemon::start(&options);
        Self { daemon, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn api(&self, user: User) -> Api {
        Api::unix_as(&self.path("open.sock"), user).await
    }

    fn scrape(&self) -> Scrape {
        self.daemon.metrics().scrape()
    }
}

fn of_pages(pages: u64) -> v1::LaunchSpec {
    SimScript::new().spec([region(page(0), pages * PAGE)])
}

fn resource(key: &str) -> String {
    format!("resource=\"{key}\"")
}

#[track_caller]
fn share(scraped: &Scrape, scope: &str, key: &str, expected: Option<f64>) {
    let scope = format!("scope=\"{scope}\"");
    let found = scraped.sum("stagepages_quota_used_ratio", &[&scope, &resource(key)]);
    let same = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
        (found, expected) => found.is_none() && expected.is_none(),
    };
    assert!(same, "{scope} {key}: {found:?}, not {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_grows_with_launches_and_the_fullest_tenant_is_told_without_its_name() {
    let bounds = format!(
        "[tenant.blue]\nlaunches = 4\nmemory_bytes = {}\nstaged_bytes = {}\n[tenant.red]\nlaunches = 2\nlive_launches = 2\n[total]\nmemory_bytes = {}\n",
        8 * PAGE,
        16 * PAGE,
        32 * PAGE
    );
    let town = Bounded::start(&bounds);
    let (blue, red) = (town.api(BLUE).await, town.api(RED).await);
    let before = town.scrape();
    let count = |scraped: &Scrape, name: &str, key: &str| {
        scraped.count(&format!("stagepages_quota_{name}"), &[&resource(key)])
    };
    assert_eq!(count(&before, "used", "launches"), 0);
    assert_eq!(count(&before, "limit", "launches"), 4);
    assert_eq!(count(&before, "limit_bytes", "memory_bytes"), 32 * PAGE);
    assert_eq!(
        before.count("stagepages_launch_memory_limit_bytes", &[]),
        1 << 20
    );
    share(&before, "total", "launches", Some(0.0));
    // What nothing bounds has no share.
    for (scope, key) in [("total", "staged_bytes"), ("tenant", "image_bytes")] {
        share(&before, scope, key, None);
    }

    blue.create("a", of_pages(2)).await.unwrap();
    red.create("a", of_pages(4)).await.unwrap();
    let extent = Extent::normal(page(0), Contents::new(1).pages(2));
    blue.stage("launches/a", extent).await.unwrap();
    let scraped = town.scrape();
    assert_eq!(count(&scraped, "used", "launches"), 2);
    assert_eq!(count(&scraped, "used_bytes", "memory_bytes"), 6 * PAGE);
    assert_eq!(count(&scraped, "used_bytes", "staged_bytes"), 2 * PAGE);
    share(&scraped, "total", "launches", Some(0.5));
    share(&scraped, "total", "memory_bytes", Some(6.0 / 32.0));
    // Red is the fuller of the two: one launch of two, where blue has one of four.
    share(&scraped, "tenant", "launches", Some(0.5));
    share(&scraped, "tenant", "live_launches", Some(0.5));
    share(&scraped, "tenant", "memory_bytes", Some(0.25));
    share(&scraped, "tenant", "staged_bytes", Some(2.0 / 16.0));
    let ratios = scraped.labels_of("stagepages_quota_used_ratio");
    assert!(
        ratios
            .into_iter()
            .all(|labels| !labels.contains("blue") && !labels.contains("red"))
    );

    // A share of one is where more is refused.
    red.create("b", of_pages(1)).await.unwrap();
    share(&town.scrape(), "tenant", "launches", Some(1.0));
    refused(red.create("c", of_pages(1)).await, "QUOTA_EXCEEDED");

    // What is over is no memory any more, and a launch until it is deleted.
    red.abort("launches/a").await.unwrap();
    let ended = eventually("the host to be gone", async || {
        let scraped = town.scrape();
        (count(&scraped, "used_bytes", "memory_bytes") == 3 * PAGE).then_some(scraped)
    })
    .await;
    share(&ended, "tenant", "live_launches", Some(0.5));
    share(&ended, "tenant", "launches", Some(1.0));
    town.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_read_again_has_its_bounds_at_the_next_scrape() {
    let town = Bounded::start("[default]\nlaunches = 4\n[total]\nstreams = 50\n");
    town.api(BLUE).await.create("a", of_pages(1)).await.unwrap();
    let before = town.scrape();
    share(&before, "tenant", "launches", Some(0.25));
    let streams = resource("streams");
    let limit = "stagepages_quota_limit";
    assert_eq!(before.sum(limit, &[&streams]), Some(50.0));

    // Less than there is, and nothing of what was bounded before.
    let text = policy("[default]\nlaunches = 0\n[total]\ncalls_per_second = 1000\n");
    std::fs::write(town.path("policy.new"), text).unwrap();
    std::fs::rename(town.path("policy.new"), town.path("policy.toml")).unwrap();
    let calls = resource("calls_per_second");
    let after = eventually("the new policy", async || {
        let scraped = town.scrape();
        (scraped.sum(limit, &[&calls]) == Some(1000.0)).then_some(scraped)
    })
    .await;
    assert_eq!(after.sum(limit, &[&streams]), None);
    share(&after, "total", "streams", None);
    share(&after, "tenant", "launches", Some(1.0));
    town.daemon.stop();
}
