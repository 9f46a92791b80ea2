//! Findings reach their authors by mail: exactly what the register finds, each opening and each end once, whatever comes in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use danso_proto::change::{Body, ChangeSet, Death, MovedIn, MovedOut, Retraction, Sex};
use danso_proto::envelope::Envelope;
use danso_proto::ids::{ChangeId, LogId, Stream};
use proptest::prelude::*;

use super::bed::{self, Author, Bed, Said, enrolled, happened};
use super::run;

/// What is said about one of the persons so far.
#[derive(Debug, Clone, Copy)]
enum Act {
    Enrol,
    Dies(u8, u32),
    Leaves(u8, u32),
    Comes(u8, u32),
    Withdraws(u8),
    Strange,
}

fn act() -> impl Strategy<Value = Act> {
    let day = (1u32..=12).prop_map(|month| 20_210_001 + month * 100);
    prop_oneof![
        2 => Just(Act::Enrol),
        2 => (any::<u8>(), day.clone()).prop_map(|(n, day)| Act::Dies(n, day)),
        2 => (any::<u8>(), day.clone()).prop_map(|(n, day)| Act::Leaves(n, day)),
        2 => (any::<u8>(), day).prop_map(|(n, day)| Act::Comes(n, day)),
        4 => any::<u8>().prop_map(Act::Withdraws),
        1 => Just(Act::Strange),
    ]
}

/// Turns acts into changes of one entry, against what earlier entries made known.
struct Scribe {
    author: Author,
    unit: &'static str,
    persons: Vec<ChangeId>,
    /// Changes about persons, with the person.
    changes: Vec<(ChangeId, ChangeId)>,
}

impl Scribe {
    fn said(&self, act: Act) -> (Said, Option<ChangeId>) {
        let nobody = ChangeId::first(5, [5; 6]);
        let person = |n: u8| self.persons.get(usize::from(n) % self.persons.len().max(1)).copied().unwrap_or(nobody);
        let about = |n: u8, body: Body, day| (happened(self.unit, body, day), Some(person(n)));
        match act {
            Act::Enrol => (enrolled(self.unit, 198_001), None),
            Act::Dies(n, day) => about(n, Body::Death(Death { person: person(n) }), day),
            Act::Leaves(n, day) => about(n, Body::MovedOut(MovedOut { person: person(n), other_unit: None }), day),
            Act::Comes(n, day) => {
                let body = MovedIn {
                    person: Some(person(n)),
                    household: None,
                    sex: Sex::Female,
                    birth_month: 198_001,
                    other_unit: None,
                };
                about(n, Body::MovedIn(body), day)
            }
            Act::Withdraws(n) => {
                let of = self.changes.get(usize::from(n) % self.changes.len().max(1)).copied();
                let (refers_to, person) = of.unwrap_or((nobody, nobody));
                let body = Body::Retraction(Retraction { person, refers_to, reason: String::new() });
                (happened(self.unit, body, 20_211_201), Some(person))
            }
            Act::Strange => {
                let mut strange = enrolled(self.unit, 198_001);
                strange.0.body = Body::Unknown;
                (strange, None)
            }
        }
    }

    /// Sends one entry, and sends it again.
    async fn send(&mut self, bed: &Bed, acts: &[Act]) {
        let (said, about): (Vec<_>, Vec<_>) = acts.iter().map(|act| self.said(*act)).unzip();
        let first = self.author.position.size;
        let entry = self.author.entry(said);
        let payload = Envelope::decode(entry.envelope.clone()).expect("envelope");
        let set = ChangeSet::decode(payload.payload()).expect("set");
        for ((id, change), about) in set.ids().zip(about) {
            match (&change.body, about) {
                (Body::PersonEnrolled(_), _) => self.persons.push(id),
                (_, Some(person)) => self.changes.push((id, person)),
                _ => {}
            }
        }
        let package = self.author.package(first, vec![entry], true);
        assert_eq!(bed.receive(package.clone()).await.refused, None);
        assert_eq!(bed.receive(package).await.refused, None, "the same again");
    }
}

/// What the mail to an author says is open, checked to tell nothing twice.
async fn told(bed: &Bed, author: &Author) -> BTreeSet<(ChangeId, String)> {
    let log = LogId::new(bed.handle.me().clone(), Stream::Mail(author.log.node().clone()));
    if bed.handle.snapshot().log(&log).is_none() {
        return BTreeSet::new();
    }
    let mut open = BTreeSet::new();
    for envelope in bed.stored(&log).await {
        let envelope = Envelope::decode(envelope).expect("envelope");
        for change in ChangeSet::decode(envelope.payload()).expect("set").changes {
            match change.body {
                Body::FindingOpened(f) => assert!(open.insert((f.change, f.reason)), "told twice that it is open"),
                Body::FindingClosed(f) => assert!(open.remove(&(f.change, f.reason)), "the end of what was not open"),
                other => panic!("{} in the mail", other.kind()),
            }
        }
    }
    open
}

async fn matches(bed: &Bed, authors: &[&Author]) {
    let mut found: BTreeMap<LogId, BTreeSet<(ChangeId, String)>> = BTreeMap::new();
    for (log, change, reason) in bed.finding_rows().await {
        found.entry(log).or_default().insert((change, reason.code().to_owned()));
    }
    for author in authors {
        assert_eq!(told(bed, author).await, found.remove(&author.log).unwrap_or_default(), "{}", author.log);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_mail_says_what_the_register_finds(
        batches in prop::collection::vec((any::<bool>(), prop::collection::vec(act(), 1..6)), 1..12),
        restart_at in 0usize..12,
    ) {
        run(async |bed| {
            let mut bed = bed;
            let scribe = |author, unit| Scribe { author, unit, persons: Vec::new(), changes: Vec::new() };
            let mut one = scribe(bed.child("17065", 1).await, "17065");
            let mut other = scribe(bed.child("16738", 3).await, "16738");
            for (at, (first, acts)) in batches.iter().enumerate() {
                if at == restart_at {
                    bed = bed.restarted().await;
                }
                let scribe = if *first { &mut one } else { &mut other };
                scribe.send(&bed, acts).await;
                matches(&bed, &[&one.author, &other.author]).await;
            }
        });
    }
}

#[test]
fn more_findings_than_fit_one_mail_are_told_one_mail_after_the_other() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let nobody = ChangeId::first(5, [5; 6]);
        let deaths = |count| vec![happened("17065", Body::Death(Death { person: nobody }), 20_210_105); count];
        let entries: Vec<_> = (0..3).map(|_| a.entry(deaths(900))).collect();
        bed.receive(a.package(0, entries, true)).await;
        let log = LogId::new(bed.handle.me().clone(), Stream::Mail(a.log.node().clone()));
        // The rest goes out by itself: nobody sends anything more.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while told(&bed, &a).await.len() < 2_700 {
            assert!(tokio::time::Instant::now() < deadline, "not all are told");
            tokio::task::yield_now().await;
        }
        assert_eq!(bed.stored(&log).await.len(), 3, "a thousand at a time");
        let bed = bed.restarted().await;
        bed.receive(a.package(3, vec![], true)).await;
        assert_eq!(bed.stored(&log).await.len(), 3, "a start tells nothing again");
    });
}

#[test]
fn a_dry_run_and_a_refused_entry_tell_nobody() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let nobody = ChangeId::first(5, [5; 6]);
        a.signer = bed::signer(99).into();
        let entry = a.entry(vec![happened("17065", Body::Death(Death { person: nobody }), 20_210_105)]);
        assert!(bed.receive(a.package(0, vec![entry], false)).await.refused.is_some());
        assert!(told(&bed, &a).await.is_empty());
    });
}
