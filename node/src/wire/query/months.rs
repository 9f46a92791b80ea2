//! How a month stands, and why a figure is what it is: answers as messages.

use danso_proto::limits;
use danso_proto::pb::query::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use prost::Message as _;

use super::{AskChild, FRAME_BYTES, Queries, invalid};
use crate::answer::{self, Completeness, Explained, Since, Step, UnitMonth};

/// Units or steps in one message: some 300 bytes each.
const ROWS_PER_MESSAGE: usize = 1_000;

impl<A: AskChild> Queries<A> {
    /// How a month stands.
    ///
    /// # Errors
    /// `query_invalid`, `units_version_unknown`, `unit_unknown`, `unit_not_ours`, `internal`.
    pub async fn completeness(
        &self,
        request: pb::ShowCompletenessRequest,
    ) -> Result<impl Iterator<Item = pb::ShowCompletenessResponse> + Send + use<A>, Refusal> {
        let (directory, heard) = ((self.directory)(), (self.heard)());
        let asked = (&*request.unit, request.month);
        let found = self.answers.completeness(&directory, asked, &|node| heard.get(node).copied()).await;
        let Completeness { month, unit, units_version, answered_at_ms, units_all, silent_after_ms, units } =
            found.map_err(answer::Error::refusal)?;
        let header = pb::CompletenessHeader {
            month: month.ymm(),
            unit: unit.to_string(),
            units_version,
            node: self.answers.me().to_string(),
            answered_at_ms,
            units_all,
            silent_after_ms,
        };
        let head = pb::ShowCompletenessResponse { header: Some(header), units: Vec::new() };
        let units = in_messages(units.into_iter().map(unit_month));
        Ok(std::iter::once(head).chain(units.map(|units| pb::ShowCompletenessResponse { header: None, units })))
    }

    /// Why a figure is what it is.
    ///
    /// # Errors
    /// `query_invalid`, `units_version_unknown`, `unit_unknown`, `unit_not_ours`, `too_large`, `internal`.
    pub async fn explain(
        &self,
        request: pb::ExplainAggregateRequest,
    ) -> Result<impl Iterator<Item = pb::ExplainAggregateResponse> + Send + use<A>, Refusal> {
        let directory = (self.directory)();
        let query = request.query.ok_or_else(|| invalid("there is no query"))?;
        let query = self.answers.query(&directory, &query)?;
        let since = Since::read(request.since.into_iter().map(|log| (log.log, log.size)), request.as_of, request.late)?;
        let found = self.answers.explain(&directory, &query, &since).await.map_err(answer::Error::refusal)?;
        let Explained { mut answer, now, then, closed_at_ms, entries, changes, steps } = found;
        answer.notes = (self.notes)(&query);
        let header = pb::ExplainHeader {
            answer: Some(answer.header()),
            then,
            now,
            closed_at_ms: closed_at_ms.unwrap_or(0),
            entries,
            changes,
        };
        if header.encoded_len() + FRAME_BYTES > limits::GRPC_MESSAGE_MAX {
            return Err(Refusal::new(
                Reason::TooLarge,
                "the figure was made from too many logs; ask for a smaller unit",
            ));
        }
        let head = pb::ExplainAggregateResponse { header: Some(header), steps: Vec::new() };
        let steps = in_messages(steps.into_iter().map(step));
        Ok(std::iter::once(head).chain(steps.map(|steps| pb::ExplainAggregateResponse { header: None, steps })))
    }
}

/// Rows, so many together that a message is never too large.
fn in_messages<T>(rows: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    let mut rows = rows.peekable();
    std::iter::from_fn(move || {
        rows.peek()?;
        Some(rows.by_ref().take(ROWS_PER_MESSAGE).collect())
    })
}

fn unit_month(unit: UnitMonth) -> pb::UnitMonth {
    let (log, sequence, arrived_at_ms) =
        unit.closed.map(|(log, sequence, arrived)| (log.to_string(), sequence, arrived)).unwrap_or_default();
    pb::UnitMonth {
        unit: unit.unit.to_string(),
        name: unit.name,
        state: unit.state.word().to_owned(),
        deadline: unit.reported.deadline.packed(),
        closed_at_ms: unit.reported.closed_at_ms.unwrap_or(0),
        arrived_at_ms: arrived_at_ms.unwrap_or(0),
        log,
        sequence,
        heard_at_ms: unit.reported.heard_at_ms.unwrap_or(0),
        residents: unit.residents,
    }
}

fn step(step: Step) -> pb::ExplainStep {
    pb::ExplainStep {
        log: step.log.to_string(),
        sequence: step.sequence,
        recorded_at_ms: step.recorded_at_ms,
        arrived_at_ms: step.arrived_at_ms.unwrap_or(0),
        unit: step.unit.to_string(),
        kind: step.kind.to_owned(),
        changes: step.contribution.changes,
        added: step.contribution.added,
        removed: step.contribution.removed,
        late: step.late,
        correction: step.correction,
    }
}
