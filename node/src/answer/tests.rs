//! Tests of the room beside: parts add up to the whole, and nothing but a child's own, new and fitting answer passes.

pub(crate) mod fixture;

use std::time::Duration;

use bytes::Bytes;
use danso_core::period::{Deadline, Deadlines, Scope};
use danso_core::question::Figure;
use danso_proto::envelope::{ANSWER_TYPE, Envelope, Signer, open_answer};
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::pb::query::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use prost::Message as _;

use super::{Answer, Error, Query, Split, check, combine};
use fixture::{Federation, Member, NOW_MS, unit};

const NONCE: [u8; 16] = [9; 16];
const DIMENSIONS: [&[&str]; 5] =
    [&[], &["month"], &["sex", "age_group"], &["month", "sex", "age_group"], &["age", "sex"]];

fn encoded(query: &Query) -> Bytes {
    query.to_pb().encode_to_vec().into()
}

fn value(answer: &Answer, at: &str, figure: Figure) -> i64 {
    let cells = answer.cells.iter().filter(|cell| cell.unit == unit(at) && cell.figure == figure);
    cells.map(|cell| cell.value).sum()
}

/// Asks the children as a link would, and checks and combines their answers.
async fn from_children(f: &Federation, query: &Query) -> Answer {
    let answers = f.province.answers();
    let split = answers.split(&f.directory, query).expect("split");
    let own = answers.rest(&f.directory, query, &split).await.expect("the rest");
    let mut parts = Vec::new();
    for (node, part) in &split.children {
        let member = [&f.north, &f.south].into_iter().find(|member| member.id == *node).expect("a member");
        let sealed =
            member.answers().sealed(&f.directory, encoded(part), NONCE, &|_| Vec::new()).await.expect("sealed");
        let child = f.directory.node(node).expect("enrolled");
        parts.push(check(sealed, child, &f.directory, part, NONCE).expect("valid"));
    }
    combine(own, parts).expect("combined")
}

#[tokio::test]
async fn the_cube_s_rows_become_the_figures_that_were_written() {
    let f = Federation::new().await;
    let answer = f.province.answers().local(&f.directory, &f.query("40", "district", &[])).await.expect("answer");
    // North: four enrolled, two born, two gone. South: one, one born, two came. West: one, one born, one came.
    for (at, residents, births, arrivals, departures) in [("420", 4, 2, 0, 2), ("421", 4, 1, 2, 0), ("422", 3, 1, 1, 0)]
    {
        assert_eq!(value(&answer, at, Figure::Residents), residents, "{at}");
        assert_eq!(value(&answer, at, Figure::Births), births, "{at}");
        assert_eq!(value(&answer, at, Figure::Arrivals), arrivals, "{at}");
        assert_eq!(value(&answer, at, Figure::Departures), departures, "{at}");
    }
    // Seen from the province only one came from outside.
    let answer = f.province.answers().local(&f.directory, &f.query("40", "", &[])).await.expect("answer");
    assert_eq!((value(&answer, "40", Figure::Arrivals), value(&answer, "40", Figure::Departures)), (1, 0));
    assert_eq!(answer.asked, []);
    let logs: Vec<(&str, u64)> =
        answer.frontier.iter().map(|entry| (&entry.log.node().as_str()[..3], entry.size)).collect();
    assert_eq!(logs, [("40-", 1), ("420", 2), ("421", 1)]);
}

#[tokio::test]
async fn the_children_s_parts_and_the_rest_make_the_local_answer() {
    let f = Federation::new().await;
    for at in ["40", "420", "421", "422", "17001", "17201"] {
        for by in ["", "district", "commune"] {
            for dimensions in DIMENSIONS {
                let Ok(query) = Query::read(&f.ask(at, by, dimensions), &f.directory, NOW_MS) else {
                    assert_eq!((at.len(), by), (5, "district"), "only a commune has no districts");
                    continue;
                };
                let local = f.province.answers().local(&f.directory, &query).await.expect("local");
                let combined = from_children(&f, &query).await;
                assert_eq!(Federation::figures(&local), Federation::figures(&combined), "{at} by {by} {dimensions:?}");
                assert!(!local.cells.is_empty());
                assert_eq!(combined.query, query);
            }
        }
    }
    let combined = from_children(&f, &f.query("40", "", &[])).await;
    assert_eq!(combined.asked, [f.north.id.clone(), f.south.id.clone()]);
    let local = f.province.answers().local(&f.directory, &f.query("40", "", &[])).await.expect("local");
    assert_eq!(combined.frontier, local.frontier);
    assert_eq!((combined.findings, local.findings), (3, 3));
}

#[tokio::test]
async fn a_question_with_many_possible_cells_is_answered_by_those_that_there_are() {
    let f = Federation::new().await;
    let mut short = f.ask("40", "commune", &["month", "sex", "age_group"]);
    (short.from, short.to) = (202_402, 202_403);
    let mut long = short.clone();
    long.from = 197_504;
    let answer = async |query: &pb::Query| {
        let query = Query::read(query, &f.directory, NOW_MS).expect("a query");
        let cells_each = query.asked().expect("asked").cells_each();
        (f.province.answers().local(&f.directory, &query).await.expect("answered").cells, cells_each)
    };
    let ((short, _), (mut long, cells_each)) = (answer(&short).await, answer(&long).await);
    assert!(
        cells_each > super::cells::GRID_AT_ONCE / super::cells::UNITS_AT_ONCE,
        "{cells_each}: else units are not read in parts"
    );
    long.retain(|cell| cell.month.is_some_and(|month| month.ymm() >= 202_402));
    assert!(!short.is_empty());
    assert_eq!(short, long);
}

#[test]
fn cells_are_bounded_by_what_an_answer_may_have_and_the_same_cell_counts_once() {
    let cell = |n: u32| {
        let month = danso_core::calendar::Month::from_ymm(202_401).ok().map(|month| month.add_months((n % 600) as i32));
        let unit = format!("{:05}", n / 600).parse().expect("a unit code");
        danso_core::question::Cell { unit, figure: Figure::ALL[0], month, sex: None, age_group: None, value: 1 }
    };
    let mut gathered = super::cells::Gathered::default();
    let many: Vec<_> = (0..600_000).map(cell).collect();
    for _ in 0..6 {
        gathered.add(many.clone()).expect("the same cells");
    }
    let refused = (1..)
        .map(|n| (0..600_000).map(|at| cell(n * 600_000 + at)).collect())
        .find_map(|cells| gathered.add(cells).err());
    assert_eq!(refused.map(|refusal| refusal.reason), Some(Reason::TooLarge));
    assert!(gathered.cells.len() < 4_000_000);
}

#[tokio::test]
async fn a_question_goes_to_the_children_that_it_concerns() {
    let f = Federation::new().await;
    let answers = f.province.answers();
    let split = |at: &str| answers.split(&f.directory, &f.query(at, "", &[])).expect("split");
    let of = |split: &Split| -> Vec<(String, String)> {
        let within = |query: &Query| query.question().within().map(ToString::to_string).unwrap_or_default();
        split.children.iter().map(|(node, query)| (node.unit().to_string(), within(query))).collect()
    };
    let whole = split("40");
    assert_eq!(of(&whole), [("420".into(), "420".into()), ("421".into(), "421".into())]);
    assert_eq!(whole.rest, [unit("17201"), unit("40"), unit("422")]);
    let commune = split("17001");
    assert_eq!((of(&commune), commune.rest), (vec![("420".into(), "17001".into())], vec![]));
    let west = split("422");
    assert_eq!((of(&west), west.rest), (vec![], vec![unit("17201"), unit("422")]));
    assert_eq!(answers.split(&f.directory, &f.query("49", "", &[])).expect_err("not ours").reason, Reason::UnitNotOurs);
}

#[tokio::test]
async fn the_same_question_on_the_same_logs_has_the_same_bytes() {
    let f = Federation::new().await;
    let query = f.query("40", "commune", &["month", "sex", "age_group"]);
    let mut first = f.province.answers().local(&f.directory, &query).await.expect("answer");
    f.province.clock.advance(Duration::from_secs(60));
    let again = f.province.answers().local(&f.directory, &query).await.expect("answer");
    assert_ne!(first, again);
    first.answered_at_ms = again.answered_at_ms;
    assert_eq!(first.encode(NONCE).expect("fits"), again.encode(NONCE).expect("fits"));
    // Part by part gives the bytes that the message as a whole has.
    let whole = pb::Answer {
        header: Some(first.header()),
        cells: first.clone().into_cells(usize::MAX).flatten().collect(),
        nonce: NONCE.to_vec().into(),
    };
    assert_eq!(first.encode(NONCE).expect("fits"), whole.encode_to_vec());
    let sizes: Vec<usize> = first.clone().into_cells(7).map(|cells| cells.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), first.cells.len());
    assert!(sizes.iter().all(|size| (1..=7).contains(size)));
}

#[tokio::test]
async fn a_query_has_one_canonical_form() {
    let f = Federation::new().await;
    let mut asked = f.ask("40", "commune", &["sex", "month", "sex"]);
    asked.measures = vec!["residents".into(), "births".into()];
    let query = Query::read(&asked, &f.directory, NOW_MS).expect("a query").to_pb();
    assert_eq!(query.units_version, f.units().iter().next().expect("a list").version());
    assert_eq!((query.measures.join(","), query.dimensions.join(",")), ("births,residents".into(), "month,sex".into()));
    assert_eq!(Query::read(&query, &f.directory, NOW_MS).expect("a query").to_pb(), query);
    let reason = |change: fn(&mut pb::Query)| {
        let mut bad = query.clone();
        change(&mut bad);
        Query::read(&bad, &f.directory, NOW_MS).expect_err("refused").reason
    };
    assert_eq!(reason(|q| q.units_version = "vn-1900".into()), Reason::UnitsVersionUnknown);
    assert_eq!(reason(|q| q.unit = "99".into()), Reason::UnitUnknown);
    assert_eq!(reason(|q| q.within = "99".into()), Reason::UnitUnknown);
    for change in [
        (|q| q.unit = "a/b".into()) as fn(&mut pb::Query),
        |q| q.by = "region".into(),
        |q| q.from = 202_413,
        |q| q.to = 202_312,
        |q| q.measures.push("happiness".into()),
        |q| q.dimensions.push("colour".into()),
    ] {
        assert_eq!(reason(change), Reason::QueryInvalid);
    }
}

#[tokio::test]
async fn a_node_answers_for_its_own_unit_and_below_only() {
    let f = Federation::new().await;
    let sealed =
        async |query: &Query| f.north.answers().sealed(&f.directory, encoded(query), NONCE, &|_| Vec::new()).await;
    let query = f.query("40", "", &[]);
    for outside in ["421", "40", "17101"] {
        let refusal = sealed(&query.restricted_to(unit(outside))).await.expect_err("outside");
        assert_eq!(refusal.reason, Reason::UnitNotOurs, "{outside}");
    }
    assert_eq!(sealed(&query).await.expect_err("no within").reason, Reason::QueryInvalid);
    assert!(sealed(&query.restricted_to(unit("17001"))).await.is_ok());
    let garbage = f.north.answers().sealed(&f.directory, Bytes::from_static(&[0xff]), NONCE, &|_| Vec::new()).await;
    assert_eq!(garbage.expect_err("garbage").reason, Reason::QueryInvalid);
    let local = f.north.answers().local(&f.directory, &query).await;
    assert!(matches!(local, Err(Error::Refused(Refusal { reason: Reason::UnitNotOurs, .. }))));
}

/// Signs an answer again after a change to it.
fn forged(f: &Federation, by: &Member, sealed: &Bytes, change: impl FnOnce(&mut pb::Answer)) -> Bytes {
    let child = f.directory.node(&f.north.id).expect("enrolled");
    let envelope = Envelope::decode_answer(sealed.clone()).expect("an envelope");
    let mut answer = pb::Answer::decode(open_answer(&envelope, child.key()).expect("signed")).expect("an answer");
    change(&mut answer);
    let signer: &dyn Signer = &*by.signer;
    Envelope::seal(ANSWER_TYPE, &answer.encode_to_vec(), &[signer]).expect("sealed").bytes().clone()
}

#[tokio::test]
async fn an_answer_that_is_not_the_child_s_own_new_and_fitting_one_is_refused() {
    let f = Federation::new().await;
    let query = f.query("40", "commune", &["month", "sex", "age_group"]).restricted_to(unit("420"));
    let sealed = f.north.answers().sealed(&f.directory, encoded(&query), NONCE, &|_| Vec::new()).await.expect("sealed");
    let child = f.directory.node(&f.north.id).expect("enrolled");
    let reason = |envelope: Bytes| match check(envelope, child, &f.directory, &query, NONCE) {
        Ok(_) => None,
        Err(refusal) => Some(refusal.reason),
    };
    assert_eq!(reason(sealed.clone()), None);
    assert_eq!(reason(forged(&f, &f.north, &sealed, |_| {})), None);
    assert_eq!(reason(forged(&f, &f.south, &sealed, |_| {})), Some(Reason::AnswerInvalid), "another key");
    assert_eq!(reason(Bytes::from_static(b"no envelope")), Some(Reason::AnswerInvalid));
    let mut cut = sealed.to_vec();
    cut.truncate(sealed.len() - 1);
    assert_eq!(reason(cut.into()), Some(Reason::AnswerInvalid));

    let south = LogId::new(f.south.id.clone(), Stream::Records).to_string();
    let directory = LogId::new(f.north.id.clone(), Stream::Directory).to_string();
    let header = |answer: &mut pb::Answer, change: &dyn Fn(&mut pb::AnswerHeader)| {
        change(answer.header.as_mut().expect("a header"));
    };
    let note = |node: &NodeId, detail: &str| pb::Note {
        node: node.to_string(),
        reason: "read_only".into(),
        detail: detail.into(),
    };
    type Change<'a> = (&'a str, Box<dyn Fn(&mut pb::Answer) + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("an old nonce", Box::new(|a| a.nonce = vec![8; 16].into())),
        ("no nonce", Box::new(|a| a.nonce = Bytes::new())),
        ("no header", Box::new(|a| a.header = None)),
        ("another question", Box::new(|a| header(a, &|h| h.query.as_mut().expect("a query").to += 1))),
        ("another node", Box::new(|a| header(a, &|h| h.node = f.south.id.to_string()))),
        ("asked others", Box::new(|a| header(a, &|h| h.asked.push(f.south.id.to_string())))),
        ("a note on another", Box::new(|a| header(a, &|h| h.notes.push(note(&f.south.id, "x"))))),
        ("a long note", Box::new(|a| header(a, &|h| h.notes.push(note(&f.north.id, &"x".repeat(5_000)))))),
        ("many notes", Box::new(|a| header(a, &|h| h.notes = vec![note(&f.north.id, "x"); 17]))),
        ("findings", Box::new(|a| header(a, &|h| h.findings = u64::MAX))),
        ("a log of others", Box::new(|a| header(a, &|h| h.frontier[0].log = south.clone()))),
        ("another stream", Box::new(|a| header(a, &|h| h.frontier[0].log = directory.clone()))),
        ("a log twice", Box::new(|a| header(a, &|h| h.frontier.push(h.frontier[0].clone())))),
        ("an empty log", Box::new(|a| header(a, &|h| h.frontier[0].size = 0))),
        ("a cell twice", Box::new(|a| a.cells.insert(1, a.cells[0].clone()))),
        ("out of order", Box::new(|a| a.cells.reverse())),
        ("another's commune", Box::new(|a| a.cells.last_mut().expect("a cell").unit = "17101".into())),
        ("no target", Box::new(|a| a.cells.last_mut().expect("a cell").unit = "420".into())),
        ("an unknown figure", Box::new(|a| a.cells[0].measure = "happiness".into())),
        ("a month outside", Box::new(|a| a.cells[0].month = 202_312)),
        ("no month", Box::new(|a| a.cells[0].month = 0)),
        ("no sex", Box::new(|a| a.cells.iter_mut().for_each(|c| c.sex = String::new()))),
        ("an age group that is none", Box::new(|a| a.cells[0].age_group = "0-99".into())),
        ("a month too few", Box::new(|a| header(a, &|h| h.coverage.truncate(2)))),
        ("another month", Box::new(|a| header(a, &|h| h.coverage[0].month += 1))),
        ("more closed than there are", Box::new(|a| header(a, &|h| h.coverage[0].closed = 3))),
        ("all the world's units", Box::new(|a| header(a, &|h| h.coverage[0].units = 1_000))),
        ("people that are not there", Box::new(|a| header(a, &|h| h.coverage[0].residents_closed = 1_000))),
        ("zero", Box::new(|a| a.cells[0].value = 0)),
        ("a negative value", Box::new(|a| a.cells[0].value = -1)),
        ("an impossible value", Box::new(|a| a.cells[0].value = i64::MAX)),
    ];
    for (what, change) in changes {
        assert_eq!(reason(forged(&f, &f.north, &sealed, change)), Some(Reason::AnswerInvalid), "{what}");
    }
}

#[tokio::test]
async fn a_figure_that_was_not_asked_for_is_refused() {
    let f = Federation::new().await;
    let mut asked = f.ask("40", "", &[]);
    asked.measures = vec!["births".into()];
    let query = Query::read(&asked, &f.directory, NOW_MS).expect("a query").restricted_to(unit("420"));
    let sealed = f.north.answers().sealed(&f.directory, encoded(&query), NONCE, &|_| Vec::new()).await.expect("sealed");
    let child = f.directory.node(&f.north.id).expect("enrolled");
    let checked = |bytes| check(bytes, child, &f.directory, &query, NONCE).map_err(|refusal| refusal.reason);
    assert!(checked(sealed.clone()).is_ok());
    let other = forged(&f, &f.north, &sealed, |answer| answer.cells[0].measure = "deaths".into());
    assert_eq!(checked(other), Err(Reason::AnswerInvalid));
    let by_sex = forged(&f, &f.north, &sealed, |answer| answer.cells[0].sex = "M".into());
    assert_eq!(checked(by_sex), Err(Reason::AnswerInvalid));
}

#[tokio::test]
async fn who_asks_says_by_when_months_are_closed_and_an_earlier_version_says_nothing_of_it() {
    let f = Federation::new().await;
    let judge = f.province.answers().judging(Deadlines::new([(Scope::All, Deadline::Day(7))], []), Duration::ZERO);
    let query = judge.query(&f.directory, &f.ask("40", "", &[])).expect("a query").restricted_to(unit("420"));
    let asked = query.to_pb();
    assert_eq!(asked.deadlines.as_ref().map(|of| &*of.rules[0].deadline), Some("day 7"));
    assert_eq!(Query::read(&asked, &f.directory, NOW_MS).expect("a query"), query, "it reads back");
    let sealed = f.north.answers().sealed(&f.directory, encoded(&query), NONCE, &|_| Vec::new()).await.expect("sealed");
    let child = f.directory.node(&f.north.id).expect("enrolled");
    let checked = |bytes| check(bytes, child, &f.directory, &query, NONCE);
    let coverage = checked(sealed.clone()).expect("valid").coverage.expect("it is told");
    assert_eq!(
        coverage.iter().map(|of| (of.month.ymm(), of.units)).collect::<Vec<_>>(),
        [(202_401, 2), (202_402, 2), (202_403, 2)]
    );
    let old = forged(&f, &f.north, &sealed, |answer| {
        let header = answer.header.as_mut().expect("a header");
        header.coverage.clear();
        header.query.as_mut().expect("a query").deadlines = None;
    });
    let old = checked(old).expect("it is taken");
    assert_eq!(old.coverage, None);
    let own = judge.local(&f.directory, &query).await.expect("answer");
    assert_eq!(combine(own, vec![old]).expect("together").coverage, None, "nobody can say it of the whole");
    let judged = forged(&f, &f.north, &sealed, |answer| {
        answer.header.as_mut().expect("a header").query.as_mut().expect("a query").deadlines = None;
    });
    assert_eq!(checked(judged).map_err(|refusal| refusal.reason), Err(Reason::AnswerInvalid), "by other deadlines");
}
