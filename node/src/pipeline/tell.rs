//! Findings reach their authors: what a batch found about records of a child goes into the mail log to that child, in the same transaction,
//! so that it is told exactly when it is known. And what nodes above told about our own records is kept.
//!
//! The author's parent tells, nobody else: one voice is enough, and it is the nearest that counts what the author wrote. Knows nothing of
//! why a record does not count.

use std::collections::BTreeMap;

use danso_core::ledger::{Draft, Entry};
use danso_proto::change::{Body, Change, FindingClosed, FindingOpened};
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;

use super::Error;
use super::batch::Batch;
use crate::keys;
use crate::store::{FindingDue, FindingKey, FindingRow, Said, Tx};

/// Findings of which one batch tells: each author gets one mail entry of it.
const TOLD_PER_BATCH: usize = limits::CHANGES_PER_SET_MAX;
/// Findings of one log of which the author is told at a time. Who has so many bad records has one fault, and needs no list of it; when some
/// are settled the next are told.
pub(super) const TOLD_PER_LOG_MAX: u64 = 10_000;

/// Whether there is something to tell that no job brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// The node has just started: what is known and what was told is compared first.
    Fresh,
    /// More was found than one batch tells.
    Behind,
    /// Everybody was told.
    Done,
}

/// What batches found: `None` for a finding that is no more.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<FindingKey, Option<FindingRow>>);

impl Found {
    /// First all that was forgotten, then all that is found now, so that what is found again stays.
    pub(super) fn take(&mut self, forgotten: Vec<FindingKey>, found: Vec<FindingRow>) {
        self.0.extend(forgotten.into_iter().map(|key| (key, None)));
        self.0.extend(found.into_iter().map(|row| ((row.change, row.reason.code().to_owned()), Some(row))));
    }
}

impl Batch<'_> {
    /// Notes what was found, and tells the authors. Says whether there is more to tell.
    pub(super) async fn tell(&mut self, telling: Telling, found: Found) -> Result<Telling, Error> {
        let now_ms = self.outfit.clock.now_ms();
        // Into a damaged database nothing is written that can wait for the next start.
        if telling == Telling::Fresh && self.health.damage.is_some() {
            return Ok(telling);
        }
        if telling == Telling::Fresh {
            self.tx.finding_reconcile(now_ms).await?;
        } else if found.0.is_empty() && telling == Telling::Done {
            return Ok(Telling::Done);
        }
        let closed: Vec<&FindingKey> = found.0.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key).collect();
        let opened: Vec<&FindingRow> = found.0.values().flatten().collect();
        self.tx.finding_closed(&closed, now_ms).await?;
        self.tx.finding_opened(&opened, now_ms).await?;
        let mut due = self.tx.finding_due(TOLD_PER_BATCH + 1).await?;
        let mut left = if due.len() > TOLD_PER_BATCH { Telling::Behind } else { Telling::Done };
        due.truncate(TOLD_PER_BATCH);
        let mut by_log: BTreeMap<LogId, Vec<FindingDue>> = BTreeMap::new();
        for finding in due {
            by_log.entry(finding.log.clone()).or_default().push(finding);
        }
        for (log, due) in by_log {
            if self.tell_author(&log, due, now_ms).await? {
                left = Telling::Behind;
            }
        }
        Ok(left)
    }

    /// Tells one author. Says whether that made room for more.
    async fn tell_author(&mut self, log: &LogId, due: Vec<FindingDue>, now_ms: i64) -> Result<bool, Error> {
        let author = self.directory().node(log.node());
        let child = author.filter(|node| node.parent() == Some(self.me()) && !node.is_revoked());
        let Some(unit) = child.map(|node| node.unit().clone()) else {
            let all: Vec<&FindingKey> = due.iter().map(|finding| &finding.key).collect();
            self.tx.finding_settle(&all, false).await?;
            return Ok(false);
        };
        let told = self.tx.finding_told(log).await?;
        let mut room = TOLD_PER_LOG_MAX.saturating_sub(told);
        let (mut say, mut rest) = (Vec::new(), Vec::new());
        let mut ended = 0u64;
        for finding in &due {
            let is_news = finding.is_open != finding.told;
            match finding.is_open {
                true if is_news && room > 0 => room -= 1,
                false if is_news => ended += 1,
                _ => {
                    rest.push(&finding.key);
                    continue;
                }
            }
            say.push(finding);
        }
        self.tx.finding_settle(&rest, false).await?;
        if say.is_empty() {
            return Ok(false);
        }
        let draft = mail(&unit, &say, now_ms);
        match self.write(&Stream::Mail(log.node().clone()), vec![draft]).await {
            Ok(_) => {}
            // A node that writes nothing counts and forwards all the same. What is due stays due: it is told after the next start.
            Err(Error::Refused(refusal)) => {
                tracing::warn!(%log, reason = %refusal.reason, detail = %refusal.detail, "findings could not be told to their author");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let said: Vec<&FindingKey> = say.iter().map(|finding| &finding.key).collect();
        self.tx.finding_settle(&said, true).await?;
        let makes_room = ended > 0 && told >= TOLD_PER_LOG_MAX;
        if makes_room {
            self.tx.finding_due_again(log).await?;
        }
        Ok(makes_room)
    }
}

/// A draft of what is said to an author.
fn mail(unit: &UnitCode, say: &[&FindingDue], now_ms: i64) -> Draft {
    let change = |finding: &&FindingDue| {
        let (change, reason) = finding.key.clone();
        Change {
            unit: unit.clone(),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: match finding.is_open {
                true => Body::FindingOpened(FindingOpened { change, reason }),
                false => Body::FindingClosed(FindingClosed { change, reason, note: String::new() }),
            },
        }
    };
    let first_id = ChangeId::first(u64::try_from(now_ms).unwrap_or_default(), keys::random_bytes());
    Draft { first_id, changes: say.iter().map(change).collect(), parts: vec![None; say.len()] }
}

/// Keeps what entries of mail to `me` say about findings. Reading them again changes nothing.
pub(super) async fn keep_mail(tx: &mut Tx, me: &NodeId, entries: &[Entry]) -> Result<(), Error> {
    let mut said: BTreeMap<&NodeId, BTreeMap<FindingKey, Said>> = BTreeMap::new();
    for entry in entries {
        if !matches!(entry.log().stream(), Stream::Mail(to) if to == me) {
            continue;
        }
        let at_ms = entry.change_set().recorded_at_ms;
        let of_giver = said.entry(entry.log().node()).or_default();
        for change in &entry.change_set().changes {
            match &change.body {
                Body::FindingOpened(opened) => {
                    of_giver.insert((opened.change, opened.reason.clone()), (Some(at_ms), None));
                }
                Body::FindingClosed(closed) => {
                    let kept = of_giver.entry((closed.change, closed.reason.clone())).or_default();
                    kept.1 = Some(at_ms);
                }
                _ => {}
            }
        }
    }
    for (giver, said) in &said {
        tx.finding_said_put(giver, said).await?;
    }
    Ok(())
}
