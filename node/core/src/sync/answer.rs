//! What travels beside the logs: questions down, answers up in chunks, receipts down.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};

use super::event::Action;
use super::frame::{ForwardedReceipt, Frame, Question, Reply};
use super::way::{Kin, Way, at_or_below, flows};
use super::{Role, Session};

/// Questions of a link that are open at the same time.
const QUESTIONS_MAX: usize = 16;
/// Bytes of receipts in one frame; a receipt is at most `limits::NOTE_BYTES_MAX`.
const RECEIPT_BYTES: usize = limits::CHUNK_BYTES;
/// Bytes of a receipt's fields beside its note.
const RECEIPT_OVERHEAD: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Parent: the chunks that came so far; all together at most one largest answer.
    asked: BTreeMap<u64, Vec<u8>>,
    /// Child: questions without an answer.
    open: Vec<u64>,
    /// Child: answers on their way, one after the other; the rest of each.
    replies: VecDeque<(u64, Result<Bytes, Refusal>)>,
}

impl Questions {
    pub(super) fn forget(&mut self, id: u64) {
        self.asked.remove(&id);
    }

    pub(super) fn answered(&mut self, id: u64, answer: Result<Bytes, Refusal>) {
        let Some(at) = self.open.iter().position(|open| *open == id) else { return };
        self.open.swap_remove(at);
        let answer = answer.and_then(|bytes| match bytes.len() {
            0 => Err(Refusal::new(Reason::Internal, "the answer is empty")),
            n if n > limits::ANSWER_BYTES_MAX => {
                Err(Refusal::new(Reason::TooLarge, format!("the answer has {n} bytes")))
            }
            _ => Ok(bytes),
        });
        self.replies.push_back((id, answer));
    }

    pub(super) fn next_reply(&mut self) -> Option<Reply> {
        let (id, answer) = self.replies.pop_front()?;
        Some(match answer {
            Err(refusal) => Reply { id, chunk: Bytes::new(), more: false, refusal: Some(refusal) },
            Ok(mut rest) => {
                let chunk = rest.split_to(rest.len().min(limits::CHUNK_BYTES));
                let more = !rest.is_empty();
                if more {
                    self.replies.push_front((id, Ok(rest)));
                }
                Reply { id, chunk, more, refusal: None }
            }
        })
    }

    pub(super) fn reply(&mut self, reply: Reply, out: &mut Vec<Action>) {
        let Reply { id, chunk, more, refusal } = reply;
        // An id that nobody waits for: it was forgotten meanwhile.
        let held: usize = self.asked.values().map(Vec::len).sum();
        let Some(bytes) = self.asked.get_mut(&id) else { return };
        let answer = if let Some(refusal) = refusal {
            Err(refusal)
        } else if chunk.is_empty() || chunk.len() > limits::CHUNK_BYTES {
            Err(Refusal::new(Reason::AnswerInvalid, format!("a chunk of {} bytes", chunk.len())))
        } else if held + chunk.len() > limits::ANSWER_BYTES_MAX {
            Err(Refusal::new(Reason::TooLarge, "the answer is over its bound"))
        } else {
            bytes.extend_from_slice(&chunk);
            if more {
                return;
            }
            Ok(std::mem::take(bytes))
        };
        self.asked.remove(&id);
        out.push(Action::Replied { id, answer });
    }
}

impl Session {
    pub(super) fn ask(&mut self, question: Question, out: &mut Vec<Action>) {
        let id = question.id;
        let refusal = if self.role == Role::Child {
            Some(Refusal::new(Reason::FrameUnexpected, "a child asks nothing"))
        } else if self.questions.asked.contains_key(&id) {
            Some(Refusal::new(Reason::Internal, "the number of this question is in use"))
        } else if self.questions.asked.len() >= QUESTIONS_MAX {
            Some(Refusal::new(Reason::ChildUnavailable, "too many questions are open"))
        } else {
            None
        };
        match refusal {
            Some(refusal) => out.push(Action::Replied { id, answer: Err(refusal) }),
            None => {
                self.questions.asked.insert(id, Vec::new());
                self.send(Frame::Question(question), out);
            }
        }
    }

    pub(super) fn question(&mut self, question: Question, out: &mut Vec<Action>) {
        let id = question.id;
        if self.questions.open.len() + self.questions.replies.len() >= QUESTIONS_MAX {
            let refusal = Refusal::new(Reason::TooLarge, "too many questions are open");
            self.send(Frame::Reply(Reply { id, chunk: Bytes::new(), more: false, refusal: Some(refusal) }), out);
        } else if !self.questions.open.contains(&id) {
            self.questions.open.push(id);
            out.push(Action::Answer(question));
        }
    }

    /// Parent: the latest receipt of each log and giver that is the child's business. They wait until the child holds what our directory says:
    /// it may not know the giver's key before, and would have to drop them.
    pub(super) fn send_receipts(&mut self, receipts: Vec<ForwardedReceipt>, kin: &dyn Kin, out: &mut Vec<Action>) {
        if self.role == Role::Child {
            return;
        }
        for receipt in receipts {
            if self.is_receipt_for_child(&receipt, kin) {
                self.receipts_out.insert((receipt.log.clone(), receipt.giver.clone()), receipt);
            }
        }
        self.flush_receipts(out);
    }

    /// Whether the child holds all that our directory says.
    pub(super) fn directory_is_there(&self) -> bool {
        self.heads_missing == Some(0) && self.open.is_empty()
    }

    pub(super) fn flush_receipts(&mut self, out: &mut Vec<Action>) {
        if !self.directory_is_there() {
            return;
        }
        let (mut frame, mut bytes) = (Vec::new(), 0);
        for receipt in std::mem::take(&mut self.receipts_out).into_values() {
            let more = receipt.note.len() + RECEIPT_OVERHEAD;
            if bytes + more > RECEIPT_BYTES && !frame.is_empty() {
                self.send(Frame::Receipts(std::mem::take(&mut frame)), out);
                bytes = 0;
            }
            bytes += more;
            frame.push(receipt);
        }
        if !frame.is_empty() {
            self.send(Frame::Receipts(frame), out);
        }
    }

    /// Child: what is for us or for those below us, of givers above.
    pub(super) fn receipts(&mut self, mut receipts: Vec<ForwardedReceipt>, kin: &dyn Kin, out: &mut Vec<Action>) {
        receipts.retain(|receipt| self.is_receipt_for_child(receipt, kin));
        if !receipts.is_empty() {
            out.push(Action::Receipts(receipts));
        }
    }

    fn is_receipt_for_child(&self, receipt: &ForwardedReceipt, kin: &dyn Kin) -> bool {
        receipt.note.len() <= limits::NOTE_BYTES_MAX
            && flows(&receipt.log, &self.link, kin) == Some(Way::Up)
            && at_or_below(&self.link.parent, &receipt.giver, kin)
    }
}
