//! Programs for the hosts of some platforms: `[host.<platform>] program = "/path"`, or `PLATFORM=/path`.
//!
//! **Invariant:** every key is a platform's name, every value an absolute path; whether a file is there is the supervisor's to see.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;
use stagepages_host::platform::PlatformKind;

use super::values::ValueError;
use crate::rpc::status::printable;

/// The program of one platform's hosts, written `kvm=/opt/vmm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProgram {
    platform: PlatformKind,
    program: PathBuf,
}

/// The table `host` of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Entry>")]
pub(super) struct HostTable(pub(super) Vec<HostProgram>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    program: String,
}

impl HostProgram {
    fn new(platform: &str, program: &str) -> Result<Self, ValueError> {
        let known = PlatformKind::ALL
            .into_iter()
            .find(|known| known.to_string() == platform);
        let platform = known.ok_or_else(|| ValueError::Platform(printable(platform, 64)))?;
        if !program.starts_with('/') {
            return Err(ValueError::HostProgram {
                platform,
                value: printable(program, 200),
            });
        }
        let program = PathBuf::from(program);
        Ok(Self { platform, program })
    }
}

impl FromStr for HostProgram {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts = text.split_once('=');
        let (platform, program) =
            parts.ok_or_else(|| ValueError::HostProgramForm(printable(text, 200)))?;
        Self::new(platform, program)
    }
}

impl TryFrom<BTreeMap<String, Entry>> for HostTable {
    type Error = ValueError;

    fn try_from(table: BTreeMap<String, Entry>) -> Result<Self, ValueError> {
        let programs = table
            .iter()
            .map(|(platform, entry)| HostProgram::new(platform, &entry.program));
        programs.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for HostProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.platform, self.program.display())
    }
}

/// By platform's name; a later one wins.
pub(super) fn by_platform(programs: Vec<HostProgram>) -> BTreeMap<String, PathBuf> {
    let pair = |entry: HostProgram| (entry.platform.to_string(), entry.program);
    programs.into_iter().map(pair).collect()
}

/// Reads the table of the file into the list that the flag and the variable are.
pub(super) fn from_table<'de, D>(table: D) -> Result<Option<Vec<HostProgram>>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let HostTable(programs) = HostTable::deserialize(table)?;
    Ok(Some(programs))
}
