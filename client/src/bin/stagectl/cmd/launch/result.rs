//! `stagectl launch result`: the answer that a staging call got, as the launch host keeps it.
//!
//! JSON: `{"launch", "sequence", "request_id", "installed_pages", "next_gpa", "stop": {"gpa", "page_type", "identical", "identical_pages"},
//! "error": {…}}`. Null are: the one of `sequence` and `request_id` that was not asked for, `stop` for a whole count, `next_gpa` with an
//! `error`, and `installed_pages` if the error does not tell it.
//!
//! **Invariant:** succeeds if the answer is known, also where that answer is the error that ended the launch.

use std::fmt;

use serde::Serialize;
use stagepages_client::{CallName, LaunchRef, StagepagesError, addr::Gpa, plain, v1, words};

use crate::{
    args::Target,
    cli::Context,
    failure::Failure,
    json::{ErrorDetails, ErrorDocument},
};

/// The command line.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("call").required(true))]
pub(crate) struct ResultOf {
    #[command(flatten)]
    target: Target,
    /// The number of the call, on a SEQUENCED launch.
    #[arg(long, group = "call", value_name = "N")]
    sequence: Option<u64>,
    /// The request id of the call.
    #[arg(long, group = "call", value_name = "ID")]
    request_id: Option<String>,
}

impl ResultOf {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = self.target.launch();
        let call = match (self.sequence, self.request_id) {
            (Some(number), _) => CallName::Sequence(number),
            (None, id) => CallName::RequestId(id.unwrap_or_default()),
        };
        let client = context.client().await?;
        let answer = client.stage_result(&launch, &call).await?;
        Ok(context
            .output
            .document(&Kept::new(&launch, &call, &answer))?)
    }
}

#[derive(Debug, Serialize)]
struct Kept {
    launch: String,
    sequence: Option<u64>,
    request_id: Option<String>,
    installed_pages: Option<u64>,
    next_gpa: Option<String>,
    stop: Option<StopDocument>,
    error: Option<ErrorDetails>,
}

#[derive(Debug, Serialize)]
struct StopDocument {
    gpa: String,
    page_type: String,
    identical: bool,
    identical_pages: u64,
}

impl Kept {
    fn new(
        launch: &LaunchRef,
        call: &CallName,
        answer: &Result<v1::StagePagesResponse, StagepagesError>,
    ) -> Self {
        let (sequence, request_id) = match call {
            CallName::Sequence(number) => (Some(*number), None),
            CallName::RequestId(id) => (None, Some(id.clone())),
        };
        let result = answer.as_ref().ok();
        let error = answer.as_ref().err();
        Self {
            launch: launch.name().to_owned(),
            sequence,
            request_id,
            installed_pages: match answer {
                Ok(result) => Some(result.installed_pages),
                Err(error) => error.installed_pages(),
            },
            next_gpa: result.map(|it| Gpa::new(it.next_gpa).to_string()),
            stop: result.and_then(|it| it.stop.as_ref()).map(stop),
            error: error.map(|error| ErrorDocument::from(error).error),
        }
    }
}

fn stop(stop: &v1::StageStop) -> StopDocument {
    StopDocument {
        gpa: Gpa::new(stop.gpa).to_string(),
        page_type: words::page_type(stop.page_type).into(),
        identical: stop.identical,
        identical_pages: stop.identical_pages,
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.installed_pages {
            Some(pages) => write!(f, "{pages} pages installed")?,
            None => write!(f, "pages installed: not told")?,
        }
        if let Some(next) = &self.next_gpa {
            write!(f, ", next GPA {next}")?;
        }
        if let Some(stop) = &self.stop {
            write!(
                f,
                "; stopped by the {} page at GPA {}",
                stop.page_type, stop.gpa
            )?;
            match stop.identical_pages {
                0 => write!(f, ", which differs")?,
                pages => write!(f, ", as wanted like {pages} pages from there on")?,
            }
        }
        match &self.error {
            Some(error) => write!(f, "\nthe call ended with: {}", plain(&error.what)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn a_kept_answer_is_shown_whole() {
        let answer = Ok(v1::StagePagesResponse {
            installed_pages: 3,
            next_gpa: 0x4000,
            stop: Some(v1::StageStop {
                gpa: 0x4000,
                page_type: v1::PageType::Normal.into(),
                identical: true,
                identical_pages: 2,
            }),
        });
        let kept = Kept::new(&LaunchRef::from("vm"), &CallName::Sequence(4), &answer);
        assert_eq!(
            kept.to_string(),
            "3 pages installed, next GPA 0x4000; stopped by the NORMAL page at GPA 0x4000, as wanted like 2 pages from there on"
        );
        let json = serde_json::to_value(&kept).unwrap();
        assert_eq!(
            (&json["sequence"], &json["stop"]["identical_pages"]),
            (&4.into(), &2.into())
        );
        assert!(json["request_id"].is_null() && json["error"].is_null());
    }

    #[test]
    fn an_answer_that_ended_the_launch_is_an_answer() {
        let answer = Err(StagepagesError::from(Status::internal("KERNEL_REFUSED: x")));
        let call = CallName::RequestId("a".into());
        let kept = Kept::new(&LaunchRef::from("vm"), &call, &answer);
        assert!(kept.to_string().contains("ended with: KERNEL_REFUSED"));
        let json = serde_json::to_value(&kept).unwrap();
        assert!(json["installed_pages"].is_null() && json["next_gpa"].is_null());
        assert_eq!(json["error"]["code"], "INTERNAL");
    }
}
