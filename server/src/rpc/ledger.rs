//! ListInstalledPages: the host's ledger, put together from parts that fit its frames.

use stagepages_host::protocol::{self, Command, ListRuns, MAX_PAGE_HASHES, MAX_PAGE_RUNS, Outcome};
use stagepages_proto::v1;

use super::{LaunchApi, convert, reason::Reason, status::ApiError};

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
        request: v1::ListInstalledPagesRequest,
    ) -> Result<v1::ListInstalledPagesResponse, ApiError> {
        let launch = self.find(&request.name, &request.uid)?;
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
        loop {
            let max_runs = u32::try_from((wanted - response.runs.len()).min(MAX_PAGE_RUNS))
                .unwrap_or(u32::MAX);
            let list = ListRuns {
                by_installation,
                from,
                hashes: request.include_hashes,
                max_runs,
            };
            let outcome = self
                .ask(&launch, "list pages", Command::ListRuns(list))
                .await?;
            let Outcome::Runs(page) = outcome else {
                return Err(self.confused(&launch));
            };
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
