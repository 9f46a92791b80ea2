//! The walk through a person's life, from the first fact to the last.

use std::cmp::max;

use danso_proto::change::{MaritalStatus, Method, Sex};
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};

use super::correct::{Amended, Particulars, correct};
use super::{About, Event, Later, More, Sight, State, Step};
use crate::calendar::{Month, PartialDate};
use crate::finding::{FindingKind, name};
use crate::register::fact::{Fact, Kind, Start, Update};

/// A fact at its place in time.
struct Placed<'a> {
    month: Month,
    /// 1 to 31 where the day is known; else a place that fits the kind: starts first, changes in the middle, ends last.
    day: u8,
    day_known: bool,
    month_known: bool,
    rank: u8,
    item: Amended<'a>,
}

impl Placed<'_> {
    fn is_start(&self) -> bool {
        self.item.fact.start().is_some()
    }

    /// When it happened, to be shown.
    fn seen(&self) -> (&'static str, Sight<'static>) {
        happened(self.month, self.date().map(|date| (date, self.month)))
    }

    fn date(&self) -> Option<PartialDate> {
        self.item.amendment.date.map(|(date, _)| date).or(self.item.fact.date)
    }

    /// Whether `later`, which is placed behind this, may have happened before it.
    fn may_follow(&self, later: &Self) -> bool {
        self.month == later.month && (self.day == later.day || !self.day_known || !later.day_known)
    }
}

/// Tells `out` what the facts about `person` add to what is counted, and which of them do not count. `facts` are sorted by id;
/// the result depends on nothing else.
pub(crate) fn walk<'a>(person: PersonId, facts: impl Iterator<Item = &'a Fact>, out: &mut impl FnMut(Step<'a>)) {
    let (amended, particulars) = correct(facts, out);
    let starts = || amended.iter().filter_map(|item| Some((item.fact, item.fact.start()?)));
    let origin = starts().find(|(fact, _)| fact.id == person);
    let Some((origin_fact, said)) = origin.or_else(|| starts().next()) else {
        for item in &amended {
            let kind = match item.fact.kind {
                Kind::Unreadable => FindingKind::DateInvalid,
                _ => FindingKind::PersonUnknown,
            };
            out(Step::Finding { change: item.fact.id, unit: &item.fact.unit, kind, about: About::default() });
        }
        return;
    };
    let (birth, birth_recorded) = particulars.birth_month.unwrap_or((said.birth_month, origin_fact.recorded));
    let mut life = Life {
        sex: particulars.sex.unwrap_or(said.sex),
        birth_month: month_in(birth, birth_recorded),
        birth_known: birth.known_month().is_some(),
        known_by: origin.map(|(fact, _)| fact),
        stay: None,
        end: None,
        dead: false,
        out,
    };
    let mut placed = life.place(amended, &particulars);
    placed.sort_unstable_by(|a, b| (a.month, a.day, a.rank, a.item.fact).cmp(&(b.month, b.day, b.rank, b.item.fact)));
    for at in 0..placed.len() {
        life.settle(&mut placed[at..]);
        life.step(&placed[at]);
    }
}

/// The month in which a date is counted. Where the month is not known it is the middle of the year, but not after it was recorded.
fn month_in(date: PartialDate, recorded: Month) -> Month {
    if date.known_month().is_none() && date.year() == recorded.year() {
        date.month().min(recorded)
    } else {
        date.month()
    }
}

/// When something happened: the date where there is one, else the month in which it counts.
fn happened(month: Month, date: Option<(PartialDate, Month)>) -> (&'static str, Sight<'static>) {
    (name::EVENT_DATE, date.map_or(Sight::Month(month), |(date, _)| Sight::Date(date)))
}

#[derive(Clone, Copy, Default)]
struct Book {
    marital: Option<Month>,
    method: Option<Month>,
}

impl Book {
    /// What is only known from `month` or later.
    fn later(self, month: Month) -> Later {
        let is_later = |written: Option<Month>| written.is_some_and(|written| written >= month);
        Later { marital: is_later(self.marital), method: is_later(self.method) }
    }
}

/// Where a resident lives.
struct Stay<'a> {
    unit: &'a UnitCode,
    household: HouseholdId,
    state: State,
    /// When the household book was written that says the marital status and the method; `None` where something else says it.
    book: Book,
    /// The change that began it, and when.
    since: (ChangeId, Month),
}

struct Life<'a, 'o, F> {
    sex: Sex,
    birth_month: Month,
    /// Whether the month of birth is known, and not only the year.
    birth_known: bool,
    /// The fact that made the person known, as long as the walk has not come to it.
    known_by: Option<&'a Fact>,
    stay: Option<Stay<'a>>,
    /// The change by which the person left or died last, and when.
    end: Option<(ChangeId, Month)>,
    dead: bool,
    out: &'o mut F,
}

impl<'a, F: FnMut(Step<'a>)> Life<'a, '_, F> {
    /// Puts each fact at its place in time; those that have none are findings.
    fn place(&mut self, amended: Vec<Amended<'a>>, particulars: &Particulars) -> Vec<Placed<'a>> {
        let mut placed = Vec::with_capacity(amended.len());
        for item in amended {
            let fact = item.fact;
            let (rank, unknown_day) = match &fact.kind {
                Kind::Enrolled { .. } => (0, 0),
                Kind::Birth { .. } => (1, 0),
                Kind::MovedIn { .. } => (2, 0),
                Kind::Updated(_) => (3, 16),
                Kind::Marriage => (4, 16),
                Kind::Divorce => (5, 16),
                Kind::Contraception { .. } => (6, 16),
                Kind::MovedOut { .. } => (7, 32),
                Kind::Death => (8, 32),
                Kind::Unreadable => {
                    self.finding(fact, FindingKind::DateInvalid, About::default());
                    continue;
                }
                // Has been applied.
                Kind::Retraction { .. } => continue,
            };
            let date = item.amendment.date.or(fact.date.map(|date| (date, fact.recorded)));
            let (mut month, day, mut known_in) = match (&fact.kind, date) {
                (Kind::Birth { .. }, _) => {
                    (self.birth_month, None, particulars.birth_month.map_or(fact.recorded, |(_, known)| known))
                }
                (_, Some((date, known))) => (month_in(date, known), date.day(), known),
                (Kind::Enrolled { .. }, None) => (self.birth_month, None, fact.recorded),
                // A fact without a date counts in the month in which it became known.
                (_, None) => (fact.recorded, None, fact.recorded),
            };
            if matches!(fact.kind, Kind::Enrolled { .. }) && month < self.birth_month {
                month = self.birth_month;
            }
            known_in = max(known_in, fact.recorded);
            if month > known_in {
                let seen = [Some(happened(month, date)), Some((name::RECORDED, Sight::Month(known_in))), None];
                self.finding(fact, FindingKind::EventAfterReport, About { other: None, seen });
            } else if month < self.birth_month && fact.start().is_some() {
                let born = (name::BIRTH_MONTH, Sight::Month(self.birth_month));
                let seen = [Some(happened(month, date)), Some(born), None];
                self.finding(fact, FindingKind::EventBeforeBirth, About { other: None, seen });
            } else {
                let month_known = match fact.kind {
                    Kind::Birth { .. } => self.birth_known,
                    _ => date.is_some_and(|(date, _)| date.known_month().is_some()),
                };
                let (day, day_known) = (day.unwrap_or(unknown_day), day.is_some());
                placed.push(Placed { month, day, day_known, month_known, rank, item });
            }
        }
        placed
    }

    /// The first of `rest` waits for a later one of the same month when it makes sense only behind it and may well have happened there:
    /// an arrival of one who still lives elsewhere for the departure, a change of one who is not here for the arrival.
    fn settle(&self, rest: &mut [Placed<'a>]) {
        while let Some((first, later)) = rest.split_first() {
            let makes_sense_behind = |then: &Placed<'_>| match &self.stay {
                Some(stay) => {
                    first.is_start()
                        && matches!(then.item.fact.kind, Kind::MovedOut { .. })
                        && then.item.fact.unit == *stay.unit
                }
                None => !first.is_start() && then.is_start(),
            };
            let later = later.iter().take_while(|then| then.month == first.month);
            let Some(at) = later.enumerate().find(|(_, then)| first.may_follow(then) && makes_sense_behind(then))
            else {
                break;
            };
            let behind = at.0 + 2;
            rest[..behind].rotate_left(1);
        }
    }

    fn step(&mut self, at: &Placed<'a>) {
        let fact = at.item.fact;
        let known = self.known_by.is_none_or(|origin| std::ptr::eq(origin, fact));
        match (fact.start(), &fact.kind) {
            (Some(_), _) if !known => {
                let about = About { other: self.known_by.map(|origin| origin.id), seen: [Some(at.seen()), None, None] };
                self.finding(fact, FindingKind::PersonUnknown, about);
            }
            (Some(_), _) if self.dead => self.not_resident(at),
            (Some(start), _) => {
                self.known_by = None;
                if let Some(Stay { unit, since: (other, month), .. }) = self.stay {
                    let since = (name::RESIDENT_SINCE, Sight::Month(month));
                    let lives = (name::LIVES_IN, Sight::Unit(unit));
                    let about = About { other: Some(other), seen: [Some(at.seen()), Some(since), Some(lives)] };
                    self.finding(fact, FindingKind::AlreadyResident, about);
                } else {
                    self.begin(at, start);
                }
            }
            // Holds for all time and is in force already.
            (None, Kind::Updated(update)) if holds_always(update, at) => {}
            (None, kind) => match self.stay.take() {
                Some(stay) if stay.unit == &fact.unit => self.change(at, kind, stay),
                stay => {
                    self.stay = stay;
                    self.not_resident(at);
                }
            },
        }
    }

    /// What counts in a month that nobody said.
    fn doubt(&mut self, at: &Placed<'a>) {
        let is_event = !matches!(at.item.fact.kind, Kind::Enrolled { .. } | Kind::Birth { .. } | Kind::Updated(_));
        if is_event && at.date().is_none_or(|date| date.known_month().is_none()) {
            let counted = (name::COUNTED_IN, Sight::Month(at.month));
            let seen = [at.date().map(|_| at.seen()), Some(counted), None];
            self.finding(at.item.fact, FindingKind::MonthUnknown, About { other: None, seen });
        }
    }

    fn begin(&mut self, at: &Placed<'a>, start: &Start) {
        self.doubt(at);
        let Amended { fact, amendment, .. } = &at.item;
        let (mut state, event) = match &fact.kind {
            Kind::Enrolled { marital, method, .. } => (State { marital: *marital, method: *method }, Some(Event::Said)),
            Kind::Birth { order, mother, mother_id, .. } => {
                let mother = amendment.mother.or(mother.map(|date| (date, fact.recorded)));
                let exact = mother.is_some_and(|(date, _)| date.known_month().is_some());
                let mother = mother.map(|(date, known)| month_in(date, known));
                let order = amendment.order.unwrap_or(*order);
                let event = Event::Birth { order, mother, exact, mother_id: *mother_id };
                (State { marital: Some(MaritalStatus::Single), method: None }, Some(event))
            }
            Kind::MovedIn { other, .. } => {
                (State::default(), Some(Event::Arrival { other: amendment.other.unwrap_or(other.as_ref()) }))
            }
            _ => return,
        };
        state.marital = amendment.marital.or(state.marital);
        state.method = amendment.method.or(state.method);
        if let Some(event) = event {
            self.event(&fact.unit, at, event, (State::default(), state), Later::default());
        }
        let household = amendment.household.unwrap_or(start.household);
        let book = match &fact.kind {
            Kind::Enrolled { .. } => Book { marital: Some(fact.recorded), method: Some(fact.recorded) },
            _ => Book::default(),
        };
        let stay = Stay { unit: &fact.unit, household, state, book, since: (fact.id, at.month) };
        self.resident(&stay, at.month, 1);
        self.member(&stay, at.month, 1);
        self.stay = Some(stay);
    }

    fn change(&mut self, at: &Placed<'a>, kind: &'a Kind, stay: Stay<'a>) {
        self.doubt(at);
        let amendment = &at.item.amendment;
        let (mut state, mut household, mut book) = (stay.state, stay.household, stay.book);
        let event = match kind {
            Kind::Marriage => {
                state.marital = Some(MaritalStatus::Married);
                Some(Event::Marriage)
            }
            Kind::Divorce => {
                state.marital = Some(MaritalStatus::Divorced);
                Some(Event::Divorce)
            }
            Kind::Contraception { method } => {
                let method = amendment.method.unwrap_or(*method);
                state.method = Some(method);
                (method != Method::None).then_some(Event::ContraceptionStart { method })
            }
            Kind::Updated(update) => {
                state.marital = update.marital.or(state.marital);
                state.method = update.method.or(state.method);
                household = update.household.unwrap_or(household);
                Some(Event::Said)
            }
            Kind::Death => Some(Event::Death),
            Kind::MovedOut { other } => Some(Event::Departure { other: amendment.other.unwrap_or(other.as_ref()) }),
            _ => None,
        };
        state.marital = amendment.marital.or(state.marital);
        state.method = amendment.method.or(state.method);
        let (says_marital, says_method) = match kind {
            Kind::Marriage | Kind::Divorce => (true, false),
            Kind::Contraception { .. } => (false, true),
            Kind::Updated(update) => (update.marital.is_some(), update.method.is_some()),
            _ => (false, false),
        };
        book.marital = book.marital.filter(|_| !says_marital && amendment.marital.is_none());
        book.method = book.method.filter(|_| !says_method && amendment.method.is_none());
        if let Some(event) = event {
            self.event(stay.unit, at, event, (stay.state, state), stay.book.later(at.month));
        }
        if matches!(kind, Kind::Death | Kind::MovedOut { .. }) {
            self.dead = matches!(kind, Kind::Death);
            self.end = Some((at.item.fact.id, at.month));
            self.resident(&stay, at.month, -1);
            self.member(&stay, at.month, -1);
            return;
        }
        household = amendment.household.unwrap_or(household);
        let now = Stay { household, state, book, ..stay };
        if now.state != stay.state {
            self.resident(&stay, at.month, -1);
            self.resident(&now, at.month, 1);
        }
        if now.household != stay.household {
            self.member(&stay, at.month, -1);
            self.member(&now, at.month, 1);
        }
        self.stay = Some(now);
    }

    fn finding(&mut self, fact: &'a Fact, kind: FindingKind, about: About<'a>) {
        (self.out)(Step::Finding { change: fact.id, unit: &fact.unit, kind, about });
    }

    /// Not here: lives elsewhere, has left, or has not come yet.
    fn not_resident(&mut self, at: &Placed<'a>) {
        let (other, why, lives) = match (&self.stay, self.end) {
            (Some(Stay { unit, since: (other, month), .. }), _) => {
                let lives = (name::LIVES_IN, Sight::Unit(unit));
                (Some(*other), Some((name::RESIDENT_SINCE, Sight::Month(*month))), Some(lives))
            }
            (None, Some((other, month))) => (Some(other), Some((name::LEFT, Sight::Month(month))), None),
            (None, None) => (self.known_by.map(|origin| origin.id), None, None),
        };
        self.finding(at.item.fact, FindingKind::NotResident, About { other, seen: [Some(at.seen()), why, lives] });
    }

    fn event(
        &mut self,
        unit: &'a UnitCode,
        at: &Placed<'a>,
        event: Event<'a>,
        (before, after): (State, State),
        later: Later,
    ) {
        let (sex, birth_month) = (self.sex, self.birth_month);
        let exact = at.month_known && self.birth_known;
        let more = More { change: at.item.fact.id, before, later, after, exact, birth_known: self.birth_known };
        (self.out)(Step::Event { unit, month: at.month, sex, birth_month, event, more });
    }

    fn resident(&mut self, stay: &Stay<'a>, month: Month, delta: i64) {
        let (sex, birth_month) = (self.sex, self.birth_month);
        (self.out)(Step::Resident { unit: stay.unit, month, sex, birth_month, state: stay.state, delta });
    }

    fn member(&mut self, stay: &Stay<'a>, month: Month, delta: i32) {
        (self.out)(Step::Member { unit: stay.unit, household: stay.household, month, delta });
    }
}

/// Whether an update sets nothing but what holds for all time.
fn holds_always(update: &Update, at: &Placed<'_>) -> bool {
    let amendment = &at.item.amendment;
    update.marital.or(amendment.marital).is_none()
        && update.method.or(amendment.method).is_none()
        && update.household.or(amendment.household).is_none()
}
