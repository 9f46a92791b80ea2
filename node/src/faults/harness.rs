//! Runs a piece of work once to count the points that it passes, and then again and again on copies of the same node, dying at each of
//! them. What every copy must still be is the caller's to check.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::Point;
use super::place::{self, Place};
use super::plan::{Names, Plan, copy_dir};

/// How much of a database is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything that the work decides: of entries and ids that are salted or drawn only how many there are.
    Meaning,
    /// Every byte of every table.
    Bytes,
}

/// A directory with a copy of `prepared`, and the guard that removes it.
pub(crate) fn copy_of(prepared: &Path) -> (Place, PathBuf) {
    let guard = Place::new();
    let dir = guard.path().join("node");
    if prepared.exists() {
        copy_dir(prepared, &dir);
        place::copy(prepared, &dir);
    }
    (guard, dir)
}

/// Does `work` once undisturbed in a copy of `prepared` and gives that copy to `finished`; then once for each point, dying there, and gives
/// `left` what the power cut left. Returns the points.
pub(crate) async fn die_everywhere(
    prepared: &Path,
    mut work: impl AsyncFnMut(PathBuf),
    mut finished: impl AsyncFnMut(PathBuf),
    mut left: impl AsyncFnMut(PathBuf, usize, Point),
) -> Vec<Point> {
    let (_guard, dir) = copy_of(prepared);
    let plan = Plan::count(&dir);
    work(dir.clone()).await;
    let points = plan.passed();
    drop(plan);
    finished(dir).await;
    for (at, point) in points.iter().enumerate() {
        // Names matter only while some are not synced.
        let both = matches!(point, Point::SyncNames | Point::Remove);
        for names in [Names::Kept, Names::Lost].into_iter().take(if both { 2 } else { 1 }) {
            let (_guard, dir) = copy_of(prepared);
            let plan = Plan::die(&dir, at, names);
            work(dir).await;
            assert_eq!(plan.passed().last(), Some(point), "the work passes the same points every time");
            let (_copy, dir) = plan.left();
            left(dir, at, *point).await;
        }
    }
    points
}

/// Does `work` in copies of `prepared` once for each of `points`, with no room on the disk from there for `length` points, and gives each copy to
/// `after`.
pub(crate) async fn full_everywhere(
    prepared: &Path,
    points: usize,
    length: usize,
    mut work: impl AsyncFnMut(PathBuf),
    mut after: impl AsyncFnMut(PathBuf, usize),
) {
    for at in 0..points {
        let (_guard, dir) = copy_of(prepared);
        let plan = Plan::full(&dir, at..at + length);
        work(dir.clone()).await;
        drop(plan);
        after(dir, at).await;
    }
}

const MEANING: &[(&str, &str)] = &[
    ("log", "name, size, reason"),
    // By name: a server gives no number twice, also when what it was given for is undone.
    ("entry", "(SELECT name FROM log WHERE log.id = entry.log), sequence, changes"),
    ("log_unit", "(SELECT name FROM log WHERE log.id = log_unit.log), unit"),
    ("person", "unit, reference"),
    ("household", "unit, number"),
    ("cube", "unit, measure, month, data"),
    ("rollup", "list, unit, stock, span"),
    ("finding", "(SELECT name FROM log WHERE log.id = finding.log), sequence, unit, reason"),
    ("finding_answer", "(SELECT name FROM log WHERE log.id = finding_answer.log), sequence, reason, unit"),
    ("kin", "(SELECT reference FROM person WHERE person.id = kin.child)"),
    ("unnamed", "unit, due"),
    ("period", "unit, month"),
    ("population", "unit, span, residents"),
    ("arrival", "(SELECT name FROM log WHERE log.id = arrival.log), size"),
    ("source", "unit, form, key, digest, birth"),
    ("waiting", "unit, slip_no, missing_unit, missing, kind, slip, reason"),
    ("receipt", "log, giver, size, time_s, note"),
    ("evidence", "log, ours, theirs"),
    ("invite", "unit, used_by, again"),
];

/// A database that nobody uses.
enum Closed {
    File(sqlx::SqliteConnection),
    Server(sqlx::PgConnection),
}

impl Closed {
    async fn at(dir: &Path) -> Self {
        match place::connection_for(dir).await {
            Some(connection) => Self::Server(connection),
            None => {
                let options = SqliteConnectOptions::new().filename(dir.join("danso.db"));
                Self::File(options.connect().await.expect("a database"))
            }
        }
    }

    /// One column of text.
    async fn texts(&mut self, sql: String) -> Vec<String> {
        let sql = sqlx::AssertSqlSafe(sql);
        match self {
            Self::File(db) => sqlx::query_scalar(sql).fetch_all(db).await.expect("rows"),
            Self::Server(db) => sqlx::query_scalar(sql).fetch_all(db).await.expect("rows"),
        }
    }

    /// How a table's columns are asked for, and how a value is made text.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::File(_) => ("pragma_table_info('{table}')", "quote"),
            Self::Server(_) => (
                "(SELECT column_name::TEXT AS name FROM information_schema.columns WHERE table_name = '{table}'
                  ORDER BY ordinal_position) AS columns",
                "quote_nullable",
            ),
        }
    }
}

/// What the tables of a closed node hold, as text that can be compared.
pub(crate) async fn content(dir: &Path, detail: Detail) -> String {
    let mut db = Closed::at(dir).await;
    let (columns_of, quote) = db.words();
    let mut text = String::new();
    for (table, columns) in MEANING {
        let columns = match detail {
            Detail::Meaning => (*columns).to_owned(),
            Detail::Bytes => {
                let names = db.texts(format!("SELECT name FROM {}", columns_of.replace("{table}", table))).await;
                names.join(", ")
            }
        };
        let quoted: Vec<String> = columns.split(", ").map(|column| format!("{quote}({column})")).collect();
        let rows = db.texts(format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ' ' || "))).await;
        text.push_str(&format!("{table}\n  {}\n", rows.join("\n  ")));
    }
    text
}
