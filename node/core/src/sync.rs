//! The exchange over one link as a state machine, the same for both ends: events in, actions out. No I/O, no clock, no randomness;
//! times come in events. It sees packages, never what is in their entries, and takes nobody's word for what the pipeline must verify.
//!
//! ```text
//!      child                                   parent
//!        | Hello, Heads ...  --->  <---  Hello, Heads ...      both at once; nothing else before both are complete
//!        |                                                     heads compared: fork, shorter log, behind
//!        | Package  directory, rank by rank  --->              a rank waits until the lower ones are durable above
//!        | Package  records                  --->              up to `window` in flight; +1 for each Durable
//!        |                     <---  Durable {log, size}       only after the commit; the only cursor there is
//!        |       <---  Package  directory, rank by rank; mail
//!        | Durable             --->
//!        |                     <---  Refused {log, sequence}   stops that log; the others go on
//!        |                     <---  Receipts, Question
//!        | Reply ...           --->
//! ```
//!
//! Of each log one end is the source and the other the sink ([`flows`]). Who holds more of a log compares the other's root with its own
//! at that size, before anything of the log is sent. Memory is bounded by the number of logs, the window, and one answer.

mod answer;
mod event;
mod frame;
mod heads;
mod log;
mod proof;
mod sink;
mod source;
mod way;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use danso_proto::ids::{LogId, NodeId};
use danso_proto::limits;
pub use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};

use answer::Questions;
pub use event::{Action, Event, Held};
pub use frame::{Durable, ForwardedReceipt, Frame, Head, Hello, Question, Refused, Reply};
use log::{Key, Log};
pub use proof::telling;
pub use way::{Kin, Link, Way, at_or_below, flows, rank};

/// Difference of clocks that is worth a warning, milliseconds.
pub const SKEW_WARN_MS: u64 = 60_000;
/// After this time a log is sent again that the peer refused for a passing reason, milliseconds.
pub const RETRY_MS: i64 = 60_000;
/// After this time a log is sent again that the peer refused for want of a directory log, although none moved over this link: the peer
/// may have got it elsewhere. Milliseconds.
pub const RETRY_DIRECTORY_MS: i64 = 15 * 60_000;
/// Frames that the carrier was given and has not taken, up to which heads and replies are added. Packages have their window.
const OUTBOX_FRAMES: usize = 8;
/// Frames that the carrier has not taken, at which no more of the peer's are read: each of them may be answered by one of ours, and a peer
/// that sends and does not read would fill our memory with them. Far above what a session needs that reads what it is sent.
const UNSENT_MAX: usize = 512;

/// An end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Dials.
    Child,
    /// Is dialled.
    Parent,
}

/// What a session begins with.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Our end.
    pub role: Role,
    /// This node.
    pub me: NodeId,
    /// The node that TLS proved to be at the other end.
    pub peer: NodeId,
    /// Versions of the protocol that we speak.
    pub protocol: RangeInclusive<u32>,
    /// Packages in flight at first: 1, or what [`Session::window_after_cut`] of the session before gave.
    pub window_start: u32,
    /// Our software, for people.
    pub software: String,
}

/// One session of a link, from hello to its end.
#[derive(Debug)]
pub struct Session {
    role: Role,
    me: NodeId,
    peer: NodeId,
    link: Link,
    protocol: RangeInclusive<u32>,
    software: String,
    started: bool,
    closed: bool,
    /// The last time that an event brought.
    now_ms: i64,
    /// Frames that the carrier has not taken yet.
    unsent: usize,
    /// Our heads that are still to be sent.
    heads_out: VecDeque<Head>,
    /// The peer's hello came; how many of its heads are still to come.
    heads_missing: Option<usize>,
    greeted: Option<(u32, i64)>,
    index: BTreeMap<LogId, u32>,
    logs: Vec<Log>,
    // --- as source
    window: u32,
    /// Sent and not answered yet: log and size after the package.
    in_flight: Vec<(u32, u64)>,
    loading: usize,
    ready: BTreeSet<Key>,
    /// Directory logs, by rank, that are not durable at the peer yet.
    open: BTreeSet<(u32, u32)>,
    turn: u64,
    /// Own logs of which an entry is to be laid beside the peer's, directories first.
    proofs: BTreeSet<(u8, u32)>,
    /// Logs with a stop that ends by itself.
    stopped: BTreeSet<u32>,
    // --- as sink
    /// Packages that wait for their commit.
    waiting: usize,
    /// It was told that our own logs agree with the peer's.
    agreed: bool,
    /// Receipts that wait for the directory to be durable at the child.
    receipts_out: BTreeMap<(LogId, NodeId), ForwardedReceipt>,
    questions: Questions,
}

impl Session {
    /// A session that waits for [`Event::Start`].
    pub fn new(config: SessionConfig) -> Self {
        let (me, peer) = (config.me, config.peer);
        let link = match config.role {
            Role::Child => Link { child: me.clone(), parent: peer.clone() },
            Role::Parent => Link { child: peer.clone(), parent: me.clone() },
        };
        Self {
            role: config.role,
            me,
            peer,
            link,
            protocol: config.protocol,
            software: config.software,
            started: false,
            closed: false,
            now_ms: 0,
            unsent: 0,
            heads_out: VecDeque::new(),
            heads_missing: None,
            greeted: None,
            index: BTreeMap::new(),
            logs: Vec::new(),
            window: config.window_start.clamp(1, limits::WINDOW_MAX),
            in_flight: Vec::new(),
            loading: 0,
            ready: BTreeSet::new(),
            open: BTreeSet::new(),
            turn: 0,
            proofs: BTreeSet::new(),
            stopped: BTreeSet::new(),
            waiting: 0,
            agreed: false,
            receipts_out: BTreeMap::new(),
            questions: Questions::default(),
        }
    }

    /// Our end.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The other end.
    pub fn peer(&self) -> &NodeId {
        &self.peer
    }

    /// Takes one event and appends what is to be done to `out`. After [`Action::Close`] nothing comes any more.
    pub fn step(&mut self, event: Event, kin: &dyn Kin, out: &mut Vec<Action>) {
        if self.closed {
            return;
        }
        match self.take(event, kin, out) {
            Ok(()) => self.pump(out),
            Err(refusal) => {
                self.closed = true;
                out.push(Action::Close(refusal));
            }
        }
    }

    /// An error ends the link; what concerns one log only is dealt with further in.
    fn take(&mut self, event: Event, kin: &dyn Kin, out: &mut Vec<Action>) -> Result<(), Refusal> {
        match event {
            Event::Start { now_ms, heads } => {
                self.now_ms = now_ms;
                self.start(heads, kin, out)?;
            }
            _ if !self.started => return Err(Refusal::new(Reason::Internal, "the session was not started")),
            Event::Frame { frame, now_ms } => {
                self.now_ms = now_ms;
                self.frame(frame, kin, out)?;
            }
            Event::Loaded { package } => self.loaded(package, out),
            Event::LoadedNothing { log } => self.loaded_nothing(&log, out),
            Event::Committed { log, size, root, receipt } => self.committed(&log, size, root, receipt, out),
            Event::Refused { log, size, root, sequence, refusal } => {
                self.refused_here(&log, (size, root), sequence, refusal, out);
            }
            Event::RootAt { log, size, root } => self.root_at(&log, size, root, out),
            Event::Appended(held) => self.appended(held, kin, out)?,
            Event::ReceiptsChanged(receipts) => self.send_receipts(receipts, kin, out),
            Event::Ask(question) => self.ask(question, out),
            Event::Forget { id } => self.questions.forget(id),
            Event::Answered { id, answer } => self.questions.answered(id, answer),
            Event::Sent => self.unsent = self.unsent.saturating_sub(1),
            Event::Tick { now_ms } => {
                self.now_ms = now_ms;
                self.retry_later(out);
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: Frame, kin: &dyn Kin, out: &mut Vec<Action>) -> Result<(), Refusal> {
        match (self.role, frame) {
            (_, Frame::Hello(hello)) => return self.hello(hello, out),
            _ if self.heads_missing.is_none() => return Err(unexpected("a frame before the hello")),
            (_, Frame::Heads(heads)) => return self.heads(heads, kin, out),
            (Role::Child, Frame::Receipts(receipts)) => self.receipts(receipts, kin, out),
            (Role::Child, Frame::Question(question)) => self.question(question, out),
            (Role::Parent, Frame::Reply(reply)) => self.questions.reply(reply, out),
            (_, Frame::Receipts(_) | Frame::Question(_)) => {
                return Err(unexpected("from a child: receipts or a question"));
            }
            (_, Frame::Reply(_)) => return Err(unexpected("from a parent: a reply")),
            _ if self.heads_missing != Some(0) => return Err(unexpected("a package or its answer before all heads")),
            (_, Frame::Package(package)) => return self.package(package, kin, out),
            (_, Frame::Durable(durable)) => self.durable(durable, out),
            (_, Frame::Refused(refused)) => self.refused_there(refused, out),
        }
        Ok(())
    }

    /// Everything that there is room for now: heads, then replies, then loads of packages.
    fn pump(&mut self, out: &mut Vec<Action>) {
        while !self.heads_out.is_empty() && self.unsent < OUTBOX_FRAMES {
            let chunk = self.heads_out.len().min(limits::HEADS_PER_FRAME);
            let heads = self.heads_out.drain(..chunk).collect();
            self.send(Frame::Heads(heads), out);
        }
        while self.unsent < OUTBOX_FRAMES {
            let Some(reply) = self.questions.next_reply() else { break };
            self.send(Frame::Reply(reply), out);
        }
        self.flush_receipts(out);
        if self.heads_out.is_empty() && self.heads_missing == Some(0) {
            self.load(out);
        }
        self.own_logs_agree(out);
    }

    fn send(&mut self, frame: Frame, out: &mut Vec<Action>) {
        self.unsent += 1;
        out.push(Action::Send(frame));
    }

    fn out_way(&self) -> Way {
        match self.role {
            Role::Child => Way::Up,
            Role::Parent => Way::Down,
        }
    }

    /// The version that both speak, once the peer's hello came.
    pub fn protocol(&self) -> Option<u32> {
        self.greeted.map(|(protocol, _)| protocol)
    }

    /// The peer's clock less ours at its hello, milliseconds.
    pub fn skew_ms(&self) -> Option<i64> {
        self.greeted.map(|(_, skew)| skew)
    }

    /// Packages in flight that are allowed now.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Whether another frame of the peer may be read; if not, not before an [`Event::Sent`].
    pub fn has_room(&self) -> bool {
        self.unsent < UNSENT_MAX
    }

    /// Whether the peer has to say or take something: it was sent what it has not taken, or not answered.
    pub fn awaits_peer(&self) -> bool {
        self.unsent > 0 || !self.in_flight.is_empty() || self.heads_missing != Some(0)
    }

    /// With what the next session begins when the link is cut now.
    pub fn window_after_cut(&self) -> u32 {
        (self.window / 2).max(1)
    }

    /// Whether [`Action::Close`] came.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Entries that we hold and the peer has not confirmed yet. Counts logs that are stopped, too.
    pub fn backlog(&self) -> u64 {
        self.logs.iter().filter(|log| log.out).map(|log| log.have.0.saturating_sub(log.acked)).sum()
    }

    /// Whether all heads came, and nothing is on its way in either direction that is not stopped. The peer may have more to send.
    pub fn is_idle(&self) -> bool {
        self.heads_missing == Some(0)
            && self.heads_out.is_empty()
            && self.waiting == 0
            && self.loading == 0
            && self.in_flight.is_empty()
            && self.ready.is_empty()
            && self.open.is_empty()
    }
}

/// Text of the peer for people, within a bound.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

fn unexpected(what: &str) -> Refusal {
    Refusal::new(Reason::FrameUnexpected, what)
}
