//! Evidence: pairs of statements about one log that cannot both be true.

use danso_proto::evidence::{Contradiction, Statement};
use danso_proto::ids::{LogId, NodeId};

use super::sql::Row;
use super::{Error, Result, Tx, hash, parsed};

/// A contradiction as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Its number, for operators.
    pub id: i64,
    /// The log.
    pub log: LogId,
    /// Our clock when it was seen, Unix milliseconds.
    pub at_ms: i64,
    /// Who showed the second statement; `None` in what an older version kept.
    pub shown_by: Option<NodeId>,
    /// The statements.
    pub contradiction: Contradiction,
}

impl Tx {
    /// Keeps a contradiction; its number, and whether it is new: what was shown is kept once for each log.
    pub async fn evidence_add(
        &mut self,
        log: &LogId,
        at_ms: i64,
        shown_by: &NodeId,
        contradiction: &Contradiction,
    ) -> Result<(i64, bool)> {
        let Contradiction { ours, theirs, growth } = contradiction;
        // Asked first: an insert that does nothing would use up a number, and people would look for the evidence that is missing.
        let sql = "SELECT id FROM evidence WHERE log = $1 AND theirs = $2";
        if let Some(known) = self.row(sql, [log.to_string().into(), bytes(theirs).into()]).await? {
            return Ok((known.get("id")?, false));
        }
        let entries = matches!(theirs, Statement::Entry(_));
        let (root, proof) = match growth {
            Some((root, proof)) => (Some(root.to_vec()), proof.concat()),
            None => (None, Vec::new()),
        };
        let sql = "INSERT INTO evidence (log, at_ms, shown_by, entries, ours, theirs, root, proof) {rows} RETURNING id";
        let values = [
            log.to_string().into(),
            at_ms.into(),
            shown_by.to_string().into(),
            entries.into(),
            bytes(ours).into(),
            bytes(theirs).into(),
            root.into(),
            proof.into(),
        ];
        let added = self.write_returning(sql, [], [values]).await?;
        let added = added
            .first()
            .ok_or_else(|| Error::inconsistent("evidence", "id", "a row that was written is not there"))?;
        Ok((added.get("id")?, true))
    }

    /// All evidence, or that about one log, by number.
    pub async fn evidence_list(&mut self, log: Option<&LogId>) -> Result<Vec<EvidenceRow>> {
        let sql = "SELECT * FROM evidence WHERE $1 IS NULL OR log = $1 ORDER BY id";
        let rows = self.rows(sql, [log.map(LogId::to_string).into()]).await?;
        rows.iter().map(read).collect()
    }

    /// The evidence with this number.
    pub async fn evidence_get(&mut self, id: i64) -> Result<Option<EvidenceRow>> {
        let row = self.row("SELECT * FROM evidence WHERE id = $1", [id.into()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// How many pieces of evidence are kept about a log.
    pub async fn evidence_count(&mut self, log: &LogId) -> Result<u64> {
        let count = self.number("SELECT COUNT(*) FROM evidence WHERE log = $1", [log.to_string().into()]).await?;
        super::unsigned(count, "evidence", "id")
    }
}

fn bytes(statement: &Statement) -> Vec<u8> {
    match statement {
        Statement::Checkpoint(text) => text.as_bytes().to_vec(),
        Statement::Entry(envelope) => envelope.to_vec(),
    }
}

fn read(row: &Row) -> Result<EvidenceRow> {
    let entries = row.flag("entries")?;
    let statement = |column: &'static str| -> Result<Statement> {
        let bytes: Vec<u8> = row.get(column)?;
        Ok(match entries {
            true => Statement::Entry(bytes.into()),
            false => {
                Statement::Checkpoint(String::from_utf8(bytes).map_err(|e| Error::inconsistent("evidence", column, e))?)
            }
        })
    };
    let root: Option<&[u8]> = row.get("root")?;
    let root = root.map(|root| hash(root, "evidence", "root")).transpose()?;
    let proof: &[u8] = row.get("proof")?;
    let (proof, rest) = proof.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(Error::inconsistent("evidence", "proof", "no whole number of hashes"));
    }
    let shown_by: &str = row.get("shown_by")?;
    Ok(EvidenceRow {
        id: row.get("id")?,
        log: parsed(row.get("log")?, "evidence", "log")?,
        at_ms: row.get("at_ms")?,
        shown_by: (!shown_by.is_empty()).then(|| parsed(shown_by, "evidence", "shown_by")).transpose()?,
        contradiction: Contradiction {
            ours: statement("ours")?,
            theirs: statement("theirs")?,
            growth: root.map(|root| (root, proof.to_vec())),
        },
    })
}
