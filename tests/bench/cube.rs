//! How soon a large cube answers. The rows of the cube are made, not taken in: simulated communes go through the product, and what they count
//! is given to every commune of the country in turn. The questions go the product's own way. Beside it the same questions in SQL to a table
//! of as many residents, as a register has one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use danso_core::calendar::Month;
use danso_core::cube::{CubeDelta, CubeKey, Measure};
use danso_core::question::Question;
use danso_core::rollup::spread;
use danso_core::tier::Tier;
use danso_core::units::UnitList;
use danso_node::answer::{Answers, Query};
use danso_node::keys::Signing;
use danso_node::store::{Store, Tx};
use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;

use crate::data::{self, Data};
use crate::figures::Figure;
use crate::ingest::{Sent, feed};
use crate::residents::{self, Register};
use crate::world::{self, Place, World};

/// Simulated communes that the others are made of.
const COMMUNES: usize = 34;
/// Persons in a simulated household, about.
const PERSONS: f64 = 3.06;
/// The last month asked about, and the first.
const MONTHS: (u32, u32) = (202_101, 202_112);
/// Communes whose rows are added in one transaction.
const AT_ONCE: usize = 64;
/// Births a round, each a transaction of its own.
const BIRTHS: usize = 20;
/// An answer is to be there by then.
const REACH_MS: f64 = 200.0;

/// The rows of a large cube, and of a register with as many residents, as files.
pub struct Large {
    world: World,
    list: Arc<UnitList>,
    /// Of the simulated communes, and the units that they stand for in turn.
    blocks: Vec<Vec<(CubeKey, i64)>>,
    units: Vec<UnitCode>,
    register: Register,
    pub residents: u64,
    pub rows: u64,
    pub communes: usize,
}

impl Large {
    /// Makes them, for about so many residents.
    pub async fn make(dir: &Path, residents: u64) -> anyhow::Result<Self> {
        let list = Arc::new(world::units()?);
        let all: Vec<&UnitCode> = list.at_tier(&list.root().code, Tier::Commune).map(|unit| &unit.code).collect();
        // Communes of some size, and as many as the country has at most.
        let communes = all.len().min((residents / 60) as usize).max(COMMUNES);
        let households = (residents as f64 / communes as f64 / PERSONS) as usize;
        let data = data::simulate(dir, COMMUNES, households.max(20))?;
        let world = World::build(dir, &data).await?;
        let blocks = blocks(dir, &world, &data).await?;
        // Spread over the country: every n-th of the list.
        let step = (all.len() / communes).max(1);
        let of: Vec<&UnitCode> = all.iter().copied().step_by(step).take(communes).collect();
        let rows = of.iter().zip(blocks.iter().cycle()).map(|(_, block)| block.len() as u64).sum();
        let register = residents::make(dir, &data, &list, &of)?;
        let residents = register.residents;
        let units = of.into_iter().cloned().collect();
        Ok(Self { world, blocks, units, register, residents, rows, communes, list })
    }

    /// Asks, in turn with the questions in SQL.
    pub async fn measure(&self, dir: &Path, place: &Place<'_>, rounds: usize) -> anyhow::Result<Vec<Figure>> {
        let (store, pipeline) = self.world.root(place).await?;
        self.load(&store, place).await?;
        let register = self.register.load(dir, place)?;
        let root = &self.world.root;
        let signing = Arc::new(Signing::new(root.signer.clone()));
        let answers = Answers::new(store.clone(), signing, root.id.clone(), self.world.clock.clone());
        let directory = pipeline.snapshot().directory_arc();
        let month = |ymm| Month::from_ymm(ymm);
        let (first, last) = (month(MONTHS.0)?, month(MONTHS.1)?);
        let country = &self.list.root().code;
        let province: UnitCode = "40".parse()?;
        let none: [&str; 0] = [];
        let question = |unit: &UnitCode, by, from, figures: &[&str], dimensions: &[&str]| {
            let question = Question::new(unit.clone(), by, (from, last), figures, dimensions, None)?;
            Query::new(self.list.clone(), question)
        };
        let single = question(country, None, last, &["residents"], &["age", "sex"])?;
        let groups = question(country, None, last, &["residents"], &["age_group", "sex"])?;
        let year = question(country, Some(Tier::Province), first, &none, &["month"])?;
        let below = question(&province, Some(Tier::Commune), first, &none, &["month"])?;
        let mut all: [Vec<f64>; 6] = Default::default();
        for _ in 0..rounds {
            for (query, took) in [&single, &groups, &year, &below].into_iter().zip(&mut all[..4]) {
                let start = Instant::now();
                let answer = answers.local(&directory, query).await?;
                took.push(ms(start.elapsed()));
                ensure!(!answer.cells.is_empty(), "an empty answer");
            }
            all[4].push(ms(register.pyramid(last)?));
            all[5].push(ms(register.year(first, last)?));
        }
        let one = self.one_birth(&store, rounds).await?;
        store.close().await;
        let group = format!("{} rows of the cube, {} residents, {}", self.rows, self.residents, place.name());
        let [single, groups, year, below, sql_pyramid, sql_year] = all;
        let figure = |name: &str, rounds| Figure::new(&group, name, "ms", rounds);
        let sql_pyramid = figure("SQL over the residents: national pyramid by single year", sql_pyramid);
        let sql_year =
            figure("SQL over residents and events: one year of all measures by month and province", sql_year);
        let [one, smallest] = one;
        let smallest = figure("the smallest commit of this store", smallest);
        let base_one = smallest.median();
        let (base_pyramid, base_year) = (sql_pyramid.median(), sql_year.median());
        let name = "SQL over the register";
        Ok(vec![
            figure("national pyramid by single year (an answer)", single).against(name, base_pyramid).at_most(REACH_MS),
            figure("national pyramid by five years (an answer)", groups).against(name, base_pyramid).at_most(REACH_MS),
            figure("one year of all measures by month and province (an answer)", year)
                .against(name, base_year)
                .at_most(REACH_MS),
            figure("one year of all measures of a province by month and commune (an answer)", below),
            sql_pyramid,
            sql_year,
            figure("one birth counted, in the cube and all its roll-ups, a transaction of its own", one)
                .against("the smallest commit", base_one),
            smallest,
        ])
    }

    /// What it takes to count one birth, in the cube and all its roll-ups, until it is durable, and the smallest transaction beside it.
    async fn one_birth(&self, store: &Store, rounds: usize) -> anyhow::Result<[Vec<f64>; 2]> {
        let last = Month::from_ymm(MONTHS.1)?;
        let unit = self.units.first().context("no commune")?;
        let key = |measure| CubeKey {
            unit: unit.clone(),
            month: last,
            recorded: last,
            measure,
            sex: Some(Sex::Female),
            birth_month: Some(last),
            detail: 0,
            other: None,
        };
        let mut took: [Vec<f64>; 2] = Default::default();
        for round in 0..rounds * BIRTHS {
            let delta: CubeDelta = [(key(Measure::Residents), 1), (key(Measure::Births), 1)].into_iter().collect();
            let start = Instant::now();
            let work = async |tx: &mut Tx| {
                tx.cube_add(&delta).await?;
                tx.rollup_add(spread(&delta, &[&*self.list])).await
            };
            store.run_tx("bench", work).await?;
            took[0].push(ms(start.elapsed()));
            let start = Instant::now();
            store.run_tx("bench", async |tx: &mut Tx| tx.meta_put("bench", &round.to_le_bytes()).await).await?;
            took[1].push(ms(start.elapsed()));
        }
        Ok(took)
    }

    /// Adds the rows to the cube, which is empty, and to the roll-ups, a few communes at a time, as the pipeline does it.
    async fn load(&self, store: &Store, place: &Place<'_>) -> anyhow::Result<()> {
        let lists = [&*self.list];
        let all: Vec<(&UnitCode, &Vec<(CubeKey, i64)>)> = self.units.iter().zip(self.blocks.iter().cycle()).collect();
        for some in all.chunks(AT_ONCE) {
            let row = |unit: &UnitCode, (key, count): &(CubeKey, i64)| {
                (CubeKey { unit: unit.clone(), ..key.clone() }, *count)
            };
            let delta: CubeDelta = some.iter().flat_map(|(unit, block)| block.iter().map(|of| row(unit, of))).collect();
            let work = async |tx: &mut Tx| {
                tx.cube_add(&delta).await?;
                tx.rollup_add(spread(&delta, &lists)).await
            };
            store.run_tx("bench", work).await?;
        }
        if let Place::Server(cluster, _) = place {
            cluster.psql(&["VACUUM ANALYZE cube", "VACUUM ANALYZE rollup", "CHECKPOINT"])?;
        }
        Ok(())
    }
}

/// What the cube of each simulated commune holds.
async fn blocks(dir: &Path, world: &World, data: &Data) -> anyhow::Result<Vec<Vec<(CubeKey, i64)>>> {
    let file = dir.join("template.db");
    let (store, pipeline) = world.node(&Place::File(file), &world.receiver).await?;
    for part in [|author: &world::Author| author.book.clone(), |author: &world::Author| author.slips.clone()] {
        let sent = world.authors.iter().map(|author| part(author).iter().map(|p| Sent::new(p, false)).collect());
        feed(&pipeline, sent.collect()).await?;
    }
    let mut all = Vec::new();
    let mut tx = store.read("bench").await?;
    for commune in &data.communes {
        let mut rows = Vec::new();
        for measure in Measure::ALL {
            let take = |key, count| rows.push((key, count));
            tx.cube_read(&[commune.code.parse()?], measure, None, Month::december(9999), take).await?;
        }
        all.push(rows);
    }
    drop(tx);
    store.close().await;
    Ok(all)
}

/// Runs commands of the `sqlite3` tool: how long it took, and what it printed.
pub fn sqlite(database: &Path, commands: &[&str]) -> anyhow::Result<(Duration, String)> {
    let mut command = Command::new("sqlite3");
    command.arg("-bail").arg(database).args(commands);
    let start = Instant::now();
    let ended = command.output().context("sqlite3 does not start; the benchmark needs its command line tool")?;
    let took = start.elapsed();
    let failed = || String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.success() && ended.stderr.is_empty(), "sqlite3 failed: {}", failed());
    Ok((took, String::from_utf8_lossy(&ended.stdout).into_owned()))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
