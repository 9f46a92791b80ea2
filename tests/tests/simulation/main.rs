//! The simulation with a fixed budget, and the faults that it must find. `tests/run --long` runs it for as long as is wanted.

use danso_tests::simulation::{Options, REGRESSIONS, Stats, run};

/// Runs seeds and gives what happened in all of them.
fn all(seeds: impl IntoIterator<Item = u64>) -> Stats {
    let mut sum = Stats::default();
    for seed in seeds {
        match run(Options::of(seed)) {
            Ok(stats) => sum.add(&stats),
            Err(failure) => panic!("{failure}"),
        }
    }
    sum
}

/// About ten seconds each in a debug build on a machine with nothing else to do; about 4,400 steps a seed.
#[test]
fn whatever_breaks_nothing_acknowledged_is_lost_and_all_figures_agree() {
    let sum = all(0..8);
    eprintln!("8 seeds: {:?}", sum.rows());
    let happened =
        [sum.crashes, sum.cuts, sum.restores, sum.recoveries, sum.disks_lost, sum.rekeyed, sum.moved, sum.replaced];
    assert!(happened.iter().all(|count| *count > 0), "the budget has something of everything: {:?}", sum.rows());
}

#[test]
fn nor_with_other_seeds() {
    let sum = all(1_000..1_008);
    eprintln!("8 seeds: {:?}", sum.rows());
    assert!(sum.steps > 8 * 4_000);
}

#[test]
fn seeds_that_found_a_fault_once() {
    all(REGRESSIONS.iter().map(|(seed, _)| *seed));
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let short = Options { steps: 800, ..Options::of(77) };
    assert_eq!(run(short).ok(), run(short).ok());
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use danso_tests::simulation::{Bug, Options, run};

    /// Steps of a seed: short, so that few seeds say how many steps it takes.
    const STEPS: u64 = 1_200;

    /// Seeds, one after the other, until the fault is found; then the same seeds without it.
    fn is_found(bug: Bug, within: u64) {
        let options = |seed| Options { steps: STEPS, ..Options::of(seed) };
        let mut steps = 0;
        for seed in 0.. {
            match run(Options { bug: Some(bug), ..options(seed) }) {
                Ok(stats) => steps += stats.steps,
                Err(failure) => {
                    steps += failure.step;
                    println!("{}: found within {steps} steps: {}", bug.word(), failure.what);
                    assert!(steps <= within, "{steps} steps, {within} are enough");
                    for seed in 0..=seed {
                        if let Err(failure) = run(options(seed)) {
                            panic!("without the fault: {failure}");
                        }
                    }
                    return;
                }
            }
            assert!(steps <= within, "{} is not found within {within} steps", bug.word());
        }
    }

    #[test]
    fn an_ack_before_the_commit_is_found_within_12000_steps() {
        is_found(Bug::AckBeforeCommit, 12_000);
    }

    #[test]
    fn a_skipped_sequence_check_is_found_within_24000_steps() {
        is_found(Bug::SkippedSequenceCheck, 24_000);
    }

    #[test]
    fn a_double_apply_is_found_within_12000_steps() {
        is_found(Bug::DoubleApply, 12_000);
    }

    #[test]
    fn a_cursor_kept_in_two_places_is_found_within_12000_steps() {
        is_found(Bug::CursorInTwoPlaces, 12_000);
    }
}
