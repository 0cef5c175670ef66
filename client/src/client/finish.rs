//! The end of staging, and what firmware said to a page before it.
//!
//! **Invariant:** a CPUID page that firmware corrected is returned to be looked at, and never staged from here.

use bytes::Bytes;
use stagepages_proto::v1;

use super::{Client, launches::present};
use crate::{LaunchRef, StagepagesError};

/// What the end of staging is given. The default asks for no check and gives firmware nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinishArgs {
    /// The launch digest that the launch must have; empty for no check.
    pub expected_launch_digest: Bytes,
    /// What firmware is given at the end; only on sev-snp.
    pub sev_snp: Option<v1::SevSnpFinish>,
}

impl FinishArgs {
    /// Only a digest that is expected, or nothing if it is empty.
    #[must_use]
    pub fn expecting(digest: Bytes) -> Self {
        Self {
            expected_launch_digest: digest,
            sev_snp: None,
        }
    }
}

impl Client {
    /// Ends staging, if the launch digest is the expected one.
    ///
    /// # Errors
    /// DIGEST_MISMATCH and INVALID_LAUNCH (nothing changed), LAUNCH_NOT_FOUND, WRONG_STATE; KERNEL_REFUSED and FIRMWARE_REFUSED abort the launch.
    pub async fn finish_launch(
        &self,
        launch: &LaunchRef,
        args: FinishArgs,
    ) -> Result<v1::Launch, StagepagesError> {
        let request = self.request(v1::FinishLaunchRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
            expected_launch_digest: args.expected_launch_digest,
            sev_snp: args.sev_snp,
        });
        present(
            self.launches
                .clone()
                .finish_launch(request)
                .await?
                .into_inner()
                .launch,
        )
    }

    /// The CPUID page that firmware refused last, as it would have it.
    ///
    /// # Errors
    /// RESULT_NOT_FOUND (it refused none, or the launch is over), LAUNCH_NOT_FOUND, UNSUPPORTED_OPERATION.
    pub async fn rejected_cpuid(
        &self,
        launch: &LaunchRef,
    ) -> Result<v1::RejectedCpuid, StagepagesError> {
        let request = self.request(v1::GetRejectedCpuidRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
        });
        self.launches
            .clone()
            .get_rejected_cpuid(request)
            .await?
            .into_inner()
            .rejected
            .ok_or_else(|| StagepagesError::bad_answer("the answer lacks its page"))
    }
}
