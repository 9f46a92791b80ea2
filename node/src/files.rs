//! Small files that must be whole or absent: written beside, synced, then named. Knows nothing of what is in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::faults::{Point, pass};

/// Writes a file that must not exist yet: `AlreadyExists` otherwise. After return it is durable, with `mode` and never wider.
pub fn create_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, bytes, mode)?;
    // A hard link, because a rename would silently replace what is there.
    pass(path, Point::Name)?;
    let linked = fs::hard_link(&beside, path);
    pass(&beside, Point::Remove)?;
    fs::remove_file(&beside)?;
    linked?;
    sync_parent(path)
}

/// Writes a file or replaces it as a whole. After return it is durable.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_unnamed(path, bytes, mode)?;
    sync_parent(path)
}

/// As [`replace`], with one sync less: whenever the power goes there is one whole content under the name, and if it goes within the next
/// seconds that may be the one before.
pub fn replace_unnamed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, bytes, mode)?;
    pass(path, Point::Name)?;
    fs::rename(&beside, path)
}

/// Removes a file, for good when this returns; that there is none is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    pass(path, Point::Remove)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_parent(path),
    }
}

/// Gives a whole file another name, in place of what was there. After return it is durable.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    pass(to, Point::Name)?;
    fs::rename(from, to)?;
    sync_parent(to)
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // left by a process that was killed while it wrote
    }
    pass(&beside, Point::Create)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    pass(&beside, Point::Write)?;
    file.write_all(bytes)?;
    pass(&beside, Point::Sync)?;
    file.sync_all()?;
    Ok(beside)
}

/// Makes a new name in the directory of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    pass(path, Point::SyncNames)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_new_file_never_replaces_one() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a");
        create_new(&path, b"one", 0o600).expect("first");
        assert_eq!(create_new(&path, b"two", 0o600).expect_err("second").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("read"), b"one");
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
        replace(&path, b"three", 0o644).expect("replace");
        assert_eq!(fs::read(&path).expect("read"), b"three");
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "nothing is left beside");
    }

    #[test]
    fn what_a_killed_writer_left_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join(".a.new"), "half").expect("leftover");
        create_new(&dir.path().join("a"), b"whole", 0o600).expect("create");
        assert_eq!(fs::read(dir.path().join("a")).expect("read"), b"whole");
    }
}
