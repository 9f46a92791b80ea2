//! Small files that must be whole or absent: written beside, synced, then named. Knows nothing of what is in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
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

/// The first line of a file that holds a secret, which others must not be able to read.
pub fn secret_line(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.mode() & 0o007 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "everybody on this machine may read it"));
    }
    first_line(path)
}

/// The first line of a file, which must not be empty.
pub fn first_line(path: &Path) -> io::Result<String> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().next().unwrap_or_default().trim_end_matches('\r');
    match line.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "it begins with an empty line")),
        false => Ok(line.to_owned()),
    }
}

/// Gives a whole file another name, in place of what was there. After return it is durable.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    pass(from, Point::Leave)?;
    pass(to, Point::Name)?;
    fs::rename(from, to)?;
    sync_parent(to)
}

/// Bytes that are read at a time, and those that are given up where they cannot be read.
const CHUNK: (usize, usize) = (1024 * 1024, 4096);

/// Copies a file, in place of what was there, as far as it can be read: what the disk does not give is zeros in the copy, and so many bytes.
/// The copy is for this run only, and not synced.
pub fn copy_readable(from: &Path, to: &Path) -> io::Result<u64> {
    let file = File::open(from)?;
    let bytes = file.metadata()?.len();
    pass(to, Point::Create)?;
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    pass(to, Point::Write)?;
    read_all(bytes, |buffer, at| file.read_exact_at(buffer, at), |bytes| copy.write_all(bytes))
}

fn read_all(
    bytes: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut buffer, mut at, mut lost) = (vec![0; CHUNK.0], 0, 0);
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(usize::MAX);
        let chunk = &mut buffer[..left.min(CHUNK.0)];
        if read(chunk, at).is_err() {
            for (n, block) in chunk.chunks_mut(CHUNK.1).enumerate() {
                if read(block, at + (n * CHUNK.1) as u64).is_err() {
                    block.fill(0);
                    lost += block.len() as u64;
                }
            }
        }
        write(chunk)?;
        at += chunk.len() as u64;
    }
    Ok(lost)
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
    fn a_secret_that_everybody_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("password");
        create_new(&path, b"secret\r\nmore", 0o640).expect("written");
        assert_eq!(secret_line(&path).expect("read"), "secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("opened");
        assert_eq!(secret_line(&path).expect_err("open").kind(), io::ErrorKind::PermissionDenied);
        replace(&path, b"\nsecret", 0o600).expect("written");
        assert_eq!(secret_line(&path).expect_err("empty").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_copy_goes_on_behind_what_the_disk_does_not_give() {
        let whole: Vec<u8> = (0..CHUNK.0 + 3 * CHUNK.1 + 7).map(|n| (n % 251) as u8 + 1).collect();
        let bad = CHUNK.0 + CHUNK.1..CHUNK.0 + 2 * CHUNK.1;
        let read = |buffer: &mut [u8], at: u64| {
            let at = at as usize;
            if at < bad.end && bad.start < at + buffer.len() {
                return Err(io::Error::from_raw_os_error(5));
            }
            buffer.copy_from_slice(&whole[at..at + buffer.len()]);
            Ok(())
        };
        let mut copy = Vec::new();
        let lost = read_all(whole.len() as u64, read, |bytes| {
            copy.extend_from_slice(bytes);
            Ok(())
        });
        assert_eq!(lost.expect("copied"), CHUNK.1 as u64);
        let mut expected = whole.clone();
        expected[bad.clone()].fill(0);
        assert!(copy == expected);
    }

    #[test]
    fn what_a_killed_writer_left_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join(".a.new"), "half").expect("leftover");
        create_new(&dir.path().join("a"), b"whole", 0o600).expect("create");
        assert_eq!(fs::read(dir.path().join("a")).expect("read"), b"whole");
    }
}
