//! From the store to the cells of an answer: from roll-ups, or from rows of the cube where roll-ups do not tell the time apart that is asked about.

use danso_core::question::{Asked, Cell, CubeRow, RollupRead, add_up};
use danso_proto::ids::UnitCode;
use danso_proto::limits;
use danso_proto::refusal::Refusal;

use super::{Error, codec};
use crate::store::Tx;

/// Units whose rows are read at once: some tens of thousands of rows in the worst case, so that memory stays small.
pub(super) const UNITS_AT_ONCE: usize = 64;
/// Sums that are read at once, or those of one unit: at most some ten KiB each.
const SUMS_AT_ONCE: usize = 500;
/// Rows and counts, 16 bytes each, that are turned into cells at once.
const ROWS_AT_ONCE: usize = 100_000;
const COUNTS_AT_ONCE: usize = 1_000_000;
/// Months of units that are gone through at once: some microseconds each.
const MONTHS_AT_ONCE: usize = 6_000;
/// Cells, empty ones too, that are computed at once: 8 bytes each.
pub(super) const GRID_AT_ONCE: usize = 2_000_000;

/// What of a question is answered from here.
pub(super) enum Part<'a> {
    /// All of it.
    Whole,
    /// What is said about these units, and nothing about those below them.
    Units(&'a [UnitCode]),
}

impl Part<'_> {
    /// The units whose records are counted.
    pub(super) fn units(&self, asked: &Asked<'_>) -> Vec<UnitCode> {
        match self {
            Self::Whole => asked.units().map(|unit| unit.code.clone()).collect(),
            Self::Units(units) => units.to_vec(),
        }
    }
}

/// The cells, in canonical order, without zeros.
///
/// # Errors
/// `too_large`; faults of the store.
pub(super) async fn cells(tx: &mut Tx, asked: &Asked<'_>, part: &Part<'_>) -> Result<Vec<Cell>, Error> {
    match asked.rollups() {
        Some(read) => from_rollups(tx, asked, part, &read).await,
        None => from_rows(tx, asked, &part.units(asked)).await,
    }
}

async fn from_rollups(tx: &mut Tx, asked: &Asked<'_>, part: &Part<'_>, read: &RollupRead) -> Result<Vec<Cell>, Error> {
    let list = asked.list();
    let is_kept = tx.rollup_lists().await?.iter().any(|kept| kept == list.version());
    let (above, single): (Vec<UnitCode>, Vec<UnitCode>) = match part {
        Part::Whole if is_kept => {
            let sources = asked.sources().into_iter().map(|unit| unit.code.clone());
            sources.partition(|unit| list.children(unit).next().is_some())
        }
        part => (Vec::new(), part.units(asked)),
    };
    let at_once = (SUMS_AT_ONCE / read.spans().max(1)).clamp(1, UNITS_AT_ONCE);
    let most = units_at_once(asked);
    let mut cells = Gathered::default();
    for (list, units) in [(list.version(), above), ("", single)] {
        let (mut tally, mut of_units) = (asked.tally(), 0);
        for units in units.chunks(at_once.min(most)) {
            if of_units + units.len() > most || tally.len() >= COUNTS_AT_ONCE {
                cells.add(std::mem::replace(&mut tally, asked.tally()).cells())?;
                of_units = 0;
                // Others have their turn: what was counted took this thread some ten milliseconds.
                tokio::task::yield_now().await;
            }
            of_units += units.len();
            tx.rollup_read(list, units, read, |unit, span, sums| tally.sums(&unit, span, &sums)).await?;
        }
        cells.add(tally.cells())?;
    }
    Ok(add_up(cells.cells))
}

/// Units whose cells are computed at once: what they have at most is in memory together, also where it is empty, and every month of each is gone through.
fn units_at_once(asked: &Asked<'_>) -> usize {
    (GRID_AT_ONCE / asked.cells_each().max(1)).min(MONTHS_AT_ONCE / asked.months().max(1)).max(1)
}

async fn from_rows(tx: &mut Tx, asked: &Asked<'_>, units: &[UnitCode]) -> Result<Vec<Cell>, Error> {
    let plan = asked.plan();
    let mut cells = Gathered::default();
    let mut rows: Vec<CubeRow> = Vec::new();
    let mut of_units: usize = 0;
    // Rows of one unit are about one target, so that no more targets have cells at once than there are units.
    let grids_at_once = units_at_once(asked);
    // Cells of different rows add up, so that the rows need not be in memory together.
    for units in units.chunks(grids_at_once.min(UNITS_AT_ONCE)) {
        if of_units + units.len() > grids_at_once {
            cells.add(asked.evaluate(rows.drain(..)))?;
            of_units = 0;
        }
        of_units += units.len();
        for read in &plan {
            rows.append(&mut tx.cube_sum(units, read).await?);
        }
        if rows.len() >= ROWS_AT_ONCE {
            cells.add(asked.evaluate(rows.drain(..)))?;
            of_units = 0;
        }
    }
    cells.add(asked.evaluate(rows))?;
    Ok(add_up(cells.cells))
}

/// Cells that were found so far, no more than an answer may have.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) cells: Vec<Cell>,
    /// How much of an answer they take.
    bytes: usize,
}

impl Gathered {
    pub(super) fn add(&mut self, mut cells: Vec<Cell>) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(codec::cells_len(&cells));
        self.cells.append(&mut cells);
        if self.bytes > limits::ANSWER_BYTES_MAX {
            // The same cell can be there many times.
            self.cells = add_up(std::mem::take(&mut self.cells));
            self.bytes = codec::cells_len(&self.cells);
        }
        if self.bytes > limits::ANSWER_BYTES_MAX { Err(codec::too_large()) } else { Ok(()) }
    }
}
