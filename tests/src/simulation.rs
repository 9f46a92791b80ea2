//! A federation in one thread: the real pure core of eleven nodes in four tiers, real keys, a store that crashes, links that cut, clocks that
//! jump, disks that are restored, copied and lost. One seed makes one run, and the same run again. After every step what must always hold
//! is checked (`watch`); at the end everything heals and every node's figures equal a model that never failed.
//!
//! What is simulated is the shell only: processes, disks, carriers, operators. Sessions, the door for entries, the ledger, the register and the
//! cube are the product's own code. It may not know gRPC, SQL or files.

mod author;
mod cast;
mod forks;
mod link;
mod model;
mod node;
mod operator;
mod peace;
mod pipeline;
mod planted;
mod rng;
mod store;
mod trouble;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use planted::Bug;
pub use world::Stats;

/// Seeds that found a fault of the product once, with the fault. They run in every test.
pub const REGRESSIONS: &[(u64, &str)] = &[
    (2120, "who joined below a node that was taken over did not get the keys of the time before"),
    (3392, "who recovered got the directory log of a node that was taken over before the log that tells of its keys"),
    (10232, "who recovered from a second parent was not given the log of the first, which vouched for a key between"),
    (
        2063,
        "a parent that held a piece of a log had no word of the author for it, and could not prove the other history",
    ),
    (20109, "an old copy was not told of its mail to a node that was taken over, and changed its key without it"),
    (20095, "of two that vouched for a lost disk from the same size, the one that was heard last counted"),
    (40450, "what one parent vouched for twice came in another order once the next had said the first of it again"),
    (40405, "nodes below one that was taken over did not hear of its key, which the old parent had vouched for"),
    (30807, "a parent that was put back from an old copy revoked its child with less than stood above"),
    (50186, "a receipt by a key that was not known yet was dropped, and came again only with the next session"),
    (61147, "a change of keys arrived, entries from before it were lost, and the node's next entry counted nowhere"),
    (101_434, "after a takeover a directory went the other way, and both ends held on to the old one"),
    (201_822, "half a package came: its receiver could not prove the other history that it was shown"),
    (27213, "an old copy was not told of its mail to a node whose enrolment it had lost, too"),
    (8558, "what a former parent had vouched for anew, unheard by the next one, did not count any more"),
    (213, "who was taken over with keys that its new parent had not heard of lost the entries of the keys before"),
    (52920, "somebody else's log that could not be read yet kept a node from getting anything back"),
    (54095, "a node whose parent was revoked by one whose word counts nowhere lost its keys until that was known"),
    (312354, "an old copy that did not know of a takeover took in what a former parent's key had signed"),
    (63444, "a package that reached the parent after its sender was put back was not missed while the session lasted"),
    (
        112,
        "a node that was taken over and a takeover further up that had not heard of it: its last entries were stuck for ever",
    ),
];

/// So many of [`REGRESSIONS`] were found before former parents went on to speak of their children, and are replayed without that.
const WITHOUT_SPITE: usize = 14;

/// So many of them were found before copies of a node changed their keys, and are replayed without that.
const WITHOUT_COPIED_KEYS: usize = 21;

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What all decisions are drawn from.
    pub seed: u64,
    /// Steps before everything heals.
    pub steps: u64,
    /// A fault that is planted on purpose; it is there only in builds with the feature `planted-bugs`.
    pub bug: Option<Bug>,
    /// Whether every step tells on stderr what it does.
    pub trace: bool,
}

/// Steps of a run before it heals, when nobody says otherwise.
pub const STEPS: u64 = 4_000;

impl Options {
    /// The run of a seed.
    pub fn of(seed: u64) -> Self {
        Self { seed, steps: STEPS, bug: None, trace: false }
    }
}

/// Something that must always hold does not.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The run.
    pub options: Options,
    /// After how many steps.
    pub step: u64,
    /// What was found.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Options { seed, steps, bug, .. } = self.options;
        let bug = bug.map_or(String::new(), |bug| format!(" --bug {}", bug.word()));
        writeln!(f, "seed {seed}, step {}: {}", self.step, self.what)?;
        write!(f, "replay: cargo run -p danso-tests --bin danso-simulate -- --seed {seed} --steps {steps}{bug}")
    }
}

impl std::error::Error for Failure {}

/// Runs one seed to its end.
///
/// # Errors
/// With the first thing that must hold and does not. A panic of the code under test counts as one.
pub fn run(options: Options) -> Result<Stats, Failure> {
    let mut step = 0;
    let run = catch_unwind(AssertUnwindSafe(|| {
        let mut world = world::World::new(options)?;
        let done = world.run();
        step = world.stats.steps;
        done.map(|()| world.stats)
    }));
    match run {
        Ok(Ok(stats)) => Ok(stats),
        Ok(Err(world::Violation(what))) => Err(Failure { options, step, what }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Failure { options, step, what: format!("a panic: {}", text.unwrap_or_default()) })
        }
    }
}
