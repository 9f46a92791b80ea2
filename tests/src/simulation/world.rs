//! The world: nodes, links and time, and the one scheduler that draws what happens next. It knows what can happen, and leaves to others how.

use std::collections::VecDeque;

use danso_core::sync::{Event, Package};
use danso_proto::envelope::SoftwareSigner;
use danso_proto::ids::{NodeId, Stream};

use super::cast::SEATS;
use super::link::LinkState;
use super::node::Node;
use super::pipeline::{Around, Done, Job};
use super::planted::Bug;
use super::rng::Rng;
use super::watch::Watch;
use super::{Options, REGRESSIONS, WITHOUT_COPIED_KEYS, WITHOUT_SPITE, trouble};

/// What must hold and does not.
#[derive(Debug)]
pub struct Violation(pub String);

pub type Result<T> = std::result::Result<T, Violation>;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened in a run, or in many.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)* }

        impl Stats {
            /// Adds the figures of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// The figures by name.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

stats! {
    /// Things that happened one by one.
    steps,
    /// Change sets committed, at every node that holds them.
    entries,
    /// Transactions.
    commits,
    /// Processes that ended in the middle of something.
    crashes,
    /// Links that ended.
    cuts,
    /// Sessions begun.
    sessions,
    /// Packages that came twice in a session.
    doubled,
    /// Packages that changed places.
    swapped,
    /// Packages that came again, or too early, out of a bundle.
    strays,
    /// Packages that no honest node makes.
    hostile,
    /// Refusals that a peer was told.
    refused,
    /// Clocks that jumped.
    jumps,
    /// Years in which somebody was silent.
    years,
    /// Words of former parents about children that are theirs no more.
    spite,
    /// Disks put back to an earlier state.
    restores,
    /// Disks that were lost with the key.
    disks_lost,
    /// Nodes that were told they are behind themselves.
    behind,
    /// Nodes that got back what they had lost.
    recoveries,
    /// Nodes that were copied.
    forks,
    /// Logs that were stopped because of two histories.
    quarantines,
    /// Nodes replaced by another with a new key.
    replaced,
    /// Keys changed by their nodes.
    rekeyed,
    /// Keys changed by one of several copies of a node.
    copies_rekeyed,
    /// Nodes taken over by a node above their parent.
    moved,
}

/// See the module.
pub struct World {
    pub rng: Rng,
    pub stats: Stats,
    pub now_ms: i64,
    /// By seat.
    pub nodes: Vec<Node>,
    /// The seat above each seat; the root's is its own.
    pub parents: Vec<usize>,
    /// Link i joins seat i to the seat above; that of the root is never up.
    pub links: Vec<LinkState>,
    pub generation: u64,
    /// Packages of bundles, and for which seat.
    pub strays: VecDeque<(usize, Package)>,
    /// A copy of the node in a seat.
    pub twin: Option<(usize, Node)>,
    /// Nodes that are gone, with the seat above theirs and the node that sat there.
    pub dead: Vec<(NodeId, usize, NodeId)>,
    /// Nodes that were taken over: their seat, and the seat and the node that was above them.
    pub former: Vec<(usize, NodeId, usize, NodeId)>,
    /// Keys that former parents vouched for, with the node that they would be of.
    pub impostors: Vec<(NodeId, SoftwareSigner)>,
    /// Whether former parents go on to speak.
    pub spite: bool,
    /// Whether copies of a node change their keys.
    pub copies_rotate: bool,
    pub chaos: bool,
    pub bug: Option<Bug>,
    pub watch: Watch,
    limit: u64,
    trace: bool,
}

/// The true time at which a run begins: 25 November 2026.
const BEGIN_MS: i64 = 1_795_600_000_000;
/// Jobs in a transaction at most.
const BATCH_JOBS: usize = 6;
/// Steps between two looks at the whole of a node.
const WHOLE_EVERY: u64 = 500;

impl World {
    /// Founds the federation and has everybody join.
    pub fn new(options: Options) -> Result<Self> {
        let mut world = Self {
            rng: Rng::new(options.seed),
            stats: Stats::default(),
            now_ms: BEGIN_MS,
            nodes: Vec::new(),
            parents: SEATS.iter().map(|seat| seat.parent).collect(),
            links: SEATS.iter().map(|_| LinkState::default()).collect(),
            generation: 0,
            strays: VecDeque::new(),
            twin: None,
            dead: Vec::new(),
            former: Vec::new(),
            impostors: Vec::new(),
            copies_rotate: !REGRESSIONS.iter().take(WITHOUT_COPIED_KEYS).any(|(seed, _)| *seed == options.seed),
            spite: !REGRESSIONS.iter().take(WITHOUT_SPITE).any(|(seed, _)| *seed == options.seed),
            chaos: true,
            bug: options.bug,
            watch: Watch::new(),
            limit: options.steps,
            trace: options.trace,
        };
        world.found()?;
        for seat in 1..SEATS.len() {
            let node = world.joined(seat)?;
            world.nodes.push(node);
        }
        Ok(world)
    }

    /// Tells what happens, if somebody wants to know.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{}: {}", self.stats.steps, what());
        }
    }

    /// What a seat's clock shows.
    pub fn clock(&self, seat: usize) -> i64 {
        self.now_ms + self.nodes[seat].skew_ms
    }

    /// Chaos, then peace, then the account.
    pub fn run(&mut self) -> Result<()> {
        while self.stats.steps < self.limit {
            self.step()?;
        }
        self.heal()?;
        self.account()
    }

    fn step(&mut self) -> Result<()> {
        self.stats.steps += 1;
        self.wake()?;
        match self.rng.below(1_000) {
            0..720 => self.some_work()?,
            720..890 => {
                let first = self.rng.below(self.nodes.len());
                let seats = (0..self.nodes.len()).map(|n| (first + n) % self.nodes.len());
                let busy = |seat: &usize| self.nodes[*seat].up.as_ref().is_some_and(|up| !up.queue.is_empty());
                match seats.clone().find(busy) {
                    Some(seat) => self.commit(seat)?,
                    None => self.some_work()?,
                }
            }
            890..945 => self.write(),
            945..960 => {
                let seconds = 1 + self.rng.below(120) as i64;
                self.tick(seconds * 1_000)?;
            }
            n => trouble::happens(self, n)?,
        }
        if self.stats.steps.is_multiple_of(WHOLE_EVERY) {
            let seat = self.rng.below(self.nodes.len());
            self.watch.whole(&self.nodes[seat])?;
        }
        Ok(())
    }

    /// Starts what has been down long enough.
    fn wake(&mut self) -> Result<()> {
        for seat in 0..self.nodes.len() {
            if self.nodes[seat].up.is_none() && self.nodes[seat].starts_at <= self.stats.steps {
                self.start(seat)?;
            }
        }
        Ok(())
    }

    /// Starts a node from its disk.
    pub fn start(&mut self, seat: usize) -> Result<()> {
        let node = &mut self.nodes[seat];
        node.start().map_err(|refusal| {
            Violation(format!("{} does not start: {} {}", node.id, refusal.reason, refusal.detail))
        })?;
        self.watch.kept_promises(&self.nodes[seat])
    }

    /// Something on some link.
    fn some_work(&mut self) -> Result<()> {
        for _ in 0..6 {
            let link = 1 + self.rng.below(self.links.len() - 1);
            let state = &self.links[link];
            let done = match &state.live {
                // The child dials again as soon as it knows that the session is over; the parent's end gives way.
                Some(live) if live.sides[0].is_some() => {
                    let end = self.rng.below(2);
                    self.work(link, end)?
                }
                Some(_) if self.rng.one_in(2) => self.work(link, 1)?,
                _ if state.down_until > self.stats.steps => false,
                _ => self.connect(link)?,
            };
            if done {
                break;
            }
        }
        Ok(())
    }

    /// Time goes on for everybody.
    pub fn tick(&mut self, ms: i64) -> Result<()> {
        self.now_ms += ms;
        for link in 1..self.links.len() {
            for end in [0, 1] {
                let now_ms = self.clock(self.seat_at(link, end));
                self.feed(link, end, Event::Tick { now_ms })?;
            }
        }
        Ok(())
    }

    /// One transaction of a node, and what follows from it.
    pub fn commit(&mut self, seat: usize) -> Result<()> {
        let take = 1 + self.rng.below(BATCH_JOBS);
        let Some(running) = &mut self.nodes[seat].up else { return Ok(()) };
        let take = take.min(running.queue.len());
        let jobs = running.queue.drain(..take).collect();
        let Some(done) = self.transact(seat, jobs)? else { return Ok(()) };
        self.note(|| {
            format!(
                "{} commits {:?} {:?}",
                self.nodes[seat].id,
                done.logs.iter().map(|log| (log, self.nodes[seat].store.size(log))).collect::<Vec<_>>(),
                done.refused
            )
        });
        let logs: Vec<_> = done.logs.into_iter().collect();
        self.tell(seat, &logs, &done.receipts)?;
        for (origin, event) in done.answers {
            if self.links[origin.link].live.as_ref().is_some_and(|live| live.generation == origin.generation) {
                self.feed(origin.link, origin.end, event)?;
            }
        }
        Ok(())
    }

    /// Does jobs in one transaction; nothing when the process ended in or right after it.
    pub fn transact(&mut self, seat: usize, jobs: Vec<Job>) -> Result<Option<Done>> {
        let mut around = Around { now_ms: self.now_ms + self.nodes[seat].skew_ms, rng: &mut self.rng, bug: self.bug };
        let Ok(done) = self.nodes[seat].batch(jobs, &mut around) else {
            self.crash(seat);
            self.watch.kept_promises(&self.nodes[seat])?;
            return Ok(None);
        };
        self.stats.commits += 1;
        self.stats.entries += done.entries as u64;
        self.watch.committed(&self.nodes[seat], &done)?;
        if done.crashed {
            self.crash(seat);
            return Ok(None);
        }
        Ok(Some(done))
    }

    /// A process ends; its links end with it, though the others may not know yet.
    pub fn crash(&mut self, seat: usize) {
        self.note(|| format!("{} crashes", self.nodes[seat].id));
        self.stats.crashes += 1;
        let starts_at = self.stats.steps + 1 + self.rng.below(200) as u64;
        self.nodes[seat].stop(starts_at);
        self.hang_up(seat);
    }

    /// A seat's end of all its links is gone.
    pub fn hang_up(&mut self, seat: usize) {
        for link in 1..self.links.len() {
            for end in [0, 1] {
                if self.seat_at(link, end) == seat {
                    self.leave(link, end);
                }
            }
        }
    }

    /// The seats above a seat, its parent first.
    pub fn above(&self, seat: usize) -> Vec<usize> {
        let mut above = Vec::new();
        let mut at = seat;
        while at != 0 {
            at = self.parents[at];
            above.push(at);
        }
        above
    }

    /// Whether nothing is below a seat.
    pub fn is_leaf(&self, seat: usize) -> bool {
        seat != 0 && !self.parents.iter().skip(1).any(|parent| *parent == seat)
    }

    /// Whether a node's records are in doubt: two copies of it write them.
    pub fn is_forked(&self, seat: usize) -> bool {
        self.watch.forked.contains(&self.nodes[seat].own(Stream::Records))
    }
}
