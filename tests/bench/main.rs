//! The benchmark: one command, a table on stdout and JSON where asked for, every figure beside its baseline in the same run. It measures
//! and says what it measured; nothing fails because a machine is slow. See README.md beside this file.

mod backlog;
mod conditions;
mod data;
mod figures;
mod hops;
mod ingest;
mod proxy;
mod stages;
mod world;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use figures::Report;

/// Measures Danso on this machine.
#[derive(Debug, Parser)]
#[command(name = "danso-bench")]
struct Args {
    /// One small round, to see that everything still runs; judges nothing.
    #[arg(long)]
    quick: bool,
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
    backlog: u64,
    /// Measure these parts only.
    #[arg(long, value_delimiter = ',', default_value = "ingest,stages,hops,backlog")]
    parts: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    let mut communes = 34;
    if args.quick {
        (args.rounds, args.households, args.commune_households, args.backlog, communes) = (1, 60, 200, 2_000, 4);
    }
    let dir = tempfile::Builder::new().prefix("danso-bench-").tempdir()?;
    let mut report = Report { quick: args.quick, ..Report::default() };
    conditions::note(&mut report);
    report.note("rounds", args.rounds);
    let wants = |part: &str| args.parts.iter().any(|p| p == part);
    if wants("ingest") || wants("stages") {
        let runtime = tokio::runtime::Runtime::new()?;
        let data = data::simulate(dir.path(), communes, args.households)?;
        report.note("data of the ingest", data.what());
        let world = runtime.block_on(world::World::build(dir.path(), &data))?;
        if wants("ingest") {
            report.figures.extend(runtime.block_on(ingest::measure(dir.path(), &data, &world, args.rounds))?);
        }
        if wants("stages") {
            report.figures.extend(runtime.block_on(stages::measure(dir.path(), &world, args.rounds))?);
        }
    }
    if wants("hops") {
        // A short name: the path of a unix socket has 107 bytes at most.
        let dir = dir.path().join("h");
        std::fs::create_dir(&dir)?;
        let data = data::simulate(&dir, 1, args.commune_households)?;
        report.note("data of the hops", data.what());
        report.figures.extend(hops::measure(&dir, &data, args.rounds)?);
    }
    if wants("backlog") {
        let dir = dir.path().join("b");
        std::fs::create_dir(&dir)?;
        let book = data::book(&dir, backlog::COMMUNE, args.backlog)?;
        report.note("data of the backlog", format!("a book of {} rows, generated", book.rows));
        report.figures.extend(backlog::measure(&dir, &book, args.rounds)?);
    }
    report.note("load at the end", conditions::load());
    print!("{}", report.table());
    if let Some(out) = &args.out {
        let text = serde_json::to_string_pretty(&report.json())? + "\n";
        std::fs::write(out, text).with_context(|| format!("{} cannot be written", out.display()))?;
    }
    Ok(())
}
