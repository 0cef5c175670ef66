//! The files that a preflight looks at.
//!
//! **Invariant:** a path outside `/dev/`, `/proc/` and `/sys/` is never replaced, so most opens cost three comparisons.

use serde::{Deserialize, Serialize};

use super::Script;

/// What opening a path gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum File {
    /// A file with these contents; a character device where the path is `/dev/kvm` or `/dev/sev`.
    Contents(String),
    /// The call fails: `{"errno": 13}`.
    Errno(Refusal),
    /// There is no such file: `null`.
    Absent,
}

/// The errno with which a path cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A positive errno.
    pub errno: i32,
}

impl File {
    /// A path that cannot be opened.
    #[must_use]
    pub fn refused(errno: i32) -> Self {
        Self::Errno(Refusal { errno })
    }
}

pub(super) fn is_candidate(path: &str) -> bool {
    ["/dev/", "/proc/", "/sys/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// What a machine as the script describes it has there. `/dev/kvm` is always the model's.
pub(super) fn by_default(script: &Script, path: &str) -> Option<File> {
    let if_there = |there: bool, contents: &str| {
        Some(if there {
            File::Contents(contents.to_owned())
        } else {
            File::Absent
        })
    };
    match path {
        "/dev/kvm" => if_there(true, ""),
        "/dev/sev" => if_there(script.snp, ""),
        // A directory for real; here something that is there.
        "/sys/module/kvm_amd" => if_there(script.snp, ""),
        "/sys/module/kvm_intel" => if_there(script.has_tdx(), ""),
        "/sys/module/kvm_amd/parameters/sev_snp" => if_there(script.snp, "Y\n"),
        "/sys/module/kvm_intel/parameters/tdx" => if_there(script.has_tdx(), "Y\n"),
        "/sys/fs/cgroup/misc.capacity" => if_there(true, &misc(script, 99, 31)),
        "/sys/fs/cgroup/misc.current" => if_there(true, &misc(script, 0, 0)),
        _ => None,
    }
}

/// The lines of the misc controller for the keys that there are.
fn misc(script: &Script, asids: u32, hkids: u32) -> String {
    let mut lines = String::new();
    if script.snp {
        lines += &format!("sev 410\nsev_es {asids}\n");
    }
    if script.has_tdx() {
        lines += &format!("tdx {hkids}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn the_script_has_the_last_word_on_a_file() {
        let mut script = Script::snp(Profile::V6_18);
        let path = "/sys/module/kvm_amd/parameters/sev_snp";
        assert_eq!(script.file(path), Some(File::Contents("Y\n".into())));
        script.files.insert(path.into(), File::Absent);
        assert_eq!(script.file(path), Some(File::Absent));
    }

    #[test]
    fn what_the_machine_lacks_is_absent_and_the_rest_untouched() {
        let script = Script::snp(Profile::V6_18);
        let tdx = "/sys/module/kvm_intel/parameters/tdx";
        assert_eq!(script.file(tdx), Some(File::Absent));
        assert_eq!(script.file("/dev/null"), None);
        assert_eq!(script.file("/etc/passwd"), None);
    }

    #[test]
    fn a_file_is_text_or_null_or_an_errno() {
        for (json, file) in [
            (r#""Y""#, File::Contents("Y".into())),
            ("null", File::Absent),
            (r#"{"errno":13}"#, File::refused(13)),
        ] {
            assert_eq!(serde_json::from_str::<File>(json).unwrap(), file);
            assert_eq!(serde_json::to_string(&file).unwrap(), json);
        }
    }
}
