//! Rules of consistency on a real store: families across entries in any order, corrections, policies, and what is made again.

use danso_core::calendar::PartialDate;
use danso_core::finding::FindingKind;
use danso_core::register::Rules;
use danso_proto::change::{Birth, Body, PersonUpdated, RuleSetting, RulesPublished, Sex};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, PersonId, Stream};

use super::bed::{Author, Bed, Said, about, code, enrolled, happened, update};
use super::run;

fn born(mother: PersonId, month: u32, order: u32) -> Said {
    let body = Body::Birth(Birth {
        household: None,
        sex: Sex::Female,
        birth_month: month,
        mother: Some(mother),
        mother_birth_month: Some(199_001),
        birth_order: order,
        birth_weight_g: 0,
        birth_place: None,
    });
    happened("17065", body, month * 100)
}

fn corrects(person: PersonId, refers_to: ChangeId, birth_month: u32) -> Said {
    let update = PersonUpdated { birth_month: Some(birth_month), ..update(person, Some(refers_to)) };
    let (mut change, part) = happened("17065", Body::PersonUpdated(update), birth_month * 100);
    change.reported_on = Some(20_211_215);
    (change, part)
}

async fn say(bed: &Bed, author: &mut Author, said: Vec<Said>) -> ChangeId {
    let first = author.position.size;
    let entry = author.entry(said);
    assert_eq!(bed.receive(author.package(first, vec![entry], true)).await.refused, None);
    author.person()
}

async fn doubts(bed: &Bed) -> Vec<(ChangeId, FindingKind)> {
    bed.finding_rows().await.into_iter().map(|(_, change, kind)| (change, kind)).collect()
}

#[test]
fn siblings_are_judged_together_whoever_comes_first() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mother = say(&bed, &mut a, vec![enrolled("17065", 199_001)]).await;
        let second = say(&bed, &mut a, vec![born(mother, 202_106, 2)]).await;
        assert_eq!(doubts(&bed).await, []);
        // The elder is told later: it is the younger one's record that is doubted.
        let first = say(&bed, &mut a, vec![born(mother, 202_101, 1)]).await;
        assert_eq!(doubts(&bed).await, [(second, FindingKind::BirthsClose)]);
        assert_eq!(bed.residents("17065").await, 3, "what is doubted counts");
        // The elder's date was wrong: the younger is doubted no more.
        say(&bed, &mut a, vec![corrects(first, first, 202_001)]).await;
        assert_eq!(doubts(&bed).await, []);
        let bed = bed.restarted().await;
        assert_eq!(doubts(&bed).await, []);
    });
}

#[test]
fn a_mother_who_comes_after_her_children_is_theirs() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mother = a.first_id_of(1);
        let child = say(&bed, &mut a, vec![born(mother, 202_106, 1)]).await;
        assert_eq!(doubts(&bed).await, []);
        // By her own record she was born in another month than the birth says.
        assert_eq!(say(&bed, &mut a, vec![enrolled("17065", 199_002)]).await, mother);
        assert_eq!(doubts(&bed).await, [(child, FindingKind::MotherMonth)]);
    });
}

fn setting(unit: &str, state: Option<bool>, values: &[(&str, u32)]) -> Body {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let setting = RuleSetting { unit: code(unit), rule: "births_close".into(), state, values };
    let (units_version, reason) = ("vn-2024".to_owned(), "a test".to_owned());
    Body::RulesPublished(RulesPublished { units_version, settings: vec![setting], reason })
}

#[test]
fn a_policy_switches_and_tunes_also_what_was_judged_before() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mother = say(&bed, &mut a, vec![enrolled("17065", 199_001)]).await;
        say(&bed, &mut a, vec![born(mother, 202_101, 1)]).await;
        let second = say(&bed, &mut a, vec![born(mother, 202_106, 2)]).await;
        let doubted = [(second, FindingKind::BirthsClose)];
        assert_eq!(doubts(&bed).await, doubted);
        let set = async |n, body| {
            bed.handle.write(Stream::Directory, vec![about("VN", body, n)]).await.expect("written");
        };
        set(101, setting("16738", Some(false), &[])).await;
        assert_eq!(doubts(&bed).await, doubted, "another unit's");
        set(102, setting("40", Some(false), &[])).await;
        assert_eq!(doubts(&bed).await, []);
        set(103, setting("17065", Some(true), &[("months", 7)])).await;
        assert_eq!(doubts(&bed).await, doubted, "the nearer setting counts");
        set(104, setting("17065", Some(true), &[("months", 5)])).await;
        assert_eq!(doubts(&bed).await, []);
        set(105, setting("17065", None, &[])).await;
        set(106, setting("40", None, &[])).await;
        assert_eq!(doubts(&bed).await, doubted, "taken back");
        // What is made again from the logs is the same.
        let before = bed.store().read("test").await.expect("store").derived().await.expect("derived");
        let bed = bed.restarted_by(Rules::without(99, |_| false)).await;
        assert_eq!(bed.store().read("test").await.expect("store").derived().await.expect("derived"), before);
    });
}

#[test]
fn a_policy_is_for_units_of_its_author() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        a.log = danso_proto::ids::LogId::new(a.log.node().clone(), Stream::Directory);
        let mut policy = enrolled("17065", 198_001);
        policy.1 = None;
        policy.0.body = setting("17035", Some(false), &[]);
        let entry = a.entry(vec![policy]);
        let received = bed.receive(a.package(0, vec![entry], false)).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(danso_proto::refusal::Reason::OutOfScope));
    });
}

#[test]
fn somebody_with_more_children_than_anybody_has_slows_nobody_down() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mother = say(&bed, &mut a, vec![enrolled("17065", 199_001)]).await;
        let children = |n| (0..n).map(|_| born(mother, 202_106, 1)).collect::<Vec<_>>();
        say(&bed, &mut a, children(64)).await;
        assert_eq!(doubts(&bed).await.len(), 63, "one birth, told 64 times");
        say(&bed, &mut a, children(1)).await;
        assert_eq!(doubts(&bed).await, [], "no family any more");
    });
}

#[test]
fn a_newborn_without_a_name_is_due_on_a_day() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let named = |name: &str| {
            let part = IdentityPart { full_name: name.into(), event_date: 20_210_610, ..Default::default() };
            (born(a.first_id_of(9), 202_106, 1).0, Some(part))
        };
        let (placeholder, other) = (named("Gái"), named("Vi Thị Mai"));
        let child = say(&bed, &mut a, vec![placeholder, other]).await;
        let due = async |day| {
            let day = PartialDate::from_packed(day).expect("a day");
            let rows = bed.store().read("test").await.expect("store").unnamed_due(day).await.expect("rows");
            rows.into_iter().map(|row| row.change).collect::<Vec<_>>()
        };
        assert_eq!(due(20_210_808).await, []);
        assert_eq!(due(20_210_809).await, [child]);
        let (mut change, _) = corrects(child, child, 202_106);
        let Body::PersonUpdated(update) = &mut change.body else { panic!("an update") };
        (update.refers_to, update.birth_month) = (None, None);
        let part = IdentityPart { full_name: "Vi Thị Lan".into(), ..Default::default() };
        say(&bed, &mut a, vec![(change, Some(part))]).await;
        assert_eq!(due(20_210_809).await, []);
    });
}
