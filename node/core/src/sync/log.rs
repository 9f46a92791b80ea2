//! What a session knows about one log, and the table of them.

use std::collections::VecDeque;

use danso_proto::ids::{LogId, Stream};
use danso_proto::merkle::{Hash, empty_root};
use danso_proto::refusal::{Reason, Refusal};

use super::Session;
use super::frame::Head;

/// Order of sending: class of the stream, rank, turn, log.
pub(super) type Key = (u8, u32, u64, u32);

/// Class of `directory` in a [`Key`].
pub(super) const DIRECTORY: u8 = 0;

/// How far the peer's head was compared with what is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// The peer's entries are a beginning of ours, or it has none.
    Done,
    /// Our root at the size of this head was asked for.
    Asked(Box<Head>),
    /// The peer holds more than we do: compared as soon as we hold as much.
    Ahead(Box<Head>),
}

/// Why a log does not move in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing but a new session, or an operator, helps.
    Final,
    /// Until a directory log is durable at both ends, or until this time.
    Directory(i64),
    /// Until this time.
    Later(i64),
}

impl Stop {
    /// How long a refusal of the peer lasts.
    pub(super) fn after(reason: Reason, now_ms: i64) -> Self {
        use danso_proto::refusal::Class;
        match reason {
            // An operator's decision comes in a directory log. A checkpoint can be signed with a key whose announcement is on its way, and a child
            // has another parent until that is revoked.
            Reason::KeyNotEnrolled
            | Reason::OutOfScope
            | Reason::UnitsVersionUnknown
            | Reason::LogNotForLink
            | Reason::LogQuarantined
            | Reason::CheckpointInvalid => Self::Directory(now_ms.saturating_add(super::RETRY_DIRECTORY_MS)),
            Reason::SequenceGap | Reason::DiskFull | Reason::StoreDamaged | Reason::ReadOnly => {
                Self::Later(now_ms.saturating_add(super::RETRY_MS))
            }
            _ if matches!(reason.class(), Class::Unavailable | Class::Internal) => {
                Self::Later(now_ms.saturating_add(super::RETRY_MS))
            }
            _ => Self::Final,
        }
    }
}

/// An entry of an own log that is laid beside the one of another history.
#[derive(Debug)]
pub(super) struct Proof {
    /// Entries that both ends have.
    pub(super) size: u64,
    /// See [`super::Action::LoadProof`].
    pub(super) unless_known: bool,
    /// What is said behind it.
    pub(super) refusal: Option<(u64, Refusal)>,
}

/// One log in a session.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) id: LogId,
    /// We are its source over this link, else its sink.
    pub(super) out: bool,
    rank: u32,
    /// Durable here: size and root.
    pub(super) have: (u64, Hash),
    /// Size here when the session began.
    pub(super) began: u64,
    pub(super) check: Check,
    pub(super) stop: Option<Stop>,
    // --- as source
    /// Durable at the peer, by its own word.
    pub(super) acked: u64,
    /// Given to the carrier.
    pub(super) sent: u64,
    /// A package from here on is being read.
    pub(super) loading: Option<u64>,
    /// An entry of ours is to be laid beside the peer's.
    pub(super) proof: Option<Proof>,
    turn: u64,
    key: Option<Key>,
    // --- as sink
    /// What the peer certainly holds.
    pub(super) shown: u64,
    /// Ends of the packages that wait for their commit.
    pub(super) waiting: VecDeque<u64>,
    /// A refusal that is sent as soon as nothing waits.
    pub(super) refusal: Option<(u64, Refusal)>,
    /// Refused in this session; taken up again where we stand.
    pub(super) refused: bool,
    /// An entry was taken that was laid beside ours, after the log had stopped.
    pub(super) weighed: bool,
}

impl Log {
    pub(super) fn class(&self) -> u8 {
        match self.id.stream() {
            Stream::Directory => DIRECTORY,
            Stream::Mail(_) => 1,
            Stream::Records => 2,
        }
    }

    /// Next entry that we wait for.
    pub(super) fn expected(&self) -> u64 {
        self.waiting.iter().fold(self.have.0, |size, end| size.max(*end))
    }
}

impl Session {
    pub(super) fn find(&self, id: &LogId) -> Option<usize> {
        self.index.get(id).map(|at| *at as usize)
    }

    /// The log's place in the table; it is made when it is not there.
    pub(super) fn find_or_add(&mut self, id: &LogId, out: bool, rank: u32) -> usize {
        if let Some(at) = self.find(id) {
            return at;
        }
        let at = self.logs.len();
        self.index.insert(id.clone(), at as u32);
        self.logs.push(Log {
            id: id.clone(),
            out,
            rank,
            have: (0, empty_root()),
            began: 0,
            check: Check::Done,
            stop: None,
            acked: 0,
            sent: 0,
            loading: None,
            proof: None,
            turn: 0,
            key: None,
            shown: 0,
            waiting: VecDeque::new(),
            refusal: None,
            refused: false,
            weighed: false,
        });
        at
    }

    /// A log known from the peer's heads only gets its rank when it begins here.
    pub(super) fn set_rank(&mut self, at: usize, rank: u32) {
        if self.logs[at].rank != rank {
            let old = (self.logs[at].rank, at as u32);
            self.open.remove(&old);
            self.logs[at].rank = rank;
        }
    }

    /// The next package of this log comes behind those of the others in its class.
    pub(super) fn pass_turn(&mut self, at: usize) {
        self.turn += 1;
        self.logs[at].turn = self.turn;
    }

    /// Puts the log in or out of the order of sending, after anything about it changed.
    pub(super) fn refresh(&mut self, at: usize) {
        let log = &mut self.logs[at];
        if !log.out {
            return;
        }
        if matches!(log.stop, Some(Stop::Directory(_) | Stop::Later(_))) {
            self.stopped.insert(at as u32);
        } else {
            self.stopped.remove(&(at as u32));
        }
        let class = log.class();
        let moves = log.stop.is_none() && log.check == Check::Done;
        let key = (moves && log.loading.is_none() && log.sent < log.have.0).then_some((
            class,
            if class == DIRECTORY { log.rank } else { 0 },
            log.turn,
            at as u32,
        ));
        if log.key != key {
            if let Some(old) = log.key.take() {
                self.ready.remove(&old);
            }
            if let Some(new) = key {
                self.ready.insert(new);
            }
            log.key = key;
        }
        if class == DIRECTORY {
            let entry = (log.rank, at as u32);
            let compared = matches!(log.check, Check::Asked(_)) && log.stop.is_none();
            if compared || (moves && log.acked < log.have.0) {
                self.open.insert(entry);
            } else {
                self.open.remove(&entry);
            }
        }
    }
}
