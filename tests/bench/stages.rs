//! Where ingest's time goes: the same packages through the same functions in the order in which the pipeline calls them, with a clock
//! read between, on one thread. What it adds up to is compared with the pipeline itself, so that a stage that it forgets shows.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use danso_core::cube::Batch;
use danso_core::ledger::{Entry, LogHead, append};
use danso_core::register::Intake;
use danso_core::rollup::{rolled, spread};
use danso_core::rules::{Rulebooks, alone};
use danso_core::verify::{Directory, verify};
use danso_node::store::{LogRow, Store};
use danso_proto::ids::LogId;
use danso_proto::package::{self, PACKAGE_ZSTD_LEVEL, Package};

use crate::figures::Figure;
use crate::world::{Author, Place, World};

#[derive(Default)]
struct Clock(BTreeMap<(u8, &'static str), Duration>);

impl Clock {
    fn add(&mut self, stage: (u8, &'static str), since: Instant) {
        *self.0.entry(stage).or_default() += since.elapsed();
    }
}

const DECODE: (u8, &str) = (0, "inflate, restore commitments (in the link)");
const OPEN: (u8, &str) = (1, "open: signature, decode, commitments of parts");
const VERIFY: (u8, &str) = (2, "verify scope and chain, append to the tree");
const INTAKE: (u8, &str) = (3, "facts from entries");
const PERSON_READ: (u8, &str) = (4, "read persons");
const PERSONS: (u8, &str) = (5, "persons: timelines and their counts");
const HOUSEHOLD_READ: (u8, &str) = (6, "read households");
const HOUSEHOLDS: (u8, &str) = (7, "households, sorting and folding counts");
const ENTRY_PUT: (u8, &str) = (8, "write entries");
const PERSON_PUT: (u8, &str) = (9, "write persons");
const HOUSEHOLD_PUT: (u8, &str) = (10, "write households");
const CUBE_PUT: (u8, &str) = (11, "write cube rows");
const ROLLUP: (u8, &str) = (12, "roll-ups: sum up, read, write");
const RULES: (u8, &str) = (13, "rules of each record by itself (families left out)");
const FINDINGS: (u8, &str) = (14, "findings, heads, units of logs");
const COMMIT: (u8, &str) = (15, "commit, checkpoint of the write-ahead log");

/// Measures the stages, in microseconds a change: of the books, then of the slips, whose persons are there by then.
pub async fn measure(world: &World, rounds: usize, place: &Place<'_>) -> anyhow::Result<Vec<Figure>> {
    let mut all: [Phase; 2] = Default::default();
    for _ in 0..rounds {
        let (store, pipeline) = world.node(place, &world.receiver).await?;
        let directory = pipeline.snapshot().directory_arc();
        let mut replay =
            Replay { clock: Clock::default(), directory: &directory, store: &store, logs: BTreeMap::new() };
        for (phase, count) in all.iter_mut().zip([book as Sent, slips]) {
            let logs = world.authors.iter().map(|author| count(author).0);
            for transaction in transactions(logs.collect()) {
                replay.transaction(&transaction).await?;
            }
            let changes: u64 = world.authors.iter().map(|author| count(author).1).sum();
            phase.take(std::mem::take(&mut replay.clock), changes as f64);
        }
        store.close().await;
    }
    let [books, slips] = all;
    let group = |what: &str| format!("where the time of {what} goes, one thread, {}", place.name());
    Ok([books.figures(&group("household books")), slips.figures(&group("slips"))].concat())
}

/// What an author sent in a phase, and how many changes it was.
type Sent = fn(&Author) -> (&[Package], u64);

fn book(author: &Author) -> (&[Package], u64) {
    (&author.book, author.book_changes)
}

fn slips(author: &Author) -> (&[Package], u64) {
    (&author.slips, author.slip_changes)
}

/// What the stages took in each round.
#[derive(Default)]
struct Phase {
    stages: BTreeMap<(u8, &'static str), Vec<f64>>,
    sums: Vec<f64>,
}

impl Phase {
    fn take(&mut self, clock: Clock, changes: f64) {
        let mut sum = 0.0;
        for (stage, took) in clock.0 {
            let micros = took.as_secs_f64() * 1e6 / changes;
            if stage != DECODE {
                sum += micros;
            }
            self.stages.entry(stage).or_default().push(micros);
        }
        self.sums.push(sum);
    }

    fn figures(self, group: &str) -> Vec<Figure> {
        let sum = Figure::new(group, "all but the link's part", "us/change", self.sums);
        let total = sum.median();
        let stage = |((_, name), rounds)| Figure::new(group, name, "us/change", rounds).against("all", total);
        self.stages.into_iter().map(stage).chain([sum]).collect()
    }
}

/// Packages as they come together in one transaction: a few of each log.
fn transactions(mut logs: Vec<&[Package]>) -> Vec<Vec<&Package>> {
    const JOBS: usize = 128;
    let mut all = Vec::new();
    let mut now = Vec::new();
    while logs.iter().any(|log| !log.is_empty()) {
        for log in &mut logs {
            let Some((first, rest)) = log.split_first() else { continue };
            *log = rest;
            now.push(first);
            if now.len() == JOBS {
                all.push(std::mem::take(&mut now));
            }
        }
    }
    all.push(now);
    all
}

struct Replay<'a> {
    clock: Clock,
    directory: &'a Directory,
    store: &'a Store,
    logs: BTreeMap<LogId, LogRow>,
}

impl Replay<'_> {
    async fn transaction(&mut self, packages: &[&Package]) -> anyhow::Result<()> {
        let mut entries: Vec<Entry> = Vec::new();
        for package in packages {
            let wire = package::encode(package, PACKAGE_ZSTD_LEVEL);
            let start = Instant::now();
            let package = package::decode(&wire)?;
            self.clock.add(DECODE, start);
            self.verify(package, &mut entries)?;
        }
        let (clock, logs) = (&mut self.clock, &mut self.logs);
        let (lists, books) = (rolled(self.directory.units()), Rulebooks::by(self.directory));
        let mut inside = Instant::now();
        self.store
            .run_tx("bench", async |tx| {
                let rows: Vec<&LogRow> = logs.values().collect();
                let start = Instant::now();
                let pks = tx.log_put(&rows).await?;
                for (row, pk) in logs.values_mut().zip(pks) {
                    row.pk = pk;
                }
                let units = entries.iter().flat_map(|entry| {
                    let pk = logs.get(entry.log()).map_or(0, |row| row.pk);
                    entry.change_set().changes.iter().map(move |change| (pk, change.unit.clone()))
                });
                let mut units: Vec<_> = units.collect();
                units.dedup();
                tx.log_unit_add(&units).await?;
                clock.add(FINDINGS, start);
                let start = Instant::now();
                let mut intake = Intake::default();
                entries.iter().for_each(|entry| intake.take(entry));
                let batch = Batch::new(std::mem::take(&mut intake.changes));
                clock.add(INTAKE, start);
                let start = Instant::now();
                let persons = tx.person_read(batch.person_ids()).await?;
                clock.add(PERSON_READ, start);
                let known: HashSet<_> = persons.iter().map(danso_core::register::Person::id).collect();
                let start = Instant::now();
                let batch = batch.with_persons(persons);
                clock.add(PERSONS, start);
                let start = Instant::now();
                let households = tx.household_read(batch.household_keys()).await?;
                clock.add(HOUSEHOLD_READ, start);
                let known_households: HashSet<_> = households.iter().map(|household| household.key().clone()).collect();
                let start = Instant::now();
                let outcome = batch.with_households(households);
                clock.add(HOUSEHOLDS, start);
                let start = Instant::now();
                tx.person_put(&outcome.persons, &known).await?;
                clock.add(PERSON_PUT, start);
                let start = Instant::now();
                tx.household_put(&outcome.households, &known_households).await?;
                tx.household_remove(&outcome.emptied).await?;
                clock.add(HOUSEHOLD_PUT, start);
                let start = Instant::now();
                tx.cube_add(&outcome.delta).await?;
                clock.add(CUBE_PUT, start);
                let start = Instant::now();
                tx.rollup_add(spread(&outcome.delta, &lists)).await?;
                clock.add(ROLLUP, start);
                let start = Instant::now();
                let mut suspicions = Vec::new();
                outcome.persons.iter().for_each(|person| alone(person, &books, &mut suspicions));
                clock.add(RULES, start);
                let start = Instant::now();
                tx.finding_remove(&known.into_iter().collect::<Vec<_>>()).await?;
                clock.add(FINDINGS, start);
                let start = Instant::now();
                let pk = |log: &LogId| logs.get(log).map_or(0, |row| row.pk);
                let keyed: Vec<(i64, Entry)> =
                    std::mem::take(&mut entries).into_iter().map(|entry| (pk(entry.log()), entry)).collect();
                tx.entry_append(&keyed).await?;
                clock.add(ENTRY_PUT, start);
                inside = Instant::now();
                Ok::<(), danso_node::store::Error>(())
            })
            .await?;
        self.clock.add(COMMIT, inside);
        Ok(())
    }

    fn verify(&mut self, package: Package, entries: &mut Vec<Entry>) -> anyhow::Result<()> {
        let row = self.logs.entry(package.log.clone()).or_insert_with(|| LogRow {
            pk: 0,
            log: package.log.clone(),
            head: LogHead::default(),
            checkpoint: None,
            recorded_at_ms: 0,
            committed_at_ms: 0,
            trouble: None,
        });
        for sealed in package.entries {
            let start = Instant::now();
            let opened = self.directory.open(sealed.envelope, sealed.parts)?;
            self.clock.add(OPEN, start);
            let start = Instant::now();
            let verified = verify(opened, self.directory, &row.head.position())?;
            entries.push(append(&mut row.head, verified));
            self.clock.add(VERIFY, start);
        }
        Ok(())
    }
}
