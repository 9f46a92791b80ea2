//! What is taken and what is turned away while the disk gets full, and when the database is damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use danso_core::register::Rules;
use danso_proto::change::{Body, ForwardingPolicy, NodeEnrolled};
use danso_proto::ids::{NodeId, Stream};
use danso_proto::refusal::Reason;
use sqlx::ConnectOptions as _;

use super::bed::{self, Bed, code, enrolled};
use super::run;
use super::waiting::slip;
use crate::pipeline::compare::{META_UNCOMPARED, compare, is_compared};
use crate::pipeline::{Enrolment, Error, ImportBatch, InviteRow};
use crate::store::Level;
use crate::view::View;

const MIB: u64 = 1024 * 1024;

/// A disk with as many free MiB as the number says; 64 are the least.
fn disk(bed: &Bed) -> Arc<AtomicU64> {
    let free = Arc::new(AtomicU64::new(1_000));
    let seen = free.clone();
    bed.store.condition().set_probe(move |_| Ok(seen.load(Ordering::Relaxed) * MIB));
    free
}

fn reason<T>(result: Result<T, Error>) -> Option<Reason> {
    result.err().map(|error| error.refusal().reason)
}

async fn new_work(bed: &Bed, n: u8) -> [Option<Reason>; 4] {
    let draft = bed::draft(enrolled("17065", 198_001), n);
    let written = bed.handle.write(Stream::Records, vec![draft]).await;
    let rows = vec![slip(bed, &n.to_string(), "birth", &format!("00{n}.5"), "2021-06-01")];
    let imported = bed.handle.import(ImportBatch { rows, dry_run: None }).await;
    let unit = code("17035");
    let invite =
        InviteRow { secret_hash: [n; 32], unit, expires_at_ms: i64::MAX, used_by: None, again: true, node: None };
    let invited = bed.handle.invite(invite).await;
    let enrolment = Enrolment {
        secret_hash: [n; 32],
        unit: code("17035"),
        log_public_key: [n; 32],
        policy: ForwardingPolicy::Full,
    };
    let enrolled = bed.handle.enrol(enrolment).await;
    [reason(written), reason(imported), reason(invited), reason(enrolled)]
}

#[test]
fn who_can_wait_waits_first_and_small_things_always_pass() {
    run(async |bed| {
        let free = disk(&bed);
        let mut child = bed.child("17065", 1).await;
        let first = child.entry(vec![enrolled("17065", 198_001)]);
        let package = child.package(0, vec![first], true);

        free.store(63, Ordering::Relaxed);
        let refused = bed.receive(package.clone()).await;
        let (at, refusal) = refused.refused.expect("a child's package waits");
        assert_eq!((at, refusal.reason, refused.size), (0, Reason::DiskFull, 0));
        assert!(refusal.detail.starts_with("63 MiB are free"), "{refusal}");
        assert_eq!(new_work(&bed, 1).await, [None; 4], "what is new here is still taken");

        free.store(31, Ordering::Relaxed);
        assert_eq!(new_work(&bed, 2).await, [Some(Reason::DiskFull); 4]);
        // Small, and what others' rights depend on.
        let public = [9; 32];
        let node = NodeId::new(&code("16738"), &public);
        let enrolled = NodeEnrolled {
            node,
            unit: code("16738"),
            log_public_key: public,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        };
        let draft = bed::about("16738", Body::NodeEnrolled(enrolled), 77);
        bed.handle.write(Stream::Directory, vec![draft]).await.expect("a directory entry is written");
        bed.handle.receipts(Vec::new()).await.expect("receipts are kept");
        bed.handle.trouble(child.log.clone(), None).await.expect("a log's trouble is noted");

        free.store(1_000, Ordering::Relaxed);
        bed.store.condition().tick();
        assert_eq!(new_work(&bed, 3).await, [None; 4], "it goes on by itself");
        assert_eq!(bed.receive(package).await.refused, None);
    });
}

#[test]
fn a_dry_run_is_turned_away_too_when_the_disk_is_full() {
    run(async |bed| {
        disk(&bed).store(0, Ordering::Relaxed);
        let rows = vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")];
        let dry_run = Some(crate::pipeline::DryRun::default());
        assert_eq!(reason(bed.handle.import(ImportBatch { rows, dry_run }).await), Some(Reason::DiskFull));
        assert_eq!(bed.store.condition().health().disk.level, Level::Full);
    });
}

#[test]
fn an_entry_whose_bytes_were_changed_is_never_served_and_stops_what_is_new() {
    run(async |bed| {
        let mut child = bed.child("17065", 1).await;
        let entries = (0..3).map(|n| child.entry(vec![enrolled("17065", 198_001 + n)])).collect();
        bed.receive(child.package(0, entries, true)).await;
        let pk = bed.handle.snapshot().log(&child.log).expect("the log").pk;
        let database = bed.store.condition().path().to_path_buf();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
        let mut behind_its_back = options.connect().await.expect("a second connection");
        let sql = "UPDATE entry SET envelope = zeroblob(length(envelope)) WHERE log = $1 AND sequence = 1";
        sqlx::query(sql).bind(pk).execute(&mut behind_its_back).await.expect("damaged");

        let view = View::new(bed.store.clone());
        let before = view.entries(pk, 0, 1, usize::MAX).await.expect("what is whole is served");
        assert_eq!(before.len(), 1);
        assert_eq!(bed.store.condition().health().damage, None);
        let refusal = view.entries(pk, 0, 3, usize::MAX).await.expect_err("what is damaged is not").refusal();
        assert_eq!(refusal.reason, Reason::StoreDamaged, "{refusal}");
        assert!(bed.store.condition().health().damage.is_some(), "and it is remembered");
        assert_eq!(new_work(&bed, 1).await, [Some(Reason::StoreDamaged); 4]);
        let next = child.entry(vec![enrolled("17065", 199_001)]);
        let refused = bed.receive(child.package(3, vec![next], true)).await.refused.expect("refused");
        assert_eq!(refused.1.reason, Reason::StoreDamaged);
    });
}

#[test]
fn a_leaf_or_an_entry_that_is_gone_is_found_at_start() {
    for sql in ["UPDATE entry SET leaf = zeroblob(32) WHERE sequence = 1", "DELETE FROM entry WHERE sequence = 2"] {
        run(async |mut bed| {
            let mut child = bed.child("17065", 1).await;
            let entries = (0..3).map(|n| child.entry(vec![enrolled("17065", 198_001 + n)])).collect();
            bed.receive(child.package(0, entries, true)).await;
            let pk = bed.handle.snapshot().log(&child.log).expect("the log").pk;
            let keep = bed.keep();
            let dir = bed.dir.clone();
            bed.ended().await;
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("danso.db"));
            let mut behind_its_back = options.connect().await.expect("a connection");
            let sql = sqlx::AssertSqlSafe(format!("{sql} AND log = {pk}"));
            sqlx::query(sql).execute(&mut behind_its_back).await.expect("damaged");
            sqlx::Connection::close(behind_its_back).await.expect("closed");
            // As after a power cut: else the seal would tell.
            std::fs::remove_file(dir.join("danso.db.sha256")).expect("the seal");
            let error = Bed::at(&dir).await.err().expect("it does not start");
            assert_eq!(error.refusal().reason, Reason::StoreDamaged, "{error:?}");
            drop(keep);
        });
    }
}

#[test]
fn figures_that_the_disk_changed_are_made_again_after_an_unclean_end() {
    for sql in ["UPDATE cube SET measure = measure + 100", "DELETE FROM cube", "UPDATE person SET unit = '16738'"] {
        run(async |mut bed| {
            let mut child = bed.child("17065", 1).await;
            let entries = (0..3).map(|n| child.entry(vec![enrolled("17065", 198_001 + n)])).collect();
            bed.receive(child.package(0, entries, true)).await;
            let right = bed.store.read("test").await.expect("read").derived().await.expect("digests");
            let keep = bed.keep();
            let dir = bed.dir.clone();
            bed.ended().await;
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("danso.db"));
            let mut behind_its_back = options.connect().await.expect("a connection");
            sqlx::query(sql).execute(&mut behind_its_back).await.expect("changed");
            sqlx::Connection::close(behind_its_back).await.expect("closed");
            // As after a power cut: every page hangs together, and nothing says what it held.
            std::fs::remove_file(dir.join("danso.db.sha256")).expect("the seal");
            let bed = Bed::at(&dir).await.expect("it starts");
            assert_eq!(bed.residents("17065").await, 3, "{sql}");
            assert_eq!(bed.store.read("test").await.expect("read").derived().await.expect("digests"), right, "{sql}");
            drop(keep);
        });
    }
}

#[test]
fn a_comparison_that_was_put_off_is_remembered_until_it_is_done() {
    run(async |mut bed| {
        let mut child = bed.child("17065", 1).await;
        let entry = child.entry(vec![enrolled("17065", 198_001)]);
        bed.receive(child.package(0, vec![entry], true)).await;
        let is_uncompared = |bed: &Bed| bed.store.condition().health().uncompared;
        let (keep, dir, anchor) = (bed.keep(), bed.dir.clone(), bed.handle.snapshot().directory().anchor());
        compare(&bed.store, anchor, Rules::CURRENT, 0).await.expect("put off");
        assert!(is_uncompared(&bed));
        // Too large still: a clean end does not make it right.
        let mark = async |bed: &Bed| {
            bed.store.read("test").await.expect("read").meta_get(META_UNCOMPARED).await.expect("read")
        };
        assert!(mark(&bed).await.is_some());
        bed.ended().await;
        let bed = Bed::at(&dir).await.expect("it starts, and compares");
        assert!(!is_uncompared(&bed) && mark(&bed).await.is_none());
        // Or somebody else has compared them.
        compare(&bed.store, anchor, Rules::CURRENT, 0).await.expect("put off");
        is_compared(&bed.store).await.expect("said");
        assert!(!is_uncompared(&bed) && mark(&bed).await.is_none());
        drop(keep);
    });
}
