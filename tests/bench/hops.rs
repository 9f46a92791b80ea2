//! The whole way with real processes: a commune, its district, its province and the root, each dialling the one above through a proxy
//! that counts. How fast changes become durable at the root, beside PostgreSQL replicating the same rows over as many hops; how many bytes
//! they take on each hop; and what the commune's node needs.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use danso_tests::federation::UNITS_VERSION;
use danso_tests::node::Node;
use danso_tests::process;
use danso_tests::truth::unit_row;

use crate::data::{self, Data, units_file};
use crate::figures::{Figure, rate};
use crate::proxy::{Passed, Proxy, settled};
use crate::replication;

const GROUP: &str = "three hops, four processes, mTLS";
const IDLE: &str = "a commune's node";
/// So long nothing passes before a link counts as settled.
const QUIET: Duration = Duration::from_millis(400);

/// Nodes from the root down; each but the root has the proxy before its parent.
pub struct Chain {
    pub nodes: Vec<Node>,
    pub proxies: Vec<Proxy>,
}

/// What the rounds gave.
#[derive(Default)]
struct Rounds {
    live: Vec<f64>,
    backlog: Vec<f64>,
    replicated_live: Vec<f64>,
    replicated_backlog: Vec<f64>,
    plain: Vec<f64>,
    up: [Vec<f64>; 3],
    both: [Vec<f64>; 3],
    slips_both: Vec<f64>,
    after_import: Vec<f64>,
    idle: Vec<f64>,
    disk: Vec<f64>,
    disk_empty: Vec<f64>,
    ready: Vec<f64>,
    ready_status: Vec<f64>,
}

/// Measures all of it, with one commune's data.
pub fn measure(dir: &Path, data: &Data, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let mut all = Rounds::default();
    let files: [&Path; 2] = [&data.plain, &data.plain_slips];
    let replication = replication::Chain::start(dir, &files)?;
    for round in 0..rounds {
        let base = dir.join(format!("r{round}"));
        fs::create_dir(&base)?;
        one(&base, data, &mut all)?;
        all.replicated_live.push(rate(data.residents + data.slips, replication.live()?));
        all.replicated_backlog.push(rate(data.residents + data.slips, replication.backlog()?));
        fs::remove_dir_all(&base)?;
    }
    let changes = (data.residents + data.slips) as f64;
    let slips_packed = data::packed(data.communes[0].slips()?, dir)?;
    let per = (data::packed(&data.communes[0].households, dir)? + slips_packed) as f64 / changes;
    let plain = Figure::new(GROUP, "plain insert of the same rows", "rows/s", all.plain);
    let live = Figure::new(
        GROUP,
        "logical replication, live: from the first insert until all rows are at the centre",
        "rows/s",
        all.replicated_live,
    );
    let backlog = Figure::new(
        GROUP,
        "logical replication, backlog: from the subscription's start until all are",
        "rows/s",
        all.replicated_backlog,
    );
    let name = "logical replication";
    let mut figures = vec![
        Figure::new(GROUP, "live: from the import's start until durable at the root", "changes/s", all.live)
            .against(name, live.median())
            .at_least(1.0),
        Figure::new(GROUP, "backlog: from the commune's start until durable at the root", "changes/s", all.backlog)
            .against(name, backlog.median())
            .at_least(1.0),
        live,
        backlog,
        plain,
    ];
    for ((hop, both), up) in
        ["commune to district", "district to province", "province to root"].iter().zip(all.both).zip(all.up)
    {
        let zstd = "CSV with zstd -19";
        figures.push(
            Figure::new(GROUP, format!("wire, {hop}, both ways, all changes"), "bytes/change", both)
                .against(zstd, per)
                .at_most_times(2.0),
        );
        figures.push(Figure::new(GROUP, format!("wire, {hop}, up"), "bytes/change", up).against(zstd, per));
    }
    figures.push(
        Figure::new(GROUP, "wire, commune to district, both ways, slips alone", "bytes/change", all.slips_both)
            .against("CSV with zstd -19", slips_packed as f64 / data.slips as f64),
    );
    let csv = fs::metadata(&data.communes[0].households)?.len() + fs::metadata(data.communes[0].slips()?)?.len();
    let csv = csv as f64 / 1024.0 / (data.residents as f64 / 1000.0);
    figures.extend([
        Figure::new(IDLE, "resident memory, started anew, synced, idle", "MiB", all.idle).at_most(40.0),
        Figure::new(IDLE, "resident memory, idle after the import of everything", "MiB", all.after_import)
            .at_most(40.0),
        Figure::new(IDLE, "on disk per 1,000 residents, the unit list left out", "KiB", all.disk).against("CSV", csv),
        Figure::new(IDLE, "on disk, joined and empty (the unit list)", "KiB", all.disk_empty),
        Figure::new(IDLE, "process start until the admin socket accepts", "ms", all.ready),
        Figure::new(IDLE, "process start until `danso-admin status` has printed", "ms", all.ready_status),
    ]);
    Ok(figures)
}

fn one(dir: &Path, data: &Data, all: &mut Rounds) -> anyhow::Result<()> {
    let changes = data.residents + data.slips;
    let commune = &data.communes[0];
    let files: [&Path; 2] = [&data.plain, &data.plain_slips];
    all.plain.push(rate(changes, data::plain_import(dir, &files, changes)?));

    // Live: links are up, and the import goes on while entries travel.
    let mut chain = Chain::up(dir, &commune.code)?;
    stop(chain.leaf())?;
    all.disk_empty.push(kib(&chain.leaf().data)?);
    chain.leaf().run();
    let before = settled(&chain.proxies, QUIET);
    let start = Instant::now();
    let taken = chain.leaf().import_all("households", &commune.households).taken;
    wait(&chain)?;
    let book = start.elapsed();
    let after_book = settled(&chain.proxies, QUIET);
    let start = Instant::now();
    let taken = taken + chain.leaf().import_all("changes", commune.slips()?).taken;
    wait(&chain)?;
    let slips = start.elapsed();
    ensure!(taken == changes, "{taken} of {changes} rows were taken");
    all.live.push(rate(changes, book + slips));
    let after = settled(&chain.proxies, QUIET);
    for (hop, (before, after)) in before.iter().zip(&after).enumerate() {
        // The leaf's hop is the last proxy.
        let hop = before_leaf(hop, chain.proxies.len());
        all.up[hop].push(passed(before, after).0 / changes as f64);
        all.both[hop].push(passed(before, after).1 / changes as f64);
    }
    let last = chain.proxies.len() - 1;
    all.slips_both.push(passed(&after_book[last], &after[last]).1 / data.slips as f64);

    // The commune's node alone.
    all.after_import.push(chain.leaf().memory_kib() as f64 / 1024.0);
    stop(chain.leaf())?;
    let empty = all.disk_empty.last().copied().unwrap_or_default();
    all.disk.push((kib(&chain.leaf().data)? - empty) / (data.residents as f64 / 1000.0));
    let (accepts, status) = ready(chain.leaf())?;
    all.ready.push(accepts.as_secs_f64() * 1e3);
    all.ready_status.push(status.as_secs_f64() * 1e3);
    settled(&chain.proxies, QUIET);
    all.idle.push(chain.leaf().memory_kib() as f64 / 1024.0);
    drop(chain);

    // Backlog: everything was imported while nobody listened.
    let dir = dir.join("b");
    fs::create_dir(&dir)?;
    let mut chain = Chain::up(&dir, &commune.code)?;
    let parent = chain.nodes.len() - 2;
    stop(&mut chain.nodes[parent])?;
    chain.leaf().import_all("households", &commune.households);
    chain.leaf().import_all("changes", commune.slips()?);
    stop(chain.leaf())?;
    chain.nodes[parent].run();
    settled(&chain.proxies, QUIET);
    let start = Instant::now();
    chain.leaf().run();
    wait(&chain)?;
    all.backlog.push(rate(changes, start.elapsed()));
    Ok(())
}

/// The commune's hop is number 0, the root's the last.
fn before_leaf(proxy: usize, proxies: usize) -> usize {
    proxies - 1 - proxy
}

/// Bytes up, and bytes both ways.
fn passed(before: &Passed, after: &Passed) -> (f64, f64) {
    let up = after.up - before.up;
    (up as f64, (up + after.down - before.down) as f64)
}

fn wait(chain: &Chain) -> anyhow::Result<()> {
    let ended = chain.nodes[chain.nodes.len() - 1].receipt_wait("central");
    ensure!(ended.code == process::DONE, "not durable at the root: {}", ended.stderr);
    Ok(())
}

/// Ends a node in order.
fn stop(node: &mut Node) -> anyhow::Result<()> {
    let code = node.stop();
    ensure!(code == process::DONE, "the node of {} ended with {code}:\n{}", node.unit, node.logged());
    Ok(())
}

/// Starts a node that was stopped; gives the time until its socket accepts, and until it has answered.
fn ready(node: &mut Node) -> anyhow::Result<(Duration, Duration)> {
    let socket = node.data.join("admin.sock");
    ensure!(!socket.exists(), "a node that was stopped left its socket");
    let start = Instant::now();
    node.start();
    let accepts = loop {
        match UnixStream::connect(&socket) {
            Ok(_) => break start.elapsed(),
            // Finer than what is measured; the node has the other core.
            Err(_) if start.elapsed() < process::PATIENCE => thread::sleep(Duration::from_micros(500)),
            Err(error) => return Err(error).context("the node is not ready"),
        }
    };
    let ended = node.admin(["status"]);
    ensure!(ended.code == process::DONE, "no status: {}", ended.stderr);
    Ok((accepts, start.elapsed()))
}

/// Everything in a node's directory.
fn kib(dir: &Path) -> anyhow::Result<f64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => (kib(&entry.path())? * 1024.0) as u64,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes as f64 / 1024.0)
}

impl Chain {
    /// The root, and everybody down to `leaf`, running.
    pub fn up(dir: &Path, leaf: &str) -> anyhow::Result<Self> {
        let mut codes = vec![leaf.to_owned()];
        while let Some(parent) =
            codes.last().map(|code| unit_row(code)["parent_code"].clone()).filter(|code| !code.is_empty())
        {
            codes.push(parent);
        }
        let mut chain = Self { nodes: Vec::new(), proxies: Vec::new() };
        for code in codes.iter().rev() {
            let mut node = Node::at(dir, code);
            match chain.nodes.last() {
                None => drop(node.init(&units_file(), UNITS_VERSION).must(process::DONE)),
                Some(parent) => {
                    let proxy = Proxy::before(parent.listen.clone())?;
                    let token =
                        parent.admin(["child", "invite", "--unit", code, "--address", &proxy.address()]).printed();
                    node.join_with(&node.token_file(token.trim())).must(process::DONE);
                    chain.proxies.push(proxy);
                }
            }
            node.run();
            chain.nodes.push(node);
        }
        // The unit list has come down once nothing passes any more.
        settled(&chain.proxies, QUIET);
        Ok(chain)
    }

    /// The commune's node.
    pub fn leaf(&mut self) -> &mut Node {
        self.nodes.last_mut().expect("`up` makes the root at least")
    }
}
