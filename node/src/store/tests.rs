//! The store's own promises: what is undone leaves nothing, what does not read is named, a newer database is not touched.

pub(crate) mod cluster;
mod counted;
mod failover;
mod kept;
mod moving;
mod periods;
pub(crate) mod proxy;
mod served;

use danso_proto::ids::{ChangeId, LogId, NodeId, PersonId, Stream};

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::sqlite::migrator;
use super::*;

async fn opened() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("directory");
    let store = Store::open(&dir.path().join("danso.db")).await.expect("opened");
    (dir, store)
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing() {
    let (_dir, store) = opened().await;
    let failed: Result<()> = store
        .run_tx("test", async |tx| {
            tx.meta_put("key", b"value").await?;
            Err(Error::inconsistent("test", "test", "on purpose"))
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(store.read("test").await.expect("view").meta_get("key").await.expect("read"), None);
}

#[tokio::test]
async fn a_view_is_one_state_of_the_store() {
    let (_dir, store) = opened().await;
    let mut before = store.read("test").await.expect("view");
    assert_eq!(before.meta_get("key").await.expect("read"), None);
    store.run_tx("test", async |tx| tx.meta_put("key", b"value").await).await.expect("written");
    assert_eq!(before.meta_get("key").await.expect("read"), None, "the view does not move");
    let mut after = store.read("test").await.expect("view");
    assert_eq!(after.meta_get("key").await.expect("read"), Some(b"value".to_vec()));
}

#[tokio::test]
async fn what_is_committed_is_there_when_the_file_is_opened_again() {
    let (dir, store) = opened().await;
    store.run_tx("test", async |tx| tx.meta_put("key", b"value").await).await.expect("written");
    store.close().await;
    let store = Store::open(&dir.path().join("danso.db")).await.expect("opened again");
    let value = store.read("test").await.expect("view").meta_get("key").await.expect("read");
    assert_eq!(value, Some(b"value".to_vec()));
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let (dir, store) = opened().await;
    store
        .run_tx("test", async |tx| {
            let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                       VALUES (999999, 'future', 1, x'00', 0)";
            tx.write(sql, []).await.map(drop)
        })
        .await
        .expect("written");
    store.close().await;
    let error = Store::open(&dir.path().join("danso.db")).await.expect_err("refused");
    assert!(matches!(error, Error::Migrate(_)), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("danso.db");
    std::fs::write(&path, b"this is no database, and it is long enough to be looked at as one").expect("written");
    let error = Store::open(&path).await.expect_err("refused");
    assert!(matches!(&error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn synchronous_is_full_and_foreign_keys_hold() {
    let (_dir, store) = opened().await;
    let pragma = async |name: &'static str| -> i64 {
        let mut tx = store.read("test").await.expect("view");
        tx.number(&format!("PRAGMA {name}"), []).await.expect("pragma")
    };
    assert_eq!((pragma("synchronous").await, pragma("foreign_keys").await), (2, 1));
    let orphan: Result<()> = store
        .run_tx("test", async |tx| {
            let sql = "INSERT INTO entry (log, sequence, leaf, set_id, envelope) VALUES (7, 0, x'', x'', x'')";
            tx.write(sql, []).await.map(drop)
        })
        .await;
    assert!(orphan.is_err(), "an entry without its log");
}

#[tokio::test]
async fn the_database_is_for_the_nodes_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, store) = opened().await;
    store.run_tx("test", async |tx| tx.meta_put("key", b"value").await).await.expect("written");
    for file in std::fs::read_dir(dir.path()).expect("directory") {
        let file = file.expect("file");
        let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn of_receipts_for_a_log_those_are_kept_that_covered_more() {
    let (_dir, store) = opened().await;
    let log: danso_proto::ids::LogId = "17065-0123456789abcdef/records".parse().expect("log");
    let giver: danso_proto::ids::NodeId = "420-0123456789abcdef".parse().expect("node");
    let receipt =
        |size, time_s| ReceiptRow { log: log.clone(), giver: giver.clone(), size, time_s, note: String::new() };
    // In the order in which they come: 3 anew, 2 late, and two in one frame.
    for came in [vec![receipt(3, 10)], vec![receipt(3, 20)], vec![receipt(2, 5)], vec![receipt(7, 30), receipt(9, 40)]]
    {
        store
            .run_tx("test", async |tx| tx.receipt_step_add(&came.iter().collect::<Vec<_>>()).await)
            .await
            .expect("written");
    }
    let mut tx = store.read("test").await.expect("view");
    let mut covering = Vec::new();
    for sequence in [0, 2, 3, 8, 9] {
        let steps = tx.receipt_steps(&log, &giver, sequence, 1).await.expect("read");
        covering.push(steps.first().map(|step| (step.size, step.time_s)));
    }
    assert_eq!(covering, [Some((3, 10)), Some((3, 10)), Some((7, 30)), Some((9, 40)), None]);
    assert_eq!(
        tx.receipt_steps(&log, &giver, 0, 10).await.expect("read").len(),
        3,
        "one row for each that covered more"
    );
}

#[tokio::test]
async fn receipts_of_a_database_of_the_first_version_are_carried_over() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("danso.db");
    let first = Migrator::with_migrations(migrator().iter().take(1).cloned().collect());
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("opened");
    first.run(&pool).await.expect("the first version");
    let sql = "INSERT INTO meta VALUES ('node', CAST('17065-0123456789abcdef' AS BLOB));
               INSERT INTO receipt VALUES ('17065-0123456789abcdef/records', '420-0123456789abcdef', 5, 9, 'note'),
                                          ('17062-0123456789abcdef/records', '420-0123456789abcdef', 6, 9, 'note')";
    sqlx::raw_sql(sql).execute(&pool).await.expect("written");
    pool.close().await;
    let store = Store::open(&path).await.expect("brought to this version");
    let mut tx = store.read("test").await.expect("view");
    let giver = "420-0123456789abcdef".parse().expect("node");
    for (log, kept) in [("17065", 1), ("17062", 0)] {
        let log = format!("{log}-0123456789abcdef/records").parse().expect("log");
        let steps = tx.receipt_steps(&log, &giver, 0, 10).await.expect("read");
        assert_eq!(steps.len(), kept, "those for own logs");
    }
}

#[tokio::test]
async fn rows_of_before_entries_were_packed_are_read_as_they_were() {
    use danso_proto::identity::{PartSet, Salts};
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("danso.db");
    let before = migrator().iter().filter(|step| step.version < 9).cloned().collect();
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let old = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("opened");
    Migrator::with_migrations(before).run(&old).await.expect("the version before");
    let rows = "INSERT INTO log (id, name, size, root, tree, recorded_at_ms, committed_at_ms) VALUES (3, 'log', 1, x'', x'', 0, 0);
                INSERT INTO person VALUES (1, x'02', '17065', '50.3', x'01'), (2, x'01', '17065', NULL, x'02');
                INSERT INTO household VALUES (1, x'02', '17065', '7', x'01'), (2, x'02', '17062', NULL, x'02')";
    sqlx::raw_sql(rows).execute(&old).await.expect("written");
    let envelope = b"\x0a\x04what was signed".to_vec();
    let parts = PartSet { salts: Salts::Seed([7; 32]), parts: vec![b"a part".to_vec().into()] };
    sqlx::query("INSERT INTO entry VALUES (3, 0, $1, zeroblob(12), 1, $2, $3)")
        .bind(danso_proto::merkle::leaf_hash(&envelope).to_vec())
        .bind(envelope.clone())
        .bind(parts.encode().to_vec())
        .execute(&old)
        .await
        .expect("an entry");
    old.close().await;
    let store = Store::open(&path).await.expect("brought to this version");
    let mut tx = store.read("test").await.expect("view");
    let [entry] = &tx.entry_read(3, 0, 9, 1).await.expect("read")[..] else { panic!("one entry") };
    assert_eq!((&entry.envelope[..], entry.parts.as_ref()), (&envelope[..], Some(&parts)));
    for (table, rows) in [("person", 2), ("household", 2)] {
        assert_eq!(tx.number(&format!("SELECT COUNT(*) FROM {table}"), []).await.expect("counted"), rows, "{table}");
    }
    let sql = "SELECT COUNT(*) FROM person WHERE unit = '17065' AND reference = '50.3' AND data = x'01' AND id = x'02'";
    assert_eq!(tx.number(sql, []).await.expect("found"), 1);
}

#[tokio::test]
async fn evidence_that_is_shown_again_uses_up_no_number() {
    use danso_proto::evidence::{Contradiction, Statement};
    let (_dir, store) = opened().await;
    let node = NodeId::new(&"17065".parse().expect("code"), &[7; 32]);
    let log = LogId::new(node.clone(), Stream::Records);
    let said = |text: &str| Statement::Checkpoint(text.into());
    let add = async |theirs: &str| {
        let pair = Contradiction { ours: said("ours"), theirs: said(theirs), growth: None };
        store.run_tx("test", async |tx| tx.evidence_add(&log, 7, &node, &pair).await).await.expect("kept")
    };
    assert_eq!([add("a").await, add("a").await, add("a").await, add("b").await].map(|(id, _)| id), [1, 1, 1, 2]);
    assert_eq!(add("b").await, (2, false));
}

#[tokio::test]
async fn evidence_that_an_older_version_kept_is_taken_over() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("danso.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let old = SqlitePool::connect_with(options).await.expect("opened");
    let first = migrator().iter().filter(|step| step.version == 1).cloned().collect();
    Migrator::with_migrations(first).run(&old).await.expect("the schema of 0.1.0");
    let log = "17065-0123456789abcdef/records";
    for (ours, theirs) in [(Some("one"), "other"), (None, "alone")] {
        sqlx::query("INSERT INTO evidence (log, at_ms, ours, theirs) VALUES ($1, 7, $2, $3)")
            .bind(log)
            .bind(ours)
            .bind(theirs)
            .execute(&old)
            .await
            .expect("kept");
    }
    old.close().await;
    let store = Store::open(&path).await.expect("brought to this version");
    let mut tx = store.read("test").await.expect("view");
    let kept = tx.evidence_list(None).await.expect("read");
    let [row] = &kept[..] else { panic!("a statement alone is no evidence: {kept:?}") };
    use danso_proto::evidence::{Contradiction, Statement};
    let statement = |text: &str| Statement::Checkpoint(text.into());
    let contradiction = Contradiction { ours: statement("one"), theirs: statement("other"), growth: None };
    assert_eq!((&*row.log.to_string(), row.at_ms, &row.shown_by, &row.contradiction), (log, 7, &None, &contradiction));
    let before = tx.number("SELECT count(*) FROM evidence_0001", []).await.expect("there");
    assert_eq!(before, 2, "and nothing that was kept is lost");
}

/// A statement that does not pass the door for writing is one at which no test ever lets the process die. The door is in `sql`, and only those
/// who open, copy or take over a whole database speak to it otherwise.
#[test]
fn whatever_writes_passes_the_door_for_writing() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut files = vec![dir.with_extension("rs")];
    files.extend(std::fs::read_dir(dir).expect("the room").map(|file| file.expect("a file").path()));
    let beside = ["sql.rs", "sqlite.rs", "postgres.rs", "adopt.rs", "copy.rs", "tests.rs"];
    let (mut through, mut around) = (0, Vec::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let text = std::fs::read_to_string(file).expect("read");
        through += text.matches("self.write").count();
        if text.contains("sqlx::query") && !beside.iter().any(|name| file.ends_with(name)) {
            around.push(file.display().to_string());
        }
    }
    assert_eq!(around, Vec::<String>::new(), "statements that write go through `Tx::write`");
    assert!(through > 20, "{through}");
}

#[tokio::test]
async fn a_file_shorter_than_it_says_is_refused_and_so_is_one_that_was_changed() {
    for cut in [50, 200, 4096, 9000] {
        let (dir, store) = opened().await;
        store.close().await;
        let path = dir.path().join("danso.db");
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("file");
        let whole = file.metadata().expect("metadata").len();
        file.set_len(cut).expect("cut");
        std::fs::remove_file(dir.path().join("danso.db.sha256")).expect("the seal");
        let error = Store::open(&path).await.expect_err("refused");
        assert!(error.is_damage(), "{cut} of {whole}: {error}");
    }
    let (dir, store) = opened().await;
    store.close().await;
    let path = dir.path().join("danso.db");
    let mut bytes = std::fs::read(&path).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let error = Store::open(&path).await.expect_err("refused");
    assert!(error.is_damage(), "{error}");
}

#[tokio::test]
async fn another_copy_of_the_database_is_no_damage() {
    let (dir, store) = opened().await;
    store.close().await;
    let path = dir.path().join("danso.db");
    let old = std::fs::read(&path).expect("read");
    let store = Store::open(&path).await.expect("opened");
    store.run_tx("test", async |tx| tx.meta_put("key", b"value").await).await.expect("written");
    store.close().await;
    std::fs::write(&path, old).expect("put back");
    let store = Store::open(&path).await.expect("the seal is of another stop");
    assert_eq!(store.read("test").await.expect("view").meta_get("key").await.expect("read"), None);
}

#[tokio::test]
async fn a_transaction_for_which_there_was_no_room_does_not_keep_the_next_one_from_beginning() {
    let (_dir, store) = opened().await;
    for n in 0..3 {
        let failed: Result<()> = store
            .run_tx("large", async |tx| {
                tx.rows("PRAGMA max_page_count = 1", []).await?;
                tx.meta_put("large", &vec![1; 4 * 1024 * 1024]).await
            })
            .await;
        assert!(failed.expect_err("no room").is_full());
        // As SQLite does by itself when a commit finds no room.
        let failed: Result<()> = store
            .run_tx("undone", async |tx| {
                tx.write("ROLLBACK", []).await?;
                Err(Error::DiskFull { during: "test" })
            })
            .await;
        assert!(failed.expect_err("undone").is_full());
        store.run_tx("small", async |tx| tx.meta_put("small", &[n]).await).await.expect("it begins");
    }
    let kept = store.read("test").await.expect("view").meta_get("small").await.expect("read");
    assert_eq!(kept, Some(vec![2]));
}

#[tokio::test]
async fn of_an_old_database_only_what_still_holds_is_taken_over() {
    let (dir, old) = opened().await;
    let node = NodeId::new(&"17065".parse().unwrap(), &[1; 32]);
    let log = LogId::new(node.clone(), Stream::Records);
    let other = LogId::new(node.clone(), Stream::Directory);
    let receipt = |log: &LogId, giver: u8, size| ReceiptRow {
        log: log.clone(),
        giver: NodeId::new(&"420".parse().unwrap(), &[giver; 32]),
        size,
        time_s: 5,
        note: format!("{size}"),
    };
    let receipts = [receipt(&log, 1, 2), receipt(&log, 2, 3), receipt(&other, 1, 1)];
    let source = SourceRow {
        unit: "17065".parse().unwrap(),
        form: 1,
        key: "001.1".into(),
        digest: None,
        change: ChangeId::first(1, [9; 6]),
        person: PersonId::from(ChangeId::first(1, [9; 6])),
        birth: false,
    };
    old.run_tx("test", async |tx| {
        tx.receipt_put(&receipts).await?;
        tx.receipt_step_add(&receipts.iter().collect::<Vec<_>>()).await?;
        tx.source_put(std::slice::from_ref(&source)).await
    })
    .await
    .unwrap();
    old.close().await;
    let (_keep, new) = opened().await;
    // Both have the first two records, and nothing of the directory.
    new.adopt(&dir.path().join("danso.db"), &[(log.clone(), 2)]).await.unwrap();
    let mut tx = new.read("test").await.unwrap();
    let kept = tx.receipt_list(None).await.unwrap();
    assert_eq!(kept, receipts[..1], "the others are about what is not here");
    assert_eq!(tx.receipt_steps(&log, &receipts[1].giver, 0, 9).await.unwrap(), []);
    let keys = [(source.unit.clone(), source.key.clone())];
    assert_eq!(
        tx.source_read(1, &keys).await.unwrap(),
        [],
        "its change was not taken over: the row can be imported again"
    );
}

#[tokio::test]
async fn evidence_of_two_databases_of_one_node_stands_side_by_side() {
    use danso_proto::evidence::{Contradiction, Statement};
    let (old_dir, old) = opened().await;
    let (_dir, new) = opened().await;
    let log: LogId = "17065-0123456789abcdef/records".parse().expect("a log");
    let say = async |store: &Store, theirs: &str| {
        let statement = |text: &str| Statement::Checkpoint(text.into());
        let contradiction = Contradiction { ours: statement("ours"), theirs: statement(theirs), growth: None };
        let kept = store.run_tx("test", async |tx| tx.evidence_add(&log, 1, log.node(), &contradiction).await).await;
        kept.expect("kept").0
    };
    assert_eq!((say(&old, "one").await, say(&new, "two").await), (1, 1), "both have the same number");
    say(&old, "two").await;
    old.close().await;
    for _ in 0..2 {
        let unread = new.adopt(&old_dir.path().join("danso.db"), &[]).await.expect("taken over");
        assert_eq!(unread, Vec::<String>::new());
        let kept = new.read("test").await.expect("view").evidence_list(None).await.expect("read");
        let theirs: Vec<_> = kept.into_iter().map(|row| row.contradiction.theirs).collect();
        assert_eq!(theirs, ["two", "one"].map(|text| Statement::Checkpoint(text.into())));
    }
}

#[tokio::test]
async fn a_name_that_is_no_text_is_damage() {
    let (_dir, store) = opened().await;
    let put = "INSERT INTO log (name, size, root, tree, recorded_at_ms, committed_at_ms)
               VALUES (CAST(x'ff41' AS TEXT), 0, $1, x'', 0, 0)";
    store
        .run_tx("test", async |tx| {
            let root = danso_proto::merkle::empty_root().to_vec();
            tx.write(put, [root.into()]).await.map(drop)
        })
        .await
        .expect("written");
    let error = store.read("test").await.expect("view").log_list().await.expect_err("it does not read");
    assert!(error.is_damage(), "{error}");
}

impl Tx {
    /// Takes everybody out of the index of references, as a disk does that forgot a page.
    pub(crate) async fn lose_from_index(&mut self) -> Result<()> {
        for sql in [
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = 'CREATE INDEX person_reference ON person (unit, reference) WHERE 0' WHERE name = 'person_reference'",
            "PRAGMA writable_schema = RESET",
            "REINDEX person_reference",
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = 'CREATE INDEX person_reference ON person (unit, reference) WHERE reference IS NOT NULL'
             WHERE name = 'person_reference'",
            "PRAGMA writable_schema = RESET",
        ] {
            self.rows(sql, []).await?;
        }
        Ok(())
    }
}
