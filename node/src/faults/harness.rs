//! Runs a piece of work once to count the points that it passes, and then again and again on copies of the same node, dying at each of
//! them. What every copy must still be is the caller's to check.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::Point;
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
pub(crate) fn copy_of(prepared: &Path) -> (tempfile::TempDir, PathBuf) {
    let guard = tempfile::tempdir().expect("a directory");
    let dir = guard.path().join("node");
    if prepared.exists() {
        copy_dir(prepared, &dir);
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
    ("entry", "log, sequence, changes"),
    ("log_unit", "log, unit"),
    ("person", "unit, reference"),
    ("household", "unit, number"),
    ("cube", "unit, measure, month, recorded, sex, birth_month, detail, other, count"),
    ("finding", "log, sequence, unit, reason"),
    ("period", "unit, month"),
    ("source", "unit, form, key, digest, birth"),
    ("waiting", "unit, slip_no, missing_unit, missing, kind, slip, reason"),
    ("receipt", "log, giver, size, time_s, note"),
    ("evidence", "log, ours, theirs"),
    ("invite", "unit, used_by, again"),
];

/// What the tables of a closed node hold, as text that can be compared.
pub(crate) async fn content(dir: &Path, detail: Detail) -> String {
    let options = SqliteConnectOptions::new().filename(dir.join("danso.db"));
    let mut db = options.connect().await.expect("a database");
    let mut text = String::new();
    for (table, columns) in MEANING {
        let columns = match detail {
            Detail::Meaning => (*columns).to_owned(),
            Detail::Bytes => {
                let sql = sqlx::AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
                let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut db).await.expect("columns");
                names.join(", ")
            }
        };
        let quoted: Vec<String> = columns.split(", ").map(|column| format!("quote({column})")).collect();
        let sql = sqlx::AssertSqlSafe(format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ' ' || ")));
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut db).await.expect("rows");
        text.push_str(&format!("{table}\n  {}\n", rows.join("\n  ")));
    }
    text
}
