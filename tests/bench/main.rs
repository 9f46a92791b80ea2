//! The benchmark: one command, a table on stdout and JSON where asked for, every figure beside its baseline in the same run. It measures
//! and says what it measured; nothing fails because a machine is slow. See README.md beside this file.

mod backlog;
mod bulk;
mod cluster;
mod conditions;
mod cpu;
mod cube;
mod data;
mod figures;
mod growth;
mod hops;
mod ingest;
mod latency;
mod proxy;
mod replication;
mod residents;
mod stages;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use tokio::runtime::Runtime;

use cluster::Cluster;
use figures::Report;
use world::Place;

/// Measures Danso on this machine.
#[derive(Debug, Parser)]
#[command(name = "danso-bench")]
struct Args {
    /// One small round, to see that everything still runs; judges nothing.
    #[arg(long)]
    quick: bool,
    /// Go up to ten million changes where the register grows.
    #[arg(long)]
    full: bool,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Rounds; the median of them counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Households a commune (median), for the 34 communes of the ingest.
    #[arg(long, default_value_t = 1_000)]
    households: usize,
    /// Households of the one commune of the hops.
    #[arg(long, default_value_t = 12_000)]
    commune_households: usize,
    /// Changes of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    changes: u64,
    /// Residents in the cube.
    #[arg(long, default_value_t = 10_000_000)]
    residents: u64,
    /// Measure these parts only.
    #[arg(long, value_delimiter = ',', value_enum)]
    parts: Vec<Part>,
    /// Stores of the parts that are measured in one process.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "sqlite,postgres")]
    stores: Vec<Kind>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A node takes in what its children send.
    Ingest,
    /// Where its time goes.
    Stages,
    /// Two ways of writing many rows to PostgreSQL.
    Bulk,
    /// The whole way with processes, beside logical replication.
    Hops,
    /// One change on an idle link.
    Latency,
    /// A large backlog arrives.
    Backlog,
    /// A change when the register is larger.
    Growth,
    /// Answers from a large cube.
    Cube,
}

/// Where a node keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if args.quick {
        (args.rounds, args.households, args.commune_households) = (1, 60, 200);
        (args.changes, args.residents) = (2_000, 20_000);
    }
    if args.parts.is_empty() {
        args.parts = Part::value_variants().to_vec();
    }
    ensure!(args.rounds > 0 && !args.stores.is_empty(), "at least one round, and one store");
    let dir = tempfile::Builder::new().prefix("danso-bench-").tempdir()?;
    let mut report = Report { quick: args.quick, ..Report::default() };
    conditions::note(&mut report);
    report.note("rounds", args.rounds);
    let mut bench = Bench { args: &args, report: &mut report, runtime: Runtime::new()?, cluster: None };
    for part in &args.parts {
        eprintln!("{part:?}");
        // A short name: the path of a unix socket has 107 bytes at most.
        let dir = dir.path().join("p");
        std::fs::create_dir(&dir)?;
        match part {
            // With the data of the ingest, at once with it where both are wanted.
            Part::Stages if args.parts.contains(&Part::Ingest) => {}
            Part::Ingest | Part::Stages => bench.ingest(&dir)?,
            Part::Bulk => bench.bulk()?,
            Part::Hops => bench.hops(&dir)?,
            Part::Latency => bench.latency(&dir)?,
            Part::Backlog => bench.backlog(&dir)?,
            Part::Growth => bench.growth(&dir)?,
            Part::Cube => bench.cube(&dir)?,
        }
        std::fs::remove_dir_all(&dir)?;
    }
    drop(bench);
    report.note("load at the end", conditions::load());
    print!("{}", report.table());
    if let Some(out) = &args.out {
        let text = serde_json::to_string_pretty(&report.json())? + "\n";
        std::fs::write(out, text).with_context(|| format!("{} cannot be written", out.display()))?;
    }
    Ok(())
}

/// A run of the benchmark.
struct Bench<'a> {
    args: &'a Args,
    report: &'a mut Report,
    runtime: Runtime,
    /// The server of the parts that want one.
    cluster: Option<Cluster>,
}

impl Bench<'_> {
    /// The server, started when it is first wanted.
    fn serve(&mut self) -> anyhow::Result<()> {
        if self.cluster.is_none() {
            let cluster = Cluster::start()?;
            self.report.note("PostgreSQL, as delivered, fsync and synchronous_commit on", cluster.version()?);
            self.cluster = Some(cluster);
        }
        Ok(())
    }

    /// The stores that are wanted, for a node with this directory.
    fn places(&self, dir: &Path) -> Vec<Place<'_>> {
        let place = |kind: &Kind| match kind {
            Kind::Sqlite => Some(Place::File(dir.join("receiver.db"))),
            Kind::Postgres => self.cluster.as_ref().map(|cluster| Place::Server(cluster, dir.join("beside.db"))),
        };
        self.args.stores.iter().filter_map(place).collect()
    }

    fn serve_if_wanted(&mut self) -> anyhow::Result<()> {
        if self.args.stores.contains(&Kind::Postgres) { self.serve() } else { Ok(()) }
    }

    fn ingest(&mut self, dir: &Path) -> anyhow::Result<()> {
        self.serve_if_wanted()?;
        let data = data::simulate(dir, if self.args.quick { 4 } else { 34 }, self.args.households)?;
        self.report.note("data of the ingest", data.what());
        let world = self.runtime.block_on(world::World::build(dir, &data))?;
        let mut figures = Vec::new();
        for place in self.places(dir) {
            let rounds = self.args.rounds;
            if self.args.parts.contains(&Part::Ingest) {
                figures.extend(self.runtime.block_on(ingest::measure(dir, &data, &world, rounds, &place))?);
            }
            if self.args.parts.contains(&Part::Stages) {
                figures.extend(self.runtime.block_on(stages::measure(&world, rounds, &place))?);
            }
        }
        self.report.figures.extend(figures);
        Ok(())
    }

    fn bulk(&mut self) -> anyhow::Result<()> {
        self.serve()?;
        let rows = if self.args.quick { 10_000 } else { 200_000 };
        if let Some(cluster) = &self.cluster {
            self.report.figures.extend(self.runtime.block_on(bulk::measure(cluster, rows, self.args.rounds))?);
        }
        Ok(())
    }

    fn hops(&mut self, dir: &Path) -> anyhow::Result<()> {
        let data = data::simulate(dir, 1, self.args.commune_households)?;
        self.report.note("data of the hops", data.what());
        self.report.figures.extend(hops::measure(dir, &data, self.args.rounds)?);
        Ok(())
    }

    fn latency(&mut self, dir: &Path) -> anyhow::Result<()> {
        let data = data::simulate(dir, 1, 500)?;
        let samples = if self.args.quick { 3 } else { 60 };
        self.report.figures.extend(latency::measure(dir, &data, samples)?);
        Ok(())
    }

    fn backlog(&mut self, dir: &Path) -> anyhow::Result<()> {
        let book = data::book(dir, backlog::COMMUNE, self.args.changes)?;
        self.report.note("data of the backlog", format!("a book of {} rows, generated", book.rows));
        self.report.figures.extend(backlog::measure(dir, &book, self.args.rounds)?);
        Ok(())
    }

    fn growth(&mut self, dir: &Path) -> anyhow::Result<()> {
        self.serve_if_wanted()?;
        let (sizes, households): (&[u64], usize) = match (self.args.quick, self.args.full) {
            (true, _) => (&[1_000, 3_000], 20),
            (_, false) => (&[10_000, 100_000, 1_000_000], 400),
            (_, true) => (&[10_000, 100_000, 1_000_000, 10_000_000], 400),
        };
        let steps = self.runtime.block_on(growth::Steps::make(dir, sizes, households))?;
        let mut figures = Vec::new();
        for place in self.places(dir) {
            figures.extend(self.runtime.block_on(steps.measure(&place, self.args.rounds))?);
        }
        self.report.figures.extend(figures);
        Ok(())
    }

    fn cube(&mut self, dir: &Path) -> anyhow::Result<()> {
        self.serve_if_wanted()?;
        let large = self.runtime.block_on(cube::Large::make(dir, self.args.residents))?;
        let made = format!(
            "generated: what 34 simulated communes count, given to {} communes in turn; {} rows of the cube, {} residents",
            large.communes, large.rows, large.residents
        );
        self.report.note("data of the cube", made);
        let mut figures = Vec::new();
        for place in self.places(dir) {
            figures.extend(self.runtime.block_on(large.measure(dir, &place, self.args.rounds))?);
        }
        self.report.figures.extend(figures);
        Ok(())
    }
}
