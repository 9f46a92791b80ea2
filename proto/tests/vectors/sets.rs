//! One change of every kind, and the change sets of the vectors.

use danso_proto::change::*;
use danso_proto::ids::{ChangeId, LogId, Stream};
use danso_proto::refusal::Reason;
use prost::Message as _;

use crate::world::*;

type Case = (String, Vec<u8>, Option<Reason>);

/// All kinds, each with every field set.
pub fn bodies() -> Vec<Body> {
    let first = ChangeId::first(CLOCK_MS as u64, [0x0c; 6]);
    let id = |n| first.at(n).expect("small");
    let (other_unit, next) = ("17035".parse().expect("code"), Node::new("17065", 5));
    let whole = |old: &str, new: &str| Succession {
        old_code: old.parse().expect("code"),
        new_code: new.parse().expect("code"),
        whole: true,
        default_target: true,
    };
    let unit = |code: &str, name: &str, tier: &str, parent: Option<&str>| PublishedUnit {
        code: code.parse().expect("code"),
        name: name.into(),
        tier: tier.into(),
        parent: parent.map(|code| code.parse().expect("code")),
    };
    vec![
        Body::PersonEnrolled(PersonEnrolled {
            household: Some(id(1)),
            sex: Sex::Female,
            birth_month: 198602,
            marital_status: Some(MaritalStatus::Married),
            method: Some(Method::Iud),
            resident_since: Some(20100517),
        }),
        Body::Birth(Birth {
            household: Some(id(1)),
            sex: Sex::Male,
            birth_month: 202501,
            mother: Some(id(2)),
            mother_birth_month: Some(198602),
            birth_order: 2,
            birth_weight_g: 3150,
            birth_place: Some(BirthPlace::Facility),
        }),
        Body::Death(Death { person: id(3) }),
        Body::Marriage(Marriage { person: id(4), spouse: Some(id(5)) }),
        Body::Divorce(Divorce { person: id(4), spouse: None }),
        Body::MovedOut(MovedOut { person: id(6), other_unit: Some(other_unit) }),
        Body::MovedIn(MovedIn {
            person: None,
            household: None,
            sex: Sex::Male,
            birth_month: 199100,
            other_unit: Some("40".parse().expect("code")),
        }),
        Body::ContraceptionChanged(ContraceptionChanged {
            person: id(2),
            method: Method::PillCombined,
            method_since: Some(20241201),
        }),
        Body::PersonUpdated(PersonUpdated {
            person: id(2),
            refers_to: Some(id(7)),
            sex: Some(Sex::Female),
            birth_month: Some(198603),
            marital_status: Some(MaritalStatus::Widowed),
            method: Some(Method::None),
            household: Some(NewHousehold::Begun),
            birth_order: Some(1),
            mother_birth_month: Some(196511),
            other_unit: Some(None),
            reason: "ghi nhầm tháng sinh".into(),
        }),
        Body::Retraction(Retraction { person: id(3), refers_to: id(8), reason: "ghi hai lần".into() }),
        Body::PeriodClosed(PeriodClosed { month: 202501 }),
        central().genesis(),
        province().enrolled(),
        Body::NodeRekeyed(NodeRekeyed { node: commune().id, log_public_key: next.public(), from: vec![] }),
        Body::NodeRevoked(NodeRevoked {
            node: commune().id,
            bounds: vec![(commune().log(Stream::Records), 7), (commune().log(Stream::Directory), 1)],
            reason: "mất máy".into(),
        }),
        Body::UnitsPublished(UnitsPublished {
            version: "vn-2025".into(),
            valid_from: Some(20250701),
            part: 0,
            parts: 1,
            digest: [0xd1; 32],
            units: vec![
                unit("VN", "Việt Nam", "central", None),
                unit("40", "Tỉnh Nghệ An", "province", Some("VN")),
                unit("17035", "Xã Quỳ Hợp", "commune", Some("40")),
            ],
        }),
        Body::UnitsReorganised(UnitsReorganised {
            from_version: "vn-2024".into(),
            to_version: "vn-2025".into(),
            successions: vec![whole("17065", "17035")],
        }),
        Body::PolicyPublished(PolicyPublished { min_version: "0.1.0".into() }),
        Body::ForkDecided(ForkDecided {
            log: commune().log(Stream::Records),
            size: 9,
            root: [0xf0; 32],
            evidence: Some([0xe5; 32]),
            reason: "bản ở huyện là đúng".into(),
        }),
        Body::FindingOpened(FindingOpened {
            change: id(9),
            reason: "person_unknown".into(),
            severity: Severity::Error,
            other: None,
            seen: Vec::new(),
        }),
        Body::FindingClosed(FindingClosed { change: id(9), reason: String::new(), note: "đã bổ sung".into() }),
        Body::TransferOffered(TransferOffered { person: id(6), to_unit: "17035".parse().expect("code") }),
        Body::ReceiptForwarded(ReceiptForwarded { log: commune().log(Stream::Records), note: "a note".into() }),
        Body::FindingAnswered(FindingAnswered { change: id(9), code: "not_resident".into(), verdict: Verdict::Right }),
        Body::RulesPublished(RulesPublished {
            units_version: "vn-2024".into(),
            settings: vec![
                RuleSetting {
                    unit: "420".parse().expect("code"),
                    rule: "mother_young".into(),
                    state: Some(true),
                    values: vec![("years".into(), 13)],
                },
                RuleSetting {
                    unit: "17065".parse().expect("code"),
                    rule: "births_close".into(),
                    state: Some(false),
                    values: Vec::new(),
                },
                RuleSetting {
                    unit: "17065".parse().expect("code"),
                    rule: "marriage_young".into(),
                    state: None,
                    values: Vec::new(),
                },
            ],
            reason: "theo chỉ đạo của tỉnh".into(),
        }),
    ]
}

fn log_for(body: &Body) -> LogId {
    let node = commune();
    let streams = [Stream::Records, Stream::Directory, Stream::Mail(province().id)];
    let stream = streams.into_iter().find(|stream| body.belongs_to(stream));
    node.log(stream.expect("every kind has a stream"))
}

/// Good sets of every kind, and broken ones with what is wrong with them.
pub fn cases() -> Vec<Case> {
    let unit = commune().unit;
    let mut cases: Vec<Case> = bodies()
        .into_iter()
        .map(|body| {
            let (name, log) = (body.kind().to_owned(), log_for(&body));
            let mut change = change(&unit, body);
            change.hamlet = "Bản Bắc".into();
            change.event_date = Some(EventDate { solar: 20250103, lunar: Some((20241204, false)) });
            change.reported_on = Some(20250105);
            (name, set(log, 3, vec![change]).encode(), None)
        })
        .collect();
    cases.push((
        "first entry of a log".into(),
        set(log_for(&closed(1)), 0, vec![change(&unit, closed(1))]).encode(),
        None,
    ));
    let rekeyed = NodeRekeyed {
        node: commune().id,
        log_public_key: Node::new("17065", 5).public(),
        from: vec![(commune().log(Stream::Directory), 4), (commune().log(Stream::Records), 7)],
    };
    cases.push((
        "a key with the sizes from which it signs".into(),
        set(commune().log(Stream::Directory), 3, vec![change(&unit, Body::NodeRekeyed(rekeyed))]).encode(),
        None,
    ));
    let id = |n: u8| ChangeId::first(1_736_000_000_000, [n; 6]);
    let doubtful = FindingOpened {
        change: id(9),
        reason: "of_tomorrow".into(),
        severity: Severity::Warning,
        other: Some(id(8)),
        seen: vec![
            Seen { name: "event_date".into(), value: SeenValue::Date(20_250_100) },
            Seen { name: "as_lunar".into(), value: SeenValue::Lunar(20_241_204, false) },
            Seen { name: "age".into(), value: SeenValue::Number(-1) },
            Seen { name: "lives_in".into(), value: SeenValue::Word("17035".into()) },
            Seen { name: "mother".into(), value: SeenValue::Person(id(6)) },
        ],
    };
    let body = Body::FindingOpened(doubtful);
    cases.push((
        "a finding with what was seen".into(),
        set(log_for(&body), 3, vec![change(&unit, body)]).encode(),
        None,
    ));
    let verdict = Verdict::Withdrawn(id(10));
    let body = Body::FindingAnswered(FindingAnswered { change: id(9), code: "not_resident".into(), verdict });
    cases.push(("an answer is withdrawn".into(), set(log_for(&body), 3, vec![change(&unit, body)]).encode(), None));
    cases.push(("some changes with identity".into(), set_with_parts(3).0.encode(), None));
    let many = vec![change(&unit, closed(2)); 40];
    cases.push(("forty changes, ids counting".into(), set(log_for(&closed(1)), 9, many).encode(), None));
    cases.extend(broken());
    cases
}

/// Protobuf bytes of a set that is changed by hand: `replace` takes the place of a field, `add` comes behind.
fn broken() -> Vec<Case> {
    use danso_proto::pb::exchange::v1 as pb;
    let base = set(commune().log(Stream::Records), 3, vec![change(&commune().unit, closed(1))]);
    let base = pb::ChangeSet::decode(&base.encode()[..]).expect("own bytes");
    let case = |name: &str, reason: Reason, edit: &dyn Fn(&mut pb::ChangeSet)| {
        let mut set = base.clone();
        edit(&mut set);
        (name.to_owned(), set.encode_to_vec(), Some(reason))
    };
    let mut unknown = base.clone();
    unknown.changes[0].body = None;
    // Field 99 with a message inside: a kind of the future.
    let mut future = unknown.changes[0].encode_to_vec();
    future.extend_from_slice(&[0x9a, 0x06, 0x02, 0x08, 0x01]);
    let mut with_future = pb::ChangeSet { changes: vec![], ..base.clone() }.encode_to_vec();
    with_future.extend_from_slice(&[7 << 3 | 2, future.len() as u8]);
    with_future.extend_from_slice(&future);
    let later_field = [&base.encode_to_vec()[..], &[0xf8, 0x06, 0x01]].concat();
    vec![
        ("a kind of the future is carried".into(), with_future, None),
        ("a field of the future is skipped".into(), later_field, None),
        case("no changes", Reason::TooLarge, &|s| s.changes.clear()),
        case("1,001 changes", Reason::TooLarge, &|s| s.changes = vec![s.changes[0].clone(); 1001]),
        case("no log", Reason::Malformed, &|s| s.log.clear()),
        case("log of an unknown stream", Reason::Malformed, &|s| s.log = s.log.replace("records", "recordz")),
        case("first entry that names one before", Reason::PreviousHashWrong, &|s| s.sequence = 0),
        case("previous of 31 bytes", Reason::Malformed, &|s| s.previous = vec![1; 31].into()),
        case("first id of another UUID version", Reason::Malformed, &|s| s.first_id = vec![0x40; 16].into()),
        case("ids overflow", Reason::Malformed, &|s| {
            let mut id = s.first_id.to_vec();
            id[12..].fill(0xff);
            s.first_id = id.into();
        }),
        case("a commitment too many", Reason::Malformed, &|s| s.identity_commitments = vec![1; 32].into()),
        case("a commitment missing", Reason::Malformed, &|s| s.changes[0].identity = true),
        case("a change of another stream", Reason::WrongStream, &|s| s.log = s.log.replace("records", "directory")),
        case("no unit", Reason::Malformed, &|s| s.changes[0].unit.clear()),
        case("hamlet of 129 bytes", Reason::TooLarge, &|s| s.changes[0].hamlet = "h".repeat(129)),
        case("month 13", Reason::Malformed, &|s| {
            s.changes[0].body = Some(pb::change::Body::PeriodClosed(pb::PeriodClosed { month: 202513 }));
        }),
        case("person id of 15 bytes", Reason::Malformed, &|s| {
            s.changes[0].body = Some(pb::change::Body::Death(pb::Death { person: vec![7; 15].into() }));
        }),
        ("not protobuf".into(), vec![0xff; 9], Some(Reason::Malformed)),
    ]
}
