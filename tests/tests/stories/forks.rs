//! A log that was cut, and a log with two histories: it stops alone, for good only when its author's own signature says so.

use danso_proto::ids::Stream;
use danso_tests::peer::person;
use danso_tests::process::wait_for;

use crate::refusals_wire::{BAD, Stage, log_at, residents};

#[test]
fn a_log_that_was_cut_or_has_another_history_stops_alone() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let mut directory = peer.author(Stream::Directory);
    let name = log.log.to_string();
    let before = log.clone();
    let first = log.entry(vec![person(BAD, 198_001)]);
    let short = log.clone();
    let second = log.entry(vec![person(BAD, 198_002)]);
    let mut line = peer.session(&[]);
    line.send(&log.package(0, vec![first.clone(), second], true));
    line.durable(&log.log, 2);

    // Shorter than its receipt. The peer's other log is taken meanwhile.
    let mut line = peer.session(&[&short]);
    assert_eq!(line.refused(), (name.clone(), 1, "log_shorter_than_receipt".into()));
    let entry = directory.entry_of_the_future(BAD);
    line.send(&directory.package(0, vec![entry], true));
    line.durable(&directory.log, 1);
    let mut line = peer.session(&[&directory]);
    assert_eq!(line.refused(), (name.clone(), 0, "log_shorter_than_receipt".into()), "not even named");
    assert_eq!(log_at(stage.parent(), &log.log), (2, String::new()), "made whole again, it may go on");
    let mut line = peer.session(&[&log, &directory]);
    let third = log.entry(vec![person(BAD, 198_003)]);
    line.send(&log.package(2, vec![third], true));
    line.durable(&log.log, 3);

    // As long as the receipt says, and not the same.
    let mut twin = before;
    for month in [197_001, 197_002, 197_003] {
        twin.entry(vec![person(BAD, month)]);
    }
    // What a peer only says stops the log for its session: nobody can stop another's log for good without its author's signature.
    let mut unsigned = twin.head();
    unsigned.checkpoint = String::new();
    let mut line = peer.session_with(vec![unsigned, directory.head()]);
    assert_eq!(line.refused(), (name.clone(), 3, "root_differs".into()));
    let entry = directory.entry_of_the_future(BAD);
    line.send(&directory.package(1, vec![entry], true));
    line.durable(&directory.log, 2);
    assert_eq!(log_at(stage.parent(), &log.log), (3, String::new()), "not proven");
    let mut line = peer.session(&[&twin, &directory]);
    assert_eq!(line.refused(), (name.clone(), 3, "root_differs".into()));
    let entry = directory.entry_of_the_future(BAD);
    line.send(&directory.package(2, vec![entry], true));
    line.durable(&directory.log, 3);
    wait_for(
        || "the fork does not show".into(),
        || (log_at(stage.parent(), &log.log) == (3, "root_differs".into())).then_some(()),
    );
    // Until an operator decides, its true history is stopped, too.
    let mut line = peer.session(&[&log, &directory]);
    let fourth = log.entry(vec![person(BAD, 198_004)]);
    line.send(&log.package(3, vec![fourth], true));
    assert_eq!(line.refused(), (name, 3, "log_quarantined".into()));
    assert_eq!(log_at(stage.parent(), &log.log), (3, "root_differs".into()));
    assert_eq!(log_at(stage.parent(), &directory.log), (3, String::new()));
    assert_eq!(residents(stage.parent(), BAD), 3);
    stage.others_go_on();
}
