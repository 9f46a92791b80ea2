//! Proof files: one entry with the way of trust to it, made of stored entries, leaves and notes, and checked before it goes out.

use std::collections::BTreeMap;

use danso_core::verify::Directory;
use danso_proto::change::{Body, ChangeSet};
use danso_proto::checkpoint::{self, SignedNote};
use danso_proto::envelope::Envelope;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::merkle;
use danso_proto::proof::{self, ProofFile, ProvenEntry};
use danso_proto::refusal::{Reason, Refusal};

use super::{Error, View};
use crate::store::{LogRow, ReceiptRow, StoredEntry, Tx};

/// Entries read at a time while an enrolment is looked for.
const SCAN_ENTRIES: usize = 256;
/// Bytes read at a time while an enrolment is looked for.
const SCAN_BYTES: usize = limits::PACKAGE_INFLATED_MAX;

impl View {
    /// The bytes of a self-contained proof file for one entry. It was checked from the anchor's fingerprint before it is returned. `own` is
    /// this node's own receipt for the log, given now: the store holds only those of others.
    ///
    /// # Errors
    /// `not_found` when the entry, or a checkpoint that covers it, is not here.
    pub async fn proof(
        &self,
        directory: &Directory,
        log: &LogId,
        sequence: u64,
        own: Option<(NodeId, SignedNote)>,
    ) -> Result<Vec<u8>, Error> {
        let mut prover = Prover::new(self.store.read("proof").await?).await?;
        prover.own = own.map(|(giver, note)| ReceiptRow {
            log: log.clone(),
            giver,
            size: note.unverified().size,
            time_s: 0,
            note: note.text().to_owned(),
        });
        let entry = prover.entry(log, sequence).await?;
        let entry = prover.prove(log, entry).await?;
        let mut lineage: Vec<&NodeId> = directory.lineage(log.node()).collect();
        lineage.reverse();
        let genesis = LogId::new(directory.root().clone(), Stream::Directory);
        let first = prover.entry(&genesis, 0).await?;
        let mut chain = vec![prover.prove(&genesis, first).await?];
        for pair in lineage.windows(2) {
            let above = LogId::new(pair[0].clone(), Stream::Directory);
            let enrolment = prover.enrolment(&above, pair[1]).await?;
            chain.push(prover.prove(&above, enrolment).await?);
        }
        let file = ProofFile { chain, entry }.encode();
        proof::check(&file, &directory.anchor())?;
        Ok(file)
    }
}

/// One state of the store.
struct Prover {
    tx: Tx,
    logs: BTreeMap<LogId, LogRow>,
    own: Option<ReceiptRow>,
}

impl Prover {
    async fn new(mut tx: Tx) -> Result<Self, Error> {
        let logs = tx.log_list().await?.into_iter().map(|row| (row.log.clone(), row)).collect();
        Ok(Self { tx, logs, own: None })
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

    /// The entry of a directory log that enrols `node`.
    async fn enrolment(&mut self, log: &LogId, node: &NodeId) -> Result<StoredEntry, Error> {
        let row = self.row(log)?;
        let (pk, size) = (row.pk, row.head.size());
        let mut from = 0;
        while from < size {
            let entries = self.tx.entry_read(pk, from, SCAN_ENTRIES, SCAN_BYTES).await?;
            let Some(last) = entries.last() else { break };
            from = last.sequence + 1;
            for entry in entries {
                if enrols(&entry, node)? {
                    return Ok(entry);
                }
            }
        }
        Err(not_found(format!("{log} does not enrol {node}")).into())
    }

    /// An entry with its place in the tree that most receipts are for.
    async fn prove(&mut self, log: &LogId, entry: StoredEntry) -> Result<ProvenEntry, Error> {
        let row = self.row(log)?;
        let (pk, size) = (row.pk, row.head.size());
        let mut receipts = self.tx.receipt_list(Some(log)).await?;
        receipts.extend(self.own.clone().filter(|own| own.log == *log));
        let leaves = self.tx.leaf_read(pk, 0..size).await?;
        let sequence = entry.sequence;
        for note in notes(self.row(log)?.checkpoint.as_deref(), &receipts) {
            let head = note.unverified();
            let Some(tree) = usize::try_from(head.size).ok().and_then(|size| leaves.get(..size)) else { continue };
            let Some(inclusion) = usize::try_from(sequence).ok().and_then(|at| merkle::inclusion_proof(tree, at))
            else {
                continue;
            };
            // A note about another history of the log proves nothing about this one.
            if merkle::verify_inclusion(entry.leaf, sequence, head.size, &inclusion, &head.root).is_ok() {
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

fn enrols(entry: &StoredEntry, node: &NodeId) -> Result<bool, Refusal> {
    let envelope = Envelope::decode(entry.envelope.clone())?;
    let set = ChangeSet::decode(envelope.payload())?;
    Ok(set.changes.iter().any(|change| matches!(&change.body, Body::NodeEnrolled(child) if child.node == *node)))
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
