//! The receiving side: what may come, in which order it is committed, and what is answered when.

use danso_proto::ids::{LogId, Stream};
use danso_proto::limits;
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

use super::event::Action;
use super::frame::{Durable, ForwardedReceipt, Frame, Refused};
use super::heads::turned;
use super::log::Stop;
use super::way::{Kin, flows};
use super::{Package, Role, Session};

impl Session {
    pub(super) fn package(&mut self, package: Package, kin: &dyn Kin, out: &mut Vec<Action>) -> Result<(), Refusal> {
        let way = flows(&package.log, &self.link, kin);
        let known_out = self.find(&package.log).is_some_and(|at| self.logs[at].out);
        if known_out && way.is_some_and(|way| way != self.out_way()) {
            return Err(turned(&package.log));
        }
        if known_out || way.is_none_or(|way| way == self.out_way()) {
            // Nothing is remembered about it: a peer could name logs without end.
            let detail = "this log does not come over this link in this direction";
            self.send_refused(package.log, package.first, Refusal::new(Reason::LogNotForLink, detail), out);
            return Ok(());
        }
        let at = self.find_or_add(&package.log, false, 0);
        let log = &mut self.logs[at];
        // One entry beside those that are here may prove that there are two histories; it is never taken in.
        let proves = log.stop == Some(Stop::Final) && package.entries.len() == 1 && package.first < log.have.0;
        if proves && self.waiting < limits::WINDOW_MAX as usize && !std::mem::replace(&mut log.weighed, true) {
            self.waiting += 1;
            log.waiting.push_back(log.have.0);
            out.push(Action::Commit(package));
            return Ok(());
        }
        if log.stop.is_some() || log.refusal.is_some() || (log.refused && package.first > log.have.0) {
            // It was on its way when we refused the log.
            return Ok(());
        }
        log.refused = false;
        let (expected, first) = (log.expected(), package.first);
        let count = package.entries.len();
        let end = first.checked_add(count as u64);
        let refusal = match end {
            _ if count > limits::PACKAGE_ENTRIES_MAX => {
                Refusal::new(Reason::TooLarge, format!("{count} entries in a package"))
            }
            Some(end) if end > first => {
                if first <= expected {
                    if self.waiting >= limits::WINDOW_MAX as usize {
                        return Err(Refusal::new(Reason::TooLarge, "more packages than the largest window"));
                    }
                    self.waiting += 1;
                    log.waiting.push_back(end);
                    log.shown = log.shown.max(end);
                    out.push(Action::Commit(package));
                    return Ok(());
                }
                Refusal::new(Reason::SequenceGap, format!("entry {expected} comes next, not {first}"))
            }
            _ => Refusal::new(Reason::Malformed, "a package without entries, or past the end of all numbers"),
        };
        let sequence = if refusal.reason == Reason::SequenceGap { expected } else { first };
        self.refuse(at, sequence, refusal, out);
        Ok(())
    }

    pub(super) fn committed(
        &mut self,
        id: &LogId,
        size: u64,
        root: Hash,
        receipt: Option<String>,
        out: &mut Vec<Action>,
    ) {
        let Some(at) = self.find(id) else { return };
        let Some(end) = self.answered(at) else { return };
        self.grown(at, size, root, end, receipt, out);
        self.flush_refusal(at, out);
        if *id.stream() == Stream::Directory {
            self.retry_after_directory(out);
        }
    }

    pub(super) fn refused_here(
        &mut self,
        id: &LogId,
        (size, root): (u64, Hash),
        sequence: u64,
        refusal: Refusal,
        out: &mut Vec<Action>,
    ) {
        let Some(at) = self.find(id) else { return };
        if self.answered(at).is_none() {
            return;
        }
        if size > self.logs[at].have.0 {
            // The entries before the refused one are durable.
            self.grown(at, size, root, size, None, out);
        }
        self.refuse(at, sequence, refusal, out);
    }

    /// One commit was answered; the end of its package.
    fn answered(&mut self, at: usize) -> Option<u64> {
        let end = self.logs[at].waiting.pop_front()?;
        self.waiting -= 1;
        Some(end)
    }

    fn grown(&mut self, at: usize, size: u64, root: Hash, end: u64, receipt: Option<String>, out: &mut Vec<Action>) {
        let log = &mut self.logs[at];
        if size > log.have.0 {
            log.have = (size, root);
        }
        // The peer is told about no more than it holds itself, and about no package that is not answered yet: its window counts them.
        let told = if log.waiting.is_empty() { size.min(log.shown) } else { size.min(end) };
        let mut receipt = receipt.filter(|_| told == size);
        let log = log.id.clone();
        if self.role == Role::Parent
            && !self.directory_is_there()
            && let Some(note) = receipt.take()
        {
            let giver = self.me.clone();
            self.receipts_out.insert((log.clone(), giver.clone()), ForwardedReceipt { log: log.clone(), giver, note });
        }
        self.send(Frame::Durable(Durable { log, size: told, receipt }), out);
    }

    pub(super) fn refuse(&mut self, at: usize, sequence: u64, refusal: Refusal, out: &mut Vec<Action>) {
        self.logs[at].refusal.get_or_insert((sequence, refusal));
        self.flush_refusal(at, out);
    }

    /// A refusal is sent when nothing of the log waits any more, so that the peer's window never runs ahead of ours.
    fn flush_refusal(&mut self, at: usize, out: &mut Vec<Action>) {
        let log = &mut self.logs[at];
        if let Some((sequence, refusal)) = log.refusal.take_if(|_| log.waiting.is_empty()) {
            log.refused = true;
            let id = log.id.clone();
            self.send_refused(id, sequence, refusal, out);
        }
    }

    fn send_refused(&mut self, log: LogId, sequence: u64, refusal: Refusal, out: &mut Vec<Action>) {
        let Refusal { reason, detail } = refusal;
        self.send(Frame::Refused(Refused { log, sequence, reason, detail }), out);
    }
}
