//! What the daemon keeps of the machine: the list of its places, in one value.
//!
//! **Invariant:** /dev/kvm is not in the list, nor is anything that the daemon could run.

use std::{env, os::unix::ffi::OsStrExt as _, path::Path};

use anyhow::Context as _;
use stagepages_sandbox::{
    Access, Mode, Place,
    daemon::{self, Policy},
};

use super::{devices, own};
use crate::{
    config::{Config, traces::OtlpEndpoint},
    net::Listen,
};

/// Confines the daemon, which has one thread, and whose sockets are for `group`. Its directories are made before, for they may lie where nothing can be made afterwards.
///
/// # Errors
/// The kernel refused, or a directory cannot be made, or is not ours alone.
pub(super) fn confine(config: &Config, group: Option<u32>) -> anyhow::Result<()> {
    if config.sandbox == Mode::Off {
        return Ok(());
    }
    let audit = config.audit.is_some();
    let audit = audit.then_some(("audit_dir", &config.audit_dir));
    for (key, dir) in std::iter::once(("state_dir", &config.state_dir)).chain(audit) {
        own::dir(dir).with_context(|| format!("{key} {}", dir.display()))?;
    }
    if let Some(config) = &config.devices {
        devices::make_dir(&config.dir, group)?;
    }
    Ok(daemon::confine(&policy(config, group))?)
}

/// Has the daemon listen on no more than it does by now.
///
/// # Errors
/// The kernel refused.
pub(super) fn settle(mode: Mode) -> anyhow::Result<()> {
    daemon::settle(mode).context("nothing is kept from listening elsewhere")
}

fn policy(config: &Config, group: Option<u32>) -> Policy {
    let port = |listen: &Listen| match listen {
        Listen::Tcp(address) => Some(address.port()),
        Listen::Unix(_) => None,
    };
    let told_by_name = env::var_os("NOTIFY_SOCKET");
    Policy {
        mode: config.sandbox,
        places: places(config),
        ports: (listened(config).filter_map(port))
            .chain(config.health_listen.map(|address| address.port()))
            .collect(),
        connects: config
            .otlp_endpoint
            .iter()
            .map(OtlpEndpoint::port)
            .collect(),
        group,
        abstract_sockets: told_by_name.is_some_and(|name| name.as_bytes().starts_with(b"@")),
    }
}

/// Every address that it listens on.
fn listened(config: &Config) -> impl Iterator<Item = &Listen> {
    let pages = config.status_listen.iter().chain(&config.metrics_listen);
    config.listen.iter().chain(pages)
}

/// Everything that the daemon opens. What it reads again while it runs is here as [`Place::read_again`].
fn places(config: &Config) -> Vec<Place> {
    let mut places = daemon::places();
    places.push(Place::new(&config.state_dir, Access::Own));
    places.push(Place::new(&config.runtime_dir, Access::Own));
    if config.audit.is_some() {
        places.push(Place::new(&config.audit_dir, Access::Own));
    }
    if let Some(devices) = &config.devices {
        places.push(Place::new(&devices.dir, Access::Own));
    }
    let sockets = listened(config).filter_map(|listen| match listen {
        Listen::Unix(path) => path.parent().map(Path::to_owned),
        Listen::Tcp(_) => None,
    });
    places.extend(sockets.map(|dir| Place::new(dir, Access::Sockets)));
    let tls = config.tls.as_ref();
    let tls = tls.map(|tls| [&tls.cert, &tls.key, &tls.client_ca]);
    let read_again = config.policy.iter().chain(tls.into_iter().flatten());
    places.extend(read_again.map(|file| Place::read_again(file)));
    places
}
