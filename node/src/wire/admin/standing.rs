//! Where this node stands with those above it: whether what it wrote counts, whether it goes up, and whether all of it is here. Whoever looks at
//! receipts or figures has to be told when it is not so.

use danso_proto::refusal::{Reason, Refusal};

use super::Parts;
use super::overview::in_words;
use crate::doctor;
use crate::link::ended;
use crate::pipeline::Snapshot;

impl Parts {
    /// Why what this node wrote does not count, does not go up or is not all here: it was revoked, or lost its place, one of its own logs is
    /// stopped, here or at the parent, or its database is behind.
    pub(super) fn standing(&self, snapshot: &Snapshot) -> Option<Refusal> {
        self.doubt(snapshot).or_else(|| self.stopped_above(snapshot))
    }

    /// Why receipts that are here do not say that all is well: what this node wrote does not count, or is not all here.
    pub(super) fn doubt(&self, snapshot: &Snapshot) -> Option<Refusal> {
        let key = || self.older_key(snapshot);
        self.revoked(snapshot).or_else(key).or_else(|| stopped_here(snapshot)).or_else(|| snapshot.read_only())
    }

    /// The directory knows the log key that is here as an earlier one: this node was put back from a copy of before its key was replaced. A
    /// key that it does not know is being announced.
    fn older_key(&self, snapshot: &Snapshot) -> Option<Refusal> {
        let me = snapshot.directory().node(snapshot.me())?;
        let here = *self.pipeline.signing().current().public_key();
        let is_older = here != *me.key() && me.keys().has(&here.fingerprint());
        let told = || doctor::other_key(&self.doctor.layout.log_key(), me);
        is_older.then(|| Refusal::new(Reason::KeyNotEnrolled, told()))
    }

    /// What a node writes that was revoked counts nowhere: that must not look as if it did.
    ///
    /// # Errors
    /// `key_revoked`, `place_lost`, when the parent said so when it was reached last, or the directory does.
    pub(super) fn not_revoked(&self) -> Result<(), Refusal> {
        self.revoked(&self.pipeline.snapshot()).map_or(Ok(()), Err)
    }

    /// That this node was revoked, and what of it counts; or that it lost its place, and who can give it one.
    fn revoked(&self, snapshot: &Snapshot) -> Option<Refusal> {
        let me = snapshot.me();
        let known = snapshot.directory().node(me).and_then(ended);
        // Who is revoked is let go at once, and may never get the entry that says so.
        let told = || self.link.as_ref().and_then(|link| link.borrow().revoked.clone());
        let Refusal { reason, detail } = known.or_else(told)?;
        let advice = match reason {
            Reason::PlaceLost => format!(
                "Nothing new is written here until then; what was written is kept, and counts again. Ask the operator of a node above the \
                 revoked one for a token (danso-admin child invite --node {me}), then here: danso-node recover --token-file FILE"
            ),
            _ => format!(
                "Nothing new is written here, because it would count nowhere; what was written is kept. Ask the operator of the parent; for \
                 a new node of this unit: danso-admin child invite --unit {} --again there",
                me.unit()
            ),
        };
        Some(Refusal::new(reason, format!("{detail}. {advice}")))
    }

    /// One of our own logs that the parent has stopped.
    fn stopped_above(&self, snapshot: &Snapshot) -> Option<Refusal> {
        let link = self.link.as_ref()?.borrow();
        let stopped = link.refused.iter().find(|(log, from)| log.node() == snapshot.me() && stops(from.refusal.reason));
        stopped.map(|(log, from)| Refusal::new(from.refusal.reason, format!("{log}: {}", in_words(from))))
    }
}

/// One of our own logs that is stopped here, because it has another history elsewhere. That it is read-only is said by the snapshot.
fn stopped_here(snapshot: &Snapshot) -> Option<Refusal> {
    snapshot.own_logs().find_map(|row| {
        let (code, detail) = row.trouble.as_ref()?;
        let reason = Reason::from_code(code).unwrap_or(Reason::LogQuarantined);
        (reason != Reason::ReadOnly).then(|| Refusal::new(reason, format!("{}: {detail}", row.log)))
    })
}

/// Whether a log that is refused for this goes on only when somebody does something about it.
fn stops(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LogQuarantined
            | Reason::RootDiffers
            | Reason::ReplayDiffers
            | Reason::PreviousHashWrong
            | Reason::LogShorter
            | Reason::KeyRevoked
            | Reason::KeyNotEnrolled
            | Reason::SignatureInvalid
    )
}
