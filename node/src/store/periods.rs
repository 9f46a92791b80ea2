//! Months: which were declared complete, when entries arrived, and how many people live where. The first and the last are derived from the
//! entries; when something arrived is not in them.

use std::collections::{BTreeMap, HashMap};

use danso_core::calendar::Month;
use danso_core::cube::Measure;
use danso_core::period::{Closing, Closings};
use danso_core::register::PeriodEnd;
use danso_core::rollup::{FIRST_YEAR, RollupKey, Span, Sums};
use danso_proto::ids::{ChangeId, LogId, UnitCode};

use super::figures::month;
use super::sql::Value;
use super::{Result, Tx, change_id, parsed, unsigned};

/// Milliseconds in the step in which arrivals are kept: a minute, so that a backlog is one row and not one for each commit.
const ARRIVAL_STEP_MS: i64 = 60_000;
/// Units whose months are read together: five years of them are 24,000 rows.
const UNITS_AT_ONCE: usize = 400;

/// Where a statement that a month is complete stands, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosingRow {
    /// The statement.
    pub closing: Closing,
    /// The change that says so.
    pub change: ChangeId,
    /// The log that it is in.
    pub log: LogId,
    /// The entry.
    pub sequence: u64,
    /// When it was here, by our clock, Unix milliseconds, up to a minute early; `None`: before this was kept.
    pub arrived_at_ms: Option<i64>,
}

impl Tx {
    /// Notes which months were declared complete. Of several who say so the earliest by its author's clock stays, and of those the one with the lowest id, so
    /// that it does not matter which came first.
    pub async fn period_put(&mut self, periods: &[PeriodEnd]) -> Result<()> {
        let sql = "INSERT INTO period (unit, month, change, recorded_at_ms) {rows}
                   ON CONFLICT (unit, month) DO UPDATE SET change = excluded.change, recorded_at_ms = excluded.recorded_at_ms
                   WHERE (excluded.recorded_at_ms, excluded.change) < (period.recorded_at_ms, period.change)";
        // One row a statement for each key: PostgreSQL refuses to change a row twice in one.
        let mut first: BTreeMap<_, &PeriodEnd> = BTreeMap::new();
        for period in periods {
            let kept = first.entry((&period.unit, period.month.index())).or_insert(period);
            if (period.recorded_at_ms, period.change.as_bytes()) < (kept.recorded_at_ms, kept.change.as_bytes()) {
                *kept = period;
            }
        }
        let rows = first.into_values().map(|period| {
            [
                period.unit.as_str().into(),
                period.month.index().into(),
                period.change.as_bytes().into(),
                period.recorded_at_ms.into(),
            ]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// The months from `first` to `last` that were declared complete, of `units`.
    pub async fn period_list(&mut self, units: &[UnitCode], first: Month, last: Month) -> Result<Closings> {
        let sql = "SELECT unit, month, recorded_at_ms FROM period WHERE month BETWEEN $1 AND $2 AND unit IN ({rows})";
        let mut closings = Closings::default();
        for units in units.chunks(UNITS_AT_ONCE) {
            for row in &self.rows_by(sql, [first.index().into(), last.index().into()], codes(units)).await? {
                closings.add(Closing {
                    unit: parsed(row.get("unit")?, "period", "unit")?,
                    month: month(row.get("month")?)?,
                    recorded_at_ms: row.get("recorded_at_ms")?,
                });
            }
        }
        Ok(closings)
    }

    /// The statements about one month, by unit.
    pub async fn closings(&mut self, at: Month) -> Result<HashMap<UnitCode, ClosingRow>> {
        let sql = "SELECT period.unit, period.change, period.recorded_at_ms, log.name, entry.sequence,
                   (SELECT MIN(at_step) FROM arrival WHERE arrival.log = entry.log AND arrival.size > entry.sequence) AS arrived
                   FROM period JOIN entry ON entry.set_id = substr(period.change, 1, 12) JOIN log ON log.id = entry.log
                   WHERE period.month = $1 ORDER BY log.name";
        let mut closings = HashMap::new();
        for row in &self.rows(sql, [at.index().into()]).await? {
            let unit: UnitCode = parsed(row.get("unit")?, "period", "unit")?;
            let step: Option<i64> = row.get("arrived")?;
            let found = ClosingRow {
                closing: Closing { unit: unit.clone(), month: at, recorded_at_ms: row.get("recorded_at_ms")? },
                change: change_id(row.get("change")?, "period", "change")?,
                log: parsed(row.get("name")?, "log", "name")?,
                sequence: unsigned(row.get("sequence")?, "entry", "sequence")?,
                arrived_at_ms: step.and_then(arrived),
            };
            // Two authors can give their sets one id; who reads shall always see the same of them.
            closings.entry(unit).or_insert(found);
        }
        Ok(closings)
    }

    /// Notes that logs, by their row numbers, had grown to these sizes at `now_ms`.
    pub async fn arrival_put(&mut self, sizes: &BTreeMap<i64, u64>, now_ms: i64) -> Result<()> {
        let sql = "INSERT INTO arrival (log, at_step, size) {rows}
                   ON CONFLICT (log, at_step) DO UPDATE SET size = excluded.size WHERE excluded.size > arrival.size";
        let step = now_ms.div_euclid(ARRIVAL_STEP_MS);
        let rows = sizes.iter().map(|(log, size)| [(*log).into(), step.into(), (*size).into()]);
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// When the entries of a log were here: sizes and since when, Unix milliseconds (`None`: before this was kept), ascending by size. The first that covers an
    /// entry says it.
    pub async fn arrivals(&mut self, log: i64) -> Result<Vec<(u64, Option<i64>)>> {
        let rows =
            self.rows("SELECT size, at_step FROM arrival WHERE log = $1 ORDER BY size, at_step", [log.into()]).await?;
        let mut arrivals: Vec<(u64, Option<i64>)> = Vec::with_capacity(rows.len());
        // A clock that was set back makes a larger size the earlier one: what covers more covers this as well.
        let mut earliest = i64::MAX;
        for row in rows.iter().rev() {
            earliest = earliest.min(row.get("at_step")?);
            arrivals.push((unsigned(row.get("size")?, "arrival", "size")?, arrived(earliest)));
        }
        arrivals.reverse();
        Ok(arrivals)
    }

    /// Adds to how many people live in single units, told by what is added to their sums.
    pub(super) async fn population_add(&mut self, sums: &BTreeMap<RollupKey, Sums>) -> Result<()> {
        let added = |(key, sums): (&RollupKey, &Sums)| {
            let residents = sums.runs().filter(|(run, _)| run.measure == Measure::Residents);
            let count: i64 = residents.flat_map(|(_, births)| births.iter().map(|(_, count)| count)).sum();
            (key.list.is_empty() && key.stock && count != 0).then(|| (key.unit.clone(), key.span.code(), count))
        };
        let added: Vec<(UnitCode, i64, i64)> = sums.iter().filter_map(added).collect();
        let sql = "INSERT INTO population (unit, span, residents) {rows}
                   ON CONFLICT (unit, span) DO UPDATE SET residents = population.residents + excluded.residents";
        let rows = added.iter().map(|(unit, span, count)| [unit.as_str().into(), (*span).into(), (*count).into()]);
        self.write_many(sql, [], rows).await?;
        // The same cube always has the same rows.
        let sql = "DELETE FROM population WHERE residents = 0 AND (unit, span) IN ({rows})";
        let rows = added.iter().map(|(unit, span, _)| [unit.as_str().into(), (*span).into()]);
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// How many people live in each of `units` at the end of a month. Of months before the last one that all earlier ones are summed up in, nothing
    /// is told.
    pub async fn population(&mut self, units: &[UnitCode], at: Month) -> Result<HashMap<UnitCode, i64>> {
        if at < Span::Before.last() {
            return Ok(HashMap::new());
        }
        let january = Month::december(at.year() - 1).add_months(1);
        let years = Span::Year((at.year() - 1).max(FIRST_YEAR - 1)).code();
        let sql = "SELECT unit, CAST(SUM(residents) AS BIGINT) AS residents FROM population
                   WHERE (span BETWEEN $1 AND 0 OR span BETWEEN $2 AND $3) AND unit IN ({rows}) GROUP BY unit";
        let ranges = [years.into(), Span::Month(january).code().into(), Span::Month(at).code().into()];
        let rows = self.rows_by(sql, ranges, codes(units)).await?;
        rows.iter().map(|row| Ok((parsed(row.get("unit")?, "population", "unit")?, row.get("residents")?))).collect()
    }

    /// Of `units` those that some log speaks about, with our clock when such a log last grew.
    pub async fn spoken(&mut self, units: &[UnitCode]) -> Result<HashMap<UnitCode, i64>> {
        let sql = "SELECT unit, MAX(committed_at_ms) AS heard FROM log_unit JOIN log ON log.id = log_unit.log
                   WHERE unit IN ({rows}) GROUP BY unit";
        let rows = self.rows_by(sql, [], codes(units)).await?;
        rows.iter().map(|row| Ok((parsed(row.get("unit")?, "log_unit", "unit")?, row.get("heard")?))).collect()
    }
}

fn codes(units: &[UnitCode]) -> impl Iterator<Item = [Value; 1]> {
    units.iter().map(|unit| [unit.as_str().into()])
}

/// When something was here, from the minute that is kept; 0 stands for what was here before this was kept.
fn arrived(step: i64) -> Option<i64> {
    (step != 0).then(|| step.saturating_mul(ARRIVAL_STEP_MS))
}
