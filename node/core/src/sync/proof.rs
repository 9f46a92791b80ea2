//! An author meets another history of its own log: the entry of its own that it lays beside the peer's, who can then hold two signed
//! entries for one place against each other.

use super::Session;
use super::event::Action;
use super::log::{DIRECTORY, Proof};

/// Which of the first `size` entries of an own log tells most to one who has another history of it. `key_at` says which key signs an entry. The
/// peer may know none that came after the histories parted, and they parted behind what it gave its receipt for. So it is the last entry by
/// the key of the first one behind that. A change of keys is signed by the key before, too.
pub fn telling<K: PartialEq>(key_at: impl Fn(u64) -> K, receipted: u64, size: u64) -> u64 {
    let last = size.saturating_sub(1);
    let first = receipted.min(last);
    let key = key_at(first);
    (first..=last).take_while(|at| key_at(*at) == key).last().unwrap_or(first)
}

impl Session {
    pub(super) fn lay_beside(&mut self, at: usize, proof: Proof) {
        let log = &mut self.logs[at];
        if proof.size > 0 && log.proof.is_none() {
            self.proofs.insert((log.class(), at as u32));
            log.proof = Some(proof);
        }
    }

    /// Asks for the entries that are to be laid beside the peer's. Who signed them may stand in a directory log that is on its way.
    pub(super) fn load_proofs(&mut self, out: &mut Vec<Action>) {
        while let Some(&(class, at)) = self.proofs.first() {
            if class != DIRECTORY && !self.open.is_empty() {
                return;
            }
            self.proofs.pop_first();
            let log = &mut self.logs[at as usize];
            let Some(Proof { size, unless_known, .. }) = log.proof else { continue };
            log.loading = Some(size);
            self.loading += 1;
            out.push(Action::LoadProof { log: log.id.clone(), size, unless_known });
        }
    }

    /// The entry was sent, or there is none: what is said behind it.
    pub(super) fn proof_was_laid(&mut self, at: usize, proof: Proof, out: &mut Vec<Action>) {
        if let Some((sequence, refusal)) = proof.refusal {
            self.refuse(at, sequence, refusal, out);
        }
        self.refresh(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_by_the_key_that_the_peer_knows_is_laid_beside_its_history() {
        // The copy changed its key with entry 2 of its directory, and once more with entry 3.
        let directory = |at| if at < 3 { 1 } else { at - 1 };
        assert_eq!(telling(directory, 2, 6), 2, "the first change, signed by the key before, too");
        assert_eq!(telling(directory, 0, 2), 1, "the other history has no more");
        let records = |at| if at < 5 { 1 } else { 3 };
        assert_eq!(telling(records, 4, 9), 4, "the last by the first key");
        assert_eq!(telling(records, 5, 9), 8, "no other key wrote there");
        assert_eq!(telling(records, 20, 9), 8, "a receipt for more than both have");
    }
}
