//! The daemon from its start to its end.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::Group,
};
use stagepages_audit::Event;
use stagepages_host::wire::{SeqSocket, take_stdin};
use stagepages_proto::v1::{
    FILE_DESCRIPTOR_SET, image_service_server::ImageServiceServer,
    launch_service_server::LaunchServiceServer, node_service_server::NodeServiceServer,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use super::{
    FirmwareQueues, Ledgers, Node, Nursery, Records, Registry, RegistryLimits, StateDir, Writing,
    check_locking,
    confine::{confine, settle},
    devices::Devices,
    evict::evict,
    given::Given,
    images,
    inherit::inherit,
    supervisor_link::SupervisorLink,
};
use crate::{
    audit::Audit,
    auth::PolicyFile,
    config::{Config, DeviceConfig},
    metrics::{Metrics, MetricsSite, Sources},
    net::{self, MAX_MESSAGE_BYTES, Reach, pages::PageListener},
    rpc::{ImageApi, LaunchApi, NodeApi},
    status_page::StatusPage,
    trace::{Collector, Export, Follow},
};

/// How long peers may take to go away once no call is in progress.
const GOODBYE: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to end.
///
/// # Errors
/// It cannot start: the message says what to change. Or its supervisor is gone.
pub fn run(config: Config) -> anyhow::Result<()> {
    raise_file_limit(&config);
    check_locking();
    let socket = take_stdin().context("the supervisor's socket on standard input")?;
    // While there is one thread: those that are started inherit it. Names of groups are looked up before, in files that are out of reach afterwards.
    let access = access(&config)?;
    let collector = collector(&config);
    confine(&config, access.group)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("daemon")
        .build()?;
    // The directory is this daemon's until all is written.
    let mut open = None;
    let done = runtime.block_on(serve(
        config,
        access,
        collector,
        SeqSocket::from(socket),
        &mut open,
    ));
    // Nothing that is left may hold up the end: hosts finish what they have, and answer nobody.
    runtime.shutdown_timeout(Duration::from_millis(200));
    if let Some((_state, writing)) = open
        && !writing.into_iter().all(|writing| writing.end(GOODBYE))
    {
        tracing::warn!(
            "some records or ledgers are not written; the next daemon asks the hosts again"
        );
    }
    done
}

/// Lets this process open as many files as it may: a launch takes two, a connection one, begun or not, and the usual soft limit is 1024.
fn raise_file_limit(config: &Config) {
    let connections = u64::from(config.max_connections) + u64::from(config.max_handshakes);
    let devices = config.devices.as_ref().map_or(0, DeviceConfig::configured);
    let wanted = 2 * u64::from(config.max_launches) + connections + devices + 64;
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(most) if most >= wanted => {}
        Ok(most) => tracing::warn!(
            most,
            wanted,
            "too few open files are allowed for max_launches, max_connections and max_handshakes; raise LimitNOFILE"
        ),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

async fn serve(
    config: Config,
    access: net::Access,
    collector: Option<Collector>,
    socket: SeqSocket,
    open: &mut Option<(StateDir, Vec<Writing>)>,
) -> anyhow::Result<()> {
    // Before anything else, so that no signal finds the default action in place.
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    let (supervisor, mut welcome) = SupervisorLink::start(socket)
        .await
        .context("the supervisor")?;
    let state = StateDir::claim(&config.state_dir).await?;
    let epoch = state.next_epoch(welcome.epoch)?;
    let (records, kept, writing) = Records::open(&state.launches())
        .with_context(|| format!("state_dir {}", config.state_dir.display()))?;
    let recorded = kept.iter().filter(|record| record.has_ledger());
    let recorded = recorded.map(|record| record.uid.clone()).collect();
    let (ledgers, ledger_files) =
        Ledgers::open(&state.ledgers(), config.ended_ledgers_max_bytes, &recorded)
            .context("the threads for ledgers")?;
    let (audit, audited) = open_audit(&config, epoch)?;
    let metrics = Metrics::new(epoch);
    let images = images::open(&state.images(), &config, audit.clone(), metrics.clone())?;
    let writing = std::iter::once(writing).chain(ledger_files).chain(audited);
    let writing = writing.collect();
    // However this ends, what was told is written.
    let _closing = Closing(audit.clone());
    *open = Some((state, writing));
    let policy = PolicyFile::open(config.policy.as_deref())?;
    let tls = config.tls.as_ref();
    let tls = tls.map(|files| net::Tls::open(files, audit.clone()));
    let tls = tls.transpose()?.map(Arc::new);
    let given = Given::new(std::mem::take(&mut welcome.sockets));
    let listen = given.still_bound(&config.listen);
    let mut server = net::Server::bind(&listen, access, tls.as_ref()).context("listen")?;
    let proven = Reach::Proven(tls.as_ref());
    let status =
        PageListener::bind(&config.status_listen, access, proven).context("status_listen")?;
    let health_server = given.serve(&mut server, config.health_listen)?;
    let devices = config.devices.as_ref();
    let devices = devices.map(|devices| Devices::claim(devices, access.group));
    let devices = devices.transpose()?;
    let watched = PageListener::bind(&config.metrics_listen, access, Reach::Anybody)
        .context("metrics_listen")?;

    let nursery = Nursery {
        supervisor: supervisor.clone(),
        epoch,
        host_args: host_args(&config),
        records,
        ledgers,
        max_pending_calls: config.max_pending_calls,
        queues: FirmwareQueues::new(config.max_queued_launches, config.chunk_pages)?,
        audit: audit.clone(),
        metrics: metrics.clone(),
    };
    let registry = Arc::new(Registry::new(RegistryLimits {
        max_launches: config.max_launches,
    }));
    inherit(&nursery, &registry, kept, welcome).await;
    tokio::spawn(evict(Arc::clone(&registry)));
    let node = Arc::new(Node::probe(nursery.clone(), config.host_programs.clone()).await);
    let devices = match devices {
        Some(devices) => devices.bind(&mut server, &node.reports().await)?,
        None => Vec::new(),
    };
    settle(config.sandbox)?;
    let queues = nursery.queues.clone();
    let keeper = policy.gatekeeper();
    let sources = Sources {
        launches: Arc::clone(&registry),
        queues: queues.clone(),
        images: images.clone(),
        tls: tls.clone(),
        policy: policy.subscribe(),
        meters: Arc::clone(keeper.meters()),
        max_memory_bytes: config.max_memory_bytes,
    };
    let launches = LaunchApi::new(
        Arc::clone(&registry),
        Arc::clone(&node),
        nursery,
        images.clone(),
        policy.subscribe(),
        &config,
    );
    let calls = launches.calls().clone();
    let served: u32 = devices.iter().map(|(_, count)| count).sum();
    let node = NodeApi::new(
        node,
        Arc::clone(&registry),
        queues,
        images.clone(),
        devices,
        &config,
    );
    let images = ImageApi::new(
        images,
        policy.subscribe(),
        config.stall_timeout,
        calls.clone(),
        metrics.clone(),
    );
    let page = StatusPage::new(
        policy.gatekeeper(),
        launches.clone(),
        node.clone(),
        images.clone(),
        audit.clone(),
        epoch,
    );
    let (health, routes, probed) = routes(launches, node, images).await?;

    let (tracer, export) = match collector {
        Some(collector) => {
            let (tracer, export) = Export::start(&collector, config.trace_ratio)?;
            (Some(tracer), Some(export))
        }
        None => (None, None),
    };
    let addresses = server.local_addrs().to_vec();
    let pages = status.local_addrs().to_vec();
    let close = CancellationToken::new();
    // What it shows of the end, it shows until then.
    tokio::spawn(status.serve(page, close.clone()));
    server.count_in(metrics.clone());
    let mut serving = tokio::spawn(server.serve(
        routes,
        keeper,
        config.limits(),
        audit.clone(),
        Arc::new(Follow::new(tracer)),
        close.clone(),
    ));
    let probed_at = health_server
        .as_ref()
        .and_then(|server| server.local_addr().cloned());
    // Beside the API and until the very end: it says that the daemon drains. Dropped with its task, and waited for by nobody.
    let probing = health_server.map(|server| tokio::spawn(server.serve(probed, close.clone())));
    let metrics_at = watched.local_addrs().to_vec();
    // Until the end: how it ends is worth watching.
    tokio::spawn(watched.serve(MetricsSite::new(metrics, sources), close.clone()));
    let read_again = Arc::new(Notify::new());
    let told = audit.clone();
    tokio::spawn(policy.follow(Arc::clone(&read_again), move |path, done| {
        let paths = [path.to_owned()];
        told.read_again(Event::PolicyReloaded, &paths, done.map_err(AsRef::as_ref));
    }));
    supervisor.ready().await?;
    if let Err(error) = net::notify::ready(&addresses, &pages, probed_at.as_ref()) {
        tracing::warn!(%error, "whoever started this is not told that it is ready");
    }
    let shown = |addresses: &[net::Listen]| {
        let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        shown.join(", ")
    };
    tracing::info!(
        epoch,
        listen = shown(&addresses),
        status_listen = ?pages,
        devices = served,
        health = probed_at.map(|address| address.to_string()),
        metrics = shown(&metrics_at),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    let mut replaced = false;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                read_again.notify_one();
                if let Some(tls) = &tls {
                    tls.reload();
                }
            }
            () = supervisor.retired() => {
                replaced = true;
                break;
            }
            () = supervisor.closed() => bail!("the supervisor is gone"),
            _ = &mut serving => bail!("the server ended by itself"),
        }
    }

    tracing::info!(grace = ?config.grace, replaced, "draining: no new launches, calls in progress finish");
    // A service manager that hears of an end holds the service to it; a successor is none.
    if !replaced && let Err(error) = net::notify::stopping() {
        tracing::debug!(%error, "whoever started this is not told that it stops");
    }
    registry.drain();
    audit.daemon(Event::DaemonDraining);
    not_serving(&health).await;
    calls.close();
    let drained = tokio::time::timeout(config.grace, calls.wait())
        .await
        .is_ok();
    close.cancel();
    let closed = tokio::time::timeout(GOODBYE, &mut serving).await.is_ok();
    if !closed {
        serving.abort();
    }
    if let Some(probing) = probing {
        probing.abort();
    }
    if let Some(export) = export {
        export.finish().await;
    }
    tracing::info!(drained, closed, "done");
    audit.daemon(Event::DaemonEnded);
    Ok(())
}

/// Looks up where spans are sent. A name that is not known costs the spans, not the service.
fn collector(config: &Config) -> Option<Collector> {
    let endpoint = config.otlp_endpoint.as_ref()?;
    Collector::find(endpoint)
        .inspect_err(|error| {
            tracing::error!(%endpoint, %error, "no call is traced until the daemon is started again: the host of otlp_endpoint cannot be looked up");
        })
        .ok()
}

/// Who may connect to the Unix sockets.
fn access(config: &Config) -> anyhow::Result<net::Access> {
    let number = |name: &String| match (name.parse(), Group::from_name(name)) {
        (Ok(number), _) => Ok(number),
        (Err(_), Ok(Some(group))) => Ok(group.gid.as_raw()),
        (Err(_), Ok(None)) => bail!("socket_group {name}: no such group; make it, or name another"),
        (Err(_), Err(errno)) => bail!("socket_group {name}: {errno}"),
    };
    Ok(net::Access {
        mode: config.socket_mode,
        group: config.socket_group.as_ref().map(number).transpose()?,
    })
}

/// Closes the audit log when the daemon ends, in order or not.
struct Closing(Audit);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Opens the audit log, if there is to be one.
fn open_audit(config: &Config, epoch: u64) -> anyhow::Result<(Audit, Option<Writing>)> {
    let Some(limits) = config.audit else {
        tracing::warn!("there is no audit log: audit = \"off\"");
        return Ok((Audit::off(), None));
    };
    let daemon = stagepages_audit::Daemon {
        epoch,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let dir = &config.audit_dir;
    let (audit, writing) = Audit::open(dir, limits, daemon)
        .with_context(|| format!("the audit log in audit_dir {}", dir.display()))?;
    Ok((audit, Some(writing)))
}

/// The services of the API, and of the health service's own address; both say the same.
async fn routes(
    launches: LaunchApi,
    node: NodeApi,
    images: ImageApi,
) -> anyhow::Result<(HealthReporter, Routes, Routes)> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LaunchServiceServer<LaunchApi>>().await;
    health.set_serving::<NodeServiceServer<NodeApi>>().await;
    health.set_serving::<ImageServiceServer<ImageApi>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that a debugger can decode the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut probed = Routes::builder();
    probed.add_service(health_service.clone());
    let mut routes = Routes::builder();
    routes
        .add_service(
            LaunchServiceServer::new(launches).max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(NodeServiceServer::new(node).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(ImageServiceServer::new(images).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((health, routes.routes(), probed.routes()))
}

async fn not_serving(health: &HealthReporter) {
    health
        .set_not_serving::<LaunchServiceServer<LaunchApi>>()
        .await;
    health.set_not_serving::<NodeServiceServer<NodeApi>>().await;
    health
        .set_not_serving::<ImageServiceServer<ImageApi>>()
        .await;
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
}

/// What every host is started with, beside its id.
fn host_args(config: &Config) -> Vec<String> {
    vec![
        format!("--chunk-pages={}", config.chunk_pages),
        format!("--runtime-dir={}", config.runtime_dir.display()),
        format!("--log={}", config.log),
        format!("--log-format={}", config.log_format),
    ]
}
