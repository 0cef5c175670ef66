//! A daemon with two tenants, and their people as users of this machine.
//!
//! | user       | tenant | role   |
//! |------------|--------|--------|
//! | 2001..2004 | blue   | viewer, stager, runner, admin |
//! | 2011..2014 | red    | the same |
//! | 2099       | nobody |        |
//!
//! **Invariant:** the policy is root's, and is replaced by renaming, as operators are told to.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::PathBuf};

use nix::sys::signal::{Signal, kill};
use stagepages_tests::{Api, Daemon, DaemonOptions, User, eventually};
use tempfile::TempDir;

pub(crate) const ROLES: [&str; 4] = ["viewer", "stager", "runner", "admin"];

/// Who is in no policy.
pub(crate) const STRANGER: User = user(2099);

pub(crate) struct Town {
    pub(crate) daemon: Daemon,
    /// Other users may go in.
    open: TempDir,
}

const fn user(uid: u32) -> User {
    User { uid, gid: uid }
}

/// The tenant's person with this role.
pub(crate) fn person(tenant: &str, role: &str) -> User {
    let nth = ROLES.iter().position(|known| *known == role).unwrap();
    let first = if tenant == "blue" { 2001 } else { 2011 };
    user(first + u32::try_from(nth).unwrap())
}

/// One entry of a policy.
pub(crate) fn entry(identity: &str, tenant: &str, roles: &[&str]) -> String {
    format!("[[caller]]\nidentity = {identity:?}\ntenant = {tenant:?}\nroles = {roles:?}\n")
}

/// The policy with all people of both tenants.
pub(crate) fn policy() -> String {
    let mut text = String::new();
    for tenant in ["blue", "red"] {
        for role in ROLES {
            let name = format!("uid:{}", person(tenant, role).uid);
            text.push_str(&entry(&name, tenant, &[role]));
        }
    }
    text
}

impl Town {
    /// With the policy of both tenants, and this at its end.
    pub(crate) fn with(more: &str) -> Self {
        Self::start(&(policy() + more), DaemonOptions::new())
    }

    pub(crate) fn start(policy: &str, options: DaemonOptions) -> Self {
        assert!(
            User::can_be_taken(),
            "only root can be other users; run this suite as root"
        );
        let open = tempfile::Builder::new()
            .prefix("sp")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(open.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(open.path().join("policy.toml"), policy).unwrap();
        let options = options
            .listen(&format!("unix:{}", open.path().join("open.sock").display()))
            .flag(&format!(
                "--policy={}",
                open.path().join("policy.toml").display()
            ))
            .flag("--socket-mode=0666");
        let daemon = Daemon::start(&options);
        Self { daemon, open }
    }

    /// Where everybody may connect.
    pub(crate) fn socket(&self) -> PathBuf {
        self.open.path().join("open.sock")
    }

    pub(crate) async fn api(&self, user: User) -> Api {
        Api::unix_as(&self.socket(), user).await
    }

    /// Puts another policy in place.
    pub(crate) fn write_policy(&self, policy: &str) {
        let new = self.open.path().join("policy.new");
        std::fs::write(&new, policy).unwrap();
        std::fs::rename(&new, self.open.path().join("policy.toml")).unwrap();
    }

    /// Has the policy read at once.
    pub(crate) fn hang_up(&self) {
        kill(self.daemon.pid(), Signal::SIGHUP).unwrap();
    }

    /// Returns once the log has `words` so many times.
    pub(crate) async fn logged(&self, words: &str, times: usize) {
        eventually(words, async || {
            let found = self.daemon.log().matches(words).count();
            (found >= times).then_some(())
        })
        .await;
    }
}
