//! Findings are answered: in whatever order answers come, by whom they count, and how that is told down and withdrawn.

use danso_core::calendar::PartialDate;
use danso_core::register::Rules;
use danso_proto::change::{
    Body, ChangeSet, FindingAnswered, FindingOpened, ForwardingPolicy, MovedIn, MovedOut, NodeEnrolled, Retraction,
    Severity, Sex, Verdict,
};
use danso_proto::envelope::{Envelope, Signer as _};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream};
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::Reason;

use super::bed::{self, Author, Bed, Said, enrolled, happened, update};
use super::run;
use crate::pipeline::rebuild;
use crate::store::{Said as SaidAbove, What};
use crate::view::{Finding, FindingState, View};

const DOUBT: &str = "month_unknown";

/// A departure of which only the year is known: it counts, and is doubtful.
fn left_in_some_month(unit: &str, person: ChangeId) -> Said {
    happened(unit, Body::MovedOut(MovedOut { person, other_unit: None }), 20_210_000)
}

fn says(unit: &str, change: ChangeId, code: &str, verdict: Verdict) -> Said {
    let body = Body::FindingAnswered(FindingAnswered { change, code: code.into(), verdict });
    let (mut said, _) = enrolled(unit, 198_001);
    said.body = body;
    (said, Some(IdentityPart { note: "gia đình không nhớ tháng".into(), ..IdentityPart::default() }))
}

/// A commune with one person who left in some month of 2021.
struct Case {
    author: Author,
    person: ChangeId,
    /// The doubtful record.
    left: ChangeId,
    entries: Vec<SealedEntry>,
}

async fn case(bed: &Bed) -> Case {
    let mut author = bed.child("17065", 1).await;
    let mut entries = vec![author.entry(vec![enrolled("17065", 198_001)])];
    let person = author.person();
    entries.push(author.entry(vec![left_in_some_month("17065", person)]));
    let left = author.person();
    Case { author, person, left, entries }
}

async fn send(bed: &Bed, author: &Author, first: u64, entries: Vec<SealedEntry>) {
    let package = Package { log: author.log.clone(), first, entries, checkpoint: None };
    assert_eq!(bed.receive(package).await.refused, None);
}

/// Adds one entry to an author's log, and sends it.
async fn say(bed: &Bed, author: &mut Author, said: Said) -> ChangeId {
    let first = author.position.size;
    let entry = author.entry(vec![said]);
    send(bed, author, first, vec![entry]).await;
    author.person()
}

async fn open(bed: &Bed) -> Vec<(Severity, u64)> {
    bed.store.read("test").await.expect("store").finding_open().await.expect("counted")
}

/// What the mail to a node said, in order.
async fn told(bed: &Bed, to: &NodeId) -> Vec<Body> {
    let log = LogId::new(bed.handle.me().clone(), Stream::Mail(to.clone()));
    if bed.handle.snapshot().log(&log).is_none() {
        return Vec::new();
    }
    let mut told = Vec::new();
    for envelope in bed.stored(&log).await {
        let envelope = Envelope::decode(envelope).expect("envelope");
        told.extend(ChangeSet::decode(envelope.payload()).expect("set").changes.into_iter().map(|change| change.body));
    }
    told
}

fn kinds(told: &[Body]) -> Vec<&'static str> {
    told.iter().map(Body::kind).collect()
}

/// The findings about a change as an operator sees them.
async fn shown(bed: &Bed, change: ChangeId) -> Vec<Finding> {
    let view = View::new(bed.store.clone());
    let today = PartialDate::full(2022, 1, 1).expect("a day");
    let mut findings = view.findings(true, Some(change), today).await.expect("findings");
    view.find_records(bed.handle.me(), &mut findings, true).await.expect("records");
    findings
}

async fn same_after_rebuild(bed: &Bed) {
    let report = rebuild(bed.store(), bed.anchor(), &|_, _| {}).await.expect("rebuilt");
    assert_eq!(report.before, report.after);
}

#[test]
fn a_doubtful_record_counts_is_told_answered_closed_withdrawn_and_opened_again() {
    run(async |bed| {
        let Case { mut author, left, entries, .. } = case(&bed).await;
        let node = author.log.node().clone();
        send(&bed, &author, 0, entries).await;
        assert_eq!(bed.residents("17065").await, 0, "it counts");
        assert_eq!(open(&bed).await, [(Severity::Warning, 1)]);
        let counted = bed.store.read("test").await.expect("store").finding_counts().await.expect("counted");
        assert_eq!(counted, [], "a doubtful record is not one that is left out");
        let mail = told(&bed, &node).await;
        let [Body::FindingOpened(FindingOpened { change, reason, severity, seen, .. })] = &mail[..] else {
            panic!("{mail:?}")
        };
        assert_eq!((*change, &**reason, *severity), (left, DOUBT, Severity::Warning));
        assert!(seen.iter().any(|seen| seen.name == "counted_in"), "{seen:?}");

        let answer = say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Right)).await;
        assert_eq!(open(&bed).await, []);
        assert_eq!(kinds(&told(&bed, &node).await), ["finding_opened", "finding_closed"]);
        let seen = shown(&bed, left).await;
        let [finding] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((finding.state, finding.answers.len()), (FindingState::Closed, 1));
        assert_eq!(finding.answers[0].note, "gia đình không nhớ tháng", "why, where the part is");
        assert_eq!(bed.residents("17065").await, 0, "an answer counts nothing");
        same_after_rebuild(&bed).await;

        // Said once more: nothing changes, and both have to be withdrawn.
        let again = say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Right)).await;
        say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Withdrawn(answer))).await;
        assert_eq!(open(&bed).await, []);
        say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Withdrawn(again))).await;
        assert_eq!(open(&bed).await, [(Severity::Warning, 1)]);
        assert_eq!(kinds(&told(&bed, &node).await), ["finding_opened", "finding_closed", "finding_opened"]);
        let bed = bed.restarted().await;
        say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Right)).await;
        assert_eq!((open(&bed).await, told(&bed, &node).await.len()), (vec![], 4));
        same_after_rebuild(&bed).await;
        let bed = bed.restarted().await;
        assert_eq!(told(&bed, &node).await.len(), 4, "a start tells nothing again");
    });
}

#[test]
fn a_correction_closes_what_it_corrects() {
    run(async |bed| {
        let Case { mut author, left, person, entries } = case(&bed).await;
        send(&bed, &author, 0, entries).await;
        let update = update(person, Some(left));
        say(&bed, &mut author, happened("17065", Body::PersonUpdated(update), 20_210_310)).await;
        assert_eq!(open(&bed).await, []);
        assert_eq!(kinds(&told(&bed, author.log.node()).await), ["finding_opened", "finding_closed"]);
        same_after_rebuild(&bed).await;
    });
}

#[test]
fn in_any_order_answers_and_records_come_to_the_same() {
    run(async |_| {
        let mut made = None;
        // Which log is next: the commune's three entries, and three of the province that answers for it.
        for order in 0u32..20 {
            let bed = Bed::new().await;
            let Case { author, left, entries, .. } = case(&bed).await;
            let mut above = bed.child("40", 4).await;
            let mut answers = vec![above.entry(vec![says("17065", left, DOUBT, Verdict::Right)])];
            let first = above.person();
            answers.push(above.entry(vec![says("17065", left, DOUBT, Verdict::Withdrawn(first))]));
            answers.push(above.entry(vec![says("17065", left, DOUBT, Verdict::Right)]));
            let (mut here, mut there) = (0, 0);
            // The order's bits say whose turn it is, as long as both have something.
            let mut bits = order;
            while here < entries.len() || there < answers.len() {
                let commune = there == answers.len() || (here < entries.len() && bits & 1 == 0);
                bits >>= 1;
                if commune {
                    send(&bed, &author, here as u64, vec![entries[here].clone()]).await;
                    here += 1;
                } else {
                    send(&bed, &above, there as u64, vec![answers[there].clone()]).await;
                    there += 1;
                }
            }
            assert_eq!(open(&bed).await, [], "{order}");
            let seen = shown(&bed, left).await;
            assert_eq!(seen.iter().map(|finding| finding.state).collect::<Vec<_>>(), [FindingState::Closed], "{order}");
            let derived = bed.store.read("test").await.expect("store").derived().await.expect("derived");
            assert_eq!(derived.rows("finding_answer"), 3);
            assert_eq!(*made.get_or_insert(derived.clone()), derived, "{order}");
            same_after_rebuild(&bed).await;
        }
    });
}

#[test]
fn an_answer_counts_only_for_a_doubtful_record_of_its_unit_and_kind() {
    run(async |bed| {
        let Case { mut author, left, entries, person } = case(&bed).await;
        send(&bed, &author, 0, entries).await;
        // Somebody who is gone leaves again: that does not count, whatever is said.
        let wrong = say(
            &bed,
            &mut author,
            happened("17065", Body::MovedOut(MovedOut { person, other_unit: None }), 20_211_110),
        )
        .await;
        let two = [(Severity::Error, 1), (Severity::Warning, 1)];
        assert_eq!(open(&bed).await, two);
        say(&bed, &mut author, says("17065", wrong, "not_resident", Verdict::Right)).await;
        say(&bed, &mut author, says("17065", left, "not_resident", Verdict::Right)).await;
        let mut above = bed.child("40", 4).await;
        let elsewhere = say(&bed, &mut above, says("40", left, DOUBT, Verdict::Right)).await;
        assert_eq!(open(&bed).await, two);
        let right = say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Right)).await;
        assert_eq!(open(&bed).await, [(Severity::Error, 1)]);
        // In another unit's name nothing is withdrawn either.
        say(&bed, &mut above, says("40", left, DOUBT, Verdict::Withdrawn(right))).await;
        say(&bed, &mut above, says("17065", left, DOUBT, Verdict::Withdrawn(elsewhere))).await;
        assert_eq!(open(&bed).await, [(Severity::Error, 1)]);
        // Who may not write about the unit is refused, as with every record.
        let mut stranger = bed.child("17035", 2).await;
        let entry = stranger.entry(vec![says("17065", left, DOUBT, Verdict::Withdrawn(right))]);
        let refused = bed.receive(stranger.package(0, vec![entry], false)).await.refused.expect("refused");
        assert_eq!(refused.1.reason, Reason::OutOfScope);
        same_after_rebuild(&bed).await;
    });
}

#[test]
fn a_version_that_does_not_know_answers_carries_them_and_knows_them_after_its_upgrade() {
    run(async |bed| {
        let old = Rules::without(3, |body| matches!(body, Body::FindingAnswered(_)));
        let bed = bed.restarted_by(old).await;
        let Case { mut author, left, entries, .. } = case(&bed).await;
        send(&bed, &author, 0, entries).await;
        let answer = say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Right)).await;
        assert_eq!(open(&bed).await, [(Severity::Error, 1), (Severity::Warning, 1)], "carried and listed");
        let listed = shown(&bed, answer).await;
        assert_eq!(listed.iter().map(|finding| &*finding.reason).collect::<Vec<_>>(), ["kind_unknown"]);
        let bed = bed.restarted().await;
        // What is told of it goes out with the start.
        say(&bed, &mut author, enrolled("17065", 199_001)).await;
        assert_eq!(open(&bed).await, []);
        let told = told(&bed, author.log.node()).await;
        assert_eq!(told.iter().filter(|body| body.kind() == "finding_closed").count(), 2, "{told:?}");
        same_after_rebuild(&bed).await;
    });
}

#[test]
fn what_only_a_node_above_both_can_see_it_tells_itself() {
    run(async |bed| {
        // The province's node enrols a commune's, so that this node is two steps above it. Another commune is a child of this node.
        let province = bed.child("40", 4).await;
        let mut commune = {
            let public = *bed::signer(1).public_key().as_bytes();
            let node = NodeId::new(&bed::code("17065"), &public);
            let enrolment = NodeEnrolled {
                node: node.clone(),
                unit: bed::code("17065"),
                log_public_key: public,
                policy: ForwardingPolicy::Full,
                former: Vec::new(),
            };
            let mut directory = Author::new(province.log.node().clone(), 4);
            directory.log = LogId::new(province.log.node().clone(), Stream::Directory);
            let (mut said, _) = enrolled("17065", 198_001);
            said.body = Body::NodeEnrolled(enrolment);
            let entry = directory.entry(vec![(said, None)]);
            send(&bed, &directory, 0, vec![entry]).await;
            Author::new(node, 1)
        };
        let mut other = bed.child("17035", 2).await;
        let person = say(&bed, &mut other, enrolled("17035", 198_001)).await;
        let arrives = |person| {
            let body = MovedIn {
                person: Some(person),
                household: None,
                sex: Sex::Female,
                birth_month: 198_001,
                other_unit: None,
            };
            happened("17065", Body::MovedIn(body), 20_210_310)
        };
        // Lives in the other commune by its records, which the province does not hold.
        let arrival = say(&bed, &mut commune, arrives(person)).await;
        // Lives in this commune already: the province sees that itself, and tells.
        let own = say(&bed, &mut commune, enrolled("17065", 199_001)).await;
        say(&bed, &mut commune, arrives(own)).await;
        assert_eq!(open(&bed).await, [(Severity::Error, 2)]);
        let mail = told(&bed, commune.log.node()).await;
        let [Body::FindingOpened(opened)] = &mail[..] else { panic!("{mail:?}") };
        assert_eq!((opened.change, &*opened.reason, opened.other), (arrival, "already_resident", Some(person)));
        // The other commune says that the person left; so the arrival counts, and who told says so.
        say(&bed, &mut other, happened("17035", Body::MovedOut(MovedOut { person, other_unit: None }), 20_210_305))
            .await;
        assert_eq!(kinds(&told(&bed, commune.log.node()).await), ["finding_opened", "finding_closed"]);
        assert_eq!(told(&bed, other.log.node()).await, [], "the other commune did nothing wrong");
        same_after_rebuild(&bed).await;
    });
}

#[test]
fn what_a_node_above_says_is_answered_until_it_says_otherwise() {
    run(async |bed| {
        let Case { mut author, person, left, entries } = case(&bed).await;
        send(&bed, &author, 0, entries).await;
        // As if this node had written that itself, and somebody above had told what it found, and what only it can find.
        let above = NodeId::new(&bed::code("VN"), &[9; 32]);
        let strange = "of_tomorrow";
        let said = async |closed_at_ms: Option<i64>| {
            let what = What { severity: Some(Severity::Warning), ..What::default() };
            let said = SaidAbove { opened_at_ms: Some(5), closed_at_ms, what };
            let all = [DOUBT, strange].map(|code| ((left, code.to_owned()), said.clone()));
            let put = bed.store.run_tx("test", async |tx| tx.finding_said_put(&above, &all.clone().into()).await);
            put.await.expect("kept");
        };
        said(None).await;
        let by = async |code: &str| {
            let seen = shown(&bed, left).await;
            let found = seen.iter().find(|finding| finding.giver.as_ref() == Some(&above) && finding.reason == code);
            found.expect("it is listed").state
        };
        let tally = async || View::new(bed.store.clone()).finding_tally(bed.handle.me()).await.expect("counted");
        assert_eq!((by(DOUBT).await, by(strange).await), (FindingState::Open, FindingState::Open));
        let open = (Severity::Warning, FindingState::Open);
        assert_eq!(tally().await, [(open, 2)].into());
        say(&bed, &mut author, says("17065", left, DOUBT, Verdict::Right)).await;
        assert_eq!((by(DOUBT).await, by(strange).await), (FindingState::Answered, FindingState::Open));
        let answered = (Severity::Warning, FindingState::Answered);
        assert_eq!(tally().await, [(open, 1), (answered, 1)].into());
        let answer = say(&bed, &mut author, says("17065", left, strange, Verdict::Right)).await;
        assert_eq!((by(strange).await, tally().await), (FindingState::Answered, [(answered, 2)].into()));
        say(&bed, &mut author, says("17065", left, strange, Verdict::Withdrawn(answer))).await;
        assert_eq!(by(strange).await, FindingState::Open);
        // A correction is an answer, too.
        let body = Body::Retraction(Retraction { person, refers_to: left, reason: String::new() });
        say(&bed, &mut author, happened("17065", body, 20_211_201)).await;
        assert_eq!((by(DOUBT).await, by(strange).await), (FindingState::Answered, FindingState::Answered));
        said(Some(7)).await;
        assert_eq!((by(DOUBT).await, by(strange).await), (FindingState::Closed, FindingState::Closed));
        assert_eq!(tally().await, [].into());
    });
}
