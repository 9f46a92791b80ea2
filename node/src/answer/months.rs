//! How months stand. Of an answer: how much of its area has closed each month, from the logs alone. For the operator: unit by unit, with what this node's
//! clock says of those that have not.

use std::collections::{HashMap, HashSet};

use danso_core::calendar::{Month, PartialDate, days_in_month};
use danso_core::period::{Coverage, Deadline, Reported, State, coverage};
use danso_core::tier::TierPolicy;
use danso_core::units::Unit;
use danso_core::verify::{Directory, Node};
use danso_proto::ids::{LogId, NodeId, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use super::{Answers, Error, Query, query};
use crate::store::Tx;

/// The coverage of each month of a question, in the `units` counted.
pub(super) async fn coverage_of(tx: &mut Tx, query: &Query, units: &[UnitCode]) -> Result<Vec<Coverage>, Error> {
    let (list, question) = (query.list(), query.question());
    let closings = tx.period_list(units, question.from(), question.to()).await?;
    let spoken: HashSet<UnitCode> = tx.spoken(units).await?.into_keys().collect();
    let residents = tx.population(units, question.to()).await?;
    let units = units.iter().filter_map(|unit| list.get(unit));
    let months = question.from().through(question.to());
    Ok(coverage(list, units, months, query.deadlines(), (&closings, &spoken, &residents)))
}

/// How a month stands in an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// The month.
    pub month: Month,
    /// The area.
    pub unit: UnitCode,
    /// Version of the list in force at the month's end.
    pub units_version: String,
    /// Our clock, Unix milliseconds.
    pub answered_at_ms: i64,
    /// Units that people live in.
    pub units_all: u64,
    /// Who was not heard for so many milliseconds is silent.
    pub silent_after_ms: i64,
    /// The units that are expected to report: with a node at or below this one, or with records. By code.
    pub units: Vec<UnitMonth>,
}

/// How a unit's month stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitMonth {
    /// The unit.
    pub unit: UnitCode,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What is known of it.
    pub reported: Reported,
    /// Where the statement that it is complete stands, and when it was here.
    pub closed: Option<(LogId, u64, Option<i64>)>,
    /// Residents at the month's end.
    pub residents: i64,
}

impl Answers {
    /// How a month stands in `unit` (empty: the own one), by what is here. `heard` tells when a node was last heard over a link.
    ///
    /// # Errors
    /// `query_invalid`, `units_version_unknown`, `unit_unknown`, `unit_not_ours`; faults of the store.
    pub async fn completeness(
        &self,
        directory: &Directory,
        (unit, month): (&str, u32),
        heard: &(dyn Fn(&NodeId) -> Option<i64> + Sync),
    ) -> Result<Completeness, Error> {
        let month = query::month(month)?;
        let own = directory.node(&self.me).map_or_else(|| self.me.unit(), |node| node.unit().clone());
        let unit = if unit.is_empty() { own } else { query::unit(unit)? };
        let list = end_of(month).and_then(|end| directory.units().in_force(end));
        let list = list.ok_or_else(|| {
            Refusal::new(Reason::UnitsVersionUnknown, format!("no unit list is in force here in {month}"))
        })?;
        if !list.contains(&unit) {
            return Err(Refusal::new(Reason::UnitUnknown, format!("{unit} in {}", list.version())).into());
        }
        self.check_scope(directory, list, &unit)?;
        let mut tx = self.read("completeness").await?;
        let mut closings = tx.closings(month).await?;
        let lives_here = |unit: &&Unit| TierPolicy::of(unit.tier).residents_live_here();
        let homes: Vec<&Unit> = list.subtree(&unit).filter(lives_here).collect();
        let codes: Vec<UnitCode> = homes.iter().map(|unit| unit.code.clone()).collect();
        let (spoken, residents) = (tx.spoken(&codes).await?, tx.population(&codes, month).await?);
        drop(tx);
        let mut nodes: HashMap<&UnitCode, Vec<&Node>> = HashMap::new();
        let is_here = |node: &&Node| node.id() == &self.me || directory.is_above(&self.me, node.id());
        for node in directory.nodes().filter(|node| !node.is_revoked() && node.has_place()).filter(is_here) {
            nodes.entry(node.unit()).or_default().push(node);
        }
        let now_ms = self.clock.now_ms();
        let units_all = homes.len() as u64;
        let expected =
            homes.into_iter().filter(|unit| nodes.contains_key(&unit.code) || spoken.contains_key(&unit.code));
        let mut last_days: HashMap<Deadline, PartialDate> = HashMap::new();
        let of_unit = |unit: &Unit| {
            let code = &unit.code;
            let rule = self.deadlines.rule(list, code);
            let last_day = last_days.entry(rule).or_insert_with(|| self.deadlines.last_day_by(rule, month));
            let reporters = nodes.get(code).map(Vec::as_slice).unwrap_or_default();
            let over_a_link = reporters.iter().filter_map(|node| match node.id() == &self.me {
                true => Some(now_ms),
                false => heard(node.id()).filter(|heard| *heard != 0),
            });
            let row = closings.remove(code);
            let reported = Reported {
                closed_at_ms: row.as_ref().map(|row| row.closing.recorded_at_ms),
                deadline: *last_day,
                heard_at_ms: over_a_link.chain(spoken.get(code).copied()).max(),
            };
            UnitMonth {
                unit: code.clone(),
                name: unit.name.to_string(),
                state: reported.state(now_ms, self.silent_ms),
                reported,
                closed: row.map(|row| (row.log, row.sequence, row.arrived_at_ms)),
                residents: residents.get(code).copied().unwrap_or(0),
            }
        };
        Ok(Completeness {
            month,
            units: expected.map(of_unit).collect(),
            unit,
            units_version: list.version().to_owned(),
            answered_at_ms: now_ms,
            units_all,
            silent_after_ms: self.silent_ms,
        })
    }
}

fn end_of(month: Month) -> Option<PartialDate> {
    PartialDate::full(month.year(), month.month(), days_in_month(month)).ok()
}
