//! The sending side: what is loaded next, what is in flight, what the peer's answers change.

use danso_proto::ids::LogId;
use danso_proto::limits;
use danso_proto::refusal::Reason;

use super::event::Action;
use super::frame::{Durable, Frame, Refused};
use super::log::{DIRECTORY, Stop};
use super::{Package, RETRY_DIRECTORY_MS, RETRY_MS, Session, cut};

impl Session {
    /// Asks for packages while the window has room: directory by rank, then mail, then records, the logs of a class in turn. While a
    /// directory log is not durable at the peer nothing that may depend on it is sent.
    pub(super) fn load(&mut self, out: &mut Vec<Action>) {
        self.load_proofs(out);
        while self.in_flight.len() + self.loading < self.window as usize {
            let Some(&(class, rank, _, at)) = self.ready.first() else { break };
            if self.open.first().is_some_and(|&(open, _)| class != DIRECTORY || rank > open) {
                break;
            }
            let at = at as usize;
            let from = self.logs[at].sent;
            self.logs[at].loading = Some(from);
            self.loading += 1;
            out.push(Action::Load {
                log: self.logs[at].id.clone(),
                from,
                max_bytes: limits::PACKAGE_BYTES_MAX,
                max_entries: limits::PACKAGE_ENTRIES_MAX,
            });
            self.pass_turn(at);
            self.refresh(at);
        }
    }

    pub(super) fn loaded(&mut self, package: Package, out: &mut Vec<Action>) {
        let Some(at) = self.find(&package.log) else { return };
        let log = &mut self.logs[at];
        let Some(from) = log.loading.take() else { return };
        self.loading -= 1;
        let end = package.first.saturating_add(package.entries.len() as u64);
        if let Some(proof) = log.proof.take() {
            if package.entries.len() == 1 && end <= proof.size {
                self.send(Frame::Package(package), out);
            }
            return self.proof_was_laid(at, proof, out);
        }
        if package.first != from || end == from || end > log.have.0 {
            // Not what was asked for; do not ask for ever.
            log.stop = log.stop.or(Some(Stop::Later(self.now_ms.saturating_add(RETRY_MS))));
        } else if log.stop.is_none() && log.sent == from {
            log.sent = end;
            self.in_flight.push((at as u32, end));
            self.send(Frame::Package(package), out);
        }
        self.refresh(at);
    }

    pub(super) fn loaded_nothing(&mut self, id: &LogId, out: &mut Vec<Action>) {
        let Some(at) = self.find(id) else { return };
        let log = &mut self.logs[at];
        if log.loading.take().is_some() {
            self.loading -= 1;
            if let Some(proof) = log.proof.take() {
                return self.proof_was_laid(at, proof, out);
            }
            let log = &mut self.logs[at];
            log.stop = log.stop.or(Some(Stop::Later(self.now_ms.saturating_add(RETRY_MS))));
            self.refresh(at);
        }
    }

    pub(super) fn durable(&mut self, durable: Durable, out: &mut Vec<Action>) {
        let Durable { log: id, size, receipt } = durable;
        let Some(at) = self.find(&id).filter(|at| self.logs[*at].out && size <= self.logs[*at].have.0) else {
            // It names what we do not have. That log stops; the others go on.
            let detail = format!("durable up to {size}, which is not here");
            self.send(
                Frame::Refused(Refused { log: id.clone(), sequence: size, reason: Reason::FrameUnexpected, detail }),
                out,
            );
            if let Some(at) = self.find(&id) {
                self.logs[at].stop = Some(Stop::Final);
                self.in_flight.retain(|(log, _)| *log as usize != at);
                self.refresh(at);
            }
            return;
        };
        let log = &mut self.logs[at];
        if size < log.acked {
            return;
        }
        let grown = size > log.acked;
        log.acked = size;
        log.sent = log.sent.max(size);
        let before = self.in_flight.len();
        self.in_flight.retain(|(log, end)| *log as usize != at || *end > size);
        if self.in_flight.len() < before {
            self.window = (self.window + 1).min(limits::WINDOW_MAX);
        }
        let directory = *log.id.stream() == danso_proto::ids::Stream::Directory;
        if grown || receipt.is_some() {
            out.push(Action::Durable { log: id, size, receipt });
        }
        self.refresh(at);
        if grown && directory {
            self.retry_after_directory(out);
        }
    }

    pub(super) fn refused_there(&mut self, refused: Refused, out: &mut Vec<Action>) {
        let Refused { log: id, sequence, reason, detail } = refused;
        let Some(at) = self.find(&id) else { return };
        let log = &mut self.logs[at];
        let stop = if log.out { Stop::after(reason, self.now_ms) } else { Stop::Final };
        if log.stop != Some(Stop::Final) {
            log.stop = Some(stop);
        }
        let again = log.stop != Some(Stop::Final);
        if log.out {
            // What is behind the refused package is dropped by the peer without a word.
            log.sent = log.acked;
            self.in_flight.retain(|(log, _)| *log as usize != at);
        }
        out.push(Action::RefusedByPeer { log: id, sequence, reason, detail: cut(detail, limits::NOTE_MAX), again });
        self.refresh(at);
    }

    /// A directory log became durable at both ends: what was refused for want of it goes again.
    pub(super) fn retry_after_directory(&mut self, out: &mut Vec<Action>) {
        self.retry(out, |stop| matches!(stop, Stop::Directory(_)));
    }

    /// Passing reasons may have passed.
    pub(super) fn retry_later(&mut self, out: &mut Vec<Action>) {
        let now = self.now_ms;
        // A clock that was put back would make it wait for years.
        let over = |at: i64| at <= now || at.saturating_sub(now) > RETRY_DIRECTORY_MS;
        self.retry(out, |stop| matches!(stop, Stop::Later(at) | Stop::Directory(at) if over(at)));
    }

    fn retry(&mut self, out: &mut Vec<Action>, over: impl Fn(Stop) -> bool) {
        for at in self.stopped.clone() {
            let at = at as usize;
            if self.logs[at].stop.is_some_and(&over) {
                self.logs[at].stop = None;
                self.recheck(at, out);
            }
        }
    }
}
