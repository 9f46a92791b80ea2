//! All of a node from one database into another one: nothing is left out, whatever is cut goes on, and a proof that sees every byte.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use danso_proto::identity::{PartSet, Salts};
use danso_proto::merkle::{CompactTree, leaf_hash};
use danso_proto::package::Packer;

use super::cluster::{Cluster, WORD};
use crate::faults::plan::{Names, Plan};
use crate::store::moving::{Held, META_NODE, Place, copy_by, copy_node, prove};
use crate::store::sql::Value;
use crate::store::tables::{Chunk, Kind, TABLES, Table};
use crate::store::{Error, Result, Store, Tx};

const ME: &str = "17065-0123456789abcdef";
/// Several to a table.
const SMALL: Chunk = Chunk { rows: 3, bytes: 300 };
/// Rows in each table but the first two.
const ROWS: i64 = 5;
/// Row numbers of the logs, and how many entries each has.
const LOGS: [(i64, usize); 3] = [(3, 5), (4, 0), (9, 8)];

async fn in_file(path: &Path) -> Store {
    Store::open_to_move(path).await.expect("opened")
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("danso.db");
    (dir, path)
}

/// Texts whose order depends on who asks: bytes decide.
fn text(n: i64) -> String {
    let first = ["", "Z", "a", "Ă", "ă", "é'\"\\", "𝄞"];
    format!("{}{n}", first[n as usize % first.len()])
}

/// The columns of a table that may be empty.
async fn nullable(tx: &mut Tx, table: &str) -> BTreeSet<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}') WHERE \"notnull\" = 0 AND pk = 0");
    let rows = tx.rows(&sql, []).await.expect("columns");
    rows.iter().map(|row| row.get("name").expect("a name")).collect()
}

/// A row of a table, the `n`-th.
fn row(table: &Table, nullable: &BTreeSet<String>, n: i64) -> Vec<Value> {
    let columns = table.columns.iter().zip(0..);
    columns
        .map(|((name, kind), at)| {
            let is_none = nullable.contains(*name) && (n + at) % 3 == 0;
            match kind {
                // Rows point at logs.
                Kind::Int if *name == "log" => LOGS[n as usize % LOGS.len()].0.into(),
                Kind::Int if is_none => Value::Int(None),
                Kind::Int => ((n - 3) * 1_000_000_007 * (at + 1)).into(),
                Kind::Text if is_none => Value::Text(None),
                Kind::Text => text(n + at).into(),
                Kind::Blob if is_none => Value::Blob(None),
                Kind::Blob => vec![0xff - n as u8; at as usize * 20 + 1].into(),
            }
        })
        .collect()
}

/// A node with something in every table.
async fn filled(path: &Path, node: &str) -> Store {
    let store = Store::open(path).await.expect("opened");
    let written: Result<()> = store
        .run_tx("test", async |tx| {
            for (table, n) in TABLES.iter().zip(0..) {
                let nullable = nullable(tx, table.name).await;
                let rows = match table.name {
                    "log" => LOGS.iter().map(|(id, size)| log(table, &nullable, *id, *size)).collect(),
                    "entry" => LOGS.iter().flat_map(|(id, size)| (0..*size).map(|n| entry(*id, n))).collect(),
                    _ => (0..ROWS).map(|at| row(table, &nullable, at)).collect::<Vec<_>>(),
                };
                assert!(!rows.is_empty(), "table {n}");
                tx.table_add(table, rows).await?;
            }
            tx.meta_put(META_NODE, node.as_bytes()).await?;
            tx.meta_put("anchor", &[0, 1, 0xff]).await
        })
        .await;
    written.expect("written");
    store
}

fn envelope(log: i64, sequence: usize) -> Vec<u8> {
    format!("{log}/{sequence}/{}", "x".repeat(sequence * 40)).into_bytes()
}

/// Every other one as versions kept them that packed none.
fn entry(log: i64, sequence: usize) -> Vec<Value> {
    let envelope = envelope(log, sequence);
    let (kept, parts) = match sequence.is_multiple_of(2) {
        true => {
            let parts = vec![vec![sequence as u8; 90].into()];
            (envelope.clone(), Some(PartSet { salts: Salts::Seed([7; 32]), parts }.encode().to_vec()))
        }
        false => (Packer::new().pack(&envelope.clone().into(), None), None),
    };
    vec![
        log.into(),
        sequence.into(),
        (&leaf_hash(&envelope)).into(),
        vec![sequence as u8; 12].into(),
        (sequence + 1).into(),
        kept.into(),
        parts.into(),
    ]
}

fn log(table: &Table, nullable: &BTreeSet<String>, id: i64, size: usize) -> Vec<Value> {
    let mut tree = CompactTree::default();
    (0..size).for_each(|n| tree.push(leaf_hash(&envelope(id, n))));
    let mut row = row(table, nullable, id);
    row[0] = id.into();
    row[2] = size.into();
    row[3] = (&tree.root()).into();
    row[4] = tree.to_bytes().into();
    row
}

async fn held(store: &Store) -> Held {
    store.read("test").await.expect("view").held().await.expect("whole")
}

/// What a file holds, by SQLite's own words: row numbers that nothing points at left out, and what is about the file itself.
async fn dump(store: &Store) -> String {
    let mut tx = store.read("test").await.expect("view");
    let mut text = String::new();
    let meta = ("meta", "key, value".to_owned());
    for (name, columns) in TABLES.iter().map(|table| (table.name, table.names())).chain([meta]) {
        let quoted: Vec<String> = columns.split(", ").map(|column| format!("quote({column})")).collect();
        let own = if name == "meta" { "WHERE key NOT IN ('stop', 'moving', 'moved')" } else { "" };
        let sql = format!("SELECT {} FROM {name} {own} ORDER BY 1", quoted.join(" || ' ' || "));
        for row in tx.rows(&sql, []).await.expect("rows") {
            text.push_str(&format!("{name} {}\n", row.get::<String>(0).expect("text")));
        }
    }
    text
}

/// Moves all of a node, to the end.
async fn moved(from: &Store, to: &Store) {
    let mut view = from.read("test").await.expect("view");
    copy_node(&mut view, to, &mut |_, _| {}).await.expect("copied");
    let proof = prove(&mut view, &mut to.read("test").await.expect("view")).await.expect("read");
    assert_eq!(proof.difference(), None);
    assert_eq!(proof.from, proof.to);
    to.set_proven(true).await.expect("written");
    from.leave("elsewhere").await.expect("written");
    to.arrive().await.expect("written");
}

#[tokio::test]
async fn every_table_and_column_of_both_databases_is_in_the_list() {
    let (_dir, path) = place();
    let (cluster, file) = (Cluster::start(), in_file(&path).await);
    let server = cluster.open().await;
    let kind = |kind: &str| match kind {
        "INTEGER" | "bigint" => Kind::Int,
        "TEXT" | "text" => Kind::Text,
        "BLOB" | "bytea" => Kind::Blob,
        other => panic!("{other} is no type of a column here"),
    };
    let listed: BTreeSet<_> = TABLES
        .iter()
        .flat_map(|table| {
            table.columns.iter().map(|(column, kind)| (table.name.to_owned(), (*column).to_owned(), *kind as u8))
        })
        .collect();
    // What an older version kept and proves nothing stays in the old file.
    let sql = "SELECT t.name AS \"table\", c.name AS \"column\", c.type AS \"type\" FROM sqlite_master t, pragma_table_info(t.name) c
               WHERE t.type = 'table' AND t.name NOT IN ('_sqlx_migrations', 'sqlite_sequence', 'meta', 'evidence_0001')";
    let on_server = "SELECT table_name::text AS \"table\", column_name::text AS \"column\", data_type::text AS \"type\" FROM information_schema.columns
                     WHERE table_schema = current_schema() AND table_name NOT IN ('_sqlx_migrations', 'meta')";
    for (store, sql) in [(&file, sql), (&server, on_server)] {
        let rows = store.read("test").await.expect("view").rows(sql, []).await.expect("columns");
        let there: BTreeSet<(String, String, u8)> = rows
            .iter()
            .map(|row| {
                let named = |column: &'static str| row.get::<String>(column).expect("a name");
                (named("table"), named("column"), kind(&named("type")) as u8)
            })
            .collect();
        assert_eq!(there, listed);
    }
    let mut tx = server.read("test").await.expect("view");
    for table in &TABLES {
        let sql = format!(
            "SELECT string_agg(a.attname::text, ', ' ORDER BY array_position(i.indkey::int[], a.attnum::int)) AS key FROM pg_index i
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
             WHERE i.indisprimary AND i.indrelid = to_regclass('{}')",
            table.name
        );
        let key: String = tx.row(&sql, []).await.expect("read").expect("a key").get("key").expect("text");
        assert_eq!(key, table.key_names(), "{}", table.name);
    }
}

#[tokio::test]
async fn a_node_is_the_same_after_it_was_moved_to_a_server_and_back() {
    let ((_dir, path), (_back_dir, back_path)) = (place(), place());
    let (cluster, file) = (Cluster::start(), filled(&path, ME).await);
    let before = (held(&file).await, dump(&file).await);
    let address = cluster.database("there").await;
    let server = Store::open_server_to_move(&address, None, &path, WORD).await.expect("opened");
    moved(&file, &server).await;
    file.close().await;
    assert!(matches!(Store::open(&path).await, Err(Error::MovedAway { to }) if to == "elsewhere"));
    server.close().await;

    let server = Store::open_server(&address, None, &path, WORD).await.expect("it is the node's store");
    let back = in_file(&back_path).await;
    moved(&server, &back).await;
    server.close().await;
    assert!(matches!(Store::open_server(&address, None, &path, WORD).await, Err(Error::MovedAway { .. })));
    back.close().await;
    let back = Store::open(&back_path).await.expect("it is the node's store");
    let after = (held(&back).await, dump(&back).await);
    assert_eq!(before.1, after.1);
    assert_eq!(before.0, after.0);
    assert_eq!(before.0.tables.len(), TABLES.len() + 1);
}

#[tokio::test]
async fn numbers_go_on_behind_those_that_were_moved() {
    let (_dir, path) = place();
    let (cluster, file) = (Cluster::start(), filled(&path, ME).await);
    let server = Store::open_server_to_move(&cluster.address(), None, &path, WORD).await.expect("opened");
    moved(&file, &server).await;
    let next = async |tx: &mut Tx, table: &str, columns: &str, values: &str| {
        let before = tx.number(&format!("SELECT max(id) FROM {table}"), []).await?;
        let sql = format!("INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING id");
        assert_eq!(tx.number(&sql, []).await?, before + 1, "{table}");
        Ok::<(), Error>(())
    };
    let done = server.run_tx("test", async |tx| {
        let log = "name, size, root, tree, recorded_at_ms, committed_at_ms";
        next(tx, "log", log, "'new', 0, ''::bytea, ''::bytea, 0, 0").await?;
        let evidence = "log, at_ms, shown_by, entries, ours, theirs, proof";
        next(tx, "evidence", evidence, "'new', 0, '', 0, ''::bytea, 'new'::bytea, ''::bytea").await
    });
    done.await.expect("written");
}

/// How many rows are in all tables of the list.
async fn rows_in(store: &Store) -> u64 {
    let mut tx = store.read("test").await.expect("view");
    let mut rows = 0;
    for table in &TABLES {
        rows += tx.number(&format!("SELECT COUNT(*) FROM {}", table.name), []).await.expect("counted") as u64;
    }
    rows
}

/// A move that dies at a point, and goes on; how much was there when it did, and whether the point came at all.
async fn cut(from: &Store, target: impl AsyncFn() -> Store, dir: &Path, at: usize) -> Option<u64> {
    let mut view = from.read("test").await.expect("view");
    let store = target().await;
    let plan = Plan::die(dir, at, Names::Kept);
    let done = copy_by(&mut view, &store, SMALL, &mut |_, _| {}).await;
    let died = plan.died();
    assert_eq!(done.is_err(), died, "{at}");
    drop(plan);
    store.close_unsealed().await;
    let store = target().await;
    let (there, mut told) = (rows_in(&store).await, 0);
    copy_by(&mut view, &store, SMALL, &mut |_, rows| told += rows).await.expect("it goes on");
    assert_eq!(there + told, rows_in(from).await, "what was there at {at} is not written again");
    let proof = prove(&mut view, &mut store.read("test").await.expect("view")).await.expect("read");
    assert_eq!(proof.difference(), None, "{at}");
    store.close_unsealed().await;
    died.then_some(there)
}

#[tokio::test]
async fn a_move_that_is_cut_anywhere_goes_on() {
    let (_dir, path) = place();
    let (cluster, from) = (Cluster::start(), filled(&path, ME).await);
    let mut amounts = BTreeSet::new();
    let mut at = 0;
    loop {
        let (dir, path) = place();
        match cut(&from, async || in_file(&path).await, dir.path(), at).await {
            Some(there) => amounts.insert(there),
            None => break,
        };
        at += 1;
    }
    println!("a move into a file died at {at} points, with {} amounts of rows there", amounts.len());
    // Every chunk was the last one once.
    assert!(at > 150 && amounts.len() > 35, "{at} points, {amounts:?}");
    // On a server, at some of them: making a database costs more than the move.
    for at in (0..at).step_by(17) {
        let (dir, path) = place();
        let address = cluster.database(&format!("cut{at}")).await;
        let open = async || Store::open_server_to_move(&address, None, &path, WORD).await.expect("opened");
        cut(&from, open, dir.path(), at).await;
    }
}

#[tokio::test]
async fn what_is_half_there_is_no_store_and_begins_anew_when_its_source_changed() {
    let ((_dir, path), (dir, half)) = (place(), place());
    let (cluster, from) = (Cluster::start(), filled(&path, ME).await);
    let address = cluster.database("half").await;
    let server = Store::open_server_to_move(&address, None, &half, WORD).await.expect("opened");
    let plan = Plan::die(dir.path(), 40, Names::Kept);
    let mut view = from.read("test").await.expect("view");
    copy_by(&mut view, &server, SMALL, &mut |_, _| {}).await.expect_err("cut");
    drop(plan);
    // Neither is writing taken over, nor is it opened.
    assert!(matches!(Store::open_server(&address, None, &half, WORD).await, Err(Error::HalfMoved)));
    assert!(matches!(server.arrive().await, Err(Error::HalfMoved)), "nobody has proven it");
    let there = rows_in(&server).await;
    assert!(there > 0);
    drop(view);
    let changed = from.run_tx("test", async |tx| {
        tx.write("DELETE FROM person", []).await?;
        tx.meta_put("stop", b"another").await
    });
    changed.await.expect("written");
    let mut view = from.read("test").await.expect("view");
    let mut told = 0;
    copy_by(&mut view, &server, SMALL, &mut |_, rows| told += rows).await.expect("copied");
    assert_eq!(told, rows_in(&from).await, "all of it anew");
    drop(view);
    moved(&from, &server).await;
    Store::open_server(&address, None, &half, WORD).await.expect("a node's store");
}

#[tokio::test]
async fn a_database_that_an_earlier_version_left_is_not_copied_as_if_it_were_whole() {
    let ((_dir, path), (_there, there)) = (place(), place());
    let (from, to) = (filled(&path, ME).await, in_file(&there).await);
    let steps = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    from.run_tx("test", async |tx| tx.write(steps, []).await).await.expect("written");
    let copied = copy_node(&mut from.read("test").await.expect("view"), &to, &mut |_, _| {}).await;
    assert!(matches!(copied, Err(Error::Earlier)), "{copied:?}");
    assert_eq!(rows_in(&to).await, 0, "nothing half there");
}

#[tokio::test]
async fn the_proof_sees_every_byte() {
    let (_dir, path) = place();
    let (cluster, from) = (Cluster::start(), filled(&path, ME).await);
    let server = Store::open_server_to_move(&cluster.address(), None, &path, WORD).await.expect("opened");
    moved(&from, &server).await;
    let before = held(&from).await;
    let mut changes: Vec<(String, String)> = Vec::new();
    for table in &TABLES {
        for (column, kind) in table.columns {
            let is_key = *column == "log" || table.columns.iter().take(table.key).any(|(key, _)| key == column);
            let value = match kind {
                Kind::Int => "+ 1",
                Kind::Text => "|| ' '",
                Kind::Blob => "|| '\\x00'::bytea",
            };
            if !is_key {
                let sql = format!("UPDATE {} SET {column} = {column} {value} WHERE {column} IS NOT NULL", table.name);
                changes.push((table.name.into(), sql));
            }
        }
    }
    changes.push(("meta".into(), "UPDATE meta SET value = value || '\\x00'::bytea WHERE key = 'anchor'".into()));
    changes.push(("person".into(), "DELETE FROM person WHERE unit = (SELECT max(unit) FROM person)".into()));
    changes.push(("entry".into(), "DELETE FROM entry WHERE sequence = 7".into()));
    changes
        .push(("receipt".into(), "UPDATE receipt SET note = '' WHERE note = (SELECT max(note) FROM receipt)".into()));
    let expected: usize = TABLES.iter().map(|table| table.columns.len() - table.key).sum();
    assert!(changes.len() > expected - 10, "{} changes", changes.len());
    for (table, sql) in &changes {
        // Undone each time: what is found ends the transaction.
        let found: Result<(), Option<Error>> = server
            .run_tx("test", async |tx| {
                assert!(tx.write(sql, []).await.map_err(Some)? > 0, "{sql}");
                let after = tx.held().await.map_err(Some)?;
                let proof = crate::store::Proof { from: before.clone(), to: after };
                let difference = proof.difference().expect("a difference");
                let is_named =
                    difference == format!("table {table}") || table == "log" && difference.starts_with("log ");
                assert!(is_named, "{sql}: {difference}");
                Err(None)
            })
            .await;
        match found {
            Err(None) => {}
            // The bytes of an entry, or what its log says of them, do not hang together.
            Err(Some(error)) => {
                assert!(error.is_damage() && ["log", "entry"].contains(&&**table), "{sql}: {error}");
            }
            Ok(()) => unreachable!("it was undone"),
        }
    }
    assert_eq!(held(&server).await, before, "nothing was left");
}

#[tokio::test]
async fn a_database_of_somebody_else_stays_as_it_is() {
    let ((_dir, path), (_other_dir, other)) = (place(), place());
    let (from, other) = (filled(&path, ME).await, filled(&other, "420-0123456789abcdef").await);
    let mut view = from.read("test").await.expect("view");
    let before = dump(&other).await;
    let refused = copy_node(&mut view, &other, &mut |_, _| {}).await.expect_err("refused");
    assert!(matches!(&refused, Error::Occupied { by } if by.contains("420-")), "{refused}");
    assert_eq!(dump(&other).await, before);
    // This node's own, too: nobody knows what is in it.
    let ((_dir, path), (_empty_dir, empty)) = (place(), place());
    let mine = filled(&path, ME).await;
    assert!(matches!(copy_node(&mut view, &mine, &mut |_, _| {}).await, Err(Error::Occupied { .. })));
    mine.leave("postgres://elsewhere").await.expect("written");
    let place = mine.read("test").await.expect("view").place().await.expect("read");
    assert_eq!(place, Place::Moved { node: ME.into(), to: "postgres://elsewhere".into() });
    assert!(matches!(copy_node(&mut view, &mine, &mut |_, _| {}).await, Err(Error::Occupied { .. })));
    let empty = in_file(&empty).await;
    assert_eq!(empty.read("test").await.expect("view").place().await.expect("read"), Place::Empty);
    assert!(matches!(
        copy_node(&mut empty.read("test").await.expect("view"), &mine, &mut |_, _| {}).await,
        Err(Error::NotANode)
    ));
}
