//! What the operator is told of where this node stands with those above and below it. What that is says `link`.

use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::watch;

use super::{Parts, of_view};
use crate::doctor;
use crate::link::Standing;
use crate::pipeline::Snapshot;

impl Parts {
    fn stands<T>(&self, snapshot: &Snapshot, say: impl FnOnce(Standing<'_>) -> T) -> T {
        let link = self.link.as_ref().map(watch::Receiver::borrow);
        say(Standing::new(link.as_deref(), snapshot))
    }

    /// See [`Standing::trouble`].
    pub(super) fn standing(&self, snapshot: &Snapshot) -> Option<Refusal> {
        self.older_key(snapshot).or_else(|| self.stands(snapshot, |standing| standing.trouble()))
    }

    /// See [`Standing::doubt`].
    pub(super) fn doubt(&self, snapshot: &Snapshot) -> Option<Refusal> {
        self.older_key(snapshot).or_else(|| self.stands(snapshot, |standing| standing.doubt()))
    }

    /// The directory knows the log key that is here as an earlier one: this node was put back from a copy of before its key was replaced. A
    /// key that it does not know is being announced. Who was revoked is told that instead.
    fn older_key(&self, snapshot: &Snapshot) -> Option<Refusal> {
        let me = snapshot.directory().node(snapshot.me())?;
        let here = *self.pipeline.signing().current().public_key();
        let is_older = !me.is_revoked() && here != *me.key() && me.keys().has(&here.fingerprint());
        let told = || doctor::other_key(&self.doctor.layout.log_key(), me);
        is_older.then(|| Refusal::new(Reason::KeyNotEnrolled, told()))
    }

    /// What a node writes that was revoked counts nowhere: that must not look as if it did.
    ///
    /// # Errors
    /// `key_revoked`, `place_lost`, when the parent said so when it was reached last, or the directory does.
    pub(super) fn not_revoked(&self) -> Result<(), Refusal> {
        self.stands(&self.pipeline.snapshot(), |standing| standing.revoked()).map_or(Ok(()), Err)
    }

    /// See [`Standing::moved_away`]: no trouble, a node that moved is all right, and this one, too. And what can go wrong with the database's server.
    pub(super) async fn notes(&self, snapshot: &Snapshot) -> Result<Vec<pb::StatusNote>, Refusal> {
        let risk = self.view.risk().await.map_err(of_view)?;
        let list = self.units(snapshot.directory()).ok();
        let moved = self.stands(snapshot, |standing| standing.moved_away(list.as_deref(), |_| true));
        let note = |Refusal { reason, detail }| pb::StatusNote { reason: reason.code().to_owned(), detail };
        Ok(risk.into_iter().chain(moved).map(note).collect())
    }
}
