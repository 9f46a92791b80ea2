//! Rules of one record: what a person's facts, and the parts beside them, say against each other. Allocates nothing for a record that nothing is
//! to be said of, but for the walk.

use danso_proto::change::{MaritalStatus, Method, Sex};
use danso_proto::ids::{ChangeId, UnitCode};

use super::{Rule, Rulebooks, Seen, Suspicion, read_as_lunar, read_by_year};
use crate::calendar::{Month, PartialDate};
use crate::register::{Event, Fact, More, Person, Said, Step, walk};

/// Statements of parts that are looked at, and different dates among them, of each person the latest: nobody has so many, and each is compared with each
/// other.
const STATEMENTS_MAX: usize = 64;
const DATES_MAX: usize = 16;

/// Tells `out` what is doubtful in a person's record by itself, in no order.
pub fn alone(person: &Person, books: &Rulebooks, out: &mut Vec<Suspicion>) {
    let mut life = Life { person, books, born: None, married_by: None, first: out.len(), out };
    walk(person.id(), person.facts().iter(), &mut |step| {
        if let Step::Event { unit, month, sex, birth_month, event, more } = step {
            life.born = Some((sex, birth_month, more.birth_known));
            life.event(unit, Moment { month, sex, birth_month }, event, more);
        }
    });
    if !person.said().is_empty() {
        life.statements();
    }
}

/// A newborn that nobody has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// The suspicion, if it is not named by `due`.
    pub suspicion: Suspicion,
    /// The day from which on it is one.
    pub due: PartialDate,
}

/// The newborn of whom no part says a name, if the person is one and lives here still: when it will be time to ask. The caller knows the day.
pub fn unnamed(person: &Person, books: &Rulebooks) -> Option<Unnamed> {
    let mut placeholder = None;
    for spoken in spoken(person) {
        match spoken.said.is_named() {
            Some(true) => return None,
            Some(false) => placeholder = placeholder.or(Some(spoken.change)),
            None => {}
        }
    }
    let change = placeholder?;
    let (mut birth, mut gone) = (None, false);
    walk(person.id(), person.facts().iter(), &mut |step| {
        if let Step::Event { unit, birth_month, event, .. } = step {
            match event {
                Event::Birth { .. } => birth = Some((unit, birth_month)),
                Event::Arrival { .. } => gone = false,
                Event::Death | Event::Departure { .. } => gone = true,
                _ => {}
            }
        }
    });
    let (unit, month) = birth.filter(|_| !gone)?;
    let days = books.of(unit).tuned(Rule::Unnamed)?.values[0];
    let born = day_in(person, month).or_else(|| PartialDate::full(month.year(), month.month(), 1).ok())?;
    let due = PartialDate::from_days(born.days()?.checked_add(i32::try_from(days).ok()?)?).ok()?;
    let rule = Rule::Unnamed;
    let suspicion = Suspicion { person: person.id(), change, unit: unit.clone(), rule, other: None, seen: Seen::Plain };
    Some(Unnamed { suspicion, due })
}

/// The day of birth by the latest part that says a day of the month that counts.
pub(super) fn day_in(person: &Person, month: Month) -> Option<PartialDate> {
    day_of(&spoken(person), month)
}

fn day_of(spoken: &[Spoken<'_>], month: Month) -> Option<PartialDate> {
    spoken.iter().rev().find_map(|spoken| spoken.said.dates().find(|date| date.month() == month))
}

/// What a part says of a person, of whom its unit may speak.
struct Spoken<'a> {
    /// With the change, the order in which corrections count.
    recorded: Month,
    change: ChangeId,
    unit: &'a UnitCode,
    said: &'a Said,
}

/// What was said of the person by units in which it became a resident, and not withdrawn, the latest last: who else says something of the person says nothing
/// against it.
fn spoken(person: &Person) -> Vec<Spoken<'_>> {
    if person.said().is_empty() {
        return Vec::new();
    }
    let facts = person.facts();
    let mut units: Vec<&UnitCode> = facts.iter().filter(|fact| fact.begins_stay()).map(Fact::unit).collect();
    units.sort_unstable();
    units.dedup();
    let standing = person.standing().filter_map(|said| {
        let change = said.from(person.id());
        let first = facts.partition_point(|fact| fact.id() < change);
        let mut of_id = facts[first..].iter().take_while(|fact| fact.id() == change);
        let fact = of_id.find(|fact| units.binary_search(&fact.unit()).is_ok())?;
        Some(Spoken { recorded: fact.recorded(), change, unit: fact.unit(), said })
    });
    let mut all: Vec<Spoken<'_>> = standing.collect();
    all.sort_unstable_by_key(|spoken| (spoken.recorded, spoken.change, spoken.said));
    all
}

/// Months by which an age may be off where a month is not known.
fn slack(exact: bool) -> i32 {
    if exact { 0 } else { 12 }
}

/// Whether fewer than `years` years lie between two months; for certain.
fn is_below(from: Month, to: Month, years: u32, exact: bool) -> bool {
    i64::from(to.index() - from.index() + slack(exact)) < i64::from(years) * 12
}

/// Whether more than `years` full years lie between two months; for certain.
fn is_above(from: Month, to: Month, years: u32, exact: bool) -> bool {
    i64::from(to.index() - from.index() - slack(exact)) >= (i64::from(years) + 1) * 12
}

fn years_between(from: Month, to: Month) -> u32 {
    u32::try_from((to.index() - from.index()) / 12).unwrap_or(0)
}

#[derive(Clone, Copy)]
struct Moment {
    month: Month,
    sex: Sex,
    birth_month: Month,
}

struct Life<'a, 'o> {
    person: &'a Person,
    books: &'a Rulebooks,
    /// Sex and month of birth, and whether that is known.
    born: Option<(Sex, Month, bool)>,
    /// What says that the person is married.
    married_by: Option<ChangeId>,
    /// Where those of this person begin in `out`.
    first: usize,
    out: &'o mut Vec<Suspicion>,
}

impl Life<'_, '_> {
    fn event(&mut self, unit: &UnitCode, at: Moment, event: Event<'_>, more: More) {
        let books = self.books;
        let book = books.of(unit);
        let mut found = |rule: Rule, other: Option<ChangeId>, seen: Seen| {
            let (person, change) = (self.person.id(), more.change);
            self.out.push(Suspicion { person, change, unit: unit.clone(), rule, other, seen });
        };
        match event {
            Event::Birth { order, mother: Some(mother), exact, .. } => {
                let exact = exact && more.exact;
                let years = years_between(mother, at.month);
                if let Some(tuned) = book.tuned(Rule::MotherYoung)
                    && is_below(mother, at.month, tuned.values[0], exact)
                {
                    found(Rule::MotherYoung, None, Seen::Age { years, bound: tuned.values[0] });
                }
                if let Some(tuned) = book.tuned(Rule::MotherOld)
                    && is_above(mother, at.month, tuned.values[0], exact)
                {
                    found(Rule::MotherOld, None, Seen::Age { years, bound: tuned.values[0] });
                }
                if let Some(tuned) = book.tuned(Rule::OrderHigh)
                    && order > 1
                {
                    let [start, each] = tuned.values;
                    let needed = i64::from(start) * 12 + i64::from(order - 1) * i64::from(each);
                    if i64::from(at.month.index() - mother.index() + slack(exact)) < needed {
                        let bound = u32::try_from(needed / 12).unwrap_or(u32::MAX);
                        found(Rule::OrderHigh, None, Seen::Age { years, bound });
                    }
                }
            }
            Event::Marriage => {
                let is_married = matches!(more.before.marital, Some(MaritalStatus::Married | MaritalStatus::Separated));
                if is_married && !more.later.marital && book.tuned(Rule::MarriedAlready).is_some() {
                    found(Rule::MarriedAlready, self.married_by, Seen::Plain);
                }
                if let Some(tuned) = book.tuned(Rule::MarriageYoung) {
                    let bound = if at.sex == Sex::Female { tuned.values[0] } else { tuned.values[1] };
                    if is_below(at.birth_month, at.month, bound, more.exact) {
                        let years = years_between(at.birth_month, at.month);
                        found(Rule::MarriageYoung, None, Seen::Age { years, bound });
                    }
                }
            }
            Event::Divorce => {
                let single = [MaritalStatus::Single, MaritalStatus::Widowed, MaritalStatus::Divorced].map(Some);
                if single.contains(&more.before.marital)
                    && !more.later.marital
                    && book.tuned(Rule::DivorceUnmarried).is_some()
                {
                    found(Rule::DivorceUnmarried, None, Seen::Plain);
                }
            }
            Event::ContraceptionStart { method } => {
                let was_sterilised = more.before.method == Some(Method::SterilisationFemale) && !more.later.method;
                if was_sterilised
                    && method != Method::SterilisationFemale
                    && at.sex == Sex::Female
                    && book.tuned(Rule::ContraceptionAfterSterilisation).is_some()
                {
                    found(Rule::ContraceptionAfterSterilisation, None, Seen::Plain);
                }
                if let Some(tuned) = book.tuned(Rule::ContraceptionAge) {
                    let [youngest, oldest] = tuned.values;
                    let young = is_below(at.birth_month, at.month, youngest, more.exact);
                    if young || is_above(at.birth_month, at.month, oldest, more.exact) {
                        let years = years_between(at.birth_month, at.month);
                        let bound = if young { youngest } else { oldest };
                        found(Rule::ContraceptionAge, None, Seen::Age { years, bound });
                    }
                }
            }
            _ => {}
        }
        let uses = |method: Option<Method>| method.is_some_and(|method| method != Method::None);
        let begins = matches!(event, Event::ContraceptionStart { .. })
            || (more.before.method != more.after.method && matches!(event, Event::Said));
        if begins && at.sex == Sex::Male && uses(more.after.method) && book.tuned(Rule::ContraceptionOfMan).is_some() {
            found(Rule::ContraceptionOfMan, None, Seen::Plain);
        }
        match more.after.marital {
            Some(MaritalStatus::Married) => {
                let says = matches!(event, Event::Marriage) || more.before.marital != Some(MaritalStatus::Married);
                self.married_by = if says { Some(more.change) } else { self.married_by };
            }
            Some(MaritalStatus::Separated) => {}
            _ => self.married_by = None,
        }
    }

    /// What parts say against the record, and against each other.
    fn statements(&mut self) {
        // Nothing counts of a person who is not known.
        let Some((sex, birth_month, exact)) = self.born else { return };
        let spoken = spoken(self.person);
        self.numbers(&spoken, sex, (birth_month, exact));
        let mut dates: Vec<(&Spoken<'_>, PartialDate)> = Vec::new();
        // The earliest of each date, of the latest dates.
        for spoken in &spoken[spoken.len().saturating_sub(STATEMENTS_MAX)..] {
            for date in spoken.said.dates() {
                if dates.iter().all(|(_, known)| *known != date) {
                    dates.push((spoken, date));
                }
            }
        }
        let dates = &dates[dates.len().saturating_sub(DATES_MAX)..];
        for (written, date) in dates {
            for (other, against) in dates {
                let Some(reading) = read_as_lunar(*date, *against) else { continue };
                let other = (other.change != written.change).then_some(other.change);
                self.lunar(written.change, written.unit, other, reading, birth_month);
            }
        }
    }

    /// The latest word on each number.
    fn numbers(&mut self, spoken: &[Spoken<'_>], sex: Sex, (birth_month, exact): (Month, bool)) {
        let number = spoken.iter().rev().find(|spoken| spoken.said.has_number());
        let insurance = spoken.iter().rev().find(|spoken| spoken.said.has_insurance());
        if let Some(Spoken { said, change, unit, .. }) = insurance {
            if said.is_insurance_odd() {
                self.found(Rule::InsuranceForm, *change, unit, None, Seen::Plain);
            }
            // Neither is kept: two that were not said together cannot be compared.
            let are_together = number.is_some_and(|number| number.change == *change && number.said == *said);
            if are_together && said.do_numbers_differ() {
                self.found(Rule::InsuranceOther, *change, unit, None, Seen::Plain);
            }
        }
        let Some(Spoken { said, change, unit, .. }) = number else { return };
        if said.is_number_odd() {
            self.found(Rule::NumberForm, *change, unit, None, Seen::Plain);
        }
        let Some((is_male, year)) = said.number() else { return };
        if is_male != (sex == Sex::Male) {
            self.found(Rule::NumberSex, *change, unit, None, Seen::Plain);
        }
        if year == birth_month.year() {
            return;
        }
        let own = said.dates().next();
        let date = own.or_else(|| day_of(spoken, birth_month)).filter(|_| exact);
        match date.and_then(|date| read_by_year(date, year)) {
            Some(reading) => self.lunar(*change, unit, None, reading, birth_month),
            None => {
                let seen = Seen::Years { number: year, recorded: birth_month.year() };
                self.found(Rule::NumberYear, *change, unit, None, seen);
            }
        }
    }

    fn lunar(
        &mut self,
        change: ChangeId,
        unit: &UnitCode,
        other: Option<ChangeId>,
        reading: super::LunarReading,
        counted: Month,
    ) {
        let counts_solar = reading.solar.month() == counted;
        let seen = Seen::Lunar { lunar: reading.lunar, solar: reading.solar, counts_solar };
        self.found(Rule::LunarDate, change, unit, other, seen);
    }

    fn found(&mut self, rule: Rule, change: ChangeId, unit: &UnitCode, other: Option<ChangeId>, seen: Seen) {
        if self.books.of(unit).tuned(rule).is_some() {
            let suspicion = Suspicion { person: self.person.id(), change, unit: unit.clone(), rule, other, seen };
            if !self.out[self.first..].contains(&suspicion) {
                self.out.push(suspicion);
            }
        }
    }
}
