//! A launch host's ears without its threads, for fuzzing: frames of a daemon, through the functions that the worker calls for them.
//!
//! **Invariant:** makes no file, no socket and no thread but those of a simulated launch, and no more memory than 1 MiB.

use std::path::PathBuf;

use stagepages_kvm::{GfnRange, Gpa};

use super::{HostConfig, PlatformSpec, Platforms, create, requests};
use crate::{
    launch::{AbortReason, CallKey, Extent, Launch, Reason, Refusal, Snapshot, StopFlag},
    platform::{Firmware, Platform, PlatformKind, Report, SimPlatform, SimScript, Source},
    protocol::{self, Command, Request, Stage},
    settings::FinishArgs,
    wire,
};

/// Most memory of a launch that is really made.
const MOST_BYTES: u64 = 1 << 20;

/// A host that has heard some frames.
#[derive(Debug)]
pub struct Ears {
    launch: Option<Launch>,
    config: HostConfig,
    stop: StopFlag,
}

fn malformed(error: &wire::CodecError) -> Refusal {
    Refusal::new(Reason::MalformedRequest, error.to_string())
}

/// Only `sim`, small, and without waiting.
struct Small;

impl Platforms for Small {
    fn probe(&self) -> Vec<Report> {
        Vec::new()
    }

    fn create(&self, spec: PlatformSpec<'_>) -> Result<Box<dyn Platform>, Refusal> {
        let bytes = spec.memory.regions().map(|region| region.bytes());
        let small = bytes.fold(0, u64::saturating_add) <= MOST_BYTES;
        if spec.kind != PlatformKind::Sim || !small {
            return Err(Refusal::new(Reason::PlatformUnavailable, "not made here"));
        }
        let sim = SimPlatform::new(spec.memory, SimScript::default(), Firmware::instant());
        let sim = sim.map_err(|error| Refusal::new(Reason::NoCapacity, error.to_string()))?;
        Ok(Box::new(sim))
    }
}

impl Default for Ears {
    fn default() -> Self {
        Self {
            launch: None,
            config: HostConfig {
                id: String::new(),
                runtime_dir: PathBuf::new(),
                chunk_pages: 16,
                log: String::new(),
                log_format: String::new(),
            },
            stop: StopFlag::default(),
        }
    }
}

impl Ears {
    /// Hears one frame.
    ///
    /// # Errors
    /// It is no request, or one that is refused.
    pub fn hear(&mut self, frame: &[u8]) -> Result<(), Refusal> {
        let request: Request = wire::decode(frame).map_err(|error| malformed(&error))?;
        let no_launch = || Refusal::new(Reason::WrongState, "no launch");
        match request.command.ok_or_else(no_launch)? {
            Command::Create(asked) if self.launch.is_none() => {
                let (launch, _) = create::create(&asked, &self.config, &Small, self.stop.clone())?;
                self.launch = Some(launch);
            }
            Command::Stage(stage) => self.stage(&stage)?,
            Command::ListRuns(list) => {
                let launch = self.launch.as_ref().ok_or_else(no_launch)?;
                let page = launch.runs(list.order(), list.from, list.hashes, list.most_runs());
                wire::encode(&protocol::RunsPage::from(&page))
                    .map_err(|error| malformed(&error))?;
            }
            Command::Verify(_) => {
                let launch = self.launch.as_ref().ok_or_else(no_launch)?;
                launch.verify(&|| {})?;
            }
            Command::SetVcpu(vcpu) => {
                self.launch
                    .as_mut()
                    .ok_or_else(no_launch)?
                    .set_vcpu(&vcpu)?;
            }
            Command::Finish(finish) => {
                let args = FinishArgs::new(&finish)?;
                let (launch, result) = self.launch.take().ok_or_else(no_launch)?.finish(&args);
                self.launch = Some(launch);
                result?;
            }
            Command::GetResult(get) => {
                let key = CallKey {
                    sequence: get.sequence,
                    request_id: protocol::request_id(&get.request_id)?,
                };
                self.launch.as_ref().ok_or_else(no_launch)?.result(&key)?;
            }
            Command::Abort(_) => {
                self.launch = self
                    .launch
                    .take()
                    .map(|launch| launch.abort(AbortReason::Requested));
            }
            Command::Create(_)
            | Command::Hello(_)
            | Command::Probe(_)
            | Command::EndStream(_)
            | Command::Staging(_)
            | Command::Ping(_)
            | Command::Bye(_)
            | Command::Start(_)
            | Command::Stop(_)
            | Command::ListenConsole(_)
            | Command::ConsoleInput(_)
            | Command::GetRejectedCpuid(_)
            | Command::Meter(_) => {}
        }
        Ok(())
    }

    fn stage(&mut self, stage: &Stage) -> Result<(), Refusal> {
        let key = CallKey {
            sequence: stage.sequence,
            request_id: protocol::request_id(&stage.request_id)?,
        };
        let page_type = protocol::page_type_from_number(stage.page_type)?;
        let range = GfnRange::from_bytes(Gpa::new(stage.gpa), stage.length)
            .map_err(|error| Refusal::new(Reason::InvalidExtent, error.to_string()))?;
        stage.image.as_ref().map(requests::pieces).transpose()?;
        let extent = Extent {
            range,
            page_type,
            source: Source::Blank,
            proof: None,
        };
        let Some(launch) = self.launch.take() else {
            return Ok(());
        };
        let (launch, result) = launch.stage(&key, &extent, &mut |_: Snapshot| {});
        self.launch = Some(launch);
        result.map(drop)
    }

    /// How many pages are installed.
    #[must_use]
    pub fn installed_pages(&self) -> u64 {
        let snapshot = self.launch.as_ref().map(Launch::snapshot);
        snapshot.map_or(0, |snapshot| snapshot.installed_pages)
    }
}
