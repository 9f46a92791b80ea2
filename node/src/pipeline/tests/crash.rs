//! The process dies at every point of every kind of work, and the disk is full at every point: what is left is all of a transaction or nothing
//! of it, what was answered is there, and the same work done again comes to what it comes to undisturbed.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use danso_core::calendar::PartialDate;
use danso_core::forms::{HouseholdRow, Row};
use danso_proto::change::{Body, Death, ForwardingPolicy, Sex};
use danso_proto::checkpoint;
use danso_proto::envelope::Signer as _;
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream};
use danso_proto::refusal::{Reason, Refusal};

use super::bed::{self, Author, Bed, code, enrolled};
use super::forks;
use super::waiting::slip;
use crate::faults::Point;
use crate::faults::harness::{Detail, content, copy_of, die_everywhere, full_everywhere};
use crate::faults::place;
use crate::pipeline::{Enrolment, Error, ImportBatch, InviteRow, Keep, Recovery, Trouble};
use crate::store::ReceiptRow;

type Done = Result<(), Error>;

/// Work of one kind.
struct Work<F> {
    name: &'static str,
    detail: Detail,
    /// Doing it again when it was kept adds to it: an own entry that was not answered is looked for, not written again.
    adds: bool,
    run: F,
}

/// Does the work on the node in `dir`, if that still starts.
async fn done_in(dir: &Path, run: &impl AsyncFn(&Bed) -> Done) -> Done {
    let bed = Bed::at(dir).await?;
    let done = run(&bed).await;
    bed.ended().await;
    done
}

/// What is in `dir`, once its node was up: it must start, read every entry, and close.
async fn sound(dir: &Path, detail: Detail, about: &str) -> String {
    let bed = Bed::at(dir).await.unwrap_or_else(|error| panic!("{about}: it does not start: {error:?}"));
    let snapshot = bed.handle.snapshot();
    for row in snapshot.logs() {
        let entries = bed.stored(&row.log).await;
        assert_eq!(entries.len() as u64, row.head.size(), "{about}: {}", row.log);
    }
    bed.ended().await;
    content(dir, detail).await
}

async fn at_every_point(prepared: &Path, work: Work<impl AsyncFn(&Bed) -> Done>) {
    let Work { name, detail, adds, run } = work;
    let before = {
        let (_guard, dir) = copy_of(prepared);
        sound(&dir, detail, name).await
    };
    let after = RefCell::new(String::new());
    let same = |left: &str| *left == *after.borrow();
    let kept = Cell::new((0, 0));
    let points = die_everywhere(
        prepared,
        async |dir: PathBuf| drop(done_in(&dir, &run).await),
        async |dir| {
            let content = sound(&dir, detail, name).await;
            after.replace(content);
        },
        async |dir: PathBuf, at, point| {
            let about = format!("{name}, dying at point {at} ({point:?})");
            let (_guard, again) = copy_of(&dir);
            let left = sound(&dir, detail, &about).await;
            assert!(left == before || same(&left), "{about}: half of it is there\n{left}");
            let (none, all) = kept.get();
            kept.set(if left == before { (none + 1, all) } else { (none, all + 1) });
            if adds && same(&left) {
                return;
            }
            done_in(&again, &run).await.unwrap_or_else(|error| panic!("{about}: again: {error:?}"));
            assert_eq!(sound(&again, detail, &about).await, *after.borrow(), "{about}: doing it again");
        },
    )
    .await;
    assert!(points.contains(&Point::Commit) && points.contains(&Point::Committed), "{name}: {points:?}");
    assert_ne!(before, *after.borrow(), "{name} does something");
    let (none, all) = kept.get();
    println!("{name}: died at {} points: {none} times nothing was kept, {all} times all", points.len());
    // What is done about it is the same on a server, where each time takes longer.
    let lengths = [1, 2, points.len()];
    for length in lengths.into_iter().skip(if place::is_elsewhere() { 2 } else { 0 }) {
        full_everywhere(
            prepared,
            points.len(),
            length,
            async |dir: PathBuf| {
                if let Err(error) = done_in(&dir, &run).await {
                    let reason = error.refusal().reason;
                    assert_eq!(reason, Reason::DiskFull, "{name}: {error:?}");
                }
            },
            async |dir: PathBuf, at| {
                let about = format!("{name}, no room from point {at} on for {length}");
                let (_guard, again) = copy_of(&dir);
                let left = sound(&dir, detail, &about).await;
                assert!(left == before || same(&left), "{about}: half of it is there\n{left}");
                if adds && same(&left) {
                    return;
                }
                done_in(&again, &run).await.unwrap_or_else(|error| panic!("{about}: again: {error:?}"));
                assert_eq!(
                    sound(&again, detail, &about).await,
                    *after.borrow(),
                    "{about}: doing it again when there is room"
                );
            },
        )
        .await;
    }
}

/// Runs a test on a node that ended, with what `prepare` made of it.
fn on<T>(prepare: impl AsyncFnOnce(&Bed) -> T, test: impl AsyncFnOnce(&Path, T)) {
    super::run(async |mut bed| {
        let made = prepare(&bed).await;
        let keep = bed.keep();
        let dir = bed.dir.clone();
        bed.ended().await;
        test(&dir, made).await;
        drop(keep);
    });
}

#[test]
fn an_own_entry() {
    on(
        async |_| (),
        async |dir, ()| {
            let run = async |bed: &Bed| {
                bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), 7)]).await.map(|_| ())
            };
            at_every_point(dir, Work { name: "an own entry", detail: Detail::Meaning, adds: true, run }).await;
        },
    );
}

/// A log of another author that makes persons known, kills one, and says nonsense.
async fn received(bed: &Bed, mut author: Author) -> Done {
    let first = author.entry(vec![enrolled("17065", 198_001), enrolled("17065", 199_005)]);
    let nobody = ChangeId::first(5, [5; 6]);
    let nonsense = bed::happened("17065", Body::Death(Death { person: nobody }), 20_210_105);
    let death = bed::happened("17065", Body::Death(Death { person: author.person() }), 20_210_301);
    let second = author.entry(vec![nonsense, death]);
    let answer = bed.handle.receive(author.package(0, vec![first, second], true)).await?.await?;
    match answer.refused {
        None => Ok(()),
        Some((_, refusal)) => Err(refusal.into()),
    }
}

#[test]
fn a_package_of_a_child() {
    on(
        async |bed| bed.child("17065", 1).await,
        async |dir, author| {
            let run = async |bed: &Bed| received(bed, author.clone()).await;
            at_every_point(dir, Work { name: "a package", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn receipts_from_above() {
    on(
        async |bed| {
            bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), 7)]).await.expect("written");
        },
        async |dir, ()| {
            let run = async |bed: &Bed| {
                let log = LogId::new(bed.handle.me().clone(), Stream::Records);
                let note =
                    bed.handle.snapshot().log(&log).and_then(|row| row.checkpoint.clone()).expect("a checkpoint");
                let note = bed.handle.cosign(&checkpoint::parse(&note).expect("a note")).expect("signed");
                let giver: NodeId = bed.handle.me().clone();
                bed.handle.receipts(vec![ReceiptRow { log, giver, size: 1, time_s: 5, note }]).await
            };
            at_every_point(dir, Work { name: "receipts", detail: Detail::Bytes, adds: false, run }).await;
        },
    );
}

async fn imported(bed: &Bed, rows: Vec<Row>) -> Done {
    bed.handle.import(ImportBatch { rows, dry_run: None }).await.map(|_| ())
}

#[test]
fn slips_of_which_one_waits() {
    on(
        async |_| (),
        async |dir, ()| {
            let run = async |bed: &Bed| {
                let birth = slip(bed, "1", "birth", "001.5", "2021-06-01");
                imported(bed, vec![birth, slip(bed, "2", "death", "001.9", "2021-09-01")]).await
            };
            at_every_point(dir, Work { name: "an import", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn slips_that_release_one_that_waits() {
    on(
        async |bed| imported(bed, vec![slip(bed, "1", "death", "001.5", "2021-09-01")]).await.expect("it waits"),
        async |dir, ()| {
            let run = async |bed: &Bed| imported(bed, vec![slip(bed, "2", "birth", "001.5", "2021-06-01")]).await;
            at_every_point(dir, Work { name: "a release", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

/// A row of the household book.
fn member(person_ref: &str, born: i32) -> Row {
    let birth_date = PartialDate::full(born, 3, 7).expect("a day");
    Row::Household(HouseholdRow {
        line: 2,
        unit: code("17065"),
        hamlet: "001".into(),
        household_no: "001".into(),
        person_ref: person_ref.into(),
        full_name: "Vi Thị Mai".into(),
        sex: Sex::Female,
        birth_date,
        relation_to_head: None,
        national_id: String::new(),
        health_insurance_no: String::new(),
        ethnicity: String::new(),
        marital_status: None,
        method: None,
        resident_since: None,
    })
}

#[test]
fn a_household_book_that_brings_whom_a_slip_waits_for() {
    on(
        async |bed| imported(bed, vec![slip(bed, "1", "death", "001.5", "2021-09-01")]).await.expect("it waits"),
        async |dir, ()| {
            let run = async |bed: &Bed| imported(bed, vec![member("001.1", 1980), member("001.5", 1990)]).await;
            at_every_point(dir, Work { name: "a household book", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn an_invite() {
    on(
        async |_| (),
        async |dir, ()| {
            let run = async |bed: &Bed| bed.handle.invite(invite(3)).await;
            at_every_point(dir, Work { name: "an invite", detail: Detail::Meaning, adds: true, run }).await;
        },
    );
}

fn invite(n: u8) -> InviteRow {
    InviteRow {
        secret_hash: [n; 32],
        unit: code("17065"),
        expires_at_ms: i64::MAX,
        used_by: None,
        again: false,
        node: None,
    }
}

#[test]
fn enrolling_a_child() {
    on(
        async |bed| bed.handle.invite(invite(3)).await.expect("kept"),
        async |dir, ()| {
            let run = async |bed: &Bed| {
                let log_public_key = *bed::signer(9).public_key().as_bytes();
                let policy = ForwardingPolicy::Full;
                let enrolment = Enrolment { secret_hash: [3; 32], unit: code("17065"), log_public_key, policy };
                bed.handle.enrol(enrolment).await.map(|_| ())
            };
            at_every_point(dir, Work { name: "an enrolment", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn a_log_that_is_stopped() {
    on(
        async |bed| bed.child("17065", 1).await,
        async |dir, author| {
            let (_guard, dir) = copy_of(dir);
            done_in(&dir, &async |bed: &Bed| received(bed, author.clone()).await).await.expect("taken");
            let run = async |bed: &Bed| {
                let refusal = Refusal::new(Reason::RootDiffers, "two histories");
                bed.handle.trouble(author.log.clone(), Some(Trouble { refusal })).await
            };
            at_every_point(&dir, Work { name: "a stop", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn another_history_that_is_shown() {
    on(
        async |bed| forks::forked(bed).await.1,
        async |dir, twin| {
            let run = async |bed: &Bed| bed.handle.shown(forks::shown(&twin)).await.map(|_| ());
            at_every_point(dir, Work { name: "two histories", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn a_decision_about_two_histories() {
    on(
        async |bed| {
            let (a, twin) = forks::forked(bed).await;
            bed.handle.shown(forks::shown(&twin)).await.expect("weighed");
            a.log
        },
        async |dir, log| {
            let run =
                async |bed: &Bed| bed.handle.decide(forks::decision(&log, Keep::First(Some(1)))).await.map(|_| ());
            at_every_point(dir, Work { name: "a reset", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}

#[test]
fn a_change_of_keys() {
    on(
        async |bed| {
            bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), 7)]).await.expect("written");
        },
        async |dir, ()| {
            // The bed signs with its first key: it is the announcement that is done, or not.
            let run = async |bed: &Bed| bed.handle.rekey(std::sync::Arc::new(bed::signer(201))).await.map(|_| ());
            at_every_point(dir, Work { name: "a change of keys", detail: Detail::Meaning, adds: true, run }).await;
        },
    );
}

#[test]
fn a_place_given_back() {
    on(
        async |bed| {
            let author = bed.child("17065", 1).await;
            let node = author.log.node().clone();
            bed.handle.invite(InviteRow { again: true, node: Some(node.clone()), ..invite(3) }).await.expect("kept");
            node
        },
        async |dir, node| {
            let run = async |bed: &Bed| {
                let log_public_key = *bed::signer(9).public_key().as_bytes();
                bed.handle
                    .recover(Recovery {
                        secret_hash: Some([3; 32]),
                        node: node.clone(),
                        log_public_key,
                        keys: Vec::new(),
                        ends: None,
                    })
                    .await
            };
            at_every_point(dir, Work { name: "a recovery", detail: Detail::Meaning, adds: false, run }).await;
        },
    );
}
