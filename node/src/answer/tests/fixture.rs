//! A province with two districts that have nodes and one that has none, each with a store of what it would hold; for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use danso_core::cube::Batch;
use danso_core::finding::{FindingKind, Sights};
use danso_core::ledger::{Draft, Entry, LogHead, Sealing, append, seal};
use danso_core::register::Intake;
use danso_core::units::{UnitList, UnitLists};
use danso_core::verify::{Directory, verify};
use danso_proto::change::{
    Birth, Body, Change, EventDate, ForwardingPolicy, Genesis, MovedIn, MovedOut, NodeEnrolled, PersonEnrolled,
    Severity, Sex,
};
use danso_proto::envelope::{Signer, SoftwareSigner};
use danso_proto::ids::{ChangeId, Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::pb::query::v1 as pb;

use crate::answer::{Answer, Answers, Query};
use crate::clock::ManualClock;
use crate::keys::Signing;
use crate::store::{FindingRow, LogRow, Store};

/// The time at which everything is written and answered: 1 March 2024.
pub(crate) const NOW_MS: i64 = 1_709_262_000_000;
const VERSION: &str = "vn-test";

pub(crate) fn unit(code: &str) -> UnitCode {
    code.parse().expect("a unit code")
}

/// A node of the federation, and its own store.
pub(crate) struct Member {
    pub(crate) id: NodeId,
    pub(crate) signer: Arc<SoftwareSigner>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
}

impl Member {
    pub(crate) fn answers(&self) -> Answers {
        Answers::new(
            self.store.clone(),
            Arc::new(Signing::new(self.signer.clone())),
            self.id.clone(),
            self.clock.clone(),
        )
    }
}

/// See the module.
pub(crate) struct Federation {
    pub(crate) directory: Arc<Directory>,
    pub(crate) province: Member,
    pub(crate) north: Member,
    pub(crate) south: Member,
    _dir: tempfile::TempDir,
}

fn list() -> UnitList {
    let rows = [
        ["VN", "Việt Nam", "central", ""],
        ["40", "Nghệ An", "province", "VN"],
        ["49", "Quảng Nam", "province", "VN"],
        ["420", "Bắc", "district", "40"],
        ["421", "Nam", "district", "40"],
        ["422", "Tây", "district", "40"],
        ["17001", "Một", "commune", "420"],
        ["17002", "Hai", "commune", "420"],
        ["17101", "Ba", "commune", "421"],
        ["17201", "Bốn", "commune", "422"],
    ];
    UnitList::from_rows(VERSION, None, rows).expect("a list")
}

/// Where logs are written, as their authors do.
struct Scribe {
    heads: BTreeMap<LogId, LogHead>,
    next: u8,
}

impl Scribe {
    fn seal(&mut self, log: &LogId, signer: &dyn Signer, changes: Vec<Change>) -> danso_proto::envelope::Envelope {
        self.next += 1;
        let first_id = ChangeId::first(NOW_MS.unsigned_abs(), [self.next; 6]);
        let parts = vec![None; changes.len()];
        let position = self.heads.entry(log.clone()).or_default().position();
        let with =
            Sealing { log, position, recorded_at_ms: NOW_MS, units_version: VERSION, salt_seed: [0; 32], signer };
        seal(Draft { first_id, changes, parts }, &with).expect("sealed").0
    }

    fn enter(&mut self, envelope: Bytes, log: &LogId, directory: &mut Directory) -> Entry {
        let head = self.heads.entry(log.clone()).or_default();
        let opened = directory.open(envelope, None).expect("opened");
        let verified = verify(opened, directory, &head.position()).expect("verified");
        directory.apply(&verified).expect("applied");
        append(head, verified)
    }

    fn write(&mut self, log: &LogId, signer: &dyn Signer, directory: &mut Directory, changes: Vec<Change>) -> Entry {
        let envelope = self.seal(log, signer, changes);
        self.enter(envelope.bytes().clone(), log, directory)
    }
}

fn change(at: &str, day: Option<u32>, body: Body) -> Change {
    Change {
        unit: unit(at),
        hamlet: String::new(),
        event_date: day.map(EventDate::solar),
        reported_on: day,
        identity_commitment: None,
        body,
    }
}

fn person(at: &str, sex: Sex, birth_month: u32) -> Change {
    let body = PersonEnrolled {
        household: None,
        sex,
        birth_month,
        marital_status: None,
        method: None,
        resident_since: Some(20_200_101),
    };
    change(at, None, Body::PersonEnrolled(body))
}

fn birth(at: &str, sex: Sex, day: u32) -> Change {
    let body = Birth {
        household: None,
        sex,
        birth_month: day / 100,
        mother: None,
        mother_birth_month: Some(200_501),
        birth_order: 3,
        birth_weight_g: 3_100,
        birth_place: None,
    };
    change(at, Some(day), Body::Birth(body))
}

fn moved_out(at: &str, person: ChangeId, to: &str, day: u32) -> Change {
    change(at, Some(day), Body::MovedOut(MovedOut { person, other_unit: Some(unit(to)) }))
}

fn moved_in(at: &str, person: Option<ChangeId>, from: &str, day: u32) -> Change {
    let body =
        MovedIn { person, household: None, sex: Sex::Female, birth_month: 199_003, other_unit: Some(unit(from)) };
    change(at, Some(day), Body::MovedIn(body))
}

/// Puts entries where the pipeline would, as one batch; the sums of units above are kept for `lists`.
async fn fill(store: &Store, entries: &[(&Entry, &LogHead)], lists: &[&UnitList]) {
    let mut intake = Intake::default();
    entries.iter().for_each(|(entry, _)| intake.take(entry));
    let outcome = Batch::new(intake.changes).with_persons([]).with_households([]);
    let rows: BTreeMap<&LogId, LogRow> = entries
        .iter()
        .map(|(entry, head)| {
            let row = LogRow {
                pk: 0,
                log: entry.log().clone(),
                head: (*head).clone(),
                checkpoint: None,
                recorded_at_ms: entry.change_set().recorded_at_ms,
                committed_at_ms: NOW_MS,
                trouble: None,
            };
            (entry.log(), row)
        })
        .collect();
    // One finding about each commune: the code's digits make the id.
    let finding = |unit: UnitCode, log| FindingRow {
        change: ChangeId::first(unit.as_str().parse().expect("digits"), [0; 6]),
        person: None,
        log,
        sequence: 0,
        unit,
        kind: FindingKind::NotResident,
        severity: Severity::Error,
        other: None,
        seen: Sights::default(),
    };
    let found: Vec<UnitCode> = entries.iter().map(|(entry, _)| entry.change_set().changes[0].unit.clone()).collect();
    store
        .run_tx("fill", async |tx| {
            let pks = tx.log_put(&rows.values().collect::<Vec<_>>()).await?;
            tx.cube_add(&outcome.delta).await?;
            tx.rollup_lists_put(&lists.iter().map(|list| list.version()).collect::<Vec<_>>()).await?;
            tx.rollup_add(danso_core::rollup::spread(&outcome.delta, lists)).await?;
            tx.finding_add(&found.iter().map(|unit| finding(unit.clone(), pks[0])).collect::<Vec<_>>()).await?;
            Ok::<_, crate::store::Error>(())
        })
        .await
        .expect("filled");
}

impl Federation {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let signers: Vec<Arc<SoftwareSigner>> =
            (1..=4).map(|n| Arc::new(SoftwareSigner::from_secret(&[n; 32]))).collect();
        let [root, province, north, south] =
            ["VN", "40", "420", "421"].map(|code| (unit(code), code)).map(|(unit, code)| {
                let n = ["VN", "40", "420", "421"].iter().position(|c| *c == code).expect("one of them");
                NodeId::new(&unit, signers[n].public_key().as_bytes())
            });
        let mut scribe = Scribe { heads: BTreeMap::new(), next: 0 };

        let log = LogId::new(root.clone(), Stream::Directory);
        let genesis = Genesis {
            node: root.clone(),
            unit: unit("VN"),
            log_public_key: *signers[0].public_key().as_bytes(),
            trust_domain: "danso.test".into(),
        };
        let genesis = scribe.seal(&log, &*signers[0], vec![change("VN", None, Body::Genesis(genesis))]);
        let anchor = Fingerprint::of_key(signers[0].public_key().as_bytes());
        let mut directory = Directory::found(genesis.clone(), anchor).expect("founded");
        scribe.enter(genesis.bytes().clone(), &log, &mut directory);
        let units = list().split(100).into_iter().map(|part| change("VN", None, Body::UnitsPublished(part))).collect();
        scribe.write(&log, &*signers[0], &mut directory, units);
        let enrolled = |node: &NodeId, n: usize| {
            let body = NodeEnrolled {
                node: node.clone(),
                unit: node.unit(),
                log_public_key: *signers[n].public_key().as_bytes(),
                policy: ForwardingPolicy::Full,
                former: Vec::new(),
            };
            change(node.unit().as_str(), None, Body::NodeEnrolled(body))
        };
        scribe.write(&log, &*signers[0], &mut directory, vec![enrolled(&province, 1)]);
        let log = LogId::new(province.clone(), Stream::Directory);
        scribe.write(&log, &*signers[1], &mut directory, vec![enrolled(&north, 2), enrolled(&south, 3)]);

        let records = |node: &NodeId| LogId::new(node.clone(), Stream::Records);
        let changes = vec![
            person("17001", Sex::Female, 199_003),
            person("17001", Sex::Male, 195_001),
            person("17002", Sex::Female, 200_107),
            person("17002", Sex::Male, 201_502),
            birth("17001", Sex::Female, 20_240_105),
            birth("17002", Sex::Male, 20_240_220),
        ];
        let first = scribe.write(&records(&north), &*signers[2], &mut directory, changes);
        let id = |n| first.change_set().first_id.at(n).expect("an id");
        // One moves to the other district, one inside this one, one to the district without a node.
        let changes = vec![
            moved_out("17001", id(0), "17101", 20_240_110),
            moved_out("17001", id(1), "17002", 20_240_112),
            moved_in("17002", Some(id(1)), "17001", 20_240_112),
            moved_out("17002", id(2), "17201", 20_240_201),
        ];
        let second = scribe.write(&records(&north), &*signers[2], &mut directory, changes);
        let changes = vec![
            person("17101", Sex::Male, 198_011),
            birth("17101", Sex::Male, 20_240_131),
            moved_in("17101", Some(id(0)), "17001", 20_240_110),
            moved_in("17101", None, "49", 20_240_203),
        ];
        let third = scribe.write(&records(&south), &*signers[3], &mut directory, changes);
        let changes = vec![
            person("17201", Sex::Female, 197_006),
            moved_in("17201", Some(id(2)), "17002", 20_240_201),
            birth("17201", Sex::Female, 20_240_202),
        ];
        let fourth = scribe.write(&records(&province), &*signers[1], &mut directory, changes);

        let head = |node: &NodeId| &scribe.heads[&records(node)];
        let at = |entry| match entry {
            1 => (&first, head(&north)),
            2 => (&second, head(&north)),
            3 => (&third, head(&south)),
            _ => (&fourth, head(&province)),
        };
        let mut members = Vec::new();
        for (node, n, entries) in [
            (&province, 1, vec![at(1), at(2), at(3), at(4)]),
            (&north, 2, vec![at(1), at(2)]),
            (&south, 3, vec![at(3)]),
        ] {
            let store = Store::open(&dir.path().join(format!("{n}.db"))).await.expect("a store");
            // One of the children has read no list yet when its records come: it sums up what it has of single units.
            let (list, none) = (list(), []);
            let lists = [&list];
            fill(&store, &entries, if n == 3 { &none } else { &lists }).await;
            let clock = Arc::new(ManualClock::new(NOW_MS));
            members.push(Member { id: node.clone(), signer: signers[n].clone(), store, clock });
        }
        let mut members = members.into_iter();
        let mut next = || members.next().expect("three members");
        let (province, north, south) = (next(), next(), next());
        Self { directory: Arc::new(directory), province, north, south, _dir: dir }
    }

    /// A question about the first months of 2024, with all figures.
    pub(crate) fn ask(&self, unit: &str, by: &str, dimensions: &[&str]) -> pb::Query {
        pb::Query {
            unit: unit.into(),
            by: by.into(),
            from: 202_401,
            to: 202_403,
            dimensions: dimensions.iter().map(ToString::to_string).collect(),
            ..pb::Query::default()
        }
    }

    pub(crate) fn query(&self, unit: &str, by: &str, dimensions: &[&str]) -> Query {
        Query::read(&self.ask(unit, by, dimensions), &self.directory, NOW_MS).expect("a query")
    }

    /// What the tests compare: everything but who was asked.
    pub(crate) fn figures(answer: &Answer) -> (Vec<String>, u64) {
        let cells = answer.cells.iter().map(|cell| {
            format!("{} {} {:?} {:?} {:?} {}", cell.unit, cell.figure, cell.month, cell.sex, cell.age_group, cell.value)
        });
        (cells.collect(), answer.findings)
    }

    /// The list, for those who need another one.
    pub(crate) fn units(&self) -> &UnitLists {
        self.directory.units()
    }
}
