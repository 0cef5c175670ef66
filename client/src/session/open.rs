//! Opening a session: the launch, the daemon's limits, and where a predecessor can have been.
//!
//! **Invariant:** a plan is checked whole before its first page is sent, as one call is by the daemon; a misplaced one installs nothing.

use stagepages_proto::v1::{Launch, LedgerOrder, OrderingMode};
use tonic::Code;

use super::{
    Options, Outcome, Part,
    feed::{Feed, MOST_DATA_PAGES},
    held::Held,
    machine::{Machine, Numbers, Tally},
    retry::Patience,
    run::{drive, patiently},
    wire::Wire,
};
use crate::{
    Client, LaunchRef, StagepagesError,
    addr::Gpa,
    reason,
    stage::{
        Pages, Progress, StageEnd,
        limits::CallLimits,
        placed::{check, refused},
    },
};

/// A session with one launch, ready to stage its plan.
#[derive(Debug)]
pub struct Session {
    client: Client,
    launch: LaunchRef,
    state: Launch,
    options: Options,
    held: Held,
    limits: CallLimits,
}

impl Session {
    /// Looks up the launch and the daemon's limits, and for a lasting name what is installed. Repeats what fails as [`Options::retry`] says.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, MALFORMED_REQUEST, or no answer.
    pub async fn open(
        client: &Client,
        launch: &LaunchRef,
        options: Options,
    ) -> Result<Self, StagepagesError> {
        let mut patience = Patience::new(options.retry);
        let info = patiently(&mut patience, || client.node_info()).await?;
        let limits = CallLimits::new(info.limits.as_ref(), MOST_DATA_PAGES)?;
        let state = patiently(&mut patience, || client.get_launch(launch)).await?;
        let launch = LaunchRef::from(&state);
        let held = if options.name.is_lasting() && state.installed_pages > 0 {
            let ledger = patiently(&mut patience, || {
                client.list_installed_pages(&launch, LedgerOrder::Gpa, false)
            })
            .await;
            match ledger {
                Ok(ledger) => Held::new(&ledger.runs),
                // It is over and its ledger was not kept, but the answers were.
                Err(error) if error.reason() == Some(reason::WRONG_STATE) => Held::unknown(),
                Err(error) => return Err(error),
            }
        } else {
            Held::nothing()
        };
        Ok(Self {
            client: client.clone(),
            launch,
            state,
            options,
            held,
            limits,
        })
    }

    /// The launch, with its uid.
    #[must_use]
    pub fn launch(&self) -> &LaunchRef {
        &self.launch
    }

    /// Stages `plan` in its order, telling `progress` after each answer. Parts must not overlap: a session stages a page once.
    ///
    /// Dropping the future loses what it counted; a session of the same lasting name gets it back.
    pub async fn stage(self, plan: Vec<Part<'_>>, mut progress: impl FnMut(Progress)) -> Outcome {
        let total = plan.iter().map(|part| part.source.pages()).sum();
        let start = plan.first().map_or(Gpa::new(0), |part| part.gpa);
        if let Err(error) = self.check(&plan) {
            return outcome(
                total,
                Tally::default(),
                start,
                Vec::new(),
                StageEnd::Failed(error),
            );
        }
        let spec = self.state.spec.as_ref();
        let numbers = match spec.map(|spec| spec.ordering()) {
            Some(OrderingMode::Sequenced) => Numbers::Unknown,
            Some(OrderingMode::Unordered | OrderingMode::Unspecified) | None => Numbers::None,
        };
        let Options {
            name,
            in_flight,
            retry,
        } = self.options;
        let mut machine = Machine::new(start, numbers, in_flight, name.is_lasting());
        let mut wire = Wire::new(self.client, self.launch, in_flight);
        let feed = Feed::new(name, self.held, self.limits, plan);
        drive(
            &mut machine,
            &mut wire,
            feed,
            Patience::new(retry),
            |tally| {
                progress(Progress {
                    installed: tally.installed,
                    identical: tally.identical,
                    total,
                });
            },
        )
        .await;
        let (tally, next, in_doubt) = (machine.tally(), machine.next_gpa(), machine.in_doubt());
        outcome(total, tally, next, in_doubt, machine.into_end())
    }

    fn check(&self, plan: &[Part<'_>]) -> Result<(), StagepagesError> {
        let regions = self.state.spec.as_ref().map(|spec| spec.regions.as_slice());
        for part in plan {
            self.limits.takes(&part.source)?;
        }
        let mut extents: Vec<Pages> = plan.iter().map(Part::pages).collect();
        for extent in &extents {
            check(&self.launch, regions.unwrap_or_default(), *extent)?;
        }
        extents.sort_unstable_by_key(|extent| extent.gpa);
        let overlap = extents.windows(2).find_map(|pair| match pair {
            [first, second] => {
                (first.gpa.plus_pages(first.count) > Some(second.gpa)).then_some(second.gpa)
            }
            _ => None,
        });
        overlap.map_or(Ok(()), |gpa| {
            let message = format!("two parts of the plan hold the page at GPA {gpa}");
            let code = Code::InvalidArgument;
            Err(refused(
                &self.launch,
                code,
                reason::INVALID_EXTENT,
                &message,
                gpa,
            ))
        })
    }
}

fn outcome(
    total_pages: u64,
    tally: Tally,
    next_gpa: Gpa,
    in_doubt: Vec<Pages>,
    end: StageEnd,
) -> Outcome {
    Outcome {
        total_pages,
        mine: tally.installed,
        identical: tally.identical,
        calls: tally.calls,
        data_bytes: tally.data_bytes,
        losses: tally.losses,
        next_gpa,
        in_doubt,
        end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service stages on tasks of a runtime with many threads.
    #[test]
    fn a_session_is_opened_and_staged_on_any_thread() {
        fn sent<T: Send>(_: &T) {}
        fn both(client: &Client, launch: &LaunchRef, session: Session, options: Options) {
            sent(&Session::open(client, launch, options));
            sent(&session.stage(Vec::new(), |_| {}));
        }
        // That it compiles is what is asserted.
        let _: fn(&Client, &LaunchRef, Session, Options) = both;
    }
}
