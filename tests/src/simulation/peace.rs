//! The end of a run: everything heals, and then the account. Each node has what it should have, and counts what a model counts that never
//! failed.

use danso_core::sync::telling;
use danso_proto::change::{Body, PeriodClosed};
use danso_proto::envelope::Envelope;
use danso_proto::ids::{LogId, NodeId, Stream};

use super::author;
use super::cast::{SEATS, code};
use super::model::Figures;
use super::node::Node;
use super::pipeline::Job;
use super::world::{Result, Violation, World};

/// Steps in which peace must come.
const QUIET_WITHIN: u64 = 400_000;
/// Times that a quarter of an hour passes before it must have come.
const ROUNDS: usize = 12;
const QUARTER_MS: i64 = 16 * 60_000;

impl World {
    /// Everybody who can writes once more: with it come the receipts of those that had no word of the author for what came before.
    fn last_words(&mut self) -> Result<()> {
        for (seat, cast) in SEATS.iter().enumerate().take(self.nodes.len()) {
            let log = self.nodes[seat].own(Stream::Records);
            if self.nodes[seat].up.is_some()
                && self.nodes[seat].may_write(&log)
                && !self.is_forked(seat)
                && !cast.writes.is_empty()
            {
                let body = Body::PeriodClosed(PeriodClosed { month: 202_612 });
                let change = author::change(code(cast.writes[0]), body);
                let drafts = vec![author::single(&mut self.rng, self.now_ms, change)];
                self.put(seat, Job::Write { stream: Stream::Records, drafts });
            }
        }
        self.quiet()
    }

    /// Links hold, clocks are right, processes run, operators do what they are told to.
    pub fn heal(&mut self) -> Result<()> {
        self.chaos = false;
        self.strays.clear();
        for node in &mut self.nodes {
            (node.skew_ms, node.starts_at, node.crash) = (0, 0, None);
        }
        for link in &mut self.links {
            (link.down_until, link.stalled_until) = (0, 0);
        }
        // Two histories meet when a session begins: what a copy wrote behind the heads that it showed, its parent has not seen.
        (1..self.nodes.len())
            .filter(|seat| self.is_forked(*seat))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|seat| self.cut(seat));
        let mut last = false;
        for round in 0.. {
            self.quiet()?;
            let behind: Vec<usize> = (1..self.nodes.len()).filter(|seat| self.needs_recovery(*seat)).collect();
            for seat in &behind {
                self.recover(*seat)?;
            }
            self.stalled();
            self.tick(QUARTER_MS)?;
            self.quiet()?;
            let Some(missing) = self.missing() else {
                if !last {
                    last = true;
                    self.last_words()?;
                    continue;
                }
                break;
            };
            if round == ROUNDS / 2 {
                // A package that was on its way when its sender was put back, and reaches the parent afterwards, is more than the sender has. It
                // hears of that when a session begins.
                (1..self.links.len()).for_each(|link| self.cut(link));
            }
            if round >= ROUNDS {
                return Err(Violation(format!("it does not heal: {missing}")));
            }
        }
        Ok(())
    }

    /// A link on which nothing moves while an answer is due is cut after a quarter of an hour, as the node does: packages that overtook each
    /// other can make one be dropped for good.
    fn stalled(&mut self) {
        for link in 1..self.links.len() {
            if [0, 1].into_iter().any(|end| self.side(link, end).is_some_and(|side| side.session.awaits_peer())) {
                self.cut(link);
            }
        }
    }

    /// Everybody works until there is nothing to do.
    fn quiet(&mut self) -> Result<()> {
        let begin = self.stats.steps;
        let mut busy = true;
        while busy {
            busy = false;
            for seat in 0..self.nodes.len() {
                if self.nodes[seat].up.is_none() {
                    self.start(seat)?;
                }
                while self.nodes[seat].up.as_ref().is_some_and(|up| !up.queue.is_empty()) {
                    self.stats.steps += 1;
                    self.commit(seat)?;
                    busy = true;
                }
            }
            for link in 1..self.links.len() {
                let dialled = self.links[link].live.as_ref().is_some_and(|live| live.sides[0].is_some());
                if !dialled {
                    busy |= self.connect(link)?;
                }
                for end in [0, 1] {
                    if self.work(link, end)? {
                        self.stats.steps += 1;
                        busy = true;
                    }
                }
            }
            if self.stats.steps - begin > QUIET_WITHIN {
                return Err(Violation("it never comes to rest".into()));
            }
        }
        Ok(())
    }

    /// Entries of a log that a seat holds, as far as they count.
    fn counted(&self, seat: usize, log: &LogId) -> u64 {
        let node = &self.nodes[seat];
        node.store.size(log).min(node.valid_size(log).unwrap_or(u64::MAX))
    }

    /// The first thing that somebody should have and has not.
    fn missing(&mut self) -> Option<String> {
        for seat in 0..self.nodes.len() {
            let node = &self.nodes[seat];
            if node.unsure {
                return Some(format!("{} does not know whether it is behind", node.id));
            }
            let stopped =
                node.store.logs.values().find(|row| row.trouble.is_some() && !self.watch.forked.contains(&row.log));
            if let Some(row) = stopped {
                return Some(format!("{} has stopped {}: {:?}", node.id, row.log, row.trouble));
            }
            // What a lost disk took with it, and nobody else had, did not happen.
            self.watch.settle(node);
        }
        let logs: Vec<(LogId, u64)> = self.watch.truth.iter().map(|(log, truth)| (log.clone(), truth.size())).collect();
        for (log, size) in logs {
            let author = self.nodes.iter().position(|node| node.id == *log.node());
            let forked = self.watch.forked.contains(&log);
            let (above, must) = match author {
                Some(seat) if !forked => (self.above(seat), size),
                Some(seat) => (self.above(seat), self.nodes[self.parents[seat]].store.size(&log)),
                None => {
                    let dead = self.dead.iter().find(|(id, _, _)| id == log.node());
                    let Some((_, parent, above)) = dead else { continue };
                    // Who took its place there has no logs of others' children.
                    if self.nodes[*parent].id != *above {
                        continue;
                    }
                    let held = self.counted(*parent, &log);
                    let mut above = self.above(*parent);
                    above.push(*parent);
                    (above, held)
                }
            };
            let mut holders = match log.stream() {
                Stream::Records | Stream::Directory => above,
                Stream::Mail(to) => match author {
                    Some(seat) => self.path(seat, to),
                    None => Vec::new(),
                },
            };
            if let Some(seat) = author {
                if !forked {
                    holders.push(seat);
                }
                if *log.stream() == Stream::Directory {
                    holders.extend((0..self.nodes.len()).filter(|other| self.above(*other).contains(&seat)));
                }
            }
            for holder in holders {
                let held = self.counted(holder, &log);
                if held != must {
                    return Some(format!("{} holds {held} of {must} entries of {log}", self.nodes[holder].id));
                }
            }
            if let (Some(seat), Stream::Records | Stream::Directory, false) = (author, log.stream(), forked) {
                // Who has no word of the author for this size gives its receipt with the next entry.
                for giver in self.above(seat) {
                    let rows = |seat: usize| self.nodes[seat].store.logs.get(&log);
                    if rows(giver).is_none_or(|row| row.checkpoint.is_none()) {
                        continue;
                    }
                    let key = (log.clone(), self.nodes[giver].id.clone());
                    let receipted = self.nodes[seat].store.receipts.get(&key).map_or(0, |row| row.size);
                    if receipted != must {
                        return Some(format!("{} receipted {receipted} of {must} entries of {log}", key.1));
                    }
                }
            }
        }
        None
    }

    /// The seats from below `from` to that of `to`, if it is below.
    fn path(&self, from: usize, to: &NodeId) -> Vec<usize> {
        let Some(target) = self.nodes.iter().position(|node| node.id == *to) else { return Vec::new() };
        let above = self.above(target);
        match above.iter().position(|seat| *seat == from) {
            Some(at) => above[..at].iter().copied().chain([target]).collect(),
            None => Vec::new(),
        }
    }

    /// Every node against the model, and what was promised against what is there.
    pub fn account(&mut self) -> Result<()> {
        for seat in 0..self.nodes.len() {
            let node = &self.nodes[seat];
            self.watch.whole(node)?;
            self.watch.all_promises(node, |log| self.is_due(seat, log))?;
            let mut model = Figures::default();
            for (log, held) in &node.store.entries {
                let own = self.watch.forked.contains(log) && *log.node() == node.id;
                if *log.stream() != Stream::Records || own {
                    continue;
                }
                let Some(truth) = self.watch.truth.get(log).filter(|truth| truth.entries.len() >= held.len()) else {
                    return Err(Violation(format!("{} holds more of {log} than its author wrote", node.id)));
                };
                model.take(truth.entries[..held.len()].iter().map(|entry| &**entry));
            }
            if !self.is_forked(seat) {
                model
                    .compare(&node.store)
                    .map_err(|what| Violation(format!("{}, beside the model: {what}", node.id)))?;
            }
            self.two_histories(seat)?;
        }
        Ok(())
    }

    /// Whether a log of a node that is there comes to a seat, by the tree as it is now.
    fn is_due(&self, seat: usize, log: &LogId) -> bool {
        let Some(author) = self.nodes.iter().position(|node| node.id == *log.node()) else { return false };
        let (above, below) = (self.above(seat).contains(&author), self.above(author).contains(&seat));
        match log.stream() {
            Stream::Records => below,
            Stream::Directory => above || below,
            Stream::Mail(to) => self.path(author, to).contains(&seat),
        }
    }

    /// When two histories of a node's log met, somebody has both statements.
    fn two_histories(&self, seat: usize) -> Result<()> {
        if !self.is_forked(seat) {
            return Ok(());
        }
        let (node, parent) = (&self.nodes[seat], &self.nodes[self.parents[seat]]);
        let own_logs = [Stream::Directory, Stream::Records].map(|stream| node.own(stream));
        // What is kept about one log of a node shows that the node was copied.
        let is_kept = |node: &Node| node.store.evidence.iter().any(|(of, _)| own_logs.contains(of));
        for log in &own_logs {
            let (own, above) = (node.store.log(log), parent.store.log(log));
            let parted = own.iter().zip(above).position(|(own, above)| own.leaf != above.leaf);
            // Whose session has ended meanwhile hears no alarm; the evidence stays.
            let is_noticed =
                self.nodes.iter().any(is_kept) || own_logs.iter().any(|log| self.watch.alarms.contains(log));
            if (parted.is_some() || own.len() < above.len()) && !is_noticed {
                return Err(Violation(format!("two histories of {log}, and nobody noticed")));
            }
            if parted.is_none() || own.len() < above.len() {
                // Where the author holds less than its parent nobody can compare.
                continue;
            }
            // What the author lays beside the other history proves it, unless by a key that the parent took for replaced there: that says nothing.
            let keys = |of: &Node| Some(of.up.as_ref()?.directory.node(&node.id)?.keys().clone());
            let counts = keys(node).zip(keys(parent)).is_some_and(|(ours, theirs)| {
                let receipt = node.store.receipts.get(&(log.clone(), parent.id.clone()));
                let receipted = receipt.map_or(0, |receipt| receipt.size);
                let at = telling(|at| ours.at(log, at), receipted, above.len() as u64);
                let (own, above) = (&own[at as usize], &above[at as usize]);
                let key = theirs.at(log, at).fingerprint();
                own.leaf != above.leaf
                    && Envelope::decode(own.envelope.clone()).is_ok_and(|entry| entry.keyids().contains(&key))
            });
            if counts && !is_kept(node) && !is_kept(parent) {
                return Err(Violation(format!("two histories of {log}, and nobody kept both statements")));
            }
        }
        Ok(())
    }
}
