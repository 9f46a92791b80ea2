//! `recover` at the root: from its own damaged database, which is evidence and stays as it is.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use danso_proto::ids::{LogId, Stream};
use danso_proto::refusal::{Reason, Refusal};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::recover::{Alone, again, tamper};
use super::{Parent, join_with, list, meaning, on_runtime, set_up};
use crate::app::Error;
use crate::faults::harness::{copy_of, die_everywhere};
use crate::faults::plan::Plan;
use crate::pipeline::{Trouble, mark_restored};
use crate::store::Store;

/// A bit of the header that SQLite does not use: only the seal tells that the file changed.
pub(super) fn damage(data: &Path) {
    let file = fs::File::options().write(true).open(data.join("danso.db")).expect("a database");
    file.write_all_at(&[1], 72).expect("written");
}

/// The page at which a table begins is zeros.
async fn damage_table(data: &Path, of: &Path, table: &str) {
    let mut db = SqliteConnectOptions::new().filename(of.join("danso.db")).connect().await.expect("a database");
    let page: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_master WHERE name = $1")
        .bind(table)
        .fetch_one(&mut db)
        .await
        .expect("a table");
    drop(db);
    let file = fs::File::options().write(true).open(data.join("danso.db")).expect("a database");
    file.write_all_at(&[0; 4096], (page as u64 - 1) * 4096).expect("written");
}

/// The files of the old database.
pub(super) fn evidence(data: &Path, name: &str) -> Vec<Option<Vec<u8>>> {
    ["", "-wal"].map(|ending| fs::read(data.join(format!("{name}{ending}"))).ok()).to_vec()
}

/// Whether these files of an old database were set aside, in one run or another.
pub(super) fn is_aside(data: &Path, files: &[Option<Vec<u8>>]) -> bool {
    let names = fs::read_dir(data).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names = names.filter_map(|name| name.into_string().ok());
    names.any(|name| name.starts_with("danso.db.before-recover-") && evidence(data, &name) == files)
}

/// A root with a commune that changed its key and wrote a record, all of which is here; the commune's log of records.
pub(super) async fn with_commune(place: &Path) -> (PathBuf, LogId, LogId) {
    let data = place.join("commune");
    let mut root = Parent::starts(place).await;
    join_with(&data, &root.invite().await).await.expect("joined");
    root.stops();
    let commune = Alone::at(&data).await;
    commune.rotates().await;
    commune.writes(202_101).await;
    let (directory, records) = (commune.package(Stream::Directory, 0).await, commune.package(Stream::Records, 0).await);
    commune.ends().await;
    let logs = (directory.log.clone(), records.log.clone());
    let above = Alone::at(&root.data).await;
    above.takes(directory).await;
    above.takes(records).await;
    above.ends().await;
    (root.data.clone(), logs.0, logs.1)
}

#[test]
fn logs_of_others_that_can_be_read_are_there_after_a_root_was_made_again() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let (data, directory, records) = with_commune(place.path()).await;
        damage(&data);
        let done = again(&data).await.expect("recovered");
        assert_eq!(done.unread, Vec::<String>::new());
        let store = Store::open(&data.join("danso.db")).await.expect("it opens");
        assert!(!store.condition().health().uncompared, "its seal came with it");
        store.close().await;
        let root = Alone::at(&data).await;
        assert_eq!((root.size(&directory), root.size(&records)), (1, 1));
        root.ends().await;
        assert!(!data.join("recovering").exists());
    });
}

/// What the disk changed in an entry, in a file that nothing sealed: a power cut ended the node.
async fn damage_entry(data: &Path, statement: &'static str) {
    tamper(data, &[statement]).await;
    fs::remove_file(data.join("danso.db.sha256")).expect("removed");
}

#[test]
fn a_root_with_an_entry_that_the_disk_changed_is_made_again_unless_it_wrote_it() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let (data, directory, records) = with_commune(place.path()).await;
        // What is read then: the commune's directory and its records.
        let others = [
            (
                "UPDATE entry SET envelope = CAST(envelope || x'00' AS BLOB) WHERE log IN (SELECT id FROM log WHERE name LIKE '17065%records')",
                (1, 0),
            ),
            (
                "UPDATE entry SET leaf = zeroblob(32) WHERE log IN (SELECT id FROM log WHERE name LIKE '17065%records')",
                (1, 0),
            ),
            (
                "UPDATE entry SET parts = x'0102' WHERE log IN (SELECT id FROM log WHERE name LIKE '17065%records')",
                (1, 0),
            ),
            (
                "UPDATE entry SET set_id = zeroblob(12) WHERE log IN (SELECT id FROM log WHERE name LIKE '17065%records')",
                (1, 1),
            ),
            // Its new key is announced there, with which it signed the record.
            (
                "UPDATE entry SET leaf = zeroblob(32) WHERE log IN (SELECT id FROM log WHERE name LIKE '17065%directory')",
                (0, 0),
            ),
        ];
        for (statement, left) in others {
            let (_guard, dir) = copy_of(&data);
            damage_entry(&dir, statement).await;
            let before = evidence(&dir, "danso.db");
            let done = again(&dir).await.expect(statement);
            assert!(done.damage.is_some() && is_aside(&dir, &before), "{statement}: {:?}", done.damage);
            assert_eq!(done.unread.is_empty(), left == (1, 1), "{statement}: {:?}", done.unread);
            let root = Alone::at(&dir).await;
            assert_eq!((root.size(&directory), root.size(&records)), left, "{statement}");
            assert_eq!(root.handle.snapshot().read_only(), None, "{statement}");
            root.ends().await;
        }
        let own = [
            "UPDATE entry SET leaf = zeroblob(32) WHERE sequence = 1 AND log IN (SELECT id FROM log WHERE name LIKE 'VN%directory')",
            "UPDATE entry SET envelope = CAST(envelope || x'00' AS BLOB) WHERE sequence = 1 AND log IN (SELECT id FROM log WHERE name LIKE 'VN%directory')",
            "UPDATE entry SET envelope = CAST(envelope || x'00' AS BLOB) WHERE sequence = 0 AND log IN (SELECT id FROM log WHERE name LIKE 'VN%directory')",
        ];
        for statement in own {
            let (_guard, dir) = copy_of(&data);
            damage_entry(&dir, statement).await;
            let before = evidence(&dir, "danso.db");
            let error = again(&dir).await.err().expect(statement);
            let Error::Refused(refusal) = &error else { panic!("{statement}: {error:?}") };
            assert_eq!(refusal.reason, Reason::NotFound, "{statement}: {refusal}");
            assert!(refusal.detail.contains("Restore its newest backup: danso-node restore"), "{statement}: {refusal}");
            assert_eq!(evidence(&dir, "danso.db"), before, "{statement}");
            assert!(!dir.join("recovering").exists(), "{statement}");
        }
        let whole = again(&data).await.err().expect("nothing is damaged");
        assert!(whole.to_string().contains("no entry in its database is damaged"), "{whole}");
    });
}

#[test]
fn what_was_stopped_and_what_nobody_confirmed_stays_so() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let (data, _, records) = with_commune(place.path()).await;
        let root = Alone::at(&data).await;
        let refusal = Refusal::new(Reason::RootDiffers, "two histories");
        root.handle.trouble(records.clone(), Some(Trouble { refusal })).await.expect("stopped");
        mark_restored(&root.store, 7).await.expect("marked");
        root.ends().await;
        damage(&data);
        again(&data).await.expect("recovered");
        let root = Alone::at(&data).await;
        let snapshot = root.handle.snapshot();
        let trouble = snapshot.log(&records).and_then(|row| row.trouble.clone());
        assert_eq!(trouble, Some(("root_differs".into(), "two histories".into())));
        assert_eq!(snapshot.restored(), Some(7));
        assert!(snapshot.read_only().is_some());
        root.ends().await;
    });
}

#[test]
fn a_damaged_database_of_an_older_version_is_read_as_far_as_it_goes() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let (data, _, records) = with_commune(place.path()).await;
        // That of the first version, of which a table is lost that the second one needs.
        let older = [
            "DROP TABLE receipt",
            "DROP TABLE receipt_step",
            "DROP TABLE finding_state",
            "ALTER TABLE invite DROP COLUMN node",
            "DELETE FROM _sqlx_migrations WHERE version > 1",
        ];
        tamper(&data, &older).await;
        let before = evidence(&data, "danso.db");
        let done = again(&data).await.expect("recovered");
        assert!(is_aside(&data, &before));
        let unread = done.unread.join("\n");
        assert!(unread.contains("no such table: old.receipt") && unread.contains("no such column"), "{unread}");
        let root = Alone::at(&data).await;
        assert_eq!(root.size(&records), 1);
        root.ends().await;
    });
}

/// A root that a power cut ended, with an entry that is in the write-ahead log only, and a table that the disk changed.
async fn cut(place: &Path) -> PathBuf {
    let data = place.join("root");
    set_up(&data, &list(place)).await.expect("a root");
    let root = Alone::at(&data).await;
    root.writes(202_101).await;
    let (_guard, dir) = copy_of(&data);
    root.ends().await;
    let left = place.join("cut");
    fs::rename(&dir, &left).expect("the same disk");
    drop(fs::remove_file(left.join("danso.db-shm")));
    assert!(fs::metadata(left.join("danso.db-wal")).expect("a write-ahead log").len() > 0);
    damage_table(&left, &data, "waiting").await;
    left
}

#[test]
fn a_root_is_made_again_wherever_that_was_cut_and_the_old_database_stays_as_it_was() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let prepared = cut(place.path()).await;
        let before = evidence(&prepared, "danso.db");
        let after = RefCell::new(String::new());
        let points = die_everywhere(
            &prepared,
            async |dir: PathBuf| drop(again(&dir).await),
            async |dir: PathBuf| {
                after.replace(meaning(&dir).await);
                assert!(is_aside(&dir, &before));
            },
            async |dir: PathBuf, at, point| {
                let about = format!("recover, dying at point {at} ({point:?})");
                match again(&dir).await {
                    Ok(_) => {}
                    // It died behind the end.
                    Err(Error::Refused(refusal)) if refusal.detail.contains("no entry in its database is damaged") => {}
                    Err(error) => panic!("{about}: {error:?}"),
                }
                assert_eq!(meaning(&dir).await, *after.borrow(), "{about}");
                assert!(is_aside(&dir, &before), "{about}");
            },
        )
        .await;
        println!("recover: died at {} points", points.len());
        assert!(points.len() > 40, "{points:?}");
    });
}

#[test]
fn a_root_that_cannot_be_made_again_is_as_it_was() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let data = cut(place.path()).await;
        let heads = fs::read(data.join("heads")).expect("heads");
        let before = evidence(&data, "danso.db");
        let is_as_it_was = || {
            assert_eq!(evidence(&data, "danso.db"), before);
            assert!(!data.join("recovering").exists());
        };
        // Nothing says how much it wrote.
        fs::remove_file(data.join("heads")).expect("removed");
        let error = again(&data).await.err().expect("refused");
        assert!(matches!(&error, Error::Refused(refusal) if refusal.reason == Reason::NotFound), "{error:?}");
        is_as_it_was();
        fs::write(data.join("heads"), heads).expect("written");
        // No room for the copy.
        let plan = Plan::full(&data, 0..1);
        let error = again(&data).await.err().expect("refused");
        assert!(
            matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull),
            "{error:?}"
        );
        drop(plan);
        is_as_it_was();
        again(&data).await.expect("recovered");
    });
}
