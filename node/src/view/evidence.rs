//! Evidence as the operator sees it, and evidence files, which are checked from the anchor before they go out.

use danso_core::verify::Directory;
use danso_proto::checkpoint;
use danso_proto::evidence::{self, Contradicted, Contradiction, EvidenceFile, Statement};
use danso_proto::ids::{LogId, NodeId};
use danso_proto::merkle::Hash;
use danso_proto::proof::ProvenEntry;
use danso_proto::refusal::{Reason, Refusal};

use super::prove::Prover;
use super::{Error, View};

/// A pair of statements that is kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Its number.
    pub number: u64,
    /// The log.
    pub log: LogId,
    /// Our clock when it was seen, Unix milliseconds.
    pub seen_at_ms: i64,
    /// Who showed the second statement, if that was kept.
    pub shown_by: Option<NodeId>,
    /// What it proves; `None` when it proves nothing.
    pub contradicted: Option<Contradicted>,
    /// What a decision names.
    pub digest: Hash,
}

impl View {
    /// The evidence about a log, or all of it, by number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn evidence(&self, directory: &Directory, log: Option<&LogId>) -> Result<Vec<Evidence>, Error> {
        let rows = self.store.read("evidence").await?.evidence_list(log).await?;
        let seen = rows.into_iter().map(|row| {
            let contradiction = bare(directory, row.contradiction);
            Evidence {
                number: u64::try_from(row.id).unwrap_or_default(),
                seen_at_ms: row.at_ms,
                shown_by: row.shown_by,
                contradicted: evidence::weigh(&contradiction, directory).ok(),
                digest: contradiction.digest(),
                log: row.log,
            }
        });
        Ok(seen.collect())
    }

    /// The bytes of a self-contained evidence file. It was checked from the anchor's fingerprint before it is returned.
    ///
    /// # Errors
    /// `not_found` when there is no evidence of this number, or what the way of trust to the author needs is not here.
    pub async fn evidence_file(&self, directory: &Directory, number: u64) -> Result<Vec<u8>, Error> {
        let mut tx = self.store.read("evidence").await?;
        let row = match i64::try_from(number) {
            Ok(id) => tx.evidence_get(id).await?,
            Err(_) => None,
        };
        let none = || {
            let detail = format!("there is no evidence {number}; see danso-admin evidence list");
            Refusal::new(Reason::NotFound, detail)
        };
        let row = row.ok_or_else(none)?;
        let mut prover = Prover::new(tx).await?;
        let mut lineage: Vec<NodeId> = directory.lineage(row.log.node()).cloned().collect();
        lineage.reverse();
        let mut chain = prover.trust(directory, &lineage).await?;
        for entry in &mut chain {
            strip(directory, entry);
        }
        let contradiction = bare(directory, row.contradiction);
        let file = EvidenceFile { chain, contradiction }.encode();
        evidence::check(&file, &directory.anchor())?;
        Ok(file)
    }
}

/// Leaves the author's line alone under a checkpoint of the chain: receipts prove nothing here.
fn strip(directory: &Directory, entry: &mut ProvenEntry) {
    if let Some(text) = author_only(directory, &entry.checkpoint) {
        entry.checkpoint = text;
    }
}

/// Statements that an older version kept may have receipts under them.
fn bare(directory: &Directory, contradiction: Contradiction) -> Contradiction {
    let bare = |statement: Statement| match statement {
        Statement::Checkpoint(text) => Statement::Checkpoint(author_only(directory, &text).unwrap_or(text)),
        entry @ Statement::Entry(_) => entry,
    };
    Contradiction { ours: bare(contradiction.ours), theirs: bare(contradiction.theirs), ..contradiction }
}

fn author_only(directory: &Directory, text: &str) -> Option<String> {
    let note = checkpoint::parse(text).ok()?;
    let author = directory.node(note.unverified().log.node())?;
    let bare = author.keys().newest_first().find_map(|key| note.bare(author.id(), key))?;
    Some(bare.text().to_owned())
}
