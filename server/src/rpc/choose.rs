//! Which platform a launch gets.
//!
//! **Invariant:** `kvm` and `sim` are used only where they are named: what was meant to be confidential never comes into plain memory.

use stagepages_host::platform::PlatformKind;

use super::{LaunchApi, reason::Reason, status::ApiError};

impl LaunchApi {
    /// The platform to use: the named one, or a confidential one, and only if it works here.
    pub(super) async fn choose(
        &self,
        named: Option<PlatformKind>,
    ) -> Result<PlatformKind, ApiError> {
        let candidates: Vec<_> = match named {
            Some(platform) => vec![platform],
            None => PlatformKind::ALL
                .into_iter()
                .filter(|platform| platform.confidential())
                .collect(),
        };
        let mut missing = Vec::new();
        for platform in candidates {
            let checks = self.node.missing(platform).await;
            if checks.is_empty() {
                return Ok(platform);
            }
            missing.extend(checks.into_iter().map(|check| (platform, check)));
        }
        let what = named.map_or_else(
            || "no confidential platform works on this machine, and kvm and sim are used only where they are named".to_owned(),
            |platform| format!("platform {platform} does not work on this machine"),
        );
        let first: Vec<_> = missing
            .iter()
            .map(|(platform, check)| {
                format!(
                    "{platform} lacks {} ({}): {}",
                    check.subject, check.found, check.remedy
                )
            })
            .collect();
        let error = ApiError::new(
            Reason::PlatformUnavailable,
            format!("{what}; {}", first.join("; ")),
        );
        Err(missing.iter().fold(error, |error, (platform, check)| {
            error.precondition(
                "PLATFORM",
                &format!("{platform}: {}", check.subject),
                &format!("{}; {}", check.found, check.remedy),
            )
        }))
    }
}
