//! The command line: global options and the commands.
//!
//! **Invariant:** says what can be asked, and does none of it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use stagepages_client::{
    Client, Credentials, Endpoint,
    credentials::{
        CA_VARIABLE, CERT_VARIABLE, CredentialsError, KEY_VARIABLE, SERVER_NAME_VARIABLE,
    },
};

use crate::{args, cmd, failure::Failure, output::Output};

/// Stages launch images into confidential VMs, each page once.
#[derive(Debug, Parser)]
#[command(
    name = "stagectl",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit status: 0 if what was asked for is so, 1 if not, 2 if the command line is wrong."
)]
pub(crate) struct Cli {
    /// Where the daemon listens: unix:/path, or tcp:HOST:PORT with --ca, --cert and --key.
    ///
    /// Without it: STAGEPAGES_ENDPOINT, else api.sock in STAGEPAGES_RUNTIME_DIR, in XDG_RUNTIME_DIR/stagepages, in /run/stagepages
    /// (root) or in /tmp/stagepages-UID.
    #[arg(long, global = true, value_name = "ENDPOINT")]
    endpoint: Option<Endpoint>,
    #[command(flatten)]
    tls: TlsArgs,
    /// What to print: text for people, or one JSON document.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        default_value = "human"
    )]
    output: Output,
    /// Deadline of each call to the daemon, for example 30s. None by default.
    #[arg(long, global = true, value_name = "TIME", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Look at what this tenant has, for example device:sim-0; changes nothing, and takes the role overseer. Your own by default.
    // By another id than an argument of a command has, which would take its value from here.
    #[arg(long = "tenant", global = true, value_name = "TENANT")]
    look_at_tenant: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What TCP takes: mutual TLS. The files are read again for each connection.
#[derive(Clone, Debug, Args)]
struct TlsArgs {
    /// CAs of the daemon's certificate, PEM [else: STAGEPAGES_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate to connect with, PEM [else: STAGEPAGES_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key, PEM [else: STAGEPAGES_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Name, address or SPIFFE ID in the daemon's certificate, where it is not the endpoint's host [else: STAGEPAGES_SERVER_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    server_name: Option<String>,
}

impl TlsArgs {
    /// What was given, and for the rest what the environment names.
    fn credentials(&self) -> Result<Option<Credentials>, CredentialsError> {
        let Self {
            ca,
            cert,
            key,
            server_name,
        } = self.clone();
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let file = |given: Option<PathBuf>, name| given.or_else(|| variable(name).map(Into::into));
        let named = variable(SERVER_NAME_VARIABLE).map(|it| it.to_string_lossy().into_owned());
        Credentials::of(
            file(ca, CA_VARIABLE),
            file(cert, CERT_VARIABLE),
            file(key, KEY_VARIABLE),
            server_name.or(named),
        )
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what this machine and its daemon can do.
    Node,
    /// Create, look at and end launches.
    #[command(subcommand)]
    Launch(cmd::launch::LaunchCommand),
    /// Show what staging an image would do and what is wrong with it, without a daemon.
    Plan(Box<cmd::plan::PlanImage>),
    /// Print the launch digest that an image ends in, without a daemon.
    Digest(Box<cmd::digest::Digest>),
    /// Create a launch, stage an image into it, and finish it under the image's digest.
    Stage(Box<cmd::stage::Stage>),
    /// Compare a launch with the image that it should hold, or two images: where is the first page that differs?
    Diff(Box<cmd::diff::Diff>),
    /// Store, list and remove images, so that launches stage them without their travelling again.
    #[command(subcommand)]
    Image(cmd::image::ImageCommand),
    /// Make and check the signed identity of an SEV-SNP guest.
    #[command(subcommand)]
    IdBlock(cmd::id_block::IdBlockCommand),
    /// Check the daemon's audit log.
    #[command(subcommand)]
    Audit(cmd::audit::AuditCommand),
    /// Print completions for a shell.
    Completions(cmd::completions::Completions),
}

/// What every command needs from the global options.
#[derive(Debug)]
pub(crate) struct Context {
    endpoint: Option<Endpoint>,
    tls: TlsArgs,
    timeout: Option<Duration>,
    look_at_tenant: Option<String>,
    /// Where documents go.
    pub(crate) output: Output,
}

impl Cli {
    /// The global options.
    pub(crate) fn context(&self) -> Context {
        Context {
            endpoint: self.endpoint.clone(),
            tls: self.tls.clone(),
            timeout: self.timeout,
            look_at_tenant: self.look_at_tenant.clone(),
            output: self.output,
        }
    }
}

impl Context {
    /// Connects to the daemon that was named, or to the one found by convention.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Endpoint::from_environment()?,
        };
        let credentials = self.tls.credentials()?;
        let client = Client::connect_with(&endpoint, credentials.as_ref()).await?;
        // As other tools take it from their shell.
        let traceparent = std::env::var("TRACEPARENT").ok();
        Ok(client
            .with_timeout(self.timeout)
            .with_traceparent(traceparent.as_deref())
            .with_tenant(self.look_at_tenant.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn documented_command_lines_are_taken() {
        for line in [
            "stagectl node --output json",
            "stagectl --endpoint unix:/run/x.sock launch create vm-1 --platform sim --memory 0x0+64M --memory 0xffc00000+4M --label owner=me --page-latency 1ms",
            "stagectl launch create --memory 0x0+1G",
            "stagectl launch create vm-1 --platform sim --memory 0x0+1G --ordering sequenced --lease 1h",
            "stagectl node --endpoint tcp:node-1.example:7070 --ca ca.crt --cert me.crt --key me.key --server-name spiffe://prod/node",
            "stagectl launch watch vm-1 --output json",
            "stagectl launch renew vm-1",
            "stagectl launch result vm-1 --sequence 0",
            "stagectl launch result vm-1 --request-id boot:0.0.1234",
            "stagectl launch stage vm-1 OVMF.fd --gpa 0xffc00000 --type normal --session boot --retry-for 5m",
            "stagectl launch get launches/vm-1",
            "stagectl launch list --state staging --state CREATED",
            "stagectl launch finish vm-1 --expect-digest 00ff",
            "stagectl launch verify vm-1 --timeout 30s",
            "stagectl launch abort vm-1 --uid 0123",
            "stagectl launch delete vm-1",
            "stagectl launch pages vm-1 --order installation --hashes",
            "stagectl launch pages vm-1 --map --svg vm-1.svg",
            "stagectl launch stage vm-1 OVMF.fd --gpa 0xffc00000 --type normal --pad",
            "stagectl launch stage vm-1 --gpa 0x1000 --type zero --length 4K",
            "stagectl launch create vm-1 --platform kvm --memory 0x0+1M --vcpus 2 --vcpu 0=real:0x0:0x1000 --vcpu 1=long:0x100000:0x1000:0x9000,rsi=0x7000",
            "stagectl launch set-vcpu vm-1 0=reset",
            "stagectl launch start vm-1",
            "stagectl launch console vm-1 --output json",
            "stagectl launch stop vm-1 --uid 0123",
            "stagectl launch create vm-1 --platform sev-snp --memory 0x0+1G --snp-policy smt,single-socket,abi=1.55 --snp-vmsa-features 0x200 --snp-ghcb-version 2 --snp-gosvw 000102030405060708090a0b0c0d0e0f",
            "stagectl launch create vm-1 --platform tdx --memory 0x0+1G --tdx-attributes 0x10000000 --tdx-xfam 0x7 --tdx-cpuid 0x80000008:0x300000:0:0:0 --tdx-cpuid 7.0:0:1:2:3 --vcpu 0=tdx:0x809000",
            "stagectl launch set-vcpu vm-1 0=tdx:0x809000",
            "stagectl launch finish vm-1 --snp-id-block id.block --snp-id-auth id.auth --snp-author-key --snp-vcek-disabled",
            "stagectl launch rejected-cpuid vm-1 --page corrected --output json",
            "stagectl launch stage vm-1 cpuid --gpa 0x80f000 --type cpuid --pad",
            "stagectl launch stage vm-1 --gpa 0x80e000 --type secrets --length 4K",
            "stagectl plan OVMF.fd --sweep-vcpus 1,2,64 --sweep-types EPYC-v4,25:1:1,0xa00f11 --output json",
            "stagectl digest OVMF.fd --platform sev-snp --vcpus 4 --vcpu-type EPYC-Milan --kernel bzImage --initrd initrd --append console=ttyS0 --guest-features 0x21",
            "stagectl stage vmlinux --launch vm-1 --platform kvm --memory 0x0+1G --initrd initrd --start",
            "stagectl stage guest.toml --no-finish --retry-for 0s",
            "stagectl diff vm-1 OVMF.fd --platform sev-snp --vcpus 4 --kernel bzImage --append quiet --prefix",
            "stagectl diff --images a.elf b.elf --platform sim",
            "stagectl id-block check --block id.block --auth id.auth --policy smt --author-key",
            "stagectl audit verify /var/lib/stagepages/audit",
            "stagectl audit verify --expect-head 7:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff a.jsonl b.jsonl --output json",
            "stagectl completions bash",
            "stagectl image push OVMF.fd --upload-id ci-7 --retry-for 30s",
            "stagectl image list --output json",
            "stagectl image get sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "stagectl image rm images/sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "stagectl image grant sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff blue",
            "stagectl stage guest.toml --no-store",
            "stagectl launch stage vm-1 OVMF.fd --gpa 0xffc00000 --type normal --no-store",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_command_lines_are_usage_errors() {
        for line in [
            "stagectl",
            "stagectl launch create vm-1",
            "stagectl launch create vm-1 --memory 64M",
            "stagectl launch create vm-1 --memory 0x0+64M --platform xen",
            "stagectl launch create vm-1 --memory 0x0+64M --label owner",
            "stagectl launch finish vm-1 --expect-digest 0g",
            "stagectl launch create vm-1 --memory 0x0+64M --vcpu 0=wide:0:0",
            "stagectl launch set-vcpu vm-1",
            "stagectl launch set-vcpu vm-1 reset",
            "stagectl launch create vm-1 --memory 0x0+64M --snp-policy smt,smp",
            "stagectl launch create vm-1 --memory 0x0+64M --snp-ghcb-version 1",
            "stagectl launch create vm-1 --memory 0x0+64M --snp-gosvw 00",
            "stagectl launch create vm-1 --memory 0x0+64M --tdx-mrowner 00",
            "stagectl launch create vm-1 --memory 0x0+64M --tdx-cpuid 7",
            "stagectl launch set-vcpu vm-1 0=tdx",
            "stagectl launch finish vm-1 --snp-id-block id.block",
            "stagectl launch finish vm-1 --snp-id-auth id.auth",
            "stagectl launch finish vm-1 --snp-author-key",
            "stagectl launch finish vm-1 --snp-host-data 00",
            "stagectl launch rejected-cpuid",
            "stagectl id-block check --block id.block",
            "stagectl id-block create --digest 00 --id-key k --out-block b --out-auth a",
            "stagectl launch console",
            "stagectl launch result vm-1",
            "stagectl launch result vm-1 --sequence 0 --request-id a",
            "stagectl launch stage vm-1 image --gpa 0x0 --type normal --session a/b",
            "stagectl launch stage vm-1 image --type normal",
            "stagectl launch stage vm-1 image --gpa 0x0 --type vmsa",
            "stagectl stage OVMF.fd --no-finish --start",
            "stagectl stage",
            "stagectl plan OVMF.fd --sweep-vcpus 0",
            "stagectl launch pages vm-1 --map --hashes",
            "stagectl diff vm-1",
            "stagectl diff --images a b --uid 0123",
            "stagectl diff --images a b --prefix",
            "stagectl --timeout 5 node",
            "stagectl audit verify",
            "stagectl audit verify --expect-head 7 audit.jsonl",
            "stagectl image push",
            "stagectl image grant sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "stagectl image rm",
            "stagectl image rm images/sha256:00",
            "stagectl launch stage vm-1 --gpa 0x1000 --type zero --length 4K --no-store",
            "stagectl --endpoint /run/x.sock node",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
