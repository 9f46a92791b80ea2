//! `recover` from the parent: where the change of keys reached it and entries from before that are lost; where rows of the old database are gone.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use danso_proto::change::{Body, PeriodClosed};
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::{Reason, Refusal};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::root::{evidence, is_aside};
use super::{Parent, join_with, meaning, on_runtime};
use crate::app::recover::{Lost, Recover, Recovered, recover};
use crate::app::{Error, clock, run};
use crate::clock::Clock as _;
use crate::config::{Config, Layout};
use crate::faults::harness::{copy_of, die_everywhere};
use crate::faults::place::Place;
use crate::keys::{LogKey, Rotation};
use crate::pipeline::{Handle, Outfit, Trouble, directory_draft, mark_restored};
use crate::store::Store;

/// A node that nothing connects.
pub(super) struct Alone {
    pub(super) layout: Layout,
    pub(super) store: Store,
    pub(super) handle: Handle,
}

impl Alone {
    pub(super) async fn at(dir: &Path) -> Self {
        let layout = Layout::open(dir).expect("its directory");
        let store = Store::open(&layout.database()).await.expect("it opens");
        let (anchor, _) = run::place(&store).await.expect("it knows its place");
        let signer = Arc::new(LogKey::load(&layout.log_key()).expect("its key"));
        let handle = Handle::start(Outfit { store: store.clone(), signer, clock: clock(), anchor }).await;
        Self { layout, store, handle: handle.expect("it starts") }
    }

    pub(super) async fn writes(&self, month: u32) {
        let unit = Config::load(&self.layout.config()).expect("its configuration").unit;
        let draft = directory_draft(unit, Body::PeriodClosed(PeriodClosed { month }), clock().now_ms());
        self.handle.write(Stream::Records, vec![draft]).await.expect("written");
    }

    pub(super) async fn rotates(&self) {
        let rotation = Rotation::new(self.layout.log_key(), self.layout.next_log_key());
        let next = rotation.begin().expect("a key");
        self.handle.rekey(next).await.expect("announced");
        rotation.finish().expect("in its place");
    }

    /// A log from an entry on.
    pub(super) async fn package(&self, stream: Stream, first: u64) -> Package {
        let log = LogId::new(self.me(), stream);
        let row = self.handle.snapshot().log(&log).cloned().expect("the log");
        let mut tx = self.store.read("test").await.expect("store");
        let entries = tx.entry_read(row.pk, first, 100, usize::MAX).await.expect("entries");
        let entries = entries.into_iter().map(|e| SealedEntry { envelope: e.envelope, parts: e.parts }).collect();
        Package { log, first, entries, checkpoint: row.checkpoint }
    }

    pub(super) async fn takes(&self, package: Package) {
        let received = self.handle.receive(package).await.expect("asked").await.expect("answered");
        assert_eq!(received.refused, None);
    }

    pub(super) fn me(&self) -> NodeId {
        self.handle.snapshot().me().clone()
    }

    pub(super) fn size(&self, log: &LogId) -> u64 {
        self.handle.snapshot().log(log).map_or(0, |row| row.head.size())
    }

    pub(super) async fn ends(self) {
        drop(self.handle);
        self.store.close().await;
    }
}

#[test]
fn a_key_that_came_behind_lost_entries_signs_on_after_a_recovery() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let data = place.path().join("commune");
        let mut parent = Parent::starts(place.path()).await;
        join_with(&data, &parent.invite().await).await.expect("joined");
        parent.stops();

        let commune = Alone::at(&data).await;
        commune.writes(202_101).await;
        let records = commune.package(Stream::Records, 0).await;
        let log = records.log.clone();
        commune.ends().await;
        let copy = place.path().join("copy.db");
        std::fs::copy(data.join("danso.db"), &copy).expect("a copy");
        // Two entries and a change of keys, of which the change alone reaches the parent; then the disk goes back to the copy.
        let commune = Alone::at(&data).await;
        commune.writes(202_102).await;
        commune.writes(202_103).await;
        commune.rotates().await;
        let announced = commune.package(Stream::Directory, 0).await;
        commune.ends().await;
        let above = Alone::at(&parent.data).await;
        above.takes(records).await;
        above.takes(announced).await;
        above.ends().await;
        for left in ["danso.db", "danso.db-wal", "danso.db-shm", "danso.db.sha256", "heads"] {
            drop(std::fs::remove_file(data.join(left)));
        }
        std::fs::rename(&copy, data.join("danso.db")).expect("the copy in its place");

        recovered(&data, &mut parent).await;

        let commune = Alone::at(&data).await;
        assert_eq!(commune.size(&log), 1);
        commune.writes(202_104).await;
        let above = Alone::at(&parent.data).await;
        above.takes(commune.package(Stream::Records, 1).await).await;
        assert_eq!(above.size(&log), 2);
        above.ends().await;
        commune.ends().await;
    });
}

/// Gets everything back from a parent that does not serve yet.
async fn recovered(data: &Path, parent: &mut Parent) -> Recovered {
    parent.serves();
    address(data, parent).await;
    let done = again(data).await.expect("recovered");
    parent.stops();
    done
}

/// Tells a node where its parent serves now.
async fn address(data: &Path, parent: &Parent) {
    let layout = Layout::open(data).expect("its directory");
    let mut config = Config::load(&layout.config()).expect("its configuration");
    config.parent = Some(parent.invite().await.parse::<crate::token::Token>().expect("a token").address);
    config.write(&layout.config()).expect("written");
}

/// `recover` without a token.
pub(super) async fn again(data: &Path) -> Result<Recovered, Error> {
    recover(Recover { data, token: None, listen: None, advertise: None, progress: &mut |_| {} }).await
}

/// Changes the database of a node that does not run behind its back.
pub(super) async fn tamper(data: &Path, statements: &[&'static str]) {
    let mut db = SqliteConnectOptions::new().filename(data.join("danso.db")).connect().await.expect("a database");
    for sql in statements {
        sqlx::query(*sql).execute(&mut db).await.expect(sql);
    }
    db.close().await.expect("closed");
}

/// Recovers with a token that the parent makes for this very node.
async fn with_token(data: &Path, node: &NodeId, parent: &mut Parent) -> Recovered {
    parent.serves();
    let token = Some(parent.invite_lost(node).await.parse().expect("a token"));
    let what = Recover { data, token, listen: None, advertise: None, progress: &mut |_| {} };
    let done = recover(what).await.expect("recovered");
    parent.stops();
    done
}

#[test]
fn what_a_lost_disk_lost_is_told_and_stops_nobody() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let data = place.path().join("commune");
        let mut parent = Parent::starts(place.path()).await;
        join_with(&data, &parent.invite().await).await.expect("joined");
        parent.stops();
        let commune = Alone::at(&data).await;
        commune.writes(202_101).await;
        let (me, records) = (commune.me(), commune.package(Stream::Records, 0).await);
        let log = records.log.clone();
        commune.writes(202_102).await;
        commune.writes(202_103).await;
        commune.ends().await;
        let heads = std::fs::read(data.join("heads")).expect("the heads");
        // Of its own log the parent holds nothing at first, then one entry.
        for here in [0, 1] {
            if here > 0 {
                let above = Alone::at(&parent.data).await;
                above.takes(records.clone()).await;
                above.ends().await;
            }
            let (_guard, dir) = copy_of(&data);
            for lost in ["danso.db", "danso.db.sha256"] {
                std::fs::remove_file(dir.join(lost)).expect("removed");
            }
            let done = with_token(&dir, &me, &mut parent).await;
            assert_eq!(done.lost, [Lost { log: log.clone(), here, written: 3 }]);
            let names = std::fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").path());
            let mut aside = names.filter(|path| path.to_string_lossy().contains("/heads.before-recover-"));
            let aside = aside.next().expect("the old heads are set aside");
            assert_eq!(std::fs::read(aside).expect("a file"), heads);
            let commune = Alone::at(&dir).await;
            assert_eq!(commune.handle.snapshot().read_only(), None);
            commune.writes(202_104).await;
            assert_eq!(commune.size(&log), here + 1);
            commune.ends().await;
        }
    });
}

/// A commune below `place` with one entry, a copy of it as it was then, and its parent, which holds the two entries that it wrote since, too; and the
/// log that they stand in.
async fn copied_before_two_entries(place: &Path) -> (Parent, PathBuf, (Place, PathBuf), LogId) {
    let data = place.join("commune");
    let mut parent = Parent::starts(place).await;
    join_with(&data, &parent.invite().await).await.expect("joined");
    parent.stops();
    let commune = Alone::at(&data).await;
    commune.writes(202_101).await;
    commune.ends().await;
    let copy = copy_of(&data);
    let commune = Alone::at(&data).await;
    commune.writes(202_102).await;
    commune.writes(202_103).await;
    let records = commune.package(Stream::Records, 0).await;
    let log = records.log.clone();
    commune.ends().await;
    let above = Alone::at(&parent.data).await;
    above.takes(records).await;
    above.ends().await;
    (parent, data, copy, log)
}

#[test]
fn what_an_old_attempt_left_that_does_not_fit_is_begun_anew() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let (mut parent, data, (_guard, left), log) = copied_before_two_entries(place.path()).await;
        let is_recovered = async |dir: PathBuf, parent: &mut Parent, about: &str| {
            let done = recovered(&dir, parent).await;
            assert_eq!((done.kept, done.apart, done.lost), (0, Vec::new(), Vec::new()), "{about}");
            let commune = Alone::at(&dir).await;
            assert_eq!(commune.size(&log), 3, "{about}");
            commune.writes(202_107).await;
            commune.ends().await;
            assert!(!dir.join("recovering").exists());
        };
        // Shorter than what the parent holds, as long, and longer.
        for month in [202_104, 202_105, 202_106] {
            let copy = Alone::at(&left).await;
            copy.writes(month).await;
            copy.ends().await;
            let (_guard, dir) = copy_of(&data);
            std::fs::create_dir(dir.join("recovering")).expect("made");
            for file in ["danso.db", "danso.db.sha256", "heads"] {
                std::fs::copy(left.join(file), dir.join("recovering").join(file)).expect("copied");
            }
            is_recovered(dir, &mut parent, &month.to_string()).await;
        }
        // Damaged: what SQLite does not even open, and what only its seal tells.
        for is_garbage in [true, false] {
            let (_guard, dir) = copy_of(&data);
            let new = dir.join("recovering");
            std::fs::create_dir(&new).expect("made");
            for file in ["danso.db", "danso.db.sha256", "heads"] {
                std::fs::copy(data.join(file), new.join(file)).expect("copied");
            }
            match is_garbage {
                true => std::fs::write(new.join("danso.db"), vec![7; 8192]).expect("written"),
                false => super::root::damage(&new),
            }
            is_recovered(dir, &mut parent, if is_garbage { "garbage" } else { "another bit" }).await;
        }
    });
}

const THIRD: [&str; 2] = [
    "PRAGMA foreign_keys = off",
    "DELETE FROM entry WHERE sequence = 3 AND log = (SELECT id FROM log WHERE name LIKE '17065%/records')",
];
const FIRST: [&str; 2] = [
    "PRAGMA foreign_keys = off",
    "DELETE FROM entry WHERE sequence = 0 AND log = (SELECT id FROM log WHERE name LIKE '17065%/records')",
];

#[test]
fn rows_that_are_gone_are_no_other_history() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let data = place.path().join("commune");
        let mut parent = Parent::starts(place.path()).await;
        join_with(&data, &parent.invite().await).await.expect("joined");
        parent.stops();
        let commune = Alone::at(&data).await;
        for month in [202_101, 202_102, 202_103] {
            commune.writes(month).await;
        }
        let records = commune.package(Stream::Records, 0).await;
        let log = records.log.clone();
        // Only here.
        commune.writes(202_104).await;
        commune.ends().await;
        let above = Alone::at(&parent.data).await;
        above.takes(records).await;
        above.ends().await;

        for (gone, kept) in [(FIRST, 1), (THIRD, 0)] {
            let (_guard, dir) = copy_of(&data);
            tamper(&dir, &gone).await;
            let done = recovered(&dir, &mut parent).await;
            assert!(done.damage.is_some(), "{gone:?}");
            assert_eq!((done.kept, done.apart), (kept, Vec::new()), "{gone:?}: {:?}", done.unread);
            let missing = format!("{log}: from entry 3 on: it is missing");
            assert_eq!(done.unread, if kept == 0 { vec![missing] } else { Vec::new() }, "{gone:?}");
            let commune = Alone::at(&dir).await;
            assert_eq!(commune.size(&log), 3 + kept);
            commune.ends().await;
        }
    });
}

#[test]
fn another_history_of_which_rows_are_gone_does_not_stop_the_log_that_was_given_back() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let (mut parent, _data, (_guard, other), log) = copied_before_two_entries(place.path()).await;

        let copy = Alone::at(&other).await;
        for month in [202_104, 202_105, 202_106] {
            copy.writes(month).await;
        }
        copy.ends().await;
        tamper(&other, &FIRST).await;
        let done = recovered(&other, &mut parent).await;
        assert_eq!((done.kept, done.apart), (0, vec![(log.clone(), 3)]), "{:?}", done.unread);
        let copy = Alone::at(&other).await;
        assert_eq!(copy.size(&log), 3);
        copy.writes(202_107).await;
        copy.ends().await;
    });
}

#[test]
fn logs_of_others_stay_stopped_and_own_ones_go_on() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let data = place.path().join("commune");
        let mut parent = Parent::starts(place.path()).await;
        join_with(&data, &parent.invite().await).await.expect("joined");
        parent.stops();
        let commune = Alone::at(&data).await;
        commune.writes(202_101).await;
        let records = commune.package(Stream::Records, 0).await;
        let own = records.log.clone();
        let above = Alone::at(&parent.data).await;
        let others = LogId::new(above.me(), Stream::Directory);
        above.takes(records).await;
        above.ends().await;
        for (log, reason) in [(&own, Reason::ReadOnly), (&others, Reason::RootDiffers)] {
            let trouble = Trouble { refusal: Refusal::new(reason, "as the test says") };
            commune.handle.trouble(log.clone(), Some(trouble)).await.expect("stopped");
        }
        mark_restored(&commune.store, 7).await.expect("marked");
        commune.ends().await;
        recovered(&data, &mut parent).await;
        let commune = Alone::at(&data).await;
        let snapshot = commune.handle.snapshot();
        let stopped = snapshot.log(&others).and_then(|row| row.trouble.clone());
        assert_eq!(stopped, Some(("root_differs".into(), "as the test says".into())));
        assert_eq!(snapshot.log(&own).and_then(|row| row.trouble.clone()), None);
        assert_eq!(snapshot.restored(), None, "its parent gave all that it holds");
        commune.writes(202_102).await;
        commune.ends().await;
    });
}

#[test]
fn recover_goes_on_wherever_it_died_and_the_old_database_stays_as_it_was() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let data = place.path().join("commune");
        let mut parent = Parent::starts(place.path()).await;
        join_with(&data, &parent.invite().await).await.expect("joined");
        // What only it has is in the write-ahead log.
        let commune = Alone::at(&data).await;
        commune.writes(202_101).await;
        let log = LogId::new(commune.me(), Stream::Records);
        let (_guard, prepared) = copy_of(&data);
        commune.ends().await;
        address(&prepared, &parent).await;
        let before = evidence(&prepared, "danso.db");
        let after = RefCell::new(String::new());
        let has_all = async |dir: &Path, about: &str| {
            assert!(is_aside(dir, &before), "{about}");
            let commune = Alone::at(dir).await;
            assert_eq!(commune.size(&log), 1, "{about}");
            commune.ends().await;
        };
        let points = die_everywhere(
            &prepared,
            async |dir: PathBuf| drop(again(&dir).await),
            async |dir: PathBuf| {
                after.replace(meaning(&dir).await);
                has_all(&dir, "undisturbed").await;
            },
            async |dir: PathBuf, at, point| {
                let about = format!("recover, dying at point {at} ({point:?})");
                let done = again(&dir).await.unwrap_or_else(|error| panic!("{about}: {error:?}"));
                assert!(done.lost.is_empty() && done.unread.is_empty(), "{about}: {:?} {:?}", done.lost, done.unread);
                assert_eq!(meaning(&dir).await, *after.borrow(), "{about}");
                has_all(&dir, &about).await;
            },
        )
        .await;
        println!("recover: died at {} points", points.len());
        assert!(points.len() > 40, "{points:?}");
        parent.stops();
    });
}
