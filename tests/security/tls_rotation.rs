//! Certificates, keys and CAs that are replaced while the daemon serves.
use std::os::unix::fs::symlink;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use stagepages_proto::v1::{
    GetNodeInfoRequest, Platform, StagePagesRequest, StagePagesStreamRequest,
};
use stagepages_tests::{
    Api, Authority, Daemon, DaemonOptions, Issued, Leaf, Pki, eventually, region, spec,
    tls_channel, tls_config,
};
use tonic::transport::Channel;

const TAKEN: &str = "new handshakes use the new files";
const KEPT: &str = "the new files of TLS cannot be used";

fn count(daemon: &Daemon, text: &str) -> usize {
    daemon.log().matches(text).count()
}

/// Waits until the daemon has taken new files once more than `before`.
async fn taken(daemon: &Daemon, before: usize) {
    eventually("new files to be taken", async || {
        (count(daemon, TAKEN) > before).then_some(())
    })
    .await;
}

/// What clients show and trust at the moment.
#[derive(Clone)]
struct Wallet(Arc<Mutex<(String, Issued)>>);

impl Wallet {
    fn new(cas: String, client: Issued) -> Self {
        Self(Arc::new(Mutex::new((cas, client))))
    }

    fn put(&self, cas: String, client: Issued) {
        *self.0.lock().unwrap() = (cas, client);
    }

    async fn channel(
        &self,
        daemon: std::net::SocketAddr,
    ) -> Result<Channel, tonic::transport::Error> {
        let wallet = self.clone();
        tls_channel(daemon, move || {
            let (cas, client) = wallet.0.lock().unwrap().clone();
            tls_config(&cas, Some(&client))
        })
        .await
    }
}

/// Calls without end: on `old`, and each on a connection of its own. The number of calls that were answered; a failed one is a panic.
async fn load(
    address: std::net::SocketAddr,
    wallet: Wallet,
    old: Channel,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) {
    let mut old = Api::over(old).node;
    while !stop.load(Ordering::Relaxed) {
        old.get_node_info(GetNodeInfoRequest {})
            .await
            .expect("an open connection stays open");
        let new = wallet
            .channel(address)
            .await
            .expect("a new connection comes about");
        let mut new = Api::over(new).node;
        new.get_node_info(GetNodeInfoRequest {})
            .await
            .expect("is answered");
        answered.fetch_add(2, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_rotated_under_load_without_a_failed_call() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let pki = daemon.pki();
    let next = Authority::new("next CA");
    let both = format!("{}{}", pki.ca.pem(), next.pem());
    let first = pki.client();
    let wallet = Wallet::new(both.clone(), first.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let old = wallet.channel(daemon.tcp()).await.unwrap();
    let loads: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(load(
                daemon.tcp(),
                wallet.clone(),
                old.clone(),
                Arc::clone(&stop),
                Arc::clone(&answered),
            ))
        })
        .collect();
    // A stream that lives through all of it.
    let api = Api::over(wallet.channel(daemon.tcp()).await.unwrap());
    let launch = api
        .create(
            "l",
            spec(Platform::Sim, [region(stagepages_tests::page(0), 1 << 20)]),
        )
        .await
        .unwrap();
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let mut answers = None;
    let steps: [(&str, &dyn Fn()); 4] = [
        ("the daemon trusts both CAs", &|| pki.put("ca.crt", &both)),
        ("the daemon shows the next CA's certificate", &|| {
            pki.put_pair("server", &next.issue(&Leaf::server()));
        }),
        ("the daemon trusts the next CA alone", &|| {
            let client = next.issue(&Leaf::client(&["spiffe://test/client"]));
            wallet.put(both.clone(), client);
            pki.put("ca.crt", &next.pem());
        }),
        ("both at once", &|| {
            pki.put("ca.crt", &both);
            pki.put_pair("server", &pki.ca.issue(&Leaf::server()));
        }),
    ];
    let mut stream = Some(stream);
    for (index, (what, step)) in steps.iter().enumerate() {
        let (taken_before, answered_before) =
            (count(&daemon, TAKEN), answered.load(Ordering::Relaxed));
        step();
        taken(&daemon, taken_before).await;
        let request = StagePagesStreamRequest {
            request: Some(StagePagesRequest {
                name: launch.name.clone(),
                gpa: 4096 * index as u64,
                page_type: stagepages_proto::v1::PageType::Normal.into(),
                data: Some(vec![7; 4096].into()),
                ..StagePagesRequest::default()
            }),
        };
        requests.send(request).await.expect("the stream goes on");
        if let Some(stream) = stream.take() {
            let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
            answers = Some(
                api.launches
                    .clone()
                    .stage_pages_stream(stream)
                    .await
                    .unwrap()
                    .into_inner(),
            );
        }
        let answer = answers.as_mut().unwrap().message().await.unwrap();
        assert!(answer.is_some(), "{what}");
        eventually("the load to go on", async || {
            (answered.load(Ordering::Relaxed) >= answered_before + 6).then_some(())
        })
        .await;
        if index == 2 {
            let gone = tls_config(&both, Some(&first));
            let channel = tls_channel(daemon.tcp(), move || gone.clone()).await;
            if let Ok(channel) = channel {
                let mut node = Api::over(channel).node;
                node.get_node_info(GetNodeInfoRequest {})
                    .await
                    .expect_err("the first CA is gone");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.expect("no call fails");
    }
    assert_eq!(count(&daemon, KEPT), 0, "{}", daemon.log());
    drop(requests);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_new_files_change_nothing_and_are_said_once() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let pki = daemon.pki();
    let good = (
        pki.get("server.crt"),
        pki.get("server.key"),
        pki.get("ca.crt"),
    );
    let other = Authority::new("other").issue(&Leaf::server());
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let expired = pki
        .ca
        .issue(&Leaf::server().valid(then - std::time::Duration::from_secs(60), then));
    let bad: [(&dyn Fn(), &str); 5] = [
        (
            &|| pki.put("server.key", &other.key),
            "is not the key of the certificate",
        ),
        (&|| pki.put("server.crt", "nothing"), "holds no certificate"),
        (&|| pki.put("ca.crt", ""), "holds no certificate"),
        (&|| pki.put("ca.crt", &good.0), "no CA's"),
        (&|| pki.put_pair("server", &expired), "has expired"),
    ];
    for (said, (step, why)) in bad.iter().enumerate() {
        step();
        eventually(why, async || (count(&daemon, KEPT) > said).then_some(())).await;
        let log = daemon.log();
        let line = log.lines().rfind(|line| line.contains(KEPT)).unwrap();
        assert!(
            line.contains(why) && line.contains("ERROR"),
            "{why}: {line}"
        );
        // The first ones are in use.
        let client = pki.ca.issue(&Leaf::client(&["spiffe://test/x"]));
        let ca = good.2.clone();
        let channel = tls_channel(daemon.tcp(), move || tls_config(&ca, Some(&client))).await;
        Api::over(channel.unwrap()).node_info().await;
        let before = count(&daemon, TAKEN);
        pki.put("server.crt", &good.0);
        pki.put("server.key", &good.1);
        pki.put("ca.crt", &good.2);
        taken(&daemon, before).await;
        assert_eq!(count(&daemon, KEPT), said + 1, "said more than once");
    }
    daemon.stop();
}

/// As the kubelet does with a mounted secret: the directory behind the link `..data` is swapped.
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_link_is_followed_and_so_is_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::create(&dir.path().join("1"));
    symlink("1", dir.path().join("..data")).unwrap();
    let mut options = DaemonOptions::new().without_tcp().listen("tcp:127.0.0.1:0");
    // Its policy lets in the clients of either.
    options = options.flag(&format!("--policy={}", first.path("policy.toml").display()));
    for (flag, file) in [
        ("cert", "server.crt"),
        ("key", "server.key"),
        ("client-ca", "ca.crt"),
    ] {
        let link = dir.path().join(file);
        symlink(format!("..data/{file}"), &link).unwrap();
        options = options.flag(&format!("--tls-{flag}={}", link.display()));
    }
    let daemon = Daemon::start(&options);
    let served = async |pki: &Pki| {
        let (ca, client) = (pki.get("ca.crt"), pki.client());
        let channel = tls_channel(daemon.tcp(), move || tls_config(&ca, Some(&client))).await;
        Api::over(channel.expect("is accepted")).node_info().await;
    };
    served(&first).await;
    let second = Pki::create(&dir.path().join("2"));
    symlink("2", dir.path().join("..next")).unwrap();
    std::fs::rename(dir.path().join("..next"), dir.path().join("..data")).unwrap();
    taken(&daemon, 0).await;
    served(&second).await;
    let before = count(&daemon, TAKEN);
    nix::sys::signal::kill(daemon.daemon_pid(), nix::sys::signal::Signal::SIGHUP).unwrap();
    taken(&daemon, before).await;
    served(&second).await;
    daemon.stop();
}
