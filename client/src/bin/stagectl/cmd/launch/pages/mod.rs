//! `stagectl launch pages`: the ledger.
//!
//! With `--map` the picture of the memory in place of the list, with `--svg FILE` the same in a file.
//!
//! JSON: `{"installed_pages": N, "svg": FILE or null, "runs": [{"gpa", "pages", "page_type", "first_ordinal", "uniform", "hashes"}]}`. `hashes` has one
//! BLAKE3-256 in hex for each page of the run, or one for all of them where `uniform` is true; it is empty without `--hashes`, and for
//! SECRETS and UNMEASURED pages, whose hashes never leave the launch host.
//!
//! **Invariant:** shows the runs as the daemon cut them, in its order.

use std::fmt;

use serde::Serialize;
use stagepages_client::{
    InstalledPages, LaunchRef,
    addr::{Gpa, PAGE_BYTES, Region, Size},
    picture::Drawing,
    plain, v1, words,
};

use crate::{
    args::{Order, Target},
    cli::Context,
    failure::Failure,
    json::hex,
    picture::{Drawn, Picture},
    table::Table,
};

/// Bytes of one hash.
const HASH: usize = 32;

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Pages {
    #[command(flatten)]
    target: Target,
    /// The order.
    #[arg(long, value_enum, value_name = "ORDER", default_value = "gpa")]
    order: Order,
    /// Show the hash of each page.
    #[arg(long, conflicts_with = "map")]
    hashes: bool,
    #[command(flatten)]
    picture: Picture,
}

impl Pages {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let is_drawn = self.picture.is_wanted(context.output)?;
        let client = context.client().await?;
        let mut launch = self.target.launch();
        let mut memory = None;
        if is_drawn {
            let told = client.get_launch(&launch).await?;
            // Under its uid: the pages have to be those of the launch whose memory this is.
            launch = LaunchRef::from(told.name.as_str()).with_uid(told.uid);
            memory = told.spec.map(|spec| spec.regions);
        }
        let ledger = client
            .list_installed_pages(&launch, self.order.into(), self.hashes)
            .await?;
        let drawn = match memory {
            Some(regions) => {
                let memory = regions.iter().map(Region::from).collect();
                let drawing = Drawing::of_ledger(launch.name(), memory, &ledger);
                self.picture.draw(&drawing)?
            }
            None => Drawn::default(),
        };
        Ok(context.output.document(&Ledger {
            hashed: self.hashes,
            map: drawn.map,
            svg: drawn.svg,
            ..Ledger::from(&ledger)
        })?)
    }
}

#[derive(Debug, Serialize)]
struct Ledger {
    installed_pages: u64,
    svg: Option<String>,
    runs: Vec<Run>,
    #[serde(skip)]
    hashed: bool,
    #[serde(skip)]
    map: Option<String>,
}

#[derive(Debug, Serialize)]
struct Run {
    gpa: String,
    pages: u64,
    page_type: String,
    first_ordinal: u64,
    uniform: bool,
    hashes: Vec<String>,
    #[serde(skip)]
    start: Gpa,
}

impl From<&InstalledPages> for Ledger {
    fn from(ledger: &InstalledPages) -> Self {
        Self {
            installed_pages: ledger.installed_pages,
            runs: ledger.runs.iter().map(Run::from).collect(),
            hashed: false,
            svg: None,
            map: None,
        }
    }
}

impl From<&v1::InstalledRun> for Run {
    fn from(run: &v1::InstalledRun) -> Self {
        let start = Gpa::new(run.gpa);
        Self {
            gpa: start.to_string(),
            pages: run.pages,
            page_type: words::page_type(run.page_type).into(),
            first_ordinal: run.first_ordinal,
            uniform: run.uniform,
            hashes: run.page_hashes.chunks(HASH).map(hex).collect(),
            start,
        }
    }
}

impl fmt::Display for Ledger {
    /// The picture; or a line for each run, with hashes one for each page that has its own. Who has a picture in a file needs no list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(map) = &self.map {
            f.write_str(map)?;
            return match &self.svg {
                Some(file) => write!(f, "\n\ndrawn into {}", plain(file)),
                None => Ok(()),
            };
        }
        let size = Size(self.installed_pages.saturating_mul(PAGE_BYTES));
        write!(f, "{} pages installed, {size}", self.installed_pages)?;
        if let Some(file) = &self.svg {
            return write!(f, "; drawn into {}", plain(file));
        }
        if self.runs.is_empty() {
            return Ok(());
        }
        if !self.hashed {
            let mut table = Table::new(["GPA", "PAGES", "TYPE", "ORDINAL"]);
            for run in &self.runs {
                table.row([
                    run.gpa.clone(),
                    run.pages.to_string(),
                    run.page_type.clone(),
                    run.first_ordinal.to_string(),
                ]);
            }
            return write!(f, "\n{table}");
        }
        let mut table = Table::new(["GPA", "PAGES", "TYPE", "ORDINAL", "BLAKE3"]);
        for run in &self.runs {
            for (nth, pages, hash) in run.lines() {
                let gpa = run
                    .start
                    .plus_pages(nth)
                    .map(|gpa| gpa.to_string())
                    .unwrap_or_default();
                table.row([
                    gpa,
                    pages.to_string(),
                    run.page_type.clone(),
                    (run.first_ordinal + nth).to_string(),
                    hash.to_owned(),
                ]);
            }
        }
        write!(f, "\n{table}")
    }
}

impl Run {
    /// First page of the line counted from the run's, pages, hash.
    fn lines(&self) -> Vec<(u64, u64, &str)> {
        match self.hashes.as_slice() {
            [] => vec![(0, self.pages, "withheld")],
            [all] if self.uniform => vec![(0, self.pages, all)],
            each => (0..)
                .zip(each)
                .map(|(nth, hash)| (nth, 1, hash.as_str()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pages: u64, uniform: bool, hashes: usize) -> v1::InstalledRun {
        v1::InstalledRun {
            gpa: 0x1000,
            pages,
            page_type: v1::PageType::Normal.into(),
            first_ordinal: 5,
            page_hashes: vec![0xab; hashes * HASH].into(),
            uniform,
        }
    }

    fn shown(run: v1::InstalledRun, hashed: bool) -> String {
        let installed_pages = run.pages;
        Ledger {
            hashed,
            ..Ledger::from(&InstalledPages {
                runs: vec![run],
                installed_pages,
            })
        }
        .to_string()
    }

    #[test]
    fn a_run_is_one_line_without_hashes() {
        assert_eq!(
            shown(run(2, false, 0), false),
            "2 pages installed, 8K\nGPA     PAGES  TYPE    ORDINAL\n0x1000  2      NORMAL  5"
        );
    }

    #[test]
    fn each_page_with_its_own_hash_is_a_line() {
        let text = shown(run(2, false, 2), true);
        assert!(
            text.contains("0x1000  1      NORMAL  5        abab")
                && text.contains("0x2000  1      NORMAL  6        abab"),
            "{text}"
        );
    }

    #[test]
    fn equal_pages_share_a_line_and_withheld_hashes_say_so() {
        assert!(shown(run(9, true, 1), true).contains("0x1000  9      NORMAL  5        abab"));
        assert!(shown(run(9, false, 0), true).contains("withheld"));
    }
}
