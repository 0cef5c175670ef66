//! One platform for people.
//!
//! ```text
//! sev-snp: not available, 1 of 12 checks failed
//!   missing  /dev/sev           No such file or directory (os error 2)
//!            way out            load ccp, with SEV-SNP enabled in firmware setup
//!   present  /dev/kvm           opened, API version 12
//!   takes    guest policy bits  0x3ff0000: smt migrate-ma debug …
//!   guests   in use             12 of 99
//! ```
//!
//! **Invariant:** what is missing comes first, each with its way out, and no line is longer than [`WIDTH`] unless one word is.

use std::fmt;

use stagepages_client::plain;

use super::platform::PlatformDocument;
use crate::wrap::wrap;

/// Columns of a line.
const WIDTH: usize = 100;
/// Columns of the first word, with the space around it.
const MARK: usize = 11;

/// Shows it.
pub(super) struct Findings<'a>(pub(super) &'a PlatformDocument);

/// A line, before it is broken.
struct Line {
    mark: &'static str,
    subject: String,
    text: String,
}

impl Line {
    fn new(mark: &'static str, subject: &str, text: impl AsRef<str>) -> Self {
        Self {
            mark,
            subject: plain(subject),
            text: plain(text.as_ref()),
        }
    }
}

impl fmt::Display for Findings<'_> {
    /// Without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.0;
        let failed = it.checks.iter().filter(|check| !check.ok).count();
        write!(f, "{}: ", plain(&it.platform))?;
        match (it.available, failed) {
            (true, _) => f.write_str("available")?,
            (false, _) => write!(
                f,
                "not available, {failed} of {} checks failed",
                it.checks.len()
            )?,
        }
        let lines = lines(it);
        let subjects = lines.iter().map(|line| line.subject.chars().count());
        let subject_width = subjects.max().unwrap_or(0);
        let indent = MARK + subject_width + 2;
        for Line {
            mark,
            subject,
            text,
        } in &lines
        {
            let mut parts = wrap(text, WIDTH.saturating_sub(indent)).into_iter();
            let first = parts.next().unwrap_or_default();
            let line = format!("  {mark:<7}  {subject:<subject_width$}  {first}");
            write!(f, "\n{}", line.trim_end())?;
            for part in parts {
                write!(f, "\n{:indent$}{part}", "")?;
            }
        }
        Ok(())
    }
}

fn lines(it: &PlatformDocument) -> Vec<Line> {
    let mut lines = Vec::new();
    for check in it.checks.iter().filter(|check| !check.ok) {
        lines.push(Line::new("missing", &check.subject, &check.found));
        lines.push(Line::new("", "way out", &check.remedy));
    }
    let present = it.checks.iter().filter(|check| check.ok);
    lines.extend(present.map(|check| Line::new("present", &check.subject, &check.found)));
    if let Some(snp) = &it.sev_snp {
        let policy = match (&snp.policy_bits, &snp.policy_flags) {
            (Some(bits), Some(flags)) => named(bits, flags),
            _ => "not said by this kernel".to_owned(),
        };
        lines.push(Line::new("takes", "policy", policy));
        let features = named(&snp.vmsa_features, &snp.vmsa_feature_flags);
        lines.push(Line::new("takes", "VMSA features", features));
    }
    if let Some(tdx) = &it.tdx {
        lines.push(Line::new("takes", "TD attributes", &tdx.attributes));
        lines.push(Line::new("takes", "XFAM", &tdx.xfam));
        let cpuid = format!(
            "{} leaves; --output json lists them with their bits",
            tdx.cpuid.len()
        );
        lines.push(Line::new("takes", "CPUID", cpuid));
    }
    if let Some(capacity) = &it.capacity {
        let free = capacity.total.saturating_sub(capacity.in_use);
        let text = format!("{} of {}, {free} free", capacity.in_use, capacity.total);
        lines.push(Line::new("guests", "in use", text));
    }
    lines
}

/// `0x20: debug-swap`.
fn named(bits: &str, flags: &[String]) -> String {
    if flags.is_empty() {
        bits.to_owned()
    } else {
        format!("{bits}: {}", flags.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use stagepages_client::v1;

    use super::*;

    fn check(subject: &str, found: &str, remedy: &str) -> v1::Check {
        v1::Check {
            subject: subject.to_owned(),
            ok: remedy.is_empty(),
            found: found.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    fn shown(info: &v1::PlatformInfo) -> String {
        Findings(&PlatformDocument::from(info)).to_string()
    }

    #[test]
    fn what_is_missing_comes_first_with_its_way_out() {
        let info = v1::PlatformInfo {
            platform: v1::Platform::SevSnp.into(),
            checks: vec![
                check("/dev/kvm", "opened", ""),
                check("/dev/sev", "not there", "load ccp"),
            ],
            sev_snp: Some(v1::SevSnpInfo {
                policy_bits: Some(0x3_0000),
                vmsa_features: 0,
            }),
            capacity: Some(v1::PlatformCapacity {
                total: 99,
                in_use: 12,
            }),
            ..v1::PlatformInfo::default()
        };
        assert_eq!(
            shown(&info),
            "sev-snp: not available, 1 of 2 checks failed\n\
             \x20 missing  /dev/sev       not there\n\
             \x20          way out        load ccp\n\
             \x20 present  /dev/kvm       opened\n\
             \x20 takes    policy         0x30000: smt\n\
             \x20 takes    VMSA features  0x0\n\
             \x20 guests   in use         12 of 99, 87 free"
        );
    }

    #[test]
    fn lines_are_broken_between_words_and_go_on_below_their_beginning() {
        let remedy = "word ".repeat(60);
        let info = v1::PlatformInfo {
            platform: v1::Platform::Tdx.into(),
            checks: vec![check("KVM_CAP_MEMORY_ATTRIBUTES", "0x0", remedy.trim_end())],
            ..v1::PlatformInfo::default()
        };
        let shown = shown(&info);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{shown}");
        assert!(lines.len() > 5, "{shown}");
        let begins = lines[2].find("word");
        assert!(lines[3..].iter().all(|line| line.find("word") == begins));
        assert_eq!(shown.matches("word").count(), 60);
    }

    #[test]
    fn a_daemon_cannot_drive_the_terminal() {
        let info = v1::PlatformInfo {
            available: true,
            checks: vec![check("\x1b[2J", "a\nb", "")],
            ..v1::PlatformInfo::default()
        };
        let shown = shown(&info);
        assert!(!shown.contains('\x1b'), "{shown:?}");
        assert_eq!(shown.lines().count(), 2, "{shown:?}");
    }
}
