//! The nodes of the vectors, with fixed keys and clocks: central (secret 32 x 01), province (02), district (03), commune (04).

use danso_proto::change::{Body, Change, ChangeSet, ForwardingPolicy, Genesis, NodeEnrolled, PeriodClosed};
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::{CHANGE_SET_TYPE, Envelope, Signer, SoftwareSigner};
use danso_proto::identity::{IdentityPart, PartSet, Salts};
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};
use danso_proto::merkle::{self, Hash};
use danso_proto::proof::ProvenEntry;

pub const CLOCK_MS: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

pub struct Node {
    pub unit: UnitCode,
    pub id: NodeId,
    pub secret: [u8; 32],
    pub key: SoftwareSigner,
}

impl Node {
    pub fn new(unit: &str, secret: u8) -> Self {
        let unit: UnitCode = unit.parse().expect("code");
        let secret = [secret; 32];
        let key = SoftwareSigner::from_secret(&secret);
        Self { id: NodeId::new(&unit, key.public_key().as_bytes()), unit, secret, key }
    }

    pub fn public(&self) -> [u8; 32] {
        *self.key.public_key().as_bytes()
    }

    pub fn log(&self, stream: Stream) -> LogId {
        LogId::new(self.id.clone(), stream)
    }

    pub fn genesis(&self) -> Body {
        Body::Genesis(Genesis {
            node: self.id.clone(),
            unit: self.unit.clone(),
            log_public_key: self.public(),
            trust_domain: "danso.vn".into(),
        })
    }

    pub fn enrolled(&self) -> Body {
        Body::NodeEnrolled(NodeEnrolled {
            node: self.id.clone(),
            unit: self.unit.clone(),
            log_public_key: self.public(),
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        })
    }
}

pub fn central() -> Node {
    Node::new("VN", 1)
}

pub fn province() -> Node {
    Node::new("40", 2)
}

pub fn district() -> Node {
    Node::new("420", 3)
}

pub fn commune() -> Node {
    Node::new("17065", 4)
}

pub fn change(unit: &UnitCode, body: Body) -> Change {
    Change {
        unit: unit.clone(),
        hamlet: String::new(),
        event_date: None,
        reported_on: None,
        identity_commitment: None,
        body,
    }
}

pub fn closed(month: u32) -> Body {
    Body::PeriodClosed(PeriodClosed { month: 202_500 + month })
}

/// A set at `sequence` of a log whose entry before has the leaf hash 32 x aa.
pub fn set(log: LogId, sequence: u64, changes: Vec<Change>) -> ChangeSet {
    ChangeSet {
        log,
        sequence,
        previous: (sequence > 0).then_some([0xaa; 32]),
        recorded_at_ms: CLOCK_MS + sequence as i64,
        units_version: "vn-2024".into(),
        first_id: ChangeId::first(CLOCK_MS as u64 + sequence, [0x0b; 6]),
        changes,
    }
}

pub fn seal(set: &ChangeSet, signers: &[&dyn Signer]) -> Envelope {
    Envelope::seal(CHANGE_SET_TYPE, &set.encode(), signers).expect("sealed")
}

pub fn part(name: &str, birth_date: u32) -> IdentityPart {
    IdentityPart {
        person_ref: "012.3".into(),
        full_name: name.into(),
        birth_date,
        national_id: "040086000123".into(),
        household_no: "012".into(),
        ..Default::default()
    }
}

pub fn parts() -> PartSet {
    let part = |name, date| part(name, date).encode().expect("part");
    PartSet {
        salts: Salts::Seed([0x5e; 32]),
        parts: vec![part("Nguyễn Thị An", 19860204), part("Lò Văn Bình", 19911130), part("Giàng A Páo", 20010000)],
    }
}

/// Four changes, of which the first, the second and the last have an identity part.
pub fn set_with_parts(sequence: u64) -> (ChangeSet, PartSet) {
    let (node, parts) = (commune(), parts());
    let mut set = set(node.log(Stream::Records), sequence, vec![change(&node.unit, closed(1)); 4]);
    for (at, commitment) in [0, 1, 3].into_iter().zip(parts.commitments()) {
        set.changes[at].identity_commitment = commitment;
    }
    (set, parts)
}

/// A log of sets with one change each, chained as they must be.
pub struct Log {
    pub id: LogId,
    pub entries: Vec<Envelope>,
}

impl Log {
    pub fn new(id: LogId) -> Self {
        Self { id, entries: Vec::new() }
    }

    pub fn write(&mut self, node: &Node, body: Body, signers: &[&dyn Signer]) {
        let mut set = set(self.id.clone(), self.entries.len() as u64, vec![change(&node.unit, body)]);
        set.previous = self.entries.last().map(Envelope::leaf_hash);
        self.entries.push(seal(&set, signers));
    }

    pub fn prove(&self, at: usize, signer: &dyn Signer) -> ProvenEntry {
        let leaves: Vec<Hash> = self.entries.iter().map(Envelope::leaf_hash).collect();
        let head = Checkpoint { log: self.id.clone(), size: leaves.len() as u64, root: merkle::root(&leaves) };
        ProvenEntry {
            envelope: self.entries[at].bytes().clone(),
            sequence: at as u64,
            checkpoint: checkpoint::sign(&head, signer).expect("signs"),
            inclusion: merkle::inclusion_proof(&leaves, at).expect("entry is there"),
        }
    }
}

/// A zstd frame (RFC 8878) without compression, so that the vectors do not depend on anybody's compressor: `literal` in raw
/// blocks, then `zeros` zero bytes in RLE blocks of 128 KiB and a rest.
pub fn zstd_frame(literal: &[u8], zeros: usize, declare_size: bool) -> Vec<u8> {
    const BLOCK: usize = 128 * 1024;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    if declare_size {
        // Single segment, 4 bytes of content size.
        frame.push(0b1010_0000);
        frame.extend_from_slice(&((literal.len() + zeros) as u32).to_le_bytes());
    } else {
        // No content size; a window of 128 KiB.
        frame.extend_from_slice(&[0, 7 << 3]);
    }
    let mut blocks: Vec<(u32, usize, &[u8])> = literal.chunks(BLOCK).map(|raw| (0, raw.len(), raw)).collect();
    let full = zeros / BLOCK;
    blocks.extend(std::iter::repeat_n((1, BLOCK, &[0][..]), full));
    if !zeros.is_multiple_of(BLOCK) || blocks.is_empty() {
        blocks.push((1, zeros % BLOCK, &[0]));
    }
    let last = blocks.len() - 1;
    for (i, (kind, size, content)) in blocks.into_iter().enumerate() {
        let header = u32::from(i == last) | (kind << 1) | ((size as u32) << 3);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(content);
    }
    frame
}
