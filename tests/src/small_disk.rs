//! A small real file system, and a file on it that takes the room away and gives it back. It may not know nodes.
//!
//! Making one needs root, or a user namespace of one's own: the test runs itself again inside of one.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Set in the process that is inside.
const INSIDE: &str = "DANSO_SMALL_DISK_INSIDE";

/// Runs the test with this full name inside of its own mount namespace. `true`: this is that process, go on with the test; `false`: that
/// process ran the test, and it passed.
///
/// # Panics
/// When the test failed inside, or when this machine lets nobody mount anything, with what to do about it.
pub fn inside(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let may = |args: &[&str]| {
        let done = Command::new("unshare").args(args).arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    // As root a mount namespace is enough; anybody else becomes root in a user namespace.
    let flags = ["-m", "-rm"].into_iter().find(|flags| may(&[flags])).unwrap_or_else(|| {
        panic!(
            "this test needs a small file system of its own: run it as root, or allow user namespaces \
             (sysctl kernel.unprivileged_userns_clone=1, or user.max_user_namespaces > 0)"
        )
    });
    let own = env::current_exe().expect("a running test has an executable");
    let mut command = Command::new("unshare");
    command.arg(flags).arg(own).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare was there a moment ago");
    assert!(status.success(), "the test failed inside of its namespace: see above");
    false
}

/// A file system of a few MiB. It goes when this is dropped.
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Of this size. Only [`inside`].
    #[track_caller]
    pub fn of_mib(mib: u64) -> Self {
        // A short name: the path of a unix socket has 107 bytes at most.
        let dir = tempfile::Builder::new().prefix("danso-").tempdir().expect("there is a place for temporary files");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        let mounted = mounted.expect("mount(8) is on every Linux");
        assert!(mounted.status.success(), "mount: {}", String::from_utf8_lossy(&mounted.stderr));
        Self { dir }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).expect("a mounted file system tells");
        stat.f_bavail * stat.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all room but this.
    pub fn leave_free(&self, bytes: u64) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        let chunk = vec![0; 64 * 1024];
        loop {
            let more = self.free().saturating_sub(bytes).min(chunk.len() as u64) as usize;
            // Whoever else writes may take the last of it.
            if more == 0 || file.write_all(&chunk[..more]).is_err() {
                return;
            }
        }
    }

    /// Gives the room back.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
