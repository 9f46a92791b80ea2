//! Proof files: one entry with the way of trust to it, made of stored entries, leaves and notes, and checked before it goes out.

use std::collections::BTreeMap;

use danso_core::verify::Directory;
use danso_proto::change::{Body, Change, ChangeSet};
use danso_proto::checkpoint::{self, SignedNote};
use danso_proto::envelope::Envelope;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::merkle::{self, Hash};
use danso_proto::proof::{self, ProofFile, ProvenEntry, ProvenHead};
use danso_proto::refusal::{Reason, Refusal};

use super::{Error, View};
use crate::store::{LogRow, ReceiptRow, StoredEntry, Tx};

/// Entries read at a time while a directory is looked through.
const SCAN_ENTRIES: usize = 256;
/// Bytes read at a time while a directory is looked through.
const SCAN_BYTES: usize = limits::PACKAGE_INFLATED_MAX;

/// Which receipts go into a proof file.
#[derive(Debug)]
pub enum Receipts {
    /// Those on the one tree that most are for.
    Latest {
        /// This node's own receipt for the log, given now: the store holds only those of others.
        own: Option<(NodeId, SignedNote)>,
    },
    /// The first receipt that covers the entry of each node above; for this node's own logs only.
    First,
}

impl View {
    /// The bytes of a self-contained proof file for one entry. It was checked from the anchor's fingerprint before it is returned.
    ///
    /// # Errors
    /// `not_found` when the entry, or a checkpoint that covers it, is not here.
    pub async fn proof(
        &self,
        directory: &Directory,
        log: &LogId,
        sequence: u64,
        receipts: Receipts,
    ) -> Result<Vec<u8>, Error> {
        let mut prover = Prover::new(self.store.read("proof").await?).await?;
        // From the centre down.
        let mut lineage: Vec<NodeId> = directory.lineage(log.node()).cloned().collect();
        lineage.reverse();
        let entry = prover.entry(log, sequence).await?;
        let mut further = Vec::new();
        let entry = match receipts {
            Receipts::Latest { own } => {
                let own = own.map(|(giver, note)| ReceiptRow {
                    log: log.clone(),
                    giver,
                    size: note.unverified().size,
                    time_s: 0,
                    note: note.text().to_owned(),
                });
                prover.prove(log, entry, own).await?
            }
            Receipts::First => {
                further = prover.first_receipts(log, &entry, &lineage).await?;
                bare(prover.prove(log, entry, None).await?)
            }
        };
        let chain = prover.trust(directory, &lineage).await?;
        let file = ProofFile { chain, entry, further }.encode();
        proof::check(&file, &directory.anchor())?;
        Ok(file)
    }
}

/// One state of the store.
pub(super) struct Prover {
    tx: Tx,
    logs: BTreeMap<LogId, LogRow>,
}

impl Prover {
    pub(super) async fn new(mut tx: Tx) -> Result<Self, Error> {
        let logs = tx.log_list().await?.into_iter().map(|row| (row.log.clone(), row)).collect();
        Ok(Self { tx, logs })
    }

    /// The way of trust down a lineage, with nothing but its author's line under each checkpoint.
    pub(super) async fn trust(&mut self, directory: &Directory, lineage: &[NodeId]) -> Result<Vec<ProvenEntry>, Error> {
        let mut chain = Vec::new();
        for (log, entry) in self.chain(directory, lineage).await? {
            chain.push(bare(self.prove(&log, entry, None).await?));
        }
        if chain.len() > limits::PROOF_CHAIN_MAX {
            let detail = format!(
                "{} entries lead from the anchor to the author, with all changes of keys; a file holds {} at most. \
                 The logs themselves can be checked still: danso-admin log verify",
                chain.len(),
                limits::PROOF_CHAIN_MAX
            );
            return Err(Refusal::new(Reason::TooLarge, detail).into());
        }
        Ok(chain)
    }

    fn row(&self, log: &LogId) -> Result<&LogRow, Refusal> {
        self.logs.get(log).ok_or_else(|| not_found(format!("{log} is not here; see the list of logs")))
    }

    async fn entry(&mut self, log: &LogId, sequence: u64) -> Result<StoredEntry, Error> {
        let row = self.row(log)?;
        let (pk, size) = (row.pk, row.head.size());
        let found = if sequence < size { self.tx.entry_read(pk, sequence, 1, usize::MAX).await?.pop() } else { None };
        let found = found.filter(|entry| entry.sequence == sequence);
        Ok(found.ok_or_else(|| {
            not_found(format!("{log} has {size} entries here, counted from 0; there is no entry {sequence}"))
        })?)
    }

    /// The genesis, and every entry of the lineage's directories that gave one of its nodes a key, in an order in which each is signed with a
    /// key that those before it gave: from the centre down, for each node first what those above it said.
    async fn chain(&mut self, directory: &Directory, lineage: &[NodeId]) -> Result<Vec<(LogId, StoredEntry)>, Error> {
        let genesis = LogId::new(directory.root().clone(), Stream::Directory);
        let first = self.entry(&genesis, 0).await?;
        let mut chain = vec![(genesis, first)];
        // By log, from the centre down: what it says about keys of the lineage.
        let mut said = Vec::with_capacity(lineage.len());
        for node in lineage {
            let log = LogId::new(node.clone(), Stream::Directory);
            let entries = self.about_keys(&log, lineage).await?;
            said.push((log, entries));
        }
        for (at, node) in lineage.iter().enumerate() {
            for (log, entries) in &said[..=at] {
                for (about, entry) in entries {
                    let is_new = || !chain.iter().any(|(of, kept)| of == log && kept.sequence == entry.sequence);
                    if about.contains(node) && is_new() {
                        chain.push((log.clone(), entry.clone()));
                    }
                }
            }
            if at > 0 && !said[..at].iter().any(|(_, entries)| entries.iter().any(|(about, _)| about.contains(node))) {
                return Err(not_found(format!("no directory above enrols {node}")).into());
            }
        }
        Ok(chain)
    }

    /// Entries of a directory log that give one of `nodes` a key, with whom they are about. A log that is not here says nothing.
    async fn about_keys(&mut self, log: &LogId, nodes: &[NodeId]) -> Result<Vec<(Vec<NodeId>, StoredEntry)>, Error> {
        let Some((pk, size)) = self.logs.get(log).map(|row| (row.pk, row.head.size())) else { return Ok(Vec::new()) };
        let (mut from, mut found) = (0, Vec::new());
        while from < size {
            let entries = self.tx.entry_read(pk, from, SCAN_ENTRIES, SCAN_BYTES).await?;
            let Some(last) = entries.last() else { break };
            from = last.sequence + 1;
            for entry in entries {
                let mut about = given_keys(&entry)?;
                about.retain(|node| nodes.contains(node));
                if !about.is_empty() {
                    found.push((about, entry));
                }
            }
        }
        Ok(found)
    }

    /// The first receipt that covers an entry of each node of the lineage, those on one tree together, smaller trees first.
    async fn first_receipts(
        &mut self,
        log: &LogId,
        entry: &StoredEntry,
        lineage: &[NodeId],
    ) -> Result<Vec<ProvenHead>, Error> {
        let mut rows = Vec::with_capacity(lineage.len());
        for giver in lineage.iter().filter(|giver| *giver != log.node()) {
            rows.extend(self.tx.receipt_steps(log, giver, entry.sequence, 1).await?);
        }
        let mut found = notes(None, &rows);
        found.sort_by_key(|note| note.unverified().size);
        let (pk, size) = (self.row(log)?.pk, found.last().map_or(0, |note| note.unverified().size));
        let leaves = self.tx.leaf_read(pk, 0..size).await?;
        let head = |note: SignedNote| {
            let inclusion = inclusion(&note, &leaves, entry)?;
            Some(ProvenHead { checkpoint: note.text().to_owned(), inclusion })
        };
        Ok(found.into_iter().filter_map(head).collect())
    }

    /// An entry with its place in the tree that most receipts are for.
    async fn prove(&mut self, log: &LogId, entry: StoredEntry, own: Option<ReceiptRow>) -> Result<ProvenEntry, Error> {
        let row = self.row(log)?;
        let (pk, size) = (row.pk, row.head.size());
        let mut receipts = self.tx.receipt_list(Some(log)).await?;
        receipts.extend(own);
        let leaves = self.tx.leaf_read(pk, 0..size).await?;
        let sequence = entry.sequence;
        for note in notes(self.row(log)?.checkpoint.as_deref(), &receipts) {
            if let Some(inclusion) = inclusion(&note, &leaves, &entry) {
                let checkpoint = note.text().to_owned();
                return Ok(ProvenEntry { envelope: entry.envelope, sequence, checkpoint, inclusion });
            }
        }
        let detail = format!(
            "no checkpoint of {log} that covers entry {sequence} is here yet; wait until the link is up and try again"
        );
        Err(not_found(detail).into())
    }
}

/// The nodes to which an entry gives a key.
fn given_keys(entry: &StoredEntry) -> Result<Vec<NodeId>, Refusal> {
    let envelope = Envelope::decode(entry.envelope.clone())?;
    let set = ChangeSet::decode(envelope.payload())?;
    let node = |change: Change| match change.body {
        Body::NodeEnrolled(child) => Some(child.node),
        Body::NodeRekeyed(rekeyed) => Some(rekeyed.node),
        _ => None,
    };
    Ok(set.changes.into_iter().filter_map(node).collect())
}

/// The place of an entry in the tree of a note; `None` when the note does not cover it. A note about another history of the log proves
/// nothing about this one.
fn inclusion(note: &SignedNote, leaves: &[Hash], entry: &StoredEntry) -> Option<Vec<Hash>> {
    let head = note.unverified();
    let tree = leaves.get(..usize::try_from(head.size).ok()?)?;
    let inclusion = merkle::inclusion_proof(tree, usize::try_from(entry.sequence).ok()?)?;
    merkle::verify_inclusion(entry.leaf, entry.sequence, head.size, &inclusion, &head.root).ok()?;
    Some(inclusion)
}

/// Without the lines that nobody checks at this place: what is not checked could be changed unseen.
fn bare(entry: ProvenEntry) -> ProvenEntry {
    match checkpoint::parse(&entry.checkpoint) {
        Ok(note) => ProvenEntry { checkpoint: merged(note, &BTreeMap::new()).text().to_owned(), ..entry },
        Err(_) => entry,
    }
}

/// The notes about a log that are here, those about one tree put together. The one with most receipts comes first, then the largest.
fn notes(checkpoint: Option<&str>, receipts: &[ReceiptRow]) -> Vec<SignedNote> {
    // By body: the author's note, and the receipts on it by giver.
    let mut trees: BTreeMap<String, (SignedNote, BTreeMap<&NodeId, SignedNote>)> = BTreeMap::new();
    if let Some(note) = checkpoint.and_then(|note| checkpoint::parse(note).ok()) {
        trees.insert(note.body().to_owned(), (note, BTreeMap::new()));
    }
    for row in receipts {
        let Ok(note) = checkpoint::parse(&row.note) else { continue };
        let tree = trees.entry(note.body().to_owned()).or_insert_with(|| (note.clone(), BTreeMap::new()));
        tree.1.insert(&row.giver, note);
    }
    let mut trees: Vec<_> = trees.into_values().collect();
    trees.sort_by_key(|(note, receipts)| std::cmp::Reverse((receipts.len(), note.unverified().size)));
    trees.into_iter().map(|(note, receipts)| merged(note, &receipts)).collect()
}

/// A note with the line of each giver below the author's. A giver's line is taken from its own receipt only: another note may carry an
/// older one, and two lines of one giver are refused.
fn merged(note: SignedNote, receipts: &BTreeMap<&NodeId, SignedNote>) -> SignedNote {
    let author = note.unverified().log.node().clone();
    let mut text = format!("{}\n", note.body());
    for (name, note) in std::iter::once((&author, &note)).chain(receipts.iter().map(|(giver, note)| (*giver, note))) {
        let start = format!("— {name} ");
        let lines = note.text()[note.body().len()..].lines().filter(|line| line.starts_with(&start));
        for line in lines {
            if text.len() + line.len() < limits::NOTE_BYTES_MAX {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    // It reads, because both its parts did; were it not so, the author's note alone would still do.
    checkpoint::parse(&text).unwrap_or(note)
}

fn not_found(detail: String) -> Refusal {
    Refusal::new(Reason::NotFound, detail)
}

#[cfg(test)]
mod tests {
    use danso_proto::checkpoint::{Checkpoint, cosign, sign};
    use danso_proto::envelope::{Signer as _, SoftwareSigner};
    use danso_proto::ids::UnitCode;

    use super::*;

    fn node(code: &str, seed: u8) -> (NodeId, SoftwareSigner) {
        let unit: UnitCode = code.parse().expect("unit");
        let signer = SoftwareSigner::from_secret(&[seed; 32]);
        (NodeId::new(&unit, signer.public_key().as_bytes()), signer)
    }

    #[test]
    fn receipts_on_one_tree_come_together_and_win_over_a_larger_tree() {
        let (author, key) = node("17065", 1);
        let (district, district_key) = node("420", 2);
        let (province, province_key) = node("40", 3);
        let log = LogId::new(author.clone(), Stream::Records);
        let note = |size: u64| {
            let head = Checkpoint { log: log.clone(), size, root: [size as u8; 32] };
            checkpoint::parse(&sign(&head, &key).expect("signs")).expect("reads")
        };
        let row = |giver: &NodeId, size, note: String| ReceiptRow {
            log: log.clone(),
            giver: giver.clone(),
            size,
            time_s: 1,
            note,
        };
        let by_district = cosign(&note(4), &district, &district_key, 10).expect("cosigns");
        // The province's receipt carries an older line of the district.
        let older = checkpoint::parse(&cosign(&note(4), &district, &district_key, 5).expect("cosigns")).expect("reads");
        let by_province = cosign(&older, &province, &province_key, 20).expect("cosigns");
        let rows = [row(&district, 4, by_district), row(&province, 4, by_province)];
        let found = notes(Some(note(9).text()), &rows);
        let sizes: Vec<u64> = found.iter().map(|note| note.unverified().size).collect();
        assert_eq!(sizes, [4, 9]);
        found[0].verify(&author, key.public_key()).expect("the author's");
        assert_eq!(checkpoint::verify_cosignature(&found[0], &district, district_key.public_key()), Ok(10));
        assert_eq!(checkpoint::verify_cosignature(&found[0], &province, province_key.public_key()), Ok(20));
        assert!(notes(None, &[]).is_empty());
    }
}
