//! Register and cube made again are the same to the byte, in whatever order everything came the first time.

use danso_core::calendar::PartialDate;
use danso_core::forms::{Context, Form, Header, Outcome, RawRow, Row, parse};
use danso_core::register::Rules;
use danso_core::units::UnitList;
use danso_proto::change::{
    Body, ContraceptionChanged, Death, Method, MovedOut, NodeRevoked, PeriodClosed, PersonUpdated, Retraction,
};
use danso_proto::ids::{ChangeId, Stream};
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::Reason;

use super::bed::{Author, Bed, Said, about, enrolled, happened, update};
use super::run;
use super::waiting::{import, slip};
use crate::pipeline::rebuild;
use crate::store::Derived;

/// The id of change `at` in the author's next entry.
fn next_id(author: &Author, at: u32) -> ChangeId {
    author.first_id_of(author.position.size).at(at).expect("an id")
}

/// Somebody who has a reference and a household number.
fn named(unit: &str, birth_month: u32, reference: &str) -> Said {
    let (change, part) = enrolled(unit, birth_month);
    (
        change,
        part.map(|part| danso_proto::identity::IdentityPart {
            person_ref: reference.into(),
            household_no: reference.split('.').next().unwrap_or_default().into(),
            ..part
        }),
    )
}

fn closed(unit: &str, month: u32) -> Said {
    let (mut change, _) = enrolled(unit, 198_001);
    change.body = Body::PeriodClosed(PeriodClosed { month });
    (change, None)
}

/// A life in one commune: people, moves, a correction of the past, a retraction, what makes no sense, and a month that is closed twice.
fn story(author: &mut Author, unit: &str) -> Vec<SealedEntry> {
    let first = next_id(author, 0);
    let second = next_id(author, 1);
    let mut entries = vec![author.entry(vec![named(unit, 198_001, "001.1"), named(unit, 199_005, "001.2")])];
    let moved = next_id(author, 0);
    entries.push(author.entry(vec![
        happened(unit, Body::MovedOut(MovedOut { person: first, other_unit: None }), 20_210_310),
        happened(
            unit,
            Body::ContraceptionChanged(ContraceptionChanged {
                person: second,
                method: Method::Iud,
                method_since: None,
            }),
            20_210_401,
        ),
        closed(unit, 202_103),
    ]));
    // Gone already: a finding, until the move is retracted.
    entries.push(
        author.entry(vec![happened(unit, Body::Death(Death { person: first }), 20_210_505), closed(unit, 202_103)]),
    );
    entries.push(author.entry(vec![
        happened(
            unit,
            Body::Retraction(Retraction { person: first, refers_to: moved, reason: String::new() }),
            20_210_310,
        ),
        happened(
            unit,
            Body::PersonUpdated(PersonUpdated { birth_month: Some(199_006), ..update(second, None) }),
            20_210_601,
        ),
    ]));
    let (mut strange, _) = enrolled(unit, 198_001);
    strange.body = Body::Unknown;
    entries.push(author.entry(vec![(strange, None), named(unit, 200_007, "002.1")]));
    entries
}

async fn derived(bed: &Bed) -> Derived {
    bed.store().read("test").await.expect("store").derived().await.expect("digest")
}

/// The same packages, one entry each, in the order that `turn` says: which author is next.
async fn lived(turn: impl Fn(usize) -> usize) -> Bed {
    let bed = Bed::new().await;
    let mut logs = Vec::new();
    for (unit, secret) in [("17065", 1), ("17035", 2), ("16738", 3)] {
        let mut author = bed.child(unit, secret).await;
        let entries = story(&mut author, unit);
        logs.push((author, entries, 0));
    }
    // Another who speaks about the first one's people and months: what it says of them does not count, and is listed.
    let mut above = bed.child("40", 4).await;
    let person = story_person(&logs[0].0);
    let entries = vec![
        above.entry(vec![closed("17065", 202_103), happened("17065", Body::Death(Death { person }), 20_210_101)]),
        above.entry(vec![enrolled("17065", 200_001)]),
    ];
    logs.push((above, entries, 0));
    let mut step = 0;
    while logs.iter().any(|(_, entries, at)| *at < entries.len()) {
        let open: Vec<usize> = (0..logs.len()).filter(|at| logs[*at].2 < logs[*at].1.len()).collect();
        let (author, entries, at) = &mut logs[open[turn(step) % open.len()]];
        let package = Package {
            log: author.log.clone(),
            first: *at as u64,
            entries: vec![entries[*at].clone()],
            checkpoint: None,
        };
        let received = bed.receive(package).await;
        assert_eq!(received.refused, None);
        *at += 1;
        step += 1;
    }
    bed
}

/// The first person of an author's story.
fn story_person(author: &Author) -> ChangeId {
    author.first_id_of(0)
}

#[test]
fn any_order_of_arrival_is_what_a_rebuild_makes() {
    run(async |_| {
        let mut seen: Option<Derived> = None;
        for seed in 0..8usize {
            // 0: one log after the other; others: seeded.
            let bed = lived(|step| if seed == 0 { 0 } else { (step * 7 + seed * 13 + step * step * seed) / 3 }).await;
            let live = derived(&bed).await;
            assert!(live.rows("finding") > 3 && live.rows("cube") > 10 && live.rows("period") == 3, "{live:?}");
            if let Some(first) = &seen {
                assert_eq!(*first, live, "order {seed} differs from order 0");
            }
            let anchor = bed.anchor();
            let report = rebuild(bed.store(), anchor, &|_, _| {}).await.expect("rebuilt");
            assert_eq!((&report.before, &report.after), (&live, &live), "order {seed}: a rebuild differs");
            assert_eq!(report.rebuilt.left_out, 0);
            seen = Some(live);
        }
    });
}

#[test]
fn a_book_that_comes_in_pieces_and_is_corrected_is_what_a_rebuild_makes() {
    run(async |bed| {
        let (mut above, mut author) = (bed.child("40", 4).await, bed.child("17065", 1).await);
        let [alone, spoken_of] = [0, 3].map(|at| next_id(&author, at));
        // Somebody of the book is heard of before the book.
        let early = above.entry(vec![happened("17065", Body::Death(Death { person: spoken_of }), 20_210_101)]);
        // Many at a time; most share a row of the cube with somebody, in their own piece or in another one.
        let book = |first: u32| (0..12).map(move |n| enrolled("17065", first + n % 6));
        let nobody_else = || [enrolled("17065", 197_001)];
        let retracted = Retraction { person: alone, refers_to: alone, reason: String::new() };
        let pieces = [
            nobody_else().into_iter().chain(book(198_001)).collect(),
            book(198_004).collect(),
            // A row of the cube comes to nothing, and then to something once more.
            vec![happened("17065", Body::Retraction(retracted), 20_210_201)],
            nobody_else().into_iter().chain(book(198_001)).collect(),
            book(198_101).collect(),
        ];
        let entries: Vec<SealedEntry> = pieces.into_iter().map(|said| author.entry(said)).collect();
        assert_eq!(bed.receive(above.package(0, vec![early], false)).await.refused, None);
        for (at, entry) in (0..).zip(entries) {
            assert_eq!(bed.receive(author.package(at, vec![entry], false)).await.refused, None);
        }
        let live = derived(&bed).await;
        // All but the one that was retracted and the one that is dead.
        assert_eq!(bed.residents("17065").await, 4 * 12 + 2 - 2);
        assert_eq!(live.rows("person"), 4 * 12 + 2, "{live:?}");
        let report = rebuild(bed.store(), bed.anchor(), &|_, _| {}).await.expect("rebuilt");
        assert_eq!((&report.before, &report.after), (&live, &live));
    });
}

#[test]
fn a_rebuild_that_fails_leaves_what_was_there() {
    run(async |_| {
        let bed = lived(|step| step).await;
        let before = derived(&bed).await;
        let stranger = super::bed::signer(99);
        use danso_proto::envelope::Signer as _;
        let error =
            rebuild(bed.store(), stranger.public_key().fingerprint(), &|_, _| {}).await.expect_err("not its anchor");
        assert_eq!(error.refusal().reason, Reason::AnchorMismatch);
        assert_eq!(derived(&bed).await, before);
    });
}

/// The unit lists that roll-ups of units above are kept for.
async fn rolled_up(bed: &Bed) -> Vec<String> {
    bed.store().read("test").await.expect("store").rollup_lists().await.expect("lists")
}

#[test]
fn roll_ups_follow_the_unit_lists() {
    run(async |_| {
        let bed = lived(|step| step).await;
        assert_eq!(rolled_up(&bed).await, ["vn-2024"]);
        let mut before = derived(&bed).await;
        // The commune 17035 moves below another province, and back, and there again; the first list is dropped then.
        for (n, version, from, above, kept) in [
            (0, "vn-2025", 20_250_701, "38", &["vn-2024", "vn-2025"][..]),
            (1, "vn-2030", 20_300_101, "40", &["vn-2024", "vn-2025", "vn-2030"]),
            (2, "vn-2035", 20_350_101, "38", &["vn-2025", "vn-2030", "vn-2035"]),
        ] {
            let rows = [
                ["VN", "Việt Nam", "central", ""],
                ["38", "Thanh Hóa", "province", "VN"],
                ["40", "Nghệ An", "province", "VN"],
                ["17065", "Châu Quang", "commune", "40"],
                ["17035", "Quỳ Hợp", "commune", above],
                ["16738", "Kim Sơn", "commune", "40"],
            ];
            let from = PartialDate::from_packed(from).expect("a date");
            let parts = UnitList::from_rows(version, Some(from), rows).expect("a list").split(3);
            let parts =
                parts.into_iter().zip(100 + n * 10..).map(|(part, n)| about("VN", Body::UnitsPublished(part), n));
            bed.handle.write(Stream::Directory, parts.collect()).await.expect("published");
            assert_eq!(rolled_up(&bed).await, kept, "in the transaction that made the list whole");
            let report = rebuild(bed.store(), bed.anchor(), &|_, _| {}).await.expect("rebuilt");
            assert_eq!(report.before, report.after, "as if the list had been there from the beginning");
            assert_eq!(rolled_up(&bed).await, kept);
            assert_ne!(report.after.tables, before.tables, "other sums are kept");
            assert!(report.after.rows("rollup") > report.after.rows("period"));
            before = report.after;
            // The disk loses which lists there are sums for: with the next one nothing is added a second time.
            let lost = bed.store().run_tx("test", async |tx| tx.meta_remove("rollup_lists").await).await;
            lost.expect("removed");
        }
    });
}

#[test]
fn what_a_revocation_leaves_out_stays_in_the_ledger_and_out_of_the_figures() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let entries = vec![a.entry(vec![enrolled("17065", 198_001)]), a.entry(vec![enrolled("17065", 198_002)])];
        bed.receive(a.package(0, entries, true)).await;
        assert_eq!(bed.residents("17065").await, 2);
        let revoked =
            NodeRevoked { node: a.log.node().clone(), bounds: vec![(a.log.clone(), 1)], reason: String::new() };
        bed.handle
            .write(Stream::Directory, vec![about("17065", Body::NodeRevoked(revoked), 77)])
            .await
            .expect("revoked");
        assert_eq!(bed.residents("17065").await, 1, "at once");
        let report = rebuild(bed.store(), bed.anchor(), &|_, _| {}).await.expect("rebuilt");
        assert_eq!((report.rebuilt.left_out, report.before == report.after), (1, true));
        assert_eq!((bed.residents("17065").await, bed.stored(&a.log).await.len()), (1, 2));
    });
}

#[test]
fn a_kind_that_an_older_version_carried_counts_after_the_upgrade() {
    run(async |_| {
        let now = lived(|step| step).await;
        let knows = derived(&now).await;
        // The version before did not know changes of contraception.
        let old = Rules::without(1, |body| matches!(body, Body::ContraceptionChanged(_)));
        let bed = lived(|step| step).await.restarted_by(old).await;
        let without = derived(&bed).await;
        assert_eq!(without.rows("finding"), knows.rows("finding") + 3, "one change of each commune is listed");
        assert!(without.rows("cube") < knows.rows("cube"));
        let bed = bed.restarted().await;
        assert_eq!(derived(&bed).await, knows, "applied, and no longer listed");
        // What comes next is counted on top of it.
        let again = rebuild(bed.store(), bed.anchor(), &|_, _| {}).await.expect("rebuilt");
        assert_eq!(again.before, again.after);
    });
}

/// A row of the household book of 17065.
fn book(bed: &Bed, reference: &str, name: &str) -> Row {
    let titles = ["unit_code", "household_no", "person_ref", "full_name", "sex", "birth_date"].map(str::to_owned);
    let header = Header::parse(Form::Households, &titles).expect("header");
    let snapshot = bed.handle.snapshot();
    let context = Context {
        units: snapshot.directory().units().get("vn-2024").expect("the list"),
        own_unit: &super::bed::code("VN"),
        today: PartialDate::full(2021, 12, 31).expect("day"),
    };
    let fields = ["17065", "001", reference, name, "F", "1980-05-04"].map(str::to_owned).to_vec();
    parse(&header, &RawRow { line: 2, fields, ..RawRow::default() }, &context).expect("a good row")
}

#[test]
fn a_node_that_has_its_log_again_takes_no_row_of_its_files_twice() {
    run(async |bed| {
        let rows = |bed: &Bed| {
            vec![
                book(bed, "001.1", "Vi Mai"),
                book(bed, "001.2", "Vi Lan"),
                slip(bed, "1", "birth", "001.5", "2021-06-01"),
                slip(bed, "2", "death", "001.1", "2021-07-01"),
            ]
        };
        let imported = import(&bed, rows(&bed)).await;
        assert!(imported.rows.iter().all(|row| matches!(row.outcome, Outcome::Taken { .. })), "{:?}", imported.rows);
        let before = derived(&bed).await;
        let bed = bed.recovered().await;
        // Not known yet who typed what: the slips would be taken for new ones.
        rebuild(bed.store(), bed.anchor(), &|_, _| {}).await.expect("rebuilt");
        assert_eq!(derived(&bed).await, before);
        let again = import(&bed, rows(&bed)).await;
        assert!(again.rows.iter().all(|row| row.outcome == Outcome::Unchanged), "{:?}", again.rows);
        assert_eq!((again.entries, derived(&bed).await), (0, before));
        // And it goes on.
        let more = import(&bed, vec![slip(&bed, "3", "death", "001.2", "2021-08-01")]).await;
        assert!(matches!(more.rows[0].outcome, Outcome::Taken { .. }), "{:?}", more.rows);
        assert_eq!(bed.findings().await, []);
    });
}
