//! Where things lie in a node's directory, and the lock that keeps it to one process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a unix socket's path at most (`sun_path` less its ending zero).
const SOCKET_PATH_MAX: usize = 107;

/// A node's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(PathBuf);

/// Why a directory cannot be a node's.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// There is none.
    #[error("{} is not a directory; make a node there with `danso-node init` or `danso-node join`, or name another with --data", .0.display())]
    Missing(PathBuf),
    /// Another process has it.
    #[error("another process{} runs on {}; stop it first, or use another directory", pid(process), path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if it could write its id.
        process: Option<u32>,
    },
    /// The admin socket could not be bound there.
    #[error("the path of {} is too long for a unix socket (at most {SOCKET_PATH_MAX} bytes); use a shorter directory", .0.display())]
    PathTooLong(PathBuf),
    /// The file system refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn pid(process: &Option<u32>) -> String {
    process.map(|id| format!(" ({id})")).unwrap_or_default()
}

impl Layout {
    /// The directory of an existing node.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let layout = Self(dir.into());
        match layout.0.is_dir() {
            true => layout.checked(),
            false => Err(LayoutError::Missing(layout.0)),
        }
    }

    /// Makes what is missing of the directories, for the node's user only. What is there is left as it is.
    pub fn create(dir: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let layout = Self(dir.into()).checked()?;
        for path in [layout.0.clone(), layout.keys()] {
            layout.make(&path)?;
        }
        Ok(layout)
    }

    /// The directories that are not there on the way to this one, itself first: what [`Layout::create`] would make.
    pub fn missing(dir: &Path) -> Vec<PathBuf> {
        let above = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty());
        above.take_while(|dir| !dir.exists()).map(Path::to_path_buf).collect()
    }

    /// Makes a directory for the node's user only, unless it is there.
    pub fn make(&self, path: &Path) -> Result<(), LayoutError> {
        let failed = |source| LayoutError::Io { what: "make the directory", path: path.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
    }

    fn checked(self) -> Result<Self, LayoutError> {
        match self.admin_socket().as_os_str().len() <= SOCKET_PATH_MAX {
            true => Ok(self),
            false => Err(LayoutError::PathTooLong(self.admin_socket())),
        }
    }

    /// Takes the directory for this process, until the lock is dropped or the process ends, however it ends.
    pub fn lock(&self) -> Result<DirLock, LayoutError> {
        self.lock_file("lock")
    }

    /// Takes the right to make a backup, so that two do not clear each other's copies away. The node may run meanwhile.
    pub fn lock_for_backup(&self) -> Result<DirLock, LayoutError> {
        self.lock_file("backup.lock")
    }

    fn lock_file(&self, name: &str) -> Result<DirLock, LayoutError> {
        let path = self.0.join(name);
        let io = |source| LayoutError::Io { what: "lock", path: path.clone(), source };
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let process = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LayoutError::Busy { path: self.0.clone(), process });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(DirLock { _file: file })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// `danso.toml`.
    pub fn config(&self) -> PathBuf {
        self.0.join("danso.toml")
    }

    /// The SQLite database.
    pub fn database(&self) -> PathBuf {
        self.0.join("danso.db")
    }

    /// Directory of the database that `recover` makes, until it is whole and takes the other one's place.
    pub fn recovering(&self) -> PathBuf {
        self.0.join("recovering")
    }

    /// The unix socket of the admin service.
    pub fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// Directory of keys and certificates.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// Key that signs the node's logs.
    pub fn log_key(&self) -> PathBuf {
        self.keys().join("log.pem")
    }

    /// The key that signs next, while the node changes from one to the other.
    pub fn next_log_key(&self) -> PathBuf {
        self.keys().join("log-next.pem")
    }

    /// Key for TLS.
    pub fn link_key(&self) -> PathBuf {
        self.keys().join("link.pem")
    }

    /// Certificate of the link key, issued by the parent; the root has none.
    pub fn link_certificate(&self) -> PathBuf {
        self.keys().join("link-cert.pem")
    }

    /// Certificate of the parent's CA; the root has none.
    pub fn parent_ca_certificate(&self) -> PathBuf {
        self.keys().join("parent-ca-cert.pem")
    }

    /// Key of the node's own CA.
    pub fn ca_key(&self) -> PathBuf {
        self.keys().join("ca.pem")
    }

    /// Certificate of the node's own CA.
    pub fn ca_certificate(&self) -> PathBuf {
        self.keys().join("ca-cert.pem")
    }
}

/// A directory in which there was nothing before a verb began: all that is in it is the verb's, and goes when that is refused.
#[derive(Debug)]
pub struct Fresh {
    dir: PathBuf,
    missing: Vec<PathBuf>,
}

impl Fresh {
    /// If nothing is in the directory but what [`Layout::create`] and [`Layout::lock`] make; `missing` is what was not there before. The lock
    /// is held: another process may have made a node here since.
    pub fn of(layout: &Layout, missing: Vec<PathBuf>) -> Option<Self> {
        let is_empty = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        let ours = |entry: fs::DirEntry| match entry.file_name().to_str() {
            Some("lock") => true,
            Some("keys") => is_empty(&entry.path()),
            _ => false,
        };
        let mut entries = fs::read_dir(&layout.0).ok()?;
        entries.all(|entry| entry.is_ok_and(ours)).then(|| Self { dir: layout.0.clone(), missing })
    }

    /// Takes away what was made.
    pub fn remove(self) {
        if let Err(error) = self.try_remove() {
            tracing::warn!(%error, dir = %self.dir.display(), "what was made could not be removed again");
        }
    }

    fn try_remove(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        // Others may have put something beside it.
        self.missing.iter().try_for_each(fs::remove_dir)
    }
}

/// Holds a node's directory for this process.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}
