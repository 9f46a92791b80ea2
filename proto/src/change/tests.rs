use super::*;

fn set(changes: Vec<Change>) -> ChangeSet {
    let unit: UnitCode = "17065".parse().expect("code");
    ChangeSet {
        log: LogId::new(NodeId::new(&unit, &[1; 32]), Stream::Records),
        sequence: 3,
        previous: Some([9; 32]),
        recorded_at_ms: 1_700_000_000_000,
        units_version: "vn-2024".into(),
        first_id: ChangeId::first(1_700_000_000_000, [5; 6]),
        changes,
    }
}

fn change(body: Body) -> Change {
    Change {
        unit: "17065".parse().expect("code"),
        hamlet: "Bản Bắc".into(),
        event_date: Some(EventDate { solar: 20210103, lunar: Some((20201120, false)) }),
        reported_on: Some(20210105),
        identity_commitment: Some([7; 32]),
        body,
    }
}

#[test]
fn a_set_reads_back_what_was_written() {
    let person = ChangeId::first(1, [2; 6]);
    let mut plain = change(Body::Death(Death { person }));
    plain.identity_commitment = None;
    let set = set(vec![
        plain,
        change(Body::MovedOut(MovedOut { person, other_unit: Some("17035".parse().expect("code")) })),
        change(Body::PersonUpdated(PersonUpdated {
            person,
            refers_to: Some(person),
            sex: None,
            birth_month: Some(198601),
            marital_status: Some(MaritalStatus::Widowed),
            method: None,
            household: Some(NewHousehold::Begun),
            birth_order: None,
            mother_birth_month: None,
            other_unit: Some(None),
            reason: "nhầm".into(),
        })),
    ]);
    assert_eq!(ChangeSet::decode(&set.encode()), Ok(set));
}

#[test]
fn an_unknown_kind_is_carried_as_unknown() {
    // Field 99, a kind of the future, in an otherwise known change.
    let mut future = change(Body::Unknown).to_pb().encode_to_vec();
    future.extend_from_slice(&[0x9a, 0x06, 0x02, 0x08, 0x01]);
    let known = pb::Change::decode(&future[..]).expect("protobuf skips unknown fields");
    assert_eq!(Body::from_pb(known.body), Ok(Body::Unknown));
}

#[test]
fn a_value_of_the_future_is_carried_as_unknown() {
    let person = ChangeId::first(1, [2; 6]);
    let body = Body::ContraceptionChanged(ContraceptionChanged { person, method: Method::Iud, method_since: None });
    let mut newer = change(body).to_pb();
    if let Some(pb::change::Body::ContraceptionChanged(m)) = &mut newer.body {
        m.method = 99;
    }
    assert_eq!(Body::from_pb(newer.body), Ok(Body::Unknown));
}

#[test]
fn what_a_finding_saw_reads_back_and_what_is_newer_is_left_out() {
    let id = ChangeId::first(1, [2; 6]);
    let seen = |name: &str, value| Seen { name: name.into(), value };
    let opened = FindingOpened {
        change: id,
        reason: "not_resident".into(),
        severity: Severity::Warning,
        other: Some(id),
        seen: vec![
            seen("a", SeenValue::Date(20_210_200)),
            seen("b", SeenValue::Lunar(20_201_120, false)),
            seen("c", SeenValue::Lunar(20_201_120, true)),
            seen("d", SeenValue::Number(-3)),
            seen("e", SeenValue::Word("17065".into())),
            seen("f", SeenValue::Person(id)),
            seen("g", SeenValue::Change(id)),
        ],
    };
    let body = Body::FindingOpened(opened.clone());
    assert_eq!(Body::from_pb(change(body.clone()).to_pb().body), Ok(body));
    let edited = |edit: &dyn Fn(&mut pb::FindingOpened)| {
        let mut message = change(Body::FindingOpened(opened.clone())).to_pb();
        if let Some(pb::change::Body::FindingOpened(m)) = &mut message.body {
            edit(m);
        }
        Body::from_pb(message.body).map_err(|refusal| refusal.reason)
    };
    let read = edited(&|m| {
        m.severity = 99;
        m.seen[0].value = None;
    });
    let Ok(Body::FindingOpened(read)) = read else { panic!("{read:?}") };
    assert_eq!((read.severity, read.seen.len()), (Severity::Error, 6));
    assert_eq!(edited(&|m| m.seen = vec![m.seen[0].clone(); limits::SEEN_MAX + 1]), Err(Reason::TooLarge));
    let withdrawn = FindingAnswered { change: id, code: "not_resident".into(), verdict: Verdict::Withdrawn(id) };
    let body = Body::FindingAnswered(withdrawn.clone());
    assert_eq!(Body::from_pb(change(body.clone()).to_pb().body), Ok(body));
    let mut newer = change(Body::FindingAnswered(withdrawn)).to_pb();
    if let Some(pb::change::Body::FindingAnswered(m)) = &mut newer.body {
        m.verdict = 99;
    }
    assert_eq!(Body::from_pb(newer.body), Ok(Body::Unknown));
}

#[test]
fn wrong_shapes_are_refused_with_their_reason() {
    let person = ChangeId::first(1, [2; 6]);
    let reason = |set: &ChangeSet| ChangeSet::decode(&set.encode()).map(|_| ()).map_err(|r| r.reason);
    assert_eq!(reason(&set(vec![])), Err(Reason::TooLarge));
    assert_eq!(reason(&set(vec![change(Body::Death(Death { person })); 1001])), Err(Reason::TooLarge));
    let mut first = set(vec![change(Body::Death(Death { person }))]);
    first.sequence = 0;
    assert_eq!(reason(&first), Err(Reason::PreviousHashWrong));
    let mut stream = set(vec![change(Body::Death(Death { person }))]);
    stream.log = LogId::new(stream.log.node().clone(), Stream::Directory);
    assert_eq!(reason(&stream), Err(Reason::WrongStream));
    let mut date = set(vec![change(Body::Death(Death { person }))]);
    date.changes[0].event_date = Some(EventDate::solar(20211301));
    assert_eq!(reason(&date), Err(Reason::Malformed));
    assert_eq!(ChangeSet::decode(&[0xff; 40]).map_err(|r| r.reason).err(), Some(Reason::Malformed));
}
