//! A node: its disk, its keys, its clock, and while it runs what it holds in memory. It starts from its disk alone, replaying the
//! directory.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use danso_core::ledger::{LogHead, append};
use danso_core::sync::{ForwardedReceipt, Head, Held, Link, Package, Way, flows, rank, telling};
use danso_core::verify::{Directory, verify_again};
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::{Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{ChangeId, Fingerprint, LogId, NodeId, PersonId, Stream};
use danso_proto::merkle::{CompactTree, Hash};
use danso_proto::refusal::{Reason, Refusal};

use super::pipeline::Job;
use super::store::{LogRow, ReceiptRow, Store};

/// What a node holds in memory.
pub struct Running {
    pub directory: Arc<Directory>,
    pub queue: VecDeque<Job>,
}

/// An installation.
pub struct Node {
    pub id: NodeId,
    pub anchor: Fingerprint,
    /// The first log key, which the id is made from.
    pub first_key: [u8; 32],
    /// The log key.
    pub signer: Rc<SoftwareSigner>,
    /// The next one, until the change of keys is in the log.
    pub next_signer: Option<Rc<SoftwareSigner>>,
    pub store: Store,
    pub up: Option<Running>,
    /// It starts again at this step.
    pub starts_at: u64,
    /// Its clock less the true one, milliseconds.
    pub skew_ms: i64,
    /// The process ends at this point of the next transaction.
    pub crash: Option<Crash>,
    /// An earlier state of the disk.
    pub backup: Option<Store>,
    /// Its disk was put back to an earlier state and nobody has told it yet how far it was: it writes nothing.
    pub unsure: bool,
    /// Its parent says that it holds more of an own log; without a checkpoint for that size it cannot prove it, with the entries it can.
    pub told_behind: bool,
    /// Its parent holds more of a log from below than it does: who wrote that may be gone.
    pub parent_ahead: bool,
    /// Receipts of the session with the parent whose keys are not known yet, by log and giver.
    pub unread: BTreeMap<(LogId, NodeId), ForwardedReceipt>,
    /// Persons that it made known, for the operator who writes slips about them.
    pub roster: Vec<(PersonId, &'static str)>,
}

/// Where a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Before the n-th write of the transaction, or before its commit if it has fewer.
    Write(u64),
    /// Everything is written, nothing is committed.
    BeforeCommit,
    /// Committed, and nobody was answered.
    AfterCommit,
}

impl Node {
    pub fn new(id: NodeId, anchor: Fingerprint, signer: SoftwareSigner) -> Self {
        Self {
            id,
            anchor,
            first_key: *signer.public_key().as_bytes(),
            signer: Rc::new(signer),
            next_signer: None,
            store: Store::default(),
            up: None,
            starts_at: 0,
            skew_ms: 0,
            crash: None,
            backup: None,
            unsure: false,
            told_behind: false,
            parent_ahead: false,
            unread: BTreeMap::new(),
            roster: Vec::new(),
        }
    }

    pub fn own(&self, stream: Stream) -> LogId {
        LogId::new(self.id.clone(), stream)
    }

    /// Whether it may write to its own log.
    pub fn may_write(&self, log: &LogId) -> bool {
        !self.unsure && !is_stopped(self.store.logs.values(), log.node())
    }

    /// Whether the process or its machine goes down with all that was in memory.
    pub fn stop(&mut self, starts_at: u64) {
        self.store.roll_back();
        self.up = None;
        self.crash = None;
        self.starts_at = starts_at;
    }

    /// Starts from the disk.
    ///
    /// # Errors
    /// When what is there does not make a node.
    pub fn start(&mut self) -> Result<(), Refusal> {
        let directory = Arc::new(self.replay()?);
        self.up = Some(Running { directory, queue: VecDeque::new() });
        self.take_next_key();
        Ok(())
    }

    /// Signs with the next key, once the directory says that it counts.
    pub fn take_next_key(&mut self) {
        let now = self.up.as_ref().and_then(|running| running.directory.node(&self.id)).map(|node| *node.key());
        if let Some(next) = self.next_signer.take_if(|next| now == Some(*next.public_key())) {
            self.signer = next;
        }
    }

    fn replay(&self) -> Result<Directory, Refusal> {
        let logs: Vec<&LogRow> = self
            .store
            .logs
            .values()
            .filter(|row| *row.log.stream() == Stream::Directory && row.head.size() > 0)
            .collect();
        let found = logs.iter().find_map(|row| {
            let first = self.store.log(&row.log).first()?;
            Directory::found(Envelope::decode(first.envelope.clone()).ok()?, self.anchor).ok()
        });
        let mut directory =
            found.ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the anchor's log is not on the disk"))?;
        // A log waits where it needs a key that another one tells of.
        let mut left: Vec<(&LogRow, LogHead)> = logs.into_iter().map(|row| (row, LogHead::default())).collect();
        while !left.is_empty() {
            let (mut moved, mut refused) = (false, None);
            for (row, head) in &mut left {
                for kept in self.store.log(&row.log).iter().skip(head.size() as usize) {
                    let read = directory.open(kept.envelope.clone(), None);
                    let read = read.and_then(|opened| verify_again(opened, &directory, &head.position()));
                    match read.and_then(|verified| directory.apply(&verified).map(|()| verified)) {
                        Ok(verified) => drop(append(head, verified)),
                        Err(refusal) => {
                            refused = Some(refusal);
                            break;
                        }
                    }
                    moved = true;
                }
            }
            if let Some(refusal) = refused.filter(|_| !moved) {
                return Err(refusal);
            }
            if let Some((row, head)) =
                left.iter().find(|(row, head)| head.size() == row.head.size() && *head != row.head)
            {
                return Err(Refusal::new(
                    Reason::RootDiffers,
                    format!("{} of {}: another head is kept", row.log, head.size()),
                ));
            }
            left.retain(|(row, head)| head.size() < row.head.size());
        }
        Ok(directory)
    }

    /// A log's head, and where it stands in the order of sending.
    pub fn held(&self, directory: &Directory, row: &LogRow) -> Held {
        let head = Head {
            log: row.log.clone(),
            size: row.head.size(),
            root: row.head.root(),
            checkpoint: row.checkpoint.clone(),
        };
        Held { head, rank: rank(row.log.node(), directory) }
    }

    /// The heads of all logs that flow over a link, either way.
    pub fn heads(&self, link: &Link) -> Vec<Held> {
        let Some(running) = &self.up else { return Vec::new() };
        let directory = &*running.directory;
        let rows = self.store.logs.values();
        rows.filter(|row| row.head.size() > 0 && flows(&row.log, link, directory).is_some())
            .map(|row| self.held(directory, row))
            .collect()
    }

    /// A package of a log from `from` on, of at most `max` entries.
    pub fn load(&self, log: &LogId, from: u64, max: usize) -> Option<Package> {
        let row = self.store.logs.get(log)?;
        let entries = self.store.log(log).get(usize::try_from(from).ok()?..)?;
        let entries: Vec<_> = entries.iter().take(max).map(super::store::Kept::sealed).collect();
        let end = from + entries.len() as u64;
        if entries.is_empty() {
            return None;
        }
        let checkpoint = match end == row.head.size() {
            true => row.checkpoint.clone(),
            false => self.sign_prefix(row, end),
        };
        Some(Package { log: log.clone(), first: from, entries, checkpoint })
    }

    /// The entry of an own log that is laid beside another history of it.
    pub fn proof(&self, log: &LogId, size: u64, unless_known: bool, peer: &NodeId) -> Option<Package> {
        let keys = self.up.as_ref()?.directory.node(&self.id)?.keys();
        let receipt = |log: &LogId| self.store.receipts.get(&(log.clone(), peer.clone()));
        let receipted = |log: &LogId| receipt(log).map_or(0, |receipt| receipt.size);
        let directory = self.own(Stream::Directory);
        if unless_known && keys.at(&directory, receipted(&directory)) == self.signer.public_key() {
            return None;
        }
        self.load(log, telling(|at| keys.at(log, at), receipted(log), size), 1)
    }

    /// As the author: its word for the first `size` entries, so that who has no more than those has it too.
    fn sign_prefix(&self, row: &LogRow, size: u64) -> Option<String> {
        let keys = self.up.as_ref()?.directory.node(&self.id)?.keys();
        if *row.log.node() != self.id || !self.may_write(&row.log) {
            return None;
        }
        let head = Checkpoint { log: row.log.clone(), size, root: self.root_at(&row.log, size)? };
        let note = checkpoint::sign(&head, &*self.signer).ok()?;
        keys.verify_checkpoint(&self.id, &checkpoint::parse(&note).ok()?).ok()?;
        Some(note)
    }

    /// The size up to which a log counts, where its author was revoked.
    pub fn valid_size(&self, log: &LogId) -> Option<u64> {
        self.up.as_ref()?.directory.node(log.node())?.valid_size(log)
    }

    /// Our root of the first `size` entries.
    pub fn root_at(&self, log: &LogId, size: u64) -> Option<Hash> {
        let entries = self.store.log(log).get(..usize::try_from(size).ok()?)?;
        let mut tree = CompactTree::default();
        entries.iter().for_each(|kept| tree.push(kept.leaf));
        Some(tree.root())
    }

    /// Our receipt for a checkpoint, that is, of entries that are durable here.
    pub fn cosign(&self, note: &str, now_ms: i64) -> Option<String> {
        let note = checkpoint::parse(note).ok()?;
        checkpoint::cosign(&note, &self.id, &*self.signer, u64::try_from(now_ms / 1000).unwrap_or_default()).ok()
    }

    /// All receipts for logs at or below the child: those that were given to this node, and its own, given anew.
    pub fn receipts_for(&self, link: &Link, now_ms: i64) -> Vec<ForwardedReceipt> {
        let Some(running) = &self.up else { return Vec::new() };
        let directory = &*running.directory;
        let kept: Vec<ReceiptRow> = self.store.receipts.values().cloned().collect();
        let mut receipts = select(&kept, link, directory);
        for row in self.store.logs.values().filter(|row| flows(&row.log, link, directory) == Some(Way::Up)) {
            if let Some(note) = row.checkpoint.as_deref().and_then(|note| self.cosign(note, now_ms)) {
                receipts.push(ForwardedReceipt { log: row.log.clone(), giver: self.id.clone(), note });
            }
        }
        receipts
    }

    /// Whether the author itself signed the head that a peer shows.
    pub fn is_proven(&self, log: &LogId, head: &Head) -> bool {
        let author = self.up.as_ref().and_then(|running| running.directory.node(log.node()));
        let Some(author) = author else { return false };
        let note = head.checkpoint.as_deref().and_then(|note| checkpoint::parse(note).ok());
        let signed = note.and_then(|note| match author.keys().verify_checkpoint(author.id(), &note) {
            // An old copy of the database may not know the key that this node signs with now.
            Err(_) if *author.id() == self.id => note.verify(&self.id, self.signer.public_key()).ok(),
            signed => signed.ok(),
        });
        signed.is_some_and(|signed| signed.log == *log && signed.size == head.size && signed.root == head.root)
    }

    /// A fresh id for the first change of a set.
    pub fn change_id(now_ms: i64, random: [u8; 6]) -> ChangeId {
        ChangeId::first(u64::try_from(now_ms).unwrap_or_default(), random)
    }
}

/// Those of `rows` that concern the child.
pub fn select(rows: &[ReceiptRow], link: &Link, directory: &Directory) -> Vec<ForwardedReceipt> {
    let ours = rows.iter().filter(|row| flows(&row.log, link, directory) == Some(Way::Up));
    ours.map(|row| ForwardedReceipt { log: row.log.clone(), giver: row.giver.clone(), note: row.note.clone() })
        .collect()
}

/// Checks a receipt that a peer handed on.
///
/// # Errors
/// `receipt_invalid`.
pub fn check_receipt(directory: &Directory, receipt: &ForwardedReceipt) -> Result<ReceiptRow, Refusal> {
    let ForwardedReceipt { log, giver, note } = receipt;
    let invalid = |why: &str| Refusal::new(Reason::ReceiptInvalid, format!("receipt of {giver} for {log}: {why}"));
    let author = directory.node(log.node()).ok_or_else(|| invalid("the author is not enrolled"))?;
    let witness = directory.node(giver).ok_or_else(|| invalid("the giver is not enrolled"))?;
    let signed = checkpoint::parse(note)?;
    let checkpoint = author.keys().verify_checkpoint(author.id(), &signed)?;
    if checkpoint.log != *log {
        return Err(invalid("it is about another log"));
    }
    witness.keys().verify_cosignature(giver, &signed)?;
    Ok(ReceiptRow { log: log.clone(), giver: giver.clone(), size: checkpoint.size, note: note.clone() })
}

/// Whether one of a node's logs is stopped: what happened to it happened to the others.
pub fn is_stopped<'a>(mut rows: impl Iterator<Item = &'a LogRow>, node: &NodeId) -> bool {
    rows.any(|row| row.log.node() == node && row.trouble.is_some())
}
