//! One author for a commune's people: who wrote about a unit before, and whether two took in the same people. Finding the same person in two
//! books by other means than the reference is not done here.

use std::collections::BTreeMap;
use std::time::Duration;

use danso_proto::ids::{LogId, Stream, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use super::{Parts, of_view};
use crate::pipeline::Snapshot;
use crate::view::Shared;

/// Units that a status names.
const NAMED: usize = 5;
/// How long a status waits for the count of people who were taken in twice.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);

impl Parts {
    /// The logs of records of which something counts, by the units that they speak about.
    pub(super) async fn authors(&self, snapshot: &Snapshot) -> Result<BTreeMap<UnitCode, Vec<LogId>>, Refusal> {
        let mut authors = self.view.authors().await.map_err(of_view)?;
        for logs in authors.values_mut() {
            logs.retain(|log| snapshot.counted(log) > 0);
        }
        authors.retain(|_, logs| !logs.is_empty());
        Ok(authors)
    }

    /// That people stand in the register twice because two authors took them in, as it was counted last: a status waits only a moment for
    /// what is counted anew, which goes on meanwhile.
    pub(super) async fn taken_in_twice(&self, snapshot: &Snapshot) -> Result<Option<Refusal>, Refusal> {
        let mut authors = self.authors(snapshot).await?;
        authors.retain(|_, logs| logs.len() > 1);
        if authors.is_empty() {
            return Ok(None);
        }
        let counted = |log: &LogId| (log.clone(), snapshot.counted(log));
        let shared: Shared =
            authors.iter().map(|(unit, logs)| (unit.clone(), logs.iter().map(counted).collect())).collect();
        let view = self.view.clone();
        let counting = tokio::spawn(async move { view.count_twice(&shared).await });
        if let Ok(Ok(counted)) = tokio::time::timeout(COUNTED_WITHIN, counting).await {
            counted.map_err(of_view)?;
        }
        let mut twice = self.view.taken_in_twice();
        twice.retain(|(unit, _)| authors.contains_key(unit));
        let said = twice.iter().take(NAMED).map(|(unit, count)| {
            let logs = authors.get(unit).map_or(&[][..], |logs| logs);
            let logs: Vec<String> = logs.iter().map(ToString::to_string).collect();
            format!("in {unit} {count} references of persons stand twice, by {}", logs.join(" and "))
        });
        let said: Vec<String> = said.collect();
        let more = twice.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and in {more} more units") } else { String::new() };
        Ok((!twice.is_empty()).then(|| Refusal::new(Reason::TwoAuthors, said.join("; ") + &more)))
    }

    /// Another node of this node's unit whose records count: this node does not hold them, and knows of them from the directory alone.
    pub(super) fn other_author(&self, snapshot: &Snapshot) -> Option<String> {
        let directory = snapshot.directory();
        let own = directory.node(snapshot.me())?.unit();
        let counts = |log: &LogId| snapshot.valid_size(log) != Some(0);
        let others = directory.nodes().filter(|node| node.unit() == own && node.id() != snapshot.me());
        let mut logs = others.map(|node| LogId::new(node.id().clone(), Stream::Records));
        logs.find(counts).map(|log| log.to_string())
    }
}
