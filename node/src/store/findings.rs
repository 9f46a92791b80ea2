//! Findings over time: since when, whether their authors were told, and what nodes above say about our own records.

use std::collections::BTreeMap;

use danso_proto::ids::{ChangeId, LogId, NodeId};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{FindingRow, ROWS, Result, Tx, change_id, parsed, unsigned};

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
        for chunk in findings.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO finding_state (change, reason, log, opened_at_ms, closed_at_ms, told, due) ",
            );
            sql.push_values(chunk, |mut row, finding| {
                row.push_bind(finding.change.as_bytes().to_vec())
                    .push_bind(finding.reason.code())
                    .push_bind(finding.log)
                    .push_bind(now_ms)
                    .push("NULL, 0, 1");
            });
            sql.push(OPEN_AGAIN);
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Notes findings that are no more.
    pub async fn finding_closed(&mut self, keys: &[&FindingKey], now_ms: i64) -> Result<()> {
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("UPDATE finding_state SET due = 1, closed_at_ms = ");
            sql.push_bind(now_ms).push(" WHERE closed_at_ms IS NULL AND (change, reason) IN (");
            push_keys(&mut sql, chunk);
            sql.push(")");
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Brings the times of all findings in line with the findings that there are: after a start, because the register may have been made
    /// again by a version that counts more.
    pub async fn finding_reconcile(&mut self, now_ms: i64) -> Result<()> {
        let failed = self.failed();
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO finding_state (change, reason, log, opened_at_ms, closed_at_ms, told, due)
             SELECT change, reason, log, ",
        );
        sql.push_bind(now_ms).push(", NULL, 0, 1 FROM finding WHERE true").push(OPEN_AGAIN);
        sql.build().execute(self.write()?).await.map_err(&failed)?;
        sqlx::query(
            "UPDATE finding_state SET due = 1, closed_at_ms = $1 WHERE closed_at_ms IS NULL AND NOT EXISTS
             (SELECT 1 FROM finding WHERE finding.change = finding_state.change AND finding.reason = finding_state.reason)",
        )
        .bind(now_ms)
        .execute(self.write()?)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Findings of whose opening or end their authors were not told, at most `max`.
    pub async fn finding_due(&mut self, max: usize) -> Result<Vec<FindingDue>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT change, finding_state.reason, name, closed_at_ms IS NULL AS is_open, told FROM finding_state
             JOIN log ON log.id = finding_state.log WHERE due = 1 ORDER BY finding_state.log, change, finding_state.reason LIMIT $1",
        )
        .bind(max as i64)
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(FindingDue {
                    key: (change_id(row.get("change"), "finding_state", "change")?, row.get("reason")),
                    log: parsed(row.get("name"), "log", "name")?,
                    is_open: row.get("is_open"),
                    told: row.get("told"),
                })
            })
            .collect()
    }

    /// Notes that nothing is to be told of these findings any more; when `told`, because their authors were told.
    pub async fn finding_settle(&mut self, keys: &[&FindingKey], told: bool) -> Result<()> {
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("UPDATE finding_state SET due = 0");
            if told {
                sql.push(", told = (closed_at_ms IS NULL)");
            }
            sql.push(" WHERE (change, reason) IN (");
            push_keys(&mut sql, chunk);
            sql.push(")");
            sql.build().persistent(false).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Findings in a log of which the author was told that they are open.
    pub async fn finding_told(&mut self, log: &LogId) -> Result<u64> {
        let failed = self.failed();
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM finding_state WHERE told = 1 AND log = (SELECT id FROM log WHERE name = $1)",
        )
        .bind(log.to_string())
        .fetch_one(self.conn())
        .await
        .map_err(failed)?;
        unsigned(count, "finding_state", "told")
    }

    /// Has the open findings of a log looked at again that its author was not told of, because there were too many.
    pub async fn finding_due_again(&mut self, log: &LogId) -> Result<()> {
        let failed = self.failed();
        sqlx::query(
            "UPDATE finding_state SET due = 1 WHERE told = 0 AND closed_at_ms IS NULL
             AND log = (SELECT id FROM log WHERE name = $1)",
        )
        .bind(log.to_string())
        .execute(self.write()?)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Keeps what `giver` said about findings of our records.
    pub async fn finding_said_put(&mut self, giver: &NodeId, said: &BTreeMap<FindingKey, Said>) -> Result<()> {
        let all: Vec<_> = said.iter().collect();
        for chunk in all.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO finding_said (giver, change, reason, opened_at_ms, closed_at_ms) ",
            );
            sql.push_values(chunk, |mut row, ((change, reason), (opened, closed))| {
                row.push_bind(giver.to_string())
                    .push_bind(change.as_bytes().to_vec())
                    .push_bind(reason.clone())
                    .push_bind(*opened)
                    .push_bind(*closed);
            });
            sql.push(
                " ON CONFLICT (giver, change, reason) DO UPDATE SET closed_at_ms = excluded.closed_at_ms,
                  opened_at_ms = coalesce(excluded.opened_at_ms, finding_said.opened_at_ms)",
            );
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// What this node found and what nodes above said, by change; those that are closed too, if wanted.
    pub async fn finding_times(&mut self, closed_too: bool) -> Result<Vec<FindingTime>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT change, reason, opened_at_ms, closed_at_ms, NULL AS giver FROM finding_state WHERE $1 OR closed_at_ms IS NULL
             UNION ALL
             SELECT change, reason, opened_at_ms, closed_at_ms, giver FROM finding_said WHERE $1 OR closed_at_ms IS NULL
             ORDER BY change, reason, giver",
        )
        .bind(closed_too)
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let giver: Option<&str> = row.get("giver");
                Ok(FindingTime {
                    key: (change_id(row.get("change"), "finding_state", "change")?, row.get("reason")),
                    opened_at_ms: row.get("opened_at_ms"),
                    closed_at_ms: row.get("closed_at_ms"),
                    giver: giver.map(|giver| parsed(giver, "finding_said", "giver")).transpose()?,
                })
            })
            .collect()
    }
}

const OPEN_AGAIN: &str =
    " ON CONFLICT (change, reason) DO UPDATE SET opened_at_ms = excluded.opened_at_ms, closed_at_ms = NULL, due = 1
    WHERE finding_state.closed_at_ms IS NOT NULL";

fn push_keys(sql: &mut QueryBuilder<Sqlite>, keys: &[&FindingKey]) {
    sql.push_values(keys, |mut row, (change, reason)| {
        row.push_bind(change.as_bytes().to_vec()).push_bind(reason.clone());
    });
}
