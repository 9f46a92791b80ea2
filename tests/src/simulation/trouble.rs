//! What goes wrong: processes that end, links that fail, clocks that jump, disks that are put back, lost or copied, packages that come again or
//! that no honest node makes. What people do about it is in `operator`.

use danso_core::ledger::{Draft, Sealing, seal};
use danso_core::sync::Package;
use danso_core::verify::Position;
use danso_proto::change::{Body, PeriodClosed};
use danso_proto::envelope::SoftwareSigner;
use danso_proto::ids::{LogId, Stream};
use danso_proto::package::SealedEntry;

use super::author;
use super::cast::{VERSION, code};
use super::node::{Crash, Node};
use super::pipeline::Job;
use super::world::{Result, World};

const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// Some trouble; `n` is 960 to 999.
pub fn happens(world: &mut World, n: usize) -> Result<()> {
    match n {
        960..970 => world.link_fails(),
        970..976 => world.process_ends(),
        976..982 => world.package_comes_again(),
        982..985 => world.package_of_nobody(),
        985..988 => world.clock_jumps(),
        988..991 => world.is_backed_up(),
        991 => world.is_silent_for_a_year()?,
        992..994 => world.is_restored(),
        994 => world.loses_its_disk()?,
        995 => world.is_copied(),
        _ => world.operate()?,
    }
    Ok(())
}

impl World {
    fn link_fails(&mut self) {
        let link = 1 + self.rng.below(self.links.len() - 1);
        let steps = self.rng.below(250) as u64;
        match self.rng.below(4) {
            0 => self.links[link].stalled_until = self.stats.steps + steps,
            1 => {
                let end = self.rng.below(2);
                self.stats.cuts += 1;
                self.leave(link, end);
            }
            _ => {
                self.stats.cuts += 1;
                self.links[link].down_until = self.stats.steps + steps;
                self.cut(link);
            }
        }
    }

    fn process_ends(&mut self) {
        let seat = self.rng.below(self.nodes.len());
        let point = match self.rng.below(6) {
            0 if self.nodes[seat].up.is_some() => return self.crash(seat),
            0..3 => Crash::Write(self.rng.below(40) as u64),
            3 => Crash::BeforeCommit,
            _ => Crash::AfterCommit,
        };
        self.nodes[seat].crash = Some(point);
    }

    /// A package from a bundle, or sent again: the whole, what is behind its beginning, or only its beginning.
    fn package_comes_again(&mut self) {
        let at = self.rng.below(self.strays.len().max(1));
        let Some((seat, mut package)) = self.strays.get(at).cloned() else { return };
        let count = package.entries.len();
        match self.rng.below(3) {
            0 if count > 1 => {
                let skip = 1 + self.rng.below(count - 1);
                package.entries.drain(..skip);
                package.first += skip as u64;
            }
            1 if count > 1 => {
                package.entries.truncate(count - 1);
                package.checkpoint = None;
            }
            _ => {}
        }
        self.stats.strays += 1;
        self.put(seat, Job::Receive { package, origin: None });
    }

    /// What an author may not write, or somebody else writes in its name. None of it may pass: the watch knows what authors committed.
    fn package_of_nobody(&mut self) {
        let link = 1 + self.rng.below(self.links.len() - 1);
        let (child, parent) = (link, self.parents[link]);
        let log = self.nodes[child].own(Stream::Records);
        let Some(row) = self.nodes[parent].store.logs.get(&log) else { return };
        let position = row.head.position();
        let now_ms = self.clock(child);
        let body = Body::PeriodClosed(PeriodClosed { month: 202_601 });
        let own = self.nodes[child].signer.clone();
        let stranger = SoftwareSigner::from_secret(&self.rng.bytes());
        let above = self.nodes[parent].signer.clone();
        // One whose key a former parent vouched for, if there is one.
        let mut impostors = self.impostors.iter().rev().filter(|(id, _)| *id == self.nodes[child].id);
        let stranger = impostors.next().map_or(&stranger, |(_, impostor)| impostor);
        let own_unit = self.nodes[child].id.unit();
        let before = Position { size: position.size.saturating_sub(1), last_leaf: None };
        let (unit, position, signer) = match self.rng.below(5) {
            // About a unit that is not below it.
            0 => (code("VN"), position, &*own),
            1 => (own_unit, position, stranger),
            // In the name of its child.
            2 => (own_unit, position, &*above),
            // Other bytes where something stands, and an entry that hangs in the air.
            3 => (own_unit, before, &*own),
            _ => (own_unit, Position { size: position.size, last_leaf: Some([7; 32]) }, &*own),
        };
        let random = self.rng.bytes();
        let salt_seed = self.rng.bytes();
        let change = author::change(unit, body);
        let draft = Draft { first_id: Node::change_id(now_ms, random), changes: vec![change], parts: vec![None] };
        let sealing =
            Sealing { log: &log, position, recorded_at_ms: now_ms, units_version: VERSION, salt_seed, signer };
        let Ok((envelope, parts)) = seal(draft, &sealing) else { return };
        let entry = SealedEntry { envelope: envelope.bytes().clone(), parts };
        // The first entry of a log hangs on nothing, so that the copy of one that is not there yet would be the author's own word.
        if position.size == 0 {
            return;
        }
        self.stats.hostile += 1;
        let package = Package { log, first: position.size, entries: vec![entry], checkpoint: None };
        self.put(parent, Job::Receive { package, origin: None });
    }

    /// Years ahead, years back, or right again.
    fn clock_jumps(&mut self) {
        let seat = self.rng.below(self.nodes.len());
        let years = self.rng.below(60) as i64 - 30;
        self.stats.jumps += 1;
        self.nodes[seat].skew_ms = if self.rng.one_in(3) { 0 } else { years * YEAR_MS };
    }

    fn is_silent_for_a_year(&mut self) -> Result<()> {
        let link = 1 + self.rng.below(self.links.len() - 1);
        self.stats.years += 1;
        self.cut(link);
        self.links[link].down_until = self.stats.steps + 500;
        self.tick(YEAR_MS)
    }

    fn is_backed_up(&mut self) {
        let seat = 1 + self.rng.below(self.nodes.len() - 1);
        let node = &mut self.nodes[seat];
        if !node.unsure {
            node.backup = Some(node.store.backup());
        }
    }

    /// Whether what a seat's disk loses beyond `kept` can be told by its parent alone. What only the parent's peers hold is out of its sight, and
    /// a node that went on from there would contradict it: against that stands the head that a node keeps outside its database.
    fn may_lose(&self, seat: usize, kept: impl Fn(&LogId) -> u64) -> bool {
        let node = &self.nodes[seat];
        let parent = &self.nodes[self.parents[seat]];
        let doubtful = |node: &Node| node.unsure || node.store.logs.values().any(|row| row.trouble.is_some());
        let near = self
            .above(seat)
            .into_iter()
            .chain((0..self.nodes.len()).filter(|other| self.above(*other).contains(&seat)));
        let calm = !near.into_iter().any(|other| doubtful(&self.nodes[other])) && !doubtful(node);
        let own = node.store.logs.values().filter(|row| *row.log.node() == node.id);
        // Who was put back takes whichever history of a copied node comes first, and those above hold the other: the two are found where they
        // meet, but which of them counts is not the watch's to say.
        let copied = |other: usize| self.is_forked(other) && self.above(other).contains(&seat);
        // Nor what is still in the queue of one that was its parent until it was taken over.
        let queued = |other: usize| other != self.parents[seat] && self.has_jobs_of(other, seat);
        calm && !self.is_forked(seat)
            && !(0..self.nodes.len()).any(queued)
            && !(0..self.nodes.len()).any(copied)
            && own.into_iter().all(|row| {
                let (log, held) = (&row.log, parent.store.size(&row.log));
                let told = match log.stream() {
                    Stream::Records => held >= self.watch.spread(log),
                    _ => held == row.head.size() || kept(log) == row.head.size(),
                };
                told && held >= kept(log).min(self.watch.spread(log))
            })
    }

    fn is_restored(&mut self) {
        let seat = 1 + self.rng.below(self.nodes.len() - 1);
        let Some(backup) = &self.nodes[seat].backup else { return };
        if !self.may_lose(seat, |log| backup.size(log)) {
            return;
        }
        self.stats.restores += 1;
        self.note(|| format!("{} is restored", self.nodes[seat].id));
        self.forget(seat);
        let node = &mut self.nodes[seat];
        if let Some(backup) = node.backup.take() {
            node.backup = Some(backup.backup());
            node.store = backup;
        }
        (node.unsure, node.told_behind) = (true, false);
        self.watch.rewound(&self.nodes[seat]);
    }

    /// A seat's machine is gone with all that was on its way from it.
    pub fn forget(&mut self, seat: usize) {
        let starts_at = self.stats.steps + 1 + self.rng.below(150) as u64;
        self.nodes[seat].stop(starts_at);
        for link in 1..self.links.len() {
            if link == seat || self.parents[link] == seat {
                self.cut(link);
            }
        }
        let id = self.nodes[seat].id.clone();
        self.strays.retain(|(_, package)| *package.log.node() != id);
        for running in self.nodes.iter_mut().filter_map(|node| node.up.as_mut()) {
            let bundled =
                |job: &Job| matches!(job, Job::Receive { origin: None, package } if *package.log.node() == id);
            running.queue.retain(|job| !bundled(job));
        }
    }

    /// The disk is gone and the key with it: the parent vouches for a new one, and gives back what it holds.
    fn loses_its_disk(&mut self) -> Result<()> {
        let seat = 1 + self.rng.below(self.nodes.len() - 1);
        let parent = self.parents[seat];
        // What the parent still has in its queue would come behind the bound of the old key.
        if !self.may_lose(seat, |_| 0) || self.has_jobs_of(parent, seat) || !self.can_enrol(parent) {
            return Ok(());
        }
        self.stats.disks_lost += 1;
        self.note(|| format!("{} loses its disk", self.nodes[seat].id));
        self.forget(seat);
        self.vouch(seat)
    }

    /// The machine is copied, and both copies go on.
    fn is_copied(&mut self) {
        if let Some((seat, _)) = self.twin {
            if self.copies_rotate && self.rng.one_in(2) {
                self.rotate(seat);
                return;
            }
            return self.other_copy_comes(seat);
        }
        let seat = 1 + self.rng.below(self.nodes.len() - 1);
        let node = &self.nodes[seat];
        let records = node.own(Stream::Records);
        let writes = node.store.logs.get(&records).is_some_and(|row| row.trouble.is_none());
        // A copy from the middle of a change of keys writes with the old one, beyond its bound: that says nothing, lest a key which was replaced
        // because it leaked stop its owner. Such copies end with an alarm, not with evidence.
        let rekeys = node.next_signer.is_some();
        if !self.is_leaf(seat) || node.unsure || !writes || rekeys || self.is_forked(seat) {
            return;
        }
        self.stats.forks += 1;
        self.note(|| format!("{} is copied", self.nodes[seat].id));
        let mut copy = Node::new(node.id.clone(), node.anchor, SoftwareSigner::from_secret(&[0; 32]));
        copy.signer = node.signer.clone();
        copy.first_key = node.first_key;
        copy.store = node.store.backup();
        copy.roster = node.roster.clone();
        for stream in [Stream::Records, Stream::Directory] {
            self.watch.fork(&self.nodes[seat].own(stream));
        }
        self.twin = Some((seat, copy));
    }

    fn other_copy_comes(&mut self, seat: usize) {
        self.nodes[seat].stop(0);
        self.cut(seat);
        if let Some((_, copy)) = &mut self.twin {
            std::mem::swap(copy, &mut self.nodes[seat]);
        }
        self.nodes[seat].starts_at = self.stats.steps + 1;
        self.watch.rewound(&self.nodes[seat]);
    }
}
