//! Directories made of real entries: the same entries make the same directory, in whatever order their logs are read.

use std::sync::Arc;

use danso_proto::change::{Body, Change, ForwardingPolicy, Genesis, NodeEnrolled, NodeRekeyed};
use danso_proto::envelope::{Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};

use super::*;
use crate::ledger::{Draft, LogHead, Sealing, Trial, seal};
use crate::units::UnitList;

const VERSION: &str = "vn-2024";

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
        seal(draft, &sealing).expect("it can be sealed").0
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
        })
    }
}

#[test]
fn what_a_parent_said_before_its_child_was_taken_over_is_read_in_any_order() {
    let (mut root, mut above, child) = (Author::new("VN", 1), Author::new("40", 2), Author::new("17065", 3));
    let genesis = root.seal(Body::Genesis(Genesis {
        node: root.id.clone(),
        unit: root.id.unit(),
        log_public_key: *root.signer.public_key().as_bytes(),
        trust_domain: "test".into(),
    }));
    let anchor = root.signer.public_key().fingerprint();
    let founded = || Arc::new(Directory::found(genesis.clone(), anchor).expect("a genesis"));
    let mut directory = founded();
    let mut trial = Trial::new(directory.clone(), root.head.clone());
    trial.take(&root.log(), genesis.bytes(), None).expect("the genesis");
    root.head = trial.head;
    root.entries.push(genesis.clone());
    let rows = [["VN", "VN", "central", ""], ["40", "40", "province", "VN"], ["17065", "17065", "commune", "40"]];
    let list = UnitList::from_rows(VERSION, None, rows).expect("a list");
    for part in list.split(10) {
        root.write(&mut directory, Body::UnitsPublished(part));
    }
    root.write(&mut directory, above.enrolled());
    above.write(&mut directory, child.enrolled());
    // The child's disk is lost, its parent vouches for a new key; then the parent's tier vanishes.
    let next = SoftwareSigner::from_secret(&[4; 32]);
    let vouched =
        NodeRekeyed { node: child.id.clone(), log_public_key: *next.public_key().as_bytes(), from: Vec::new() };
    above.write(&mut directory, Body::NodeRekeyed(vouched));
    root.write(&mut directory, child.enrolled());
    let mail = LogId::new(above.id.clone(), Stream::Mail(child.id.clone()));

    // A node that starts, or joins, reads the root's log first, to its end.
    let mut fresh = founded();
    for author in [&root, &above] {
        let mut trial = Trial::new(fresh, LogHead::default());
        for entry in &author.entries {
            trial.take(&author.log(), entry.bytes(), None).expect("what was taken once is taken again");
        }
        fresh = trial.directory;
    }
    for directory in [&directory, &fresh] {
        let node = directory.node(&child.id).expect("enrolled");
        assert_eq!((node.parent(), node.key()), (Some(&root.id), next.public_key()));
        check_mail(&mail, &above.id, &child.id, directory).expect("mail of the old parent is still its");
        assert!(!directory.is_above(&above.id, &child.id), "but it is above no longer");
        let ancestry = [&root.id, &above.id, &child.id].map(NodeId::clone);
        assert_eq!(directory.ancestry(&child.id), ancestry, "who joins below the child reads of its new key there");
    }
}
