//! Findings over time: since when, whether their authors were told, and what nodes above say about our own records.

use std::collections::BTreeMap;

use danso_proto::ids::{ChangeId, LogId, NodeId};

use super::sql::Value;
use super::{FindingRow, Result, Tx, change_id, parsed, unsigned};

/// A finding by its name: the change that does not count, and the reason's code.
pub type FindingKey = (ChangeId, String);

/// A finding about somebody's record, which opened or closed and of which its author was not told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingDue {
    /// The change and the reason.
    pub key: FindingKey,
    /// The log of the record.
    pub log: LogId,
    /// Whether it is open now.
    pub is_open: bool,
    /// Whether the author was told last that it is open.
    pub told: bool,
}

/// A finding with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingTime {
    /// The change and the reason.
    pub key: FindingKey,
    /// Since when, Unix milliseconds; `None` where only its end is known.
    pub opened_at_ms: Option<i64>,
    /// Until when; `None` while it is open.
    pub closed_at_ms: Option<i64>,
    /// Who says so; `None`: this node.
    pub giver: Option<NodeId>,
}

/// What a node above said about a finding: since when, and until when.
pub type Said = (Option<i64>, Option<i64>);

impl Tx {
    /// Notes findings that are there now. One that was open already stays as it is.
    pub async fn finding_opened(&mut self, findings: &[&FindingRow], now_ms: i64) -> Result<()> {
        let sql = format!(
            "INSERT INTO finding_state (change, reason, log, opened_at_ms, closed_at_ms, told, due) {{rows}}{OPEN_AGAIN}"
        );
        // One row a statement for each key: PostgreSQL refuses to change a row twice in one.
        let each: BTreeMap<_, _> =
            findings.iter().map(|finding| ((finding.change.as_bytes(), finding.reason.code()), finding)).collect();
        let rows = each.into_values().map(|finding| {
            let (change, reason) = (finding.change.as_bytes().into(), finding.reason.code().into());
            [change, reason, finding.log.into(), now_ms.into(), Value::Int(None), false.into(), true.into()]
        });
        self.write_many(&sql, [], rows).await.map(drop)
    }

    /// Notes findings that are no more.
    pub async fn finding_closed(&mut self, keys: &[&FindingKey], now_ms: i64) -> Result<()> {
        let sql = "UPDATE finding_state SET due = 1, closed_at_ms = $1 WHERE closed_at_ms IS NULL AND (change, reason) IN ({rows})";
        self.write_many(sql, [now_ms.into()], keys.iter().map(|key| values(key))).await.map(drop)
    }

    /// Brings the times of all findings in line with the findings that there are: after a start, because the register may have been made
    /// again by a version that counts more.
    pub async fn finding_reconcile(&mut self, now_ms: i64) -> Result<()> {
        let sql = format!(
            "INSERT INTO finding_state (change, reason, log, opened_at_ms, closed_at_ms, told, due)
             SELECT change, reason, log, $1, NULL, 0, 1 FROM finding WHERE true{OPEN_AGAIN}"
        );
        self.write(&sql, [now_ms.into()]).await?;
        let sql = "UPDATE finding_state SET due = 1, closed_at_ms = $1 WHERE closed_at_ms IS NULL AND NOT EXISTS
                   (SELECT 1 FROM finding WHERE finding.change = finding_state.change AND finding.reason = finding_state.reason)";
        self.write(sql, [now_ms.into()]).await.map(drop)
    }

    /// Findings of whose opening or end their authors were not told, at most `max`.
    pub async fn finding_due(&mut self, max: usize) -> Result<Vec<FindingDue>> {
        let sql = "SELECT change, finding_state.reason, name, closed_at_ms, told FROM finding_state
                   JOIN log ON log.id = finding_state.log WHERE due = 1
                   ORDER BY finding_state.log, change, finding_state.reason LIMIT $1";
        let rows = self.rows(sql, [max.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(FindingDue {
                    key: (change_id(row.get("change")?, "finding_state", "change")?, row.get("reason")?),
                    log: parsed(row.get("name")?, "log", "name")?,
                    is_open: row.get::<Option<i64>>("closed_at_ms")?.is_none(),
                    told: row.flag("told")?,
                })
            })
            .collect()
    }

    /// Notes that nothing is to be told of these findings any more; when `told`, because their authors were told.
    pub async fn finding_settle(&mut self, keys: &[&FindingKey], told: bool) -> Result<()> {
        let sql = match told {
            true => {
                "UPDATE finding_state SET due = 0, told = CASE WHEN closed_at_ms IS NULL THEN 1 ELSE 0 END WHERE (change, reason) IN ({rows})"
            }
            false => "UPDATE finding_state SET due = 0 WHERE (change, reason) IN ({rows})",
        };
        self.write_many(sql, [], keys.iter().map(|key| values(key))).await.map(drop)
    }

    /// Findings in a log of which the author was told that they are open.
    pub async fn finding_told(&mut self, log: &LogId) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM finding_state WHERE told = 1 AND log = (SELECT id FROM log WHERE name = $1)";
        let count = self.number(sql, [log.to_string().into()]).await?;
        unsigned(count, "finding_state", "told")
    }

    /// Has the open findings of a log looked at again that its author was not told of, because there were too many.
    pub async fn finding_due_again(&mut self, log: &LogId) -> Result<()> {
        let sql = "UPDATE finding_state SET due = 1 WHERE told = 0 AND closed_at_ms IS NULL
                   AND log = (SELECT id FROM log WHERE name = $1)";
        self.write(sql, [log.to_string().into()]).await.map(drop)
    }

    /// Keeps what `giver` said about findings of our records.
    pub async fn finding_said_put(&mut self, giver: &NodeId, said: &BTreeMap<FindingKey, Said>) -> Result<()> {
        let sql = "INSERT INTO finding_said (giver, change, reason, opened_at_ms, closed_at_ms) {rows}
                   ON CONFLICT (giver, change, reason) DO UPDATE SET closed_at_ms = excluded.closed_at_ms,
                   opened_at_ms = coalesce(excluded.opened_at_ms, finding_said.opened_at_ms)";
        let giver = giver.to_string();
        let rows = said.iter().map(|((change, reason), (opened, closed))| {
            [giver.as_str().into(), change.as_bytes().into(), reason.into(), (*opened).into(), (*closed).into()]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// What this node found and what nodes above said, by change; those that are closed too, if wanted.
    pub async fn finding_times(&mut self, closed_too: bool) -> Result<Vec<FindingTime>> {
        // What this node found has no giver, and comes first.
        let sql = "SELECT change, reason, opened_at_ms, closed_at_ms, '' AS giver FROM finding_state WHERE $1 = 1 OR closed_at_ms IS NULL
                   UNION ALL
                   SELECT change, reason, opened_at_ms, closed_at_ms, giver FROM finding_said WHERE $1 = 1 OR closed_at_ms IS NULL
                   ORDER BY change, reason, giver";
        let rows = self.rows(sql, [closed_too.into()]).await?;
        rows.iter()
            .map(|row| {
                let giver: &str = row.get("giver")?;
                Ok(FindingTime {
                    key: (change_id(row.get("change")?, "finding_state", "change")?, row.get("reason")?),
                    opened_at_ms: row.get("opened_at_ms")?,
                    closed_at_ms: row.get("closed_at_ms")?,
                    giver: (!giver.is_empty()).then(|| parsed(giver, "finding_said", "giver")).transpose()?,
                })
            })
            .collect()
    }
}

const OPEN_AGAIN: &str =
    " ON CONFLICT (change, reason) DO UPDATE SET opened_at_ms = excluded.opened_at_ms, closed_at_ms = NULL, due = 1
    WHERE finding_state.closed_at_ms IS NOT NULL";

fn values((change, reason): &FindingKey) -> [Value; 2] {
    [change.as_bytes().into(), reason.into()]
}
