//! `stagectl image push`: a file into the daemon's store, under its SHA-256.
//!
//! JSON: `{"name", "size", "was_there", "sent_bytes", "zero_bytes", "resumed_at"}`, all in bytes.
//!
//! **Invariant:** succeeds only if the image is stored.

use std::{fmt, fs::File, io, path::PathBuf, time::Duration};

use serde::Serialize;
use stagepages_client::{
    addr::Size,
    images::{LocalImage, PushError, PushOptions, Pushed},
    plan::FileSlice,
};

use crate::{
    args,
    cli::Context,
    cmd::{
        install::unreadable,
        launch::stage::{progress::BytesBar, retry},
    },
    failure::Failure,
};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The file. All of it is the image; to stage it, its length has to be whole pages.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A name of 1 to 64 characters under which the same command goes on after it was killed. Without it, it follows from user, machine and image.
    #[arg(long, value_name = "ID")]
    upload_id: Option<String>,
    /// How long to try again without headway, for example 30s; 0s gives up at the first failure.
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2m")]
    retry_for: Duration,
}

#[derive(Debug, Serialize)]
struct Document {
    name: String,
    size: u64,
    was_there: bool,
    sent_bytes: u64,
    zero_bytes: u64,
    resumed_at: u64,
}

impl From<Pushed> for Document {
    fn from(pushed: Pushed) -> Self {
        Self {
            name: pushed.image.name,
            size: pushed.image.size,
            was_there: pushed.was_there,
            sent_bytes: pushed.sent_bytes,
            zero_bytes: pushed.zero_bytes,
            resumed_at: pushed.resumed_at,
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size) = (&self.name, Size(self.size));
        if self.was_there {
            return write!(f, "{name}: stored before, {size}; nothing travelled");
        }
        write!(
            f,
            "{name}: stored, {size}; {} travelled",
            Size(self.sent_bytes)
        )?;
        if self.zero_bytes > 0 {
            write!(f, ", {} of zeros did not", Size(self.zero_bytes))?;
        }
        if self.resumed_at > 0 {
            write!(f, ", {} had before", Size(self.resumed_at))?;
        }
        Ok(())
    }
}

impl Push {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = self.file.display();
        let slice = self.open().map_err(|error| {
            let what = format!("cannot read {path}: {error}");
            Failure::new(what, "give a regular file that this user can read")
        })?;
        if slice.length() == 0 {
            let what = format!("{path} is empty");
            return Err(Failure::new(what, "give a file with something in it"));
        }
        let client = context.client().await?;
        let bar = BytesBar::new(context.output, "hashing", slice.length());
        let image = LocalImage::of(slice, |done| bar.show(done)).await;
        bar.close();
        let image = image.map_err(|error| unreadable(&PushError::Unreadable(error)))?;
        let options = PushOptions {
            upload_id: self.upload_id,
            retry: retry(self.retry_for),
        };
        let bar = BytesBar::new(context.output, "pushing", image.size());
        let pushed = client
            .push_image(&image, &options, |done| bar.show(done))
            .await;
        bar.close();
        match pushed {
            Ok(pushed) => Ok(context.output.document(&Document::from(pushed))?),
            Err(PushError::Refused(error)) => Err(error.into()),
            Err(error @ PushError::Unreadable(_)) => Err(unreadable(&error)),
        }
    }

    fn open(&self) -> io::Result<FileSlice> {
        let file = File::open(&self.file)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        FileSlice::whole(file)
    }
}
