//! Links: two sessions and what lies between them. Frames of a session come in order, as the carrier promises; packages may come twice and
//! change places, links stall and are cut, and one end may go on for a while after the other is gone.

use std::collections::VecDeque;

use danso_core::sync::{Action, Event, ForwardedReceipt, Frame, Head, Link, Role, Session, SessionConfig, Way, flows};
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::refusal::Reason;

use super::node::{check_receipt, select};
use super::pipeline::{Job, Origin};
use super::planted::Bug;
use super::store::ReceiptRow;
use super::world::{Result, Violation, World};

/// Something that an end does as soon as it comes to it.
pub enum Todo {
    Load(LogId, u64),
    Proof(LogId, u64, bool),
    Root(LogId, u64),
    OfferReceipts,
}

/// One end while it is up.
pub struct Side {
    pub session: Session,
    pub link: Link,
    /// Frames that the carrier took and of which the session was not told yet.
    pub credit: usize,
    pub todo: VecDeque<Todo>,
}

/// A session at both ends.
pub struct Live {
    pub generation: u64,
    pub sides: [Option<Side>; 2],
    /// Frames on their way to each end.
    pub wires: [VecDeque<Frame>; 2],
}

/// The link of a seat to the seat above.
#[derive(Default)]
pub struct LinkState {
    pub live: Option<Live>,
    pub windows: [u32; 2],
    /// Nobody dials before this step.
    pub down_until: u64,
    /// Nothing moves before this step.
    pub stalled_until: u64,
}

/// Bundles that are kept to come again.
const STRAYS: usize = 40;

impl World {
    /// The seat at an end of a link: 0 is the child's.
    pub fn seat_at(&self, link: usize, end: usize) -> usize {
        if end == 0 { link } else { self.parents[link] }
    }

    pub fn side(&mut self, link: usize, end: usize) -> Option<&mut Side> {
        self.links[link].live.as_mut()?.sides[end].as_mut()
    }

    /// Dials, if both ends are ready for it; whether there is a session now.
    pub fn connect(&mut self, link: usize) -> Result<bool> {
        let seats = [link, self.parents[link]];
        let ready = seats.iter().all(|seat| {
            let queue = self.nodes[*seat].up.as_ref().map(|running| &running.queue);
            // The heads are read after all commits of the session before were answered.
            let waits = |job: &Job| matches!(job, Job::Receive { origin: Some(origin), .. } if origin.link == link);
            queue.is_some_and(|queue| !queue.iter().any(waits))
        });
        let (child, parent) = (self.nodes[seats[0]].id.clone(), self.nodes[seats[1]].id.clone());
        let admitted = self.nodes[seats[1]].up.as_ref().and_then(|running| running.directory.node(&child));
        if !ready || admitted.is_none_or(danso_core::verify::Node::is_revoked) {
            return Ok(false);
        }
        self.generation += 1;
        let ends = Link { child: child.clone(), parent: parent.clone() };
        let side = |end: usize| Side {
            session: Session::new(SessionConfig {
                role: if end == 0 { Role::Child } else { Role::Parent },
                me: if end == 0 { child.clone() } else { parent.clone() },
                peer: if end == 0 { parent.clone() } else { child.clone() },
                protocol: 1..=1,
                window_start: self.links[link].windows[end].max(1),
                software: "simulation".into(),
            }),
            link: ends.clone(),
            credit: 0,
            todo: VecDeque::new(),
        };
        let live =
            Live { generation: self.generation, sides: [Some(side(0)), Some(side(1))], wires: Default::default() };
        self.links[link].live = Some(live);
        self.stats.sessions += 1;
        for end in [0, 1] {
            let seat = self.seat_at(link, end);
            let event = Event::Start { now_ms: self.clock(seat), heads: self.nodes[seat].heads(&ends) };
            self.feed(link, end, event)?;
        }
        Ok(true)
    }

    /// The link ends at both ends at once, with all that was on its way.
    pub fn cut(&mut self, link: usize) {
        for end in [0, 1] {
            self.leave(link, end);
        }
        self.links[link].live = None;
    }

    /// One end is gone. The other finds out when it has read what came before.
    pub fn leave(&mut self, link: usize, end: usize) {
        let state = &mut self.links[link];
        let Some(live) = &mut state.live else { return };
        if let Some(side) = live.sides[end].take() {
            state.windows[end] = side.session.window_after_cut();
        }
        live.wires[end].clear();
        if end == 0 {
            self.nodes[link].unread.clear();
        }
        if live.sides[1 - end].is_none() {
            state.live = None;
        }
    }

    /// One small thing at one end of a link; whether there was anything to do.
    pub fn work(&mut self, link: usize, end: usize) -> Result<bool> {
        if self.links[link].stalled_until > self.stats.steps {
            return Ok(false);
        }
        let seat = self.seat_at(link, end);
        let now_ms = self.clock(seat);
        let coin = self.rng.one_in(2);
        let Some(live) = &mut self.links[link].live else { return Ok(false) };
        let alone = live.sides[1 - end].is_none();
        let Some(side) = &mut live.sides[end] else { return Ok(false) };
        if side.credit > 0 && coin {
            side.credit -= 1;
            return self.feed(link, end, Event::Sent).map(|()| true);
        }
        let ends = side.link.clone();
        let event = match side.todo.pop_front() {
            Some(Todo::Load(log, from)) => {
                let max = 1 + self.rng.below(4);
                match self.nodes[seat].load(&log, from, max) {
                    Some(package) => Event::Loaded { package },
                    None => Event::LoadedNothing { log },
                }
            }
            Some(Todo::Proof(log, size, unless_known)) => {
                let peer = &self.nodes[self.seat_at(link, 1 - end)].id;
                match self.nodes[seat].proof(&log, size, unless_known, peer) {
                    Some(package) => Event::Loaded { package },
                    None => Event::LoadedNothing { log },
                }
            }
            Some(Todo::Root(log, size)) => {
                let root = self.nodes[seat].root_at(&log, size);
                Event::RootAt { log, size, root }
            }
            Some(Todo::OfferReceipts) => {
                let receipts = self.nodes[seat].receipts_for(&ends, now_ms);
                if receipts.is_empty() {
                    return Ok(true);
                }
                Event::ReceiptsChanged(receipts)
            }
            None if side.session.has_room() => match live.wires[end].pop_front() {
                Some(frame) => return self.hear(link, end, frame).map(|()| true),
                None if alone => {
                    self.leave(link, end);
                    return Ok(true);
                }
                None => return Ok(side.credit > 0),
            },
            None => return Ok(side.credit > 0),
        };
        self.feed(link, end, event).map(|()| true)
    }

    fn hear(&mut self, link: usize, end: usize, mut frame: Frame) -> Result<()> {
        let seat = self.seat_at(link, end);
        if let Frame::Heads(heads) = &mut frame
            && Bug::CursorInTwoPlaces.is_in(self.bug)
        {
            let peer = self.nodes[self.seat_at(link, 1 - end)].id.clone();
            self.believe_own_cursor(seat, &peer, heads);
        }
        let now_ms = self.clock(seat);
        self.feed(link, end, Event::Frame { frame, now_ms })
    }

    /// The planted fault: what was sent is taken for what arrived.
    fn believe_own_cursor(&self, seat: usize, peer: &NodeId, heads: &mut [Head]) {
        let node = &self.nodes[seat];
        for head in heads {
            let sent = node.store.sent.get(&(peer.clone(), head.log.clone())).copied().unwrap_or(0);
            if sent > head.size
                && let Some(root) = node.root_at(&head.log, sent)
            {
                *head = Head { log: head.log.clone(), size: sent, root, checkpoint: None };
            }
        }
    }

    /// Gives an end an event and does what it asks for.
    pub fn feed(&mut self, link: usize, end: usize, event: Event) -> Result<()> {
        let seat = self.seat_at(link, end);
        let Some(running) = &self.nodes[seat].up else { return Ok(()) };
        let directory = running.directory.clone();
        let Some(live) = &mut self.links[link].live else { return Ok(()) };
        let generation = live.generation;
        let Some(side) = &mut live.sides[end] else { return Ok(()) };
        let mut actions = Vec::new();
        side.session.step(event, &*directory, &mut actions);
        for action in actions {
            self.act(Origin { link, end, generation }, seat, action)?;
        }
        Ok(())
    }

    fn act(&mut self, at: Origin, seat: usize, action: Action) -> Result<()> {
        let Origin { link, end, .. } = at;
        let peer_seat = self.seat_at(link, 1 - end);
        self.note(|| {
            let text = match &action {
                Action::Send(Frame::Package(package)) => {
                    format!(
                        "package {} {}+{} {:?}",
                        package.log,
                        package.first,
                        package.entries.len(),
                        package.checkpoint
                    )
                }
                Action::Commit(package) => {
                    format!("commit {} {}+{}", package.log, package.first, package.entries.len())
                }
                other => format!("{other:?}"),
            };
            format!("{} to {}: {text}", self.nodes[seat].id, self.nodes[peer_seat].id)
        });
        match action {
            Action::Send(frame) => self.send(link, end, frame),
            Action::Load { log, from, .. } => self.later(link, end, Todo::Load(log, from)),
            Action::LoadProof { log, size, unless_known } => {
                self.later(link, end, Todo::Proof(log, size, unless_known));
            }
            Action::CompareRoot { log, size, .. } => self.later(link, end, Todo::Root(log, size)),
            Action::Commit(package) => {
                let ahead = Bug::AckBeforeCommit.is_in(self.bug).then(|| self.nodes[seat].answer_ahead(&package));
                let origin = Some(at).filter(|_| ahead.as_ref().is_none_or(Option::is_none));
                self.put(seat, Job::Receive { package, origin });
                if let Some(Some(event)) = ahead {
                    self.feed(link, end, event)?;
                }
            }
            Action::Greeted { .. } => {
                if end == 1 {
                    self.later(link, end, Todo::OfferReceipts);
                }
            }
            Action::Durable { log, size, receipt } => {
                let giver = self.nodes[peer_seat].id.clone();
                self.watch.promised(&self.nodes[peer_seat], &log, size)?;
                if let (Some(note), 0) = (receipt, end) {
                    self.keep(seat, link, vec![ForwardedReceipt { log, giver, note }])?;
                }
            }
            Action::Receipts(receipts) => self.keep(seat, link, receipts)?,
            Action::RefusedByPeer { log, reason, detail, .. } => {
                self.stats.refused += 1;
                self.watch.refused(&log, reason, &detail)?;
            }
            Action::Quarantine { log, reason, theirs, .. } => {
                self.watch.alarm(&log, reason)?;
                if reason == Reason::RootDiffers && self.nodes[seat].is_proven(&log, &theirs) {
                    self.stats.quarantines += 1;
                    self.put(seat, Job::Trouble { log, reason, shown: theirs.checkpoint });
                } else if reason == Reason::RootDiffers && end == 0 && *log.node() == self.nodes[seat].id {
                    // The parent's word stops us.
                    self.put(seat, Job::Trouble { log, reason: Reason::ReadOnly, shown: None });
                }
            }
            Action::Behind { log, theirs, .. } => {
                self.watch.behind(&log)?;
                self.nodes[seat].told_behind |= end == 0;
                let is_proven = self.nodes[seat].is_proven(&log, &theirs);
                self.stats.behind += u64::from(is_proven);
                // The parent's word stops us.
                if is_proven || end == 0 {
                    let shown = theirs.checkpoint.filter(|_| is_proven);
                    self.put(seat, Job::Trouble { log, reason: Reason::ReadOnly, shown });
                }
            }
            // What its parent holds of its logs it holds itself: now it may write.
            Action::OwnLogsAgree => {
                if end == 0 {
                    self.nodes[seat].unsure = false;
                }
            }
            Action::PeerAhead { log, ours, .. } => {
                // What counts nowhere is not missed.
                let is_due = self.nodes[seat].valid_size(&log).is_none_or(|valid| ours < valid);
                self.nodes[seat].parent_ahead |= end == 0 && is_due;
            }
            Action::Close(refusal) => {
                // Packages that came twice can be more than the largest window.
                // A log that goes the other way since a takeover begins anew.
                if !matches!(refusal.reason, Reason::TooLarge | Reason::LinkDown) {
                    return Err(Violation(format!(
                        "an honest peer was sent away: {} {}",
                        refusal.reason, refusal.detail
                    )));
                }
                self.cut(link);
            }
            Action::Answer(_) | Action::Replied { .. } => {
                return Err(Violation("nobody asked anything".into()));
            }
        }
        Ok(())
    }

    fn later(&mut self, link: usize, end: usize, todo: Todo) {
        if let Some(side) = self.side(link, end) {
            side.todo.push_back(todo);
        }
    }

    /// Puts a job into a node's queue.
    pub fn put(&mut self, seat: usize, job: Job) {
        if let Some(running) = &mut self.nodes[seat].up {
            running.queue.push_back(job);
        }
    }

    fn send(&mut self, link: usize, end: usize, frame: Frame) {
        let (seat, target) = (self.seat_at(link, end), self.seat_at(link, 1 - end));
        let (mut twice, mut swap) = (false, false);
        if let Frame::Package(package) = &frame {
            if Bug::CursorInTwoPlaces.is_in(self.bug) {
                let key = (self.nodes[target].id.clone(), package.log.clone());
                let end = package.first + package.entries.len() as u64;
                let cursor = self.nodes[seat].store.sent.entry(key).or_default();
                *cursor = end.max(*cursor);
            }
            if self.chaos {
                twice = self.rng.one_in(40);
                swap = self.rng.one_in(40);
                if self.rng.one_in(12) {
                    self.strays.push_back((target, package.clone()));
                    if self.strays.len() > STRAYS {
                        self.strays.pop_front();
                    }
                }
            }
        }
        let Some(live) = &mut self.links[link].live else { return };
        if let Some(side) = &mut live.sides[end] {
            side.credit += 1;
        }
        if live.sides[1 - end].is_none() {
            return;
        }
        let wire = &mut live.wires[1 - end];
        if twice {
            wire.push_back(frame.clone());
            self.stats.doubled += 1;
        }
        match wire.back() {
            Some(Frame::Package(_)) if swap => {
                wire.insert(wire.len() - 1, frame);
                self.stats.swapped += 1;
            }
            _ => wire.push_back(frame),
        }
    }

    /// As a child: receipts are kept once their signatures were checked.
    fn keep(&mut self, seat: usize, link: usize, receipts: Vec<ForwardedReceipt>) -> Result<()> {
        let Some(running) = &self.nodes[seat].up else { return Ok(()) };
        let directory = running.directory.clone();
        let ends = Link { child: self.nodes[seat].id.clone(), parent: self.nodes[self.parents[link]].id.clone() };
        let mut rows: Vec<ReceiptRow> = Vec::new();
        for receipt in receipts.into_iter().filter(|receipt| flows(&receipt.log, &ends, &*directory) == Some(Way::Up)) {
            // One that changes nothing is not checked again: checking is most of what a run costs.
            let held = self.nodes[seat].store.receipts.get(&(receipt.log.clone(), receipt.giver.clone()));
            if held.is_some_and(|held| {
                danso_proto::checkpoint::parse(&receipt.note).is_ok_and(|note| note.unverified().size <= held.size)
            }) {
                continue;
            }
            match check_receipt(&directory, &receipt) {
                Ok(row) => {
                    let giver = self.nodes.iter().find(|node| node.id == row.giver);
                    self.watch.receipt(&row, giver)?;
                    rows.push(row);
                }
                Err(refusal) => {
                    let held = self.nodes[seat].store.size(&receipt.log);
                    let node = &self.nodes[seat];
                    let behind = node.unsure || node.told_behind || node.parent_ahead;
                    self.watch.bad_receipt(&receipt, held, behind, &refusal)?;
                    self.nodes[seat].unread.insert((receipt.log.clone(), receipt.giver.clone()), receipt);
                }
            }
        }
        if !rows.is_empty() {
            self.put(seat, Job::Receipts(rows));
        }
        Ok(())
    }

    /// Tells all sessions of a node what a commit brought.
    pub fn tell(&mut self, seat: usize, logs: &[LogId], receipts: &[ReceiptRow]) -> Result<()> {
        // A directory log may tell who the author of other logs is.
        let all = logs.iter().any(|log| *log.stream() == Stream::Directory);
        if all {
            let unread = std::mem::take(&mut self.nodes[seat].unread);
            self.keep(seat, seat, unread.into_values().collect())?;
        }
        for link in 1..self.links.len() {
            for end in [0, 1] {
                if self.seat_at(link, end) != seat {
                    continue;
                }
                let Some(side) = self.side(link, end) else { continue };
                let ends = side.link.clone();
                let Some(running) = &self.nodes[seat].up else { continue };
                let directory = running.directory.clone();
                // What grew comes first, as in the node: the others may depend on it.
                let grew = logs.iter().filter(|log| flows(log, &ends, &*directory).is_some());
                let grew = grew.filter_map(|log| self.nodes[seat].store.logs.get(log));
                let mut held: Vec<_> = grew.map(|row| self.nodes[seat].held(&directory, row)).collect();
                if all {
                    let others = self.nodes[seat].heads(&ends).into_iter();
                    held.extend(others.filter(|held| !logs.contains(&held.head.log)));
                }
                for held in held {
                    self.feed(link, end, Event::Appended(held))?;
                }
                let receipts = select(receipts, &ends, &directory);
                if end == 1 && !receipts.is_empty() {
                    self.feed(link, end, Event::ReceiptsChanged(receipts))?;
                }
            }
        }
        Ok(())
    }
}
