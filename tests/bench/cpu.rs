//! How much time the cores spent for a process and those that it started: what else a busy machine does hardly moves it. Knows nothing of what
//! they do.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Of a second: Linux tells every program a hundredth, whatever its own clock does.
const TICKS: u64 = 100;

/// Time that the cores have spent for a process so far, and for all that are, or were, its children.
pub fn of(process: u32) -> anyhow::Result<Duration> {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended meanwhile: then it is among the children that have been waited for.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // Its name, in brackets, may hold anything.
        let fields = stat.rsplit_once(')').context("a process without a name")?.1;
        let fields: Vec<u64> = fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let [_, parent, rest @ ..] = &fields[..] else { continue };
        if id == process {
            // In user and system mode; then of children that were waited for.
            ticks += rest.iter().skip(9).take(4).sum::<u64>();
        } else if *parent == u64::from(process) {
            ticks += rest.iter().skip(9).take(2).sum::<u64>();
        }
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}
