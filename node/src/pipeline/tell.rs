//! Findings reach their authors: what a batch found about records of a child goes into the mail log to that child, in the same transaction,
//! so that it is told exactly when it is known. And what nodes above told about our own records is kept.
//!
//! The author's parent tells: one voice is enough, and it is the nearest that counts what the author wrote. What only a node further up can see,
//! because the other record stands in another branch, the nearest node that holds both tells, down the same path. Knows nothing of what is wrong with a record.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use danso_core::finding::{FindingKind, Sights};
use danso_core::ledger::{Draft, Entry};
use danso_core::sync::at_or_below;
use danso_proto::change::{Body, Change, FindingClosed, FindingOpened, Severity};
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;

use super::Error;
use super::batch::Batch;
use crate::keys;
use crate::store::{FindingDue, FindingKey, Said, Tx, What, set_id};

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

/// How near an author is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Child,
    Below,
    Nobody,
}

impl Batch<'_> {
    /// Notes what was found, and tells the authors. Says whether there is more to tell.
    pub(super) async fn tell(&mut self, telling: Telling, found: BTreeSet<FindingKey>) -> Result<Telling, Error> {
        let now_ms = self.outfit.clock.now_ms();
        // Into a damaged database nothing is written that can wait for the next start.
        if telling == Telling::Fresh && self.health.damage.is_some() {
            return Ok(telling);
        }
        if telling == Telling::Fresh {
            self.tx.finding_reconcile(now_ms).await?;
        } else if found.is_empty() && telling == Telling::Done {
            return Ok(Telling::Done);
        }
        self.tx.finding_follow(&found.iter().collect::<Vec<_>>(), now_ms).await?;
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

    /// The unit of an author, and whether it is told anything by this node.
    fn reach(&self, author: &NodeId) -> (UnitCode, Reach) {
        let directory = self.directory();
        let Some(node) = directory.node(author).filter(|node| !node.is_revoked()) else {
            return (author.unit(), Reach::Nobody);
        };
        let reach = match node.parent() {
            Some(parent) if parent == self.me() => Reach::Child,
            _ if author != self.me() && at_or_below(author, self.me(), directory) => Reach::Below,
            _ => Reach::Nobody,
        };
        (node.unit().clone(), reach)
    }

    /// Of the other changes that findings are about, those that no node between this one and `author` holds: they stand in logs of another
    /// branch, so that nobody nearer can have found the same.
    async fn seen_from_here_alone(&mut self, author: &NodeId, due: &[FindingDue]) -> Result<BTreeSet<ChangeId>, Error> {
        let others: BTreeSet<ChangeId> =
            due.iter().filter(|finding| finding.is_open).filter_map(|finding| finding.what.other).collect();
        if others.is_empty() {
            return Ok(others);
        }
        let sets: BTreeSet<[u8; 12]> = others.iter().map(|other| set_id(*other)).collect();
        let places = self.tx.entry_find(&sets.into_iter().collect::<Vec<_>>()).await?;
        let wanted: HashSet<i64> = places.values().map(|(log, _)| *log).collect();
        let directory = self.directory();
        // The node below this one on the way to the author.
        let mut nearer = author;
        while let Some(parent) =
            directory.node(nearer).and_then(|node| node.parent()).filter(|parent| *parent != self.me())
        {
            nearer = parent;
        }
        let elsewhere: HashSet<i64> = self
            .log_rows()
            .filter(|row| wanted.contains(&row.pk) && !at_or_below(row.log.node(), nearer, directory))
            .map(|row| row.pk)
            .collect();
        let is_alone = |other: &ChangeId| places.get(&set_id(*other)).is_some_and(|(log, _)| elsewhere.contains(log));
        Ok(others.into_iter().filter(is_alone).collect())
    }

    /// Tells one author. Says whether that made room for more.
    async fn tell_author(&mut self, log: &LogId, due: Vec<FindingDue>, now_ms: i64) -> Result<bool, Error> {
        let (unit, reach) = self.reach(log.node());
        let alone =
            if reach == Reach::Below { self.seen_from_here_alone(log.node(), &due).await? } else { BTreeSet::new() };
        let is_ours = |finding: &FindingDue| match reach {
            Reach::Child => true,
            // Who told it tells its end.
            Reach::Below if !finding.is_open => finding.told,
            Reach::Below => {
                let kind = FindingKind::from_code(&finding.key.1);
                kind.is_some_and(FindingKind::is_told_from_afar)
                    || finding.what.other.is_some_and(|other| alone.contains(&other))
            }
            Reach::Nobody => false,
        };
        let told = self.tx.finding_told(log).await?;
        let mut room = TOLD_PER_LOG_MAX.saturating_sub(told);
        let (mut say, mut rest) = (Vec::new(), Vec::new());
        let mut ended = 0u64;
        for finding in &due {
            let is_news = finding.is_open != finding.told && is_ours(finding);
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
                true => {
                    let What { severity, other, seen } = finding.what.clone();
                    // What stands in identity parts only is not told: who wrote the record has them, and finds it itself.
                    let seen = seen.signed.into_iter().take(limits::SEEN_MAX).collect();
                    let severity = severity.unwrap_or(Severity::Error);
                    Body::FindingOpened(FindingOpened { change, reason, severity, other, seen })
                }
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
                    let FindingOpened { change, reason, severity, other, seen } = opened.clone();
                    let what =
                        What { severity: Some(severity), other, seen: Sights { signed: seen, ..Sights::default() } };
                    of_giver.insert((change, reason), Said { opened_at_ms: Some(at_ms), closed_at_ms: None, what });
                }
                Body::FindingClosed(closed) => {
                    let kept = of_giver.entry((closed.change, closed.reason.clone())).or_default();
                    kept.closed_at_ms = Some(at_ms);
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
