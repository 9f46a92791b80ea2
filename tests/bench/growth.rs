//! What a change costs when the register is small and when it is large: it is filled to a size, and then the slips of some of the communes that
//! went in are taken in and timed: births and moves of persons who are new, and events of persons who are there, as the simulator mixes them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use danso_core::tier::Tier;

use crate::data::{self, Commune};
use crate::figures::Figure;
use crate::ingest::{Sent, feed, taken};
use crate::world::{self, Place, World};

/// Simulated communes whose slips are timed at a size.
const COMMUNES: usize = 8;
/// Months of slips: the more, the more there is to time.
const MONTHS: usize = 60;
/// Persons in a book that only fills, about, and most books at a size.
const BOOK: u64 = 2_500;
const BOOKS: u64 = 100;
/// The province of the node that takes everything in.
const PROVINCE: &str = "40";

/// What goes in until a size is reached, and what is timed then.
struct Step {
    fill: Vec<Vec<Sent>>,
    slips: Vec<Vec<Sent>>,
    changes: u64,
    /// Changes that are there before the slips come.
    size: u64,
}

/// Everything that goes in, for all stores.
pub struct Steps {
    world: World,
    steps: Vec<Step>,
}

impl Steps {
    /// Makes it, for these sizes; `households` is the median of each simulated commune.
    pub async fn make(dir: &Path, sizes: &[u64], households: usize) -> anyhow::Result<Self> {
        let data = data::simulate_months(dir, COMMUNES * sizes.len(), households, MONTHS)?;
        let list = world::units()?;
        let province = PROVINCE.parse()?;
        let simulated: Vec<&str> = data.communes.iter().map(|commune| &*commune.code).collect();
        let free = list.at_tier(&province, Tier::Commune).map(|unit| unit.code.as_str());
        let free: Vec<&str> = free.filter(|code| !simulated.contains(code)).collect();
        let codes: Vec<&str> = simulated.iter().copied().chain(free.iter().copied()).collect();
        let world = World::of(dir, &codes).await?;
        let (mut steps, mut there, mut free) = (Vec::new(), 0, free.into_iter());
        for (communes, size) in data.communes.chunks(COMMUNES).zip(sizes) {
            let mut step = Step { fill: Vec::new(), slips: Vec::new(), changes: 0, size: 0 };
            for commune in communes {
                let author = world.author(dir, commune).await?;
                there += author.book_changes;
                step.changes += author.slip_changes;
                step.fill.push(author.book.iter().map(|package| Sent::new(package, true)).collect());
                step.slips.push(author.slips.iter().map(|package| Sent::new(package, false)).collect());
            }
            let missing = size.saturating_sub(there);
            let books = missing.div_ceil(BOOK).min(BOOKS);
            for _ in 0..books {
                let code = free.next().context("the province has too few communes")?;
                let book = data::book(dir, code, missing / books)?;
                let commune = Commune { code: code.to_owned(), households: book.file, changes: None };
                let author = world.author(dir, &commune).await?;
                ensure!(author.book_changes == book.rows, "not all rows became changes");
                there += book.rows;
                step.fill.push(author.book.iter().map(|package| Sent::new(package, true)).collect());
            }
            step.size = there;
            there += step.changes;
            steps.push(step);
        }
        Ok(Self { world, steps })
    }

    /// Measures it; each round fills a new store from empty to the largest size.
    pub async fn measure(&self, place: &Place<'_>, rounds: usize) -> anyhow::Result<Vec<Figure>> {
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); self.steps.len()];
        for _ in 0..rounds {
            let (store, pipeline) = self.world.node(place, &self.world.receiver).await?;
            let before = taken(&store).await?;
            for (step, all) in self.steps.iter().zip(&mut all) {
                feed(&pipeline, step.fill.clone()).await?;
                let there = taken(&store).await? - before;
                ensure!(there == step.size, "{there} changes are there, not {}", step.size);
                let took = feed(&pipeline, step.slips.clone()).await?;
                all.push(took.as_secs_f64() * 1e6 / step.changes as f64);
            }
            store.close().await;
        }
        let group = format!("a change when the register is larger, {}", place.name());
        let mut base = None;
        let mut figures = Vec::new();
        for (step, rounds) in self.steps.iter().zip(all) {
            let name = format!("{} slips after {} changes", step.changes, step.size);
            let figure = Figure::new(&group, name, "us/change", rounds);
            let median = figure.median();
            figures.push(match base {
                None => figure,
                Some(base) => figure.against("the smallest", base).at_most_times(1.5),
            });
            base = base.or(Some(median));
        }
        Ok(figures)
    }
}
