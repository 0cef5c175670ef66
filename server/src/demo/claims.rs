//! The demo's own judgement: an answer is what the API promises, or the demo fails and says what came instead.
//!
//! **Invariant:** nothing that was promised is taken on trust; every number that is shown was compared first.

use std::fmt::{self, Debug};

use anyhow::{bail, ensure};
use stagepages_client::{StagepagesError, reason};
use tonic::Code;

/// Fails unless `got` is what was promised.
pub(super) fn promised<T: PartialEq + Debug + Copy>(
    what: &str,
    got: T,
    promise: T,
) -> anyhow::Result<()> {
    ensure!(
        got == promise,
        "a promise is broken: {what} should be {promise:?}, and is {got:?}"
    );
    Ok(())
}

/// A refusal that the contract promises: its code and its reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    code: Code,
    code_name: &'static str,
    reason: &'static str,
}

/// The first page exists.
pub(super) const ALREADY_INSTALLED: Refusal = Refusal {
    code: Code::AlreadyExists,
    code_name: "ALREADY_EXISTS",
    reason: reason::ALREADY_INSTALLED,
};
/// The launch digest is another one.
pub(super) const DIGEST_MISMATCH: Refusal = Refusal {
    code: Code::FailedPrecondition,
    code_name: "FAILED_PRECONDITION",
    reason: reason::DIGEST_MISMATCH,
};
/// A digest was to be checked, and there is none.
pub(super) const NO_DIGEST: Refusal = Refusal {
    code: Code::InvalidArgument,
    code_name: "INVALID_ARGUMENT",
    reason: reason::INVALID_LAUNCH,
};
/// The platform does not do that.
pub(super) const UNSUPPORTED_OPERATION: Refusal = Refusal {
    code: Code::Unimplemented,
    code_name: "UNIMPLEMENTED",
    reason: reason::UNSUPPORTED_OPERATION,
};
/// The launch is finished.
pub(super) const WRONG_STATE: Refusal = Refusal {
    code: Code::FailedPrecondition,
    code_name: "FAILED_PRECONDITION",
    reason: reason::WRONG_STATE,
};

impl Refusal {
    /// Fails unless `answer` is this refusal.
    pub(super) fn promised<T: Debug>(
        self,
        answer: Result<T, StagepagesError>,
    ) -> anyhow::Result<StagepagesError> {
        match answer {
            Err(error) if error.code() == self.code && error.reason() == Some(self.reason) => {
                Ok(error)
            }
            Err(error) => bail!("a promise is broken: the answer should be {self}, and is {error}"),
            Ok(answer) => {
                bail!("a promise is broken: the answer should be {self}, and is OK: {answer:?}")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.code_name, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_is_told_with_the_right_one() {
        promised("the count", 3, 3).expect("holds");
        let error = promised("the count", 4, 3)
            .expect_err("is broken")
            .to_string();
        assert!(error.contains("the count should be 3, and is 4"), "{error}");
    }

    #[test]
    fn another_answer_is_no_refusal() {
        WRONG_STATE.promised(Ok(1)).expect_err("is OK");
        let lost = StagepagesError::from(tonic::Status::unavailable("gone"));
        let error = WRONG_STATE
            .promised::<()>(Err(lost))
            .expect_err("is another one");
        assert!(
            error
                .to_string()
                .contains("FAILED_PRECONDITION / WRONG_STATE, and is"),
            "{error}"
        );
    }
}
