//! Files that a command writes. They may hold personal data, so only their owner may read them, and a file is whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::Failure;

/// A file that is being written beside its place, under a name with `.part` behind it.
#[derive(Debug)]
pub struct Draft {
    place: PathBuf,
    part: PathBuf,
    file: File,
}

impl Draft {
    /// Begins a file that will stand at `place`.
    pub fn begin(place: &Path) -> Result<Self, Failure> {
        let mut part = place.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let begin = || -> anyhow::Result<File> {
            // A part that was left behind may be open to others, or be a link: never write into it.
            match fs::remove_file(&part) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
            Ok(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?)
        };
        let file = begin().with_context(|| format!("cannot write {}", part.display()))?;
        Ok(Self { place: place.into(), part, file })
    }

    /// The file, to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts the file in its place, whole and durable.
    pub fn finish(self) -> Result<(), Failure> {
        let finish = || -> std::io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.part, &self.place)
        };
        Ok(finish().with_context(|| format!("cannot write {}", self.place.display()))?)
    }
}

/// Writes a file; one of that name is replaced.
pub fn replace(place: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut draft = Draft::begin(place)?;
    draft.file().write_all(bytes).with_context(|| format!("cannot write {}", place.display()))?;
    draft.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_replaced_whole_and_is_private() {
        let dir = tempfile::tempdir().expect("temp dir");
        let place = dir.path().join("x.proof");
        fs::write(&place, "old").expect("writes");
        let draft = Draft::begin(&place).expect("begins");
        assert_eq!(fs::read(&place).expect("reads"), b"old", "nothing is touched before the end");
        draft.finish().expect("finishes");
        replace(&place, b"new").expect("replaces");
        assert_eq!(fs::read(&place).expect("reads"), b"new");
        assert_eq!(fs::metadata(&place).expect("metadata").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1, "no part is left");
    }
}
