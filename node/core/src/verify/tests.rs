//! Directories made of real entries: the same entries make the same directory, in whatever order their logs are read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use danso_proto::change::{
    Body, Change, ForkDecided, ForwardingPolicy, Genesis, NodeEnrolled, NodeRekeyed, NodeRevoked,
};
use danso_proto::envelope::{Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};

use super::*;
use crate::ledger::{Draft, LogHead, Sealing, Trial, seal, seal_by_both};
use crate::units::UnitList;

mod ahead;
mod rules;

const VERSION: &str = "vn-2024";
const ALL: Range<usize> = 0..usize::MAX;

struct Author {
    id: NodeId,
    signer: SoftwareSigner,
    head: LogHead,
    entries: Vec<Envelope>,
}

impl Author {
    fn new(unit: &str, seed: u8) -> Self {
        let signer = SoftwareSigner::from_secret(&[seed; 32]);
        let unit: UnitCode = unit.parse().expect("a code");
        let id = NodeId::new(&unit, signer.public_key().as_bytes());
        Self { id, signer, head: LogHead::default(), entries: Vec::new() }
    }

    fn log(&self) -> LogId {
        LogId::new(self.id.clone(), Stream::Directory)
    }

    fn seal(&self, body: Body) -> Envelope {
        self.sealed(body, None)
    }

    fn seal_by_both(&self, body: Body, next: &SoftwareSigner) -> Envelope {
        self.sealed(body, Some(next))
    }

    fn sealed(&self, body: Body, next: Option<&SoftwareSigner>) -> Envelope {
        let unit = self.id.unit();
        let change = Change {
            unit,
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body,
        };
        let first_id = ChangeId::first(1, [self.entries.len() as u8; 6]);
        let draft = Draft { first_id, changes: vec![change], parts: vec![None] };
        let sealing = Sealing {
            log: &self.log(),
            position: self.head.position(),
            recorded_at_ms: 1,
            units_version: VERSION,
            salt_seed: [0; 32],
            signer: &self.signer,
        };
        let sealed = match next {
            Some(next) => seal_by_both(draft, &sealing, next),
            None => seal(draft, &sealing),
        };
        sealed.expect("it can be sealed").0
    }

    /// Writes an entry as the directory stands.
    fn write(&mut self, directory: &mut Arc<Directory>, body: Body) {
        let envelope = self.seal(body);
        let mut trial = Trial::new(directory.clone(), self.head.clone());
        trial.take(&self.log(), envelope.bytes(), None).expect("it may be written");
        (*directory, self.head) = (trial.directory, trial.head);
        self.entries.push(envelope);
    }

    fn enrolled(&self) -> Body {
        Body::NodeEnrolled(NodeEnrolled {
            node: self.id.clone(),
            unit: self.id.unit(),
            log_public_key: *self.signer.public_key().as_bytes(),
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        })
    }

    /// The child's enrolment by one that takes it over, and has read this much of others.
    fn taken_over(&self, former: &[(&Author, u64)]) -> Body {
        let Body::NodeEnrolled(mut enrolled) = self.enrolled() else { unreachable!("an enrolment") };
        enrolled.former = former.iter().map(|(author, size)| (author.log(), *size)).collect();
        Body::NodeEnrolled(enrolled)
    }

    /// A vouch for a key of this node that signs from the beginning.
    fn vouched(&self, key: &SoftwareSigner) -> Body {
        let log_public_key = *key.public_key().as_bytes();
        Body::NodeRekeyed(NodeRekeyed { node: self.id.clone(), log_public_key, from: Vec::new() })
    }
}

/// The root with its unit list, and a directory that nothing else is in.
struct Top {
    root: Author,
    directory: Arc<Directory>,
    genesis: Envelope,
}

impl Top {
    fn new() -> Self {
        let mut root = Author::new("VN", 1);
        let genesis = root.seal(Body::Genesis(Genesis {
            node: root.id.clone(),
            unit: root.id.unit(),
            log_public_key: *root.signer.public_key().as_bytes(),
            trust_domain: "test".into(),
        }));
        let directory =
            Arc::new(Directory::found(genesis.clone(), root.signer.public_key().fingerprint()).expect("a genesis"));
        let mut trial = Trial::new(directory, root.head.clone());
        trial.take(&root.log(), genesis.bytes(), None).expect("the genesis");
        root.head = trial.head;
        root.entries.push(genesis.clone());
        let mut directory = trial.directory;
        let rows = [
            ["VN", "VN", "central", ""],
            ["40", "40", "province", "VN"],
            ["420", "420", "district", "40"],
            ["17065", "17065", "commune", "420"],
        ];
        let list = UnitList::from_rows(VERSION, None, rows).expect("a list");
        for part in list.split(10) {
            root.write(&mut directory, Body::UnitsPublished(part));
        }
        Self { root, directory, genesis }
    }

    /// The directory of a node that starts, or joins, and reads these pieces of logs one after the other.
    fn read(&self, pieces: &[(&Author, Range<usize>)]) -> Arc<Directory> {
        let anchor = self.directory.anchor();
        let mut fresh = Arc::new(Directory::found(self.genesis.clone(), anchor).expect("a genesis"));
        let mut heads: BTreeMap<LogId, LogHead> = BTreeMap::new();
        for (author, range) in pieces {
            let mut trial = Trial::new(fresh, heads.remove(&author.log()).unwrap_or_default());
            for entry in author.entries.iter().take(range.end).skip(range.start) {
                trial.take(&author.log(), entry.bytes(), None).expect("what was taken once is taken again");
            }
            fresh = trial.directory;
            heads.insert(author.log(), trial.head);
        }
        fresh
    }
}

#[test]
fn what_a_parent_said_before_its_child_was_taken_over_is_read_in_any_order() {
    let (mut top, mut above, child) = (Top::new(), Author::new("40", 2), Author::new("17065", 3));
    top.root.write(&mut top.directory, above.enrolled());
    above.write(&mut top.directory, child.enrolled());
    // The child's disk is lost, its parent vouches for a new key; then the parent's tier vanishes.
    let next = SoftwareSigner::from_secret(&[4; 32]);
    above.write(&mut top.directory, child.vouched(&next));
    top.root.write(&mut top.directory, child.taken_over(&[(&above, 2)]));
    let mail = LogId::new(above.id.clone(), Stream::Mail(child.id.clone()));

    let Top { root, directory, .. } = &top;
    for directory in [directory, &top.read(&[(root, ALL), (&above, ALL)])] {
        let node = directory.node(&child.id).expect("enrolled");
        assert_eq!((node.parent(), node.key()), (Some(&root.id), next.public_key()));
        check_mail(&mail, &above.id, &child.id, directory).expect("mail of the old parent is still its");
        assert!(!directory.is_above(&above.id, &child.id), "but it is above no longer");
        let ancestry = [&root.id, &above.id, &child.id].map(NodeId::clone);
        assert_eq!(directory.ancestry(&child.id), ancestry, "who joins below the child reads of its new key there");
    }
}

/// A commune below its district below its province, each enrolled by the one above.
struct Tiers {
    top: Top,
    province: Author,
    district: Author,
    commune: Author,
}

impl Tiers {
    /// The commune is not enrolled yet.
    fn begun() -> Self {
        let mut top = Top::new();
        let (mut province, district) = (Author::new("40", 2), Author::new("420", 3));
        top.root.write(&mut top.directory, province.enrolled());
        province.write(&mut top.directory, district.enrolled());
        Self { top, province, district, commune: Author::new("17065", 4) }
    }

    fn new() -> Self {
        let mut tiers = Self::begun();
        tiers.district.write(&mut tiers.top.directory, tiers.commune.enrolled());
        tiers
    }

    /// The commune moved from its district to the province, and the district goes on to speak of it.
    fn moved() -> Self {
        let mut tiers = Self::new();
        let taken_over = tiers.commune.taken_over(&[(&tiers.district, 1)]);
        tiers.province.write(&mut tiers.top.directory, taken_over);
        tiers
    }

    /// What is known of the commune by one that lives through it and by those who read the logs afterwards, in either order: all the same.
    fn known(&self) -> Node {
        let Self { top, province, district, commune } = self;
        let known = |directory: &Directory| directory.node(&commune.id).expect("enrolled").clone();
        let node = known(&top.directory);
        let takeover_first = [(&top.root, ALL), (province, ALL), (district, ALL)];
        let takeover_last = [(&top.root, ALL), (province, 0..1), (district, ALL), (province, 1..usize::MAX)];
        for order in [&takeover_first[..], &takeover_last[..]] {
            assert_eq!(known(&top.read(order)), node);
        }
        node
    }
}

#[test]
fn what_a_former_parent_says_after_its_child_was_taken_over_counts_nowhere() {
    let mut moved = Tiers::moved();
    let forged = SoftwareSigner::from_secret(&[66; 32]);
    let Tiers { top, district, commune, .. } = &mut moved;
    district.write(&mut top.directory, commune.vouched(&forged));
    let revoked = NodeRevoked { node: commune.id.clone(), bounds: Vec::new(), reason: "spite".into() };
    district.write(&mut top.directory, Body::NodeRevoked(revoked));
    let decided = ForkDecided { log: commune.log(), size: 0, root: [0; 32], evidence: None, reason: "spite".into() };
    district.write(&mut top.directory, Body::ForkDecided(decided));
    let node = moved.known();
    assert_eq!((node.key(), node.is_revoked()), (moved.commune.signer.public_key(), false));
    let forged = forged.public_key().fingerprint();
    assert!(
        moved.top.directory.has_key(&moved.commune.id, &forged),
        "who took in an entry with it can still read that"
    );
    assert!(!node.keys().has(&forged));
    assert_eq!(moved.top.directory.fork_decisions(&moved.commune.log()).count(), 0);
}

#[test]
fn a_former_parent_gains_nothing_by_a_node_between_or_by_a_takeover_of_its_own() {
    let mut moved = Tiers::moved();
    let forged = SoftwareSigner::from_secret(&[66; 32]);
    let Tiers { top, district, commune, .. } = &mut moved;
    // As if it took the commune over from itself, having read nothing of anybody.
    let other = Author::new("40", 77);
    district.write(&mut top.directory, commune.taken_over(&[(&other, 0)]));
    district.write(&mut top.directory, commune.vouched(&forged));
    assert_eq!(moved.known().key(), moved.commune.signer.public_key());
}

#[test]
fn the_word_of_a_revoked_parent_ends_where_its_directory_does() {
    let mut tiers = Tiers::new();
    let Tiers { top, province, district, commune } = &mut tiers;
    let losing = |size| top.directory.losing_place(&province.id, size);
    assert_eq!((losing(1), losing(0)), (vec![], vec![district.id.clone(), commune.id.clone()]));
    let (lost, stolen) = (SoftwareSigner::from_secret(&[5; 32]), SoftwareSigner::from_secret(&[66; 32]));
    district.write(&mut top.directory, commune.vouched(&lost));
    district.write(&mut top.directory, commune.vouched(&stolen));
    assert_eq!(top.directory.node(&commune.id).map(Node::key), Some(stolen.public_key()));
    let bounds = vec![(district.log(), 2)];
    let revoked = NodeRevoked { node: district.id.clone(), bounds, reason: "stolen".into() };
    province.write(&mut top.directory, Body::NodeRevoked(revoked));
    assert_eq!(top.directory.node(&commune.id).map(Node::key), Some(lost.public_key()));
}

#[test]
fn what_was_said_below_a_node_that_is_taken_over_ends_too() {
    let mut tiers = Tiers::new();
    let Tiers { top, province, district, commune } = &mut tiers;
    let forged = SoftwareSigner::from_secret(&[66; 32]);
    // The centre takes the district from the province, which then vouches for a key of the district's commune.
    top.root.write(&mut top.directory, district.taken_over(&[(province, 1)]));
    province.write(&mut top.directory, commune.vouched(&forged));
    let key = top.directory.node(&commune.id).map(Node::key).copied();
    assert_eq!(key, Some(*commune.signer.public_key()));
}

#[test]
fn a_key_that_a_node_announced_behind_its_end_is_none_whatever_is_heard_first() {
    let mut tiers = Tiers::begun();
    let Tiers { top, province, district, .. } = &mut tiers;
    let stolen = SoftwareSigner::from_secret(&[66; 32]);
    // Who has its key announces another, and it is revoked before that.
    let from = vec![(district.log(), 1)];
    let rekeyed = NodeRekeyed { node: district.id.clone(), log_public_key: *stolen.public_key().as_bytes(), from };
    let envelope = district.seal_by_both(Body::NodeRekeyed(rekeyed), &stolen);
    let mut trial = Trial::new(top.directory.clone(), district.head.clone());
    trial.take(&district.log(), envelope.bytes(), None).expect("it may be written");
    top.directory = trial.directory;
    assert_eq!(top.directory.node(&district.id).map(Node::key), Some(stolen.public_key()));
    let revoked = NodeRevoked { node: district.id.clone(), bounds: Vec::new(), reason: "stolen".into() };
    province.write(&mut top.directory, Body::NodeRevoked(revoked));
    let key = top.directory.node(&district.id).map(Node::key);
    assert_eq!(key, Some(district.signer.public_key()));
    assert_eq!(top.read(&[(&top.root, ALL), (province, ALL)]).node(&district.id).map(Node::key), key);
}

#[test]
fn who_enrols_a_node_below_its_parent_gets_no_say_about_it() {
    let mut tiers = Tiers::begun();
    let Tiers { top, province, district, commune } = &mut tiers;
    let forged = SoftwareSigner::from_secret(&[66; 32]);
    // The province's own child, which it took over from nobody.
    province.write(&mut top.directory, commune.enrolled());
    district.write(&mut top.directory, commune.enrolled());
    district.write(&mut top.directory, commune.vouched(&forged));
    assert_eq!(top.directory.node(&commune.id).map(Node::key), Some(commune.signer.public_key()));
}

#[test]
fn a_takeover_behind_its_authors_end_ends_nobodys_word() {
    let mut tiers = Tiers::new();
    let Tiers { top, province, district, commune } = &mut tiers;
    let next = SoftwareSigner::from_secret(&[5; 32]);
    district.write(&mut top.directory, commune.vouched(&next));
    // A thief of the province's key unsays what the district said.
    province.write(&mut top.directory, commune.taken_over(&[(district, 0)]));
    assert_eq!(top.directory.node(&commune.id).map(Node::key), Some(commune.signer.public_key()));
    let bounds = vec![(province.log(), 1)];
    let revoked = NodeRevoked { node: province.id.clone(), bounds, reason: "stolen".into() };
    top.root.write(&mut top.directory, Body::NodeRevoked(revoked));
    assert_eq!(top.directory.node(&commune.id).map(Node::key), Some(next.public_key()));
}

#[test]
fn an_enrolment_behind_its_authors_end_makes_no_child_whatever_is_heard_first() {
    let mut tiers = Tiers::new();
    let forged = Author::new("17065", 66);
    let Tiers { top, province, district, commune } = &mut tiers;
    // A thief of the district's key enrols a commune, and one of the province's moves the district's commune to it.
    district.write(&mut top.directory, forged.enrolled());
    province.write(&mut top.directory, commune.taken_over(&[(district, 0)]));
    assert!(!top.directory.node(&forged.id).expect("heard").is_revoked());
    assert_eq!(top.directory.node(&commune.id).and_then(Node::parent), Some(&province.id));
    for (thief, size) in [(&*district, 1), (&*province, 1)] {
        let bounds = vec![(thief.log(), size)];
        let revoked = NodeRevoked { node: thief.id.clone(), bounds, reason: "stolen".into() };
        top.root.write(&mut top.directory, Body::NodeRevoked(revoked));
    }
    let revocations_first = top.read(&[(&top.root, ALL), (&*province, 0..1), (&*district, 0..1)]);
    for directory in [&top.directory, &revocations_first] {
        assert_eq!(directory.node(&commune.id).and_then(Node::parent), Some(&district.id));
        assert!(directory.node(&forged.id).is_none_or(|node| node.valid_size(&forged.log()) == Some(0)));
        assert!(directory.children(&district.id).all(|child| child.id() == &commune.id));
    }
    // Its unit is free for who comes after the thief.
    let mut successor = Author::new("420", 5);
    top.root.write(&mut top.directory, successor.enrolled());
    successor.write(&mut top.directory, forged.enrolled());
    let node = top.directory.node(&forged.id).expect("enrolled");
    assert_eq!((node.parent(), node.is_revoked()), (Some(&successor.id), false));
}

#[test]
fn what_is_said_of_a_node_that_nobody_has_heard_of_yet_is_kept_until_it_is_enrolled() {
    let mut tiers = Tiers::new();
    let next = SoftwareSigner::from_secret(&[5; 32]);
    let Tiers { top, province, commune, .. } = &mut tiers;
    // All three by nodes that did not enrol it: whoever reads the directory logs from the top down hears of it last.
    province.write(&mut top.directory, commune.vouched(&next));
    let decided = ForkDecided { log: commune.log(), size: 0, root: [0; 32], evidence: None, reason: "copy".into() };
    top.root.write(&mut top.directory, Body::ForkDecided(decided));
    let revoked = NodeRevoked { node: commune.id.clone(), bounds: Vec::new(), reason: "stolen".into() };
    top.root.write(&mut top.directory, Body::NodeRevoked(revoked));
    let node = tiers.known();
    assert_eq!((node.key(), node.is_revoked()), (next.public_key(), true));
    let Tiers { top, province, .. } = &tiers;
    let elsewhere = top.read(&[(&top.root, ALL), (province, ALL)]);
    assert!(elsewhere.node(&tiers.commune.id).is_none(), "another branch never hears of it, and reads on");
    assert_eq!(top.directory.fork_decisions(&tiers.commune.log()).count(), 1);
}

#[test]
fn nobody_speaks_of_a_node_beside_or_above() {
    let mut tiers = Tiers::new();
    let Tiers { top, province, district, commune } = &mut tiers;
    let beside = Author::new("420", 77);
    for (author, of) in [(&*district, &beside.id), (district, &province.id), (commune, &district.id)] {
        let revoked = Body::NodeRevoked(NodeRevoked { node: of.clone(), bounds: Vec::new(), reason: "spite".into() });
        let mut trial = Trial::new(top.directory.clone(), author.head.clone());
        let refused = trial.take(&author.log(), author.seal(revoked).bytes(), None).expect_err("not below");
        assert_eq!(refused.reason, Reason::OutOfScope);
    }
}

#[test]
fn who_lost_a_node_and_takes_back_what_is_below_it_has_nothing_once_it_is_revoked() {
    let mut tiers = Tiers::new();
    let forged = SoftwareSigner::from_secret(&[66; 32]);
    let Tiers { top, province, district, commune } = &mut tiers;
    // The centre takes the district over; its former province takes the district's commune. It may have done so in good faith, before it heard of
    // the takeover, and then the commune writes over it: so that stands.
    top.root.write(&mut top.directory, district.taken_over(&[(province, 1)]));
    province.write(&mut top.directory, commune.taken_over(&[(district, 0)]));
    province.write(&mut top.directory, commune.vouched(&forged));
    assert_eq!(top.directory.node(&commune.id).and_then(Node::parent), Some(&province.id));
    let bounds = vec![(province.log(), 1)];
    let revoked = NodeRevoked { node: province.id.clone(), bounds, reason: "not trusted".into() };
    top.root.write(&mut top.directory, Body::NodeRevoked(revoked));
    let node = top.directory.node(&commune.id).expect("enrolled");
    assert_eq!((node.parent(), node.key()), (Some(&district.id), commune.signer.public_key()));
}

#[test]
fn a_child_of_a_revoked_district_may_join_its_successor_with_its_key() {
    let mut tiers = Tiers::new();
    let mut successor = Author::new("420", 5);
    let Tiers { top, province, district, commune } = &mut tiers;
    let bounds = vec![(district.log(), 1)];
    let revoked = NodeRevoked { node: district.id.clone(), bounds, reason: "stolen".into() };
    province.write(&mut top.directory, Body::NodeRevoked(revoked));
    province.write(&mut top.directory, successor.enrolled());
    assert_eq!(top.directory.node(&commune.id).and_then(Node::parent), Some(&district.id), "its enrolment stands");
    successor.write(&mut top.directory, commune.enrolled());
    let before = [(&top.root, ALL), (&*province, ALL), (&*district, ALL), (&successor, ALL)];
    let after = [(&top.root, ALL), (&*province, ALL), (&successor, ALL), (&*district, ALL)];
    for directory in [&top.directory, &top.read(&before), &top.read(&after)] {
        assert_eq!(directory.node(&commune.id).and_then(Node::parent), Some(&successor.id));
    }
}

#[test]
fn of_many_made_up_enrollers_only_those_nearest_the_root_are_asked() {
    let mut tiers = Tiers::begun();
    let Tiers { top, province, commune, .. } = &mut tiers;
    // Each of them enrols the same commune and is revoked, so that the next one may.
    for seed in 0..200 {
        let mut made_up = Author::new("420", 100 + (seed % 100) as u8);
        made_up.signer = SoftwareSigner::from_secret(&std::array::from_fn(|at| if at == 0 { seed as u8 } else { 9 }));
        made_up.id = NodeId::new(&made_up.id.unit(), made_up.signer.public_key().as_bytes());
        province.write(&mut top.directory, made_up.enrolled());
        made_up.write(&mut top.directory, commune.enrolled());
        let bounds = vec![(made_up.log(), 1)];
        let revoked = NodeRevoked { node: made_up.id.clone(), bounds, reason: "made up".into() };
        province.write(&mut top.directory, Body::NodeRevoked(revoked));
    }
    let node = top.directory.node(&commune.id).expect("enrolled");
    assert!(node.has_place() && node.judged.say.len() <= 64 + 2, "{}", node.judged.say.len());
    // The one that is nearest the root is its parent in spite of all of them.
    top.root.write(&mut top.directory, commune.enrolled());
    assert_eq!(top.directory.node(&commune.id).and_then(Node::parent), Some(&top.root.id));
}

#[test]
fn one_node_says_a_bounded_number_of_words_about_another() {
    let mut tiers = Tiers::new();
    let Tiers { top, district, commune, .. } = &mut tiers;
    let vouched = |seed: usize| {
        let secret = std::array::from_fn(|at| (seed >> (8 * (at % 2))) as u8);
        commune.vouched(&SoftwareSigner::from_secret(&secret))
    };
    (0..danso_proto::limits::WORDS_MAX).for_each(|seed| district.write(&mut top.directory, vouched(seed)));
    let mut trial = Trial::new(top.directory.clone(), district.head.clone());
    let refused = trial.take(&district.log(), district.seal(vouched(9_999)).bytes(), None).expect_err("too much");
    assert_eq!(refused.reason, Reason::TooLarge);
    // A child that had it vouch for so many keys can still be revoked.
    let revoked = NodeRevoked { node: commune.id.clone(), bounds: Vec::new(), reason: "stolen".into() };
    district.write(&mut top.directory, Body::NodeRevoked(revoked));
    assert_eq!(top.directory.node(&commune.id).map(Node::is_revoked), Some(true));
}
