//! The old database. It is evidence, and stays as it is, byte for byte: what is read, brought to this version or mended by SQLite is a copy.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use danso_proto::refusal::{Reason, Refusal};

use super::super::Error;
use super::swap::beside;
use crate::config::Layout;
use crate::files;
use crate::store::{self, Store};

/// Name of the copy in the directory of the new database.
const COPY: &str = "old.db";
/// Endings of what is copied: the database, its write-ahead log, and its seal, which tells damage. The index of the write-ahead log is made anew.
const COPIED: [&str; 3] = ["", "-wal", ".sha256"];

/// The old database.
pub(super) struct Old {
    /// The copy.
    pub(super) store: Store,
    /// Where the copy is.
    pub(super) path: PathBuf,
    /// What is wrong with it.
    pub(super) damage: Option<String>,
    /// Bytes of it that the disk does not give.
    lost: u64,
}

impl Old {
    /// The old database, if there is one. One that does not open is set aside all the same; of one that is damaged is taken what can be read: its
    /// entries pass the same door as everybody's.
    pub(super) async fn open(layout: &Layout) -> Result<Option<Self>, Error> {
        Self::remove(layout);
        if !layout.database().exists() {
            return Ok(None);
        }
        let opened = Self::open_copy(layout).await;
        if !matches!(opened, Ok(Some(_))) {
            Self::remove(layout);
        }
        opened
    }

    async fn open_copy(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.recovering().join(COPY);
        let lost = copy(layout, &path)?;
        // Where the operator finds it.
        let told = |error: &store::Error| {
            error.told().replace(&path.display().to_string(), &layout.database().display().to_string())
        };
        // Also one that the node was moved away from: a lost server is made good from here and from the parent.
        let damage = match Store::open_to_move(&path).await {
            Ok(store) => return Ok(Some(Self { store, path, damage: None, lost })),
            Err(error) if error.is_full() => return Err(error.into()),
            Err(error) => told(&error),
        };
        match Store::open_to_look(&path).await {
            Ok((store, _)) => Ok(Some(Self { store, path, damage: Some(damage), lost })),
            Err(error) if error.is_full() => Err(error.into()),
            Err(error) => {
                let error = told(&error);
                tracing::warn!(error, "the old database cannot be read; what only it had is not taken over");
                Ok(None)
            }
        }
    }

    /// What cannot be read of the file itself.
    pub(super) fn unread(&self) -> Option<String> {
        (self.lost > 0).then(|| format!("{} bytes of the file, which the disk does not give", self.lost))
    }

    /// Ends the work on it, and removes the copy.
    pub(super) async fn close(self, layout: &Layout) {
        self.store.close_unsealed().await;
        Self::remove(layout);
    }

    /// Removes the copy, and the directory that was made for it if nothing else is in there.
    fn remove(layout: &Layout) {
        let copy = layout.recovering().join(COPY);
        for ending in COPIED.into_iter().chain(["-shm"]) {
            let file = beside(&copy, ending);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %file.display(), "a copy of the old database is left behind; remove it");
                }
                _ => {}
            }
        }
        // It stays where a new database is in it.
        let _ = fs::remove_dir(layout.recovering());
    }
}

/// Copies the database and what belongs to it; how many bytes cannot be read.
fn copy(layout: &Layout, to: &Path) -> Result<u64, Error> {
    let database = layout.database();
    layout.make(&layout.recovering())?;
    let files = COPIED.map(|ending| (beside(&database, ending), beside(to, ending)));
    let bytes: u64 = files.iter().filter_map(|(file, _)| file.metadata().ok()).map(|meta| meta.len()).sum();
    let free =
        store::free(&database).map_err(|source| Error::Io { what: "cannot measure the free space".into(), source })?;
    if free < bytes {
        let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
        let detail = format!(
            "the old database is worked on in a copy, and so stays as it is: that takes {} MiB beside {}, and {} MiB are free",
            mib(bytes),
            database.display(),
            mib(free)
        );
        return Err(Refusal::new(Reason::DiskFull, detail).into());
    }
    let mut lost = 0;
    for (file, copy) in files {
        match files::copy_readable(&file, &copy) {
            Ok(bytes) => lost += bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Io { what: format!("cannot copy {}", file.display()), source }),
        }
    }
    Ok(lost)
}
