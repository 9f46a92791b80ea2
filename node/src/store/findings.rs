//! Findings: those that there are, what was answered, and how both are over time: since when, whether authors were told, and what nodes above say
//! about our own records.

use std::collections::BTreeMap;

use danso_core::finding::{FindingAnswer, FindingKind, Sights};
use danso_proto::change::{Severity, Verdict};
use danso_proto::ids::{ChangeId, LogId, NodeId, PersonId, UnitCode};

use super::sql::{Row, Value};
use super::{Error, Result, Tx, change_id, parsed, unsigned};

/// A finding by its name: the change that it is about, and its code.
pub type FindingKey = (ChangeId, String);

/// A finding about a record, and where that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// The change.
    pub change: ChangeId,
    /// The person; `None` for a change of an unknown kind.
    pub person: Option<PersonId>,
    /// Row number of the log.
    pub log: i64,
    /// Entry.
    pub sequence: u64,
    /// The unit that the change is about.
    pub unit: UnitCode,
    /// What.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// Another change that it is about.
    pub other: Option<ChangeId>,
    /// What was seen.
    pub seen: Sights,
}

/// An answer, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// Row number of the log.
    pub log: i64,
    /// Entry.
    pub sequence: u64,
    /// The answer.
    pub answer: FindingAnswer,
}

/// A finding about somebody's record, which opened or closed and of which its author was not told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingDue {
    /// The change and the code.
    pub key: FindingKey,
    /// The log of the record.
    pub log: LogId,
    /// Whether it is open now.
    pub is_open: bool,
    /// Whether the author was told last that it is open.
    pub told: bool,
    /// How bad it is, and what it is about, while it is there.
    pub what: What,
}

/// How bad a finding is, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct What {
    /// How bad; `None` where that is not known any more.
    pub severity: Option<Severity>,
    /// Another change that it is about.
    pub other: Option<ChangeId>,
    /// What was seen.
    pub seen: Sights,
}

/// A finding with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingTime {
    /// The change and the code.
    pub key: FindingKey,
    /// Since when, Unix milliseconds; `None` where only its end is known.
    pub opened_at_ms: Option<i64>,
    /// Until when; `None` while it is open.
    pub closed_at_ms: Option<i64>,
    /// Who says so; `None`: this node.
    pub giver: Option<NodeId>,
    /// How bad it is, and what it is about.
    pub what: What,
}

/// What a node above said about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Since when.
    pub opened_at_ms: Option<i64>,
    /// Until when.
    pub closed_at_ms: Option<i64>,
    /// How bad it is, and what it is about.
    pub what: What,
}

/// Whether a row of `finding` asks for something: it was not answered, or an answer alone does not help.
const OPEN: &str = "(finding.severity = 1 OR NOT EXISTS
    (SELECT 1 FROM finding_answer AS a WHERE a.change = finding.change AND a.reason = finding.reason AND a.unit = finding.unit
     AND a.withdraws IS NULL AND NOT EXISTS
     (SELECT 1 FROM finding_answer AS w WHERE w.change = a.change AND w.reason = a.reason AND w.unit = a.unit AND w.withdraws = a.answer)))";

impl Tx {
    /// Forgets the findings about `persons`, and tells which there were.
    pub async fn finding_remove(&mut self, persons: &[PersonId]) -> Result<Vec<FindingKey>> {
        let sql = "DELETE FROM finding WHERE person IN ({rows}) RETURNING change, reason";
        let rows = self.write_returning(sql, [], persons.iter().map(|id| [id.as_bytes().into()])).await?;
        rows.iter().map(|row| key(row, "finding")).collect()
    }

    /// Adds findings.
    pub async fn finding_add(&mut self, findings: &[FindingRow]) -> Result<()> {
        let sql = "INSERT INTO finding (change, person, log, sequence, unit, reason, severity, other, seen) {rows}
                   ON CONFLICT (change, reason) DO NOTHING";
        let rows = findings.iter().map(|finding| {
            [
                finding.change.as_bytes().into(),
                finding.person.map(|person| person.as_bytes().to_vec()).into(),
                finding.log.into(),
                finding.sequence.into(),
                finding.unit.as_str().into(),
                finding.kind.code().into(),
                severity_code(finding.severity).into(),
                finding.other.map(|other| other.as_bytes().to_vec()).into(),
                finding.seen.to_bytes().into(),
            ]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// All findings, those that were answered too.
    pub async fn finding_list(&mut self) -> Result<Vec<FindingRow>> {
        let sql = "SELECT change, person, log, sequence, unit, reason, severity, other, seen FROM finding ORDER BY log, sequence, change, reason";
        let rows = self.rows(sql, []).await?;
        rows.iter()
            .map(|row| {
                let person: Option<&[u8]> = row.get("person")?;
                let What { severity, other, seen } = what(row, "finding")?;
                Ok(FindingRow {
                    change: change_id(row.get("change")?, "finding", "change")?,
                    person: person.map(|id| change_id(id, "finding", "person")).transpose()?,
                    log: row.get("log")?,
                    sequence: unsigned(row.get("sequence")?, "finding", "sequence")?,
                    unit: parsed(row.get("unit")?, "finding", "unit")?,
                    kind: FindingKind::from_code(row.get("reason")?)
                        .ok_or_else(|| Error::inconsistent("finding", "reason", "no known code"))?,
                    severity: severity.unwrap_or(Severity::Error),
                    other,
                    seen,
                })
            })
            .collect()
    }

    /// How many findings ask for something here, by severity.
    pub async fn finding_open(&mut self) -> Result<Vec<(Severity, u64)>> {
        let sql = format!(
            "SELECT severity, COUNT(*) AS findings FROM finding WHERE {OPEN} GROUP BY severity ORDER BY severity"
        );
        let rows = self.rows(&sql, []).await?;
        rows.iter().map(by_severity).collect()
    }

    /// Keeps answers.
    pub async fn finding_answer_add(&mut self, answers: &[AnswerRow]) -> Result<()> {
        let sql = "INSERT INTO finding_answer (log, sequence, answer, change, reason, unit, withdraws) {rows}
                   ON CONFLICT (log, sequence, answer) DO NOTHING";
        let rows = answers.iter().map(|AnswerRow { log, sequence, answer }| {
            let withdraws = match answer.verdict {
                Verdict::Right => None,
                Verdict::Withdrawn(id) => Some(id.as_bytes().to_vec()),
            };
            [
                (*log).into(),
                (*sequence).into(),
                answer.id.as_bytes().into(),
                answer.change.as_bytes().into(),
                answer.code.as_str().into(),
                answer.unit.as_str().into(),
                withdraws.into(),
            ]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// The answers to findings, in no particular order.
    pub async fn finding_answers(&mut self, keys: &[FindingKey]) -> Result<Vec<AnswerRow>> {
        let sql = "SELECT log, sequence, answer, change, reason, unit, withdraws FROM finding_answer WHERE (change, reason) IN ({rows})";
        let rows = self.rows_by(sql, [], keys.iter().map(values)).await?;
        rows.iter()
            .map(|row| {
                let withdraws: Option<&[u8]> = row.get("withdraws")?;
                let withdraws = withdraws.map(|id| change_id(id, "finding_answer", "withdraws")).transpose()?;
                let (change, code) = key(row, "finding_answer")?;
                Ok(AnswerRow {
                    log: row.get("log")?,
                    sequence: unsigned(row.get("sequence")?, "finding_answer", "sequence")?,
                    answer: FindingAnswer {
                        id: change_id(row.get("answer")?, "finding_answer", "answer")?,
                        unit: parsed(row.get("unit")?, "finding_answer", "unit")?,
                        change,
                        code,
                        verdict: withdraws.map_or(Verdict::Right, Verdict::Withdrawn),
                    },
                })
            })
            .collect()
    }

    /// Brings the times of some findings in line with those that there are and with what was answered.
    pub async fn finding_follow(&mut self, keys: &[&FindingKey], now_ms: i64) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let rows = || keys.iter().map(|key| values(key));
        let among = "(change, reason) IN ({rows})";
        for sql in follow(among) {
            self.write_many(&sql, [now_ms.into()], rows()).await?;
        }
        // What else it is about can be another record now, and who tells it another node.
        let sql = format!("UPDATE finding_state SET due = 1 WHERE told = 0 AND closed_at_ms IS NULL AND {among}");
        self.write_many(&sql, [], rows()).await.map(drop)
    }

    /// Brings the times of all findings in line with the findings that there are: after a start, because the register may have been made
    /// again by a version that counts more.
    pub async fn finding_reconcile(&mut self, now_ms: i64) -> Result<()> {
        for sql in follow("1 = 1") {
            self.write(&sql, [now_ms.into()]).await?;
        }
        Ok(())
    }

    /// Findings of whose opening or end their authors were not told, at most `max`.
    pub async fn finding_due(&mut self, max: usize) -> Result<Vec<FindingDue>> {
        let sql = "SELECT state.change, state.reason, name, closed_at_ms, told, severity, other, seen FROM finding_state AS state
                   JOIN log ON log.id = state.log
                   LEFT JOIN finding ON finding.change = state.change AND finding.reason = state.reason
                   WHERE due = 1 ORDER BY state.log, state.change, state.reason LIMIT $1";
        let rows = self.rows(sql, [max.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(FindingDue {
                    key: key(row, "finding_state")?,
                    log: parsed(row.get("name")?, "log", "name")?,
                    is_open: row.get::<Option<i64>>("closed_at_ms")?.is_none(),
                    told: row.flag("told")?,
                    what: what(row, "finding")?,
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
        let of = |column: &str| {
            format!(
                "{column} = CASE WHEN excluded.opened_at_ms IS NULL THEN finding_said.{column} ELSE excluded.{column} END"
            )
        };
        let sql = format!(
            "INSERT INTO finding_said (giver, change, reason, opened_at_ms, closed_at_ms, severity, other, seen) {{rows}}
             ON CONFLICT (giver, change, reason) DO UPDATE SET closed_at_ms = excluded.closed_at_ms,
             opened_at_ms = coalesce(excluded.opened_at_ms, finding_said.opened_at_ms), {}, {}, {}",
            of("severity"),
            of("other"),
            of("seen")
        );
        let giver = giver.to_string();
        let rows = said.iter().map(|((change, reason), said)| {
            let What { severity, other, seen } = &said.what;
            [
                giver.as_str().into(),
                change.as_bytes().into(),
                reason.into(),
                said.opened_at_ms.into(),
                said.closed_at_ms.into(),
                severity_code(severity.unwrap_or(Severity::Error)).into(),
                other.map(|other| other.as_bytes().to_vec()).into(),
                seen.to_bytes().into(),
            ]
        });
        self.write_many(&sql, [], rows).await.map(drop)
    }

    /// What this node found and what nodes above said, by change; those that are closed too, if wanted; only about one change, if one is named.
    pub async fn finding_times(&mut self, closed_too: bool, of: Option<ChangeId>) -> Result<Vec<FindingTime>> {
        let only = |column: &str| match of {
            Some(_) => format!("AND {column} = $2"),
            None => String::new(),
        };
        // What this node found has no giver, and comes first.
        let sql = format!(
            "SELECT state.change, state.reason, opened_at_ms, closed_at_ms, '' AS giver, severity, other, seen FROM finding_state AS state
             LEFT JOIN finding ON finding.change = state.change AND finding.reason = state.reason
             WHERE ($1 = 1 OR closed_at_ms IS NULL) {}
             UNION ALL {SAID} WHERE ($1 = 1 OR closed_at_ms IS NULL) {} ORDER BY 1, 2, 5",
            only("state.change"),
            only("change")
        );
        let mut values: Vec<Value> = vec![closed_too.into()];
        values.extend(of.map(|of| Value::from(of.as_bytes())));
        let rows = self.rows(&sql, values).await?;
        rows.iter().map(time).collect()
    }

    /// What nodes above say is open and this node never found.
    pub async fn finding_said_alone(&mut self) -> Result<Vec<FindingTime>> {
        let sql = format!(
            "{SAID} WHERE closed_at_ms IS NULL AND NOT EXISTS (SELECT 1 FROM finding_state AS state
             WHERE state.change = finding_said.change AND state.reason = finding_said.reason) ORDER BY 1, 2, 5"
        );
        let rows = self.rows(&sql, []).await?;
        rows.iter().map(time).collect()
    }

    /// How many findings nodes above say are open that were found and settled here, by severity.
    pub async fn finding_said_settled(&mut self) -> Result<Vec<(Severity, u64)>> {
        let sql = "SELECT severity, COUNT(*) AS findings FROM
                   (SELECT change, reason, MIN(severity) AS severity FROM finding_said WHERE closed_at_ms IS NULL GROUP BY change, reason) AS said
                   WHERE EXISTS (SELECT 1 FROM finding_state AS state
                   WHERE state.change = said.change AND state.reason = said.reason AND state.closed_at_ms IS NOT NULL)
                   GROUP BY severity ORDER BY severity";
        let rows = self.rows(sql, []).await?;
        rows.iter().map(by_severity).collect()
    }

    /// Of these findings those that this node found at any time, and whether they are settled here.
    pub async fn finding_own(&mut self, keys: &[FindingKey]) -> Result<BTreeMap<FindingKey, bool>> {
        let sql = "SELECT change, reason, closed_at_ms FROM finding_state WHERE (change, reason) IN ({rows})";
        let rows = self.rows_by(sql, [], keys.iter().map(values)).await?;
        rows.iter()
            .map(|row| Ok((key(row, "finding_state")?, row.get::<Option<i64>>("closed_at_ms")?.is_some())))
            .collect()
    }
}

const SAID: &str = "SELECT change, reason, opened_at_ms, closed_at_ms, giver, severity, other, seen FROM finding_said";

/// Statements that bring `finding_state` in line with what there is `among` some findings, at the time `$1`.
fn follow(among: &str) -> [String; 3] {
    [
        format!(
            "INSERT INTO finding_state (change, reason, log, opened_at_ms, closed_at_ms, told, due)
             SELECT change, reason, log, $1, NULL, 0, 1 FROM finding WHERE {among} AND {OPEN}
             ON CONFLICT (change, reason) DO UPDATE SET opened_at_ms = excluded.opened_at_ms, closed_at_ms = NULL, due = 1
             WHERE finding_state.closed_at_ms IS NOT NULL"
        ),
        format!(
            "UPDATE finding_state SET due = 1, closed_at_ms = $1 WHERE closed_at_ms IS NULL AND {among} AND NOT EXISTS
             (SELECT 1 FROM finding WHERE finding.change = finding_state.change AND finding.reason = finding_state.reason AND {OPEN})"
        ),
        // What was answered before it was found asks for nothing, and is listed all the same.
        format!(
            "INSERT INTO finding_state (change, reason, log, opened_at_ms, closed_at_ms, told, due)
             SELECT change, reason, log, $1, $1, 0, 0 FROM finding WHERE {among} AND NOT {OPEN} ON CONFLICT (change, reason) DO NOTHING"
        ),
    ]
}

fn time(row: &Row) -> Result<FindingTime> {
    let giver: &str = row.get("giver")?;
    Ok(FindingTime {
        key: key(row, "finding_state")?,
        opened_at_ms: row.get("opened_at_ms")?,
        closed_at_ms: row.get("closed_at_ms")?,
        giver: (!giver.is_empty()).then(|| parsed(giver, "finding_said", "giver")).transpose()?,
        what: what(row, "finding_said")?,
    })
}

fn by_severity(row: &Row) -> Result<(Severity, u64)> {
    Ok((severity(row.get("severity")?)?, unsigned(row.get("findings")?, "finding", "findings")?))
}

fn values((change, reason): &FindingKey) -> [Value; 2] {
    [change.as_bytes().into(), reason.into()]
}

fn key(row: &Row, table: &'static str) -> Result<FindingKey> {
    Ok((change_id(row.get("change")?, table, "change")?, row.get("reason")?))
}

fn what(row: &Row, table: &'static str) -> Result<What> {
    let (code, other, seen): (Option<i64>, Option<&[u8]>, Option<&[u8]>) =
        (row.get("severity")?, row.get("other")?, row.get("seen")?);
    let seen = Sights::from_bytes(seen.unwrap_or_default());
    Ok(What {
        severity: code.map(severity).transpose()?,
        other: other.map(|id| change_id(id, table, "other")).transpose()?,
        seen: seen.map_err(|error| Error::inconsistent(table, "seen", error))?,
    })
}

/// The number in the tables: the worst is 1.
fn severity_code(severity: Severity) -> i64 {
    match severity {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Notice => 3,
    }
}

fn severity(code: i64) -> Result<Severity> {
    let known = Severity::ALL.into_iter().find(|severity| severity_code(*severity) == code);
    known.ok_or_else(|| Error::inconsistent("finding", "severity", format!("{code}")))
}
