//! Change sets in the making: everything but position, time and signature. This room may not know why a change was made.

use danso_proto::change::{Body, Change};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::ChangeId;
use danso_proto::limits;

/// A set is closed when its signed bytes and identity parts come near this, so that an entry fits a package beside its frame
/// ([`limits::PACKAGE_BYTES_MAX`]).
pub const SET_BYTES_TARGET: usize = 96 * 1024;

/// A change set to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftSet {
    /// Id of the first change; the others count up from it.
    pub first_id: ChangeId,
    /// 1 to 1,000 changes, without commitments.
    pub changes: Vec<Change>,
    /// The identity part of each change, if it has one.
    pub parts: Vec<Option<IdentityPart>>,
    /// Digest of the row behind each change, see [`super::digest`].
    pub digests: Vec<[u8; 16]>,
}

struct Open {
    set: DraftSet,
    /// Id of the next change, `None` when the counter is used up.
    next: Option<ChangeId>,
    bytes: usize,
}

impl Open {
    fn takes(&self, bytes: usize) -> bool {
        self.next.is_some()
            && self.set.changes.len() < limits::CHANGES_PER_SET_MAX
            && self.bytes + bytes <= SET_BYTES_TARGET
    }
}

/// Collects changes into sets.
pub struct Drafter<F> {
    fresh: F,
    open: Option<Open>,
    closed: Vec<DraftSet>,
}

impl<F: FnMut() -> ChangeId> Drafter<F> {
    /// An empty drafter; `fresh` gives the id of a set's first change, see [`ChangeId::first`].
    pub fn new(fresh: F) -> Self {
        Self { fresh, open: None, closed: Vec::new() }
    }

    /// Adds a change; its id.
    pub(super) fn push(&mut self, change: Change, part: Option<IdentityPart>, digest: [u8; 16]) -> ChangeId {
        let bytes = estimate(&change, part.as_ref());
        if self.open.as_ref().is_some_and(|open| !open.takes(bytes)) {
            self.closed.extend(self.open.take().map(|open| open.set));
        }
        let fresh = &mut self.fresh;
        let open = self.open.get_or_insert_with(|| {
            let first_id = fresh();
            let set = DraftSet { first_id, changes: Vec::new(), parts: Vec::new(), digests: Vec::new() };
            Open { set, next: Some(first_id), bytes: 0 }
        });
        // A set without a next id takes nothing more, see `takes`.
        let id = open.next.unwrap_or(open.set.first_id);
        open.set.changes.push(change);
        open.set.parts.push(part);
        open.set.digests.push(digest);
        open.bytes += bytes;
        open.next = id.at(1);
        id
    }

    /// Changes that are not in a closed set yet.
    pub fn pending(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.set.changes.len())
    }

    /// The sets that are full, oldest first; they are handed out once.
    pub fn take_closed(&mut self) -> Vec<DraftSet> {
        std::mem::take(&mut self.closed)
    }

    /// All sets that were not handed out yet, the last one too, however small.
    pub fn finish(&mut self) -> Vec<DraftSet> {
        self.closed.extend(self.open.take().map(|open| open.set));
        self.take_closed()
    }
}

/// About how many bytes a change takes in its entry, rather more than less: the ids and numbers of its kind, texts, commitment, part.
fn estimate(change: &Change, part: Option<&IdentityPart>) -> usize {
    let body = match &change.body {
        Body::Birth(_) | Body::MovedIn(_) | Body::PersonUpdated(_) => 72,
        _ => 48,
    };
    let part = part.map_or(0, |part| {
        let texts = [
            &part.person_ref,
            &part.full_name,
            &part.national_id,
            &part.health_insurance_no,
            &part.household_no,
            &part.slip_no,
            &part.ethnicity,
            &part.relation_to_head,
            &part.spouse_name,
            &part.cause,
            &part.note,
            &part.other_ref,
            &part.refers_to,
        ];
        let texts: usize = texts.iter().filter(|text| !text.is_empty()).map(|text| text.len() + 3).sum();
        texts + 12 + 3 + 32
    });
    body + 40 + change.hamlet.len() + part
}

#[cfg(test)]
mod tests {
    use danso_proto::change::{ChangeSet, Death};
    use danso_proto::ids::{LogId, NodeId, Stream};

    use super::*;

    fn change() -> Change {
        let person = ChangeId::first(1, [1; 6]);
        Change {
            unit: "17065".parse().expect("code"),
            hamlet: "Bản Bắc".into(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: Body::Death(Death { person }),
        }
    }

    fn drafter() -> Drafter<impl FnMut() -> ChangeId> {
        let mut ms = 0;
        Drafter::new(move || {
            ms += 1;
            ChangeId::first(ms, [0; 6])
        })
    }

    #[test]
    fn sets_are_bounded_and_every_id_is_known_at_once() {
        let mut drafter = drafter();
        let long = IdentityPart { full_name: "x".repeat(200), ..Default::default() };
        let ids: Vec<ChangeId> = (0..2_500).map(|_| drafter.push(change(), Some(long.clone()), [0; 16])).collect();
        let closed = drafter.take_closed();
        assert!(!closed.is_empty());
        let pending = drafter.pending();
        let rest = drafter.finish();
        assert_eq!((rest.len(), rest[0].changes.len()), (1, pending));
        let all: Vec<&DraftSet> = closed.iter().chain(&rest).collect();
        let said = all.iter().flat_map(|set| (0u32..).zip(&set.changes).filter_map(|(i, _)| set.first_id.at(i)));
        assert_eq!(said.collect::<Vec<_>>(), ids);
        for set in all {
            let log = LogId::new(NodeId::new(&change().unit, &[1; 32]), Stream::Records);
            let parts: usize = set.parts.iter().flatten().map(|part| part.encode().expect("part").len() + 3).sum();
            let mut changes = set.changes.clone();
            changes.iter_mut().for_each(|change| change.identity_commitment = Some([9; 32]));
            let payload = ChangeSet {
                log,
                sequence: 0,
                previous: None,
                recorded_at_ms: 0,
                units_version: "vn-2024".into(),
                first_id: set.first_id,
                changes,
            };
            assert!(payload.encode().len() + parts <= limits::PACKAGE_BYTES_MAX);
        }
        assert_eq!(drafter.finish(), []);
    }

    #[test]
    fn a_set_has_at_most_1000_changes() {
        let mut drafter = drafter();
        (0..1_001).for_each(|_| {
            drafter.push(Change { hamlet: String::new(), ..change() }, None, [0; 16]);
        });
        assert_eq!(drafter.finish().iter().map(|set| set.changes.len()).collect::<Vec<_>>(), [1_000, 1]);
    }

    #[test]
    fn ids_that_are_used_up_close_the_set() {
        let last = ChangeId::first(1, [0; 6]).at(u32::MAX).expect("counter");
        let mut drafter = Drafter::new(|| last);
        assert_eq!(drafter.push(change(), None, [0; 16]), last);
        assert_eq!(drafter.push(change(), None, [0; 16]), last);
        assert_eq!(drafter.finish().len(), 2);
    }
}
