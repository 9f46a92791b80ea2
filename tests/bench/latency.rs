//! How long one change takes from its commit at the commune until it can be seen at the centre, with links up and nothing else to do; and
//! what a round trip and a commit take on this machine, so that one can be told in terms of the other.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use danso_node::store::Store;
use danso_tests::process;
use tokio::runtime::Runtime;

use crate::data::Data;
use crate::figures::Figure;
use crate::hops::Chain;

const GROUP: &str = "one change, three hops, links up and idle";
/// Between two looks into a node's store.
const LOOK: Duration = Duration::from_micros(200);
/// A change that is not there by then never comes: its slip waits for somebody.
const LONGEST: Duration = Duration::from_secs(10);

/// Measures it with so many slips of one commune, a change set each.
pub fn measure(dir: &Path, data: &Data, samples: usize) -> anyhow::Result<Vec<Figure>> {
    let commune = data.communes.first().context("a commune")?;
    let mut chain = Chain::up(dir, &commune.code)?;
    chain.leaf().import_all("households", &commune.households);
    chain.leaf().receipt_wait("central").must(process::DONE);
    let runtime = Runtime::new()?;
    let central = chain.nodes.first().context("a root")?.data.join("danso.db");
    let below = chain.leaf().data.join("danso.db");
    let (central, below) = runtime.block_on(async {
        anyhow::Ok((Store::open_to_look(&central).await?.0, Store::open_to_look(&below).await?.0))
    })?;
    let text = std::fs::read_to_string(commune.slips()?)?;
    let (head, slips) = text.split_once('\n').context("a head")?;
    let mut took = Vec::new();
    for slip in slips.lines() {
        if took.len() == samples {
            break;
        }
        let file = dir.join("slip.csv");
        std::fs::write(&file, format!("{head}\n{slip}\n"))?;
        let before = runtime.block_on(size(&below, &commune.code))?;
        let importing = chain.leaf().import_in_background("changes", &file);
        let committed = runtime.block_on(grown(&below, &commune.code, before))?;
        if let Some(committed) = committed {
            let seen = runtime.block_on(grown(&central, &commune.code, before))?.context("it does not come")?;
            took.push(seen.duration_since(committed).as_secs_f64() * 1e3);
        }
        importing.wait();
        // What comes after a change, receipts, must not meet the next one.
        chain.leaf().receipt_wait("central").must(process::DONE);
    }
    ensure!(took.len() == samples, "{} of {samples} slips became changes", took.len());
    drop(chain);
    let (trip, commit) = (round_trips()?, runtime.block_on(commits(dir))?);
    let trip = Figure::new(GROUP, "a round trip over the loopback", "ms", trip);
    let commit = Figure::new(GROUP, "the smallest commit of a node's store, durable", "ms", commit);
    let bound = 4.0 * trip.median() + 3.0 * commit.median();
    let took = Figure::new(GROUP, "from the commit at the commune until visible at the centre", "ms", took);
    let late = Figure::new(GROUP, "the same, 95 of 100 are under", "ms", vec![took.quantile(0.95)]);
    Ok(vec![took.against("4 round trips + 3 commits", bound).at_most_times(1.0), late, trip, commit])
}

/// Entries of the commune's log of records.
async fn size(store: &Store, code: &str) -> anyhow::Result<u64> {
    let logs = store.read("bench").await?.record_logs().await?;
    Ok(logs.iter().find(|log| log.log.node().unit().as_str() == code).map_or(0, |log| log.size))
}

/// When the log had more entries than `before`, as soon as that can be read; `None` when nothing comes.
async fn grown(store: &Store, code: &str, before: u64) -> anyhow::Result<Option<Instant>> {
    let start = Instant::now();
    while start.elapsed() < LONGEST {
        if size(store, code).await? > before {
            return Ok(Some(Instant::now()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

/// Milliseconds of one byte there and back.
fn round_trips() -> anyhow::Result<Vec<f64>> {
    const TRIPS: usize = 1_000;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut here = TcpStream::connect(listener.local_addr()?)?;
    let (mut there, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let mut byte = [0];
        while there.read(&mut byte)? > 0 {
            there.write_all(&byte)?;
        }
        Ok(())
    });
    let mut took = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let (start, mut byte) = (Instant::now(), [7]);
        here.write_all(&byte)?;
        here.read_exact(&mut byte)?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    drop(here);
    // It ends with the connection.
    let _ = echo.join();
    Ok(took)
}

/// Milliseconds of a transaction that writes one value.
async fn commits(dir: &Path) -> anyhow::Result<Vec<f64>> {
    const COMMITS: u64 = 200;
    let store = Store::open(&dir.join("commits.db")).await?;
    let mut took = Vec::new();
    for n in 0..COMMITS {
        let start = Instant::now();
        let put = async |tx: &mut danso_node::store::Tx| tx.meta_put("bench", &n.to_be_bytes()).await;
        store.run_tx("bench", put).await?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    store.close().await;
    Ok(took)
}
