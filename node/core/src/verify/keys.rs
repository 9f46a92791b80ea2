//! The log keys of one node over time: which of them counts where. By position in a log, never by a clock.

use std::collections::{BTreeMap, BTreeSet};

use danso_proto::change::NodeRekeyed;
use danso_proto::checkpoint::{Checkpoint, SignedNote, verify_cosignature};
use danso_proto::envelope::PublicKey;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};

/// A key, and from which size of each log on it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Era {
    key: PublicKey,
    /// A log that is not named did not exist when the key came: this key signs it from the beginning.
    from: BTreeMap<LogId, u64>,
    /// Order of eras: bound of the node's own directory log, and behind that what a node above vouched for.
    order: (u64, bool),
    /// Who said so: the node itself, or one above it.
    by: NodeId,
}

impl Era {
    /// A key that signs from these sizes on, as `by` says.
    pub fn new(key: PublicKey, from: &[(LogId, u64)], by: &NodeId) -> Self {
        Self { key, from: from.iter().cloned().collect(), order: (0, false), by: by.clone() }
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    fn begins(&self, log: &LogId) -> u64 {
        self.from.get(log).copied().unwrap_or(0)
    }
}

/// The keys of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHistory {
    /// Oldest first: one at least.
    eras: Vec<Era>,
}

impl KeyHistory {
    /// The history of a node that has its first key.
    pub fn new(key: PublicKey, node: &NodeId) -> Self {
        Self { eras: vec![Era::new(key, &[], node)] }
    }

    /// The history of a node that has its first key and these further ones. Keys that the node itself announced stand in its own directory log,
    /// those that nodes above vouched for in theirs, and come here in the order in which they were said: by an upper one last, because it took
    /// the node over from the other. Either may be read first, so that the place in the order comes from what is said, not from when it is
    /// heard. Who vouches from a place on says that nothing behind it is here: what was vouched for before from further behind is no more.
    pub(super) fn of(key: PublicKey, node: &NodeId, announced: Vec<Era>, vouched: Vec<Era>) -> Self {
        let own = LogId::new(node.clone(), Stream::Directory);
        let (mut standing, mut said): (Vec<Era>, BTreeSet<_>) = Default::default();
        let says = |era: &Era| (era.key.fingerprint(), era.from.clone());
        for mut era in vouched {
            era.order = (era.begins(&own), true);
            // What one said is said again by the one that takes the node over. It counts from when it was said first.
            if !said.insert(says(&era)) {
                continue;
            }
            while let Some(behind) = standing.pop_if(|before| before.order > era.order) {
                said.remove(&says(&behind));
            }
            standing.push(era);
        }
        let announced = announced.into_iter().map(|era| Era { order: (era.begins(&own), false), ..era });
        let mut further: Vec<Era> = announced.chain(standing).collect();
        further.sort_by_key(|era| era.order);
        let mut eras = vec![Era::new(key, &[], node)];
        eras.extend(further);
        Self { eras }
    }

    /// The key that signs now.
    pub fn current(&self) -> &PublicKey {
        // Made with one key, and none is ever removed.
        &self.eras[self.eras.len() - 1].key
    }

    /// Who said that the key that signs now is the node's.
    pub fn current_by(&self) -> &NodeId {
        &self.eras[self.eras.len() - 1].by
    }

    /// The key that the node's id comes from.
    pub fn first(&self) -> &PublicKey {
        &self.eras[0].key
    }

    /// All keys, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &PublicKey> {
        self.eras.iter().rev().map(Era::key)
    }

    /// Whether this key is or was the node's.
    pub fn has(&self, print: &Fingerprint) -> bool {
        self.eras.iter().any(|era| era.key.fingerprint() == *print)
    }

    /// Whether the node itself announced another key behind this one.
    pub fn gave_up(&self, print: &Fingerprint) -> bool {
        let last = self.eras.iter().rposition(|era| era.key.fingerprint() == *print);
        last.is_some_and(|last| self.eras.iter().skip(last + 1).any(|era| !era.order.1))
    }

    /// What nodes above vouched for, to be said again by one that takes the node over: who stands below it need not hold the old parent's log
    /// to read this node's.
    pub fn vouched(&self, node: &NodeId) -> Vec<NodeRekeyed> {
        let vouched = self.eras.iter().filter(|era| era.order.1);
        vouched
            .map(|era| NodeRekeyed {
                node: node.clone(),
                log_public_key: *era.key.as_bytes(),
                from: era.from.clone().into_iter().collect(),
            })
            .collect()
    }

    /// The key that signs the entry at `sequence` of `log`.
    pub fn at(&self, log: &LogId, sequence: u64) -> &PublicKey {
        &self.eras[self.era_of(log, sequence)].key
    }

    /// The first of the first `size` entries of a log that another key signs by `other`.
    pub fn first_other(&self, other: &Self, log: &LogId, size: u64) -> Option<u64> {
        // Which key signs changes where an era begins, and nowhere else.
        let begins = self.eras.iter().chain(&other.eras).map(|era| era.begins(log));
        begins.filter(|at| *at < size && self.at(log, *at) != other.at(log, *at)).min()
    }

    /// What another must hear to read the logs of `node`: the keys that were vouched for, and the current one, oldest first. Never nothing, so
    /// that who has its first key only is told from who has forgotten.
    pub fn stated(&self, node: &NodeId) -> Vec<NodeRekeyed> {
        let mut stated = self.vouched(node);
        let current = *self.current().as_bytes();
        if stated.last().is_none_or(|last| last.log_public_key != current) {
            let from = self.current_from().into_iter().collect();
            stated.push(NodeRekeyed { node: node.clone(), log_public_key: current, from });
        }
        stated.split_off(stated.len().saturating_sub(limits::KEYS_STATED_MAX))
    }

    /// What of that is news, to be vouched for by one that has `held` so much of the node's logs, and nowhere before that. No news is a key that
    /// `is_known` to be said of the node and does not count: it may be a former parent's, whom the node does not know to be one.
    pub fn unheard(
        &self,
        stated: &[NodeRekeyed],
        held: &BTreeMap<LogId, u64>,
        is_known: impl Fn(&Fingerprint) -> bool,
    ) -> Vec<NodeRekeyed> {
        let says = |era: &Era, said: &NodeRekeyed| {
            *era.key.as_bytes() == said.log_public_key && era.from == said.from.iter().cloned().collect()
        };
        let news = stated.iter().filter(|said| {
            let print = Fingerprint::of_key(&said.log_public_key);
            !self.eras.iter().any(|era| says(era, said)) && (self.has(&print) || !is_known(&print))
        });
        let clamped = news.map(|said| {
            let mut from = held.clone();
            for (log, size) in said.from.iter().filter(|(log, _)| *log.node() == said.node) {
                let held = from.entry(log.clone()).or_default();
                *held = (*held).max(*size);
            }
            NodeRekeyed { from: from.into_iter().collect(), ..said.clone() }
        });
        clamped.collect()
    }

    /// From which size on each log that was named with a key is signed by the current key alone.
    fn current_from(&self) -> BTreeMap<LogId, u64> {
        let mut from = BTreeMap::new();
        for log in self.eras.iter().flat_map(|era| era.from.keys()).collect::<BTreeSet<_>>() {
            // Where an era begins is where a key can end.
            let begins = self.eras.iter().map(|era| era.begins(log));
            let others = begins.filter(|begin| self.at(log, *begin) != self.current()).max();
            let first = self.eras.iter().map(|era| era.begins(log)).filter(|begin| others.is_none_or(|at| *begin > at));
            from.insert(log.clone(), first.min().unwrap_or(0));
        }
        from
    }

    /// Whether the current key signs what comes next in every log of the node, where these are their ends.
    pub fn signs_on(&self, ends: impl Fn(&LogId) -> u64) -> bool {
        let named: BTreeSet<&LogId> = self.eras.iter().flat_map(|era| era.from.keys()).collect();
        named.into_iter().all(|log| self.at(log, ends(log)) == self.current())
    }

    fn era_of(&self, log: &LogId, sequence: u64) -> usize {
        self.eras.iter().rposition(|era| era.begins(log) <= sequence).unwrap_or(0)
    }

    /// A checkpoint with nothing under it but its author's signature, if the key that counts there made it.
    pub fn bare(&self, author: &NodeId, note: &str) -> Option<SignedNote> {
        let note = danso_proto::checkpoint::parse(note).ok()?;
        let mut bare = self.newest_first().filter_map(|key| note.bare(author, key));
        bare.find(|bare| self.verify_checkpoint(author, bare).is_ok())
    }

    /// Checks the author's own signature on a checkpoint: by the key of the last entry, or by one that took over behind it, which signs the
    /// head anew. Several can have taken over there, one after the other, without writing anything; the word of each of them stands.
    ///
    /// # Errors
    /// `checkpoint_invalid`, `signature_invalid`.
    pub fn verify_checkpoint(&self, author: &NodeId, note: &SignedNote) -> Result<Checkpoint, Refusal> {
        let Checkpoint { log, size, .. } = note.unverified();
        let last = self.era_of(log, size.saturating_sub(1));
        let eras = self.eras[last..].iter().filter(|era| era.begins(log) <= *size);
        let mut refused = None;
        for era in eras.rev() {
            match note.verify(author, &era.key) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        // A first key that begins behind the size is still the only one there is.
        refused.map_or_else(|| note.verify(author, &self.eras[last].key), Err)
    }

    /// Checks the cosignature of the node whose history this is; its time in seconds since the Unix epoch. A receipt has no position in
    /// a log of its giver, so that any key counts which the giver ever had.
    ///
    /// # Errors
    /// `receipt_invalid` and what the checkpoint's rules refuse.
    pub fn verify_cosignature(&self, giver: &NodeId, note: &SignedNote) -> Result<u64, Refusal> {
        let key = self.newest_first().find(|key| note.has_cosignature_by(giver, key));
        let key =
            key.ok_or_else(|| Refusal::new(Reason::ReceiptInvalid, format!("no key of {giver} cosigned this note")))?;
        verify_cosignature(note, giver, key)
    }
}

#[cfg(test)]
mod tests {
    use danso_proto::envelope::{Signer as _, SoftwareSigner};
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        *SoftwareSigner::from_secret(&[seed; 32]).public_key()
    }

    fn node(unit: &str) -> NodeId {
        NodeId::new(&unit.parse().expect("code"), &[7; 32])
    }

    /// The commune's keys, and all that was said of them.
    #[derive(Debug, Clone)]
    struct Told {
        keys: KeyHistory,
        said: Vec<Era>,
    }

    impl std::ops::Deref for Told {
        type Target = KeyHistory;
        fn deref(&self) -> &KeyHistory {
            &self.keys
        }
    }

    impl Told {
        fn new() -> Self {
            Self { keys: KeyHistory::new(key(1), &node("17065")), said: Vec::new() }
        }

        fn tell(&mut self, era: Era) {
            self.said.push(era);
            let own = |era: &Era| era.by == node("17065");
            let (announced, mut vouched): (Vec<Era>, Vec<Era>) = self.said.iter().cloned().partition(own);
            // The shorter the code of a unit, the nearer it is to the root.
            vouched.sort_by_key(|era| std::cmp::Reverse(era.by.unit().as_str().len()));
            self.keys = KeyHistory::of(key(1), &node("17065"), announced, vouched);
        }
    }

    /// A further key of the commune, as it or a node above it says.
    fn add(keys: &mut Told, seed: u8, from: &[(LogId, u64)], by: &str) {
        keys.tell(Era::new(key(seed), from, &node(by)));
    }

    fn logs() -> (LogId, LogId) {
        let node = node("17065");
        (LogId::new(node.clone(), Stream::Directory), LogId::new(node, Stream::Records))
    }

    #[test]
    fn a_key_signs_from_its_bound_to_the_next_ones() {
        let (directory, records) = logs();
        let mut keys = Told::new();
        add(&mut keys, 2, &[(directory.clone(), 1), (records.clone(), 5)], "17065");
        add(&mut keys, 3, &[(directory.clone(), 1), (records.clone(), 8)], "420");
        let signer = |sequence| *keys.at(&records, sequence);
        assert_eq!([0, 4, 5, 7, 8, 99].map(signer), [1, 1, 2, 2, 3, 3].map(key));
        assert_eq!((*keys.at(&directory, 0), *keys.at(&directory, 1)), (key(1), key(3)));
        assert_eq!(*keys.current(), key(3));
        assert_eq!(keys.current_from(), [(directory, 1), (records, 8)].into());
    }

    #[test]
    fn a_key_that_begins_behind_the_end_of_a_log_does_not_sign_on() {
        let (directory, records) = logs();
        let mut keys = Told::new();
        let ends = |sizes: [u64; 2]| {
            let records = records.clone();
            move |log: &LogId| sizes[usize::from(*log == records)]
        };
        assert!(keys.signs_on(ends([0, 0])));
        add(&mut keys, 2, &[(directory.clone(), 1), (records.clone(), 5)], "17065");
        assert!(keys.signs_on(ends([1, 5])) && keys.signs_on(ends([3, 9])));
        assert!(
            !keys.signs_on(ends([1, 4])) && !keys.signs_on(ends([1, 0])),
            "entries that are lost would have come before"
        );
        add(&mut keys, 2, &[(directory.clone(), 1), (records.clone(), 4)], "420");
        assert!(keys.signs_on(ends([1, 4])));
        assert_eq!([3, 4, 5].map(|sequence| *keys.at(&records, sequence)), [1, 2, 2].map(key));
    }

    #[test]
    fn a_head_signed_by_a_key_that_wrote_nothing_and_was_replaced_still_counts() {
        let (directory, _) = logs();
        let mut keys = Told::new();
        // The second key announced itself with entry 0 and signed the head; the disk was lost, and a node above vouched for the third.
        add(&mut keys, 2, &[(directory.clone(), 1)], "17065");
        add(&mut keys, 3, &[(directory.clone(), 1)], "420");
        let note = |seed: u8, size: u64| {
            let head = Checkpoint { log: directory.clone(), size, root: [5; 32] };
            let text = danso_proto::checkpoint::sign(&head, &SoftwareSigner::from_secret(&[seed; 32])).expect("signed");
            danso_proto::checkpoint::parse(&text).expect("a note")
        };
        for seed in [1, 2, 3] {
            keys.verify_checkpoint(directory.node(), &note(seed, 1)).expect("each of them had the log at that size");
        }
        keys.verify_checkpoint(directory.node(), &note(3, 2)).expect("the key that counts");
        for seed in [1, 2] {
            assert!(keys.verify_checkpoint(directory.node(), &note(seed, 2)).is_err(), "key {seed} ended before");
        }
    }

    #[test]
    fn what_was_vouched_for_can_be_said_again_and_changes_nothing() {
        let (directory, records) = logs();
        let mut keys = Told::new();
        add(&mut keys, 2, &[(directory.clone(), 1), (records.clone(), 5)], "420");
        add(&mut keys, 3, &[(directory.clone(), 2), (records.clone(), 7)], "17065");
        let again = keys.vouched(directory.node());
        assert_eq!(again.len(), 1, "the node's own announcements stand in its own log");
        let before = keys.clone();
        for said in again {
            let key = PublicKey::new(said.log_public_key).expect("a key");
            keys.tell(Era::new(key, &said.from, &node("40")));
        }
        assert_eq!(*keys, *before);
    }

    #[test]
    fn who_moves_tells_what_its_new_parent_has_not_heard_and_nothing_before_what_that_holds() {
        let (directory, records) = logs();
        let mut keys = Told::new();
        let there = keys.clone();
        let first = keys.stated(directory.node());
        assert_eq!(there.unheard(&first, &BTreeMap::new(), |_| false), [], "the first key stands in its enrolment");
        // The old parent vouched for the second, and the node announced the third: neither reached the new parent.
        add(&mut keys, 2, &[(directory.clone(), 0), (records.clone(), 4)], "420");
        add(&mut keys, 3, &[(directory.clone(), 1), (records.clone(), 9)], "17065");
        let held: BTreeMap<LogId, u64> = [(records.clone(), 6)].into();
        let news = there.unheard(&keys.stated(directory.node()), &held, |_| false);
        let said = |seed: u8, at: u64, from: u64| NodeRekeyed {
            node: directory.node().clone(),
            log_public_key: *key(seed).as_bytes(),
            from: vec![(directory.clone(), at), (records.clone(), from)],
        };
        assert_eq!(news, [said(2, 0, 6), said(3, 1, 9)]);
        let mut told = there;
        for rekeyed in &news {
            let key = PublicKey::new(rekeyed.log_public_key).expect("a key");
            told.tell(Era::new(key, &rekeyed.from, &node("40")));
        }
        assert_eq!([5, 6, 8, 9].map(|sequence| *told.at(&records, sequence)), [1, 2, 2, 3].map(key));
        assert_eq!(told.unheard(&news, &held, |_| false), [], "once");
    }

    #[test]
    fn who_vouches_from_an_earlier_place_on_says_that_what_was_behind_it_is_lost() {
        let (directory, records) = logs();
        let mut keys = Told::new();
        // A district that is gone said it from behind what the province holds; then the disk was lost, too, and the province holds less.
        add(&mut keys, 66, &[(directory.clone(), 10), (records.clone(), 90)], "420");
        add(&mut keys, 2, &[(directory.clone(), 4), (records.clone(), 30)], "40");
        assert_eq!((*keys.current(), keys.has(&key(66).fingerprint())), (key(2), false));
        add(&mut keys, 3, &[(directory.clone(), 5), (records.clone(), 40)], "17065");
        add(&mut keys, 4, &[(directory, 4), (records.clone(), 30)], "40");
        assert_eq!([29, 30, 40].map(|sequence| *keys.at(&records, sequence)), [1, 4, 3].map(key));
        assert_eq!(*keys.current(), key(3), "what it announced since stands in the log that goes on");
    }

    #[test]
    fn a_key_that_is_known_and_does_not_count_is_no_news() {
        let (directory, _) = logs();
        let mut there = Told::new();
        add(&mut there, 1, &[], "420");
        let said = |seed: u8| NodeRekeyed {
            node: directory.node().clone(),
            log_public_key: *key(seed).as_bytes(),
            from: vec![(directory.clone(), 1)],
        };
        let news = there.unheard(&[said(66), said(2)], &BTreeMap::new(), |print| *print == key(66).fingerprint());
        assert_eq!(news, [said(2)]);
    }

    proptest! {
        /// The node's own announcements and those of the nodes above come in any order.
        #[test]
        fn the_order_of_arrival_does_not_matter(order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle(), sequence in 0u64..12) {
            let (directory, records) = logs();
            let from = |at: u64, size: u64| vec![(directory.clone(), at), (records.clone(), size)];
            // The disk was lost, the district vouched, the province took the commune over and said so again; the new disk was lost too.
            let all = [
                (2, from(1, 2), "17065"),
                (3, from(1, 4), "420"),
                (4, from(2, 6), "17065"),
                (5, from(2, 9), "420"),
                (6, from(2, 9), "40"),
                (5, from(2, 9), "40"),
            ];
            let told = |order: &[usize]| {
                let (mut keys, mut left) = (Told::new(), all.iter().collect::<Vec<_>>());
                for at in order {
                    // Logs come in any order, the words of one log in theirs.
                    let next = left.iter().position(|(_, _, by)| *by == all[*at].2).expect("as many as there are");
                    let (seed, from, by) = left.remove(next);
                    add(&mut keys, *seed, from, by);
                }
                keys
            };
            let (one, other) = (told(&[0, 1, 2, 3, 4, 5]), told(&order));
            prop_assert_eq!(&*one, &*other);
            prop_assert_eq!(*one.current(), key(6));
            prop_assert_eq!(one.at(&records, sequence), other.at(&records, sequence));
        }
    }
}
