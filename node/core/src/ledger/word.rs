//! An author's word for where its log stands, and whether it counts.

use danso_proto::checkpoint::{Checkpoint, SignedNote};
use danso_proto::envelope::Keys as _;
use danso_proto::ids::Fingerprint;
use danso_proto::refusal::{Reason, Refusal};

use crate::verify::Directory;

/// Checks who signed a checkpoint of a log whose last entry there is signed by `last`. With the checkpoint comes whether it counts: it does not
/// where a revocation cut off the entry that announced its key. The log is right all the same, if it is the key of its last entry.
///
/// # Errors
/// `key_not_enrolled`, `checkpoint_invalid`, `signature_invalid`.
pub fn check_word(
    directory: &Directory,
    note: &SignedNote,
    last: &[Fingerprint],
) -> Result<(Checkpoint, bool), Refusal> {
    let id = note.unverified().log.node();
    let author = directory.node(id);
    let author = author.ok_or_else(|| Refusal::new(Reason::KeyNotEnrolled, format!("{id} is not enrolled")))?;
    let refused = match author.keys().verify_checkpoint(id, note) {
        Ok(head) => return Ok((head, true)),
        Err(refused) => refused,
    };
    let cut_off = last.iter().filter(|print| author.is_revoked() && directory.has_key(id, print));
    let mut heads = cut_off.filter_map(|print| note.verify(id, &directory.public_key(print)?).ok());
    heads.next().map(|head| (head, false)).ok_or(refused)
}
