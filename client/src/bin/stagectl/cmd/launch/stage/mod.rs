//! `stagectl launch stage`: a file, or a run of pages without contents, into a launch.
//!
//! What is lost on the way is taken up again, by this command within `--retry-for`, and by the same command with the same `--session`
//! after it was killed.
//!
//! **Invariant:** succeeds only if every page is installed as wanted, by this command or before it; what was counted is shown however
//! it ends.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use stagepages_client::{
    addr::{Gpa, parse_size},
    session::{Options, Part, RetryPolicy, Session, SessionName},
    stage::{LengthError, Source},
    v1,
};
use tokio::fs::File;

use crate::{
    args::{self, Target},
    cli::Context,
    failure::Failure,
};

pub(crate) mod progress;
pub(crate) mod report;

use progress::Bar;
use report::Staged;

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Stage {
    #[command(flatten)]
    target: Target,
    /// The file with the contents; not for zero and secrets pages.
    #[arg(
        value_name = "FILE",
        conflicts_with = "length",
        required_unless_present = "length"
    )]
    file: Option<PathBuf>,
    /// Address of the first page.
    #[arg(long, value_name = "GPA")]
    gpa: Gpa,
    /// Type of every page.
    #[arg(long = "type", value_enum, ignore_case = true, value_name = "TYPE")]
    page_type: args::PageType,
    /// Stage this many bytes without contents, for example 1M: zero and secrets pages, and zeros that are normal pages.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    length: Option<u64>,
    /// Fill the last page up with zeros if the file does not.
    #[arg(long, conflicts_with = "length")]
    pad: bool,
    /// A name, 1 to 32 of A-Z a-z 0-9 . _ -, under which the same command goes on after it was killed, and counts as its own what it
    /// installed before. One name is for one source, and for one process at a time.
    #[arg(long, value_name = "NAME")]
    session: Option<SessionName>,
    /// How long to try again without a page of progress, for example 30s; 0s gives up at the first failure.
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2m")]
    retry_for: Duration,
}

impl Stage {
    /// Runs it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        self.fits_type()?;
        let source = self.source().await?;
        let options = self.options()?;
        let name = self.session.as_ref().map(SessionName::as_str);
        let client = context.client().await?;
        let session = Session::open(&client, &self.target.launch(), options).await?;
        let launch = session.launch().clone();
        let page_type = v1::PageType::from(self.page_type);

        let bar = Bar::new(context.output, source.pages());
        let part = Part {
            gpa: self.gpa,
            page_type,
            source,
        };
        let outcome = session
            .stage(vec![part], |progress| bar.show(progress))
            .await;
        bar.close();

        let staged = Staged::new(&launch, name, self.gpa, page_type, &outcome);
        context.output.document(&staged)?;
        staged
            .failure()
            .map_or(Ok(()), |failure| Err(failure.documented()))
    }

    fn options(&self) -> Result<Options, Failure> {
        let options = match &self.session {
            Some(name) => Options::named(name.clone()),
            None => Options::unnamed().map_err(|error| {
                Failure::new(
                    format!("cannot make a name for the session: {error}"),
                    "give one with --session",
                )
            })?,
        };
        Ok(Options {
            retry: retry(self.retry_for),
            ..options
        })
    }

    /// Whether the page type takes what was given: a file or a length.
    fn fits_type(&self) -> Result<(), Failure> {
        match (self.page_type, &self.file) {
            (args::PageType::Zero | args::PageType::Secrets, Some(_)) => Err(Failure::usage(
                "zero and secrets pages take no file",
                "give their length with --length, for example --length 4K",
            )),
            (args::PageType::Unmeasured | args::PageType::Cpuid, None) => Err(Failure::usage(
                "unmeasured and cpuid pages need a file",
                "give a FILE instead of --length",
            )),
            _ => Ok(()),
        }
    }

    async fn source(&self) -> Result<Source<'static>, Failure> {
        match (&self.file, self.length) {
            (Some(path), _) => {
                let (file, metadata) =
                    open(path).await.map_err(|error| unreadable(path, &error))?;
                if !metadata.is_file() {
                    return Err(Failure::new(
                        format!("{} is not a regular file", path.display()),
                        "stage a file, whose length is known beforehand",
                    ));
                }
                let bytes = metadata.len();
                let source = match self.pad {
                    true => Source::padded(file, bytes),
                    false => Source::data(file, bytes),
                };
                source.map_err(|error| wrong_length(path, error))
            }
            (None, length) => Source::length_only(length.unwrap_or(0)).map_err(|error| {
                Failure::usage(
                    format!("--length: {error}"),
                    "give whole pages, for example --length 4K",
                )
            }),
        }
    }
}

/// No repeat at all for no time.
pub(crate) fn retry(outage: Duration) -> RetryPolicy {
    match outage.is_zero() {
        true => RetryPolicy::never(),
        false => RetryPolicy::for_outage(outage),
    }
}

async fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    Ok((file, metadata))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("cannot read {}: {error}", path.display()),
        "give a file that this user can read",
    )
}

fn wrong_length(path: &Path, error: LengthError) -> Failure {
    let hint = match error {
        LengthError::Empty => "give a file with something in it",
        LengthError::PartOfPage(_) => "--pad fills the last page up with zeros",
        LengthError::Misplaced(_) => "give an offset of whole pages",
    };
    Failure::new(format!("{}: {error}", path.display()), hint)
}
