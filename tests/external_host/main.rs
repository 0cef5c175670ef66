//! A VMM that is the launch host of its own VM, in as few lines as that takes: what `[host.kvm] program` can name.
//!
//! It makes a KVM VM its own way and stages into it through the library; it has no devices and so runs no guest, and says so. The suite `conformance`
//! holds it to the same promises as the built-in host.
#![forbid(unsafe_code)]

mod vmm;

use std::process::ExitCode;

use stagepages_host::{
    serve::{self, HostConfig},
    wire::{SeqListener, take_stdin},
};

fn main() -> ExitCode {
    match host() {
        Ok(ended) => ended.exit_code().into(),
        Err(error) => {
            // Where a supervisor's children write what people should see.
            drop(std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("external-host: {error}\n"),
            ));
            ExitCode::FAILURE
        }
    }
}

fn host() -> Result<serve::Ended, Box<dyn std::error::Error>> {
    let config = HostConfig::from_args(std::env::args_os())?;
    let listener = SeqListener::from(take_stdin()?);
    Ok(serve::run(listener, config, Box::new(vmm::Vmm))?)
}
