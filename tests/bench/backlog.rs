//! What a large backlog asks of a central node with a file for its store: memory while it arrives, time until it is durable, room on the disk
//! there and at the commune, how soon the node is there again with all of it, and how fast all that is derived is made again.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use danso_tests::federation::UNITS_VERSION;
use danso_tests::node::Node;
use danso_tests::process;

use crate::data::{self, Book, units_file};
use crate::figures::{Figure, rate};

const GROUP: &str = "a backlog arrives at the root";
/// The one commune that has it all: the root's own child.
pub const COMMUNE: &str = "17065";
/// A backlog that comes slower than this never comes.
const SLOWEST_PER_S: u64 = 1_000;

/// Measures all of it with one book.
pub fn measure(dir: &Path, book: &Book, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let mut all: [Vec<f64>; 9] = Default::default();
    for round in 0..rounds {
        let base = dir.join(format!("r{round}"));
        fs::create_dir(&base)?;
        let plain = rate(book.rows, data::plain_import(&base, &[&book.plain], book.rows)?);
        let figures = one(&base, book)?;
        all.iter_mut().zip(figures.into_iter().chain([plain])).for_each(|(all, figure)| all.push(figure));
        fs::remove_dir_all(&base)?;
    }
    let [peak, idle, arrival, disk, disk_below, ready, killed, rebuilt, plain] = all;
    let plain = Figure::new(GROUP, "plain insert of the same rows", "rows/s", plain);
    let base = plain.median();
    let arrival = Figure::new(GROUP, "from the root's start until durable there", "changes/s", arrival);
    let arrived = arrival.median();
    let csv = book.bytes as f64 / book.rows as f64;
    Ok(vec![
        Figure::new(GROUP, "most memory of the root until all was durable", "MiB", peak).at_most(256.0),
        Figure::new(GROUP, "memory of the root, started anew with all of it", "MiB", idle),
        arrival.against("sqlite3 .import", base),
        plain,
        Figure::new(
            GROUP,
            "`danso-node rebuild` of all of it, the process's start and end included",
            "changes/s",
            rebuilt,
        )
        .against("the arrival", arrived)
        .at_least(1.0),
        Figure::new(GROUP, "on disk at the root, after a clean stop", "bytes/change", disk)
            .against("a row of the CSV", csv)
            .at_most_times(3.0),
        Figure::new(GROUP, "on disk at the commune that typed it, after a clean stop", "bytes/change", disk_below)
            .against("a row of the CSV", csv)
            .at_most_times(3.0),
        Figure::new(GROUP, "start with all of it, after a clean stop, until `danso-admin status`", "ms", ready)
            .at_most(2_000.0),
        Figure::new(GROUP, "the same after kill -9", "ms", killed),
    ])
}

/// Peak and idle memory in MiB, changes a second, bytes a change at the root and at the commune, two starts in ms, and changes a second of a
/// rebuild.
fn one(dir: &Path, book: &Book) -> anyhow::Result<[f64; 8]> {
    let mut root = Node::at(dir, "VN");
    root.init(&units_file(), UNITS_VERSION).must(process::DONE);
    root.run();
    let mut commune = Node::at(dir, COMMUNE);
    commune
        .join_with(&root.token_file(root.admin(["child", "invite", "--unit", COMMUNE]).printed().trim()))
        .must(process::DONE);
    stop(&mut root)?;
    commune.run();
    let taken = commune.import_all("households", &book.file).taken;
    ensure!(taken == book.rows, "{taken} of {} rows were taken", book.rows);
    stop(&mut commune)?;

    let start = Instant::now();
    root.run();
    commune.run();
    let patience = format!("{}s", process::PATIENCE.as_secs() + book.rows / SLOWEST_PER_S);
    let ended = commune.admin(["receipt", "wait", "--timeout", &patience]);
    ensure!(ended.code == process::DONE, "not durable at the root: {}", ended.stderr);
    let arrival = rate(book.rows, start.elapsed());
    let peak = root.memory_peak_kib() as f64 / 1024.0;
    stop(&mut commune)?;
    stop(&mut root)?;
    let disk = |node: &Node| anyhow::Ok(fs::metadata(node.data.join("danso.db"))?.len() as f64 / book.rows as f64);
    let (disk, disk_below) = (disk(&root)?, disk(&commune)?);

    let clean = ready(&mut root);
    let idle = root.memory_kib() as f64 / 1024.0;
    root.kill9();
    let killed = ready(&mut root);
    stop(&mut root)?;
    let start = Instant::now();
    let data = root.data.to_string_lossy().into_owned();
    process::run(process::program("danso-node"), ["rebuild", "--data", &data]).must(process::DONE);
    let rebuilt = rate(book.rows, start.elapsed());
    Ok([peak, idle, arrival, disk, disk_below, clean, killed, rebuilt])
}

/// Milliseconds from a node's start until its operator is answered.
fn ready(node: &mut Node) -> f64 {
    let start = Instant::now();
    node.start();
    process::wait_for(|| node.logged(), || (node.admin(["status"]).code == process::DONE).then_some(()));
    start.elapsed().as_secs_f64() * 1e3
}

fn stop(node: &mut Node) -> anyhow::Result<()> {
    let code = node.stop();
    ensure!(code == process::DONE, "the node of {} ended with {code}:\n{}", node.unit, node.logged());
    Ok(())
}
