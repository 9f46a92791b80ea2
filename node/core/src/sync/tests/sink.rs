//! What is taken, committed, answered and refused.

use super::*;

fn parent() -> End {
    End::ready(Role::Parent, vec![held("C/records", 3, 1)], vec![head("C/records", 3, 1)]).0
}

#[test]
fn durable_is_said_after_the_commit_and_not_before() {
    let mut end = parent();
    assert_eq!(end.frame(Frame::Package(package("C/records", 3, 2))), [Action::Commit(package("C/records", 3, 2))]);
    let receipt = Some("receipt".to_owned());
    let out = end.step(Event::Committed { log: log("C/records"), size: 5, root: [1; 32], receipt: receipt.clone() });
    assert_eq!(out, [Action::Send(Frame::Durable(Durable { log: log("C/records"), size: 5, receipt }))]);
    assert_eq!(end.committed("C/records", 6), [], "a commit that nobody asked for");
}

#[test]
fn the_peer_hears_of_nothing_that_it_does_not_hold() {
    // It relays D's log and was restored: we have 9 entries, it sends the first again.
    let (mut end, out) = End::ready(Role::Parent, vec![held("D/records", 9, 1)], vec![]);
    assert_eq!(out, []);
    end.frame(Frame::Package(package("D/records", 0, 2)));
    let out = end.step(Event::Committed { log: log("D/records"), size: 9, root: [1; 32], receipt: Some("r".into()) });
    assert_eq!(out, [Action::Send(Frame::Durable(Durable { log: log("D/records"), size: 2, receipt: None }))]);
}

#[test]
fn a_group_commit_answers_each_package_at_its_own_end() {
    let mut end = parent();
    end.frame(Frame::Package(package("C/records", 3, 2)));
    end.frame(Frame::Package(package("C/records", 5, 2)));
    assert_eq!(durables(&end.committed("C/records", 7)), [(log("C/records"), 5)]);
    assert_eq!(durables(&end.committed("C/records", 7)), [(log("C/records"), 7)]);
}

#[test]
fn what_may_not_come_this_way_is_refused_and_the_link_goes_on() {
    let mut end = parent();
    for text in ["S/records", "P/records", "P/directory", "D/mail/C", "X/directory"] {
        let out = end.frame(Frame::Package(package(text, 0, 1)));
        assert_eq!(refusals(&out), [(log(text), 0, Reason::LogNotForLink)], "up: {text}");
    }
    assert_eq!(end.session.logs.len(), 1, "and nothing is kept of it");
    let (mut end, _) = End::ready(Role::Child, vec![], vec![]);
    for text in ["P/records", "C/records", "D/directory", "S/directory", "P/mail/S"] {
        let out = end.frame(Frame::Package(package(text, 0, 1)));
        assert_eq!(refusals(&out), [(log(text), 0, Reason::LogNotForLink)], "down: {text}");
    }
    assert_eq!(end.frame(Frame::Package(package("P/mail/C", 0, 1))).len(), 1);
}

#[test]
fn a_peer_that_sends_and_does_not_read_is_not_read_either() {
    let mut end = parent();
    let mut sent = 0;
    while end.session.has_room() {
        let mut out = Vec::new();
        let event = Event::Frame { frame: Frame::Package(package("S/records", 0, 1)), now_ms: NOW };
        end.session.step(event, &tree(), &mut out);
        assert_eq!(refusals(&out).len(), 1);
        sent += 1;
        assert!(sent <= UNSENT_MAX, "bounded");
    }
    end.session.step(Event::Sent, &tree(), &mut Vec::new());
    assert!(end.session.has_room(), "and goes on when it reads");
}

#[test]
fn a_gap_is_refused_with_what_comes_next() {
    let mut end = parent();
    let out = end.frame(Frame::Package(package("C/records", 4, 1)));
    assert_eq!(refusals(&out), [(log("C/records"), 3, Reason::SequenceGap)]);
    assert_eq!(end.frame(Frame::Package(package("C/records", 5, 1))), [], "it was on its way");
    assert_eq!(end.frame(Frame::Package(package("C/records", 3, 1))).len(), 1, "it begins where we stand");
    end.frame(Frame::Package(package("C/records", 4, 1)));
    let out = end.frame(Frame::Package(package("C/records", 6, 1)));
    assert_eq!(out, [], "what waits is answered first");
    assert_eq!(refusals(&end.committed("C/records", 4)), []);
    assert_eq!(refusals(&end.committed("C/records", 5)), [(log("C/records"), 5, Reason::SequenceGap)]);
}

#[test]
fn entries_that_are_here_go_to_the_pipeline_that_compares_them() {
    let mut end = parent();
    assert_eq!(end.frame(Frame::Package(package("C/records", 0, 2))), [Action::Commit(package("C/records", 0, 2))]);
    assert_eq!(durables(&end.committed("C/records", 3)), [(log("C/records"), 3)], "nothing new, and an answer");
    end.frame(Frame::Package(package("C/records", 1, 2)));
    let out = end.refuse("C/records", 3, Reason::ReplayDiffers);
    assert_eq!(refusals(&out), [(log("C/records"), 3, Reason::ReplayDiffers)]);
}

#[test]
fn packages_out_of_bounds_are_refused() {
    let many = limits::PACKAGE_ENTRIES_MAX + 1;
    for (first, count, reason) in
        [(3, 0, Reason::Malformed), (u64::MAX, 1, Reason::Malformed), (3, many, Reason::TooLarge)]
    {
        let out = parent().frame(Frame::Package(package("C/records", first, count)));
        assert_eq!(refusals(&out), [(log("C/records"), first, reason)]);
    }
}

#[test]
fn a_peer_that_ignores_the_window_is_cut_off() {
    let mut end = parent();
    for n in 0..u64::from(limits::WINDOW_MAX) {
        assert_eq!(end.frame(Frame::Package(package("C/records", 3 + n, 1))).len(), 1);
    }
    assert_eq!(closed(&end.frame(Frame::Package(package("D/records", 0, 1)))), Some(Reason::TooLarge));
}

#[test]
fn a_refusal_of_the_pipeline_drops_what_was_on_its_way_and_takes_a_new_beginning() {
    let mut end = parent();
    end.frame(Frame::Package(package("C/records", 3, 2)));
    end.frame(Frame::Package(package("C/records", 5, 1)));
    // One entry of the first package is good.
    let out = end.refuse("C/records", 4, Reason::SignatureInvalid);
    assert_eq!((durables(&out), refusals(&out)), (vec![(log("C/records"), 4)], vec![]));
    assert_eq!(end.frame(Frame::Package(package("C/records", 6, 1))), []);
    let out = end.refuse("C/records", 4, Reason::SequenceGap);
    assert_eq!(refusals(&out), [(log("C/records"), 4, Reason::SignatureInvalid)], "the first reason, once");
    assert_eq!(end.frame(Frame::Package(package("C/records", 7, 1))), []);
    assert_eq!(end.frame(Frame::Package(package("D/records", 0, 1))).len(), 1, "other logs go on");
    assert_eq!(end.frame(Frame::Package(package("C/records", 4, 1))).len(), 1);
}

#[test]
fn a_log_that_its_source_stopped_is_reported() {
    let mut end = parent();
    let out = end.refused("C/records", 2, Reason::RootDiffers);
    assert!(matches!(&out[..], [Action::RefusedByPeer { sequence: 2, reason: Reason::RootDiffers, again: false, .. }]));
    assert_eq!(end.frame(Frame::Package(package("C/records", 3, 1))), []);
}
