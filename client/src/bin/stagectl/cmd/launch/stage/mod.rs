//! `stagectl launch stage`: a file, or a run of pages without contents, into a launch.
//!
//! What is lost on the way is taken up again, by this command within `--retry-for`, and by the same command with the same `--session`
//! after it was killed.
//!
//! **Invariant:** succeeds only if every page is installed as wanted, by this command or before it; what was counted is shown however
//! it ends.

use std::{
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use stagepages_client::{
    LaunchRef,
    addr::{Gpa, parse_size},
    install::Job,
    plan::{Contents, Extent, FileSlice, Payload},
    session::{Options, RetryPolicy, SessionName},
    stage::{LengthError, whole_pages},
    v1,
};

use crate::{
    args::{self, Target},
    cli::Context,
    cmd::install::Bars,
    failure::Failure,
};

pub(crate) mod progress;
pub(crate) mod report;

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
    /// Send the contents with the calls, and not as an image that the daemon keeps for the next launch.
    #[arg(long, conflicts_with = "length")]
    no_store: bool,
}

impl Stage {
    /// Runs it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        self.fits_type()?;
        let extent = self.extent()?;
        let name = self.session.as_ref().map(SessionName::as_str);
        let client = context.client().await?;
        let launch = LaunchRef::from(&client.get_launch(&self.target.launch()).await?);
        let payload = match (self.page_type, self.no_store) {
            (args::PageType::Normal | args::PageType::Unmeasured, false) => {
                Payload::of_contents(extent.contents().clone())
            }
            _ => None,
        };
        let options = self.options(payload.is_some())?;
        let job = Job {
            audience: &Bars::new(context.output),
            client: &client,
            launch: &launch,
            options,
            pages: extent.pages(),
            payload,
            parts: |image| {
                let part = match image {
                    Some(image) => extent.part_from(image, 0),
                    None => extent.part(),
                };
                part.map(|part| vec![part])
            },
        };
        let installed = job.run().await?;
        let staged = Staged::new(&launch, name, &extent, &installed);
        context.output.document(&staged)?;
        staged
            .failure()
            .map_or(Ok(()), |failure| Err(failure.documented()))
    }

    /// `by_reference`, the name lasts also where nobody gave one: where an image is dropped while it is staged, a second session goes on.
    fn options(&self, by_reference: bool) -> Result<Options, Failure> {
        let name = match &self.session {
            Some(name) => name.clone(),
            None => {
                let name = SessionName::unique().map_err(|error| {
                    Failure::new(
                        format!("cannot make a name for the session: {error}"),
                        "give one with --session",
                    )
                })?;
                if by_reference { name.lasting() } else { name }
            }
        };
        Ok(Options {
            retry: retry(self.retry_for),
            ..Options::named(name)
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

    /// The pages.
    fn extent(&self) -> Result<Extent, Failure> {
        let page_type = v1::PageType::from(self.page_type);
        let extent = match &self.file {
            Some(path) => {
                let slice = self.slice(path)?;
                Extent::new(self.gpa, page_type, Contents::File(slice), "file")
            }
            None => {
                let length = self.length.unwrap_or(0);
                let pages = whole_pages(length).map_err(|error| {
                    Failure::usage(
                        format!("--length: {error}"),
                        "give whole pages, for example --length 4K",
                    )
                })?;
                Extent::zeros(self.gpa, page_type, pages, "pages")
            }
        };
        extent.ok_or_else(|| {
            Failure::usage(
                format!(
                    "pages from GPA {} on reach past the end of the address space",
                    self.gpa
                ),
                "stage inside one memory region: `stagectl launch get LAUNCH` lists them",
            )
        })
    }

    /// The file, of a length that can be staged.
    fn slice(&self, path: &Path) -> Result<FileSlice, Failure> {
        let (file, metadata) = open(path).map_err(|error| unreadable(path, &error))?;
        if !metadata.is_file() {
            return Err(Failure::new(
                format!("{} is not a regular file", path.display()),
                "stage a file, whose length is known beforehand",
            ));
        }
        let length = match (self.pad, metadata.len()) {
            (true, bytes) if bytes > 0 => Ok(bytes),
            (_, bytes) => whole_pages(bytes).map(|_pages| bytes),
        };
        let length = length.map_err(|error| wrong_length(path, error))?;
        Ok(FileSlice::new(Arc::new(file), 0, length))
    }
}

/// No repeat at all for no time.
pub(crate) fn retry(outage: Duration) -> RetryPolicy {
    match outage.is_zero() {
        true => RetryPolicy::never(),
        false => RetryPolicy::for_outage(outage),
    }
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
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
