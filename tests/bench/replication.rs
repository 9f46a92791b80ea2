//! What people would pick instead: PostgreSQL's logical replication of the same rows over three hops, commune to district to province to
//! central, each a cluster of its own, over TLS, durable at each. Knows nothing of Danso.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::data::PLAIN;

/// Rows a transaction at the commune.
const BATCH: usize = 500;
/// Between two looks at the central cluster.
const LOOK: Duration = Duration::from_millis(1);
const DATABASE: &str = "postgres";

/// Four clusters, from the commune to the centre.
pub struct Chain {
    clusters: Vec<Cluster>,
    script: PathBuf,
    rows: u64,
    runtime: Runtime,
}

impl Chain {
    /// Makes and starts them, and writes down what the commune will insert: the rows of `files`.
    pub fn start(dir: &Path, files: &[&Path]) -> anyhow::Result<Self> {
        let clusters = (0..4).map(|_| Cluster::replicating()).collect::<anyhow::Result<Vec<_>>>()?;
        for (place, cluster) in clusters.iter().enumerate() {
            cluster.say(DATABASE, &[PLAIN, "CREATE PUBLICATION up FOR TABLE plain"])?;
            if place > 0 {
                let from = clusters[place - 1].conninfo()?;
                let options = "WITH (synchronous_commit = on)";
                let sql = format!("CREATE SUBSCRIPTION s{place} CONNECTION '{from}' PUBLICATION up {options}");
                cluster.say(DATABASE, &[&sql])?;
            }
        }
        let script = dir.join("replicate.sql");
        let rows = write_script(&script, files)?;
        let chain = Self { clusters, script, rows, runtime: Runtime::new()? };
        // The first, empty copy of each table is over once a row has come through.
        chain.commune()?.say(DATABASE, &["INSERT INTO plain (key) VALUES ('first')"])?;
        chain.wait_for(1)?;
        Ok(chain)
    }

    /// Time from the first insert at the commune until all rows are at the centre: the links are up, rows travel while others are inserted.
    pub fn live(&self) -> anyhow::Result<Duration> {
        self.clear()?;
        let start = Instant::now();
        self.commune()?.run(DATABASE, &self.script)?;
        self.wait_for(self.rows)?;
        Ok(start.elapsed())
    }

    /// Time from the moment at which the district may take rows from the commune until all are at the centre: all were inserted before.
    pub fn backlog(&self) -> anyhow::Result<Duration> {
        self.clear()?;
        let district = &self.clusters[1];
        district.say(DATABASE, &["ALTER SUBSCRIPTION s1 DISABLE"])?;
        self.commune()?.run(DATABASE, &self.script)?;
        let start = Instant::now();
        district.say(DATABASE, &["ALTER SUBSCRIPTION s1 ENABLE"])?;
        self.wait_for(self.rows)?;
        Ok(start.elapsed())
    }

    fn commune(&self) -> anyhow::Result<&Cluster> {
        self.clusters.first().context("there are four")
    }

    /// Empties all four: what the commune empties is emptied above.
    fn clear(&self) -> anyhow::Result<()> {
        self.commune()?.say(DATABASE, &["TRUNCATE plain"])?;
        self.wait_for(0)?;
        self.clusters.iter().try_for_each(|cluster| cluster.say(DATABASE, &["CHECKPOINT"]).map(drop))
    }

    /// Until the central cluster has so many rows. Whole transactions become visible, and in their order: the last one's key is asked for.
    fn wait_for(&self, rows: u64) -> anyhow::Result<()> {
        let central = self.clusters.last().context("there are four")?;
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&central.url(DATABASE)).await?;
            let deadline = Instant::now() + Duration::from_secs(600);
            loop {
                let there: i64 = match rows {
                    0 | 1 => sqlx::query_scalar("SELECT COUNT(*) FROM plain").fetch_one(&mut connection).await?,
                    _ => {
                        let sql = "SELECT COUNT(*) FROM plain WHERE key = 'last'";
                        match sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await? {
                            0 => 0,
                            _ => sqlx::query_scalar("SELECT COUNT(*) FROM plain").fetch_one(&mut connection).await?,
                        }
                    }
                };
                if there as u64 == rows {
                    return Ok(());
                }
                ensure!(Instant::now() < deadline, "the rows do not come: {there} of {rows}");
                thread::sleep(LOOK);
            }
        })
    }
}

/// The rows as transactions of [`BATCH`] rows, each one `COPY`, the fastest way in; a row named `last` ends the last one.
fn write_script(to: &Path, files: &[&Path]) -> anyhow::Result<u64> {
    let mut lines = Vec::new();
    for file in files {
        lines.extend(BufReader::new(File::open(file)?).lines().collect::<Result<Vec<_>, _>>()?);
    }
    lines.push(format!("last{}", ",".repeat(11)));
    let mut out = String::new();
    for batch in lines.chunks(BATCH) {
        // Writing into a string does not fail.
        let _ = writeln!(out, "COPY plain FROM STDIN CSV;\n{}\n\\.", batch.join("\n"));
    }
    fs::write(to, out)?;
    Ok(lines.len() as u64)
}
