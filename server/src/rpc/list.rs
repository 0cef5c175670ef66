//! ListLaunches: launches in order of creation, a page at a time.

use stagepages_proto::v1;

use super::{LaunchApi, convert, reason::Reason, status::ApiError};
use crate::auth::Caller;
use crate::daemon::{Launch, Listing};

/// Launches of one answer, unless asked for otherwise.
const USUAL: usize = 100;
/// Launches of one answer, at most.
const MOST: usize = 1000;

/// States that a caller asks for, as a set of bits; none means all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct States(u32);

impl States {
    fn of(numbers: &[i32]) -> Option<Self> {
        numbers.iter().try_fold(Self(0), |states, number| {
            match v1::LaunchState::try_from(*number) {
                Ok(v1::LaunchState::Unspecified) | Err(_) => None,
                Ok(_) => Some(Self(states.0 | 1 << number)),
            }
        })
    }

    fn take(self, launch: &Launch) -> bool {
        let state: i32 = convert::state(launch.status().snapshot.state).into();
        self.0 == 0 || self.0 & (1 << state) != 0
    }

    /// Where a listing of these states goes on: behind the launch that was the n-th to be created.
    fn token(self, sequence: u64) -> String {
        format!("{:x}-{sequence:x}", self.0)
    }

    fn position(self, token: &str) -> Option<u64> {
        if token.is_empty() {
            return Some(0);
        }
        let (states, sequence) = token.split_once('-')?;
        (u32::from_str_radix(states, 16) == Ok(self.0))
            .then(|| u64::from_str_radix(sequence, 16).ok())
            .flatten()
    }
}

impl LaunchApi {
    pub(super) fn list(
        &self,
        caller: &Caller,
        request: &v1::ListLaunchesRequest,
    ) -> Result<v1::ListLaunchesResponse, ApiError> {
        let malformed = |field: &str, text: &str| {
            ApiError::new(Reason::MalformedRequest, format!("{field}: {text}")).field(field, text)
        };
        let states = States::of(&request.states)
            .ok_or_else(|| malformed("states", "an unspecified or unknown state"))?;
        let after = states.position(&request.page_token).ok_or_else(|| {
            malformed(
                "page_token",
                "is not one that ListLaunches returned for these states",
            )
        })?;
        let size = match usize::try_from(request.page_size) {
            Ok(0) => USUAL,
            Ok(size) => size.min(MOST),
            Err(_) => return Err(malformed("page_size", "is negative")),
        };
        let Listing {
            launches,
            unsettled,
        } = self.registry.list_of(&caller.tenant);
        let own = launches.into_iter();
        let wanted = own.filter(|launch| launch.sequence > after && states.take(launch));
        let mut found: Vec<_> = wanted.take(size + 1).collect();
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        Ok(v1::ListLaunchesResponse {
            launches: found.iter().map(|launch| launch.describe()).collect(),
            next_page_token: last
                .map(|last| states.token(last.sequence))
                .unwrap_or_default(),
            unsettled_launches: unsettled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_states_only() {
        let all = States::of(&[]).unwrap();
        let some = States::of(&[1, 6, 1]).unwrap();
        assert_eq!(some.position(&some.token(77)), Some(77));
        assert_eq!(all.position(&some.token(77)), None);
        assert_eq!(all.position("77"), None);
        assert_eq!(all.position(""), Some(0));
        assert_eq!(States::of(&[0]), None);
        assert_eq!(States::of(&[99]), None);
    }
}
