//! The file beside the database: an old copy of the database is noticed at start, and nothing is written to it.

use std::fs;
use std::path::Path;

use danso_proto::envelope::Signer as _;
use danso_proto::ids::Stream;
use danso_proto::refusal::Reason;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::bed::{self, Bed, enrolled};
use super::run;
use super::waiting::slip;
use crate::faults::harness::copy_of;
use crate::faults::place::Place;
use crate::pipeline::heads::{self, Kept};
use crate::pipeline::{ImportBatch, InviteRow, Recovery};

async fn write(bed: &Bed, n: u8) {
    bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), n)]).await.expect("written");
}

/// A node that wrote one entry, ended, and wrote another one; and a copy of it from between.
async fn old_and_new(mut bed: Bed) -> (Place, Place, std::path::PathBuf) {
    write(&bed, 1).await;
    let keep = bed.keep().expect("its directory");
    let dir = bed.dir.clone();
    bed.ended().await;
    let (old_guard, old) = copy_of(&dir);
    let bed = Bed::at(&dir).await.expect("starts");
    write(&bed, 2).await;
    bed.ended().await;
    (keep, old_guard, old)
}

async fn reason(result: Result<impl Sized, crate::pipeline::Error>) -> Option<Reason> {
    result.err().map(|error| error.refusal().reason)
}

async fn is_read_only(dir: &Path) -> Bed {
    let bed = Bed::at(dir).await.expect("it starts, to serve and to deliver what it has");
    let told = bed.handle.snapshot().read_only().expect("it says so");
    assert_eq!(told.reason, Reason::ReadOnly);
    // It is a root: nobody would give back what it wrote.
    assert!(told.detail.contains("danso-node restore") && !told.detail.contains("danso-node recover"), "{told}");
    let draft = bed::draft(enrolled("17065", 198_001), 9);
    assert_eq!(reason(bed.handle.write(Stream::Records, vec![draft]).await).await, Some(Reason::ReadOnly));
    let rows = vec![slip(&bed, "1", "birth", "001.5", "2021-06-01")];
    assert_eq!(reason(bed.handle.import(ImportBatch { rows, dry_run: None }).await).await, Some(Reason::ReadOnly));
    let unit = bed::code("17065");
    let invite =
        InviteRow { secret_hash: [1; 32], unit, expires_at_ms: i64::MAX, used_by: None, again: true, node: None };
    assert_eq!(reason(bed.handle.invite(invite).await).await, Some(Reason::ReadOnly));
    bed
}

#[test]
fn an_old_copy_of_the_database_is_noticed_and_nothing_is_written() {
    run(async |bed| {
        let (keep, _old, old) = old_and_new(bed).await;
        let dir = keep.path();
        fs::copy(old.join("danso.db"), dir.join("danso.db")).expect("put back");
        let kept = fs::read(dir.join("heads")).expect("the file");
        let bed = is_read_only(dir).await;
        bed.ended().await;
        assert_eq!(fs::read(dir.join("heads")).expect("the file"), kept, "the proof stays");
        is_read_only(dir).await.ended().await;
    });
}

#[test]
fn a_database_that_went_another_way_is_noticed() {
    run(async |bed| {
        let (keep, _old, old) = old_and_new(bed).await;
        let other = Bed::at(&old).await.expect("starts: its own file fits");
        for n in [3, 4] {
            write(&other, n).await;
        }
        other.ended().await;
        fs::copy(old.join("danso.db"), keep.path().join("danso.db")).expect("put in");
        is_read_only(keep.path()).await.ended().await;
    });
}

#[test]
fn a_file_that_is_missing_damaged_or_behind_is_made_anew_and_stops_nobody() {
    run(async |bed| {
        let (keep, _old, old) = old_and_new(bed).await;
        let dir = keep.path();
        let whole = fs::read(dir.join("heads")).expect("the file");
        let behind = fs::read(old.join("heads")).expect("the file");
        let half = whole[..whole.len() / 2].to_vec();
        for content in
            [None, Some(half), Some(Vec::new()), Some(b"danso-heads-v1\nnote 99999\n".to_vec()), Some(behind)]
        {
            match &content {
                Some(content) => fs::write(dir.join("heads"), content).expect("written"),
                None => fs::remove_file(dir.join("heads")).expect("removed"),
            }
            let bed = Bed::at(dir).await.expect("starts");
            assert!(bed.handle.snapshot().read_only().is_none(), "{content:?}");
            assert_eq!(fs::read(dir.join("heads")).expect("made anew"), whole);
            bed.ended().await;
        }
        let Kept::Heads(heads) = heads::read(&dir.join("heads")) else { panic!("it does not read") };
        assert_eq!(heads.len(), 2, "directory and records");
    });
}

#[test]
fn a_restored_node_takes_in_nothing_of_others_until_it_is_known_not_to_be_behind() {
    run(async |bed| {
        let mut child = bed.child("17065", 1).await;
        crate::pipeline::mark_restored(bed.store(), 1).await.expect("marked");
        let bed = bed.restarted().await;
        let entry = child.entry(vec![enrolled("17065", 198_001)]);
        let package = child.package(0, vec![entry], true);
        let received = bed.receive(package.clone()).await;
        assert_eq!(received.refused.map(|(at, refusal)| (at, refusal.reason)), Some((0, Reason::ReadOnly)));
        bed.handle.confirm().await.expect("its parent says so");
        assert_eq!(bed.receive(package).await.refused, None);
        assert_eq!(bed.residents("17065").await, 1);
    });
}

#[test]
fn a_restored_node_gives_nobody_back_less_than_he_wrote_until_it_is_known_not_to_be_behind() {
    run(async |bed| {
        let child = bed.child("17065", 1).await;
        crate::pipeline::mark_restored(bed.store(), 1).await.expect("marked");
        let bed = bed.restarted().await;
        // The same key again, below the same node: nothing is to be written.
        let asked = || Recovery {
            secret_hash: None,
            node: child.log.node().clone(),
            log_public_key: *bed::signer(1).public_key().as_bytes(),
            keys: Vec::new(),
            ends: None,
        };
        assert_eq!(reason(bed.handle.recover(asked()).await).await, Some(Reason::ReadOnly));
        bed.handle.confirm().await.expect("its parent says so");
        bed.handle.recover(asked()).await.expect("given back");
    });
}

#[test]
fn rows_that_are_gone_are_damage_and_no_other_history() {
    run(async |mut bed| {
        let mut child = bed.child("17065", 1).await;
        let entries = (0..3).map(|_| child.entry(vec![enrolled("17065", 198_001)])).collect();
        assert_eq!(bed.receive(child.package(0, entries, true)).await.refused, None);
        let (keep, dir) = (bed.keep(), bed.dir.clone());
        bed.ended().await;
        let mut db = SqliteConnectOptions::new().filename(dir.join("danso.db")).connect().await.expect("a database");
        let gone = "DELETE FROM entry WHERE sequence = 1 AND log = (SELECT id FROM log WHERE name LIKE '17065%')";
        sqlx::query(gone).execute(&mut db).await.expect("deleted");
        db.close().await.expect("closed");
        // Nothing says what the file held: register and figures are compared with the logs.
        fs::remove_file(dir.join("danso.db.sha256")).expect("removed");
        let error = Bed::at(&dir).await.err().expect("refused");
        assert_eq!(error.refusal().reason, Reason::StoreDamaged, "{error:?}");
        drop(keep);
    });
}
