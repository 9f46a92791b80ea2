//! `danso-simulate`: runs seeds of the simulation, as many as are asked for, and says what they found. Progress goes to stderr, the account
//! to stdout. It ends with 0 when nothing was found, and with 1 when something was.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use danso_tests::simulation::{Bug, Failure, Options, REGRESSIONS, STEPS, Stats, run};

/// Runs the simulation: eleven nodes in four tiers, in one thread for each seed.
#[derive(Parser)]
struct Args {
    /// Run this seed only.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Run these seeds: FROM..TO, the last not among them.
    #[arg(long, value_parser = range, conflicts_with = "minutes")]
    seeds: Option<Range<u64>>,
    /// Run seeds for so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// First seed of a run by minutes.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps of a seed before everything heals.
    #[arg(long, default_value_t = STEPS)]
    steps: u64,
    /// Threads.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Plant a fault; needs a build with the feature planted-bugs.
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Tell every step on stderr.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?} is not FROM..TO");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    Ok(from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?)
}

fn bug(word: &str) -> Result<Bug, String> {
    Bug::from_word(word).ok_or_else(|| format!("one of {}", Bug::ALL.map(Bug::word).join(", ")))
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

struct Account {
    next: AtomicU64,
    stop: AtomicBool,
    sums: Mutex<(u64, Stats, Vec<Failure>)>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begin = Instant::now();
    let until = args.minutes.map(|minutes| begin + Duration::from_secs(60 * minutes));
    let seeds = match (args.seed, args.seeds) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds,
        (None, None) if until.is_some() => args.from..u64::MAX,
        (None, None) => args.from..args.from + 100,
    };
    // Told once, by whom it concerns: a panic is a failure like the others.
    std::panic::set_hook(Box::new(|_| {}));
    let account = Account {
        next: AtomicU64::new(seeds.start),
        stop: AtomicBool::new(false),
        sums: Mutex::new((0, Stats::default(), Vec::new())),
    };
    let options = |seed| Options { seed, steps: args.steps, bug: args.bug, trace: args.trace };
    if args.seed.is_none() {
        for (seed, _) in REGRESSIONS {
            account.take(run(options(*seed)));
        }
    }
    thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                while !account.stop.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
                    let seed = account.next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    account.take(run(options(seed)));
                }
            });
        }
        scope.spawn(|| account.tell(begin, until, seeds.end, args.threads));
    });
    account.finish(begin.elapsed())
}

impl Account {
    fn take(&self, result: Result<Stats, Failure>) {
        let mut sums = self.sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sums.0 += 1;
        match result {
            Ok(stats) => sums.1.add(&stats),
            Err(failure) => {
                eprintln!("{failure}");
                sums.2.push(failure);
                // The first few say enough.
                self.stop.fetch_or(sums.2.len() >= 10, Ordering::Relaxed);
            }
        }
    }

    /// Progress, until the seeds or the time are over.
    fn tell(&self, begin: Instant, until: Option<Instant>, end: u64, threads: usize) {
        let mut last = begin;
        loop {
            thread::park_timeout(Duration::from_millis(100));
            let over = until.is_some_and(|until| Instant::now() >= until);
            if over
                || self.stop.load(Ordering::Relaxed)
                || self.next.load(Ordering::Relaxed) >= end.saturating_add(threads as u64 - 1)
            {
                return;
            }
            if last.elapsed() >= PROGRESS {
                last = Instant::now();
                let sums = self.sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let (seeds, steps) = (sums.0, sums.1.steps);
                let rate = steps as f64 / begin.elapsed().as_secs_f64();
                eprintln!("{seeds} seeds, {steps} steps, {rate:.0} steps/s, {} found", sums.2.len());
            }
        }
    }

    fn finish(self, took: Duration) -> ExitCode {
        let (seeds, stats, failures) = self.sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        println!("seeds {seeds}");
        for (name, count) in stats.rows() {
            println!("{name} {count}");
        }
        println!("seconds {:.1}", took.as_secs_f64());
        println!("steps_per_second {:.0}", stats.steps as f64 / took.as_secs_f64());
        println!("failures {}", failures.len());
        for failure in &failures {
            println!("{failure}");
        }
        if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
