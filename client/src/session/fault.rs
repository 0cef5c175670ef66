//! What an error leaves open, and so what can be done about it. Pure.
//!
//! **Invariant:** what a repeat cannot mend is final; only what is known to have changed nothing, or can be asked for by name, is repeated.

use tonic::Code;

use crate::{StagepagesError, reason};

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Whether the call was applied is not known: ask, then perhaps send it again.
    Lost,
    /// Nothing was applied: send it again, later.
    Later,
    /// The number or the name is taken, or the number is not the next one: look it up, if a call of ours can have taken it.
    Taken,
    /// The answer stands.
    Final,
}

/// What `error` is.
pub(crate) fn fault(error: &StagepagesError) -> Fault {
    match (error.reason(), error.code()) {
        (Some(reason::HOST_UNREACHABLE | reason::DEADLINE_EXPIRED), _) => Fault::Lost,
        // Of a certificate that expired on an open connection: the daemon closes it, and the next one is made with the files as they are then.
        (
            Some(
                reason::DRAINING
                | reason::QUEUE_FULL
                | reason::NOT_APPLIED
                | reason::UNAUTHENTICATED,
            ),
            _,
        ) => Fault::Later,
        (
            Some(reason::OUT_OF_SEQUENCE | reason::SEQUENCE_CONFLICT | reason::REQUEST_ID_REUSED),
            _,
        ) => Fault::Taken,
        (Some(_), _) => Fault::Final,
        (None, _) if error.breaks_contract() => Fault::Final,
        // Not the daemon's word: of the connection, of something between, or of this process' own HTTP/2, which knows many codes for
        // a connection that is gone.
        (
            None,
            Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::Aborted
            | Code::DataLoss
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Ok,
        ) => Fault::Lost,
        (
            None,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated,
        ) => Fault::Final,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn only_what_can_be_mended_is_repeated() {
        for reason in reason::ALL {
            let error = StagepagesError::refused_here(Code::Internal, reason, "x".into(), []);
            let kept = match *reason {
                reason::HOST_UNREACHABLE | reason::DEADLINE_EXPIRED => Fault::Lost,
                reason::DRAINING
                | reason::QUEUE_FULL
                | reason::NOT_APPLIED
                | reason::UNAUTHENTICATED => Fault::Later,
                reason::OUT_OF_SEQUENCE | reason::SEQUENCE_CONFLICT | reason::REQUEST_ID_REUSED => {
                    Fault::Taken
                }
                _ => Fault::Final,
            };
            assert_eq!(fault(&error), kept, "{reason}");
            // "Later" says that nothing was applied.
            assert!(kept != Fault::Later || reason::installed_nothing(reason));
        }
    }

    #[test]
    fn a_lost_connection_is_repeated_whatever_the_code_and_a_broken_contract_never() {
        for status in [
            Status::unavailable("connection reset"),
            Status::unknown("transport error"),
            Status::internal("h2 protocol error"),
            Status::cancelled("stream"),
        ] {
            assert_eq!(fault(&status.into()), Fault::Lost);
        }
        assert_eq!(
            fault(&StagepagesError::bad_answer("9 of 8 pages")),
            Fault::Final
        );
        assert_eq!(fault(&Status::permission_denied("no").into()), Fault::Final);
    }
}
