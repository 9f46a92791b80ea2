//! The end of a batch: what is pending is written and counted, authors are told, and the logs' heads are brought up to date.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use danso_core::ledger::Entry;
use danso_core::rollup::rolled;
use danso_core::rules::{Rulebooks, Suspicion};
use danso_proto::ids::{LogId, Stream};

use super::{Batch, Done};
use crate::pipeline::tell::Telling;
use crate::pipeline::{Error, apply, judge, rollup, tell};
use crate::store::LogRow;

impl Batch<'_> {
    /// Writes what is still pending, and where the logs stand.
    pub(in crate::pipeline) async fn finish(mut self) -> Result<Done, Error> {
        self.flush().await?;
        // What counts changed for all: what is found now is compared with what was told.
        let recounted = self.recount_what_was_cut().await?;
        if recounted {
            self.telling = Telling::Fresh;
        } else {
            self.judge_again().await?;
        }
        // What is undone is told to nobody.
        if !self.undo {
            let found = std::mem::take(&mut self.found);
            self.telling = self.tell(self.telling, found).await?;
            self.flush().await?;
        }
        let now_ms = self.outfit.clock.now_ms();
        for row in self.logs.values_mut() {
            row.committed_at_ms = now_ms;
        }
        let rows: Vec<&LogRow> = self.logs.values().collect();
        let pks = self.tx.log_put(&rows).await?;
        for (row, pk) in self.logs.values_mut().zip(pks) {
            row.pk = pk;
        }
        Ok(Done {
            directory: self.directory_changed.then_some(self.directory),
            logs: self.logs.into_values().collect(),
            receipts: self.receipts,
            signer: self.rekeyed.then_some(self.signer),
            confirmed: self.confirmed,
            entries: self.entries,
            changes: self.changes,
            telling: self.telling,
            recounted,
            undo: self.undo,
        })
    }

    /// The rules of consistency by the directory as it is now.
    fn books(&self) -> Arc<Rulebooks> {
        match self.directories() {
            Some((_, now)) => Arc::new(Rulebooks::by(&now)),
            None => self.base().rulebooks(),
        }
    }

    /// Judges everybody again of whom something is said where other rules hold than before this batch.
    async fn judge_again(&mut self) -> Result<(), Error> {
        if self.directories().is_none() {
            return Ok(());
        }
        let books = self.books();
        let units = books.differ(&self.base().rulebooks());
        let mut after = None;
        while !units.is_empty() {
            let Some((last, judged)) = judge::again(self.tx, after, &units, &books).await? else { break };
            after = Some(last);
            self.found.extend(judged.forgotten);
            let findings = judged.suspicions.into_iter().map(Suspicion::into_finding).collect();
            self.found.extend(apply::add(self.tx, HashMap::new(), findings).await?);
        }
        Ok(())
    }

    /// The rows of all logs; one that this batch touched stands twice, as it was and as it is.
    pub(in crate::pipeline) fn log_rows(&self) -> impl Iterator<Item = &LogRow> {
        self.base.logs().chain(self.logs.values())
    }

    /// Writes the pending entries to the ledger and counts them.
    pub(in crate::pipeline) async fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.pending);
        // Entries point at their log's row, so a log that is new gets its row first; `finish` brings the heads up to date.
        let new: Vec<&LogRow> = self.logs.values().filter(|row| row.pk == 0).collect();
        let names: Vec<LogId> = new.iter().map(|row| row.log.clone()).collect();
        let pks = self.tx.log_put(&new).await?;
        for (log, pk) in names.iter().zip(pks) {
            if let Some(row) = self.logs.get_mut(log) {
                row.pk = pk;
            }
        }
        self.entries += entries.len() as u64;
        self.changes += entries.iter().map(|entry| entry.change_set().changes.len() as u64).sum::<u64>();
        let lists = match self.directory_changed {
            true => rollup::follow(self.tx, self.directory.units()).await?,
            false => rolled(self.directory.units()),
        };
        let books = self.books();
        let by = apply::By { rules: self.rules, lists: &lists, books: &books };
        self.found.extend(apply::apply(self.tx, &self.logs, &entries, by).await?);
        tell::keep_mail(self.tx, &self.me, &entries).await?;
        let keyed: Vec<(i64, Entry)> =
            entries.into_iter().map(|entry| (self.logs.get(entry.log()).map_or(0, |row| row.pk), entry)).collect();
        let mut sizes = BTreeMap::new();
        for (log, entry) in keyed.iter().filter(|(_, entry)| *entry.log().stream() == Stream::Records) {
            let size = sizes.entry(*log).or_insert(0);
            *size = (*size).max(entry.sequence() + 1);
        }
        self.tx.entry_append(&keyed).await?;
        // When records were here is told with what came late.
        self.tx.arrival_put(&sizes, self.outfit.clock.now_ms()).await?;
        Ok(())
    }
}
