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

/// Puts the new database, which is closed, in the old one's place, and the old one aside with the files that belong to it; where it is then.
pub(super) fn swap(layout: &Layout, now_ms: i64) -> Result<Option<PathBuf>, Error> {
    let (database, new) = (layout.database(), layout.recovering().join(DATABASE));
    let name = format!("danso.db.before-recover-{now_ms}");
    let to = layout.dir().join(&name);
    let aside = database.exists().then(|| to.clone());
    // Without the database, too, what belonged to it must not be taken for the new one's.
    if aside.is_some() || ENDINGS.iter().any(|ending| beside(&database, ending).exists()) {
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
    ENDINGS.iter().try_for_each(|ending| rename_if_there(&beside(&layout.database(), ending), &beside(to, ending)))
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
