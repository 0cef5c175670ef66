//! What is in the directory when the store is opened: taken into the index, cleared, set aside, or left alone.
//!
//! | found                                          | becomes                                              |
//! |------------------------------------------------|------------------------------------------------------|
//! | a blob, its whole sidecar, an owner            | an image                                             |
//! | a blob without a sidecar, or with a damaged one | corrupt: set aside                                   |
//! | a sidecar, or an owner's record, without a blob | cleared                                              |
//! | a blob that nobody owns                        | cleared                                              |
//! | an upload's bytes and what is on record of it  | an upload that can be resumed                        |
//! | one of the two, or a sidecar in `uploads`      | cleared                                              |
//! | anything else                                  | said in the log and in the report, and left alone    |
//!
//! **Invariant:** no byte of an image is read, and nothing that is not ours is touched.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    sync::Arc,
    time::{Instant, SystemTime},
};

use rustix::fs::OFlags;

use crate::{
    ImageDigest, StoreError,
    commit::beside,
    disk::{Dir, Found},
    index::{Aside, Upload},
    key::{Key, MAX_RECORD_BYTES, Owner},
    seat::Seat,
    sidecar,
    store::Inner,
    upload,
};

/// Things that are not ours and are named in the report.
const MOST_FOREIGN: usize = 16;

/// Who has which images, and when each of them used them last.
type Owners = BTreeMap<ImageDigest, Vec<(SystemTime, Owner)>>;

impl Inner {
    /// Fills the index.
    pub(crate) fn recover(&self) -> Result<(), StoreError> {
        let told = || StoreError::io("look through its directory");
        self.recover_quarantine().map_err(told())?;
        self.recover_uploads().map_err(told())?;
        let owners = self.recover_owners().map_err(told())?;
        self.recover_images(owners).map_err(told())?;
        self.trim_quarantine();
        // Limits may be lower than they were.
        self.make_room(None)
    }

    /// Notes a thing that is not ours.
    pub(crate) fn foreign(&self, dir: &str, name: &str) {
        let path = format!("{dir}/{name}");
        tracing::warn!(path, "not a file of the image store; it is left alone");
        let mut report = self.noted();
        if report.foreign.len() < MOST_FOREIGN && !report.foreign.contains(&path) {
            report.foreign.push(path);
        }
    }

    fn clear(&self, dir: &Dir, name: &str) -> io::Result<()> {
        if dir.remove(name)? {
            tracing::info!(name, "what a crash left in the image store is cleared");
            self.noted().cleared += 1;
        }
        Ok(())
    }

    fn recover_quarantine(&self) -> io::Result<()> {
        let dir = &self.dirs.quarantine;
        for name in dir.names()? {
            let Found::File { size, .. } = dir.find(&name)? else {
                self.foreign("quarantine", &name);
                continue;
            };
            match Aside::from_name(&name, size) {
                // In order of their numbers, as names are.
                Some(aside) => self.index().quarantined.push_back(aside),
                None => self.foreign("quarantine", &name),
            }
        }
        Ok(())
    }

    fn recover_uploads(&self) -> io::Result<()> {
        let dir = &self.dirs.uploads;
        for name in dir.names()? {
            let Some(stem) = upload_stem(&name) else {
                self.foreign("uploads", &name);
                continue;
            };
            if !matches!(dir.find(&name)?, Found::File { .. }) {
                // Nothing: cleared with what came before it.
                if dir.find(&name)? != Found::Nothing {
                    self.foreign("uploads", &name);
                }
                continue;
            }
            let whole = if name == upload::about(stem) {
                self.recover_upload(stem)?
            } else {
                // Its record came before it, and is there if it was good.
                name == upload::bytes(stem)
                    && matches!(dir.find(&upload::about(stem))?, Found::File { .. })
            };
            if !whole {
                self.clear(dir, &name)?;
            }
        }
        Ok(())
    }

    /// Whether there is an upload of this stem. Otherwise its bytes are cleared.
    fn recover_upload(&self, stem: &str) -> io::Result<bool> {
        let dir = &self.dirs.uploads;
        let mut record = Vec::new();
        let file = dir.open(&upload::about(stem), OFlags::RDONLY)?;
        file.take(MAX_RECORD_BYTES).read_to_end(&mut record)?;
        let bytes = upload::bytes(stem);
        let found = dir.find(&bytes)?;
        let known = Key::from_record(&record).filter(|(key, _)| key.stem() == stem);
        match (known, found) {
            (
                Some((key, size)),
                Found::File {
                    size: offset,
                    modified,
                },
            ) if offset <= size => {
                let age = SystemTime::now()
                    .duration_since(modified)
                    .unwrap_or_default();
                let last = Instant::now();
                let last = last.checked_sub(age).unwrap_or(last);
                let seat = Arc::new(Seat::new(offset, last));
                self.index().uploads.insert(key, Upload { size, seat });
                Ok(true)
            }
            (_, Found::File { .. }) => {
                self.clear(dir, &bytes)?;
                Ok(false)
            }
            (_, Found::Nothing | Found::Dir | Found::Foreign) => Ok(false),
        }
    }

    fn recover_owners(&self) -> io::Result<Owners> {
        let mut owners = Owners::new();
        for name in self.dirs.owners.names()? {
            let owner = Owner::from_dir(&name);
            let (Some(owner), Found::Dir) = (owner, self.dirs.owners.find(&name)?) else {
                self.foreign("owners", &name);
                continue;
            };
            let dir = self.dirs.owners.sub(&name)?;
            for marker in dir.names()? {
                let digest = ImageDigest::from_hex(&marker);
                let (Some(digest), Found::File { modified, .. }) = (digest, dir.find(&marker)?)
                else {
                    self.foreign(&format!("owners/{name}"), &marker);
                    continue;
                };
                if matches!(self.dirs.blobs.find(&marker)?, Found::File { .. }) {
                    let owners = owners.entry(digest).or_default();
                    owners.push((modified, owner.clone()));
                } else {
                    self.clear(&dir, &marker)?;
                }
            }
        }
        Ok(owners)
    }

    fn recover_images(&self, mut owners: Owners) -> io::Result<()> {
        let dir = &self.dirs.blobs;
        let (mut images, mut corrupt) = (Vec::new(), Vec::new());
        for name in dir.names()? {
            let found = dir.find(&name)?;
            let stem = name.strip_suffix(".pieces").unwrap_or(&name);
            let (Some(digest), Found::File { size, .. }) = (ImageDigest::from_hex(stem), found)
            else {
                self.foreign("blobs", &name);
                continue;
            };
            if name != stem {
                if dir.find(stem)? == Found::Nothing {
                    self.clear(dir, &name)?;
                }
                continue;
            }
            let Some(owners) = owners.remove(&digest) else {
                self.clear(dir, &name)?;
                continue;
            };
            if let Some(why) = self.sidecar_fault(digest, size)? {
                corrupt.push((digest, why));
            }
            let uses = owners.into_iter();
            images.extend(uses.map(|(used, owner)| (used, digest, size, owner)));
        }
        // In the order of their last uses, whoever's they were.
        images.sort();
        for (used, digest, size, owner) in images {
            self.index().add(digest, size, owner, used);
        }
        for (digest, why) in corrupt {
            self.set_aside(digest, why);
        }
        Ok(())
    }

    /// What is wrong with an image's sidecar, if anything.
    fn sidecar_fault(&self, digest: ImageDigest, size: u64) -> io::Result<Option<&'static str>> {
        let name = beside(&digest.hex());
        if !matches!(self.dirs.blobs.find(&name)?, Found::File { .. }) {
            return Ok(Some("it has no sidecar"));
        }
        let file = self.dirs.blobs.open(&name, OFlags::RDONLY)?;
        let pieces = sidecar::read(digest, size, &file)?;
        let damaged = "its sidecar is damaged, or of another size";
        Ok(pieces.is_none().then_some(damaged))
    }
}

/// The digits in the name of an upload's file; `None` for any other name.
fn upload_stem(name: &str) -> Option<&str> {
    let (stem, _) = name.split_once('.')?;
    let ours = [
        upload::about(stem),
        upload::bytes(stem),
        upload::sidecar(stem),
    ];
    let digits = ImageDigest::from_hex(stem).is_some();
    (digits && ours.iter().any(|known| known == name)).then_some(stem)
}
