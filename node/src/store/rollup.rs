//! Roll-ups of the cube, derived like it: `danso_core::rollup` says what is in one.

use std::collections::BTreeMap;

use danso_core::question::RollupRead;
use danso_core::rollup::{RollupKey, Span, Sums};
use danso_proto::ids::UnitCode;

use super::sql::{Row, Value};
use super::{Error, Result, Tx, parsed};

/// Where the store keeps which unit lists the units above are summed up by: versions, a line each.
const META_LISTS: &str = "rollup_lists";
/// Sums of single units that are read at once when all are.
const SINGLE_AT_ONCE: i64 = 500;

impl Tx {
    /// The lists by which the units above are summed up.
    pub async fn rollup_lists(&mut self) -> Result<Vec<String>> {
        let lists = self.meta_get(META_LISTS).await?.unwrap_or_default();
        let lists = String::from_utf8(lists).map_err(|error| Error::inconsistent("meta", META_LISTS, error))?;
        Ok(lists.lines().map(str::to_owned).collect())
    }

    /// Says by which lists the units above are summed up, and gives those that are new among them: whoever names one adds its sums. All other sums of
    /// units above are dropped, whatever was said of them, so that nothing is ever added twice.
    pub async fn rollup_lists_put(&mut self, lists: &[&str]) -> Result<Vec<String>> {
        let kept = self.rollup_lists().await?;
        let (stay, new): (Vec<&str>, Vec<&str>) = lists.iter().partition(|list| kept.iter().any(|kept| kept == *list));
        let mut values: Vec<Value> = stay.iter().map(|list| (*list).into()).collect();
        // Of single units: those stay.
        values.push("".into());
        let places: Vec<String> = (1..=values.len()).map(|at| format!("${at}")).collect();
        self.write(&format!("DELETE FROM rollup WHERE list NOT IN ({})", places.join(", ")), values).await?;
        self.meta_put(META_LISTS, lists.join("\n").as_bytes()).await?;
        Ok(new.into_iter().map(str::to_owned).collect())
    }

    /// Adds to sums; those of which nothing is left are dropped, so that the same cube always has the same rows.
    pub async fn rollup_add(&mut self, mut sums: BTreeMap<RollupKey, Sums>) -> Result<()> {
        self.population_add(&sums).await?;
        let sql = "SELECT list, unit, stock, span, data FROM rollup WHERE (list, unit, stock, span) IN ({rows})";
        for row in &self.rows_by(sql, [], sums.keys().map(values)).await? {
            let (key, before) = (key(row)?, data(row)?);
            if let Some(sums) = sums.get_mut(&key) {
                sums.add_all(&before);
            }
        }
        let (none, some): (Vec<_>, Vec<_>) = sums.into_iter().partition(|(_, sums)| sums.is_empty());
        let sql = "INSERT INTO rollup (list, unit, stock, span, data) {rows}
                   ON CONFLICT (list, unit, stock, span) DO UPDATE SET data = excluded.data";
        let rows = some.iter().map(|(key, sums)| {
            let [list, unit, stock, span] = values(key);
            [list, unit, stock, span, sums.to_bytes().into()]
        });
        self.write_many(sql, [], rows).await?;
        let sql = "DELETE FROM rollup WHERE (list, unit, stock, span) IN ({rows})";
        self.write_many(sql, [], none.iter().map(|(key, _)| values(key))).await.map(drop)
    }

    /// Sums of single units, in their order: the first ones behind `after`.
    pub async fn rollup_single(&mut self, after: Option<&RollupKey>) -> Result<Vec<(RollupKey, Sums)>> {
        let sql = "SELECT list, unit, stock, span, data FROM rollup
                   WHERE list = '' AND (unit, stock, span) > ($1, $2, $3) ORDER BY unit, stock, span LIMIT $4";
        let [unit, stock, span] = match after {
            None => ["".into(), Value::from(0i64), i64::MIN.into()],
            Some(key) => [key.unit.as_str().into(), i64::from(key.stock).into(), key.span.code().into()],
        };
        let rows = self.rows(sql, [unit, stock, span, SINGLE_AT_ONCE.into()]).await?;
        rows.iter().map(|row| Ok((key(row)?, data(row)?))).collect()
    }

    /// Gives what `read` asks for of `units` by a `list` (empty: of each alone). In no particular order.
    pub async fn rollup_read(
        &mut self,
        list: &str,
        units: &[UnitCode],
        read: &RollupRead,
        mut take: impl FnMut(UnitCode, Span, Sums),
    ) -> Result<()> {
        let sql = "SELECT unit, span, data FROM rollup
                   WHERE list = $1 AND stock = $2 AND span BETWEEN $3 AND $4 AND unit IN ({rows})";
        for (stock, first, last) in read.ranges() {
            let values = [list.into(), i64::from(stock).into(), first.into(), last.into()];
            for row in self.rows_by(sql, values, units.iter().map(|unit| [unit.as_str().into()])).await? {
                take(parsed(row.get("unit")?, "rollup", "unit")?, span(&row)?, data(&row)?);
            }
        }
        Ok(())
    }
}

fn values(key: &RollupKey) -> [Value; 4] {
    [(*key.list).into(), key.unit.as_str().into(), i64::from(key.stock).into(), key.span.code().into()]
}

fn key(row: &Row) -> Result<RollupKey> {
    Ok(RollupKey {
        list: row.get::<&str>("list")?.into(),
        unit: parsed(row.get("unit")?, "rollup", "unit")?,
        stock: row.flag("stock")?,
        span: span(row)?,
    })
}

fn span(row: &Row) -> Result<Span> {
    let code = row.get("span")?;
    Span::from_code(code).ok_or_else(|| Error::inconsistent("rollup", "span", code))
}

fn data(row: &Row) -> Result<Sums> {
    Sums::from_bytes(row.get("data")?).map_err(|error| Error::inconsistent("rollup", "data", error))
}
