//! Entries on trial at the end of a log: what a package, or a draft, does to it before anybody writes anything down. The node's pipeline and
//! the simulation judge with this one piece of code. Where leaves are kept and when they are durable is not known here.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use danso_proto::checkpoint;
use danso_proto::envelope::Opened;
use danso_proto::identity::PartSet;
use danso_proto::ids::{LogId, Stream};
use danso_proto::merkle::{Hash, leaf_hash};
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::{Reason, Refusal};

use super::{Entry, LogHead, append};
use crate::verify::{Directory, verify};

/// Entries on trial at the end of a log. Dropping it takes everything back.
#[derive(Debug)]
pub struct Trial {
    /// The directory, with what the entries on trial say.
    pub directory: Arc<Directory>,
    /// Where the log stands after them.
    pub head: LogHead,
    /// The entries that passed.
    pub entries: Vec<Entry>,
}

/// What became of a package.
#[derive(Debug)]
pub struct Judged {
    /// What is to be kept: perhaps fewer entries than came, perhaps none.
    pub trial: Trial,
    /// The author's checkpoint, when it is for where the log stands now.
    pub checkpoint: Option<String>,
    /// The first entry that was not taken, and why. Those before it are in the trial.
    pub refused: Option<(u64, Refusal)>,
}

/// Entries of a package that were opened ahead of its trial, perhaps on another core: their signatures, shapes and parts were found right with the keys
/// that were known then. Keys are never forgotten, and an [`Opened`] has its bytes in it, so that this holds for the trial as well; author, scope and
/// place are judged there all the same, in order. What could not be opened is not in it: the trial opens it, and says why not.
#[derive(Debug, Default)]
pub struct Ahead(Mutex<Vec<Option<Opened>>>);

impl Ahead {
    /// Opens what can be opened by now of what is behind the first `size` entries of the log, up to the first that cannot: what follows it will not be taken.
    pub fn open(package: &Package, size: u64, directory: &Directory) -> Self {
        let open = |sealed: &SealedEntry| directory.open(sealed.envelope.clone(), sealed.parts.clone()).ok();
        let repeated = usize::try_from(size.saturating_sub(package.first)).unwrap_or(usize::MAX);
        let mut all: Vec<Option<Opened>> = package.entries.iter().take(repeated).map(|_| None).collect();
        all.extend(package.entries.iter().skip(repeated).map_while(|sealed| open(sealed).map(Some)));
        Self(Mutex::new(all))
    }

    /// What was opened at this place of the package, once, and only if it was opened from these very bytes and parts.
    fn take(&self, at: usize, sealed: &SealedEntry) -> Option<Opened> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at)?.take()?;
        let is_same = *opened.envelope().bytes() == sealed.envelope && opened.parts() == sealed.parts.as_ref();
        is_same.then_some(opened)
    }
}

/// How many entries at the front of a package stand where the log of `size` entries has some already. Their leaf hashes are what
/// [`Trial::judge`] asks for.
///
/// # Errors
/// `sequence_gap`, with the position that is next: the package begins behind it.
pub fn repeated(size: u64, package: &Package) -> Result<usize, (u64, Refusal)> {
    if package.first > size {
        let detail = format!("{}: entry {} came, {size} is next", package.log, package.first);
        return Err((size, Refusal::new(Reason::SequenceGap, detail)));
    }
    Ok(usize::try_from(size - package.first).unwrap_or(usize::MAX).min(package.entries.len()))
}

impl Trial {
    /// A trial at the end of a log that stands at `head`.
    pub fn new(directory: Arc<Directory>, head: LogHead) -> Self {
        Self { directory, head, entries: Vec::new() }
    }

    /// Judges a package. `kept` are the leaf hashes of the entries that [`repeated`] counted, as they are here; `ahead` is what was opened of it before.
    ///
    /// Other bytes at a position that is taken are refused (`replay_differs`); a checkpoint that contradicts the entries takes them all
    /// back; an entry that does not pass leaves those before it.
    pub fn judge(mut self, package: &Package, kept: &[Hash], ahead: &Ahead) -> Judged {
        for ((sequence, sealed), kept) in (package.first..).zip(&package.entries).zip(kept) {
            if leaf_hash(&sealed.envelope) != *kept {
                let detail = format!("{} entry {sequence} is here with other bytes", package.log);
                let refused = Some((sequence, Refusal::new(Reason::ReplayDiffers, detail)));
                return Judged { trial: self, checkpoint: None, refused };
            }
        }
        let before = (self.directory.clone(), self.head.clone());
        for (at, sealed) in package.entries.iter().enumerate().skip(kept.len()) {
            let sequence = package.first + at as u64;
            let taken = match ahead.take(at, sealed) {
                Some(opened) => self.take_opened(&package.log, opened),
                None => self.take(&package.log, &sealed.envelope, sealed.parts.as_ref()),
            };
            if let Err(refusal) = taken {
                return Judged { trial: self, checkpoint: None, refused: Some((sequence, refusal)) };
            }
        }
        match package.checkpoint.as_deref().map(|note| self.check_checkpoint(&package.log, note)).transpose() {
            Ok(checkpoint) => Judged { trial: self, checkpoint: checkpoint.flatten(), refused: None },
            Err(refusal) => {
                let first_new = package.first + kept.len() as u64;
                let trial = Self::new(before.0, before.1);
                Judged { trial, checkpoint: None, refused: Some((first_new, refusal)) }
            }
        }
    }

    /// Takes one entry through the door: signature and commitments, author, scope and position, then the log's end.
    ///
    /// # Errors
    /// What [`Directory::open`] and [`verify`] refuse, `malformed` for an entry of another log, and what [`Directory::apply`] refuses.
    pub fn take(&mut self, log: &LogId, envelope: &Bytes, parts: Option<&PartSet>) -> Result<(), Refusal> {
        self.take_opened(log, self.directory.open(envelope.clone(), parts.cloned())?)
    }

    fn take_opened(&mut self, log: &LogId, opened: Opened) -> Result<(), Refusal> {
        if opened.change_set().log != *log {
            let detail = format!("an entry of {} in a package of {log}", opened.change_set().log);
            return Err(Refusal::new(Reason::Malformed, detail));
        }
        let verified = verify(opened, &self.directory, &self.head.position())?;
        if *log.stream() == Stream::Directory {
            // On a copy: an entry that is refused half way must not leave the half behind.
            let mut directory = self.directory.clone();
            Arc::make_mut(&mut directory).apply(&verified)?;
            self.directory = directory;
        }
        self.entries.push(append(&mut self.head, verified));
        Ok(())
    }

    /// The author's checkpoint, if it is for where the log stands now.
    fn check_checkpoint(&self, log: &LogId, note: &str) -> Result<Option<String>, Refusal> {
        let author = self.directory.node(log.node());
        let author =
            author.ok_or_else(|| Refusal::new(Reason::KeyNotEnrolled, format!("{} is not enrolled", log.node())))?;
        let checkpoint = author.keys().verify_checkpoint(author.id(), &checkpoint::parse(note)?)?;
        if checkpoint.log != *log {
            return Err(Refusal::new(
                Reason::CheckpointInvalid,
                format!("a checkpoint of {} for {log}", checkpoint.log),
            ));
        }
        if checkpoint.size != self.head.size() {
            return Ok(None);
        }
        if checkpoint.root != self.head.root() {
            let detail = format!("{log}: the author signed another root for size {}", checkpoint.size);
            return Err(Refusal::new(Reason::RootDiffers, detail));
        }
        Ok(Some(note.to_owned()))
    }
}
