//! Requests to the daemon, and its configuration.

use stagepages_server::{config, rpc};

/// Most bytes of an error's details: clients cap metadata at twice as much.
const DETAILS: usize = 4096;

/// The first byte chooses the RPC; the rest is its request.
pub fn request(bytes: &[u8]) {
    let Some((which, message)) = bytes.split_first() else {
        return;
    };
    let Some(Err(status)) = rpc::fuzzing::check(*which, message) else {
        return;
    };
    assert!(!status.message().is_empty(), "an error without words");
    // ErrorInfo with a reason is in the details of each.
    assert!(
        (1..=DETAILS).contains(&status.details().len()),
        "{} bytes of details",
        status.details().len()
    );
}

/// All of it is the text of a configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = config::fuzzing::resolve(text) {
        let said = error.to_string();
        assert!(
            !said.is_empty() && said.len() < 4096,
            "{} bytes",
            said.len()
        );
        assert!(!said.contains(|c: char| c.is_control()), "{said:?}");
    }
}
