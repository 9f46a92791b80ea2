//! What people do: found and join, write, recover, replace, change keys, take over; and how peace comes back. All of it goes through the same
//! doors as everything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_core::ledger::{Draft, Sealing, seal};
use danso_core::sync::Package;
use danso_core::verify::{Directory, Position};
use danso_proto::change::{Body, ForwardingPolicy, Genesis, NodeEnrolled, NodeRekeyed, NodeRevoked, PolicyPublished};
use danso_proto::envelope::{Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::package::SealedEntry;
use danso_proto::refusal::{Reason, Refusal};

use super::author;
use super::cast::{self, SEATS, VERSION, code};
use super::node::{Node, Running};
use super::pipeline::Job;
use super::world::{Result, Violation, World};

fn broken(what: &str) -> impl Fn(Refusal) -> Violation + '_ {
    move |refusal| Violation(format!("{what}: {} {}", refusal.reason, refusal.detail))
}

impl World {
    // --- joining

    /// The root, its genesis and its unit list.
    pub fn found(&mut self) -> Result<()> {
        let signer = SoftwareSigner::from_secret(&self.rng.bytes());
        let key = *signer.public_key();
        let unit = code(SEATS[0].unit);
        let id = NodeId::new(&unit, key.as_bytes());
        let anchor = key.fingerprint();
        let mut node = Node::new(id.clone(), anchor, signer);
        let log = node.own(Stream::Directory);
        let genesis = Body::Genesis(Genesis {
            node: id.clone(),
            unit: unit.clone(),
            log_public_key: *key.as_bytes(),
            trust_domain: "danso.test".into(),
        });
        let draft = author::single(&mut self.rng, self.now_ms, author::change(unit.clone(), genesis));
        let sealing = Sealing {
            log: &log,
            position: Position::default(),
            recorded_at_ms: self.now_ms,
            units_version: VERSION,
            salt_seed: self.rng.bytes(),
            signer: &*node.signer,
        };
        let (envelope, _) = seal(draft, &sealing).map_err(|error| Violation(error.to_string()))?;
        let entry = SealedEntry { envelope: envelope.bytes().clone(), parts: None };
        self.watch.key(&id, key);
        found(&mut node, envelope)?;
        self.nodes.push(node);
        let package = Package { log, first: 0, entries: vec![entry], checkpoint: None };
        self.transact(0, vec![Job::Receive { package, origin: None }])?;
        let parts = cast::units().split(limits::UNITS_PER_PART);
        let drafts = parts.into_iter().map(|part| author::change(unit.clone(), Body::UnitsPublished(part)));
        let drafts: Vec<Draft> = drafts.map(|change| author::single(&mut self.rng, self.now_ms, change)).collect();
        self.transact(0, vec![Job::Write { stream: Stream::Directory, drafts }])?;
        Ok(())
    }

    /// A new node for a seat: its parent enrols it and gives it the directory from the anchor down.
    pub fn joined(&mut self, seat: usize) -> Result<Node> {
        let signer = SoftwareSigner::from_secret(&self.rng.bytes());
        let key = *signer.public_key();
        let unit = code(SEATS[seat].unit);
        let id = NodeId::new(&unit, key.as_bytes());
        self.watch.key(&id, key);
        let parent = self.parents[seat];
        self.enrol(parent, &id, key.as_bytes())?;
        let mut node = Node::new(id, self.nodes[parent].anchor, signer);
        self.give_directory(parent, &mut node)?;
        Ok(node)
    }

    fn enrol(&mut self, by: usize, id: &NodeId, key: &[u8; 32]) -> Result<()> {
        let body = Body::NodeEnrolled(NodeEnrolled {
            node: id.clone(),
            unit: id.unit(),
            log_public_key: *key,
            policy: ForwardingPolicy::Full,
            former: self.former(by, id),
        });
        self.publish(by, author::change(id.unit(), body))
    }

    /// What a seat has read of those whose child it takes over.
    fn former(&self, by: usize, id: &NodeId) -> Vec<(LogId, u64)> {
        let node = &self.nodes[by];
        let former = node.up.iter().flat_map(|up| up.directory.former(id, &node.id));
        former.map(|log| (log.clone(), node.store.size(&log))).collect()
    }

    /// Writes into a seat's directory log, and tells.
    fn publish(&mut self, seat: usize, change: danso_proto::change::Change) -> Result<()> {
        let now_ms = self.clock(seat);
        let draft = author::single(&mut self.rng, now_ms, change);
        self.nodes[seat].crash = None;
        let job = Job::Write { stream: Stream::Directory, drafts: vec![draft] };
        let done = self.transact(seat, vec![job])?;
        let log = self.nodes[seat].own(Stream::Directory);
        if !done.as_ref().is_some_and(|done| done.logs.contains(&log)) {
            let why = done.map(|done| done.refused);
            return Err(Violation(format!("{log} was not written: {why:?}")));
        }
        self.tell(seat, &[log], &[])
    }

    /// The directory logs that a seat has of those that were ever above a node, the anchor's first, for a node that has nothing.
    fn give_directory(&mut self, from: usize, node: &mut Node) -> Result<()> {
        let Some(running) = &self.nodes[from].up else { return Err(Violation("the parent is down".into())) };
        let mut ancestry = running.directory.ancestry(&node.id);
        ancestry.retain(|above| *above != node.id);
        for above in ancestry {
            let log = LogId::new(above, Stream::Directory);
            // What counts nowhere would be refused.
            let max = self.nodes[from]
                .valid_size(&log)
                .map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
            let Some(package) = self.nodes[from].load(&log, 0, max) else { continue };
            if node.up.is_none() {
                let first = Envelope::decode(package.entries[0].envelope.clone()).map_err(broken("genesis"))?;
                found(node, first)?;
            }
            let mut around = super::pipeline::Around { now_ms: self.now_ms, rng: &mut self.rng, bug: None };
            let done = node.batch(vec![Job::Receive { package, origin: None }], &mut around);
            let done = done.map_err(|_| Violation("nothing ends a join here".into()))?;
            self.refused_of_others("join", &node.id, done.refused)?;
        }
        self.watch.look_again(node);
        Ok(())
    }

    // --- writing

    /// Somebody writes something.
    pub fn write(&mut self) {
        let seat = self.rng.below(self.nodes.len());
        let now_ms = self.clock(seat);
        let job = match self.rng.below(12) {
            0 => {
                let to = 1 + self.rng.below(self.nodes.len() - 1);
                let Some(above) = self.rng.pick(&self.above(to)).copied() else { return };
                let node = &self.nodes[to];
                let stream = Stream::Mail(node.id.clone());
                let drafts = vec![author::letter(&mut self.rng, now_ms, node.id.unit())];
                return self.put(above, Job::Write { stream, drafts });
            }
            1 => {
                let body = Body::PolicyPublished(PolicyPublished { min_version: String::new() });
                let drafts = vec![author::single(&mut self.rng, now_ms, author::change(code("VN"), body))];
                return self.put(0, Job::Write { stream: Stream::Directory, drafts });
            }
            _ => {
                let mut drafts = Vec::new();
                for _ in 0..=self.rng.below(2) {
                    let roster = &mut self.nodes[seat].roster;
                    drafts.extend(author::slips(&mut self.rng, now_ms, SEATS[seat].writes, roster));
                }
                Job::Write { stream: Stream::Records, drafts }
            }
        };
        if SEATS[seat].writes.is_empty() || !self.nodes[seat].may_write(&self.nodes[seat].own(Stream::Records)) {
            return;
        }
        self.put(seat, job);
    }

    // --- operating

    /// An operator does one thing.
    pub fn operate(&mut self) -> Result<()> {
        if self.spite && self.rng.one_in(4) {
            self.speak_of_former_child()?;
        }
        let seat = 1 + self.rng.below(self.nodes.len() - 1);
        match self.rng.below(8) {
            0 => self.replace(seat),
            1 => self.take_over(seat),
            2 | 3 => {
                self.rotate(seat);
                Ok(())
            }
            _ => {
                for seat in 1..self.nodes.len() {
                    if self.needs_recovery(seat) {
                        self.recover(seat)?;
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether a seat's node can write enrolments now.
    pub fn can_enrol(&self, seat: usize) -> bool {
        let node = &self.nodes[seat];
        // One that believes that it was revoked does nothing for others, until it hears that the word of who said so counts no more.
        let known = node.up.as_ref().and_then(|up| up.directory.node(&node.id));
        // Nor one whose new parent's word about its key is still on its way.
        known.is_some_and(|known| !known.is_revoked() && known.key() == node.signer.public_key())
            && node.may_write(&node.own(Stream::Directory))
    }

    /// Whether packages of a link wait for their commit at a seat.
    pub fn has_jobs_of(&self, seat: usize, link: usize) -> bool {
        let queue = self.nodes[seat].up.iter().flat_map(|running| &running.queue);
        queue.into_iter().any(|job| matches!(job, Job::Receive { origin: Some(origin), .. } if origin.link == link))
    }

    /// A node that is gone for good gets a successor with a key of its own; sometimes the old key is bounded.
    fn replace(&mut self, seat: usize) -> Result<()> {
        let parent = self.parents[seat];
        let known = self.nodes[parent].up.as_ref().and_then(|up| up.directory.node(&self.nodes[seat].id)).is_some();
        if !self.is_leaf(seat) || !self.can_enrol(parent) || !known {
            return Ok(());
        }
        self.stats.replaced += 1;
        self.note(|| format!("{} is replaced", self.nodes[seat].id));
        self.nodes[seat].stop(0);
        self.cut(seat);
        self.twin = self.twin.take_if(|(twin, _)| *twin != seat);
        let node = self.joined(seat)?;
        let old = std::mem::replace(&mut self.nodes[seat], node);
        // What is at its own parent and not here would not count any more: the node refuses that.
        if self.rng.one_in(2) && !self.has_jobs_of(parent, seat) && !self.nodes[parent].parent_ahead {
            let logs = [Stream::Directory, Stream::Records].map(|stream| old.own(stream));
            let bounds = logs.map(|log| (log.clone(), self.nodes[parent].store.size(&log))).to_vec();
            let revoked = NodeRevoked { node: old.id.clone(), bounds, reason: "replaced".into() };
            self.publish(parent, author::change(old.id.unit(), Body::NodeRevoked(revoked)))?;
        }
        let above = self.nodes[parent].id.clone();
        self.dead.push((old.id, parent, above));
        Ok(())
    }

    /// A node above the parent enrols a node: the parent's tier has gone.
    fn take_over(&mut self, seat: usize) -> Result<()> {
        let parent = self.parents[seat];
        let above = self.parents[parent];
        if parent == 0 || !self.can_enrol(above) || self.nodes[seat].unsure || self.is_forked(seat) {
            return Ok(());
        }
        let key = self.nodes[above].up.as_ref().and_then(|up| Some(*up.directory.node(&self.nodes[seat].id)?.key()));
        // Its new parent may not have heard of its key: the node says where that signs.
        let can_say = self.nodes[seat].up.is_some();
        // A node that is behind gets back what it lost from the parent that knows it.
        if key.is_none() || !can_say || self.nodes[seat].store.logs.values().any(|row| row.trouble.is_some()) {
            return Ok(());
        }
        self.stats.moved += 1;
        self.note(|| format!("{} is taken over", self.nodes[seat].id));
        let (id, key) = (self.nodes[seat].id.clone(), self.nodes[seat].first_key);
        self.former.push((seat, id.clone(), parent, self.nodes[parent].id.clone()));
        self.enrol(above, &id, &key)?;
        let known = self.nodes[above].up.as_ref().and_then(|up| up.directory.node(&id));
        for rekeyed in known.map(|node| node.keys().vouched(&id)).unwrap_or_default() {
            self.publish(above, author::change(id.unit(), Body::NodeRekeyed(rekeyed)))?;
        }
        self.vouch_for_what_it_has(seat, above)?;
        self.cut(seat);
        self.parents[seat] = above;
        Ok(())
    }

    /// The keys that a node had and has, as far as its new parent has not heard of them.
    fn vouch_for_what_it_has(&mut self, seat: usize, above: usize) -> Result<()> {
        let node = &self.nodes[seat];
        let known = |seat: usize| self.nodes[seat].up.as_ref().and_then(|up| up.directory.node(&node.id));
        let key = *node.signer.public_key();
        let Some(there) = known(above) else { return Ok(()) };
        let is_known =
            |print: &Fingerprint| self.nodes[above].up.as_ref().is_some_and(|up| up.directory.has_key(&node.id, print));
        let held = self.nodes[above].store.logs.values().filter(|row| *row.log.node() == node.id);
        let held: BTreeMap<LogId, u64> = held.map(|row| (row.log.clone(), row.head.size())).collect();
        let stated = known(seat).filter(|known| *known.key() == key).map(|known| known.keys().stated(&node.id));
        let mut news = there.keys().unheard(&stated.unwrap_or_default(), &held, is_known);
        if news.last().map_or(there.key().as_bytes(), |last| &last.log_public_key) != key.as_bytes() {
            let from = held.into_iter().collect();
            news.push(NodeRekeyed { node: node.id.clone(), log_public_key: *key.as_bytes(), from });
        }
        let unit = node.id.unit();
        for rekeyed in news {
            self.note(|| format!("its new parent vouches: {rekeyed:?}"));
            self.publish(above, author::change(unit.clone(), Body::NodeRekeyed(rekeyed)))?;
        }
        Ok(())
    }

    /// A former parent vouches for a key of its child that somebody else has, or revokes the child, when it is not its child any more.
    fn speak_of_former_child(&mut self) -> Result<()> {
        let Some((child, id, parent, by)) = self.rng.pick(&self.former).cloned() else { return Ok(()) };
        if self.nodes[child].id != id || self.nodes[parent].id != by || !self.can_enrol(parent) {
            return Ok(());
        }
        self.note(|| format!("{by} speaks of {id}, which is not its child any more"));
        self.stats.spite += 1;
        // What those below it are vouched for by it hangs on its word.
        let directory = self.nodes[parent].up.as_ref().map(|up| up.directory.clone());
        let below =
            directory.iter().flat_map(|directory| directory.nodes().filter(|node| directory.was_above(&id, node.id())));
        below.for_each(|node| self.watch.spoken_of(node.id()));
        self.watch.spoken_of(&id);
        let body = match self.rng.one_in(3) {
            true => Body::NodeRevoked(NodeRevoked { node: id.clone(), bounds: Vec::new(), reason: "spite".into() }),
            false => {
                let signer = SoftwareSigner::from_secret(&self.rng.bytes());
                let log_public_key = *signer.public_key().as_bytes();
                let held = self.nodes[parent].store.logs.keys().filter(|log| *log.node() == id);
                let from = match self.rng.one_in(2) {
                    true => held.map(|log| (log.clone(), self.nodes[parent].store.size(log))).collect(),
                    false => Vec::new(),
                };
                self.impostors.push((id.clone(), signer));
                Body::NodeRekeyed(NodeRekeyed { node: id.clone(), log_public_key, from })
            }
        };
        self.note(|| format!("it says {body:?}"));
        self.publish(parent, author::change(id.unit(), body))
    }

    /// A node changes its key.
    pub fn rotate(&mut self, seat: usize) {
        if (self.is_forked(seat) && !self.copies_rotate) || !self.can_enrol(seat) {
            return;
        }
        // One that was cut goes on with the key that it made.
        if self.nodes[seat].next_signer.is_none() {
            let next = SoftwareSigner::from_secret(&self.rng.bytes());
            self.watch.key(&self.nodes[seat].id, *next.public_key());
            self.nodes[seat].next_signer = Some(next.into());
            self.stats.rekeyed += 1;
            self.stats.copies_rekeyed += u64::from(self.is_forked(seat));
        }
        self.put(seat, Job::Rotate);
    }

    /// The parent vouches for a new key of a node that lost its disk; what it holds of the node comes back, then the node goes on.
    pub fn vouch(&mut self, seat: usize) -> Result<()> {
        let parent = self.parents[seat];
        let signer = SoftwareSigner::from_secret(&self.rng.bytes());
        let old = &self.nodes[seat];
        let mut node = Node::new(old.id.clone(), old.anchor, SoftwareSigner::from_secret(&[0; 32]));
        (node.first_key, node.roster, node.starts_at) = (old.first_key, old.roster.clone(), old.starts_at);
        self.watch.key(&node.id, *signer.public_key());
        let held = self.nodes[parent].store.logs.values().filter(|row| *row.log.node() == node.id);
        let from = held.map(|row| (row.log.clone(), row.head.size())).collect();
        let rekeyed = NodeRekeyed { node: node.id.clone(), log_public_key: *signer.public_key().as_bytes(), from };
        node.signer = signer.into();
        self.watch.rewound(&node);
        self.publish(parent, author::change(node.id.unit(), Body::NodeRekeyed(rekeyed)))?;
        self.give_directory(parent, &mut node)?;
        self.nodes[seat] = node;
        self.give_back(seat)?;
        Ok(())
    }

    /// Whether a node was told that it is behind itself, and its parent can help.
    pub fn needs_recovery(&self, seat: usize) -> bool {
        let node = &self.nodes[seat];
        let mut troubled = node.store.logs.values().filter(|row| row.trouble == Some(Reason::ReadOnly));
        let up = self.nodes[self.parents[seat]].up.is_some() && node.up.is_some();
        up && !self.is_forked(seat)
            && (node.parent_ahead || node.told_behind || troubled.any(|row| *row.log.node() == node.id))
    }

    /// `recover`: the node's own logs and the directory come back from the parent, through the same door as everything.
    pub fn recover(&mut self, seat: usize) -> Result<()> {
        self.hang_up(seat);
        self.nodes[seat].stop(0);
        self.note(|| format!("{} recovers", self.nodes[seat].id));
        self.start(seat)?;
        if self.give_back(seat)? && self.vouch_on(seat)? {
            self.stats.recoveries += 1;
            let node = &mut self.nodes[seat];
            (node.unsure, node.parent_ahead, node.told_behind) = (false, false, false);
        }
        Ok(())
    }

    /// A node announced its key from an entry on that it lost, and that came to nobody: the parent vouches for the key from where its logs
    /// end. Says whether the key signs on.
    fn vouch_on(&mut self, seat: usize) -> Result<bool> {
        let (node, parent) = (&self.nodes[seat], self.parents[seat]);
        let keys = |seat: usize| self.nodes[seat].up.as_ref().and_then(|up| Some(up.directory.node(&node.id)?.keys()));
        let Some(ours) = keys(seat) else { return Ok(false) };
        if *ours.current() != *node.signer.public_key() || ours.signs_on(|log| node.store.size(log)) {
            return Ok(true);
        }
        if !self.can_enrol(parent) {
            return Ok(false);
        }
        let held =
            self.nodes[parent].store.logs.keys().chain(node.store.logs.keys()).filter(|log| *log.node() == node.id);
        let end = |log: &LogId| self.nodes[parent].store.size(log).max(node.store.size(log));
        let from: BTreeMap<LogId, u64> = held.map(|log| (log.clone(), end(log))).collect();
        let (id, key) = (node.id.clone(), *node.signer.public_key().as_bytes());
        let rekeyed = NodeRekeyed { node: id.clone(), log_public_key: key, from: from.into_iter().collect() };
        self.publish(parent, author::change(id.unit(), Body::NodeRekeyed(rekeyed)))?;
        self.give_back(seat)
    }

    fn give_back(&mut self, seat: usize) -> Result<bool> {
        let (node, parent) = (&self.nodes[seat], &self.nodes[self.parents[seat]]);
        let Some(theirs) = parent.up.as_ref().map(|running| running.directory.clone()) else { return Ok(false) };
        let told = theirs.ancestry_below(&node.id).into_iter().map(|node| LogId::new(node, Stream::Directory));
        let written = parent.store.logs.keys().filter(|log| match log.stream() {
            Stream::Directory => false,
            Stream::Mail(_) => *log.node() == node.id,
            Stream::Records => *log.node() == node.id || theirs.was_above(&node.id, log.node()),
        });
        let mut wanted: Vec<LogId> = told.collect();
        wanted.extend(written.cloned());
        let counted = |log: &LogId| {
            parent.valid_size(log).map_or(usize::MAX, |size| {
                usize::try_from(size.saturating_sub(node.store.size(log))).unwrap_or(usize::MAX)
            })
        };
        let packages = wanted.iter().filter_map(|log| parent.load(log, node.store.size(log), counted(log))).collect();
        let Some(done) = self.transact(seat, vec![Job::Recover(packages)])? else { return Ok(false) };
        let id = self.nodes[seat].id.clone();
        self.refused_of_others("recover", &id, done.refused)?;
        Ok(true)
    }

    /// A log of somebody else can be refused until a takeover is heard of, and comes over the link then. Nothing else is.
    fn refused_of_others(&self, what: &str, id: &NodeId, refused: Vec<(LogId, Refusal)>) -> Result<()> {
        for (log, refusal) in refused {
            if log.node() == id {
                return Err(broken(what)(refusal));
            }
            self.watch.refused(&log, refusal.reason, &refusal.detail)?;
        }
        Ok(())
    }
}

fn found(node: &mut Node, genesis: Envelope) -> Result<()> {
    let directory = Directory::found(genesis, node.anchor).map_err(broken("genesis"))?;
    node.up = Some(Running { directory: Arc::new(directory), queue: Default::default() });
    Ok(())
}
