//! Corrections: which facts still stand, and what later changes say about each of them.
//!
//! Updates and retractions are taken from the latest to the earliest (by recorded month, then id). So each finds already done what was
//! said about itself, the latest word on a field comes first and stays, and corrections of corrections cannot run in a circle.
//! A correction speaks only about a fact of its own unit: a unit's author cannot undo what another unit's author wrote.

use danso_proto::change::{MaritalStatus, Method, Sex};
use danso_proto::ids::{ChangeId, HouseholdId, UnitCode};

use super::{About, Step};
use crate::calendar::{Month, PartialDate};
use crate::finding::FindingKind;
use crate::register::fact::{Fact, Kind, Update};

/// What corrections set in one fact.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amendment<'a> {
    /// The date, and the month in which it became known.
    pub(super) date: Option<(PartialDate, Month)>,
    pub(super) marital: Option<MaritalStatus>,
    pub(super) method: Option<Method>,
    pub(super) household: Option<HouseholdId>,
    pub(super) order: Option<u32>,
    pub(super) mother: Option<(PartialDate, Month)>,
    pub(super) other: Option<Option<&'a UnitCode>>,
}

impl<'a> Amendment<'a> {
    fn of(update: &'a Update, fact: &Fact) -> Self {
        Self {
            date: fact.date.map(|date| (date, fact.recorded)),
            marital: update.marital,
            method: update.method,
            household: update.household,
            order: update.order,
            mother: update.mother.map(|mother| (mother, fact.recorded)),
            other: update.other.as_ref().map(Option::as_ref),
        }
    }

    /// This, and what `earlier` sets besides.
    fn or(self, earlier: Self) -> Self {
        Self {
            date: self.date.or(earlier.date),
            marital: self.marital.or(earlier.marital),
            method: self.method.or(earlier.method),
            household: self.household.or(earlier.household),
            order: self.order.or(earlier.order),
            mother: self.mother.or(earlier.mother),
            other: self.other.or(earlier.other),
        }
    }
}

/// A fact and what corrections made of it.
pub(super) struct Amended<'a> {
    pub(super) fact: &'a Fact,
    pub(super) amendment: Amendment<'a>,
    /// Retracted, or itself a correction that was applied: not part of the timeline.
    done: bool,
    retracted: bool,
}

/// Particulars that hold for all time, with the month in which the birth month became known.
#[derive(Default)]
pub(super) struct Particulars {
    pub(super) sex: Option<Sex>,
    pub(super) birth_month: Option<(PartialDate, Month)>,
}

/// The facts that make up the timeline. `facts` are sorted.
pub(super) fn correct<'a>(
    facts: impl Iterator<Item = &'a Fact>,
    out: &mut impl FnMut(Step<'a>),
) -> (Vec<Amended<'a>>, Particulars) {
    let (mut amended, particulars) = settle(facts, out);
    amended.retain(|item| !item.done);
    (amended, particulars)
}

/// The changes that were withdrawn. `facts` are sorted.
pub(crate) fn withdrawn<'a>(facts: impl Iterator<Item = &'a Fact>) -> impl Iterator<Item = ChangeId> {
    let (amended, _) = settle(facts, &mut |_| {});
    amended.into_iter().filter(|item| item.retracted).map(|item| item.fact.id)
}

/// All facts, with what corrections made of them.
fn settle<'a>(
    facts: impl Iterator<Item = &'a Fact>,
    out: &mut impl FnMut(Step<'a>),
) -> (Vec<Amended<'a>>, Particulars) {
    let mut amended: Vec<Amended<'a>> =
        facts.map(|fact| Amended { fact, amendment: Amendment::default(), done: false, retracted: false }).collect();
    let mut particulars = Particulars::default();
    let mut corrections: Vec<usize> = (0..amended.len())
        .filter(|&i| matches!(amended[i].fact.kind, Kind::Updated(_) | Kind::Retraction { .. }))
        .collect();
    if corrections.is_empty() {
        return (amended, particulars);
    }
    corrections.sort_unstable_by_key(|&i| std::cmp::Reverse((amended[i].fact.recorded, amended[i].fact)));
    for i in corrections {
        if amended[i].done {
            continue;
        }
        let Amended { fact, amendment, .. } = amended[i];
        let (refers_to, update) = match &fact.kind {
            Kind::Updated(update) => (update.refers_to, Some(&**update)),
            Kind::Retraction { refers_to } => (Some(*refers_to), None),
            _ => continue,
        };
        let target = match refers_to {
            None => None,
            Some(id) => {
                amended[i].done = true;
                let Some(target) = find(&amended, fact, id) else {
                    let about = About { other: Some(id), ..About::default() };
                    out(Step::Finding { change: fact.id, unit: &fact.unit, kind: FindingKind::CorrectsNothing, about });
                    continue;
                };
                Some(target)
            }
        };
        match (update, target) {
            (None, Some(target)) => {
                amended[target].done = true;
                amended[target].retracted = true;
            }
            // What is retracted needs no correction, and a retraction has nothing to correct.
            (Some(_), Some(target))
                if amended[target].done || matches!(amended[target].fact.kind, Kind::Retraction { .. }) => {}
            (Some(update), target) => {
                let what = amendment.or(Amendment::of(update, fact));
                let mut birth_month = update.birth_month.map(|month| (month, fact.recorded));
                if let Some(target) = target {
                    // A birth's date and the birth month are one thing.
                    if matches!(amended[target].fact.kind, Kind::Birth { .. }) {
                        birth_month = birth_month.or(what.date);
                    }
                    amended[target].amendment = amended[target].amendment.or(what);
                }
                if update.sex.is_none() && birth_month.is_none() {
                    continue;
                }
                if speaks_for(&amended, fact) {
                    particulars.sex = particulars.sex.or(update.sex);
                    particulars.birth_month = particulars.birth_month.or(birth_month);
                } else if amended.iter().any(|item| item.fact.start().is_some()) {
                    let (kind, about) = (FindingKind::NotResident, About::default());
                    out(Step::Finding { change: fact.id, unit: &fact.unit, kind, about });
                }
            }
            (None, None) => {}
        }
    }
    (amended, particulars)
}

/// The fact that `correction` refers to: of the same unit, and no correction that came later.
fn find(amended: &[Amended<'_>], correction: &Fact, id: ChangeId) -> Option<usize> {
    let first = amended.partition_point(|item| item.fact.id < id);
    let same_id = amended[first..].iter().take_while(|item| item.fact.id == id);
    let fits = |item: &Amended<'_>| {
        let corrects = matches!(item.fact.kind, Kind::Updated(_) | Kind::Retraction { .. });
        let earlier = (item.fact.recorded, item.fact) < (correction.recorded, correction);
        item.fact.unit == correction.unit && (!corrects || earlier)
    };
    same_id.enumerate().find(|(_, item)| fits(item)).map(|(i, _)| first + i)
}

/// Who the person is can be said by a unit in which it became a resident.
fn speaks_for(amended: &[Amended<'_>], fact: &Fact) -> bool {
    amended.iter().any(|item| !item.done && item.fact.unit == fact.unit && item.fact.start().is_some())
}
