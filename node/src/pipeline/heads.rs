//! The heads of this node's own logs, kept once more in a file beside the database, so that an old copy of the database is noticed at
//! start. Knows files and checkpoints.
//!
//! The file is written after the commit and before anybody is told, so that it is never ahead of the database by itself: if it is, the
//! database is not the one that was here last. One sync a commit of own entries: see `files::replace_unnamed`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use danso_proto::checkpoint::{self, SignedNote};
use danso_proto::envelope::PublicKey;
use danso_proto::ids::{LogId, Stream};
use danso_proto::merkle::CompactTree;
use danso_proto::refusal::{Reason, Refusal};

use super::batch::Done;
use super::state::{Shared, Snapshot};
use super::{Error, Outfit};
use crate::files;
use crate::store::{LogRow, Store, Tx};

/// First line of the file.
const TITLE: &str = "danso-heads-v1";
/// Bytes of the file at most: a node has a handful of own logs, and a note a few hundred bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// Leaves read at a time.
const LEAVES: u64 = 65_536;

/// What the file says.
#[derive(Debug)]
pub enum Kept {
    /// There is none.
    Missing,
    /// It is there and does not read.
    Unreadable(String),
    /// The author's checkpoints, one a log.
    Heads(Vec<SignedNote>),
}

impl Kept {
    /// As it is, if this node signed all of it with keys that it has or had: a digit that the disk changed is no other history.
    /// `key` is the key that it signs with now: an old copy of the database may not know it yet.
    pub fn signed(self, snapshot: &Snapshot, key: Option<&PublicKey>) -> Self {
        let Self::Heads(notes) = self else { return self };
        let me = snapshot.me();
        let known = snapshot.directory().node(me);
        let signed = |note: &SignedNote| {
            key.is_some_and(|key| note.verify(me, key).is_ok())
                || known.is_some_and(|known| known.keys().verify_checkpoint(me, note).is_ok())
        };
        match notes.iter().find(|note| !signed(note)) {
            Some(note) => {
                Self::Unreadable(format!("the note for {} is not signed by this node", note.unverified().log))
            }
            None => Self::Heads(notes),
        }
    }
}

/// Where the file of a store's node is.
pub fn path(store: &Store) -> PathBuf {
    store.condition().path().with_file_name("heads")
}

/// Reads the file.
pub fn read(path: &Path) -> Kept {
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Kept::Missing,
        Ok(meta) if meta.len() > FILE_MAX => return Kept::Unreadable(format!("it has {} bytes", meta.len())),
        _ => {}
    }
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map_or_else(Kept::Unreadable, Kept::Heads),
        Err(error) => Kept::Unreadable(error.to_string()),
    }
}

/// The title, then for each note a line `note BYTES` and its text.
fn parse(text: &str) -> Result<Vec<SignedNote>, String> {
    let mut rest = text.strip_prefix(TITLE).and_then(|rest| rest.strip_prefix('\n')).ok_or("no title")?;
    let mut notes = Vec::new();
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').ok_or("it ends inside a line")?;
        let bytes = line.strip_prefix("note ").and_then(|bytes| bytes.parse().ok());
        let (note, after) = bytes.and_then(|at| after.split_at_checked(at)).ok_or("it ends inside a note")?;
        notes.push(checkpoint::parse(note).map_err(|refusal| refusal.detail)?);
        rest = after;
    }
    Ok(notes)
}

fn write(path: &Path, notes: &BTreeMap<LogId, String>) -> std::io::Result<()> {
    let mut text = format!("{TITLE}\n");
    for note in notes.values() {
        text.push_str(&format!("note {}\n{note}", note.len()));
    }
    match path.exists() {
        true => files::replace_unnamed(path, text.as_bytes(), 0o600),
        false => files::replace(path, text.as_bytes(), 0o600),
    }
}

fn own_notes<'a>(snapshot: &Snapshot, rows: impl Iterator<Item = &'a LogRow>) -> BTreeMap<LogId, String> {
    let own = rows.filter(|row| row.log.node() == snapshot.me());
    own.filter_map(|row| Some((row.log.clone(), row.checkpoint.clone()?))).collect()
}

/// Keeps where own logs stand after a commit. That it fails stops nobody: the entries are durable, and a file that is behind says nothing
/// wrong.
pub(super) fn keep(outfit: &Outfit, before: &Snapshot, done: &Done) {
    let grown = own_notes(before, done.logs.iter());
    if grown.iter().all(|(log, note)| before.log(log).and_then(|row| row.checkpoint.as_ref()) == Some(note)) {
        return;
    }
    let mut notes = own_notes(before, before.own_logs());
    notes.extend(grown);
    if let Err(error) = write(&path(&outfit.store), &notes) {
        tracing::error!(%error, "the heads of the own logs could not be kept in the file beside the database");
    }
}

/// Keeps where own logs stand now, whatever the file says: after the operator decided that what is here counts.
///
/// # Errors
/// When the file cannot be written.
pub fn renew(store: &Store, snapshot: &Snapshot) -> std::io::Result<()> {
    write(&path(store), &own_notes(snapshot, snapshot.own_logs()))
}

/// A log of which the file says something else than the database.
#[derive(Debug)]
pub struct Shortfall {
    /// The log.
    pub log: LogId,
    /// Entries that are here.
    pub here: u64,
    /// Entries by the file. No more than are here: then these are others.
    pub kept: u64,
}

/// Why the database is not the one that was here last, by what the file says; `None` when it is.
///
/// # Errors
/// When the store fails.
pub async fn contradiction(tx: &mut Tx, snapshot: &Snapshot, kept: &[SignedNote]) -> Result<Option<String>, Error> {
    let first = shortfalls(tx, snapshot, kept).await?.into_iter().next();
    Ok(first.map(|Shortfall { log, here, kept }| match kept > here {
        true => format!("{log}: {here} entries here, {kept} by the file `heads`"),
        false => format!(
            "{log}: another history than the file `heads` says, so that there are two, and a copy of this node may have written one; see \
             danso-admin evidence list here and at the parent"
        ),
    }))
}

/// What to do about a node in `dir` that is behind. The root has nobody above who would give back what it wrote, and recovery works on a file.
pub fn advice(is_root: bool, is_file: bool, dir: &dyn std::fmt::Display) -> String {
    match (is_root, is_file) {
        (false, true) => {
            format!("Put the right database back, or stop the node and run `danso-node recover --data {dir}`")
        }
        (false, false) => "Put the right database back, or stop the node and recover it into an empty directory, with a token that its parent makes \
                           (`danso-admin child invite --node NODE`): `danso-node recover --data NEW --token-file FILE`; the database is a file \
                           there, and `danso-node migrate-store` moves it to a server again"
            .to_owned(),
        (true, _) => "Put the right database back, or stop the node and restore its newest backup into a new directory: `danso-node restore`. What no \
                 backup holds is lost: nodes that were enrolled or revoked, keys, unit lists. Others may hold those entries, so that this root writes none in \
                 their place: without a backup it answers with what is here, takes nothing in, and a new federation has to be begun (`danso-node init`)"
            .to_owned(),
    }
}

/// Every log of which the file says more than is here, or something else.
///
/// # Errors
/// When the store fails.
pub async fn shortfalls(tx: &mut Tx, snapshot: &Snapshot, kept: &[SignedNote]) -> Result<Vec<Shortfall>, Error> {
    let mut short = Vec::new();
    for note in kept {
        let head = note.unverified();
        let (here, pk) = snapshot.log(&head.log).map_or((0, 0), |row| (row.head.size(), row.pk));
        let shortfall = Shortfall { log: head.log.clone(), here, kept: head.size };
        if head.size > here {
            short.push(shortfall);
            continue;
        }
        let mut tree = CompactTree::default();
        while tree.size() < head.size {
            let to = head.size.min(tree.size() + LEAVES);
            let leaves = tx.leaf_read(pk, tree.size()..to).await?;
            if leaves.len() as u64 != to - tree.size() {
                let what = format!("{}: entries are missing before {to}", head.log);
                return Err(crate::store::Error::Damaged { what }.into());
            }
            leaves.into_iter().for_each(|leaf| tree.push(leaf));
        }
        if tree.root() != head.root {
            short.push(shortfall);
        }
    }
    Ok(short)
}

/// Compares the file with the database at start. When the database is an old copy, or another history, all own logs are stopped.
///
/// # Errors
/// When the store fails.
pub(super) async fn compare(outfit: &Outfit, shared: &Shared) -> Result<(), Error> {
    let snapshot = shared.snapshot();
    let path = path(&outfit.store);
    let notes = own_notes(&snapshot, snapshot.own_logs());
    let kept = match read(&path).signed(&snapshot, Some(outfit.signer.public_key())) {
        Kept::Heads(kept) => kept,
        Kept::Missing if notes.is_empty() => return Ok(()),
        Kept::Missing => {
            tracing::warn!(path = %path.display(), reason = %Reason::HeadsMissing, "the file is missing; it is made anew");
            made_anew(&path, &notes);
            return Ok(());
        }
        Kept::Unreadable(why) => {
            tracing::warn!(path = %path.display(), why, reason = %Reason::HeadsMissing, "the file does not read; it is made anew");
            made_anew(&path, &notes);
            return Ok(());
        }
    };
    let Some(why) = contradiction(&mut outfit.store.read("heads").await?, &snapshot, &kept).await? else {
        // The power went between a commit and the file.
        if kept.len() != notes.len() || !kept.iter().all(|note| notes.values().any(|own| own == note.text())) {
            made_anew(&path, &notes);
        }
        return Ok(());
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    let detail = format!(
        "{why}: the database is an old copy, or the disk lost what was written last. {}",
        advice(snapshot.is_root(), outfit.store.is_file(), &dir.display())
    );
    tracing::error!(reason = %Reason::ReadOnly, %detail, "ALARM: this node writes nothing more");
    let streams = [Stream::Directory, Stream::Records].map(|stream| LogId::new(snapshot.me().clone(), stream));
    let mut rows: Vec<LogRow> = snapshot.own_logs().cloned().collect();
    for log in streams {
        if snapshot.log(&log).is_none() {
            rows.push(LogRow::new(log));
        }
    }
    for row in &mut rows {
        row.trouble.get_or_insert_with(|| (Reason::ReadOnly.code().to_owned(), detail.clone()));
    }
    let pks = {
        let rows: Vec<&LogRow> = rows.iter().collect();
        outfit.store.run_tx("old_copy", async |tx| tx.log_put(&rows).await).await?
    };
    for (row, pk) in rows.iter_mut().zip(pks) {
        row.pk = pk;
    }
    shared.stopped(rows);
    Ok(())
}

fn made_anew(path: &Path, notes: &BTreeMap<LogId, String>) {
    if let Err(error) = write(path, notes) {
        tracing::error!(%error, "the heads of the own logs could not be kept in the file beside the database");
    }
}

/// Refuses new entries of a node whose database is an old copy.
pub(super) fn old_copy(snapshot: &Snapshot) -> Option<Refusal> {
    let read_only = |row: &&LogRow| row.trouble.as_ref().is_some_and(|(code, _)| code == Reason::ReadOnly.code());
    let row = snapshot.own_logs().find(read_only)?;
    Some(Refusal::new(Reason::ReadOnly, row.trouble.as_ref().map(|(_, detail)| detail.clone()).unwrap_or_default()))
}

/// Whether the logs are what their rows say: as many entries, ending where they should, making the kept root. Which leaf hash an entry has
/// is checked whenever it is read.
///
/// # Errors
/// `Damaged`, with the first log that is not.
pub async fn check_leaves(tx: &mut Tx, rows: &[LogRow]) -> Result<(), Error> {
    use crate::store;
    let lengths = tx.log_lengths().await?;
    let entries: u64 = lengths.values().sum();
    for row in rows {
        let size = row.head.size();
        let here = lengths.get(&row.pk).copied().unwrap_or_default();
        if here != size {
            let why = format!("{} has {here} entries, and by its row {size}", row.log);
            return Err(store::Error::Damaged { what: why }.into());
        }
        // A log's last leaf is checked at any size; all of them while that takes a moment.
        let from = if entries <= LEAVES_AT_START { 0 } else { size.saturating_sub(1) };
        let mut tree = CompactTree::default();
        let mut last = None;
        let mut at = from;
        while at < size {
            let leaves = tx.leaf_read(row.pk, at..size.min(at + LEAVES)).await?;
            at += leaves.len() as u64;
            last = leaves.last().copied();
            if leaves.is_empty() {
                break;
            }
            leaves.into_iter().for_each(|leaf| tree.push(leaf));
        }
        if last != row.head.last_leaf() || from == 0 && tree.root() != row.head.root() {
            let why = format!("the entries of {} do not make the kept root", row.log);
            return Err(store::Error::Damaged { what: why }.into());
        }
    }
    Ok(())
}

/// Entries whose leaves are all looked at when the node starts: half a second of reading and hashing.
const LEAVES_AT_START: u64 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_on_a_server_is_recovered_into_an_empty_directory() {
        let said = |is_root, is_file| advice(is_root, is_file, &"/data");
        assert!(said(false, true).contains("`danso-node recover --data /data`"));
        let on_server = said(false, false);
        assert!(!on_server.contains("/data") && on_server.contains("--data NEW --token-file FILE"), "{on_server}");
        for is_file in [true, false] {
            let root = said(true, is_file);
            assert!(root.contains("danso-node restore") && !root.contains("recover"), "{root}");
        }
    }
}
