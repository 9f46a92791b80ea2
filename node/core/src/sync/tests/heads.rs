//! Hello, heads and their comparison.

use super::*;

#[test]
fn hello_is_sent_at_once_and_heads_in_chunks_as_the_carrier_takes_them() {
    let mut end = End::new(Role::Parent);
    // Mail to C by ancestors only; so the many are made by many stations below C.
    let nodes: Vec<NodeId> = (0..9_500).map(|n| format!("D{n}-0123456789abcdef").parse().unwrap()).collect();
    end.tree.0.extend(nodes.iter().map(|node| (node.clone(), super::node("C"))));
    let heads = nodes.iter().map(|node| Held {
        head: Head { log: LogId::new(node.clone(), danso_proto::ids::Stream::Records), ..head("C/records", 1, 1) },
        rank: 3,
    });
    let mut out = Vec::new();
    end.session.step(Event::Start { now_ms: NOW, heads: heads.collect() }, &end.tree, &mut out);
    assert!(matches!(&out[0], Action::Send(Frame::Hello(hello)) if hello.heads == 9_500 && hello.clock_ms == NOW));
    assert_eq!(out.len(), OUTBOX_FRAMES, "no more than the carrier has room for");
    while out.len() < 11 {
        let before = out.len();
        end.session.step(Event::Sent, &end.tree, &mut out);
        assert_eq!(out.len(), before + 1);
    }
    let sizes: Vec<usize> = out
        .iter()
        .filter_map(|action| match action {
            Action::Send(Frame::Heads(heads)) => Some(heads.len()),
            _ => None,
        })
        .collect();
    assert_eq!((sizes.len(), sizes[0], sizes[9]), (10, 1_000, 500));
}

#[test]
fn what_does_not_concern_the_link_is_not_shown() {
    let mut end = End::new(Role::Child);
    let out = end.step(Event::Start { now_ms: NOW, heads: vec![held("C/records", 1, 1), held("S/records", 1, 1)] });
    assert_eq!(out[1], Action::Send(Frame::Heads(vec![head("C/records", 1, 1)])));
}

#[test]
fn versions_that_do_not_meet_end_the_link() {
    for (theirs, agreed) in [(1..=1, Some(1)), (1..=9, Some(1)), (2..=3, None)] {
        let mut end = End::new(Role::Child);
        end.step(Event::Start { now_ms: NOW, heads: vec![] });
        let out = end.frame(Frame::Hello(Hello { protocol: theirs, ..hello("P", 0) }));
        assert_eq!(end.session.protocol(), agreed);
        assert_eq!(closed(&out), agreed.is_none().then_some(Reason::ProtocolUnsupported));
        assert_eq!(end.session.is_closed(), agreed.is_none());
    }
    let mut end = End::new(Role::Child);
    end.step(Event::Start { now_ms: NOW, heads: vec![] });
    end.frame(Frame::Hello(Hello { protocol: 2..=3, ..hello("P", 0) }));
    assert_eq!(end.frame(Frame::Hello(hello("P", 0))), vec![], "nothing comes after the end");
}

#[test]
fn skew_is_shown_and_warned_about_but_refuses_nothing() {
    for (skew, warned) in [(0, false), (60_000, false), (-60_001, true), (i64::MAX - NOW, true)] {
        let mut end = End::new(Role::Parent);
        end.step(Event::Start { now_ms: NOW, heads: vec![] });
        let out = end.frame(Frame::Hello(Hello { clock_ms: NOW + skew, ..hello("C", 0) }));
        assert!(matches!(out[0], Action::Greeted { skew_ms, skewed, .. } if skew_ms == skew && skewed == warned));
        assert_eq!((end.session.skew_ms(), end.session.is_closed()), (Some(skew), false));
    }
}

#[test]
fn frames_out_of_order_end_the_link() {
    let start = || {
        let mut end = End::new(Role::Parent);
        end.step(Event::Start { now_ms: NOW, heads: vec![] });
        end
    };
    assert_eq!(closed(&start().frame(Frame::Hello(hello("S", 0)))), Some(Reason::CertificateUnknown));
    assert_eq!(closed(&start().frame(Frame::Heads(vec![]))), Some(Reason::FrameUnexpected));
    assert_eq!(closed(&start().durable("C/records", 0)), Some(Reason::FrameUnexpected));
    let many = limits::HEADS_MAX + 1;
    assert_eq!(closed(&start().frame(Frame::Hello(hello("C", many)))), Some(Reason::TooLarge));
    let after = |heads: usize, frame: Frame| {
        let mut end = start();
        end.frame(Frame::Hello(hello("C", heads)));
        closed(&end.frame(frame))
    };
    assert_eq!(after(0, Frame::Hello(hello("C", 0))), Some(Reason::FrameUnexpected));
    assert_eq!(after(1, Frame::Package(package("C/records", 0, 1))), Some(Reason::FrameUnexpected), "before all heads");
    assert_eq!(after(0, Frame::Heads(vec![head("C/records", 1, 1)])), Some(Reason::FrameUnexpected), "not announced");
    assert_eq!(after(1, Frame::Heads(vec![])), Some(Reason::FrameUnexpected));
    let long = vec![head("C/records", 1, 1); limits::HEADS_PER_FRAME + 1];
    assert_eq!(after(2_000, Frame::Heads(long)), Some(Reason::TooLarge));
    assert_eq!(
        closed(&End::new(Role::Child).frame(Frame::Hello(hello("P", 0)))),
        Some(Reason::Internal),
        "not started"
    );
}

#[test]
fn nothing_of_a_log_goes_before_the_heads_are_complete() {
    let mut end = End::new(Role::Child);
    assert_eq!(loads(&end.step(Event::Start { now_ms: NOW, heads: vec![held("C/records", 2, 1)] })), []);
    assert_eq!(loads(&end.frame(Frame::Hello(hello("P", 2)))), []);
    assert_eq!(loads(&end.frame(Frame::Heads(vec![head("C/records", 1, 1)]))), []);
    let out = end.frame(Frame::Heads(vec![head("P/directory", 1, 1)]));
    assert!(matches!(out[..], [Action::CompareRoot { size: 1, .. }]));
    let out = end.step(Event::RootAt { log: log("C/records"), size: 1, root: Some([1; 32]) });
    assert_eq!(loads(&out), [(log("C/records"), 1)]);
}

#[test]
fn another_root_at_the_same_size_stops_that_log_only() {
    for role in [Role::Child, Role::Parent] {
        let (text, other) = ("C/records", if role == Role::Child { "D/records" } else { "P/directory" });
        let ours = vec![held(text, 3, 1), held(other, 1, 1)];
        let evidence = Head { checkpoint: Some(String::new()), ..head(text, 3, 2) };
        let (mut end, mut out) = End::ready(role, ours, vec![evidence.clone()]);
        if role == Role::Child {
            // Both heads are signed: only who cannot read ours needs more.
            assert_eq!((proofs(&out), refusals(&out)), (vec![(log(text), 3, true)], vec![]));
            out.extend(end.step(Event::LoadedNothing { log: log(text) }));
        }
        assert_eq!(refusals(&out), [(log(text), 3, Reason::RootDiffers)]);
        let ours = (3, [1; 32]);
        let reason = Reason::RootDiffers;
        assert!(out.contains(&Action::Quarantine { log: log(text), reason, ours, theirs: evidence }));
        assert_eq!(loads(&out), [(log(other), 0)]);
        assert_eq!(loads(&end.step(Event::Appended(held(text, 4, 3)))), [], "it stays stopped");
        if role == Role::Parent {
            assert_eq!(end.frame(Frame::Package(package(text, 4, 1))), [], "and nothing of it is taken");
        }
    }
}

#[test]
fn an_author_lays_an_entry_beside_what_nobody_signed() {
    for there in [2, 5] {
        let (mut end, mut out) =
            End::ready(Role::Child, vec![held("C/records", 5, 1)], vec![head("C/records", there, 9)]);
        if there < 5 {
            out = end.step(Event::RootAt { log: log("C/records"), size: there, root: Some([1; 32]) });
        }
        assert_eq!((proofs(&out), refusals(&out)), (vec![(log("C/records"), there, false)], vec![]));
        let out = end.step(Event::Loaded { package: package("C/records", there - 1, 1) });
        let proof = Action::Send(Frame::Package(package("C/records", there - 1, 1)));
        assert_eq!(out.first(), Some(&proof), "{there}: the entry goes first: {out:?}");
        assert_eq!(refusals(&out), [(log("C/records"), there, Reason::RootDiffers)]);
        assert!(loads(&end.step(Event::Appended(held("C/records", 6, 1)))).is_empty(), "nothing more is sent of it");
    }
    // It cannot be read: what was to be said is said.
    let (mut end, _) = End::ready(Role::Child, vec![held("C/records", 5, 1)], vec![head("C/records", 5, 9)]);
    let out = end.step(Event::LoadedNothing { log: log("C/records") });
    assert_eq!(refusals(&out), [(log("C/records"), 5, Reason::RootDiffers)]);
}

#[test]
fn an_author_that_holds_less_of_another_history_lays_an_entry_beside_it_too() {
    let ours = vec![held("C/directory", 1, 1), held("C/records", 2, 1)];
    let theirs = vec![head("C/records", 5, 9)];
    let (mut end, out) = End::ready(Role::Child, ours, theirs);
    assert_eq!(proofs(&out), [], "who signed it may stand in the directory, which is on its way");
    end.step(Event::Loaded { package: package("C/directory", 0, 1) });
    let out = end.durable("C/directory", 1);
    assert_eq!(proofs(&out), [(log("C/records"), 2, true)]);
    let out = end.step(Event::Loaded { package: package("C/records", 1, 1) });
    assert_eq!(out, [Action::Send(Frame::Package(package("C/records", 1, 1)))], "it refuses nothing");
}

#[test]
fn of_a_stopped_log_one_entry_is_weighed_and_no_more() {
    let (mut end, out) = End::ready(Role::Parent, vec![held("C/records", 5, 1)], vec![head("C/records", 5, 9)]);
    assert_eq!(refusals(&out), [(log("C/records"), 5, Reason::RootDiffers)]);
    assert_eq!(end.frame(Frame::Package(package("C/records", 3, 2))), [], "two entries prove no more than one");
    let out = end.frame(Frame::Package(package("C/records", 4, 1)));
    assert_eq!(out, [Action::Commit(package("C/records", 4, 1))]);
    assert_eq!(
        refusals(&end.refuse("C/records", 5, Reason::ReplayDiffers)),
        [(log("C/records"), 5, Reason::ReplayDiffers)]
    );
    assert_eq!(end.frame(Frame::Package(package("C/records", 4, 1))), [], "once is enough");
    assert_eq!(loads(&end.step(Event::Appended(held("C/records", 6, 1)))), []);
}

#[test]
fn a_beginning_that_differs_is_a_fork() {
    let (mut end, _) = End::ready(Role::Child, vec![held("C/records", 5, 1)], vec![head("C/records", 3, 2)]);
    assert_eq!(end.step(Event::Appended(held("C/records", 6, 1))), [], "not before the answer, even when it grows");
    let out = end.step(Event::RootAt { log: log("C/records"), size: 3, root: Some([7; 32]) });
    assert!(matches!(out[0], Action::Quarantine { ours: (6, root), .. } if root == [7; 32]));
    assert_eq!(proofs(&out), [(log("C/records"), 3, false)], "the entry that proves it");
    assert_eq!(
        refusals(&end.step(Event::LoadedNothing { log: log("C/records") })),
        [(log("C/records"), 3, Reason::RootDiffers)]
    );
    assert_eq!(end.step(Event::RootAt { log: log("C/records"), size: 3, root: Some([2; 32]) }), [], "decided once");
}

#[test]
fn a_node_is_told_of_its_own_mail_to_whom_it_knows_no_more() {
    let (_, out) = End::ready(Role::Child, vec![], vec![head("C/mail/X", 2, 1)]);
    assert!(matches!(&out[..], [Action::Behind { ours: 0, theirs, .. }] if theirs.size == 2), "{out:?}");
    let (_, out) = End::ready(Role::Parent, vec![], vec![head("P/mail/X", 2, 1), head("S/mail/X", 2, 1)]);
    assert_eq!(out, [], "a child says nothing about us, and nobody about others");
}

#[test]
fn a_root_that_cannot_be_computed_is_asked_for_again_later() {
    let (mut end, _) = End::ready(Role::Child, vec![held("C/records", 5, 1)], vec![head("C/records", 3, 2)]);
    assert_eq!(end.step(Event::RootAt { log: log("C/records"), size: 3, root: None }), []);
    let out = end.step(Event::Tick { now_ms: NOW + RETRY_MS });
    assert!(matches!(out[..], [Action::CompareRoot { size: 3, .. }]));
}

#[test]
fn an_author_that_shows_less_than_it_had_is_refused() {
    // With a smaller head, and without any.
    for (theirs, size) in [(vec![head("C/records", 2, 2)], 2), (vec![], 0)] {
        let (_, out) = End::ready(Role::Parent, vec![held("C/records", 5, 1), held("D/records", 5, 1)], theirs);
        assert_eq!(refusals(&out), [(log("C/records"), size, Reason::LogShorter)], "D's is only relayed");
        assert!(
            matches!(&out[1], Action::Quarantine { reason: Reason::LogShorter, theirs, .. } if theirs.size == size)
        );
    }
    let (_, out) = End::ready(Role::Child, vec![held("P/mail/C", 5, 1)], vec![]);
    assert_eq!(out, [], "mail that is not named may be out of the parent's sight");
    let (_, out) = End::ready(Role::Child, vec![held("P/directory", 5, 1)], vec![head("P/directory", 1, 1)]);
    assert_eq!(refusals(&out), [(log("P/directory"), 1, Reason::LogShorter)], "a parent, too");
}

#[test]
fn who_is_behind_the_peer_in_its_own_log_is_told() {
    for ours in [vec![held("C/records", 2, 1), held("C/directory", 1, 1)], vec![held("C/directory", 1, 1)]] {
        let size = if ours.len() == 2 { 2 } else { 0 };
        let (mut end, out) = End::ready(Role::Child, ours, vec![head("C/records", 5, 1)]);
        assert!(out.contains(&Action::Behind { log: log("C/records"), ours: size, theirs: head("C/records", 5, 1) }));
        assert_eq!(loads(&out), [(log("C/directory"), 0)], "the others go on");
        end.step(Event::Appended(held("C/records", 7, 1)));
        assert_eq!(end.session.logs[end.session.find(&log("C/records")).unwrap()].stop, Some(log::Stop::Final));
    }
}

#[test]
fn a_relay_that_has_less_catches_up_and_compares_then() {
    let (mut end, out) = End::ready(Role::Child, vec![held("D/records", 2, 1)], vec![head("D/records", 5, 1)]);
    assert_eq!(out, [Action::PeerAhead { log: log("D/records"), ours: 2, theirs: 5 }]);
    assert!(end.session.is_idle());
    assert_eq!(end.step(Event::Appended(held("D/records", 4, 1))), []);
    let out = end.step(Event::Appended(held("D/records", 6, 1)));
    assert_eq!(out, [Action::CompareRoot { log: log("D/records"), size: 5, root: [1; 32] }]);
    let out = end.step(Event::RootAt { log: log("D/records"), size: 5, root: Some([1; 32]) });
    assert_eq!(loads(&out), [(log("D/records"), 5)]);
    // At the same size the roots are compared at once.
    let (mut end, _) = End::ready(Role::Child, vec![], vec![head("D/records", 5, 1)]);
    let out = end.step(Event::Appended(held("D/records", 5, 2)));
    assert_eq!(refusals(&out), [(log("D/records"), 5, Reason::RootDiffers)]);
}

#[test]
fn entries_of_a_bundle_that_overtake_the_authors_heads_are_no_fork() {
    let mut end = End::new(Role::Parent);
    end.step(Event::Start { now_ms: NOW, heads: vec![held("C/records", 2, 2)] });
    end.frame(Frame::Hello(hello("C", 1)));
    // While the child's heads are on their way its third entry comes out of a file.
    end.step(Event::Appended(held("C/records", 3, 3)));
    let mut out = end.frame(Frame::Heads(vec![head("C/records", 2, 2)]));
    out.retain(|action| *action != Action::OwnLogsAgree);
    let compare = Action::CompareRoot { log: log("C/records"), size: 2, root: [2; 32] };
    assert_eq!(out, [compare], "compared, and nobody is accused");
}
