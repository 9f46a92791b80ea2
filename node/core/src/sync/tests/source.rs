//! What is sent when, and what answers do to it.

use super::*;

fn child(logs: &[(&str, u64)]) -> (End, Vec<Action>) {
    let (end, mut out) =
        End::ready(Role::Child, logs.iter().map(|(text, size)| held(text, *size, 1)).collect(), vec![]);
    let mut end = end.window(8);
    out.extend(end.step(Event::Tick { now_ms: NOW }));
    (end, out)
}

#[test]
fn directories_rank_by_rank_then_the_rest() {
    let (mut end, out) = child(&[("C/records", 1), ("D/records", 1), ("D/directory", 1), ("C/directory", 2)]);
    assert_eq!(loads(&out), [(log("C/directory"), 0)]);
    let out = end.step(Event::Loaded { package: package("C/directory", 0, 1) });
    assert_eq!(out[0], Action::Send(Frame::Package(package("C/directory", 0, 1))));
    assert_eq!(loads(&out), [(log("C/directory"), 1)]);
    assert_eq!(loads(&end.step(Event::Loaded { package: package("C/directory", 1, 1) })), []);
    assert_eq!(loads(&end.durable("C/directory", 1)), [], "not all of C's directory is there");
    assert_eq!(loads(&end.durable("C/directory", 2)), [(log("D/directory"), 0)]);
    end.step(Event::Loaded { package: package("D/directory", 0, 1) });
    assert_eq!(loads(&end.durable("D/directory", 1)), [(log("C/records"), 0), (log("D/records"), 0)]);
    // A new enrolment goes first again.
    end.step(Event::Appended(held("C/directory", 3, 1)));
    assert_eq!(loads(&end.step(Event::Appended(held("C/records", 9, 1)))), []);

    let ours = ["P/mail/C", "P/directory", "R/directory", "R/mail/D"].map(|text| held(text, 1, 1));
    let (mut end, out) = End::ready(Role::Parent, ours.into(), vec![]);
    assert_eq!(loads(&out), [(log("R/directory"), 0)]);
    end.step(Event::Loaded { package: package("R/directory", 0, 1) });
    assert_eq!(loads(&end.durable("R/directory", 1)), [(log("P/directory"), 0)]);
    end.step(Event::Loaded { package: package("P/directory", 0, 1) });
    assert_eq!(loads(&end.durable("P/directory", 1)), [(log("P/mail/C"), 0), (log("R/mail/D"), 0)]);
}

#[test]
fn logs_of_a_class_take_turns() {
    let ours = vec![held("C/records", 9, 1), held("D/records", 9, 1)];
    let (mut end, out) = End::ready(Role::Child, ours, vec![]);
    assert_eq!(loads(&out), [(log("C/records"), 0)]);
    end.step(Event::Loaded { package: package("C/records", 0, 1) });
    assert_eq!(loads(&end.durable("C/records", 1)), [(log("D/records"), 0), (log("C/records"), 1)]);
}

#[test]
fn the_window_starts_at_one_grows_with_each_answer_and_is_halved_by_a_cut() {
    let (mut end, out) = End::ready(Role::Child, vec![held("C/records", 100, 1)], vec![]);
    assert_eq!((loads(&out).len(), end.session.window(), end.session.window_after_cut()), (1, 1, 1));
    assert_eq!(loads(&end.step(Event::Loaded { package: package("C/records", 0, 1) })), [], "one in flight");
    for acked in 1..40 {
        let mut next = loads(&end.durable("C/records", acked));
        while let Some((_, from)) = next.pop() {
            next = loads(&end.step(Event::Loaded { package: package("C/records", from, 1) }));
        }
        assert_eq!(end.session.window(), (acked as u32 + 1).min(limits::WINDOW_MAX));
        assert_eq!(end.session.in_flight.len(), end.session.window() as usize);
    }
    assert_eq!(end.session.window_after_cut(), limits::WINDOW_MAX / 2);
    assert_eq!(end.session.backlog(), 61);
    end.durable("C/records", 39);
    assert_eq!(end.session.in_flight.len(), limits::WINDOW_MAX as usize, "the same answer again frees nothing");
}

#[test]
fn an_answer_is_cumulative_and_reported_with_its_receipt() {
    let (mut end, _) = child(&[("C/records", 9)]);
    end.step(Event::Loaded { package: package("C/records", 0, 3) });
    end.step(Event::Loaded { package: package("C/records", 3, 3) });
    let receipt = Some("receipt".to_owned());
    let out = end.frame(Frame::Durable(Durable { log: log("C/records"), size: 6, receipt: receipt.clone() }));
    assert_eq!(out[0], Action::Durable { log: log("C/records"), size: 6, receipt });
    assert!(end.session.in_flight.is_empty());
    assert_eq!(end.durable("C/records", 2), [], "an old answer");
}

#[test]
fn an_answer_for_what_is_not_here_stops_that_log() {
    let (mut end, _) = child(&[("C/records", 2), ("D/records", 2)]);
    let out = end.durable("C/records", 3);
    assert_eq!(refusals(&out), [(log("C/records"), 3, Reason::FrameUnexpected)]);
    assert!(!out.iter().any(|action| matches!(action, Action::Durable { .. })), "its receipt is not looked at");
    assert_eq!(end.step(Event::Loaded { package: package("C/records", 0, 1) }), []);
    assert!(matches!(end.step(Event::Loaded { package: package("D/records", 0, 1) })[0], Action::Send(_)));
    // Nor for a log that comes from there.
    assert_eq!(refusals(&end.durable("P/directory", 0)).len(), 1);
    assert!(!end.session.is_closed());
}

#[test]
fn a_refusal_stops_that_log_and_not_the_link() {
    let (mut end, _) = child(&[("C/records", 9), ("D/records", 9)]);
    end.step(Event::Loaded { package: package("C/records", 0, 1) });
    end.step(Event::Loaded { package: package("C/records", 1, 1) });
    let out = end.refused("C/records", 0, Reason::SignatureInvalid);
    assert!(matches!(&out[0], Action::RefusedByPeer { reason: Reason::SignatureInvalid, again: false, .. }));
    assert!(end.session.in_flight.is_empty(), "what is behind it is dropped there");
    assert_eq!(end.step(Event::Loaded { package: package("C/records", 2, 1) }), []);
    end.step(Event::Tick { now_ms: NOW + 100 * RETRY_DIRECTORY_MS });
    assert_eq!(loads(&end.step(Event::Appended(held("C/records", 10, 1)))), []);
    assert_eq!(loads(&end.step(Event::Loaded { package: package("D/records", 0, 1) })), [(log("D/records"), 1)]);
    assert_eq!(end.refused("S/records", 0, Reason::OutOfScope), [], "a log that is not here");
}

#[test]
fn what_wants_a_directory_log_goes_again_after_one() {
    let decided = Reason::LogQuarantined;
    for reason in [Reason::KeyNotEnrolled, Reason::UnitsVersionUnknown, Reason::LogNotForLink, decided] {
        let (mut end, _) = child(&[("C/records", 1)]);
        end.step(Event::Loaded { package: package("C/records", 0, 1) });
        assert!(matches!(end.refused("C/records", 0, reason)[0], Action::RefusedByPeer { again: true, .. }));
        assert_eq!(loads(&end.step(Event::Appended(held("C/directory", 1, 1)))), [(log("C/directory"), 0)]);
        end.step(Event::Loaded { package: package("C/directory", 0, 1) });
        assert_eq!(loads(&end.durable("C/directory", 1)), [(log("C/records"), 0)]);
        // Refused again, and the directory log comes from the other side.
        end.step(Event::Loaded { package: package("C/records", 0, 1) });
        end.refused("C/records", 0, reason);
        end.frame(Frame::Package(package("P/directory", 0, 1)));
        assert_eq!(loads(&end.committed("P/directory", 1)), [(log("C/records"), 0)]);
        // Or neither: then after a long while.
        end.step(Event::Loaded { package: package("C/records", 0, 1) });
        end.refused("C/records", 0, reason);
        assert_eq!(loads(&end.step(Event::Tick { now_ms: NOW + RETRY_MS })), []);
        assert_eq!(loads(&end.step(Event::Tick { now_ms: NOW + RETRY_DIRECTORY_MS })), [(log("C/records"), 0)]);
    }
}

#[test]
fn passing_reasons_pass() {
    for reason in [Reason::Internal, Reason::DiskFull, Reason::ReadOnly, Reason::ShuttingDown, Reason::SequenceGap] {
        let (mut end, _) = child(&[("C/records", 1)]);
        end.step(Event::Loaded { package: package("C/records", 0, 1) });
        end.refused("C/records", 0, reason);
        assert_eq!(loads(&end.step(Event::Tick { now_ms: NOW + RETRY_MS - 1 })), []);
        assert_eq!(loads(&end.step(Event::Tick { now_ms: NOW + RETRY_MS })), [(log("C/records"), 0)]);
    }
}

#[test]
fn a_store_that_gives_nothing_or_the_wrong_thing_is_not_asked_for_ever() {
    let (mut end, _) = child(&[("C/records", 5)]);
    let mut soon = NOW;
    let wrong = [package("C/records", 1, 1), package("C/records", 0, 0), package("C/records", 0, 6)];
    for event in wrong
        .map(|package| Event::Loaded { package })
        .into_iter()
        .chain([Event::LoadedNothing { log: log("C/records") }])
    {
        assert_eq!(end.step(event), []);
        soon += RETRY_MS;
        assert_eq!(loads(&end.step(Event::Tick { now_ms: soon })), [(log("C/records"), 0)]);
    }
    assert_eq!(end.step(Event::Loaded { package: package("D/records", 0, 1) }), [], "not asked for");
}

#[test]
fn a_clock_that_was_put_back_does_not_hold_a_log_for_years() {
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    let (mut end, _) = End::ready(Role::Child, vec![held("C/records", 1, 1)], vec![]);
    let later = NOW + 20 * YEAR_MS;
    end.step(Event::Tick { now_ms: later });
    end.step(Event::Loaded { package: package("C/records", 0, 1) });
    let refused = Refused { log: log("C/records"), sequence: 0, reason: Reason::DiskFull, detail: String::new() };
    end.step(Event::Frame { frame: Frame::Refused(refused), now_ms: later });
    assert_eq!(end.step(Event::Tick { now_ms: later + 1 }), [], "not at once");
    let again = end.step(Event::Tick { now_ms: NOW });
    assert!(matches!(&again[..], [Action::Load { from: 0, .. }]), "{again:?}");
}
