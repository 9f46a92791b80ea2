//! Rules of a mother and her children. What is doubted is always a child's record, so that one that changes its mother's family is judged with all of it.

use danso_proto::change::{Method, Sex};
use danso_proto::ids::{ChangeId, PersonId, UnitCode};

use super::alone::day_in;
use super::{Rule, Rulebooks, Seen, Suspicion};
use crate::calendar::{Month, PartialDate};
use crate::register::{Event, Person, Step, walk};

/// A mother and the children whose births name her.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// Whose family it is.
    pub mother: PersonId,
    /// Her record, if it is here.
    pub record: Option<&'a Person>,
    /// The children, in any order. Whose birth names another mother, or does not count, is passed over.
    pub children: &'a [&'a Person],
}

/// A birth that counts.
#[derive(Debug, Clone, Copy)]
struct Born<'a> {
    month: Month,
    day: Option<PartialDate>,
    change: ChangeId,
    person: PersonId,
    unit: &'a UnitCode,
    sex: Sex,
    /// 0: not known.
    order: u32,
    /// The month of the mother's birth, by the birth.
    mother: Option<Month>,
    /// Whether its month is known, and not only the year.
    exact: bool,
}

/// What the mother's record says.
struct Mother {
    /// The change that made her known.
    known_by: ChangeId,
    sex: Option<Sex>,
    /// Where it is known by month.
    birth_month: Option<Month>,
    died: Option<(Month, ChangeId)>,
    /// Methods that nobody begins in pregnancy, and when they began.
    begun: Vec<(Month, ChangeId)>,
}

/// Tells `out` what is doubtful in the births of one mother, in no order.
pub fn family(family: Family<'_>, books: &Rulebooks, out: &mut Vec<Suspicion>) {
    let mut born: Vec<Born<'_>> = family.children.iter().filter_map(|child| birth(child, family.mother)).collect();
    born.sort_unstable_by_key(|born| (born.month, born.day, born.change));
    born.dedup_by_key(|born| (born.month, born.change));
    if let Some(record) = family.record {
        let mother = read(record);
        born.iter().for_each(|born| with_mother(born, &mother, books, out));
    }
    between(&born, books, out);
}

fn birth(child: &Person, mother: PersonId) -> Option<Born<'_>> {
    let mut born = None;
    walk(child.id(), child.facts().iter(), &mut |step| {
        if let Step::Event { unit, month, sex, event, more, .. } = step
            && let Event::Birth { order, mother: stated, exact, mother_id } = event
            && mother_id == Some(mother)
        {
            let stated = stated.filter(|_| exact);
            let (change, person, exact) = (more.change, child.id(), more.exact);
            born = Some(Born { month, day: None, change, person, unit, sex, order, mother: stated, exact });
        }
    });
    born.map(|born: Born<'_>| Born { day: day_in(child, born.month), ..born })
}

fn read(record: &Person) -> Mother {
    let mut mother = Mother { known_by: record.id(), sex: None, birth_month: None, died: None, begun: Vec::new() };
    walk(record.id(), record.facts().iter(), &mut |step| {
        let Step::Event { month, sex, birth_month, event, more, .. } = step else { return };
        mother.sex = Some(sex);
        if more.birth_known {
            mother.birth_month = Some(birth_month);
        }
        match event {
            Event::Death if more.exact => mother.died = Some((month, more.change)),
            Event::ContraceptionStart { method } if more.exact => {
                use Method::{Implant, Injectable, Iud, SterilisationFemale};
                if matches!(method, Iud | Implant | Injectable | SterilisationFemale) {
                    mother.begun.push((month, more.change));
                }
            }
            _ => {}
        }
    });
    mother
}

fn found(born: &Born<'_>, rule: Rule, other: Option<ChangeId>, seen: Seen, out: &mut Vec<Suspicion>) {
    let (person, change, unit) = (born.person, born.change, born.unit.clone());
    out.push(Suspicion { person, change, unit, rule, other, seen });
}

/// A birth against the mother's record.
fn with_mother(born: &Born<'_>, mother: &Mother, books: &Rulebooks, out: &mut Vec<Suspicion>) {
    let book = books.of(born.unit);
    if mother.sex == Some(Sex::Male) && book.tuned(Rule::MotherMale).is_some() {
        found(born, Rule::MotherMale, Some(mother.known_by), Seen::Plain, out);
    }
    if let Some((_, death)) = mother.died.filter(|(died, _)| *died < born.month && born.exact)
        && book.tuned(Rule::MotherDead).is_some()
    {
        found(born, Rule::MotherDead, Some(death), Seen::Plain, out);
    }
    if let (Some(stated), Some(recorded)) = (born.mother, mother.birth_month)
        && stated != recorded
        && book.tuned(Rule::MotherMonth).is_some()
    {
        found(born, Rule::MotherMonth, Some(mother.known_by), Seen::Plain, out);
    }
    if let Some(tuned) = book.tuned(Rule::ContraceptionPregnant).filter(|_| born.exact) {
        for (month, change) in &mother.begun {
            let before = i64::from(born.month.index() - month.index());
            if (1..=i64::from(tuned.values[0])).contains(&before) {
                let months = u32::try_from(before).unwrap_or(0);
                let seen = Seen::Months { months, bound: tuned.values[0] };
                found(born, Rule::ContraceptionPregnant, Some(*change), seen, out);
            }
        }
    }
}

/// How two births of one mother stand to each other, the second not before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// One delivery.
    Same,
    /// Two, as far as can be said.
    Two,
    /// Nobody can say: the months follow each other, and the days are not known.
    Open,
}

fn apart(first: &Born<'_>, second: &Born<'_>, days: u32) -> Apart {
    let months = second.month.index() - first.month.index();
    let known = first.day.and_then(PartialDate::days).zip(second.day.and_then(PartialDate::days));
    match known {
        Some((a, b)) if i64::from(a.abs_diff(b)) <= i64::from(days) => Apart::Same,
        Some(_) => Apart::Two,
        None if months == 0 => Apart::Same,
        None if months == 1 || !first.exact || !second.exact => Apart::Open,
        None => Apart::Two,
    }
}

/// The births against each other: deliveries, one after the other.
fn between(born: &[Born<'_>], books: &Rulebooks, out: &mut Vec<Suspicion>) {
    let mut start = 0;
    // The delivery before the one that begins at `start`.
    let mut before: Option<&[Born<'_>]> = None;
    for at in 1..=born.len() {
        let same = |next: &Born<'_>| {
            let book = books.of(next.unit);
            let days = book.tuned(Rule::BirthsClose).map_or(3, |tuned| tuned.values[1]);
            // Seen from the first of a delivery, so that a birth a month is no delivery of many months.
            apart(&born[start], next, days) != Apart::Two
        };
        if born.get(at).is_some_and(same) {
            continue;
        }
        let delivery = &born[start..at];
        twice(delivery, books, out);
        if let Some(before) = before {
            later(before, delivery, books, out);
        }
        before = Some(delivery);
        start = at;
    }
}

/// Births of one delivery that may be one birth.
fn twice(delivery: &[Born<'_>], books: &Rulebooks, out: &mut Vec<Suspicion>) {
    for born in delivery.iter().filter(|born| born.order != 0) {
        // The one that was written later is the one to look at.
        let is_same = |first: &&Born<'_>| {
            let days = first.day.zip(born.day).is_none_or(|(a, b)| a == b);
            let same = first.month == born.month && first.sex == born.sex && first.order == born.order;
            first.change < born.change && same && days
        };
        if let Some(first) = delivery.iter().find(is_same)
            && books.of(born.unit).tuned(Rule::BirthTwice).is_some()
        {
            found(born, Rule::BirthTwice, Some(first.change), Seen::Plain, out);
        }
    }
}

/// A delivery against the one before it. Neither is empty.
fn later(before: &[Born<'_>], delivery: &[Born<'_>], books: &Rulebooks, out: &mut Vec<Suspicion>) {
    let (Some(last), Some(first)) = (before.last(), delivery.first()) else { return };
    let exact = last.exact && first.exact;
    let months = u32::try_from(first.month.index() - last.month.index()).unwrap_or(0);
    let book = books.of(first.unit);
    if let Some(tuned) = book.tuned(Rule::BirthsClose).filter(|_| exact)
        && months < tuned.values[0]
    {
        let seen = Seen::Months { months, bound: tuned.values[0] };
        found(first, Rule::BirthsClose, Some(last.change), seen, out);
    }
    let orders = || before.iter().map(|born| born.order).filter(|order| *order != 0);
    // Twins may be counted as one birth or as two: the lowest order is the least that was there before, and the highest is at least as many.
    let (Some(low), Some(high)) = (orders().min(), orders().max()) else { return };
    // A delivery has far fewer children than a u32 counts.
    let high = high.max(low.saturating_add(before.len() as u32 - 1));
    for born in delivery.iter().filter(|born| born.order != 0) {
        let Some(tuned) = books.of(born.unit).tuned(Rule::OrderWrong) else { continue };
        let within = delivery.len() as u32 - 1;
        let between = born.order.saturating_sub(high).saturating_sub(within);
        let too_soon = exact && between > 1 && u64::from(between) * u64::from(tuned.values[0]) > u64::from(months);
        if born.order <= low || too_soon {
            found(born, Rule::OrderWrong, Some(last.change), Seen::Order { order: born.order, before: low }, out);
        }
    }
}
