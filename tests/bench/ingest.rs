//! Ingest at one node: packages of several logs, several in flight, through the product's pipeline into its store, SQLite or PostgreSQL.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use danso_node::pipeline::Handle;
use danso_node::store::Store;
use danso_proto::limits;
use danso_proto::package::{self, PACKAGE_ZSTD_LEVEL, Package};

use crate::cpu;
use crate::data::{self, Data};
use crate::figures::{Figure, rate};
use crate::world::{Place, World};

/// What one round took.
struct Round {
    book: Duration,
    slips: Duration,
    /// Time that the cores spent meanwhile: for this process, and for the server.
    cpu: [Duration; 2],
}

/// Measures the pipeline and the plain insert in turn, so that what else the machine does disturbs both alike.
pub async fn measure(
    dir: &Path,
    data: &Data,
    world: &World,
    rounds: usize,
    place: &Place<'_>,
) -> anyhow::Result<Vec<Figure>> {
    let book_changes: u64 = world.authors.iter().map(|author| author.book_changes).sum();
    let slip_changes: u64 = world.authors.iter().map(|author| author.slip_changes).sum();
    let all = book_changes + slip_changes;
    ensure!(book_changes == data.residents && slip_changes == data.slips, "not all rows became changes");
    let insert = |files: &[&Path], rows| match place {
        Place::File(_) => data::plain_import(dir, files, rows).map(|took| (took, Duration::ZERO)),
        Place::Server(cluster, _) => cluster.plain_copy(files, rows),
    };
    let (mut ours, mut books, mut slips, mut wires) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut plain, mut plain_slips) = (Vec::new(), Vec::new());
    let (mut cpu_plain, mut cpu_node, mut cpu_server) = (Vec::new(), Vec::new(), Vec::new());
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / all as f64;
    for _ in 0..rounds {
        let (took, cpu) = insert(&[&data.plain, &data.plain_slips], all)?;
        plain.push(rate(all, took));
        cpu_plain.push(each(cpu));
        plain_slips.push(rate(slip_changes, insert(&[&data.plain_slips], slip_changes)?.0));
        let round = round(place, world, false, all).await?;
        ours.push(rate(all, round.book + round.slips));
        books.push(rate(book_changes, round.book));
        slips.push(rate(slip_changes, round.slips));
        cpu_node.push(each(round.cpu[0]));
        cpu_server.push(each(round.cpu[1]));
        let round = self::round(place, world, true, all).await?;
        wires.push(rate(all, round.book + round.slips));
    }
    let name = match place {
        Place::File(_) => "sqlite3 .import",
        Place::Server(..) => "COPY",
    };
    let group = format!("ingest, one node, {}", place.name());
    let plain = Figure::new(&group, "plain insert: 12 columns, text key, one transaction", "rows/s", plain);
    let plain_slips = Figure::new(&group, "plain insert of the slips alone", "rows/s", plain_slips);
    let base = plain.median();
    let ours = Figure::new(&group, "verified, stored, applied, counted, durable", "changes/s", ours);
    let mut figures = vec![
        ours.against(name, base).at_least(1.0 / 4.0),
        Figure::new(&group, "the same from the link's compressed bytes", "changes/s", wires).against(name, base),
        Figure::new(&group, "household books alone", "changes/s", books).against(name, base),
        Figure::new(&group, "slips alone, after the books", "changes/s", slips)
            .against("of the slips", plain_slips.median()),
        plain,
        plain_slips,
        Figure::new(&group, "of that, the cores' time: the node", "us/change", cpu_node),
    ];
    if let Place::Server(..) = place {
        let plain = Figure::new(&group, "the cores' time: the server, plain insert", "us/row", cpu_plain);
        let ours = Figure::new(&group, "of that, the cores' time: the server", "us/change", cpu_server);
        figures.extend([ours.against(name, plain.median()), plain]);
    }
    Ok(figures)
}

/// Time that the cores have spent so far for this process, and for the server.
fn cpu(place: &Place<'_>) -> anyhow::Result<[Duration; 2]> {
    let server = match place {
        Place::File(_) => Duration::ZERO,
        Place::Server(cluster, _) => cluster.cpu()?,
    };
    Ok([cpu::of(std::process::id())?, server])
}

async fn round(place: &Place<'_>, world: &World, from_wire: bool, changes: u64) -> anyhow::Result<Round> {
    let (store, pipeline) = world.node(place, &world.receiver).await?;
    let before = taken(&store).await?;
    let sent = |packages: &[Package]| packages.iter().map(|package| Sent::new(package, from_wire)).collect();
    let [books, late]: [Vec<Vec<Sent>>; 2] = [
        world.authors.iter().map(|author| sent(&author.book)).collect(),
        world.authors.iter().map(|author| sent(&author.slips)).collect(),
    ];
    let cpu_before = cpu(place)?;
    let book = feed(&pipeline, books).await?;
    let slips = feed(&pipeline, late).await?;
    let cpu = cpu(place)?;
    let cpu = [0, 1].map(|of| cpu[of].saturating_sub(cpu_before[of]));
    ensure!(taken(&store).await? - before == changes, "not all changes were counted");
    // Applied, too: everybody of the books is in the register, and nothing was left out of the figures.
    let mut tx = store.read("bench").await?;
    let (persons, ..) = tx.counts().await?;
    // What is doubtful counts, and simulated lives are doubted here and there.
    let errors = tx.finding_counts().await?.len();
    drop(tx);
    let residents: u64 = world.authors.iter().map(|author| author.book_changes).sum();
    ensure!(
        persons >= residents && errors == 0,
        "{persons} persons of {residents} residents, records that do not count in {errors} units"
    );
    store.close().await;
    Ok(Round { book, slips, cpu })
}

/// Changes that the node says it took in.
pub async fn taken(store: &Store) -> anyhow::Result<u64> {
    Ok(store.read("bench").await?.change_count().await?)
}

/// Sends every log's packages, as a link does: in order, as many in flight as a link's window.
pub async fn feed(pipeline: &Handle, logs: Vec<Vec<Sent>>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut links = tokio::task::JoinSet::new();
    for packages in logs {
        links.spawn(link(pipeline.clone(), packages));
    }
    while let Some(done) = links.join_next().await {
        done??;
    }
    Ok(start.elapsed())
}

/// A package as it comes.
#[derive(Clone)]
pub enum Sent {
    Read(Package),
    Wire(Vec<u8>),
}

impl Sent {
    pub fn new(package: &Package, from_wire: bool) -> Self {
        match from_wire {
            true => Self::Wire(package::encode(package, PACKAGE_ZSTD_LEVEL)),
            false => Self::Read(package.clone()),
        }
    }
}

async fn link(pipeline: Handle, packages: Vec<Sent>) -> anyhow::Result<()> {
    let mut flying = std::collections::VecDeque::new();
    for package in packages {
        let package = match package {
            Sent::Read(package) => package,
            Sent::Wire(bytes) => package::decode(&bytes)?,
        };
        flying.push_back(pipeline.receive(package).await?);
        if flying.len() >= limits::WINDOW_MAX as usize
            && let Some(first) = flying.pop_front()
        {
            durable(first.await?)?;
        }
    }
    for rest in flying {
        durable(rest.await?)?;
    }
    Ok(())
}

fn durable(received: danso_node::pipeline::Received) -> anyhow::Result<()> {
    ensure!(received.refused.is_none(), "refused: {:?}", received.refused);
    Ok(())
}
