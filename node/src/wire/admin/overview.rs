//! The node at a glance: itself, its link, its logs, its children.

use std::collections::{BTreeMap, HashMap};

use danso_proto::ids::{LogId, Stream};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::forks::unit_of;
use super::{Parts, of_view, own_unit};
use crate::link;
use crate::pipeline::{self, Snapshot};
use crate::view::{FindingState, Health, Level};

/// Logs and children that a status names, so that it stays far below a gRPC message; all of them are in the lists of their own.
const GLANCE: usize = 1_000;

impl Parts {
    pub(super) async fn status(&self) -> Result<pb::GetStatusResponse, Refusal> {
        let counts = self.view.counts().await.map_err(of_view)?;
        let tally = match self.view.finding_tally(self.pipeline.me()).await {
            // What can still be said is said.
            Err(_) if self.view.health().damage.is_some() => BTreeMap::new(),
            tally => tally.map_err(of_view)?,
        };
        // After the counts: what they count is in these logs.
        let snapshot = self.pipeline.snapshot();
        let (directory, me) = (snapshot.directory(), snapshot.me());
        let own = own_unit(&snapshot)?;
        let unit = self.unit(directory, own);
        let link = self.link.as_ref().map(|link| link.borrow().clone());
        let trouble = link.as_ref().and_then(|link| link.reason(&*self.clock));
        let renewal = link.as_ref().and_then(|link| link.renewal.clone());
        let renewal_trouble = renewal.as_ref().and_then(|renewal| renewal.trouble.clone());
        let renewal_trouble = renewal_trouble.or_else(|| link.as_ref().and_then(|_| self.doctor.link_files()));
        let (own_entries, own_entries_receipted) = self.own_entries(&snapshot).await?;
        let health = self.view.health();
        let ill = match self.ill(&health, &snapshot) {
            Some(ill) => Some(ill),
            None => self.taken_in_twice(&snapshot).await?,
        };
        let mut logs = self.logs(&snapshot);
        if logs.len() > GLANCE {
            // Those in trouble first, then our own.
            logs.sort_by_key(|log| (log.reason.is_empty(), !log.log.starts_with(me.as_str())));
            logs.truncate(GLANCE);
        }
        let mut children = self.children(&snapshot);
        children.truncate(GLANCE);
        Ok(pb::GetStatusResponse {
            node: me.to_string(),
            unit: own.to_string(),
            unit_name: unit.map(|unit| unit.name.to_string()).unwrap_or_default(),
            tier: unit.map(|unit| unit.tier.to_string()).unwrap_or_default(),
            software: link::SOFTWARE.to_owned(),
            anchor: directory.anchor().to_string(),
            listen: self.listen.to_string(),
            parent_node: self.parent.as_ref().map(|(node, _)| node.to_string()).unwrap_or_default(),
            parent_address: self.parent.as_ref().map(|(_, address)| address.to_string()).unwrap_or_default(),
            link: super::link::state(link.as_ref().map(|link| link.state)).into(),
            link_reason: trouble.as_ref().map(|trouble| trouble.reason.code().to_owned()).unwrap_or_default(),
            link_detail: trouble.map(|trouble| trouble.detail).unwrap_or_default(),
            clock_skew_ms: link.as_ref().map(|link| link.skew_ms(&*self.clock)).unwrap_or_default(),
            link_heard_ms: link.as_ref().map(|link| link.heard_ms).unwrap_or_default(),
            certificate_ends_ms: link.as_ref().map(|link| link.certificate_ends_ms).unwrap_or_default(),
            renewed_at_ms: renewal.map(|renewal| renewal.at_ms).unwrap_or_default(),
            renewal_reason: renewal_trouble
                .as_ref()
                .map(|trouble| trouble.reason.code().to_owned())
                .unwrap_or_default(),
            renewal_detail: renewal_trouble.map(|trouble| trouble.detail).unwrap_or_default(),
            link_sessions: link.map(|link| link.sessions).unwrap_or_default(),
            changes: counts.changes,
            persons: counts.persons,
            waiting: counts.waiting,
            findings: tally.iter().filter(|((_, state), _)| *state == FindingState::Open).map(|(_, count)| count).sum(),
            finding_counts: tally
                .into_iter()
                .map(|((severity, state), count)| pb::FindingCount {
                    severity: severity.as_str().into(),
                    state: state.as_str().into(),
                    count,
                })
                .collect(),
            logs,
            children,
            own_entries,
            own_entries_receipted,
            units_version: self.units(directory).map(|list| list.version().to_owned()).unwrap_or_default(),
            reason: ill.as_ref().map(|ill| ill.reason.code().to_owned()).unwrap_or_default(),
            detail: ill.map(|ill| ill.detail).unwrap_or_default(),
            notes: self.notes(&snapshot).await?,
            disk_free_bytes: health.disk.free,
            disk_floor_bytes: health.disk.floor,
            disk_level: match health.disk.level {
                Level::Room => pb::DiskLevel::Room,
                Level::Low => pb::DiskLevel::Low,
                Level::Full => pb::DiskLevel::Full,
            }
            .into(),
        })
    }

    /// The entries of our own logs that go up, and how many of them the parent has receipted.
    async fn own_entries(&self, snapshot: &Snapshot) -> Result<(u64, u64), Refusal> {
        let (mut entries, mut receipted) = (0, 0);
        for (log, size) in own_logs(snapshot) {
            entries += size;
            let Some((parent, _)) = &self.parent else { continue };
            let receipts = self.view.receipts(Some(&log)).await.map_err(of_view)?;
            let by_parent =
                receipts.iter().filter(|receipt| receipt.giver == *parent).map(|receipt| receipt.size).max();
            // A receipt can be for more than the snapshot knew.
            receipted += by_parent.unwrap_or_default().min(size);
        }
        Ok((entries, receipted))
    }

    /// The children that are enrolled, and how their links are.
    pub(super) fn children(&self, snapshot: &Snapshot) -> Vec<pb::ChildState> {
        let directory = snapshot.directory();
        let seen: HashMap<_, _> = self.children.list().into_iter().map(|child| (child.node.clone(), child)).collect();
        directory
            .children(snapshot.me())
            .map(|node| {
                let seen = seen.get(node.id());
                pb::ChildState {
                    node: node.id().to_string(),
                    unit: node.unit().to_string(),
                    unit_name: self.unit(directory, node.unit()).map(|unit| unit.name.to_string()).unwrap_or_default(),
                    connected: seen.is_some_and(|child| child.connected),
                    heard_ms: seen.map(|child| child.heard_ms).unwrap_or_default(),
                }
            })
            .collect()
    }
}

impl Parts {
    /// Why this node does not do all that it should; the worst first.
    fn ill(&self, health: &Health, snapshot: &Snapshot) -> Option<Refusal> {
        if let Some(damage) = &health.damage {
            return Some(Refusal::new(Reason::StoreDamaged, damage.clone()));
        }
        if let Some(away) = &health.away {
            return Some(Refusal::new(Reason::StoreUnavailable, away.clone()));
        }
        if let Some(refusal) = self.standing(snapshot) {
            return Some(refusal);
        }
        if health.disk.level > Level::Room {
            return Some(Refusal::new(Reason::DiskFull, pipeline::figures(health)));
        }
        let uncompared =
            "the node did not end cleanly; what its database holds beside the logs was not compared with them";
        let unchecked = "the node did not end cleanly; its database is too large to be checked at a start, and was not checked since";
        let why = if health.uncompared { uncompared } else { unchecked };
        (health.uncompared || health.unchecked).then(|| Refusal::new(Reason::DerivedUncompared, why))
    }
}

/// Our own logs that go up and have entries, with their sizes.
pub(super) fn own_logs(snapshot: &Snapshot) -> impl Iterator<Item = (LogId, u64)> {
    [Stream::Directory, Stream::Records].into_iter().filter_map(|stream| {
        let row = snapshot.log(&LogId::new(snapshot.me().clone(), stream))?;
        (row.head.size() > 0).then(|| (row.log.clone(), row.head.size()))
    })
}

impl Parts {
    /// All logs, by id. A log that is in trouble here says so; else one that is shorter at its author's, one of which the parent holds more,
    /// and one that the parent refuses.
    pub(super) fn logs(&self, snapshot: &Snapshot) -> Vec<pb::LogState> {
        let refused = self.link.as_ref().map(|link| link.borrow().refused.clone()).unwrap_or_default();
        let mut logs = logs(snapshot);
        for (log, shorter) in self.shorter() {
            let name = log.to_string();
            if let Some(state) = logs.iter_mut().find(|state| state.log == name && state.reason.is_empty()) {
                (state.reason, state.detail) = (Reason::LogShorter.code().to_owned(), shorter.in_words(log.node()));
            }
        }
        for (log, ahead) in self.ahead() {
            let name = log.to_string();
            // Where nothing of it is here, that is what is to be told.
            let at = logs.iter().position(|state| state.log == name).unwrap_or(logs.len());
            if at == logs.len() {
                logs.push(pb::LogState { log: name, unit: unit_of(snapshot, &log), ..Default::default() });
            }
            let state = &mut logs[at];
            if state.reason.is_empty() {
                (state.reason, state.detail) = (Reason::LogShorter.code().to_owned(), ahead.in_words(log.node()));
            }
        }
        for (log, from) in refused {
            let log = log.to_string();
            if let Some(state) = logs.iter_mut().find(|state| state.log == log && state.reason.is_empty()) {
                (state.reason, state.detail) = (from.refusal.reason.code().to_owned(), from.in_words());
            }
        }
        logs
    }
}

fn logs(snapshot: &Snapshot) -> Vec<pb::LogState> {
    snapshot
        .logs()
        .map(|row| {
            let (reason, detail) = row.trouble.clone().unwrap_or_default();
            pb::LogState {
                log: row.log.to_string(),
                size: row.head.size(),
                root: row.head.root().to_vec().into(),
                unit: unit_of(snapshot, &row.log),
                reason,
                detail,
                committed_at_ms: row.committed_at_ms,
            }
        })
        .collect()
}
