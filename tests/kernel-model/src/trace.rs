//! What happened, as JSON lines.
//!
//! See the crate's documentation for the schema.
//!
//! **Invariant:** one event is one line, and one write.

use serde::{Deserialize, Serialize};

use crate::{Call, Struck};

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Counts the events of one process from 0.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum What {
    /// A command of `KVM_MEMORY_ENCRYPT_OP` begins.
    Begin(Note),
    /// A call is about to return.
    End(Note),
    /// A path of the model was opened.
    Open {
        /// The path.
        path: String,
        /// The descriptor, or the negative errno.
        ret: i64,
    },
    /// The state of a descriptor, at each call that installs pages.
    Fd(Descriptor),
    /// A fault of the script has struck.
    Fault(Struck),
    /// What a correct launch host never does was done.
    Violation {
        /// The call that did it.
        call: String,
        /// The VM that it was done to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vm: Option<u64>,
        /// What it was.
        words: String,
    },
    /// The launch digest, when the launch is finished.
    Digest {
        /// The VM.
        vm: u64,
        /// 48 bytes in hex.
        digest: String,
    },
}

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The kernel's name of it; `fcntl`, `fallocate` and `mmap` on the model's descriptors are noted too.
    pub call: String,
    /// The VM, counted from 0 in each process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<u64>,
    /// The vCPU's index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// The first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gfn: Option<u64>,
    /// The number of pages that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// SNP's page type, by number.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    pub page_type: Option<u8>,
    /// The source's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uaddr: Option<u64>,
    /// The number that was given for `/dev/sev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sev_fd: Option<i32>,
    /// The calling thread's signal mask, as 16 hex digits: bit n is signal n + 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmask: Option<String>,
    /// Other arguments, as words `name=value`: the crate's documentation lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the call returned, -1 for an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Firmware's status (SNP) or the TDX module's (TDX): at the end of a call what was written back, at its begin what the caller had left there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<u64>,
    /// The number of pages that the model installed in this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_done: Option<u64>,
}

/// A descriptor at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// `guest_memfd`.
    pub what: String,
    /// The VM.
    pub vm: u64,
    /// Its number.
    pub fd: i32,
    /// The descriptor is closed on exec.
    pub cloexec: bool,
}

impl Event {
    /// The events of a trace.
    ///
    /// # Errors
    ///
    /// The first line that is none, and why.
    pub fn parse_all(trace: &str) -> Result<Vec<Self>, String> {
        let parse = |line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"));
        trace.lines().map(parse).collect()
    }

    /// The call that ended, if this is such an event.
    #[must_use]
    pub fn ended(&self) -> Option<&Note> {
        if let What::End(note) = &self.what {
            Some(note)
        } else {
            None
        }
    }

    /// The words of a violation, if this is one.
    #[must_use]
    pub fn violation(&self) -> Option<&str> {
        if let What::Violation { words, .. } = &self.what {
            Some(words)
        } else {
            None
        }
    }
}

impl Note {
    /// A note of this call, with nothing known yet.
    #[must_use]
    pub fn new(call: &str) -> Self {
        Self {
            call: call.to_owned(),
            ..Self::default()
        }
    }

    /// The call is this one.
    #[must_use]
    pub fn is(&self, call: Call) -> bool {
        self.call == call.name()
    }

    /// The signal mask, decoded.
    #[must_use]
    pub fn blocked_signals(&self) -> Option<u64> {
        u64::from_str_radix(self.sigmask.as_deref()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_reads_back() {
        let mut note = Note::new(Call::SnpLaunchUpdate.name());
        note.gfn = Some(0x8000);
        note.page_type = Some(1);
        note.sigmask = Some("fffffffe7ffbfeff".into());
        let event = Event {
            pid: 7,
            tid: 8,
            seq: 0,
            what: What::End(note),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert!(
            line.contains(r#""t":"end","call":"KVM_SEV_SNP_LAUNCH_UPDATE","gfn":32768,"type":1"#),
            "{line}"
        );
        assert_eq!(Event::parse_all(&line).unwrap(), [event]);
    }
}
