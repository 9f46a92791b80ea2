//! Ways of putting many rows into PostgreSQL at a time, for the shape of the table `person`: one array a column (`UNNEST`), as the store does it
//! with rows that may be there; `COPY` into a staging table with one `INSERT` from there; and, for rows that are known to be new, without looking for
//! conflicts, also with `COPY` straight into the table, as the store does it. Knows nothing of nodes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::cluster::Cluster;
use crate::figures::{Figure, rate};

const GROUP: &str = "rows into PostgreSQL, as the store's table of persons";
/// Rows a statement, as in the store.
const ROWS: usize = 4_000;
/// Bytes that a person takes in the table, about.
const DATA: usize = 60;

const TABLE: &str = "CREATE TABLE person (id BYTEA NOT NULL PRIMARY KEY, unit TEXT COLLATE \"C\" NOT NULL, reference TEXT COLLATE \"C\",
                     data BYTEA NOT NULL);
                     CREATE INDEX person_reference ON person (unit, reference) WHERE reference IS NOT NULL;
                     CREATE UNLOGGED TABLE staging (id BYTEA, unit TEXT COLLATE \"C\", reference TEXT COLLATE \"C\", data BYTEA);
                     CHECKPOINT;";
const REPLACE: &str =
    " ON CONFLICT (id) DO UPDATE SET unit = excluded.unit, reference = excluded.reference, data = excluded.data";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Unnest,
    Binary,
    Text,
    /// Only rows that are new.
    Plain,
    Straight,
}

/// A row: id, unit, reference, data.
type Person = (Vec<u8>, String, String, Vec<u8>);

/// Measures each way with new rows, and with rows that are there and are replaced.
pub async fn measure(cluster: &Cluster, rows: usize, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let ways = [
        (Way::Unnest, "INSERT from UNNEST of one array a column"),
        (Way::Binary, "COPY BINARY to a staging table, INSERT from there"),
        (Way::Text, "COPY as text to a staging table, INSERT from there"),
        (Way::Plain, "INSERT from UNNEST, no conflicts looked for"),
        (Way::Straight, "COPY BINARY straight into the table"),
    ];
    let mut all: [[Vec<f64>; 2]; 5] = Default::default();
    for _ in 0..rounds {
        for ((way, _), [new, replaced]) in ways.iter().zip(&mut all) {
            cluster.fresh()?;
            let mut connection = PgConnection::connect(&cluster.url("bench")).await?;
            connection.execute("SET synchronous_commit = on; SET plan_cache_mode = force_custom_plan").await?;
            connection.execute(sqlx::raw_sql(TABLE)).await?;
            new.push(rate(rows as u64, put(&mut connection, *way, &persons(rows, 1)).await?));
            if !matches!(way, Way::Plain | Way::Straight) {
                replaced.push(rate(rows as u64, put(&mut connection, *way, &persons(rows, 2)).await?));
            }
            let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM person").fetch_one(&mut connection).await?;
            ensure!(count as usize == rows, "{count} of {rows} rows are there");
            connection.close().await?;
        }
    }
    let mut figures = Vec::new();
    for (case, what) in ["new rows", "rows that are replaced"].into_iter().enumerate() {
        let of = |way: usize| Figure::new(GROUP, format!("{what}: {}", ways[way].1), "rows/s", all[way][case].clone());
        let unnest = of(0);
        let base = unnest.median();
        figures.push(unnest);
        let others = if case == 0 { 1..ways.len() } else { 1..3 };
        figures.extend(others.map(|way| of(way).against("UNNEST", base)));
    }
    Ok(figures)
}

/// All rows in one transaction; what it took until it was durable.
async fn put(connection: &mut PgConnection, way: Way, persons: &[Person]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut tx = connection.begin().await?;
    for rows in persons.chunks(ROWS) {
        match way {
            Way::Unnest | Way::Plain => {
                let conflict = if way == Way::Unnest { REPLACE } else { "" };
                let sql = "INSERT INTO person (id, unit, reference, data)
                           SELECT * FROM UNNEST($1::BYTEA[], $2::TEXT[], $3::TEXT[], $4::BYTEA[])";
                sqlx::query(sqlx::AssertSqlSafe(format!("{sql}{conflict}")))
                    .bind(rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>())
                    .bind(rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>())
                    .bind(rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>())
                    .bind(rows.iter().map(|row| row.3.clone()).collect::<Vec<_>>())
                    .execute(&mut *tx)
                    .await?;
            }
            Way::Straight => {
                let mut copy = tx.copy_in_raw("COPY person FROM STDIN WITH (FORMAT binary)").await?;
                copy.send(binary(rows)).await?;
                copy.finish().await?;
            }
            Way::Binary | Way::Text => {
                let (format, bytes) = match way {
                    Way::Binary => (" WITH (FORMAT binary)", binary(rows)),
                    _ => ("", text(rows)),
                };
                let mut copy = tx.copy_in_raw(&format!("COPY staging FROM STDIN{format}")).await?;
                copy.send(bytes).await?;
                copy.finish().await?;
                let sql = format!("INSERT INTO person (id, unit, reference, data) SELECT * FROM staging{REPLACE}");
                sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await?;
                // What was taken over goes: emptied as a whole, so that no dead rows are read.
                tx.execute("TRUNCATE staging").await?;
            }
        }
    }
    tx.commit().await?;
    Ok(start.elapsed())
}

/// Ids as they are made: ordered by time, a part of them drawn.
fn persons(rows: usize, version: u8) -> Vec<Person> {
    let mut random = danso_tests::process::Random(7);
    let person = |n: usize| {
        let mut id = (n as u64 / 500).to_be_bytes().to_vec();
        id.extend_from_slice(&random.below(u64::MAX).to_be_bytes());
        let data = (0..DATA).map(|byte| (byte as u8).wrapping_mul(7) ^ version).collect();
        (id, format!("{:05}", 17_000 + n / 3_000), format!("{:07}.{}", n / 4, n % 4), data)
    };
    (0..rows).map(person).collect()
}

/// PostgreSQL's binary format: a head, each row its number of fields, each field its length and bytes, and an end.
fn binary(rows: &[Person]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (id, unit, reference, data) in rows {
        out.extend_from_slice(&4_i16.to_be_bytes());
        for field in [&id[..], unit.as_bytes(), reference.as_bytes(), &data[..]] {
            out.extend_from_slice(&(field.len() as i32).to_be_bytes());
            out.extend_from_slice(field);
        }
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    out
}

fn text(rows: &[Person]) -> Vec<u8> {
    let mut out = String::new();
    for (id, unit, reference, data) in rows {
        let [id, data] = [id, data].map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        out.push_str(&format!("\\\\x{id}\t{unit}\t{reference}\t\\\\x{data}\n"));
    }
    out.into_bytes()
}
