//! ListInstalledPages: the ledger, put together from parts that fit a frame of the private protocol.
//!
//! The parts come from the launch's host, or, when the launch is over, from the file that the daemon keeps. A launch may end between two of them.
//!
//! **Invariant:** a token says where in the ledger a listing goes on, and nothing of where the ledger is.

use std::io;

use stagepages_host::protocol::{self, Command, ListRuns, MAX_PAGE_HASHES, MAX_PAGE_RUNS, Outcome};
use stagepages_proto::v1;

use super::{LaunchApi, ask, convert, reason::Reason, stage::QUEUE_RETRY, status::ApiError};
use crate::auth::Caller;
use crate::daemon::{Ending, Kept, Launch, LinkLost, NotKept};

/// What is being done, for errors.
const DOING: &str = "list pages";

/// Runs of one answer.
const MAX_RUNS: usize = 1000;
/// Hashes of one answer.
const MAX_HASHES: usize = 16384;

/// Where a listing goes on: the order that it is in, and a position in it.
fn token(by_installation: bool, position: u64) -> String {
    format!("{}{position:x}", if by_installation { 'i' } else { 'g' })
}

fn position(by_installation: bool, token: &str) -> Option<u64> {
    if token.is_empty() {
        return Some(0);
    }
    let position = token.strip_prefix(if by_installation { 'i' } else { 'g' })?;
    u64::from_str_radix(position, 16).ok()
}

impl LaunchApi {
    pub(super) async fn ledger(
        &self,
        caller: &Caller,
        request: v1::ListInstalledPagesRequest,
    ) -> Result<v1::ListInstalledPagesResponse, ApiError> {
        let launch = self.find(caller, &request.name, &request.uid)?;
        let malformed = |field: &str, text: &str| {
            ApiError::new(Reason::MalformedRequest, format!("{field}: {text}"))
                .launch(&launch.id)
                .field(field, text)
        };
        let by_installation = match v1::LedgerOrder::try_from(request.order) {
            Ok(v1::LedgerOrder::Unspecified | v1::LedgerOrder::Gpa) => false,
            Ok(v1::LedgerOrder::Installation) => true,
            Err(_) => {
                return Err(malformed(
                    "order",
                    "must be LEDGER_ORDER_GPA or LEDGER_ORDER_INSTALLATION",
                ));
            }
        };
        let mut from = position(by_installation, &request.page_token).ok_or_else(|| {
            malformed(
                "page_token",
                "is not one that ListInstalledPages returned for this order",
            )
        })?;
        let wanted = match request.page_size {
            0 => MAX_RUNS,
            size => usize::try_from(size)
                .map_err(|_negative| malformed("page_size", "is negative"))?
                .min(MAX_RUNS),
        };
        let mut response = v1::ListInstalledPagesResponse::default();
        let mut hashes = 0;
        let mut source = Source::Host;
        loop {
            let max_runs = u32::try_from((wanted - response.runs.len()).min(MAX_PAGE_RUNS))
                .unwrap_or(u32::MAX);
            let list = ListRuns {
                by_installation,
                from,
                hashes: request.include_hashes,
                max_runs,
            };
            let page;
            (source, page) = self.part(&launch, source, list).await?;
            for run in page.runs {
                hashes += run.hashes.len() / 32;
                push(&mut response.runs, run)?;
            }
            match page.next {
                Some(next)
                    if response.runs.len() < wanted && hashes + MAX_PAGE_HASHES <= MAX_HASHES =>
                {
                    from = next;
                }
                Some(next) => {
                    response.next_page_token = token(by_installation, next);
                    break;
                }
                None => break,
            }
        }
        response.installed_pages = launch.status().snapshot.installed_pages;
        Ok(response)
    }
}

/// Where the parts of a listing come from.
enum Source {
    /// The launch's host, as long as the launch is not over.
    Host,
    /// The daemon's own file.
    Kept(Kept),
}

impl LaunchApi {
    async fn part(
        &self,
        launch: &Launch,
        source: Source,
        list: ListRuns,
    ) -> Result<(Source, protocol::RunsPage), ApiError> {
        let kept = match source {
            Source::Kept(kept) => kept,
            Source::Host => match self.host_runs(launch, list).await? {
                Some(page) => return Ok((Source::Host, page)),
                None => launch
                    .kept_ledger()
                    .await
                    .map_err(|why| not_kept(launch, &why))?,
            },
        };
        let listed = kept.list(list).await;
        let (kept, page) = listed.map_err(|error| not_kept(launch, &error))?;
        Ok((Source::Kept(kept), page))
    }

    /// What the host tells; `None` if the launch is over.
    async fn host_runs(
        &self,
        launch: &Launch,
        list: ListRuns,
    ) -> Result<Option<protocol::RunsPage>, ApiError> {
        if launch.status().ending.is_some() {
            return Ok(None);
        }
        let answer = match launch.link.call(Command::ListRuns(list), &[], None).await {
            Ok(answer) => answer,
            // Of one that ended with a word, the ledger may be kept; one that died takes it along.
            Err(LinkLost) => {
                let told =
                    launch.over().await && matches!(launch.status().ending, Some(Ending::Told));
                return if told {
                    Ok(None)
                } else {
                    Err(ask::lost(launch, DOING, true).await)
                };
            }
        };
        if answer.outcome.is_err() && launch.status().ending.is_some() {
            return Ok(None);
        }
        let Outcome::Runs(page) = ask::told(launch, answer)? else {
            return Err(self.confused(launch));
        };
        Ok(Some(page))
    }
}

/// What is told of a launch that is over and whose ledger cannot be read.
fn not_kept(launch: &Launch, why: &NotKept) -> ApiError {
    let state = launch.status().snapshot.state;
    let text = format!("cannot {DOING}: launch {} is {state}, and {why}", launch.id);
    let error = |reason| {
        ApiError::new(reason, text.clone())
            .launch(&launch.id)
            .meta("launch_state", state)
    };
    match why {
        NotKept::NotYet => error(Reason::HostUnreachable).retry_after(QUEUE_RETRY),
        NotKept::Busy => error(Reason::QueueFull).retry_after(QUEUE_RETRY),
        NotKept::Missing(_) => {
            error(Reason::WrongState).precondition("LAUNCH_STATE", &launch.id, &text)
        }
        NotKept::Unreadable(cause) => {
            let damaged = cause.kind() == io::ErrorKind::InvalidData;
            tracing::error!(launch = launch.id, %cause, damaged, "a kept ledger cannot be read");
            error(Reason::InternalError)
        }
    }
}

/// Adds a run; one that was cut to fit a frame is joined again.
fn push(runs: &mut Vec<v1::InstalledRun>, run: protocol::Run) -> Result<(), ApiError> {
    let page_type = protocol::page_type_from_number(run.page_type)
        .map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))?;
    let page_type: i32 = convert::page_type(page_type).into();
    if let Some(last) = runs.last_mut()
        && last.page_type == page_type
        && !last.uniform
        && !run.uniform
        && last.gpa + last.pages * stagepages_kvm::PAGE_SIZE == run.gpa
        && last.first_ordinal + last.pages == run.first_ordinal
    {
        last.pages += run.pages;
        last.page_hashes = [last.page_hashes.as_ref(), &run.hashes].concat().into();
        return Ok(());
    }
    runs.push(v1::InstalledRun {
        gpa: run.gpa,
        pages: run.pages,
        page_type,
        first_ordinal: run.first_ordinal,
        page_hashes: run.hashes.into(),
        uniform: run.uniform,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_order_only() {
        assert_eq!(position(true, &token(true, 77)), Some(77));
        assert_eq!(position(false, &token(false, 77)), Some(77));
        assert_eq!(position(false, &token(true, 77)), None);
        assert_eq!(position(true, ""), Some(0));
        assert_eq!(position(true, "garbage"), None);
    }
}
