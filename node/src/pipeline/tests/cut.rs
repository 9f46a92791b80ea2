//! A database server fails under a node at work: the connection is lost at every message, the server breaks off what is written, lets itself
//! only be read, or has no room. What was not kept is done once more and once only, and everything goes on by itself.

use danso_core::forms::Outcome;
use danso_proto::change::{Body, Death};
use danso_proto::ids::{ChangeId, Stream};
use danso_proto::refusal::Reason;

use super::bed::{self, Author, Bed, enrolled};
use super::waiting::slip;
use crate::faults::place::Place;
use crate::pipeline::{DryRun, Error, ImportBatch};
use crate::store::Store;
use crate::store::tests::cluster::{Cluster, WORD};
use crate::store::tests::proxy::{Loss, Proxy};

/// A bed whose store is reached by a way that can be cut.
async fn bed_behind(proxy: &Proxy) -> Bed {
    let dir = Place::new();
    let store = Store::open_server(&proxy.address(), None, &dir.path().join("danso.db"), WORD).await.expect("opened");
    Bed::on(dir, store).await
}

/// All connections of the node are lost, so that the next ones have nothing prepared.
const ANEW: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'danso-node'";

/// Receives an entry that makes one person known and kills nobody who is known; everything must be counted once.
async fn received(bed: &Bed, author: &mut Author, about: &str) {
    let (nobody, first) = (ChangeId::first(5, [5; 6]), author.position.size);
    let nonsense = bed::happened("17065", Body::Death(Death { person: nobody }), 20_210_105);
    let entry = author.entry(vec![enrolled("17065", 198_001), nonsense]);
    let package = author.package(first, vec![entry], true);
    let root = package.checkpoint.as_deref().and_then(|note| note.lines().nth(2)).expect("a root").to_owned();
    let received = bed.receive(package).await;
    assert_eq!((received.size, &received.refused), (first + 1, &None), "{about}");
    let receipt = received.receipt.expect("a receipt");
    assert_eq!(receipt.lines().nth(2), Some(&*root), "{about}: the author's root");
    assert_eq!(bed.handle.snapshot().log(&author.log).map(|row| row.head.root()), Some(received.root), "{about}");
    let kept = first + 1;
    assert_eq!(
        bed.counts().await,
        (kept + 1, 0, kept),
        "{about}: persons, with the one whom nobody knows, and findings"
    );
    assert_eq!(bed.residents("17065").await, i64::try_from(kept).expect("few"), "{about}");
    let mut tx = bed.store.read("test").await.expect("view");
    let row = tx.log_list().await.expect("logs").into_iter().find(|row| row.log == author.log).expect("the log");
    assert_eq!((row.head.size(), row.head.root()), (kept, received.root), "{about}");
    let entries = tx.entry_read(row.pk, 0, 10_000, usize::MAX).await.expect("entries").len();
    assert_eq!(entries as u64, kept, "{about}");
}

fn run(test: impl AsyncFnOnce(&Cluster, Proxy, Bed)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let cluster = Cluster::start();
    runtime.block_on(async {
        let proxy = Proxy::to(&cluster).await;
        let bed = bed_behind(&proxy).await;
        test(&cluster, proxy, bed).await;
    });
}

/// Every message, lost in this way.
fn lost_at_every_message(loss: fn() -> Loss) {
    run(async |cluster, proxy, bed| {
        let mut author = bed.child("17065", 1).await;
        received(&bed, &mut author, "undisturbed").await;
        cluster.say(ANEW).await;
        proxy.count();
        received(&bed, &mut author, "counted").await;
        let commits = |counted: &[String]| counted.iter().filter(|message| message.contains("COMMIT")).count();
        let counted = proxy.counted();
        assert_eq!(commits(&counted), 1, "{counted:?}");
        let last = counted.iter().position(|message| message.contains("COMMIT")).expect("it is kept");
        let mut commits_twice = 0;
        for (at, message) in counted.iter().enumerate().take(last + 1) {
            cluster.say(ANEW).await;
            proxy.lose(at, loss());
            received(&bed, &mut author, &format!("lost at message {at}, {message}")).await;
            assert!(proxy.is_lost(), "message {at} never came: {:?}", proxy.counted());
            commits_twice += usize::from(commits(&proxy.counted()) == 2);
        }
        println!("lost at {} messages; a COMMIT was said twice {commits_twice} times", last + 1);
        let bed = bed_again(bed, &proxy).await;
        received(&bed, &mut author, "after another start").await;
    });
}

/// The node ends and starts again.
async fn bed_again(mut bed: Bed, proxy: &Proxy) -> Bed {
    let (keep, dir) = (bed.keep(), bed.dir.clone());
    bed.ended().await;
    let store = Store::open_server(&proxy.address(), None, &dir.join("danso.db"), WORD).await.expect("opened");
    Bed::again(keep, store, &dir).await.expect("started again")
}

#[test]
fn a_connection_that_is_lost_before_the_server_hears_a_message() {
    lost_at_every_message(|| Loss::Before);
}

#[test]
fn a_connection_that_is_lost_before_the_server_answers_a_message() {
    lost_at_every_message(|| Loss::After);
}

#[test]
fn a_commit_of_which_the_server_hears_late_is_found_and_not_done_twice() {
    run(async |cluster, proxy, bed| {
        let mut author = bed.child("17065", 1).await;
        received(&bed, &mut author, "undisturbed").await;
        cluster.say(ANEW).await;
        proxy.count();
        received(&bed, &mut author, "counted").await;
        let at = proxy.counted().iter().position(|message| message.contains("COMMIT")).expect("it is kept");
        cluster.say(ANEW).await;
        let (go_on, late) = tokio::sync::oneshot::channel();
        proxy.lose(at, Loss::Late(late));
        let asked = async {
            // Somebody asks the server for the mark, and waits for it.
            let mut connection = cluster.connection().await;
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'danso-node' AND wait_event_type = 'Lock'";
            for _ in 0..2_000 {
                let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut connection).await.expect("asked");
                if waiting > 0 {
                    return go_on.send(()).expect("the server has not heard it");
                }
            }
            panic!("nobody waits for the transaction that may be kept");
        };
        tokio::join!(received(&bed, &mut author, "heard late"), asked);
        let commits = proxy.counted().iter().filter(|message| message.contains("COMMIT")).count();
        assert_eq!(commits, 1, "it is not done once more");
        received(&bed, &mut author, "afterwards").await;
    });
}

/// What becomes of the rows of a file that is tried in three batches, of which the second is lost at a message.
async fn tried(bed: &Bed, cluster: &Cluster, lose: impl FnOnce()) -> Vec<(Vec<&'static str>, u64)> {
    let dry_run = DryRun::default();
    let waits = slip(bed, "1", "death", "001.9", "2021-09-01");
    let batches = [
        vec![slip(bed, "2", "birth", "001.5", "2021-06-01"), waits.clone()],
        // The one is known from before, the other one is made known here.
        vec![slip(bed, "3", "death", "001.5", "2021-09-01"), slip(bed, "4", "birth", "001.9", "2021-06-01")],
        vec![slip(bed, "3", "death", "001.5", "2021-09-01"), slip(bed, "4", "birth", "001.9", "2021-06-01"), waits],
    ];
    let (mut lose, mut became) = (Some(lose), Vec::new());
    for (rows, n) in batches.into_iter().zip(0..) {
        if let Some(lose) = lose.take_if(|_| n == 1) {
            cluster.say(ANEW).await;
            lose();
        }
        let batch = ImportBatch { rows, dry_run: Some(dry_run.clone()) };
        let imported = bed.handle.import(batch).await.expect("the store works");
        let words = imported.rows.iter().map(|row| match row.outcome {
            Outcome::Taken { .. } => "taken",
            Outcome::Unchanged | Outcome::Doubted(_) => "unchanged",
            Outcome::Waits { .. } => "waits",
            Outcome::Refused(_) => "refused",
        });
        became.push((words.collect(), imported.released));
    }
    became
}

#[test]
fn a_dry_run_that_the_server_breaks_off_still_knows_what_its_earlier_batches_made_known() {
    run(async |cluster, proxy, bed| {
        let undisturbed = tried(&bed, cluster, || proxy.count()).await;
        let expected = [(vec!["taken", "waits"], 0), (vec!["taken", "taken"], 1), (vec!["unchanged"; 3], 0)];
        assert_eq!(undisturbed, expected);
        let counted = proxy.counted();
        let last = counted.iter().position(|message| message.contains("ROLLBACK")).expect("nothing is kept");
        for (at, message) in counted.iter().enumerate().take(last) {
            let became = tried(&bed, cluster, || proxy.lose(at, Loss::Before)).await;
            assert!(proxy.is_lost(), "message {at} never came: {:?}", proxy.counted());
            assert_eq!(became, undisturbed, "lost at message {at}, {message}");
        }
        assert_eq!(bed.counts().await, (0, 0, 0), "nothing was kept");
        println!("lost at {last} messages");
    });
}

#[test]
fn an_entry_that_a_server_changed_keeps_the_next_start_from_beginning() {
    run(async |cluster, proxy, bed| {
        assert_eq!(written(&bed, 1).await, Ok(1));
        cluster.say("UPDATE entry SET envelope = set_byte(envelope, 60, get_byte(envelope, 60) # 1) WHERE changes = 1 AND log = (SELECT max(log) FROM entry)").await;
        let log = danso_proto::ids::LogId::new(bed.handle.me().clone(), Stream::Records);
        let pk = bed.handle.snapshot().log(&log).expect("the log").pk;
        let read = bed.store.read("test").await.expect("view").entry_read(pk, 0, 100, usize::MAX).await;
        assert!(read.is_err_and(|error| error.is_damage()));
        let (mut bed, beside) = (bed, proxy);
        let (_keep, dir) = (bed.keep(), bed.dir.clone());
        bed.ended().await;
        let store = Store::open_server(&beside.address(), None, &dir.join("danso.db"), WORD).await.expect("opened");
        let error = Bed::again(None, store, &dir).await.err().expect("it does not start");
        assert_eq!(error.refusal().reason, Reason::StoreDamaged, "{error:?}");
    });
}

async fn written(bed: &Bed, n: u8) -> Result<u64, Reason> {
    let written = bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), n)]).await;
    written.map(|written| written.size).map_err(|error| error.refusal().reason)
}

#[test]
fn a_server_that_lets_itself_only_be_read_is_read_and_the_node_says_why_and_goes_on_when_it_can() {
    run(async |cluster, _proxy, bed| {
        assert_eq!(written(&bed, 1).await, Ok(1));
        cluster.say("ALTER SYSTEM SET default_transaction_read_only = on").await;
        cluster.say("SELECT pg_reload_conf()").await;
        cluster.say(ANEW).await;
        assert_eq!(written(&bed, 2).await, Err(Reason::StoreUnavailable));
        let away = bed.store.condition().health().away.expect("it says why");
        assert!(away.contains("only be read"), "{away}");
        assert_eq!((bed.counts().await.0, bed.residents("17065").await), (1, 1), "what can be read is");
        bed.store.look_again().await;
        assert!(bed.store.condition().health().away.is_some(), "it is still so");
        cluster.say("ALTER SYSTEM RESET default_transaction_read_only").await;
        cluster.say("SELECT pg_reload_conf()").await;
        bed.store.look_again().await;
        assert_eq!(bed.store.condition().health().away, None, "found by looking");
        assert_eq!(written(&bed, 3).await, Ok(2));
        assert_eq!(bed.residents("17065").await, 2);
    });
}

#[test]
fn a_server_without_room_refuses_with_the_reason_that_a_file_has_and_goes_on_when_there_is_room() {
    run(async |cluster, _proxy, bed| {
        let mut author = bed.child("17065", 1).await;
        received(&bed, &mut author, "undisturbed").await;
        // As the server says it when it cannot make a file larger.
        cluster
            .say(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
                 CREATE TRIGGER full_disk BEFORE INSERT ON entry FOR EACH STATEMENT EXECUTE FUNCTION full_disk()",
            )
            .await;
        assert_eq!(written(&bed, 2).await, Err(Reason::DiskFull));
        let health = bed.store.condition().health();
        let figures = crate::pipeline::figures(&health);
        assert!(figures.starts_with("a write found no room where the database is"), "{figures}");
        assert_eq!(written(&bed, 3).await, Err(Reason::DiskFull), "not even begun");
        let later = author.clone();
        let package = later.package(1, vec![later.clone().entry(vec![enrolled("17065", 198_001)])], false);
        let refused = bed.receive(package).await.refused.map(|(_, refusal)| refusal.reason);
        assert_eq!(refused, Some(Reason::DiskFull), "its sender keeps it");
        assert_eq!(bed.residents("17065").await, 1, "what is here is read");
        cluster.say("DROP TRIGGER full_disk ON entry").await;
        bed.store.condition().tick();
        received(&bed, &mut author, "when there is room").await;
    });
}

#[test]
fn what_another_session_locks_is_tried_five_times_and_then_refused_and_nothing_is_kept() {
    run(async |cluster, _proxy, bed| {
        use sqlx::Connection as _;
        let mut author = bed.child("17065", 1).await;
        received(&bed, &mut author, "undisturbed").await;
        cluster.say("ALTER ROLE danso SET lock_timeout = '20ms'").await;
        cluster.say(ANEW).await;
        let mut other = cluster.connection().await;
        let mut locked = other.begin().await.expect("begun");
        sqlx::raw_sql("LOCK TABLE entry IN SHARE MODE").execute(&mut *locked).await.expect("locked");
        let error = bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), 7)]).await;
        let Err(Error::Refused(refusal)) = error else { panic!("{error:?}") };
        assert_eq!(refusal.reason, Reason::StoreUnavailable);
        assert!(bed.store.condition().health().away.is_some_and(|why| why.contains("lock timeout")));
        assert_eq!(bed.residents("17065").await, 1);
        locked.rollback().await.expect("given back");
        received(&bed, &mut author, "when nobody locks it").await;
        assert_eq!(bed.store.condition().health().away, None);
    });
}

#[test]
fn what_others_sign_stops_nobody_because_a_server_cannot_keep_it() {
    run(async |_cluster, _proxy, bed| {
        let mut author = bed.child("17065", 1).await;
        let mut entry = Vec::new();
        // PostgreSQL takes no character 0, and no index of it a text of 4,000 bytes that cannot be made much smaller.
        let long: String = (1..250u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        for (reference, number) in [("001\0.1", "1\0"), (&*long, ""), ("", &*long)] {
            let (mut change, part) = enrolled("17065", 198_001);
            let Body::PersonEnrolled(enrolled) = &mut change.body else { panic!("somebody is enrolled") };
            enrolled.household = (!number.is_empty()).then(|| ChangeId::first(7, [u8::from(number.len() > 9); 6]));
            let part = part.map(|part| danso_proto::identity::IdentityPart {
                person_ref: reference.to_owned(),
                household_no: number.to_owned(),
                ..part
            });
            entry.push((change, part));
        }
        let entry = author.entry(entry);
        let received = bed.receive(author.package(0, vec![entry], true)).await;
        assert_eq!((received.size, received.refused), (1, None));
        assert_eq!(bed.residents("17065").await, 3, "they count");
    });
}
