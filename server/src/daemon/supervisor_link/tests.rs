//! The link against a supervisor that does exactly what a test says. With the real one: `tests/supervisor`.

use std::task::Poll;

use super::*;
use crate::supervisor::ExitStatus;
use crate::supervisor::proto::{
    Adopted, Event, EventBody, HostExited, LivingHost as Lives, Request, Retire, SpawnFailed,
    Spawned, Welcome as Welcomed,
};

/// The supervisor's end.
struct Peer(AsyncSeq);

impl Peer {
    async fn hear(&self) -> RequestBody {
        let frame = self.0.recv().await.unwrap().unwrap();
        wire::decode::<Request>(&frame.bytes).unwrap().body.unwrap()
    }

    async fn say(&self, body: EventBody) {
        let event = wire::encode(&Event { body: Some(body) }).unwrap();
        self.0.send(&event, &[]).await.unwrap();
    }

    async fn spawned(&self, id: &str) {
        let id = id.to_owned();
        self.say(EventBody::Spawned(Spawned { id, pid: 7 })).await;
    }

    async fn exited(&self, id: &str, status: ExitStatus) {
        let id = id.parse().unwrap();
        let exit = HostExit { pid: 7, status };
        self.say(EventBody::HostExited(HostExited::new(&id, exit)))
            .await;
    }
}

fn welcome(host: &str, more: bool) -> EventBody {
    EventBody::Welcome(Welcomed {
        protocol_version: PROTOCOL_VERSION,
        epoch: 3,
        host_dir: b"/run/h".to_vec(),
        hosts: vec![Lives {
            id: host.to_owned(),
            pid: 7,
            kind: i32::from(HostKind::Launch),
        }],
        exits: vec![HostExited::new(
            &format!("gone-{}", 2 - i32::from(more)).parse().unwrap(),
            HostExit {
                pid: 6,
                status: ExitStatus::Code(1),
            },
        )],
        more,
        sockets: Vec::new(),
    })
}

async fn linked() -> (SupervisorLink, Welcome, Peer) {
    let (ours, theirs) = SeqSocket::pair().unwrap();
    let peer = Peer(AsyncSeq::new(theirs).unwrap());
    let (started, ()) = tokio::join!(SupervisorLink::start(ours), async {
        assert!(matches!(peer.hear().await, RequestBody::Hello(_)));
        peer.say(welcome("old-1", true)).await;
        peer.say(welcome("old-2", false)).await;
    });
    let (link, welcome) = started.unwrap();
    (link, welcome, peer)
}

fn spawn(
    link: &SupervisorLink,
    id: &'static str,
) -> tokio::task::JoinHandle<Result<HostChild, SpawnError>> {
    let link = link.clone();
    tokio::spawn(async move {
        link.spawn_host(id, HostKind::Launch, "sim", Vec::new())
            .await
    })
}

#[tokio::test]
async fn a_welcome_in_parts_is_one_and_its_hosts_can_be_watched() {
    let (_link, welcome, peer) = linked().await;
    assert_eq!(welcome.epoch, 3);
    let ids: Vec<_> = welcome.hosts.iter().map(|h| h.child.id.as_str()).collect();
    assert_eq!(ids, ["old-1", "old-2"]);
    let old = &welcome.hosts[1].child;
    assert_eq!(old.socket_path, PathBuf::from("/run/h/old-2.sock"));

    peer.exited("old-2", ExitStatus::Code(4)).await;
    // After the event, more than once, and from a clone.
    assert_eq!(old.exited().await.code(), Some(4));
    assert_eq!(old.clone().exited().await.code(), Some(4));
}

#[tokio::test]
async fn answers_find_their_callers_in_any_order() {
    let (link, _, peer) = linked().await;
    let (a, b, c) = (spawn(&link, "a"), spawn(&link, "b"), spawn(&link, "c"));
    for _ in 0..3 {
        assert!(matches!(peer.hear().await, RequestBody::SpawnHost(_)));
    }
    peer.spawned("c").await;
    let failed = SpawnFailed {
        id: "b".to_owned(),
        errno: 11,
        message: "too many".to_owned(),
    };
    peer.say(EventBody::SpawnFailed(failed)).await;
    peer.spawned("a").await;
    assert_eq!(a.await.unwrap().unwrap().id.as_str(), "a");
    let refused = b.await.unwrap().unwrap_err();
    assert!(matches!(refused, SpawnError::Refused { errno: 11, .. }));
    assert_eq!(c.await.unwrap().unwrap().id.as_str(), "c");
}

#[tokio::test]
async fn an_exit_right_behind_its_spawn_is_not_lost() {
    let (link, _, peer) = linked().await;
    let child = spawn(&link, "a");
    peer.hear().await;
    peer.spawned("a").await;
    let signal = ExitStatus::Signal {
        signal: 9,
        core_dumped: false,
    };
    peer.exited("a", signal).await;
    let exit = child.await.unwrap().unwrap().exited().await;
    assert_eq!(exit.status, signal);
}

#[tokio::test]
async fn a_caller_that_leaves_before_or_after_the_answer_leaves_no_host() {
    let (link, _, peer) = linked().await;
    for answered_first in [false, true] {
        let mut call = Box::pin(link.spawn_host("a", HostKind::Probe, "", Vec::new()));
        let begun = future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(begun.is_pending());
        peer.hear().await;
        if !answered_first {
            drop(call);
            peer.spawned("a").await;
        } else {
            peer.spawned("a").await;
            // Read behind the answer, which therefore is in the caller's hands, unlooked at.
            peer.exited("nobodys", ExitStatus::Code(0)).await;
            assert!(matches!(peer.hear().await, RequestBody::AckExit(_)));
            drop(call);
        }
        assert!(matches!(peer.hear().await, RequestBody::KillHost(kill) if kill.id == "a"));
    }
}

#[tokio::test]
async fn when_the_supervisor_goes_everybody_learns_it() {
    let (link, welcome, peer) = linked().await;
    let waiting = spawn(&link, "a");
    peer.hear().await;
    drop(peer);
    let gone = waiting.await.unwrap().unwrap_err();
    assert!(matches!(gone, SpawnError::Link(LinkError::Gone)));
    link.closed().await;
    assert!(matches!(link.ready().await, Err(LinkError::Gone)));
    let gone = spawn(&link, "b").await.unwrap().unwrap_err();
    assert!(matches!(gone, SpawnError::Link(LinkError::Gone)));
    // How a host ended is not made up.
    let exited = Box::pin(welcome.hosts[0].child.exited());
    let exited = futures_now(exited).await;
    assert!(exited.is_none());
}

/// What a future has to say at once.
async fn futures_now<T>(mut call: std::pin::Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    future::poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_name_that_is_asked_for_twice_at_once_and_a_bad_name_are_refused_here() {
    let (link, _, peer) = linked().await;
    let first = spawn(&link, "a");
    peer.hear().await;
    let second = spawn(&link, "a").await.unwrap().unwrap_err();
    assert!(matches!(second, SpawnError::Pending { .. }));
    let bad = spawn(&link, "A").await.unwrap().unwrap_err();
    assert!(matches!(bad, SpawnError::BadId(_)));
    peer.spawned("a").await;
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_standard_input_that_is_no_supervisor_is_an_error() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let socket = SeqSocket::from(OwnedFd::from(null));
    let error = SupervisorLink::start(socket).await.unwrap_err();
    assert!(matches!(error, LinkError::NoSocket(_)));

    let (ours, theirs) = SeqSocket::pair().unwrap();
    drop(theirs);
    let error = SupervisorLink::start(ours).await.unwrap_err();
    assert!(matches!(error, LinkError::NoSocket(_) | LinkError::Gone));
}

#[tokio::test]
async fn an_exit_is_acknowledged_by_whoever_records_it_and_here_only_for_nobody() {
    let (link, mut welcome, peer) = linked().await;
    let exits: Vec<_> = welcome.exits.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(exits, ["gone-1", "gone-2"]);

    peer.exited("old-1", ExitStatus::Code(0)).await;
    welcome.hosts[0].child.exited().await;
    let dropped = welcome.hosts.pop().unwrap();
    drop(dropped);
    peer.exited("old-2", ExitStatus::Unknown).await;
    // Not of old-1, nor of those in the welcome.
    assert!(matches!(peer.hear().await, RequestBody::AckExit(ack) if ack.id == "old-2"));
    link.acknowledge(&welcome.exits[0].0).await.unwrap();
    assert!(matches!(peer.hear().await, RequestBody::AckExit(ack) if ack.id == "gone-1"));

    let probe = tokio::spawn({
        let link = link.clone();
        async move {
            link.spawn_host("p", HostKind::Probe, "kvm", Vec::new())
                .await
        }
    });
    let asked = peer.hear().await;
    assert!(matches!(asked, RequestBody::SpawnHost(spawn) if spawn.platform == "kvm"));
    peer.spawned("p").await;
    let probe = probe.await.unwrap().unwrap();
    peer.exited("p", ExitStatus::Code(0)).await;
    assert!(matches!(peer.hear().await, RequestBody::AckExit(ack) if ack.id == "p"));
    assert_eq!(probe.exited().await.code(), Some(0));
}

#[tokio::test]
async fn an_adoption_brings_the_descriptor_and_is_never_taken_back_by_force() {
    let (link, _, peer) = linked().await;
    let null = std::fs::File::open("/dev/null").unwrap();
    let id: HostId = "a".parse().unwrap();
    let adopt = || Box::pin(link.adopt(&id, HostKind::Launch, std::os::fd::AsFd::as_fd(&null)));

    let mut call = adopt();
    let begun = future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    assert!(begun.is_pending());
    let frame = peer.0.recv().await.unwrap().unwrap();
    assert_eq!(frame.fds.len(), 1);
    let body = wire::decode::<Request>(&frame.bytes).unwrap().body;
    assert!(matches!(body, Some(RequestBody::AdoptHost(asked)) if asked.id == "a"));
    drop(call);
    let adopted = || {
        EventBody::Adopted(Adopted {
            id: "a".to_owned(),
            pid: 8,
        })
    };
    peer.say(adopted()).await;
    // Once this is acknowledged, the answer was read, and nobody was killed for it.
    peer.exited("nobodys", ExitStatus::Code(0)).await;
    assert!(matches!(peer.hear().await, RequestBody::AckExit(_)));

    let (child, ()) = tokio::join!(adopt(), async {
        assert!(matches!(peer.hear().await, RequestBody::AdoptHost(_)));
        peer.say(adopted()).await;
    });
    let child = child.unwrap();
    assert_eq!(
        (child.pid, child.socket_path),
        (8, link.host_dir().join("a.sock"))
    );
    assert_eq!(
        link.supervisor_pid(),
        i32::try_from(std::process::id()).unwrap()
    );
}

#[tokio::test]
async fn a_daemon_is_told_when_it_is_to_make_room() {
    let (link, _, peer) = linked().await;
    assert!(futures_now(Box::pin(link.retired())).await.is_none());
    peer.say(EventBody::Retire(Retire {})).await;
    link.retired().await;
    link.retired().await;
}
