//! Something that is made from files, and made anew when they change.
//!
//! ```text
//!  as it was ──changed──▶ read ──good, and unchanged meanwhile──▶ the new one is in use
//!                           └──bad──▶ doubtful ──at the next look──▶ still bad: said once, read again when it changes, or in a minute
//! ```
//!
//! A pair of files is never replaced at one instant, so what is bad is said only when it stays bad.
//!
//! **Invariant:** what is in use was good when it was read, and stays in use until something good replaces it.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::files::Stamp;

/// How often what was bad is tried although no file has changed: a certificate may have been written before it was valid.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key} {}: {fault}", path.display())]
pub struct TlsError {
    /// The key of the configuration.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and the way out.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("cannot be read ({0}); name a file that this user may read")]
    Read(io::Error),
    /// It holds none of what it should.
    #[error("holds no {0} in PEM")]
    Empty(&'static str),
    /// It is no PEM, or what is in it is not what PEM says.
    #[error("does not parse ({0}); write it again, whole, in PEM")]
    Parse(String),
    /// It is valid no longer.
    #[error("has expired at {0}; renew it")]
    Expired(String),
    /// It is not valid yet.
    #[error("is valid only from {0}; use it from then on, and see that the clock is right")]
    NotYet(String),
    /// A certificate among the CAs that is none.
    #[error(
        "has a certificate that is no CA's ({0}); name the CAs that sign clients' certificates"
    )]
    NotCa(String),
    /// The two files of a pair are not one.
    #[error("is not the key of the certificate in tls_cert; replace both")]
    Mismatch,
    /// rustls does not take it.
    #[error("cannot be used ({0})")]
    Unusable(String),
}

impl TlsError {
    pub(super) fn new(key: &'static str, path: &Path, fault: Fault) -> Self {
        Self {
            key,
            path: path.to_owned(),
            fault,
        }
    }
}

/// How something is made of the files at some paths. The last argument is what it replaces.
pub(super) type Load<T> = fn(&[PathBuf], Option<&T>) -> Result<T, TlsError>;

/// See the module.
#[derive(Debug)]
pub(super) struct Followed<T> {
    paths: Vec<PathBuf>,
    load: Load<T>,
    current: T,
    /// Of the files when they were last read.
    stamp: Stamp,
    doubt: Doubt,
}

/// What is thought of the files, beside what is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// They are what is in use.
    None,
    /// They could not be used once.
    Fresh,
    /// It was said.
    Said { at: Instant },
}

impl<T> Followed<T> {
    pub(super) fn open(paths: Vec<PathBuf>, load: Load<T>) -> Result<Self, TlsError> {
        let stamp = Stamp::of(&paths);
        let current = load(&paths, None)?;
        Ok(Self {
            paths,
            load,
            current,
            stamp,
            doubt: Doubt::None,
        })
    }

    /// What is in use.
    pub(super) fn get(&self) -> &T {
        &self.current
    }

    /// Where the files are.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Looks whether the files have changed; reads them in any case if somebody asked for it, or if what is in use is `stale`. Whether
    /// something else is in use now.
    ///
    /// # Errors
    /// The files cannot be used, and it is time to say so.
    pub(super) fn look(&mut self, asked: bool, stale: bool) -> Result<bool, TlsError> {
        let stamp = Stamp::of(&self.paths);
        let changed = stamp != self.stamp;
        let due = match self.doubt {
            Doubt::None => false,
            Doubt::Fresh => true,
            Doubt::Said { at } => at.elapsed() >= TRY_AGAIN,
        };
        if !(asked || stale || changed || due) {
            return Ok(false);
        }
        match (self.load)(&self.paths, Some(&self.current)) {
            // Changed while it was read: it may be of two minds. The next look finds the change.
            Ok(_) if Stamp::of(&self.paths) != stamp => Ok(false),
            Ok(new) => {
                self.current = new;
                self.stamp = stamp;
                self.doubt = Doubt::None;
                Ok(true)
            }
            Err(error) => {
                let stays = !changed && self.doubt == Doubt::Fresh;
                self.stamp = stamp;
                self.doubt = match self.doubt {
                    _ if asked || stays => Doubt::Said { at: Instant::now() },
                    Doubt::Said { .. } if !changed => Doubt::Said { at: Instant::now() },
                    Doubt::None | Doubt::Fresh | Doubt::Said { .. } => Doubt::Fresh,
                };
                if asked || stays {
                    Err(error)
                } else {
                    Ok(false)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn number(paths: &[PathBuf], _: Option<&u32>) -> Result<u32, TlsError> {
        let text = fs::read_to_string(&paths[0]).unwrap_or_default();
        let fault = |error: std::num::ParseIntError| {
            TlsError::new("key", &paths[0], Fault::Parse(error.to_string()))
        };
        text.parse().map_err(fault)
    }

    #[test]
    fn what_is_bad_changes_nothing_and_what_is_good_again_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f");
        let put = |text: &str| {
            let next = dir.path().join("next");
            fs::write(&next, text).expect("is written");
            fs::rename(next, &path).expect("is renamed");
        };
        put("1");
        let mut followed = Followed::open(vec![path.clone()], number).expect("is a number");
        let look = |followed: &mut Followed<u32>| followed.look(false, false).ok();
        assert_eq!(look(&mut followed), Some(false), "nothing has changed");
        put("x");
        assert_eq!(look(&mut followed), Some(false));
        assert_eq!((*followed.get(), followed.doubt), (1, Doubt::Fresh));
        assert_eq!(look(&mut followed), None, "said");
        assert_eq!(look(&mut followed), Some(false), "once");
        assert!(matches!(followed.doubt, Doubt::Said { .. }));
        fs::remove_file(&path).expect("is there");
        assert_eq!(look(&mut followed), Some(false));
        assert_eq!((*followed.get(), followed.doubt), (1, Doubt::Fresh));
        put("2");
        assert_eq!(look(&mut followed), Some(true));
        assert_eq!((*followed.get(), followed.doubt), (2, Doubt::None));
        assert!(
            followed.look(true, false).unwrap(),
            "who asks gets them read in any case"
        );
        Followed::open(vec![dir.path().join("none")], number).expect_err("is not there");
    }
}
