//! `stagectl launch rejected-cpuid`: what firmware would have otherwise in the CPUID page that it refused last.
//!
//! JSON: `{"launch", "gpa", "differences": [{"entry", "leaf", "subleaf", "changes": [{"field", "submitted", "wanted"}]}], "page"}`. `page` is
//! the file that the corrected page was written to, else null; `differences` is empty where only the page's header differs, or bytes behind its entries.
//!
//! **Invariant:** no file is overwritten, and nothing is staged: a page that firmware corrected was approved by nobody yet.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use stagepages_client::{LaunchRef, StagepagesError, addr::Gpa, cpuid_page, reason, v1};

use crate::{args::Target, cli::Context, failure::Failure, table::Table};

/// Bytes of a page.
const PAGE: usize = 4096;

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct RejectedCpuid {
    #[command(flatten)]
    target: Target,
    /// Write the page as firmware would have it to this file, which must not exist. Stage it only if the guest's owner approves it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

impl RejectedCpuid {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = self.target.launch();
        let client = context.client().await?;
        let rejected = client.rejected_cpuid(&launch).await.map_err(refused)?;
        if let Some(path) = &self.page {
            save(path, &rejected.corrected_page)?;
        }
        let document = Document::new(&launch, &rejected, self.page.as_deref());
        Ok(context.output.document(&document)?)
    }
}

fn refused(error: StagepagesError) -> Failure {
    let none = error.reason() == Some(reason::RESULT_NOT_FOUND);
    let failure = Failure::from(error);
    if none {
        failure.hinted(
            "ask while the launch lives, after `stagectl launch stage` was refused with CPUID_REJECTED",
        )
    } else {
        failure
    }
}

fn save(path: &Path, page: &[u8]) -> Result<(), Failure> {
    if page.len() != PAGE {
        return Err(Failure::new(
            format!("the daemon's page has {} bytes, not {PAGE}", page.len()),
            "compare the versions of client and daemon: `stagectl node`",
        ));
    }
    File::create_new(path)
        .and_then(|mut file| {
            // A file cut short must not be taken for the page.
            file.write_all(page)
                .inspect_err(|_| drop(fs::remove_file(path)))
        })
        .map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AlreadyExists {
                "nothing is overwritten: name a file that does not exist yet"
            } else {
                "name a file in a directory that this user can write to"
            };
            Failure::new(format!("cannot write {}: {error}", path.display()), hint)
        })
}

#[derive(Debug, Serialize)]
struct Document {
    launch: String,
    gpa: String,
    differences: Vec<Difference>,
    page: Option<String>,
}

#[derive(Debug, Serialize)]
struct Difference {
    entry: u32,
    leaf: String,
    subleaf: String,
    changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
struct Change {
    field: &'static str,
    submitted: String,
    wanted: String,
}

impl Document {
    fn new(launch: &LaunchRef, rejected: &v1::RejectedCpuid, page: Option<&Path>) -> Self {
        Self {
            launch: launch.name().to_owned(),
            gpa: Gpa::new(rejected.gpa).to_string(),
            differences: rejected.differences.iter().map(Difference::from).collect(),
            page: page.map(|path| path.display().to_string()),
        }
    }

    fn table(&self) -> Table<5> {
        let mut table = Table::new(["ENTRY", "LEAF", "FIELD", "SUBMITTED", "WANTED"]);
        for it in &self.differences {
            let mut row = |field: &str, submitted: &str, wanted: &str| {
                let leaf = format!("{}.{}", it.leaf, it.subleaf);
                table.row([
                    it.entry.to_string(),
                    leaf,
                    field.into(),
                    submitted.into(),
                    wanted.into(),
                ]);
            };
            for change in &it.changes {
                row(change.field, &change.submitted, &change.wanted);
            }
        }
        table
    }
}

impl From<&v1::CpuidDifference> for Difference {
    fn from(difference: &v1::CpuidDifference) -> Self {
        let submitted = difference.submitted.unwrap_or_default();
        let change = |it: cpuid_page::Change| Change {
            field: it.field,
            submitted: format!("{:#x}", it.submitted),
            wanted: format!("{:#x}", it.wanted),
        };
        Self {
            entry: difference.entry,
            leaf: format!("{:#x}", submitted.eax_in),
            subleaf: format!("{:#x}", submitted.ecx_in),
            changes: cpuid_page::changes(difference)
                .into_iter()
                .map(change)
                .collect(),
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { launch, gpa, .. } = self;
        write!(f, "{launch}: firmware would have ")?;
        match self.differences.len() {
            0 => write!(
                f,
                "the CPUID page at GPA {gpa} otherwise, in its header or behind its entries"
            )?,
            entries => write!(
                f,
                "{entries} {} of the CPUID page at GPA {gpa} otherwise\n{}",
                if entries == 1 { "entry" } else { "entries" },
                self.table()
            )?,
        }
        match &self.page {
            Some(path) => write!(f, "\nthe page as firmware would have it is in {path}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let submitted = v1::CpuidPageEntry {
            eax_in: 0xd,
            ecx_in: 1,
            xcr0_in: 7,
            eax: 0xf,
            ebx: 0x988,
            reserved: 7,
            ..v1::CpuidPageEntry::default()
        };
        let wanted = v1::CpuidPageEntry {
            xcr0_in: 1,
            ebx: 0x240,
            ..submitted
        };
        let cleared = v1::CpuidPageEntry {
            reserved: 0,
            ..submitted
        };
        let difference = |entry, wanted| v1::CpuidDifference {
            entry,
            submitted: Some(submitted),
            wanted: Some(wanted),
        };
        let rejected = v1::RejectedCpuid {
            gpa: 0x80_1000,
            differences: vec![difference(3, wanted), difference(4, cleared)],
            corrected_page: vec![0; PAGE].into(),
        };
        let document = Document::new(&LaunchRef::from("vm"), &rejected, Some(Path::new("new")));
        assert_eq!(
            document.to_string(),
            "launches/vm: firmware would have 2 entries of the CPUID page at GPA 0x801000 otherwise\n\
             ENTRY  LEAF     FIELD     SUBMITTED  WANTED\n\
             3      0xd.0x1  xcr0      0x7        0x1\n\
             3      0xd.0x1  ebx       0x988      0x240\n\
             4      0xd.0x1  reserved  0x7        0x0\n\
             the page as firmware would have it is in new"
        );
        let json = serde_json::to_value(&document).unwrap();
        assert_eq!(json["gpa"], "0x801000");
        assert_eq!(
            json["differences"][0]["changes"][1],
            serde_json::json!({"field": "ebx", "submitted": "0x988", "wanted": "0x240"})
        );
        assert_eq!(json["differences"][1]["changes"][0]["field"], "reserved");
    }

    #[test]
    fn a_page_that_differs_in_no_entry_says_where_else() {
        let rejected = v1::RejectedCpuid {
            gpa: 0x1000,
            differences: Vec::new(),
            corrected_page: vec![0; PAGE].into(),
        };
        let document = Document::new(&LaunchRef::from("vm"), &rejected, None);
        assert_eq!(
            document.to_string(),
            "launches/vm: firmware would have the CPUID page at GPA 0x1000 otherwise, in its header or behind its entries"
        );
    }
}
