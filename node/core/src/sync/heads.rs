//! Hello, heads, and what follows from comparing them: forks, logs that were cut, and being behind oneself.

use danso_proto::ids::{LogId, Stream};
use danso_proto::limits;
use danso_proto::merkle::{Hash, empty_root};
use danso_proto::refusal::{Reason, Refusal};

use super::event::{Action, Held};
use super::frame::{Frame, Head, Hello};
use super::log::{Check, Proof, Stop};
use super::way::{Kin, flows};
use super::{RETRY_MS, Role, SKEW_WARN_MS, Session, cut, unexpected};

impl Session {
    pub(super) fn start(&mut self, heads: Vec<Held>, kin: &dyn Kin, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.started {
            return Err(Refusal::new(Reason::Internal, "the session was started twice"));
        }
        self.started = true;
        for held in heads {
            let Some(way) = flows(&held.head.log, &self.link, kin) else { continue };
            let at = self.find_or_add(&held.head.log, way == self.out_way(), held.rank);
            self.logs[at].have = (held.head.size, held.head.root);
            self.logs[at].began = held.head.size;
            self.heads_out.push_back(held.head);
        }
        let count = self.heads_out.len();
        if count > limits::HEADS_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("{count} logs concern this link")));
        }
        let hello = Hello {
            protocol: self.protocol.clone(),
            software: self.software.clone(),
            node: self.me.clone(),
            clock_ms: self.now_ms,
            heads: count as u32,
        };
        self.send(Frame::Hello(hello), out);
        Ok(())
    }

    pub(super) fn hello(&mut self, hello: Hello, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.heads_missing.is_some() {
            return Err(unexpected("a second hello"));
        }
        if hello.node != self.peer {
            let detail = format!("the hello is of {}, the certificate of {}", hello.node, self.peer);
            return Err(Refusal::new(Reason::CertificateUnknown, detail));
        }
        let protocol = *self.protocol.end().min(hello.protocol.end());
        if !self.protocol.contains(&protocol) || !hello.protocol.contains(&protocol) {
            let ((a, b), (c, d)) = (self.protocol.clone().into_inner(), hello.protocol.into_inner());
            let detail = format!("we speak protocol {a} to {b}, the peer {c} to {d}");
            return Err(Refusal::new(Reason::ProtocolUnsupported, detail));
        }
        if hello.heads as usize > limits::HEADS_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("{} heads announced", hello.heads)));
        }
        let skew_ms = hello.clock_ms.saturating_sub(self.now_ms);
        self.greeted = Some((protocol, skew_ms));
        let skewed = skew_ms.unsigned_abs() > SKEW_WARN_MS;
        out.push(Action::Greeted { protocol, software: cut(hello.software, limits::TEXT_MAX), skew_ms, skewed });
        self.heads_missing = Some(hello.heads as usize);
        if hello.heads == 0 {
            self.heads_complete(out);
        }
        Ok(())
    }

    pub(super) fn heads(&mut self, heads: Vec<Head>, kin: &dyn Kin, out: &mut Vec<Action>) -> Result<(), Refusal> {
        let missing = self.heads_missing.unwrap_or(0);
        if heads.len() > limits::HEADS_PER_FRAME {
            return Err(Refusal::new(Reason::TooLarge, format!("{} heads in a frame", heads.len())));
        }
        let Some(left) = missing.checked_sub(heads.len()).filter(|_| !heads.is_empty()) else {
            return Err(unexpected("heads other than announced"));
        };
        for head in heads {
            // A log whose author is not known here yet: its enrolment comes first, and a head that is missing counts as none.
            let way = flows(&head.log, &self.link, kin);
            // Except of a log of our own: an old copy of a node may have lost whom it wrote to.
            let is_lost = || (self.role == Role::Child && *head.log.node() == self.me).then_some(self.out_way());
            let Some(way) = way.or_else(is_lost) else { continue };
            let at = self.find_or_add(&head.log, way == self.out_way(), u32::MAX);
            let log = &mut self.logs[at];
            // Kept until all are here: what is missing among them matters, too. A head that comes twice counts once.
            if log.check == Check::Done && log.shown == 0 {
                log.shown = head.size;
                log.check = Check::Ahead(Box::new(head));
            }
        }
        self.heads_missing = Some(left);
        if left == 0 {
            self.heads_complete(out);
        }
        Ok(())
    }

    fn heads_complete(&mut self, out: &mut Vec<Action>) {
        for at in 0..self.logs.len() {
            let log = &mut self.logs[at];
            log.acked = log.shown;
            log.sent = log.shown;
            let theirs = match std::mem::replace(&mut log.check, Check::Done) {
                Check::Done if *log.id.node() == self.peer && !matches!(log.id.stream(), Stream::Mail(_)) => {
                    // Its author does not even name it. Mail is left out: whom it is for may be known at one end only.
                    Head { log: log.id.clone(), size: 0, root: empty_root(), checkpoint: None }
                }
                Check::Done => {
                    self.refresh(at);
                    continue;
                }
                Check::Asked(head) | Check::Ahead(head) => *head,
            };
            self.compare(at, theirs, true, out);
        }
    }

    /// Compares the peer's head with what is here. `first`: right after the heads, when sizes of the authors themselves count.
    fn compare(&mut self, at: usize, theirs: Head, first: bool, out: &mut Vec<Action>) {
        let log = &mut self.logs[at];
        let (size, root) = log.have;
        if theirs.size > size {
            if *log.id.node() == self.me {
                log.stop = Some(Stop::Final);
                out.push(Action::Behind { log: log.id.clone(), ours: size, theirs });
                // It may be more than behind: a copy that changed its key shows a head which the peer cannot read.
                self.lay_beside(at, Proof { size, unless_known: true, refusal: None });
            } else if log.out {
                if first {
                    out.push(Action::PeerAhead { log: log.id.clone(), ours: size, theirs: theirs.size });
                }
                log.check = Check::Ahead(Box::new(theirs));
            }
        } else if theirs.size == size {
            if size > 0 && theirs.root != root {
                return self.fork(at, Reason::RootDiffers, root, theirs, out);
            }
        } else if *log.id.node() == self.peer && theirs.size < log.began {
            // What came another way since the session began may be younger than the author's heads.
            return self.fork(at, Reason::LogShorter, root, theirs, out);
        } else if theirs.size > 0 {
            out.push(Action::CompareRoot { log: log.id.clone(), size: theirs.size, root: theirs.root });
            log.check = Check::Asked(Box::new(theirs));
        }
        self.refresh(at);
    }

    pub(super) fn root_at(&mut self, id: &LogId, size: u64, root: Option<Hash>, out: &mut Vec<Action>) {
        let Some(at) = self.find(id) else { return };
        let log = &mut self.logs[at];
        let Check::Asked(theirs) = &log.check else { return };
        if theirs.size != size {
            return;
        }
        match root {
            Some(root) if root == theirs.root => log.check = Check::Done,
            Some(root) => {
                let theirs = Head::clone(theirs);
                return self.fork(at, Reason::RootDiffers, root, theirs, out);
            }
            // It only would have shown a fork earlier: each entry names the one before it.
            None if !log.out => log.check = Check::Done,
            None => {
                // Asked again when the stop is over.
                let theirs = theirs.clone();
                log.check = Check::Ahead(theirs);
                log.stop = Some(Stop::Later(self.now_ms.saturating_add(RETRY_MS)));
            }
        }
        self.refresh(at);
    }

    /// Says once when every log of our own was compared, and the peer holds nothing of them that we do not.
    pub(super) fn own_logs_agree(&mut self, out: &mut Vec<Action>) {
        if self.agreed || self.heads_missing != Some(0) {
            return;
        }
        let mut own = self.logs.iter().filter(|log| log.out && *log.id.node() == self.me);
        if own.all(|log| log.check == Check::Done && log.stop != Some(Stop::Final)) {
            self.agreed = true;
            out.push(Action::OwnLogsAgree);
        }
    }

    fn fork(&mut self, at: usize, reason: Reason, root: Hash, theirs: Head, out: &mut Vec<Action>) {
        let log = &mut self.logs[at];
        log.check = Check::Done;
        log.stop = Some(Stop::Final);
        let (id, ours) = (log.id.clone(), (log.have.0, root));
        let detail = match reason {
            Reason::LogShorter => format!("{} entries were receipted, {} are shown", ours.0, theirs.size),
            _ => format!("another root at size {}", theirs.size),
        };
        let refusal = Refusal::new(reason, detail);
        // The peer cannot compare a log that is longer here, and proves nothing by entries that came without the author's word for their size. An
        // entry of ours laid beside proves it: both are signed. Heads of one size that are both signed need no more, if both can be read.
        let unless_known = theirs.checkpoint.is_some() && theirs.size == ours.0;
        match reason == Reason::RootDiffers && log.out && id.node() == &self.me && log.loading.is_none() {
            true => {
                let refusal = Some((theirs.size, refusal));
                self.lay_beside(at, Proof { size: theirs.size, unless_known, refusal });
            }
            false => self.refuse(at, theirs.size, refusal, out),
        }
        out.push(Action::Quarantine { log: id, reason, ours, theirs });
        self.refresh(at);
    }

    /// A log grew here by another way than this link.
    pub(super) fn appended(&mut self, held: Held, kin: &dyn Kin, out: &mut Vec<Action>) -> Result<(), Refusal> {
        let Held { head, rank } = held;
        let Some(way) = flows(&head.log, &self.link, kin) else { return Ok(()) };
        let at = self.find_or_add(&head.log, way == self.out_way(), rank);
        if self.logs[at].out != (way == self.out_way()) {
            return Err(turned(&head.log));
        }
        self.set_rank(at, rank);
        let log = &mut self.logs[at];
        if head.size > log.have.0 {
            log.have = (head.size, head.root);
        }
        self.recheck(at, out);
        Ok(())
    }

    /// Takes up a comparison that waited for entries of ours or for time.
    pub(super) fn recheck(&mut self, at: usize, out: &mut Vec<Action>) {
        let log = &mut self.logs[at];
        match std::mem::replace(&mut log.check, Check::Done) {
            Check::Ahead(theirs) if self.heads_missing == Some(0) && log.stop.is_none() => {
                self.compare(at, *theirs, false, out);
            }
            check => {
                log.check = check;
                self.refresh(at);
            }
        }
    }
}

/// After a takeover a directory can come down that went up before. All that is known of the log is about the other way: both ends begin anew.
pub(super) fn turned(log: &LogId) -> Refusal {
    Refusal::new(Reason::LinkDown, format!("{log} goes the other way since a takeover; the session begins anew"))
}
