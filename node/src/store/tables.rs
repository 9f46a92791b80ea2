//! The tables of both databases, column by column, for whoever takes all of a node from one to the other. A test compares the list with what
//! the databases say of themselves, so that a table that is added is moved, too.

use super::sql::{Row, Value};
use super::{Result, Tx};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Blob,
}

use Kind::{Blob, Int, Text};

/// A table of a node.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Those of the primary key first, in its order. Row numbers that nothing points at are not among them: they say only in which order
    /// rows came.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// How many of the columns are its key.
    pub(super) key: usize,
    /// Bytes of a row, where rows can be so large that a few are a chunk.
    pub(super) bytes: Option<&'static str>,
    /// Its key is a number that the database gives.
    pub(super) is_numbered: bool,
}

impl Table {
    const fn new(name: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> Self {
        Self { name, columns, key, bytes: None, is_numbered: false }
    }

    const fn with_bytes(self, bytes: &'static str) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    const fn numbered(self) -> Self {
        Self { is_numbered: true, ..self }
    }

    fn list(&self, columns: usize) -> String {
        let names: Vec<&str> = self.columns.iter().take(columns).map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// Its columns, as a statement names them.
    pub(super) fn names(&self) -> String {
        self.list(self.columns.len())
    }

    /// The columns of its key, as a statement names them.
    pub(super) fn key_names(&self) -> String {
        self.list(self.key)
    }

    /// The columns of a row that was read in their order.
    pub(super) fn read(&self, row: &Row, columns: usize) -> Result<Vec<Value>> {
        let columns = self.columns.iter().take(columns).enumerate();
        columns
            .map(|(at, (_, kind))| {
                Ok(match kind {
                    Int => Value::Int(row.get(at)?),
                    Text => Value::Text(row.get(at)?),
                    Blob => Value::Blob(row.get(at)?),
                })
            })
            .collect()
    }
}

/// All but `meta`, of which some is about the database itself. What others point at comes first.
pub(super) const TABLES: [Table; 22] = [
    Table::new(
        "log",
        1,
        &[
            ("id", Int),
            ("name", Text),
            ("size", Int),
            ("root", Blob),
            ("tree", Blob),
            ("last_leaf", Blob),
            ("checkpoint", Text),
            ("recorded_at_ms", Int),
            ("committed_at_ms", Int),
            ("reason", Text),
            ("detail", Text),
        ],
    )
    .numbered(),
    Table::new(
        "entry",
        2,
        &[
            ("log", Int),
            ("sequence", Int),
            ("leaf", Blob),
            ("set_id", Blob),
            ("changes", Int),
            ("envelope", Blob),
            ("parts", Blob),
        ],
    )
    .with_bytes("length(envelope) + coalesce(length(parts), 0)"),
    Table::new("log_unit", 2, &[("log", Int), ("unit", Text)]),
    Table::new("person", 1, &[("id", Blob), ("unit", Text), ("reference", Text), ("data", Blob)]),
    Table::new("household", 2, &[("id", Blob), ("unit", Text), ("number", Text), ("data", Blob)]),
    Table::new("cube", 3, &[("unit", Text), ("measure", Int), ("month", Int), ("data", Blob)])
        .with_bytes("length(data)"),
    Table::new("rollup", 4, &[("list", Text), ("unit", Text), ("stock", Int), ("span", Int), ("data", Blob)])
        .with_bytes("length(data)"),
    Table::new(
        "finding",
        2,
        &[
            ("change", Blob),
            ("reason", Text),
            ("person", Blob),
            ("log", Int),
            ("sequence", Int),
            ("unit", Text),
            ("severity", Int),
            ("other", Blob),
            ("seen", Blob),
        ],
    ),
    Table::new(
        "finding_answer",
        3,
        &[
            ("log", Int),
            ("sequence", Int),
            ("answer", Blob),
            ("change", Blob),
            ("reason", Text),
            ("unit", Text),
            ("withdraws", Blob),
        ],
    ),
    Table::new("kin", 2, &[("mother", Blob), ("child", Blob)]),
    Table::new("unnamed", 1, &[("person", Blob), ("change", Blob), ("unit", Text), ("due", Int)]),
    Table::new("period", 2, &[("unit", Text), ("month", Int), ("change", Blob), ("recorded_at_ms", Int)]),
    Table::new("population", 2, &[("unit", Text), ("span", Int), ("residents", Int)]),
    Table::new("arrival", 2, &[("log", Int), ("at_step", Int), ("size", Int)]),
    Table::new(
        "source",
        3,
        &[
            ("unit", Text),
            ("form", Int),
            ("key", Text),
            ("digest", Blob),
            ("change", Blob),
            ("person", Blob),
            ("birth", Int),
        ],
    ),
    Table::new(
        "waiting",
        2,
        &[
            ("unit", Text),
            ("slip_no", Text),
            ("missing_unit", Text),
            ("missing", Text),
            ("kind", Text),
            ("slip", Blob),
            ("since_ms", Int),
            ("reason", Text),
        ],
    ),
    Table::new("receipt", 2, &[("log", Text), ("giver", Text), ("size", Int), ("time_s", Int), ("note", Text)]),
    Table::new("receipt_step", 3, &[("log", Text), ("giver", Text), ("size", Int), ("time_s", Int), ("note", Text)]),
    Table::new(
        "evidence",
        1,
        &[
            ("id", Int),
            ("log", Text),
            ("at_ms", Int),
            ("shown_by", Text),
            ("entries", Int),
            ("ours", Blob),
            ("theirs", Blob),
            ("root", Blob),
            ("proof", Blob),
        ],
    )
    .with_bytes("length(ours) + length(theirs) + length(proof)")
    .numbered(),
    Table::new(
        "invite",
        1,
        &[
            ("secret_hash", Blob),
            ("unit", Text),
            ("expires_at_ms", Int),
            ("used_by", Text),
            ("log_public_key", Blob),
            ("again", Int),
            ("node", Text),
        ],
    ),
    Table::new(
        "finding_state",
        2,
        &[
            ("change", Blob),
            ("reason", Text),
            ("log", Int),
            ("opened_at_ms", Int),
            ("closed_at_ms", Int),
            ("told", Int),
            ("due", Int),
        ],
    ),
    Table::new(
        "finding_said",
        3,
        &[
            ("giver", Text),
            ("change", Blob),
            ("reason", Text),
            ("opened_at_ms", Int),
            ("closed_at_ms", Int),
            ("severity", Int),
            ("other", Blob),
            ("seen", Blob),
        ],
    ),
];

/// How much is taken at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// Rows at most.
    pub(super) rows: usize,
    /// Bytes at most, where rows can be large; one row at least.
    pub(super) bytes: usize,
}

impl Tx {
    /// Rows of a table behind a key, in the order of the key.
    pub(super) async fn table_rows(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        chunk: Chunk,
    ) -> Result<Vec<Vec<Value>>> {
        let places: Vec<String> = (1..=table.key).map(|at| format!("${at}")).collect();
        let behind = match after {
            Some(_) => format!("WHERE ({}) > ({})", table.key_names(), places.join(", ")),
            None => String::new(),
        };
        let after = after.unwrap_or_default().to_vec();
        let (name, order) = (table.name, table.key_names());
        let mut most = chunk.rows;
        if let Some(bytes) = table.bytes {
            // The sizes first: a row is up to a few megabytes.
            let sql = format!("SELECT CAST({bytes} AS BIGINT) FROM {name} {behind} ORDER BY {order} LIMIT {most}");
            let mut sum = 0usize;
            let sizes = self.rows(&sql, after.clone()).await?;
            let fitting = sizes.iter().take_while(|row| {
                let size = row.get::<i64>(0).ok().and_then(|size| usize::try_from(size).ok());
                sum = sum.saturating_add(size.unwrap_or(usize::MAX));
                sum <= chunk.bytes
            });
            most = fitting.count().max(1);
        }
        let sql = format!("SELECT {} FROM {name} {behind} ORDER BY {order} LIMIT {most}", table.names());
        let rows = self.rows(&sql, after).await?;
        rows.iter().map(|row| table.read(row, table.columns.len())).collect()
    }

    /// The greatest key in a table.
    pub(super) async fn table_last(&mut self, table: &Table) -> Result<Option<Vec<Value>>> {
        let backwards = table.key_names().replace(", ", " DESC, ");
        let sql = format!("SELECT {} FROM {} ORDER BY {backwards} DESC LIMIT 1", table.key_names(), table.name);
        self.row(&sql, []).await?.map(|row| table.read(&row, table.key)).transpose()
    }

    /// Adds rows to a table.
    pub(super) async fn table_add(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<()> {
        self.add_many(table.name, &table.names(), rows).await
    }
}
