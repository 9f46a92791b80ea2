//! How the store is: how much room the disk has, and whether damage was found. Measures, remembers and tells; what follows from it is
//! decided elsewhere. Knows nothing of jobs, reasons or people.
//!
//! Two marks on the way down, because of who can wait: below the configured floor the packages of others are refused, which stay with
//! their senders and come again by themselves; below half of it new entries of this node, too, which nobody else has. What is left then is
//! for small things that let others make room: receipts, directory entries, a log's trouble.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::{Error, error::Over};

/// Free bytes below which a node is low, when nothing is configured: a batch of an import writes a few MiB, a checkpoint of the
/// write-ahead log up to 64.
pub const FLOOR: u64 = 64 * 1024 * 1024;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough.
    Room,
    /// Below the floor.
    Low,
    /// Below half of the floor, or a write has failed for want of room.
    Full,
}

/// The disk under the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// How it is.
    pub level: Level,
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes below which it is low.
    pub floor: u64,
}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The disk.
    pub disk: Disk,
    /// Damage that was found since the start.
    pub damage: Option<String>,
    /// The disk may have changed what no hash protects, because nothing says that the file is what the process before this one wrote; and
    /// nobody has looked since.
    pub uncompared: bool,
    /// As that, and pages and indices have not been checked either: the database is large.
    pub unchecked: bool,
    /// Why no database server can be written to, while that is so.
    pub away: Option<String>,
    /// Why this process must write nothing more to the database.
    pub over: Option<Over>,
}

type Probe = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Watches over one store.
pub struct Condition {
    path: PathBuf,
    probe: Mutex<Probe>,
    health: watch::Sender<Health>,
    mended: AtomicBool,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condition").field("path", &self.path).field("health", &*self.health.borrow()).finish()
    }
}

impl Condition {
    /// Of the store in this file.
    pub(super) fn new(path: &Path) -> Self {
        let disk = Disk { level: Level::Room, free: u64::MAX, floor: FLOOR };
        let (health, _) =
            watch::channel(Health { disk, damage: None, uncompared: false, unchecked: false, away: None, over: None });
        Self { path: path.to_path_buf(), probe: Mutex::new(Box::new(free)), health, mended: AtomicBool::new(false) }
    }

    /// Remembers whether what no hash protects is still to be compared with the logs.
    pub fn set_uncompared(&self, uncompared: bool) {
        self.health.send_modify(|health| health.uncompared = uncompared);
    }

    /// Remembers whether pages and indices are still to be checked.
    pub(super) fn set_unchecked(&self, unchecked: bool) {
        self.health.send_modify(|health| health.unchecked = unchecked);
    }

    pub(super) fn set_mended(&self) {
        self.mended.store(true, Ordering::Relaxed);
    }

    /// Whether indices that did not fit their tables were made again since the store was opened.
    pub fn is_mended(&self) -> bool {
        self.mended.load(Ordering::Relaxed)
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Free bytes below which the disk counts as low.
    pub fn set_floor(&self, bytes: u64) {
        self.health.send_modify(|health| health.disk.floor = bytes);
    }

    /// Another way to ask for free bytes, for tests.
    pub fn set_probe(&self, probe: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static) {
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(probe);
    }

    /// How it was when it was looked at last.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// News of it.
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Measures the room: one system call, so that it can be done before every batch.
    pub fn measure(&self) -> Health {
        self.look(false)
    }

    /// Measures the room, and lets a disk count as not full again on which a write failed though there seemed to be room (a quota): the next
    /// write finds out.
    pub fn tick(&self) -> Health {
        self.look(true)
    }

    fn look(&self, forgive: bool) -> Health {
        let free = (self.probe.lock().unwrap_or_else(PoisonError::into_inner))(&self.path);
        let free = match free {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(%error, "the free space could not be measured");
                return self.health();
            }
        };
        self.health.send_if_modified(|health| {
            let level = level(health.disk, free, forgive);
            let changed = level != health.disk.level;
            (health.disk.level, health.disk.free) = (level, free);
            changed
        });
        self.health()
    }

    /// It can be written to.
    pub(super) fn answers(&self) {
        self.health.send_if_modified(|health| health.away.take().is_some());
    }

    /// Remembers what an error says about the store, and hands it on.
    pub fn noted(&self, error: Error) -> Error {
        self.note(&error);
        error
    }

    /// Remembers what an error says about the store.
    pub fn note(&self, error: &Error) {
        if error.is_away() {
            self.health.send_if_modified(|health| {
                let first = health.away.is_none();
                health.away = Some(error.told());
                first
            });
        } else if let Some(over) = error.over() {
            self.health.send_if_modified(|health| health.over.replace(over).is_none());
        } else if error.is_full() {
            self.health.send_if_modified(|health| {
                let changed = health.disk.level != Level::Full;
                health.disk.level = Level::Full;
                changed
            });
        } else if error.is_damage() {
            self.health.send_if_modified(|health| {
                let first = health.damage.is_none();
                if first {
                    tracing::error!(%error, "ALARM: the database is damaged");
                    health.damage = Some(error.to_string());
                }
                first
            });
        }
    }
}

/// The level at `free` bytes. Up again only with an eighth more than the mark, so that it does not flutter.
fn level(before: Disk, free: u64, forgive: bool) -> Level {
    let above = |mark: u64| free >= mark.saturating_add(before.floor / 8);
    let (low, full) = (before.floor, before.floor / 2);
    match before.level {
        _ if free < full => Level::Full,
        Level::Full if !above(full) || !forgive && free >= low => Level::Full,
        Level::Full | Level::Low if !above(low) => Level::Low,
        _ if free < low => Level::Low,
        _ => Level::Room,
    }
}

/// Bytes that this process may write where the store is.
///
/// # Errors
/// When the file system does not tell.
pub fn free(path: &Path) -> io::Result<u64> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(steps: &[(u64, bool)]) -> Vec<Level> {
        let mut disk = Disk { level: Level::Room, free: 0, floor: 64 };
        steps
            .iter()
            .map(|(free, forgive)| {
                disk.level = level(disk, *free, *forgive);
                disk.level
            })
            .collect()
    }

    #[test]
    fn it_goes_down_at_the_marks_and_up_with_a_margin() {
        use Level::{Full, Low, Room};
        let levels =
            walk(&[(64, false), (63, false), (70, false), (72, true), (31, false), (35, true), (40, true), (72, true)]);
        assert_eq!(levels, [Room, Low, Low, Room, Full, Full, Low, Room]);
        assert_eq!(walk(&[(0, false), (1_000, true)]), [Full, Room], "at once when there is plenty");
    }

    #[test]
    fn a_write_that_failed_counts_more_than_what_is_measured_until_the_next_tick() {
        let dir = tempfile::tempdir().expect("directory");
        let condition = Condition::new(&dir.path().join("db"));
        assert_eq!(condition.measure().disk.level, Level::Room, "a real disk is asked");
        condition.note(&Error::DiskFull { during: "test" });
        assert_eq!(condition.measure().disk.level, Level::Full);
        assert_eq!(condition.tick().disk.level, Level::Room);
    }

    #[test]
    fn the_first_damage_is_remembered() {
        let condition = Condition::new(Path::new("db"));
        condition.note(&Error::damaged("one"));
        condition.note(&Error::damaged("two"));
        assert_eq!(condition.health().damage.as_deref(), Some("the database is damaged: one"));
    }
}
