//! What a daemon finds when it begins: records, hosts that live, ends that nobody has put on record.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use stagepages_audit::Event;
use tokio::task::JoinSet;

use super::{
    Found, NotAdopted, Nursery, Record, Registry,
    supervisor_link::{SupervisorLink, Welcome},
};
use crate::{
    rpc::{reason::Reason, status::ApiError},
    supervisor::{HostExit, HostId, HostKind},
};

/// How long calls are held back for hosts to answer. One that has much to finish is awaited beside.
const HEAD_START: Duration = Duration::from_secs(2);

/// Where an orphan's socket ends.
const SOCKET: &str = ".sock";

/// Takes over everything that an earlier daemon left.
pub(super) async fn inherit(
    nursery: &Nursery,
    registry: &Arc<Registry>,
    records: Vec<Record>,
    welcome: Welcome,
) {
    let mut records: BTreeMap<String, Record> = records
        .into_iter()
        .map(|record| (record.uid.clone(), record))
        .collect();
    let mut exits: HashMap<HostId, HostExit> = welcome.exits.into_iter().collect();
    let mut found: Vec<Found> = Vec::new();
    for host in welcome.hosts {
        match host.kind {
            // Its daemon is gone; nobody waits for its answer.
            HostKind::Probe | HostKind::Unspecified => {
                nursery.put_away(host.child.id.as_str(), &host.child).await;
            }
            HostKind::Launch => found.push(Found::Child(host.child)),
        }
    }
    let orphans = orphans(&nursery.supervisor, &found, &exits);
    found.extend(orphans);

    let mut adoptions = JoinSet::new();
    for host in found {
        let record = records.remove(host.id().as_str());
        // Two of one id are there only if the creation of one was never answered.
        let awaited = record.as_ref().and_then(|record| {
            let asked = record.asked.clone().unwrap_or_default();
            let tenant = record.tenant().ok()?;
            let awaited =
                registry.await_host(&tenant, &record.id, &record.uid, record.sequence, asked)?;
            Some((tenant, awaited))
        });
        let (nursery, registry) = (nursery.clone(), Arc::clone(registry));
        // From now on, and not from when the task gets its turn.
        let unknown = awaited.is_none().then(|| registry.await_unknown());
        adoptions.spawn(async move {
            let Some((record, (tenant, awaited))) = record.zip(awaited) else {
                Box::pin(adopt_unanswered(&nursery, &registry, host)).await;
                drop(unknown);
                return;
            };
            let launch = match Box::pin(nursery.adopt(host, Some(record.clone()))).await {
                Ok(launch) => Ok(launch),
                Err(NotAdopted::Short(why)) => {
                    // Nothing is known of it, so nothing is said: it stays awaited, and ends by its lease unless the next daemon adopts it.
                    tracing::error!(
                        launch = record.id,
                        why,
                        "this daemon cannot adopt a launch host"
                    );
                    return;
                }
                Err(why) => give_up(&nursery, &record, &why).await,
            };
            registry.settle(&tenant, &record.id, &awaited, launch);
        });
    }
    // The latest first: of two with one id, the other's creation was never answered.
    let mut gone: Vec<_> = records.into_iter().collect();
    gone.sort_by_key(|(_, record)| std::cmp::Reverse(record.sequence));
    for (uid, record) in gone {
        let exit = uid.parse().ok().and_then(|id: HostId| exits.remove(&id));
        match nursery.recall(&record, exit).await {
            Ok(launch) => {
                if let Err(launch) = registry.restore(launch) {
                    tracing::warn!(launch = launch.id, uid, "a record of an id that is in use");
                    forget(&launch).await;
                }
            }
            Err(error) => tracing::error!(uid, %error, "a launch's record is not understood"),
        }
        acknowledge(&nursery.supervisor, uid.parse().ok()).await;
    }
    for (id, exit) in exits {
        tracing::info!(host = %id, ?exit, "a launch host without a record is gone");
        acknowledge(&nursery.supervisor, Some(id)).await;
    }
    let all = async { while adoptions.join_next().await.is_some() {} };
    if tokio::time::timeout(HEAD_START, all).await.is_err() {
        tracing::warn!("some launch hosts have much to finish; they are awaited");
        adoptions.detach_all();
    }
}

/// A host whose creation an earlier daemon did not live to put on record.
async fn adopt_unanswered(nursery: &Nursery, registry: &Registry, host: Found) {
    let id = host.id().clone();
    match Box::pin(nursery.adopt(host, None)).await {
        Ok(launch) => {
            if let Err(launch) = registry.restore(launch) {
                tracing::warn!(
                    launch = launch.id,
                    "its creation was never answered, and its id is in use by now"
                );
                launch.abort(false).await;
                forget(&launch).await;
            }
        }
        Err(why) => {
            tracing::warn!(host = %id, %why, "a launch host without a record");
            if let NotAdopted::Killed { .. } = why {
                acknowledge(&nursery.supervisor, Some(id)).await;
            }
        }
    }
}

/// A launch that nobody was told of is not kept.
async fn forget(launch: &super::Launch) {
    match launch.forget().await {
        Ok(()) => launch.tell_forgotten(Event::LaunchDeleted),
        Err(error) => {
            tracing::error!(launch = launch.id, %error, "the record of a launch stays");
        }
    }
}

/// The launch of a host that was not adopted.
async fn give_up(
    nursery: &Nursery,
    record: &Record,
    why: &NotAdopted,
) -> Result<Arc<super::Launch>, ApiError> {
    tracing::error!(launch = record.id, %why, "the launch host is lost");
    let exit = match why {
        NotAdopted::Killed { exit, .. } => Some(*exit),
        NotAdopted::Empty | NotAdopted::Short(_) | NotAdopted::Unusable(_) => None,
    };
    let launch = nursery.recall(record, exit).await;
    if exit.is_some() {
        acknowledge(&nursery.supervisor, record.uid.parse().ok()).await;
    }
    launch.map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))
}

async fn acknowledge(supervisor: &SupervisorLink, id: Option<HostId>) {
    if let Some(id) = id
        && let Err(error) = supervisor.acknowledge(&id).await
    {
        tracing::debug!(host = %id, %error, "the next daemon is told of this end again");
    }
}

/// Hosts that an earlier supervisor started: sockets that this one does not know.
fn orphans(
    supervisor: &SupervisorLink,
    known: &[Found],
    exits: &HashMap<HostId, HostExit>,
) -> Vec<Found> {
    let dir: &Path = supervisor.host_dir();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "looking for launch hosts");
            return Vec::new();
        }
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let id: HostId = name.strip_suffix(SOCKET)?.parse().ok()?;
        Some((id, dir.join(name)))
    };
    entries
        .filter_map(name)
        .filter(|(id, _)| !known.iter().any(|found| found.id() == id) && !exits.contains_key(id))
        .map(|(id, path)| Found::Orphan(id, path))
        .collect()
}
