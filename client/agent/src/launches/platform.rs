//! Whether this node can hold launches of a platform at all: a pod that was put on the wrong node waits for a device in vain.
//!
//! **Invariant:** a daemon that does not say so is not believed to lack anything.

use stagepages_client::{Client, reason, v1};
use tokio::time::timeout;

use super::{Context, life::Life};
use crate::{fault::Fault, kubelet::daemon::problem, resources::Platform};

/// For the daemon's answer.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(10);

impl Life {
    /// Why there is no device for it here, if there can be none.
    pub(super) async fn without_platform(&self) -> Option<Fault> {
        let platform = self.launch.spec.platform;
        let answer = timeout(ANSWER, lacks(&self.context, platform)).await;
        let lacks = answer.ok().flatten()?;
        let text = format!(
            "the node {} has no stagepages.dev/{} to give: {lacks}. Mend that, or create Pod and ConfidentialLaunch anew for a node that has some",
            self.context.node,
            platform.word()
        );
        Some(Fault::passing(reason::PLATFORM_UNAVAILABLE, text))
    }
}

/// What of the platform is lacking.
async fn lacks(context: &Context, platform: Platform) -> Option<String> {
    let client = Client::connect(&context.endpoint).await.ok()?;
    let info = client.node_info().await.ok()?;
    let wanted = v1::Platform::from(platform);
    let found = info.platforms.iter().find(|it| it.platform() == wanted);
    let Some(found) = found else {
        return Some("its daemon does not know this platform; bring it up to date".to_owned());
    };
    let none = || {
        format!(
            "its daemon serves no devices of it; add \"{}=N\" to devices in the daemon's configuration",
            platform.word()
        )
    };
    problem(found, false).or_else(|| (found.devices == 0).then(none))
}
