//! Where this node stands with those above and below it: whether what it wrote counts, whether it goes up, and whether all is here that it
//! should have. Whoever looks at receipts or figures has to be told when it is not so. Knows nothing of who asks.

use danso_core::calendar::{VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use danso_core::units::UnitList;
use danso_core::verify::Node;
use danso_proto::ids::{LogId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};

use super::{LinkStatus, ended};
use crate::answer::{Note, Query};
use crate::pipeline::Snapshot;

/// Logs or nodes that a note names, so that it stays within `limits::ANSWER_NOTE_MAX`.
const NAMED_MAX: usize = 10;

/// What this node knows of itself at one moment.
#[derive(Clone, Copy)]
pub struct Standing<'a> {
    link: Option<&'a LinkStatus>,
    snapshot: &'a Snapshot,
}

impl<'a> Standing<'a> {
    /// Of a node whose link is so (`None`: it has no parent), and whose logs are these.
    pub fn new(link: Option<&'a LinkStatus>, snapshot: &'a Snapshot) -> Self {
        Self { link, snapshot }
    }

    /// Why what this node wrote does not count, does not go up or is not all here, or what those below it wrote is not: it was revoked, or lost
    /// its place, one of its own logs is stopped, here or at the parent, or its database is behind.
    pub fn trouble(&self) -> Option<Refusal> {
        self.doubt().or_else(|| self.stopped_above()).or_else(|| self.behind_below(|_| true))
    }

    /// Why receipts that are here do not say that all is well: what this node wrote does not count, or is not all here.
    pub fn doubt(&self) -> Option<Refusal> {
        self.revoked().or_else(|| self.stopped_here()).or_else(|| self.read_only())
    }

    /// What whoever asks this question has to be told.
    pub fn notes(&self, query: &Query) -> Vec<Note> {
        let concerned = query.concerned();
        let trouble = self.doubt().or_else(|| self.stopped_above());
        let below = [self.behind_below(&concerned), self.moved_away(Some(query.list()), &concerned)];
        let note = |mut refusal: Refusal| {
            refusal.detail.truncate(refusal.detail.floor_char_boundary(limits::ANSWER_NOTE_MAX));
            Note { node: self.snapshot.me().clone(), reason: refusal.reason.code().to_owned(), detail: refusal.detail }
        };
        trouble.into_iter().chain(below.into_iter().flatten()).map(note).collect()
    }

    /// That this node was revoked, and what of it counts; or that it lost its place, and who can give it one.
    pub fn revoked(&self) -> Option<Refusal> {
        let me = self.snapshot.me();
        let known = self.snapshot.directory().node(me).and_then(ended);
        // Who is revoked is let go at once, and may never get the entry that says so.
        let told = || self.link.and_then(|link| link.revoked.clone());
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

    /// One of our own logs that is stopped here, because it has another history elsewhere.
    fn stopped_here(&self) -> Option<Refusal> {
        self.snapshot.own_logs().find_map(|row| {
            let (code, detail) = row.trouble.as_ref()?;
            let reason = Reason::from_code(code).unwrap_or(Reason::LogQuarantined);
            (reason != Reason::ReadOnly).then(|| Refusal::new(reason, format!("{}: {detail}", row.log)))
        })
    }

    /// That nothing is written here. An old copy that wrote something else before it was noticed is more than behind: then the parent has
    /// refused the history that is here.
    fn read_only(&self) -> Option<Refusal> {
        let mut refusal = self.snapshot.read_only()?;
        if let Some(stopped) = self.stopped_above().filter(|stopped| is_other_history(stopped.reason)) {
            refusal.detail = format!(
                "{}. There are two histories, this is not only an old copy: {}; see danso-admin evidence list at the parent and here",
                refusal.detail, stopped.detail
            );
        }
        Some(refusal)
    }

    /// One of our own logs that the parent has stopped.
    fn stopped_above(&self) -> Option<Refusal> {
        let mut refused = self.link?.refused.iter();
        let stopped = refused.find(|(log, from)| log.node() == self.snapshot.me() && stops(from.refusal.reason));
        stopped.map(|(log, from)| Refusal::new(from.refusal.reason, format!("{log}: {}", from.in_words())))
    }

    /// That entries of nodes below, of units that are asked about, are not here which the parent holds: figures about them are too low.
    fn behind_below(&self, asked: impl Fn(&UnitCode) -> bool) -> Option<Refusal> {
        let (snapshot, directory) = (self.snapshot, self.snapshot.directory());
        let unit =
            |log: &LogId| directory.node(log.node()).map_or_else(|| log.node().unit(), |node| node.unit().clone());
        let ahead = self.link?.ahead_of(snapshot).into_iter();
        let missing = ahead.filter(|(log, _)| log.node() != snapshot.me() && asked(&unit(log)));
        let named = named(missing.map(|(log, ahead)| {
            let here = snapshot.log(&log).map_or(0, |row| row.head.size());
            format!("{log} ({here} entries here, {} at the parent)", ahead.theirs)
        }))?;
        let detail = format!(
            "this node was restored from an old copy, and lacks entries of nodes below it, so that figures about their units are too low: \
             {named}. They are sent again when these nodes connect; where that does not come back, next: danso-node recover --data DIR here"
        );
        Some(Refusal::new(Reason::BehindBelow, detail))
    }

    /// That nodes of units below ours, of those that are asked about, are children of others: taken over by a node above, or enrolled there.
    /// What they write does not come here. Units are those of `list`, and those whose nodes were below this one.
    pub fn moved_away(&self, list: Option<&UnitList>, asked: impl Fn(&UnitCode) -> bool) -> Option<Refusal> {
        let (me, directory) = (self.snapshot.me(), self.snapshot.directory());
        let own = directory.node(me)?.unit();
        let is_elsewhere = |node: &Node| {
            let of_ours = |list: &UnitList| node.unit() != own && list.is_within(node.unit(), own);
            let (id, was_ours) = (node.id(), directory.was_above(me, node.id()) || list.is_some_and(of_ours));
            id != me && was_ours && !node.is_revoked() && !directory.is_above(me, id) && !directory.is_above(id, me)
        };
        // Whoever is below one that moved away went with it.
        let went_with = |node: &Node| node.parent().and_then(|up| directory.node(up)).is_some_and(is_elsewhere);
        let moved = directory.nodes().filter(|node| is_elsewhere(node) && !went_with(node) && asked(node.unit()));
        let named = named(moved.filter_map(|node| {
            let (id, parent) = (node.id(), node.parent()?);
            let here = self.snapshot.log(&LogId::new(id.clone(), Stream::Records)).filter(|row| row.head.size() > 0);
            let held = here.map_or_else(
                || "none of its records is here".to_owned(),
                |row| {
                    let day = civil_from_unix_ms(row.committed_at_ms, VIET_NAM_OFFSET_MINUTES);
                    format!("{} entries of its records are here and count, the last came on {day}", row.head.size())
                },
            );
            Some(format!("{id} is a child of {parent} now, {held}"))
        }))?;
        let detail = format!("what these nodes write does not come here any longer: {named}");
        Some(Refusal::new(Reason::MovedAway, detail))
    }
}

/// The first of them, one behind the other, and how many more there are; `None` when there are none.
fn named(mut all: impl Iterator<Item = String>) -> Option<String> {
    let first: Vec<String> = all.by_ref().take(NAMED_MAX).collect();
    let more = match all.count() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    (!first.is_empty()).then(|| first.join("; ") + &more)
}

/// Whether a log that is refused for this goes on only when somebody does something about it.
fn stops(reason: Reason) -> bool {
    is_other_history(reason)
        || matches!(reason, Reason::LogShorter | Reason::KeyRevoked | Reason::KeyNotEnrolled | Reason::SignatureInvalid)
}

/// Whether a log that is refused for this has another history at the one who refuses it.
fn is_other_history(reason: Reason) -> bool {
    matches!(reason, Reason::LogQuarantined | Reason::RootDiffers | Reason::ReplayDiffers | Reason::PreviousHashWrong)
}
