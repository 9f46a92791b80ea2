//! The new database takes the old one's place. Cut anywhere, nothing is lost: what was set aside is put back by the next `recover`, which then
//! makes the new database anew, or finds it whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use danso_proto::refusal::{Reason, Refusal};

use super::super::Error;
use super::{DATABASE, HEADS};
use crate::config::Layout;
use crate::files;

/// Says under which name the old database is set aside; there while that goes on.
const ASIDE: &str = "aside";
/// Endings of the files that belong to a database.
const ENDINGS: [&str; 3] = ["-wal", "-shm", ".sha256"];
const SEAL: &str = ".sha256";
/// What the names of a database that is set aside, and of the heads beside it, end with.
const BEFORE: &str = ".before-recover-";

/// A file that belongs to a database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn io(what: &str) -> impl FnOnce(io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Io { what, source }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    if from.exists() { files::rename(from, to) } else { Ok(()) }
}

/// The heads that belong to a database that is set aside.
fn heads_beside(aside: &Path) -> PathBuf {
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    aside.with_file_name(name.replacen(DATABASE, HEADS, 1))
}

/// Puts the new database, which is closed, in the old one's place, and the old one aside with the files that belong to it; where it is then.
pub(super) fn swap(layout: &Layout, now_ms: i64) -> Result<Option<PathBuf>, Error> {
    let (database, new) = (layout.database(), layout.recovering().join(DATABASE));
    // SQLite folds it in when the database is closed, and tells nobody that there was no room.
    if beside(&new, "-wal").metadata().is_ok_and(|wal| wal.len() > 0) {
        let detail = "the new database could not be written to the end; run recover again, it goes on where it was cut";
        return Err(Refusal::new(Reason::DiskFull, detail).into());
    }
    let name = format!("{DATABASE}{BEFORE}{now_ms}");
    let to = layout.dir().join(&name);
    let aside = database.exists().then(|| to.clone());
    // Without the database, too, what belonged to it must not be taken for the new one's.
    let left = ENDINGS.iter().map(|ending| beside(&database, ending)).chain([layout.dir().join(HEADS)]);
    if aside.is_some() || left.into_iter().any(|file| file.exists()) {
        set_aside(layout, &name, &to).map_err(io("cannot set the old database aside"))?;
    }
    // The heads first: cut between the two, there is no database, and recover is run again.
    rename_if_there(&layout.recovering().join(HEADS), &layout.dir().join(HEADS))
        .map_err(io("cannot put the heads in their place"))?;
    files::rename(&new, &database).map_err(io("cannot put the new database in its place"))?;
    let seal = |path: &Path| beside(path, SEAL);
    rename_if_there(&seal(&new), &seal(&database)).map_err(io("cannot put the new database's seal in its place"))?;
    fs::remove_dir_all(layout.recovering()).map_err(io("cannot remove the directory of the new database"))?;
    Ok(aside)
}

/// The database first: its write-ahead log alone, in its place, is what tells that it was here.
fn set_aside(layout: &Layout, name: &str, to: &Path) -> io::Result<()> {
    files::replace(&layout.recovering().join(ASIDE), name.as_bytes(), 0o600)?;
    rename_if_there(&layout.database(), to)?;
    ENDINGS.iter().try_for_each(|ending| rename_if_there(&beside(&layout.database(), ending), &beside(to, ending)))?;
    rename_if_there(&layout.dir().join(HEADS), &heads_beside(to))
}

/// Where a swap was cut, ends it if the new database is in its place, and else puts the old one back.
pub(super) fn resume(layout: &Layout) -> Result<(), Error> {
    let mark = layout.recovering().join(ASIDE);
    let (has_old, has_new) = (layout.database().exists(), layout.recovering().join(DATABASE).exists());
    let resumed = match fs::read_to_string(&mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(name) if has_old && has_new && layout.dir().join(&name).exists() => {
            let detail = format!("{} was made after {name} was set aside; move it away", layout.database().display());
            return Err(Refusal::new(Reason::DirectoryNotEmpty, detail).into());
        }
        // What else is left there is its seal, which does not hold any more if the node ran since.
        Ok(_) if has_old && !has_new => fs::remove_dir_all(layout.recovering()),
        Ok(_) if has_old => files::remove(&mark),
        Ok(name) => put_back(layout, &layout.dir().join(name)).and_then(|()| files::remove(&mark)),
    };
    resumed.map_err(io("cannot go on with the recovery that was cut"))
}

/// The other way round, the database last.
fn put_back(layout: &Layout, aside: &Path) -> io::Result<()> {
    for ending in ENDINGS {
        rename_if_there(&beside(aside, ending), &beside(&layout.database(), ending))?;
    }
    // Those of the new database, if they are there, are made again from it.
    rename_if_there(&heads_beside(aside), &layout.dir().join(HEADS))?;
    rename_if_there(aside, &layout.database())
}

/// Removes a new database that is not wanted, whole or not.
pub(super) fn remove_new(layout: &Layout) -> Result<(), Error> {
    let new = layout.recovering().join(DATABASE);
    let files = ENDINGS.iter().map(|ending| beside(&new, ending)).chain([new.clone(), layout.recovering().join(HEADS)]);
    for file in files {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("cannot remove what an earlier recovery made")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_that_is_not_in_its_file_yet_takes_no_place() {
        let place = tempfile::tempdir().expect("directory");
        let layout = Layout::create(place.path().join("node")).expect("a directory");
        layout.make(&layout.recovering()).expect("made");
        let new = layout.recovering().join(DATABASE);
        let files = [layout.database(), layout.dir().join(HEADS), new.clone(), beside(&new, "-wal")];
        for file in &files {
            fs::write(file, file.display().to_string()).expect("written");
        }
        let error = swap(&layout, 7).expect_err("refused");
        assert!(matches!(&error, Error::Refused(refusal) if refusal.reason == Reason::DiskFull), "{error:?}");
        for file in &files {
            assert_eq!(fs::read_to_string(file).expect("as it was"), file.display().to_string());
        }
        // Folded in.
        fs::write(beside(&new, "-wal"), "").expect("written");
        let aside = swap(&layout, 7).expect("swapped").expect("the old one");
        let is = |file: &Path, was: &Path| assert_eq!(fs::read_to_string(file).expect("a file"), was.to_string_lossy());
        is(&layout.database(), &new);
        is(&aside, &layout.database());
        is(&layout.dir().join("heads.before-recover-7"), &layout.dir().join(HEADS));
        assert!(!layout.dir().join(HEADS).exists() && !layout.recovering().exists());
    }
}
