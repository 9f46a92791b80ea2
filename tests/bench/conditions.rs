//! What the figures were measured under: machine, versions, date.

use std::fs;
use std::process::Command;

use crate::figures::Report;

pub fn note(report: &mut Report) {
    report.note("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("?", |(_, name)| name.trim());
    report.note("machine", format!("{cores} cores, {cpu}"));
    report.note("kernel", said("uname", &["-sr"]));
    report.note("rustc", said("rustc", &["--version"]));
    let sqlite = said("sqlite3", &["--version"]);
    report.note("sqlite3 (baseline)", sqlite.split(' ').next().unwrap_or("?"));
    report.note("build", if cfg!(debug_assertions) { "debug: the figures say nothing" } else { "release" });
    report.note("load at the start", load());
}

/// What else the machine does: the load averages over 1, 5 and 15 minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| "not here".into(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
