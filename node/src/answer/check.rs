//! Whether a child's answer is its own, new, and about what was asked. Nothing of it is used before all of it was found right.

use std::ops::ControlFlow;

use bytes::Bytes;
use danso_core::period::Coverage;
use danso_core::question::{Asked, Cell, MONTHS_MAX, VALUE_MAX};
use danso_core::verify::{Directory, Node};
use danso_proto::envelope::{Envelope, open_answer};
use danso_proto::ids::{LogId, Stream};
use danso_proto::pb::query::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use danso_proto::{limits, wire};
use prost::Message as _;

use super::codec::cell_from_pb;
use super::{Answer, FrontierEntry, Note, Query};

/// Field numbers of `danso.query.v1.Answer`.
const HEADER: u64 = 1;
/// See [`HEADER`].
const CELLS: u64 = 2;
/// See [`HEADER`].
const NONCE: u64 = 3;
/// Field number of the frontier in the header.
const FRONTIER: u64 = 4;
/// Field number of the notes in the header.
const NOTES: u64 = 7;
/// Field number of how complete the months are in the header.
const COVERAGE: u64 = 8;
/// Bytes of a reason code at most, also of one of a newer version.
const CODE_MAX: usize = 64;

/// Checks the envelope in which `child` answers `asked`: signed with its log key, with this nonce, to this very question, with cells that
/// belong to it, each once and in canonical order, counted from logs of the child and of nodes below it.
///
/// # Errors
/// `answer_invalid`, which says what is wrong.
pub fn check(
    envelope: Bytes,
    child: &Node,
    directory: &Directory,
    asked: &Query,
    nonce: [u8; 16],
) -> Result<Answer, Refusal> {
    let wrong = |why: String| Refusal::new(Reason::AnswerInvalid, format!("{}: {why}", child.id()));
    let payload = Envelope::decode_answer(envelope)
        .and_then(|envelope| open_answer(&envelope, child.key()))
        .map_err(|refusal| wrong(refusal.to_string()))?;
    let put = asked.asked()?;
    let Parts { header, cells, nonce: answered } = parts(&payload, &put).map_err(wrong)?;
    if answered != nonce {
        return Err(wrong("it answers another asking of the question".into()));
    }
    let query = asked.to_pb();
    // A child of an earlier version does not know of deadlines, and says nothing of how complete months are.
    let silent = pb::Query { deadlines: None, ..query.clone() };
    let is_silent = header.coverage.is_empty() && header.query.as_ref() == Some(&silent);
    if header.query.as_ref() != Some(&query) && !is_silent {
        return Err(wrong("it answers another question".into()));
    }
    let coverage = match header.coverage.is_empty() {
        true => None,
        false => Some(coverage(&header.coverage, asked).map_err(wrong)?),
    };
    if header.node != child.id().as_str() {
        return Err(wrong("it names another node".into()));
    }
    if !header.asked.is_empty() {
        return Err(wrong("it is not from the child's own cube".into()));
    }
    // So many that the sum over all nodes cannot overflow, and more than there are entries.
    if header.findings > u64::from(u32::MAX) {
        return Err(wrong("its number of findings is not believed".into()));
    }
    let notes = notes(header.notes, child).map_err(wrong)?;
    let frontier = frontier(&header.frontier, child, directory).map_err(wrong)?;
    Ok(Answer {
        notes,
        query: asked.clone(),
        node: child.id().clone(),
        answered_at_ms: header.answered_at_ms,
        frontier,
        findings: header.findings,
        asked: Vec::new(),
        coverage,
        cells,
    })
}

struct Parts {
    header: pb::AnswerHeader,
    cells: Vec<Cell>,
    nonce: Vec<u8>,
}

/// Takes the message apart field by field: a message that is decoded as a whole could ask for a hundred times its size in memory.
fn parts(payload: &[u8], asked: &Asked<'_>) -> Result<Parts, String> {
    let (mut header, mut nonce) = (None, None);
    let mut cells: Vec<Cell> = Vec::new();
    let mut wrong = None;
    let walked = wire::walk(payload, |field, content| {
        let step = match field {
            HEADER if header.is_none() => read_header(content).map(|read| header = Some(read)),
            NONCE if nonce.is_none() => {
                nonce = Some(content.to_vec());
                Ok(())
            }
            CELLS => read_cell(content, asked, cells.last()).map(|cell| cells.push(cell)),
            HEADER | NONCE => Err("a part that may stand once stands twice".into()),
            // Of a newer version of the protocol.
            _ => Ok(()),
        };
        match step {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                wrong = Some(why);
                ControlFlow::Break(())
            }
        }
    });
    match (walked, wrong, header, nonce) {
        (_, Some(why), ..) => Err(why),
        (Some(()), None, Some(header), Some(nonce)) => Ok(Parts { header, cells, nonce }),
        _ => Err("it is no answer".into()),
    }
}

fn read_header(content: &[u8]) -> Result<pb::AnswerHeader, String> {
    match wire::count(content, FRONTIER) {
        Some(logs) if logs <= limits::HEADS_MAX => {}
        _ => return Err("its header has too many logs, or is none".into()),
    }
    if wire::count(content, NOTES).is_none_or(|notes| notes > limits::ANSWER_NOTES_MAX) {
        return Err("its header has too many notes".into());
    }
    if wire::count(content, COVERAGE).is_none_or(|months| months > MONTHS_MAX.unsigned_abs() as usize) {
        return Err("its header has too many months".into());
    }
    pb::AnswerHeader::decode(content).map_err(|_| "its header does not read".into())
}

fn read_cell(content: &[u8], asked: &Asked<'_>, last: Option<&Cell>) -> Result<Cell, String> {
    let cell = pb::Cell::decode(content).ok().and_then(|cell| cell_from_pb(&cell)).ok_or("a cell does not read")?;
    if !asked.admits(&cell) {
        return Err(format!("a cell about {} was not asked for, or has no possible value", cell.unit));
    }
    let place = |cell: &Cell| (cell.unit.clone(), cell.figure, cell.month, cell.sex, cell.age_group);
    if last.is_some_and(|last| place(last) >= place(&cell)) {
        return Err(format!("its cells about {} stand twice or out of order", cell.unit));
    }
    Ok(cell)
}

/// A child speaks of itself alone.
fn notes(notes: Vec<pb::Note>, child: &Node) -> Result<Vec<Note>, String> {
    let read = |note: pb::Note| {
        if note.node != child.id().as_str() {
            return Err("it has a note about another node".into());
        }
        if note.reason.len() > CODE_MAX || note.detail.len() > limits::ANSWER_NOTE_MAX {
            return Err("it has a note that is too long".into());
        }
        Ok(Note { node: child.id().clone(), reason: note.reason, detail: note.detail })
    };
    notes.into_iter().map(read).collect()
}

/// Every month of the period, with numbers that can be.
fn coverage(months: &[pb::MonthCoverage], asked: &Query) -> Result<Vec<Coverage>, String> {
    let (question, units) = (asked.question(), asked.list().len() as u64);
    let mut all = Vec::with_capacity(months.len());
    for (month, of) in question.from().through(question.to()).zip(months) {
        let counts = of.on_time <= of.closed && of.closed <= of.reporting && of.reporting <= of.units;
        let people = (0..=of.residents).contains(&of.residents_closed) && of.residents <= VALUE_MAX;
        if of.month != month.ymm() || !counts || of.units > units || !people {
            return Err(format!("what it says of how complete {month} is cannot be"));
        }
        all.push(Coverage {
            month,
            units: of.units,
            reporting: of.reporting,
            closed: of.closed,
            on_time: of.on_time,
            residents: of.residents,
            residents_closed: of.residents_closed,
        });
    }
    match all.len() == months.len() && question.to() - question.from() + 1 == i32::try_from(months.len()).unwrap_or(-1)
    {
        true => Ok(all),
        false => Err("it does not say of each month how complete it is".into()),
    }
}

fn frontier(entries: &[pb::FrontierEntry], child: &Node, directory: &Directory) -> Result<Vec<FrontierEntry>, String> {
    let mut frontier: Vec<FrontierEntry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let log: LogId = entry.log.parse().map_err(|_| "its frontier names no log")?;
        if *log.stream() != Stream::Records || !directory.lineage(log.node()).any(|node| node == child.id()) {
            return Err(format!("{log} is not a log of its records"));
        }
        if entry.size == 0 || frontier.last().is_some_and(|last| last.log >= log) {
            return Err(format!("{log} is empty, stands twice or out of order in its frontier"));
        }
        frontier.push(FrontierEntry { log, size: entry.size, recorded_at_ms: entry.recorded_at_ms });
    }
    Ok(frontier)
}
