//! Requests to the daemon, its configuration and its policy.

use stagepages_server::{auth::Policy, config, net::PeerInfo, rpc};

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
        is_a_line(&error.to_string());
    }
}

/// A user and a group whom nobody names by chance.
const STRANGER: u32 = 4_294_967_293;

/// All of it is the text of a policy.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Policy::parse(text) {
        Err(error) => is_a_line(&error.to_string()),
        Ok(policy) => {
            let stranger = PeerInfo::Unix {
                uid: STRANGER,
                gid: STRANGER,
                pid: None,
            };
            // Its digits could be written as escapes, too.
            let unnamed = !text.contains("429496") && !text.contains('\\');
            assert!(!unnamed || policy.of(&stranger).is_none(), "{text}");
        }
    }
}

fn is_a_line(said: &str) {
    assert!(
        !said.is_empty() && said.len() < 4096,
        "{} bytes",
        said.len()
    );
    assert!(!said.contains(|c: char| c.is_control()), "{said:?}");
}
