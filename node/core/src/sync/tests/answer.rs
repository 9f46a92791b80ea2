//! Questions, replies and receipts.

use super::*;

fn parent() -> End {
    End::ready(Role::Parent, vec![], vec![]).0
}

fn child() -> End {
    End::ready(Role::Child, vec![], vec![]).0
}

fn question(id: u64) -> Question {
    Question { id, query: Bytes::from_static(b"query"), nonce: [7; 16] }
}

fn reply(id: u64, len: usize, more: bool) -> Frame {
    Frame::Reply(Reply { id, chunk: vec![1; len].into(), more, refusal: None })
}

fn receipt(text: &str, giver: &str, note: &str) -> ForwardedReceipt {
    ForwardedReceipt { log: log(text), giver: node(giver), note: note.into() }
}

#[test]
fn an_answer_travels_in_chunks() {
    let (mut above, mut below) = (parent(), child());
    assert_eq!(above.step(Event::Ask(question(1))), [Action::Send(Frame::Question(question(1)))]);
    assert_eq!(below.frame(Frame::Question(question(1))), [Action::Answer(question(1))]);
    let answer: Vec<u8> = (0..10 * limits::CHUNK_BYTES + 5).map(|n| n as u8).collect();
    let out = below.step(Event::Answered { id: 1, answer: Ok(answer.clone().into()) });
    assert_eq!(out.len(), 11);
    let mut replied = Vec::new();
    for action in out {
        if let Action::Send(frame) = action {
            assert_eq!(replied, []);
            replied = above.frame(frame);
        }
    }
    assert_eq!(replied, [Action::Replied { id: 1, answer: Ok(answer) }]);
}

#[test]
fn replies_wait_for_room_at_the_carrier() {
    let mut below = child();
    below.frame(Frame::Question(question(1)));
    let mut out = Vec::new();
    let answer = Ok(Bytes::from(vec![0; 20 * limits::CHUNK_BYTES]));
    below.session.step(Event::Answered { id: 1, answer }, &below.tree, &mut out);
    assert_eq!(out.len(), OUTBOX_FRAMES);
    below.session.step(Event::Sent, &below.tree, &mut out);
    assert_eq!(out.len(), OUTBOX_FRAMES + 1);
}

#[test]
fn a_refused_or_impossible_answer_is_a_refusal() {
    let (mut above, mut below) = (parent(), child());
    let too_long = Bytes::from(vec![0; limits::ANSWER_BYTES_MAX + 1]);
    let refused = Refusal::new(Reason::QueryInvalid, "what?");
    let cases =
        [(Err(refused), Reason::QueryInvalid), (Ok(Bytes::new()), Reason::Internal), (Ok(too_long), Reason::TooLarge)];
    for (id, (answer, reason)) in (1..).zip(cases) {
        above.step(Event::Ask(question(id)));
        below.frame(Frame::Question(question(id)));
        let out = below.step(Event::Answered { id, answer });
        let [Action::Send(frame)] = &out[..] else { panic!("{out:?}") };
        let out = above.frame(frame.clone());
        assert!(matches!(&out[..], [Action::Replied { answer: Err(refusal), .. }] if refusal.reason == reason));
    }
    assert_eq!(below.step(Event::Answered { id: 1, answer: Ok(Bytes::from_static(b"x")) }), [], "answered once");
}

#[test]
fn replies_are_bounded_and_unknown_ones_ignored() {
    let mut above = parent();
    assert_eq!(above.frame(reply(9, 10, false)), [], "never asked");
    above.step(Event::Ask(question(1)));
    above.step(Event::Forget { id: 1 });
    assert_eq!(above.frame(reply(1, 10, false)), [], "not waited for any longer");
    for len in [0, limits::CHUNK_BYTES + 1] {
        above.step(Event::Ask(question(2)));
        let out = above.frame(reply(2, len, true));
        assert!(matches!(&out[..], [Action::Replied { answer: Err(r), .. }] if r.reason == Reason::AnswerInvalid));
    }
    above.step(Event::Ask(question(3)));
    for _ in 0..limits::ANSWER_BYTES_MAX / limits::CHUNK_BYTES {
        assert_eq!(above.frame(reply(3, limits::CHUNK_BYTES, true)), []);
    }
    let out = above.frame(reply(3, 1, true));
    assert!(matches!(&out[..], [Action::Replied { answer: Err(r), .. }] if r.reason == Reason::TooLarge));
    assert_eq!(above.frame(reply(3, 1, false)), []);
}

#[test]
fn open_questions_are_bounded() {
    let (mut above, mut below) = (parent(), child());
    for id in 0..16 {
        assert_eq!(above.step(Event::Ask(question(id))).len(), 1);
        assert_eq!(below.frame(Frame::Question(question(id))), [Action::Answer(question(id))]);
    }
    assert!(matches!(&above.step(Event::Ask(question(3)))[..], [Action::Replied { answer: Err(_), .. }]));
    assert!(matches!(&above.step(Event::Ask(question(16)))[..], [Action::Replied { answer: Err(_), .. }]));
    let out = below.frame(Frame::Question(question(16)));
    assert!(matches!(&out[..], [Action::Send(Frame::Reply(Reply { id: 16, refusal: Some(_), .. }))]));
}

#[test]
fn each_side_says_only_what_is_its_to_say() {
    assert_eq!(closed(&parent().frame(Frame::Question(question(1)))), Some(Reason::FrameUnexpected));
    let receipts = vec![receipt("C/records", "C", "note")];
    assert_eq!(closed(&parent().frame(Frame::Receipts(receipts))), Some(Reason::FrameUnexpected));
    assert_eq!(closed(&child().frame(reply(1, 1, false))), Some(Reason::FrameUnexpected));
    let out = child().step(Event::Ask(question(1)));
    assert!(matches!(&out[..], [Action::Replied { answer: Err(_), .. }]));
}

#[test]
fn receipts_go_down_the_latest_of_each_log_and_giver() {
    let out = parent().step(Event::ReceiptsChanged(vec![
        receipt("C/records", "R", "old"),
        receipt("D/records", "P", "D's"),
        receipt("S/records", "R", "not below C"),
        receipt("C/records", "R", "new"),
        receipt("C/records", "S", "no giver above"),
    ]));
    let wanted = vec![receipt("C/records", "R", "new"), receipt("D/records", "P", "D's")];
    assert_eq!(out, [Action::Send(Frame::Receipts(wanted.clone()))]);
    assert_eq!(child().frame(Frame::Receipts(wanted.clone())), [Action::Receipts(wanted)]);
    let foreign = vec![receipt("S/records", "R", ""), receipt("C/records", "D", ""), receipt("P/directory", "R", "")];
    assert_eq!(child().frame(Frame::Receipts(foreign)), []);
    assert_eq!(child().step(Event::ReceiptsChanged(vec![receipt("C/records", "P", "")])), [], "a child gives none");
}

#[test]
fn many_receipts_go_in_frames_of_bounded_size() {
    let mut above = parent();
    let many: Vec<_> = (0..200)
        .map(|n| {
            let node: NodeId = format!("D{n}-0123456789abcdef").parse().unwrap();
            above.tree.0.insert(node.clone(), super::node("C"));
            let log = LogId::new(node, danso_proto::ids::Stream::Records);
            ForwardedReceipt { log, giver: super::node("R"), note: "x".repeat(limits::NOTE_BYTES_MAX) }
        })
        .collect();
    let out = above.step(Event::ReceiptsChanged(many));
    let counts = out.iter().map(|action| match action {
        Action::Send(Frame::Receipts(receipts)) => receipts.len(),
        other => panic!("{other:?}"),
    });
    let counts: Vec<usize> = counts.collect();
    assert!(counts.len() > 6 && counts.iter().sum::<usize>() == 200, "{counts:?}");
    assert!(counts.iter().all(|count| count * limits::NOTE_BYTES_MAX <= limits::CHUNK_BYTES));
}

#[test]
fn receipts_wait_until_the_child_knows_the_givers_new_key() {
    let theirs = vec![head("R/directory", 1, 1), head("C/records", 1, 7)];
    let ours = vec![held("R/directory", 2, 2), held("C/records", 1, 7)];
    let (mut end, _) = End::ready(Role::Parent, ours, theirs);
    let root = [1; 32];
    end.step(Event::RootAt { log: log("R/directory"), size: 1, root: Some(root) });
    let of_root = vec![receipt("C/records", "R", "with R's next key")];
    assert_eq!(end.step(Event::ReceiptsChanged(of_root.clone())), [], "the key stands in the entry that is on its way");
    end.frame(Frame::Package(package("C/records", 1, 1)));
    let committed = Event::Committed { log: log("C/records"), size: 2, root: [8; 32], receipt: Some("ours".into()) };
    let durable = Durable { log: log("C/records"), size: 2, receipt: None };
    assert_eq!(end.step(committed), [Action::Send(Frame::Durable(durable))], "durable is durable; the receipt waits");
    end.step(Event::Loaded { package: package("R/directory", 1, 1) });
    let sent = end.durable("R/directory", 2);
    let wanted = [of_root[0].clone(), receipt("C/records", "P", "ours")];
    let given: Vec<_> = sent
        .into_iter()
        .filter_map(|action| match action {
            Action::Send(Frame::Receipts(receipts)) => Some(receipts),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(given.len(), 2);
    assert!(wanted.iter().all(|wanted| given.contains(wanted)), "{given:?}");
}
