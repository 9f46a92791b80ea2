//! An answer, and its protobuf form.

use danso_core::calendar::Month;
use danso_core::period::Coverage;
use danso_core::question::{AgeGroup, Cell, Figure};
use danso_proto::change::Sex;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::limits;
use danso_proto::pb::query::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use prost::Message as _;

use super::Query;

/// Cells that are made into protobuf at once while an answer is encoded.
const CELLS_AT_ONCE: usize = 4_096;

/// An answer: figures, and what they were made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub query: Query,
    /// Who answers.
    pub node: NodeId,
    /// Its clock, Unix milliseconds: beside the notes the one thing that differs when the same question is asked again and nothing has come in.
    pub answered_at_ms: i64,
    /// The logs that were counted, by id.
    pub frontier: Vec<FrontierEntry>,
    /// Findings about the units counted.
    pub findings: u64,
    /// Children that were asked, by id.
    pub asked: Vec<NodeId>,
    /// What has to be told of those who answered, by node. It is no function of the logs.
    pub notes: Vec<Note>,
    /// How complete each month of the period is; `None` when one who was asked does not say.
    pub coverage: Option<Vec<Coverage>>,
    /// The figures, in canonical order, without zeros.
    pub cells: Vec<Cell>,
}

/// Why figures of a node are not what they seem, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The node.
    pub node: NodeId,
    /// Reason code; it may be of a newer version.
    pub reason: String,
    /// What exactly was found.
    pub detail: String,
}

/// A log and how much of it was counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrontierEntry {
    /// The log.
    pub log: LogId,
    /// Entries.
    pub size: u64,
    /// Author's clock at the last of them, Unix milliseconds.
    pub recorded_at_ms: i64,
}

impl Answer {
    /// The header as it goes over the wire.
    pub fn header(&self) -> pb::AnswerHeader {
        let note = |note: &Note| pb::Note {
            node: note.node.to_string(),
            reason: note.reason.clone(),
            detail: note.detail.clone(),
        };
        let entry = |entry: &FrontierEntry| pb::FrontierEntry {
            log: entry.log.to_string(),
            size: entry.size,
            recorded_at_ms: entry.recorded_at_ms,
        };
        pb::AnswerHeader {
            query: Some(self.query.to_pb()),
            node: self.node.to_string(),
            answered_at_ms: self.answered_at_ms,
            frontier: self.frontier.iter().map(entry).collect(),
            findings: self.findings,
            asked: self.asked.iter().map(NodeId::to_string).collect(),
            notes: self.notes.iter().map(note).collect(),
            coverage: self.coverage.iter().flatten().map(coverage_to_pb).collect(),
        }
    }

    /// The encoded `danso.query.v1.Answer`.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn encode(&self, nonce: [u8; 16]) -> Result<Vec<u8>, Refusal> {
        // Encoded messages one behind the other are the message that has all their fields: so the whole is never there twice.
        let mut bytes = pb::Answer { header: Some(self.header()), ..Default::default() }.encode_to_vec();
        for cells in self.cells.chunks(CELLS_AT_ONCE) {
            let part = pb::Answer { cells: cells.iter().map(cell_to_pb).collect(), ..Default::default() };
            bytes.append(&mut part.encode_to_vec());
            if bytes.len() > limits::ANSWER_BYTES_MAX {
                return Err(too_large());
            }
        }
        let end = pb::Answer { nonce: nonce.to_vec().into(), ..Default::default() };
        bytes.append(&mut end.encode_to_vec());
        if bytes.len() > limits::ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// Refuses an answer that would not fit.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn check_size(&self) -> Result<(), Refusal> {
        let bytes = self.frontier.len().saturating_mul(FRONTIER_BYTES).saturating_add(cells_len(&self.cells));
        if bytes > limits::ANSWER_BYTES_MAX { Err(too_large()) } else { Ok(()) }
    }
}

fn coverage_to_pb(of: &Coverage) -> pb::MonthCoverage {
    pb::MonthCoverage {
        month: of.month.ymm(),
        units: of.units,
        reporting: of.reporting,
        closed: of.closed,
        on_time: of.on_time,
        residents: of.residents,
        residents_closed: of.residents_closed,
    }
}

/// Bytes of a frontier entry at most: a log id of 33 bytes, two numbers, and their tags.
const FRONTIER_BYTES: usize = 64;

pub(super) fn too_large() -> Refusal {
    let detail = format!(
        "the answer has more than {} MiB; ask for fewer measures, dimensions or months, or unit by unit",
        limits::ANSWER_BYTES_MAX >> 20
    );
    Refusal::new(Reason::TooLarge, detail)
}

/// Bytes that cells take in an answer.
pub(super) fn cells_len(cells: &[Cell]) -> usize {
    cells.iter().map(|cell| 2 + cell_to_pb_len(cell)).sum()
}

/// Bytes of a cell, without making it: tag and length of five fields, and the value as a varint.
fn cell_to_pb_len(cell: &Cell) -> usize {
    let varint = |value: u64| (64 - value.max(1).leading_zeros() as usize).div_ceil(7);
    let text = |len: usize| if len == 0 { 0 } else { 2 + len };
    text(cell.unit.as_str().len())
        + cell.month.map_or(0, |month| 1 + varint(month.ymm().into()))
        + text(cell.figure.word().len())
        + text(cell.sex.map_or(0, |sex| sex.as_str().len()))
        + text(cell.age_group.map_or(0, |group| group.to_string().len()))
        // A negative number is as long as a large one.
        + 1
        + varint(cell.value as u64)
}

/// A cell as it goes over the wire.
pub(super) fn cell_to_pb(cell: &Cell) -> pb::Cell {
    pb::Cell {
        unit: cell.unit.to_string(),
        month: cell.month.map_or(0, Month::ymm),
        measure: cell.figure.word().to_owned(),
        sex: cell.sex.map_or("", Sex::as_str).to_owned(),
        age_group: cell.age_group.map(|group| group.to_string()).unwrap_or_default(),
        value: cell.value,
    }
}

/// What a cell says; `None` for words that are none.
pub(super) fn cell_from_pb(cell: &pb::Cell) -> Option<Cell> {
    let sex = match &*cell.sex {
        "" => None,
        word => Some([Sex::Male, Sex::Female].into_iter().find(|sex| sex.as_str() == word)?),
    };
    Some(Cell {
        unit: cell.unit.parse().ok()?,
        figure: Figure::from_word(&cell.measure)?,
        month: if cell.month == 0 { None } else { Some(Month::from_ymm(cell.month).ok()?) },
        sex,
        age_group: if cell.age_group.is_empty() { None } else { Some(AgeGroup::from_word(&cell.age_group)?) },
        value: cell.value,
    })
}

impl Answer {
    /// The cells as they go over the wire, in messages of at most `at_once`.
    pub fn into_cells(self, at_once: usize) -> impl Iterator<Item = Vec<pb::Cell>> + Send {
        let mut cells = self.cells.into_iter().peekable();
        std::iter::from_fn(move || {
            cells.peek()?;
            Some(cells.by_ref().take(at_once.max(1)).map(|cell| cell_to_pb(&cell)).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_read_back_and_their_length_is_known() {
        let month = Month::from_ymm(202_401).ok();
        for figure in Figure::ALL {
            for (month, sex) in [(None, None), (month, Some(Sex::Male)), (None, Some(Sex::Female))] {
                for age_group in AgeGroup::fives().chain(AgeGroup::years()).map(Some).chain([None]) {
                    for value in [1, 127, 128, i64::MAX, -1] {
                        let unit = "17001".parse().expect("a unit code");
                        let cell = Cell { unit, figure: *figure, month, sex, age_group, value };
                        let pb = cell_to_pb(&cell);
                        assert_eq!(cell_from_pb(&pb).as_ref(), Some(&cell));
                        assert_eq!(cell_to_pb_len(&cell), pb.encoded_len());
                    }
                }
            }
        }
    }
}
