//! After an unclean end: what the disk changed is found, made again or refused, and never sealed; and nobody but the node that runs says that
//! all is well.

use std::path::Path;
use std::sync::Arc;

use danso_core::register::Rules;
use danso_proto::change::{Body, NodeRevoked};
use danso_proto::envelope::Signer as _;
use danso_proto::ids::Stream;
use danso_proto::refusal::Reason;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::bed::{self, Bed, enrolled};
use super::run;
use super::waiting::{import, slip};
use crate::clock::SystemClock;
use crate::config::Layout;
use crate::doctor::{self, Doctor, Line, State};
use crate::pipeline::compare::{META_UNCOMPARED, compare};
use crate::pipeline::{Outfit, look, rebuild};
use crate::store::{self, Store};
use crate::view::View;

/// Runs a statement as if the disk did it.
async fn behind_its_back(dir: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(dir.join("danso.db"));
    let mut db = options.connect().await.expect("a second connection");
    sqlx::query(sql).execute(&mut db).await.expect("changed");
    sqlx::Connection::close(db).await.expect("closed");
}

/// The page numbers of an index, which begins at its root.
fn pages_of(file: &[u8], root: usize) -> Vec<usize> {
    let mut pages = vec![root];
    let mut at = 0;
    while let Some(&page) = pages.get(at) {
        at += 1;
        let bytes = &file[(page - 1) * 4096..page * 4096];
        if bytes[0] == 2 {
            let cells = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
            let child = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize;
            pages.push(child(8));
            for cell in 0..cells {
                let at = 12 + 2 * cell;
                pages.push(child(usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))));
            }
        }
    }
    pages
}

#[test]
fn an_index_that_the_disk_changed_is_made_again_after_an_unclean_end_and_never_sealed() {
    run(async |mut bed| {
        import(
            &bed,
            (0..60).map(|n| slip(&bed, &n.to_string(), "birth", &format!("{n:03}.5"), "2021-06-01")).collect(),
        )
        .await;
        let (keep, dir) = (bed.keep(), bed.dir.clone());
        bed.ended().await;
        let path = dir.join("danso.db");
        let whole = std::fs::read(&path).expect("read");
        let heads = std::fs::read(dir.join("heads")).expect("read");
        let options = SqliteConnectOptions::new().filename(&path).read_only(true).immutable(true);
        let mut looking = options.connect().await.expect("a connection");
        let sql = "SELECT name, rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('person', 'household', 'entry')";
        let indices: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut looking).await.expect("indices");
        assert!(indices.len() >= 4, "{indices:?}");
        let (mut mended, mut refused) = (0, 0);
        for (name, root) in indices {
            let pages = pages_of(&whole, usize::try_from(root).expect("a page"));
            for n in 0..9 {
                let page = pages[n % pages.len()];
                let mut file = whole.clone();
                // From the end of the page, where its cells are.
                file[page * 4096 - 3 - 7 * n] ^= 1 << (n % 8);
                std::fs::write(&path, file).expect("damaged");
                std::fs::write(dir.join("heads"), &heads).expect("as it was");
                // As after a power cut.
                let _ = std::fs::remove_file(dir.join("danso.db.sha256"));
                let about = format!("{name}, page {page}, {n}");
                let bed = match Bed::at(&dir).await {
                    Ok(bed) => bed,
                    Err(error) => {
                        assert_eq!(error.refusal().reason, Reason::StoreDamaged, "{about}: {error:?}");
                        assert!(!dir.join("danso.db.sha256").exists(), "{about}: it was sealed");
                        refused += 1;
                        continue;
                    }
                };
                bed.store
                    .read("test")
                    .await
                    .expect("read")
                    .integrity_check()
                    .await
                    .unwrap_or_else(|e| panic!("{about}: {e}"));
                let deaths = (0..60).map(|n| slip(&bed, &format!("d{n}"), "death", &format!("{n:03}.5"), "2021-07-01"));
                import(&bed, deaths.collect()).await;
                assert_eq!(bed.counts().await, (60, 0, 0), "{about}: nobody is unknown");
                bed.ended().await;
                assert!(dir.join("danso.db.sha256").exists(), "{about}: what was checked is sealed");
                mended += 1;
            }
        }
        println!("{mended} were mended, {refused} were refused");
        assert!(mended > 20, "{mended} {refused}");
        drop(keep);
    });
}

#[test]
fn a_database_in_which_damage_was_found_is_not_sealed_and_looked_at_by_the_next_start() {
    run(async |mut bed| {
        import(&bed, vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")]).await;
        let (keep, dir) = (bed.keep(), bed.dir.clone());
        bed.store.condition().note(&store::Error::Damaged { what: "a test".into() });
        bed.ended().await;
        assert!(!dir.join("danso.db.sha256").exists());
        let bed = Bed::at(&dir).await.expect("it was a false alarm");
        let health = bed.store.condition().health();
        assert_eq!((health.damage, health.uncompared, health.unchecked), (None, false, false));
        bed.ended().await;
        assert!(dir.join("danso.db.sha256").exists());
        drop(keep);
    });
}

#[test]
fn figures_that_a_running_node_finds_wrong_are_answered_no_more_and_made_again_by_its_next_start() {
    run(async |mut bed| {
        import(&bed, vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")]).await;
        let (keep, dir) = (bed.keep(), bed.dir.clone());
        behind_its_back(&dir, "DELETE FROM cube").await;
        let lines = examined(&bed).await;
        assert!(lines.iter().any(|line| line.reason == Some(Reason::DerivedDiffers)), "{lines:?}");
        assert!(bed.store.condition().health().damage.is_some());
        let refusal = View::new(bed.store.clone()).waiting(None, 10).await.expect_err("refused").refusal();
        assert_eq!(refusal.reason, Reason::StoreDamaged);
        bed.ended().await;
        assert!(!dir.join("danso.db.sha256").exists());
        let bed = Bed::at(&dir).await.expect("it starts");
        assert_eq!(bed.residents("17065").await, 1);
        assert!(bed.store.condition().health().damage.is_none());
        drop(keep);
    });
}

/// What the doctor says of a node that runs.
async fn examined(bed: &Bed) -> Vec<Line> {
    let layout = Layout::open(&bed.dir).expect("a directory");
    let clock = Arc::new(SystemClock::new());
    let doctor = Doctor { layout, store: bed.store.clone(), clock };
    let (lines, mut found) = tokio::sync::mpsc::channel(100);
    doctor.examined(bed.handle.snapshot(), None).examine(&lines).await;
    drop(lines);
    let mut all = Vec::new();
    while let Some(line) = found.recv().await {
        all.push(line);
    }
    all
}

/// What the doctor says of a node that does not run.
async fn examined_offline(dir: &Path) -> Vec<Line> {
    let layout = Layout::open(dir).expect("a directory");
    let root = Arc::new(bed::signer(200));
    let anchor = root.public_key().fingerprint();
    let clock = Arc::new(SystemClock::new());
    let read = async |store| {
        let outfit = Outfit { store, signer: root, clock: Arc::new(SystemClock::new()), anchor };
        look(&outfit).await.map_err(|error| error.refusal())
    };
    let (lines, mut found) = tokio::sync::mpsc::channel(100);
    let opened = Store::open_to_look(&layout.database()).await.map(|(store, says)| (store, Some(says)));
    doctor::offline(&layout, opened, clock, read, &lines).await;
    drop(lines);
    let mut all = Vec::new();
    while let Some(line) = found.recv().await {
        all.push(line);
    }
    all
}

#[test]
fn a_look_at_a_node_that_does_not_run_changes_nothing_in_its_database() {
    run(async |mut bed| {
        import(&bed, vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")]).await;
        let (keep, dir, anchor) = (bed.keep(), bed.dir.clone(), bed.handle.snapshot().directory().anchor());
        compare(&bed.store, anchor, Rules::CURRENT, 0).await.expect("put off");
        bed.ended().await;
        let path = dir.join("danso.db");
        let sealed = std::fs::read(&path).expect("read");
        let lines = examined_offline(&dir).await;
        let derived = lines.iter().find(|line| line.check == "derived").expect("compared");
        assert_eq!(derived.state, State::Ok, "{lines:?}");
        assert_eq!(std::fs::read(&path).expect("read"), sealed);
        let store = Store::open(&path).await.expect("the seal holds");
        assert!(store.condition().health().uncompared, "nobody but a node that runs says that it was compared");
        store.close().await;
        // Nor are the traces of an unclean end taken away.
        let (wal, bytes) = (dir.join("danso.db-wal"), std::fs::read(&path).expect("read"));
        let bed = Bed::at(&dir).await.expect("it starts");
        import(&bed, vec![slip(&bed, "2", "birth", "002.5", "2021-06-01")]).await;
        let killed = tempfile::tempdir().expect("directory");
        for file in ["danso.db", "danso.db-wal"] {
            std::fs::copy(dir.join(file), killed.path().join(file)).expect("copied");
        }
        bed.ended().await;
        assert!(!wal.exists() && bytes != std::fs::read(&path).expect("read"));
        let copied = |file: &str| std::fs::read(killed.path().join(file)).expect("read");
        let before = (copied("danso.db"), copied("danso.db-wal"));
        assert!(!before.1.is_empty());
        let lines = examined_offline(killed.path()).await;
        assert!(lines.iter().any(|line| line.check == "derived" && line.state == State::Ok), "{lines:?}");
        assert!((copied("danso.db"), copied("danso.db-wal")) == before);
        drop(keep);
    });
}

#[test]
fn an_unclean_end_is_written_down_by_whoever_finds_it() {
    run(async |mut bed| {
        import(&bed, vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")]).await;
        let (keep, dir, anchor) = (bed.keep(), bed.dir.clone(), bed.handle.snapshot().directory().anchor());
        let path = dir.join("danso.db");
        bed.ended().await;
        std::fs::remove_file(dir.join("danso.db.sha256")).expect("the seal");
        // A tool, not the node.
        let store = Store::open(&path).await.expect("opened");
        assert!(store.condition().health().uncompared && !store.condition().health().unchecked);
        store.close().await;
        let store = Store::open(&path).await.expect("sealed, with the mark in it");
        assert!(store.condition().health().uncompared);
        // Too large to be compared, and then made again.
        compare(&store, anchor, Rules::CURRENT, 0).await.expect("put off");
        rebuild(&store, anchor, &|_, _| {}).await.expect("rebuilt");
        assert!(!store.condition().health().uncompared);
        store.close().await;
        let store = Store::open(&path).await.expect("opened");
        assert!(!store.condition().health().uncompared);
        // A revocation makes all again while the node runs.
        store.close().await;
        let bed = Bed::at(&dir).await.expect("it starts");
        let mut child = bed.child("17035", 1).await;
        let entries = (0..2).map(|n| child.entry(vec![enrolled("17035", 198_001 + n)])).collect();
        bed.receive(child.package(0, entries, true)).await;
        compare(&bed.store, anchor, Rules::CURRENT, 0).await.expect("put off");
        let revoked =
            NodeRevoked { node: child.log.node().clone(), bounds: vec![(child.log.clone(), 1)], reason: String::new() };
        bed.handle
            .write(Stream::Directory, vec![bed::about("17035", Body::NodeRevoked(revoked), 77)])
            .await
            .expect("revoked");
        assert_eq!(bed.residents("17035").await, 1);
        assert!(!bed.store.condition().health().uncompared);
        let mut tx = bed.store.read("test").await.expect("read");
        assert!(tx.meta_get(META_UNCOMPARED).await.expect("read").is_none());
        drop((tx, keep));
    });
}

#[test]
fn slips_that_wait_for_whom_the_disk_hid_are_taken_when_all_was_made_again() {
    run(async |mut bed| {
        import(&bed, vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")]).await;
        let (keep, dir, anchor) = (bed.keep(), bed.dir.clone(), bed.handle.snapshot().directory().anchor());
        behind_its_back(&dir, "UPDATE person SET reference = '001.4'").await;
        import(&bed, vec![slip(&bed, "2", "death", "001.5", "2021-07-01")]).await;
        assert_eq!(bed.counts().await, (1, 1, 0), "it waits");
        bed.ended().await;
        let store = Store::open(&dir.join("danso.db")).await.expect("opened");
        let report = rebuild(&store, anchor, &|_, _| {}).await.expect("rebuilt");
        assert_eq!(report.released, 1, "it is said");
        store.close().await;
        let bed = Bed::at(&dir).await.expect("it starts");
        // The next job comes after what the start does by itself.
        import(&bed, vec![slip(&bed, "3", "birth", "003.5", "2021-06-01")]).await;
        assert_eq!(bed.counts().await, (2, 0, 0), "it waits no more");
        assert_eq!(bed.residents("17065").await, 1);
        drop(keep);
    });
}

#[test]
fn an_index_that_a_running_node_finds_damaged_stops_its_answers_and_is_made_again_by_its_next_start() {
    run(async |mut bed| {
        import(&bed, vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")]).await;
        let (keep, dir) = (bed.keep(), bed.dir.clone());
        let path = dir.join("danso.db");
        bed.ended().await;
        // No power cut: an earlier version sealed it like this.
        let store = Store::open(&path).await.expect("opened");
        store.run_tx("test", async |tx| tx.lose_from_index().await).await.expect("lost");
        store.close().await;
        let bed = Bed::at(&dir).await.expect("it was sealed");
        let lines = examined(&bed).await;
        assert!(lines.iter().any(|line| line.check == "database" && line.state == State::Fail), "{lines:?}");
        let refusal = View::new(bed.store.clone()).waiting(None, 10).await.expect_err("refused").refusal();
        assert_eq!(refusal.reason, Reason::StoreDamaged);
        bed.ended().await;
        assert!(!dir.join("danso.db.sha256").exists());
        let bed = Bed::at(&dir).await.expect("it starts");
        assert!(bed.store.condition().is_mended());
        bed.store.read("test").await.expect("read").integrity_check().await.expect("sound");
        import(&bed, vec![slip(&bed, "2", "death", "001.5", "2021-07-01")]).await;
        assert_eq!(bed.counts().await, (1, 0, 0), "he is known");
        drop(keep);
    });
}
