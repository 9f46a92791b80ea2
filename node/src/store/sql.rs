//! One way of speaking to two databases: statements with `$1`, `$2`, values and rows, and many rows a statement. What the databases say in
//! different words (lists of rows, types) is said here and nowhere else.
//!
//! Many rows go to SQLite as `VALUES (?, ?), (?, ?)` and to PostgreSQL as one array a column, `UNNEST($1::BIGINT[], $2::TEXT[])`; both stand
//! where a statement says `{rows}`, behind `INSERT INTO t (a, b)` as well as in `(a, b) IN ({rows})`.

use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Column as _, ColumnIndex, Database, Decode, Encode, Postgres, Row as _, Sqlite, Type, TypeInfo as _,
    ValueRef as _,
};

use tokio_util::sync::CancellationToken;

use super::{Error, Result, Tx};

mod added;

/// Rows a statement in SQLite: where the measured rate of multi-row inserts is flat, and well below its 32,766 variables. Statements of just
/// so many rows are kept prepared; those for the rest of a batch are of any length, and would fill the cache and drive the others out.
const ROWS_SQLITE: usize = 400;
/// Rows a statement in PostgreSQL: the rate is flat from 200 to 20,000.
const ROWS_POSTGRES: usize = 4_000;
/// Where the rows stand in a statement about many.
const MARK: &str = "{rows}";

/// An open transaction of one of the databases.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(Served),
}

/// An open transaction of a server, and whether that is still there: a machine that loses its power closes no connection, and an answer would be
/// waited for without end.
pub(super) struct Served {
    pub(super) tx: sqlx::Transaction<'static, Postgres>,
    pub(super) lost: CancellationToken,
}

/// What a server answers, or that it is lost.
pub(super) async fn or_lost<T>(
    lost: &CancellationToken,
    asked: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    lost.run_until_cancelled(asked).await.unwrap_or_else(|| {
        let gone = "the server does not answer any more";
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, gone)))
    })
}

impl Transaction {
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(Served { tx, lost, .. }) => or_lost(&lost, tx.commit()).await,
        }
    }

    pub(super) async fn rollback(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(Served { tx, lost, .. }) => or_lost(&lost, tx.rollback()).await,
        }
    }
}

/// What a statement gets. A value that is not there has a type all the same: PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

macro_rules! value_from {
    ($($of:ty => $kind:ident($value:ident) $make:expr;)*) => {$(
        impl From<$of> for Value {
            fn from($value: $of) -> Self {
                Self::$kind(Some($make))
            }
        }
        impl From<Option<$of>> for Value {
            fn from(value: Option<$of>) -> Self {
                Self::$kind(value.map(|$value| $make))
            }
        }
    )*};
}

value_from! {
    i64 => Int(value) value;
    i32 => Int(value) value.into();
    u8 => Int(value) value.into();
    u16 => Int(value) value.into();
    bool => Int(value) value.into();
    // Sequences and sizes: none that is kept is beyond i64, and one that is asked for is beyond all that is kept.
    u64 => Int(value) i64::try_from(value).unwrap_or(i64::MAX);
    usize => Int(value) i64::try_from(value).unwrap_or(i64::MAX);
    String => Text(value) text(value);
    &str => Text(value) text(value.to_owned());
    &String => Text(value) text(value.clone());
    Vec<u8> => Blob(value) value;
    &[u8] => Blob(value) value.to_vec();
    &[u8; 16] => Blob(value) value.to_vec();
    &[u8; 32] => Blob(value) value.to_vec();
    &[u8; 12] => Blob(value) value.to_vec();
}

/// PostgreSQL takes no text with the character 0 in it. Others can sign one, and must not stop anybody with it; no form holds one.
/// Rows that are derived hold such texts: whoever changes what is made of them gives the rules of the register a new number (`register::Rules`).
fn text(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

/// The values of one column.
enum Column {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Blob(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn of(value: &Value, rows: usize) -> Self {
        match value {
            Value::Int(_) => Self::Int(Vec::with_capacity(rows)),
            Value::Text(_) => Self::Text(Vec::with_capacity(rows)),
            Value::Blob(_) => Self::Blob(Vec::with_capacity(rows)),
        }
    }

    /// A value of another type than the column's stands for none; the rows of one statement are made by one piece of code.
    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Int(column), Value::Int(value)) => column.push(value),
            (Self::Text(column), Value::Text(value)) => column.push(value),
            (Self::Blob(column), Value::Blob(value)) => column.push(value),
            (Self::Int(column), _) => column.push(None),
            (Self::Text(column), _) => column.push(None),
            (Self::Blob(column), _) => column.push(None),
        }
    }

    fn array(&self) -> &'static str {
        match self {
            Self::Int(_) => "BIGINT[]",
            Self::Text(_) => "TEXT[]",
            Self::Blob(_) => "BYTEA[]",
        }
    }
}

/// What a column can be read as, in both databases.
pub(super) trait Cell<'r>: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}
impl<'r, T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>> Cell<'r> for T {}

/// A row that was read.
pub(super) struct Row {
    of: Of,
    during: &'static str,
}

enum Of {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// `Damaged`: what is there is no such value, and never was written.
    pub(super) fn get<'r, T: Cell<'r>>(
        &'r self,
        column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    ) -> Result<T> {
        let value = match &self.of {
            Of::Sqlite(row) => row.try_get(column),
            Of::Postgres(row) => row.try_get(column),
        };
        value.map_err(|error| Error::database(self.during, error))
    }

    /// A column that says yes or no.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn flag(&self, column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow>) -> Result<bool> {
        Ok(self.get::<i64>(column)? != 0)
    }

    /// How many columns it has.
    pub(super) fn len(&self) -> usize {
        match &self.of {
            Of::Sqlite(row) => row.len(),
            Of::Postgres(row) => row.len(),
        }
    }

    /// The value of a column, whatever it is.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn value(&self, column: usize) -> Result<Value> {
        let failed = |error| Error::database(self.during, error);
        // Whole tables are read with this: nothing is made that is not asked for.
        let none = |name: &str| match name {
            "INTEGER" | "INT8" => Value::Int(None),
            "TEXT" => Value::Text(None),
            _ => Value::Blob(None),
        };
        let kind = match &self.of {
            Of::Sqlite(row) => none(row.try_get_raw(column).map_err(failed)?.type_info().name()),
            Of::Postgres(row) => none(row.column(column).type_info().name()),
        };
        Ok(match kind {
            Value::Int(_) => Value::Int(self.get(column)?),
            Value::Text(_) => Value::Text(self.get(column)?),
            Value::Blob(_) => Value::Blob(self.get(column)?),
        })
    }
}

/// A statement with its values.
struct Statement {
    sql: String,
    values: Vec<Value>,
    /// Behind the values.
    columns: Vec<Column>,
    /// Whether it is kept prepared.
    persistent: bool,
}

impl Statement {
    /// About nothing but `values`.
    fn one(sql: &str, values: Vec<Value>) -> Self {
        Self { sql: sql.to_owned(), values, columns: Vec::new(), persistent: true }
    }

    /// About many rows, for SQLite. The rows' places have no names: names are looked for one after the other, for each value among those of
    /// the whole statement, and thousands of them cost ten times what the rows do. What has no name goes by its order, so `values` stand behind.
    fn listed(sql: &str, values: Vec<Value>, rows: Vec<Vec<Value>>) -> Self {
        let (count, columns) = (rows.len(), rows.first().map_or(0, Vec::len));
        let row = format!("({})", vec!["?"; columns].join(", "));
        let list = format!("VALUES {}", vec![&*row; count].join(", "));
        let sql = renumbered(sql, count * columns).replace(MARK, &list);
        let values = rows.into_iter().flatten().chain(values).collect();
        Self { sql, values, columns: Vec::new(), persistent: count == ROWS_SQLITE }
    }

    /// About many rows, for PostgreSQL.
    fn in_columns(sql: &str, values: Vec<Value>, rows: Vec<Vec<Value>>) -> Self {
        let count = rows.len();
        let mut columns: Vec<Column> = Vec::new();
        for row in rows {
            if columns.is_empty() {
                columns = row.iter().map(|value| Column::of(value, count)).collect();
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let arrays = columns.iter().zip(values.len() + 1..).map(|(column, at)| format!("${at}::{}", column.array()));
        let list = format!("SELECT * FROM UNNEST({})", arrays.collect::<Vec<_>>().join(", "));
        Self { sql: sql.replace(MARK, &list), values, columns, persistent: true }
    }

    fn query<DB>(self) -> Query<'static, DB, DB::Arguments>
    where
        for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
        for<'q> Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
        DB: Database + sqlx::database::HasStatementCache,
    {
        let mut query = sqlx::query::<DB>(AssertSqlSafe(self.sql)).persistent(self.persistent);
        for value in self.values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
            };
        }
        query
    }

    fn sqlite(self) -> Query<'static, Sqlite, <Sqlite as Database>::Arguments> {
        self.query()
    }

    fn postgres(mut self) -> Query<'static, Postgres, <Postgres as Database>::Arguments> {
        let columns = std::mem::take(&mut self.columns);
        columns.into_iter().fold(self.query(), |query, column| match column {
            Column::Int(column) => query.bind(column),
            Column::Text(column) => query.bind(column),
            Column::Blob(column) => query.bind(column),
        })
    }
}

/// A statement of which `$1` is `$(1 + by)`, and so on.
fn renumbered(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut renumbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = part[..digits].parse().unwrap_or(0);
        // Writing to a String cannot fail.
        let _ = write!(renumbered, "${}{}", number + by, &part[digits..]);
    }
    renumbered
}

impl Tx {
    fn about(&self, sql: &str, values: Vec<Value>, rows: Vec<Vec<Value>>) -> Statement {
        match &self.inner {
            Transaction::Sqlite(_) => Statement::listed(sql, values, rows),
            Transaction::Postgres(_) => Statement::in_columns(sql, values, rows),
        }
    }

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>> {
        let during = self.name;
        let rows = match &mut self.inner {
            Transaction::Sqlite(tx) => statement
                .sqlite()
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(|row| Row { of: Of::Sqlite(row), during }).collect()),
            Transaction::Postgres(Served { tx, lost, .. }) => or_lost(lost, statement.postgres().fetch_all(&mut **tx))
                .await
                .map(|rows| rows.into_iter().map(|row| Row { of: Of::Postgres(row), during }).collect()),
        };
        rows.map_err(self.failed())
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        self.pass()?;
        let done = match &mut self.inner {
            Transaction::Sqlite(tx) => statement.sqlite().execute(&mut **tx).await.map(|done| done.rows_affected()),
            Transaction::Postgres(Served { tx, lost, .. }) => {
                or_lost(lost, statement.postgres().execute(&mut **tx)).await.map(|done| done.rows_affected())
            }
        };
        done.map_err(self.failed())
    }

    /// Reads rows.
    pub(super) async fn rows(&mut self, sql: &str, values: impl Into<Vec<Value>>) -> Result<Vec<Row>> {
        self.fetch(Statement::one(sql, values.into())).await
    }

    /// Reads a row, if there is one.
    pub(super) async fn row(&mut self, sql: &str, values: impl Into<Vec<Value>>) -> Result<Option<Row>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Reads a number: the first column of the one row that there always is.
    pub(super) async fn number(&mut self, sql: &str, values: impl Into<Vec<Value>>) -> Result<i64> {
        let row = self.row(sql, values).await?;
        row.ok_or_else(|| Error::database(self.name, sqlx::Error::RowNotFound))?.get(0)
    }

    /// Reads rows one after the other, a few of them in memory at a time.
    pub(super) async fn each(&mut self, sql: &str, mut take: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        let (during, failed) = (self.name, self.failed());
        let statement = Statement::one(sql, Vec::new());
        match &mut self.inner {
            Transaction::Sqlite(tx) => {
                let mut rows = statement.sqlite().fetch(&mut **tx);
                while let Some(row) = rows.try_next().await.map_err(&failed)? {
                    take(&Row { of: Of::Sqlite(row), during })?;
                }
            }
            Transaction::Postgres(Served { tx, lost, .. }) => {
                let mut rows = statement.postgres().fetch(&mut **tx);
                while let Some(row) = or_lost(lost, rows.try_next()).await.map_err(&failed)? {
                    take(&Row { of: Of::Postgres(row), during })?;
                }
            }
        }
        Ok(())
    }

    /// Reads rows by many keys, which stand at `{rows}` behind `values`.
    pub(super) async fn rows_by<const N: usize>(
        &mut self,
        sql: &str,
        values: impl Into<Vec<Value>>,
        keys: impl IntoIterator<Item = [Value; N]>,
    ) -> Result<Vec<Row>> {
        let (values, mut found) = (values.into(), Vec::new());
        for chunk in self.chunks(keys) {
            let statement = self.about(sql, values.clone(), chunk);
            found.extend(self.fetch(statement).await?);
        }
        Ok(found)
    }

    /// Writes; how many rows it was about.
    pub(super) async fn write(&mut self, sql: &str, values: impl Into<Vec<Value>>) -> Result<u64> {
        self.execute(Statement::one(sql, values.into())).await
    }

    /// Writes many rows, which stand at `{rows}` behind `values`; how many were written.
    pub(super) async fn write_many(
        &mut self,
        sql: &str,
        values: impl Into<Vec<Value>>,
        rows: impl IntoIterator<Item = impl Into<Vec<Value>>>,
    ) -> Result<u64> {
        let (values, mut written) = (values.into(), 0);
        for chunk in self.chunks(rows) {
            let statement = self.about(sql, values.clone(), chunk);
            written += self.execute(statement).await?;
        }
        Ok(written)
    }

    /// As [`Tx::write_many`], and reads what the statement returns, in no order.
    pub(super) async fn write_returning<const N: usize>(
        &mut self,
        sql: &str,
        values: impl Into<Vec<Value>>,
        rows: impl IntoIterator<Item = [Value; N]>,
    ) -> Result<Vec<Row>> {
        let (values, mut found) = (values.into(), Vec::new());
        for chunk in self.chunks(rows) {
            self.pass()?;
            let statement = self.about(sql, values.clone(), chunk);
            found.extend(self.fetch(statement).await?);
        }
        Ok(found)
    }

    fn chunks(&self, rows: impl IntoIterator<Item = impl Into<Vec<Value>>>) -> Vec<Vec<Vec<Value>>> {
        let most = match &self.inner {
            Transaction::Sqlite(_) => ROWS_SQLITE,
            Transaction::Postgres(_) => ROWS_POSTGRES,
        };
        let mut chunks: Vec<Vec<Vec<Value>>> = Vec::new();
        for row in rows {
            match chunks.last_mut().filter(|chunk| chunk.len() < most) {
                Some(chunk) => chunk.push(row.into()),
                None => chunks.push(vec![row.into()]),
            }
        }
        chunks
    }
}
