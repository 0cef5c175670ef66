use clap::{Args, Parser};

use super::*;
use crate::cli::{Cli, Command};

const EXAMPLE: &str = include_str!("../../../deploy/stagepagesd.toml");

const ROOT: Machine = Machine {
    uid: 0,
    memory_bytes: 64 << 30,
};

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn vars(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + Copy {
    move |name| {
        let pair = pairs.iter().find(|(known, _)| *known == name)?;
        Some(pair.1.into())
    }
}

fn file(text: &str) -> Result<Settings, ConfigError> {
    file::parse(Path::new("x.toml"), text)
}

fn flags(args: &[&str]) -> Settings {
    let cli = Cli::try_parse_from(["stagepagesd", "serve"].iter().chain(args));
    let Command::Serve(args) = cli.expect("flags are valid").command else {
        panic!("not serve");
    };
    args.settings
}

/// The example with its settings in force.
fn uncommented() -> String {
    let line = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| !rest.starts_with(' '))
            .map(str::to_owned)
    };
    EXAMPLE
        .lines()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let defaults = Config::resolve(Settings::default(), nothing, ROOT).expect("resolves");
    assert_eq!(file(EXAMPLE).expect("parses"), Settings::default());
    let shown = file(&uncommented()).expect("parses");
    let keys = Settings::augment_args(clap::Command::new("x"));
    // The programs and the user of hosts, the policy, the group and the files of TLS have no default to show, and no names are no flags.
    for key in [
        "policy",
        "device_dir",
        "health_listen",
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "host_user",
        "otlp_endpoint",
    ] {
        assert!(EXAMPLE.contains(&format!("\n#     {key} = ")), "{key}");
    }
    assert!(EXAMPLE.contains("[host.kvm]") && EXAMPLE.contains("\n#host_env = []\n"));
    assert!(EXAMPLE.contains("\n#metrics_listen = []\n"));
    assert_eq!(shown.to_args().len() + 13, keys.get_arguments().count());
    assert_eq!(
        Config::resolve(shown, nothing, ROOT).expect("resolves"),
        defaults
    );
}

#[test]
fn every_key_can_be_set_by_each_source() {
    let from_file = file(
        r#"
        listen = ["unix:/a/b", "tcp:127.0.0.1:0"]
        status_listen = ["unix:/a/s", "tcp:127.0.0.1:0"]
        metrics_listen = ["unix:/a/m", "tcp:127.0.0.1:9"]
        tls_cert = "/t/c"
        tls_key = "/t/k"
        tls_client_ca = "/t/a"
        tls_identity = "dns"
        handshake_timeout = "3s"
        max_handshakes = 17
        state_dir = "/s"
        runtime_dir = "/r"
        socket_mode = "0660"
        socket_group = "7"
        policy = "/p"
        health_listen = "tcp:10.0.0.1:8086"
        device_dir = "/d"
        devices = ["kvm=2", "sim=0"]
        log = "debug,h2=warn"
        log_format = "json"
        otlp_endpoint = "http://a:4317"
        trace_ratio = 0.25
        grace = "2m"
        max_launches = 1
        max_regions = 2
        max_memory_bytes = 8192
        max_connections = 4
        max_streams_per_connection = 5
        receive_budget_bytes = 99999744
        stall_timeout = "8s"
        idle_timeout = "9m"
        max_pending_calls = 6
        chunk_pages = 7
        ended_ledgers_max_bytes = 0
        scheduler = "off"
        max_queued_launches = 3
        max_image_bytes = 11
        image_quota_bytes = 12
        image_write_idle = "5m"
        audit = "off"
        audit_dir = "/a"
        audit_max_bytes = 70000
        audit_files = 2
        host_env = ["LD_PRELOAD", "_9"]
        sandbox = "require"
        host_user = "61000:61000"
        [host.kvm]
        program = "/opt/vmm"
        [host.sev-snp]
        program = "/opt/b"
        "#,
    )
    .expect("parses");
    let from_env = Settings::from_env(vars(&[
        ("STAGEPAGES_LISTEN", "unix:/a/b, tcp:127.0.0.1:0"),
        ("STAGEPAGES_STATUS_LISTEN", "unix:/a/s, tcp:127.0.0.1:0"),
        ("STAGEPAGES_METRICS_LISTEN", "unix:/a/m, tcp:127.0.0.1:9"),
        ("STAGEPAGES_TLS_CERT", "/t/c"),
        ("STAGEPAGES_TLS_KEY", "/t/k"),
        ("STAGEPAGES_TLS_CLIENT_CA", "/t/a"),
        ("STAGEPAGES_TLS_IDENTITY", "dns"),
        ("STAGEPAGES_HANDSHAKE_TIMEOUT", "3000ms"),
        ("STAGEPAGES_MAX_HANDSHAKES", "17"),
        ("STAGEPAGES_STATE_DIR", "/s"),
        ("STAGEPAGES_RUNTIME_DIR", "/r"),
        ("STAGEPAGES_SOCKET_MODE", "660"),
        ("STAGEPAGES_SOCKET_GROUP", "7"),
        ("STAGEPAGES_POLICY", "/p"),
        ("STAGEPAGES_HEALTH_LISTEN", "tcp:10.0.0.1:8086"),
        ("STAGEPAGES_DEVICE_DIR", "/d"),
        ("STAGEPAGES_DEVICES", "kvm=2, sim=0"),
        ("STAGEPAGES_LOG", "debug,h2=warn"),
        ("STAGEPAGES_LOG_FORMAT", "json"),
        ("STAGEPAGES_GRACE", "120s"),
        ("STAGEPAGES_MAX_LAUNCHES", "1"),
        ("STAGEPAGES_MAX_REGIONS", "2"),
        ("STAGEPAGES_MAX_MEMORY_BYTES", "8192"),
        ("STAGEPAGES_MAX_CONNECTIONS", "4"),
        ("STAGEPAGES_MAX_STREAMS_PER_CONNECTION", "5"),
        ("STAGEPAGES_RECEIVE_BUDGET_BYTES", "99999744"),
        ("STAGEPAGES_STALL_TIMEOUT", "8s"),
        ("STAGEPAGES_IDLE_TIMEOUT", "540s"),
        ("STAGEPAGES_MAX_PENDING_CALLS", "6"),
        ("STAGEPAGES_CHUNK_PAGES", "7"),
        ("STAGEPAGES_ENDED_LEDGERS_MAX_BYTES", "0"),
        ("STAGEPAGES_SCHEDULER", "off"),
        ("STAGEPAGES_MAX_QUEUED_LAUNCHES", "3"),
        ("STAGEPAGES_MAX_IMAGE_BYTES", "11"),
        ("STAGEPAGES_IMAGE_QUOTA_BYTES", "12"),
        ("STAGEPAGES_IMAGE_WRITE_IDLE", "300s"),
        ("STAGEPAGES_OTLP_ENDPOINT", "http://a:4317"),
        ("STAGEPAGES_TRACE_RATIO", "0.25"),
        ("STAGEPAGES_AUDIT", "off"),
        ("STAGEPAGES_AUDIT_DIR", "/a"),
        ("STAGEPAGES_AUDIT_MAX_BYTES", "70000"),
        ("STAGEPAGES_AUDIT_FILES", "2"),
        ("STAGEPAGES_HOST_PROGRAM", "kvm=/opt/vmm, sev-snp=/opt/b"),
        ("STAGEPAGES_HOST_ENV", "LD_PRELOAD, _9"),
        ("STAGEPAGES_SANDBOX", "require"),
        ("STAGEPAGES_HOST_USER", "61000:61000"),
    ]))
    .expect("is valid");
    let args = from_file.to_args();
    let args: Vec<&str> = args
        .iter()
        .map(|arg| arg.to_str().expect("is text"))
        .collect();
    assert_eq!(args.len(), 52);
    assert_eq!(from_env, from_file);
    assert_eq!(flags(&args), from_file);
}

#[test]
fn hosts_get_another_user_only_from_root_and_never_root_itself() {
    let user = |name: &str, uid| {
        let machine = Machine { uid, ..ROOT };
        let variable = |name: &str| (name == "XDG_STATE_HOME").then(|| "/s".into());
        Config::resolve(flags(&["--host-user", name]), variable, machine)
    };
    let config = user("61000:61001", 0).expect("resolves");
    assert_eq!(config.host_user.expect("is set").to_string(), "61000:61001");
    for (name, uid, told) in [
        ("61000", 1000, "only root can"),
        ("root", 0, "host_user"),
        ("no-such-user-here", 0, "host_user"),
    ] {
        let error = user(name, uid).expect_err("is refused").to_string();
        assert!(error.contains(told), "{error}");
    }
    for bad in ["", "a b", "../x"] {
        file(&format!("host_user = {bad:?}\n")).expect_err("is refused");
        file(&format!("sandbox = {bad:?}\n")).expect_err("is refused");
    }
}

#[test]
fn programs_of_hosts_are_named_by_platform() {
    let set = flags(&["--host-program=kvm=/a=b", "--host-program", "tdx=/c"]);
    let config = Config::resolve(set, nothing, ROOT).expect("resolves");
    let programs = config.host_programs.into_iter();
    let programs: Vec<_> = programs
        .map(|(key, path)| (key, path.display().to_string()))
        .collect();
    let expected = [("kvm", "/a=b"), ("tdx", "/c")];
    assert_eq!(
        programs,
        expected.map(|(key, path)| (key.into(), path.into()))
    );

    for (text, told) in [
        ("[host.xen]\nprogram = \"/a\"\n", "\"xen\" is no platform"),
        (
            "[host.kvm]\nprogram = \"a\"\n",
            "\"a\" for hosts on kvm is not an absolute path",
        ),
        (
            "[host.kvm]\nprogramm = \"/a\"\n",
            "unknown field `programm`",
        ),
    ] {
        let error = file(text).expect_err("is wrong").to_string();
        assert!(error.contains(told), "{error}");
    }
    let env = vars(&[("STAGEPAGES_HOST_PROGRAM", "/opt/vmm")]);
    let error = Settings::from_env(env).expect_err("is wrong");
    assert!(
        error.to_string().contains("STAGEPAGES_HOST_PROGRAM"),
        "{error}"
    );
}

#[test]
fn variables_of_hosts_are_names_and_nothing_else() {
    let set = flags(&["--host-env", "B,A", "--host-env=A"]);
    let config = Config::resolve(set, nothing, ROOT).expect("resolves");
    assert!(config.host_env.iter().eq(["A", "B"]));
    let none = Config::resolve(Settings::default(), nothing, ROOT).expect("resolves");
    assert!(none.host_env.is_empty());
    for bad in ["A=b", "1A", "A-B", "", "Ä", "A B", "*"] {
        let error = file(&format!("host_env = [{bad:?}]\n")).expect_err("is refused");
        let told = format!(
            "x.toml:1: {:?}: {bad:?} is no name",
            format!("host_env = [{bad:?}]")
        );
        assert!(error.to_string().starts_with(&told), "{error}");
        let env = format!("A,{bad}");
        let variable = |name: &str| (name == "STAGEPAGES_HOST_ENV").then(|| env.clone().into());
        Settings::from_env(variable).expect_err("is refused");
    }
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let env = vars(&[("STAGEPAGES_GRACE", "2s"), ("STAGEPAGES_CHUNK_PAGES", "2")]);
    let file = file("grace = \"3s\"\nchunk_pages = 3\nmax_regions = 3\n").expect("parses");
    let set = flags(&["--grace", "1s"]);
    let set = set.or(Settings::from_env(env).expect("is valid")).or(file);
    let config = Config::resolve(set, env, ROOT).expect("resolves");
    assert_eq!(config.grace, Duration::from_secs(1));
    assert_eq!((config.chunk_pages, config.max_regions), (2, 3));
}

#[test]
fn defaults_follow_the_user() {
    let resolve = |variables, uid| {
        let machine = Machine { uid, ..ROOT };
        let config = Config::resolve(Settings::default(), vars(variables), machine);
        config.map(|config| (config.listen[0].to_string(), config.state_dir))
    };
    assert_eq!(
        resolve(&[], 0).expect("resolves"),
        (
            "unix:/run/stagepages/api.sock".into(),
            "/var/lib/stagepages".into()
        )
    );
    assert_eq!(
        resolve(&[("HOME", "/home/a")], 7).expect("resolves"),
        (
            "unix:/tmp/stagepages-7/api.sock".into(),
            "/home/a/.local/state/stagepages".into()
        )
    );
    let xdg = &[("XDG_RUNTIME_DIR", "/x/r"), ("XDG_STATE_HOME", "/x/s")];
    assert_eq!(
        resolve(xdg, 7).expect("resolves"),
        (
            "unix:/x/r/stagepages/api.sock".into(),
            "/x/s/stagepages".into()
        )
    );
    assert!(matches!(
        resolve(&[("HOME", "relative")], 7),
        Err(ConfigError::NoHome)
    ));
}

#[test]
fn an_overlong_runtime_directory_is_refused_with_a_way_out() {
    let dir = format!("/{}", "r".repeat(99));
    let error = Config::resolve(flags(&["--runtime-dir", &dir]), nothing, ROOT);
    let error = error.expect_err("is refused").to_string();
    assert!(error.contains("shorter runtime_dir"), "{error}");
}

#[test]
fn a_receive_budget_below_what_the_connections_need_is_refused() {
    let set = flags(&["--receive-budget-bytes", "10000000"]);
    let error = Config::resolve(set, nothing, ROOT).expect_err("is refused");
    let error = error.to_string();
    for word in [
        "receive_budget_bytes is 10000000",
        "1024 connections",
        "max_connections",
    ] {
        assert!(error.contains(word), "{word} in {error}");
    }
    let set = flags(&[
        "--receive-budget-bytes",
        "80000000",
        "--max-connections",
        "10",
    ]);
    Config::resolve(set, nothing, ROOT).expect("suffices");
}

#[test]
fn mistakes_in_the_file_name_file_line_and_key() {
    for (text, line, words) in [
        (
            "log = \"info\"\nmax_launchs = 3\n",
            2,
            vec!["max_launchs", "unknown field"],
        ),
        (
            "\n\nmax_launches = \"many\"\n",
            3,
            vec!["max_launches", "invalid type"],
        ),
        ("max_launches = 0\n", 1, vec!["max_launches", "1 to 100000"]),
        ("max_launches = -1\n", 1, vec!["max_launches"]),
        ("grace = \"soon\"\n", 1, vec!["grace", "30s"]),
        ("stall_timeout = \"0s\"\n", 1, vec!["stall_timeout", "1ms"]),
        (
            "listen = [\"tcp:example:1\"]\n",
            1,
            vec!["listen", "IP:PORT"],
        ),
        ("tls_cert = \"x\"\n", 1, vec!["tls_cert", "absolute"]),
        ("tls_identity = \"cn\"\n", 1, vec!["tls_identity", "spiffe"]),
        ("state_dir = \"x\"\n", 1, vec!["state_dir", "absolute"]),
        (
            "log = \"info\"\nlog = \"warn\"\n",
            2,
            vec!["log", "duplicate"],
        ),
        ("log = \"a=b=c\"\n", 1, vec!["log", "filter"]),
        ("log_format = \"xml\"\n", 1, vec!["log_format", "json"]),
        ("log = \n", 1, vec!["log"]),
    ] {
        let error = file(text).expect_err("is refused").to_string();
        assert!(error.starts_with(&format!("x.toml:{line}: ")), "{error}");
        for word in words {
            assert!(error.contains(word), "{word} in {error}");
        }
    }
}

#[test]
fn mistakes_in_variables_name_them() {
    let said = |variables| {
        let error = Settings::from_env(vars(variables)).expect_err("is refused");
        format!("{:#}", anyhow::Error::from(error))
    };
    let error = said(&[("STAGEPAGES_GRACE", "2 weeks")]);
    let start = "environment variable STAGEPAGES_GRACE: \"2 weeks\"";
    assert!(error.starts_with(start), "{error}");
    let error = said(&[("STAGEPAGES_LISTEN", "unix:/a,b")]);
    assert!(error.contains("\"b\" is neither"), "{error}");
    let empty = Settings::from_env(vars(&[("STAGEPAGES_GRACE", "")])).expect("is as unset");
    assert_eq!(empty, Settings::default());
}

#[test]
fn tcp_without_all_of_tls_is_refused_and_the_missing_keys_are_named() {
    let said = |args: &[&str]| {
        let error = Config::resolve(flags(args), nothing, ROOT).expect_err("is refused");
        error.to_string()
    };
    for address in ["tcp:127.0.0.1:1", "tcp:0.0.0.0:1"] {
        let listen = format!("--listen={address}");
        let error = said(&[&listen]);
        let all = "tls_cert, tls_key, tls_client_ca is not set";
        assert!(error.contains(address) && error.contains(all), "{error}");
        let error = said(&[&listen, "--tls-cert=/c", "--tls-client-ca=/a"]);
        assert!(error.contains(" tls_key is not set"), "{error}");
    }
    let error = said(&["--tls-key=/k"]);
    assert!(
        error.starts_with("tls_cert, tls_client_ca is not set"),
        "{error}"
    );
    let files = ["--tls-cert=/c", "--tls-key=/k", "--tls-client-ca=/a"];
    let with_tls = [&files[..], &["--listen=tcp:0.0.0.0:1"]].concat();
    let config = Config::resolve(flags(&with_tls), nothing, ROOT).expect("resolves");
    assert!(config.limits().tls && config.tls.is_some());
    let unix = Config::resolve(flags(&[]), nothing, ROOT).expect("resolves");
    assert!(!unix.limits().tls);
}

#[test]
fn the_status_page_has_one_socket_others_or_none() {
    let resolve = |flag: &[&str]| {
        let variable = |name: &str| (name == "XDG_STATE_HOME").then(|| "/s".into());
        Config::resolve(flags(flag), variable, ROOT)
    };
    let served = |flag: &[&str]| resolve(flag).expect("resolves").status_listen;
    assert_eq!(
        served(&[]),
        [Listen::Unix("/run/stagepages/status.sock".into())]
    );
    assert_eq!(served(&["--status-listen=off"]), []);
    assert_eq!(
        served(&["--status-listen=unix:/a", "--status-listen=unix:/b"]).len(),
        2
    );
    let empty = file("status_listen = []").expect("parses");
    assert_eq!(empty.to_args(), ["--status-listen=off"]);
    // The API is served without it where its path would be too long.
    let long = format!("--runtime-dir=/{}", "a".repeat(100));
    assert_eq!(served(&[&long, "--listen=unix:/a"]), []);
    let mixed = resolve(&["--status-listen=off", "--status-listen=unix:/a"]);
    let tcp = resolve(&["--status-listen=tcp:127.0.0.1:1"]);
    for (refused, says) in [
        (mixed, "\"off\" beside an address"),
        (
            tcp,
            "status_listen tcp:127.0.0.1:1: TCP is served with mutual TLS only",
        ),
    ] {
        let error = refused.expect_err("is refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}
