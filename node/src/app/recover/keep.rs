//! What `recover` takes over from the old database: entries that only it has, by the same door as everybody's.

use danso_core::sync::rank;
use danso_proto::ids::{LogId, Stream};
use danso_proto::limits;
use danso_proto::merkle;
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::Reason;

use super::super::Error;
use super::Recovered;
use crate::pipeline::Handle;
use crate::store::{self, LogRow, Store, StoredEntry, Tx};

/// Takes over from the old database what goes on where the parent's logs end. Where it holds another history that stays behind, and is said.
/// Gives how many entries of each log are known to be the same in both then.
pub(super) async fn keep(
    old: &Store,
    new: &Store,
    handle: &Handle,
    recovered: &mut Recovered,
) -> Result<Vec<(LogId, u64)>, Error> {
    let (mut old, new) = (old.read("recover").await?, new.read("recover").await?);
    let mut rows = match old.log_list().await {
        Ok(rows) => rows,
        Err(error) if error.is_damage() => {
            recovered.unread.push(error.to_string());
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let directory = handle.snapshot().directory_arc();
    rows.sort_by_key(|row| match row.log.stream() {
        Stream::Directory => (0, rank(row.log.node(), &*directory)),
        _ => (1, 0),
    });
    let mut keeping = Keeping { old, new, handle, recovered };
    let mut same = Vec::new();
    for row in rows {
        same.extend(keeping.log(&row).await?.map(|size| (row.log.clone(), size)));
    }
    Ok(same)
}

struct Keeping<'a> {
    old: Tx,
    new: Tx,
    handle: &'a Handle,
    recovered: &'a mut Recovered,
}

/// How the old history of a log goes with the new one.
enum Compared {
    /// Both say the same as far as both go.
    Same,
    /// The same up to here.
    Apart(u64),
    /// What would tell cannot be read.
    Unknown,
}

impl Keeping<'_> {
    /// Takes over what a log has more here; up to which size it is known to be the same in both then.
    async fn log(&mut self, row: &LogRow) -> Result<Option<u64>, Error> {
        let here = self.handle.snapshot().log(&row.log).map(|row| (row.pk, row.head.size()));
        let (pk, size) = here.unwrap_or((0, 0));
        let compared = self.compare(row, pk, size).await?;
        if let Compared::Apart(at) = compared {
            // An entry whose bytes changed is no other history.
            match self.old.entry_read(row.pk, at, 1, limits::PACKAGE_BYTES_MAX).await {
                Err(error) if error.is_damage() => self.unread(row, at, &error),
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    tracing::warn!(log = %row.log, at, "the old database holds another history of a log");
                    self.apart(row, at);
                }
            }
            return Ok(Some(at));
        }
        // Each entry names the one before it, so that a first one that fits tells that all before it are the same, too.
        let taken = self.take(row, size).await?;
        Ok(match compared {
            Compared::Unknown if taken == size => None,
            _ => Some(taken.min(row.head.size())),
        })
    }

    async fn compare(&mut self, row: &LogRow, pk: i64, size: u64) -> Result<Compared, Error> {
        let shared = size.min(row.head.size());
        let ours = self.new.leaf_read(pk, 0..shared).await?;
        if row.head.size() == shared && merkle::root(&ours) == row.head.root() {
            return Ok(Compared::Same);
        }
        match self.old.leaf_read(row.pk, 0..shared).await {
            Ok(theirs) => {
                let apart = theirs.iter().zip(&ours).position(|(old, new)| old != new);
                Ok(apart.map_or(Compared::Same, |at| Compared::Apart(at as u64)))
            }
            Err(error) if error.is_damage() => {
                self.recovered.unread.push(format!("{}: {error}", row.log));
                Ok(Compared::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over the entries from `from` on, as far as they can be read and pass; the size of the log then.
    async fn take(&mut self, row: &LogRow, mut from: u64) -> Result<u64, Error> {
        while from < row.head.size() {
            let entries = match self.read(row, from).await {
                Ok(entries) if entries.is_empty() => break,
                Ok(entries) => entries,
                Err(error) if error.is_damage() => {
                    self.unread(row, from, &error);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let count = entries.len() as u64;
            let sealed = entries.into_iter().map(|e| SealedEntry { envelope: e.envelope, parts: e.parts }).collect();
            let checkpoint = row.checkpoint.clone().filter(|_| from + count == row.head.size());
            let package = Package { log: row.log.clone(), first: from, entries: sealed, checkpoint };
            let received = self.handle.receive(package).await?.await?;
            self.recovered.kept += received.size.saturating_sub(from);
            if let Some((sequence, refusal)) = received.refused {
                tracing::warn!(log = %row.log, sequence, %refusal, "entries of the old database were not taken over");
                let other =
                    [Reason::ReplayDiffers, Reason::PreviousHashWrong, Reason::RootDiffers, Reason::SequenceGap];
                match other.contains(&refusal.reason) {
                    true => self.apart(row, sequence),
                    false => self.unread(row, sequence, &refusal),
                }
                break;
            }
            from += count;
        }
        Ok(self.handle.snapshot().log(&row.log).map_or(0, |row| row.head.size()))
    }

    /// Some entries of the old log; one by one where one of them cannot be read, so that those before it are taken.
    async fn read(&mut self, row: &LogRow, from: u64) -> Result<Vec<StoredEntry>, store::Error> {
        match self.old.entry_read(row.pk, from, limits::PACKAGE_ENTRIES_MAX, limits::PACKAGE_BYTES_MAX).await {
            Err(error) if error.is_damage() => self.old.entry_read(row.pk, from, 1, limits::PACKAGE_BYTES_MAX).await,
            read => read,
        }
    }

    fn apart(&mut self, row: &LogRow, at: u64) {
        if *row.log.node() == self.recovered.node {
            self.recovered.apart.push((row.log.clone(), at));
        }
    }

    fn unread(&mut self, row: &LogRow, from: u64, why: &dyn std::fmt::Display) {
        self.recovered.unread.push(format!("{} from entry {from} on: {why}", row.log));
    }
}
