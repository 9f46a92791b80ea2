//! An operator decides about a log with two histories: what is held here stands, or only its beginning does. The decision is a signed
//! entry of this node's own directory log, so that it reaches everybody who holds the log, and can be shown for ever.

use danso_core::ledger::Draft;
use danso_proto::change::{Body, ForkDecided, NodeRevoked};
use danso_proto::evidence;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

use super::Error;
use super::batch::{Batch, directory_draft};
use super::fork::is_fork;
use crate::store::LogRow;

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The log.
    pub log: LogId,
    /// How much of it stands.
    pub keep: Keep,
    /// Why, for everybody.
    pub reason: String,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// How much of what is held here stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of it, and the author goes on.
    All,
    /// The first entries, and the author's node writes no more; `None`: as far as the evidence shows that both histories agree.
    First(Option<u64>),
}

/// What was decided, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Who wrote the log.
    pub author: NodeId,
    /// Entries that stand.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// Entries that are held here.
    pub held: u64,
    /// Changes in the entries that no longer count.
    pub left_out: u64,
    /// The evidence that was decided on: its number here, and what the decision names.
    pub evidence: Option<(i64, Hash)>,
    /// It had been decided so before; nothing was written.
    pub before: bool,
}

impl Batch<'_> {
    pub(super) async fn decide(&mut self, decision: &Decision) -> Result<Decided, Error> {
        let log = &decision.log;
        let row = self.log(log).ok_or_else(|| {
            Refusal::new(Reason::NotFound, format!("{log} is not here; see danso-admin quarantine list"))
        })?;
        self.may_decide(&row).await?;
        let kept = self.tx.evidence_list(Some(log)).await?.pop();
        let size = match decision.keep {
            Keep::All => row.head.size(),
            Keep::First(Some(size)) => size,
            Keep::First(None) => {
                let agree = kept.as_ref().and_then(|kept| {
                    let weighed = evidence::weigh(&kept.contradiction, self.directory());
                    weighed.ok().and_then(|found| found.agree)
                });
                agree.ok_or_else(|| {
                    let differ = kept.as_ref().and_then(|kept| {
                        let found = evidence::weigh(&kept.contradiction, self.directory()).ok()?;
                        Some(format!(" (here {})", found.differ))
                    });
                    let why = format!(
                        "the evidence does not show up to where both histories agree; say with --size N how many entries stand. N is less than \
                         \"differ\" in danso-admin evidence list {log}{}: among so many entries at least one is another. What each entry here \
                         says shows danso-admin log show {log}: compare it with the author's slips, and say how many from the beginning are right; \
                         or 0, then the new node takes in the whole book",
                        differ.unwrap_or_default()
                    );
                    Refusal::new(Reason::RequestInvalid, why)
                })?
            }
        };
        let root = self.root_at(&row, size).await?.ok_or_else(|| {
            let held = row.head.size();
            Refusal::new(Reason::RequestInvalid, format!("{log} has {held} entries here: --size is {held} at most"))
        })?;
        let decided = Decided {
            author: log.node().clone(),
            size,
            root,
            held: row.head.size(),
            left_out: self.tx.change_count_from(row.pk, size).await?,
            evidence: kept.map(|kept| (kept.id, kept.contradiction.digest())),
            before: false,
        };
        if !is_fork(&row) {
            return self.decided_before(&row, decision, decided).await;
        }
        if decision.dry_run {
            return Ok(decided);
        }
        let stands = Body::ForkDecided(ForkDecided {
            log: log.clone(),
            size,
            root,
            evidence: decided.evidence.map(|(_, digest)| digest),
            reason: decision.reason.clone(),
        });
        let mut bodies = vec![stands];
        if let Keep::First(_) = decision.keep {
            bodies.push(Body::NodeRevoked(self.revocation(&row, size, &decision.reason)));
        }
        let draft = self.draft(log, bodies)?;
        self.write(&Stream::Directory, vec![draft]).await?;
        Ok(decided)
    }

    /// Refuses who may not decide, and says who may.
    async fn may_decide(&mut self, row: &LogRow) -> Result<(), Error> {
        let (log, me) = (&row.log, self.me().clone());
        let deciders: Vec<String> = self.directory().lineage(log.node()).skip(1).map(ToString::to_string).collect();
        let denied = |why: String| Err(Refusal::new(Reason::DecidedElsewhere, why).into());
        if !self.directory().is_above(&me, log.node()) {
            return denied(match &deciders[..] {
                [] => format!("{log} is that of the federation's root: nobody stands above it"),
                [first, ..] => format!("{log} is decided about at {first}, or above it: {}", deciders.join(", ")),
            });
        }
        if let Some((by, decided)) = self.ruling(log)
            && self.directory().is_above(&by, &me)
            && self.agrees(row, &decided).await? == Some(false)
        {
            return denied(format!("{by} is above this node and decided that another history stands"));
        }
        Ok(())
    }

    /// The log is not stopped: either it was decided so before, or there is nothing to decide.
    async fn decided_before(&mut self, row: &LogRow, decision: &Decision, decided: Decided) -> Result<Decided, Error> {
        let log = &row.log;
        let author = self.directory().node(log.node());
        let bound = author.and_then(|author| author.valid_size(log));
        if let Some((_, ruling)) = self.ruling(log)
            && self.agrees(row, &ruling).await? == Some(true)
        {
            let same = match decision.keep {
                Keep::All => bound.is_none(),
                Keep::First(size) => bound == Some(ruling.size) && size.is_none_or(|size| size == ruling.size),
            };
            if same {
                return Ok(Decided { size: ruling.size, root: ruling.root, before: true, ..decided });
            }
        }
        let why = match &row.trouble {
            Some((code, detail)) => format!("{log} is stopped for another reason: {code}: {detail}"),
            None => format!("{log} is not stopped here because of two histories"),
        };
        Err(Refusal::new(Reason::NotQuarantined, why).into())
    }

    /// The node's logs end where they stand here, and the one with two histories where the operator says.
    fn revocation(&self, row: &LogRow, size: u64, reason: &str) -> NodeRevoked {
        let node = row.log.node().clone();
        let mut bounds = self.sizes_of(&node);
        bounds.insert(row.log.clone(), size);
        NodeRevoked { bounds: bounds.into_iter().collect(), node, reason: reason.to_owned() }
    }

    /// One entry with these changes, about the unit of the log's author.
    fn draft(&self, log: &LogId, bodies: Vec<Body>) -> Result<Draft, Refusal> {
        let author = self.directory().node(log.node());
        let author = author.ok_or_else(|| Refusal::new(Reason::NotFound, format!("{} is not enrolled", log.node())))?;
        let (unit, now_ms) = (author.unit().clone(), self.outfit.clock.now_ms());
        let mut drafts = bodies.into_iter().map(|body| directory_draft(unit.clone(), body, now_ms));
        let mut draft = drafts.next().ok_or_else(|| Refusal::new(Reason::Internal, "nothing to write"))?;
        for more in drafts {
            draft.changes.extend(more.changes);
            draft.parts.extend(more.parts);
        }
        Ok(draft)
    }
}
