//! Checks logs by itself, entry by entry, from the anchor's fingerprint: it believes nothing that the node says about them, and asks for
//! nothing. It may not know where the entries come from.

use bytes::Bytes;
use danso_core::ledger::{self, LogHead};
use danso_core::verify::{self, Directory};
use danso_proto::checkpoint::{self, SignedNote};
use danso_proto::envelope::Envelope;
use danso_proto::ids::{Fingerprint, LogId, Stream};
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

/// Grows its knowledge of who may write what from the directory logs, in the order from the anchor down.
#[derive(Debug)]
pub struct Audit {
    anchor: Fingerprint,
    directory: Option<Directory>,
}

/// What was found about one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that are right.
    pub entries: u64,
    /// Root over those.
    pub root: Hash,
    /// Position of the first entry that is not, and why; the log's size when the entries are right and its head is not.
    pub bad: Option<(u64, Refusal)>,
    /// How many of the entries count, where the author was revoked and not all of them do.
    pub counted: Option<u64>,
    /// Whether the author's word for the log's end counts: not where a revocation cut off the entry that announced its key.
    pub head_counts: bool,
}

/// One log under audit.
#[derive(Debug)]
pub struct LogAudit {
    log: LogId,
    head: LogHead,
    note: Option<SignedNote>,
    /// Who signed the last entry.
    signers: Vec<Fingerprint>,
    head_counts: bool,
}

impl Audit {
    /// Begins with nothing but the fingerprint.
    pub fn new(anchor: Fingerprint) -> Self {
        Self { anchor, directory: None }
    }

    /// The logs in an order in which each can be checked: the anchor's directory log, directory logs from there down as far as their
    /// authors become known, then the others. Ask again after each log; `None`: no further one can be checked.
    pub fn next<'a>(&self, left: &'a [LogId]) -> Option<&'a LogId> {
        match &self.directory {
            None => left.iter().find(|log| *log.stream() == Stream::Directory && self.is_anchors(log)),
            Some(directory) => {
                let known = |log: &&LogId| directory.node(log.node()).is_some();
                let directories = || left.iter().filter(|log| *log.stream() == Stream::Directory);
                directories().find(known).or_else(|| left.iter().find(known))
            }
        }
    }

    /// A node id ends with the beginning of its first key's fingerprint: a hint where to begin, which the genesis then must bear out.
    fn is_anchors(&self, log: &LogId) -> bool {
        let print = self.anchor.to_string();
        log.node().as_str().rsplit('-').next().is_some_and(|end| print.starts_with(end))
    }

    /// Begins with a log.
    pub fn log(&self, log: &LogId) -> LogAudit {
        LogAudit { log: log.clone(), head: LogHead::default(), note: None, signers: Vec::new(), head_counts: true }
    }

    /// The size up to which a log counts, where its author was revoked, as far as was read.
    pub fn valid_size(&self, log: &LogId) -> Option<u64> {
        self.directory.as_ref()?.node(log.node())?.valid_size(log)
    }

    /// Checks the next entry of a log: signature, author, scope, sequence, previous hash; and takes in what it says about nodes and units.
    ///
    /// # Errors
    /// The reason why the entry is wrong. The log's audit then ends: what follows hangs on this entry.
    pub fn entry(&mut self, audit: &mut LogAudit, envelope: Bytes) -> Result<(), Refusal> {
        let directory = match &mut self.directory {
            Some(directory) => directory,
            none => none.insert(Directory::found(Envelope::decode(envelope.clone())?, self.anchor)?),
        };
        let opened = directory.open(envelope, None)?;
        if opened.change_set().log != audit.log {
            let detail = format!("an entry of {} stands in {}", opened.change_set().log, audit.log);
            return Err(Refusal::new(Reason::Malformed, detail));
        }
        audit.signers = opened.signers().to_vec();
        // What stands beyond the bound of a revocation is there and counts nowhere: by whom it is and where it hangs is checked all the same. So
        // is what is signed by a key that was announced there.
        let author = directory.node(audit.log.node());
        let bound = author.and_then(|author| author.valid_size(&audit.log));
        let beyond = bound.is_some_and(|bound| audit.head.size() >= bound);
        let is_cut_off = author
            .is_some_and(|known| known.is_revoked() && !audit.signers.iter().any(|print| known.keys().has(print)));
        let verified = match beyond || is_cut_off {
            true => verify::verify_again(opened, directory, &audit.head.position())?,
            false => verify::verify(opened, directory, &audit.head.position())?,
        };
        // What is said there counts for nothing, and tells whose the keys are.
        directory.apply(&verified)?;
        ledger::append(&mut audit.head, verified);
        match &audit.note {
            Some(note) if note.unverified().size == audit.head.size() => {
                audit.head_counts = audit.check_note(note, directory)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl LogAudit {
    /// Takes the author's checkpoint, to be checked when the log has grown to its size. Empty: there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checkpoint(&mut self, text: &str) -> Result<(), Refusal> {
        if !text.is_empty() {
            self.note = Some(checkpoint::parse(text)?);
        }
        Ok(())
    }

    /// Whether it counts.
    fn check_note(&self, note: &SignedNote, directory: &Directory) -> Result<bool, Refusal> {
        let (stated, counts) = ledger::check_word(directory, note, &self.signers)?;
        if stated.log != self.log {
            return Err(Refusal::new(Reason::CheckpointInvalid, format!("it is for {}", stated.log)));
        }
        if stated.root != self.head.root() {
            return Err(Refusal::new(Reason::RootDiffers, "the signed tree head has another root than the entries"));
        }
        Ok(counts)
    }

    /// Entries that were right so far.
    pub fn size(&self) -> u64 {
        self.head.size()
    }

    /// Ends: compares with the size and root that the log is said to have.
    pub fn finish(&self, wrong: Option<Refusal>, size: u64, root: &[u8]) -> Verdict {
        let (entries, here) = (self.head.size(), self.head.root());
        let bad = wrong.or_else(|| {
            if entries != size {
                return Some(Refusal::new(Reason::SequenceGap, format!("{entries} entries came, {size} were stated")));
            }
            (here[..] != *root).then(|| Refusal::new(Reason::RootDiffers, "the stated root is not that of the entries"))
        });
        let bad = bad.map(|refusal| (entries, refusal));
        Verdict { entries, root: here, bad, counted: None, head_counts: self.head_counts }
    }
}
