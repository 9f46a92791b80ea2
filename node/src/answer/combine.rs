//! One answer from several: who covers which part of a question, and the sum of the parts.
//!
//! A question goes to every child that serves a unit in what is asked about, or above it, each restricted to its own unit. Moves compare with
//! the boundary of the unit asked about, whoever answers, so that the parts add up. What others than a child and those below it wrote about
//! its units (a district that typed a commune's slips before that had a node) is not in the child's cube: then the child is not asked.

use std::collections::BTreeMap;

use danso_core::period::Coverage;
use danso_core::question::add_up;
use danso_core::units::UnitList;
use danso_core::verify::Directory;
use danso_proto::ids::{LogId, NodeId, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use super::{Answer, FrontierEntry, Query};

/// Bytes of what all notes of an answer say.
const NOTES_BYTES: usize = 128 * 1024;

/// Who answers which part of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The children to ask, by id, and what to ask each.
    pub children: Vec<(NodeId, Query)>,
    /// The units that no child covers, by code: the node's own part.
    pub rest: Vec<UnitCode>,
}

/// See [`super::Answers::split`].
pub(super) fn split(directory: &Directory, me: &NodeId, query: &Query) -> Result<Split, Refusal> {
    let asked = query.asked()?;
    let list = query.list();
    let Some(scope) = asked.scope() else {
        return Ok(Split { children: Vec::new(), rest: Vec::new() });
    };
    let mut children = Vec::new();
    let mut covered = Vec::new();
    for child in directory.children(me) {
        let unit = child.unit();
        if !list.contains(unit) {
            let detail = format!("child {} serves {unit}, which is not in {}", child.id(), list.version());
            return Err(Refusal::new(Reason::UnitUnknown, detail));
        }
        let within = if list.is_within(unit, scope) {
            unit
        } else if list.is_within(scope, unit) {
            scope
        } else {
            continue;
        };
        children.push((child.id().clone(), query.restricted_to(within.clone())));
        covered.push(within.clone());
    }
    let is_covered = |unit: &UnitCode| covered.iter().any(|within| list.is_within(unit, within));
    let rest = asked.units().map(|unit| &unit.code).filter(|unit| !is_covered(unit)).cloned().collect();
    Ok(Split { children, rest })
}

/// Checks that each child holds all records that are here about what it is asked for. `said` is which logs speak about which units.
pub(super) fn check_complete(
    directory: &Directory,
    list: &UnitList,
    split: &Split,
    said: &[(LogId, UnitCode)],
) -> Result<(), Refusal> {
    for (child, query) in &split.children {
        let Some(within) = query.question().within() else { continue };
        let elsewhere = said.iter().find(|(log, unit)| {
            list.is_within(unit, within) && !directory.lineage(log.node()).any(|above| above == child)
        });
        if let Some((log, unit)) = elsewhere {
            let detail = format!("{log} speaks about {unit}, and {child} does not hold it");
            return Err(Refusal::new(Reason::ChildIncomplete, detail));
        }
    }
    Ok(())
}

/// The coverage of two areas for the same months.
fn together(mut sum: Vec<Coverage>, part: &[Coverage]) -> Vec<Coverage> {
    sum.iter_mut().zip(part).for_each(|(sum, part)| sum.add(part));
    sum
}

/// The answer that `own` (from [`super::Answers::rest`]) and those of the children asked make together: sums of cells, the union of the
/// frontiers, the sum of findings, all notes. The order of `children` does not matter.
///
/// # Errors
/// `too_large`.
pub fn combine(own: Answer, children: Vec<Answer>) -> Result<Answer, Refusal> {
    let mut answer = own;
    let mut frontier: BTreeMap<LogId, (u64, i64)> =
        answer.frontier.drain(..).map(|entry| (entry.log, (entry.size, entry.recorded_at_ms))).collect();
    for child in children {
        answer.asked.push(child.node);
        answer.cells.extend(child.cells);
        answer.notes.extend(child.notes);
        answer.findings = answer.findings.saturating_add(child.findings);
        answer.coverage = answer.coverage.zip(child.coverage).map(|(sum, part)| together(sum, &part));
        for entry in child.frontier {
            let kept = frontier.entry(entry.log).or_default();
            *kept = (*kept).max((entry.size, entry.recorded_at_ms));
        }
    }
    answer.asked.sort_unstable();
    answer.notes.sort_unstable();
    // A message is no larger than a megabyte. Who says that something is wrong, and what, stays.
    let mut room = NOTES_BYTES;
    for note in &mut answer.notes {
        match room.checked_sub(note.detail.len()) {
            Some(left) => room = left,
            None => note.detail.clear(),
        }
    }
    answer.cells = add_up(answer.cells);
    answer.frontier =
        frontier.into_iter().map(|(log, (size, recorded_at_ms))| FrontierEntry { log, size, recorded_at_ms }).collect();
    answer.check_size()?;
    Ok(answer)
}
