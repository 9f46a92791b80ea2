//! The operator's service, called over a connection, on a pipeline and a store of its own.

mod bed;
mod months;

use std::time::Duration;

use danso_proto::ids::{LogId, Stream};
use danso_proto::merkle;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::proof;
use danso_proto::refusal::{Reason, Refusal};

use crate::clock::Clock as _;
use crate::link::{RefusedFrom, check_child};
use crate::token::Token;
use crate::view::{Shared, View};
use bed::{Bed, NOW_MS, code, reason, run};

const BOOK: &str = "\
unit_code,hamlet,household_no,person_ref,full_name,sex,birth_date,colour
17065,Bản Na,001,001.1,Vi Thị Mai,F,1990-05-01,blue
17065,Bản Na,001,001.2,Lô Văn Nam,M,1988,green
";
const SLIPS: &str = "\
slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref,other_unit_code
P1,17065,001,death,2021-11-03,2021-11-10,001.2,
";

fn counts(summary: &pb::ImportSummary) -> [u64; 6] {
    [summary.rows, summary.taken, summary.unchanged, summary.waiting, summary.refused, summary.released]
}

#[test]
fn a_slip_waits_for_its_person_and_nothing_is_taken_twice() {
    run(async || {
        let mut bed = Bed::root().await;
        let first = bed.import(pb::Form::Changes, false, SLIPS).await;
        assert_eq!(counts(&first.summary), [1, 0, 0, 1, 0, 0]);
        let [waits] = &first.problems[..] else { panic!("one problem") };
        assert_eq!((waits.line, waits.severity(), &*waits.reason), (2, pb::Severity::Waiting, "person_unknown"));
        assert!(
            waits.fields.is_empty() && waits.message.starts_with("Line 2, column “person_ref”"),
            "{}",
            waits.message
        );
        let request = pb::ListWaitingRequest { lang: "en".into() };
        let mut list = bed.admin.list_waiting(request).await.expect("list").into_inner();
        let slip = list.message().await.expect("reads").expect("a slip");
        assert_eq!((&*slip.slip_no, &*slip.person_ref, &*slip.change_type), ("P1", "001.2", "death"));
        assert!(list.message().await.expect("reads").is_none());

        let dry = bed.import(pb::Form::Households, true, BOOK).await;
        assert_eq!((counts(&dry.summary), dry.summary.dry_run), ([2, 2, 0, 0, 0, 1], true));
        assert_eq!(bed.status().await.persons, 0, "a dry run writes nothing");

        let book = bed.import(pb::Form::Households, false, BOOK).await;
        assert_eq!(counts(&book.summary), [2, 2, 0, 0, 0, 1]);
        assert_eq!((book.header.columns.len(), &book.header.ignored[..]), (8, &["colour".to_owned()][..]));
        let status = bed.status().await;
        assert_eq!((status.persons, status.waiting, status.findings), (2, 0, 0));

        for (form, file, rows) in [(pb::Form::Households, BOOK, 2), (pb::Form::Changes, SLIPS, 1)] {
            let again = bed.import(form, false, file).await;
            assert_eq!((counts(&again.summary), again.summary.entries), ([rows, 0, rows, 0, 0, 0], 0));
        }
        assert_eq!(bed.status().await.changes, status.changes);
    });
}

#[test]
fn a_slip_that_is_refused_when_its_time_comes_is_kept_and_told_by_the_import_that_tried() {
    run(async || {
        let mut bed = Bed::root().await;
        let early = SLIPS.replace("2021-11-03", "1980-11-03");
        assert_eq!(counts(&bed.import(pb::Form::Changes, false, &*early).await.summary), [1, 0, 0, 1, 0, 0]);
        for dry_run in [true, false] {
            let book = bed.import(pb::Form::Households, dry_run, BOOK).await;
            assert_eq!((counts(&book.summary), book.summary.slips_refused), ([2, 2, 0, 0, 0, 0], 1), "{dry_run}");
            let [told] = &book.problems[..] else { panic!("one problem: {:?}", book.problems) };
            assert_eq!((told.line, told.severity(), &*told.reason), (0, pb::Severity::Refused, "event_before_birth"));
            assert!(told.fields.is_empty() && told.message.starts_with("Slip P1 of 17065"), "{}", told.message);
        }
        let list = async |bed: &mut Bed| {
            let mut list = bed.admin.list_waiting(pb::ListWaitingRequest::default()).await.expect("list").into_inner();
            list.message().await.expect("reads").map(|slip| (slip.slip_no, slip.reason))
        };
        assert_eq!(list(&mut bed).await, Some(("P1".to_owned(), "event_before_birth".to_owned())), "nothing is lost");
        // Another slip about the person tries again, and finds nothing new.
        let other = SLIPS
            .replace("P1,", "P2,")
            .replace("death,2021-11-03", "move_out,2021-10-01")
            .replace("001.2,", "001.2,17035");
        let other = bed.import(pb::Form::Changes, false, other).await;
        assert_eq!(
            (counts(&other.summary), other.summary.slips_refused),
            ([1, 1, 0, 0, 0, 0], 0),
            "{:?}",
            other.problems
        );
        // What was meant takes its place.
        let corrected = bed.import(pb::Form::Changes, false, SLIPS).await;
        assert_eq!(counts(&corrected.summary), [1, 1, 0, 0, 0, 0], "{:?}", corrected.problems);
        assert_eq!(list(&mut bed).await, None);
    });
}

#[test]
fn a_log_that_the_parent_refuses_is_seen_where_it_was_written() {
    run(async || {
        let root = Bed::root().await;
        let mut bed = root.child("17065", 7).await;
        bed.import(pb::Form::Households, false, BOOK).await;
        let log = LogId::new(bed.pipeline.me().clone(), Stream::Records);
        let refusal = Refusal::new(Reason::OutOfScope, "no");
        bed.link.send_modify(|link| drop(link.refused.insert(log.clone(), RefusedFrom { sequence: 0, refusal })));
        let of_log = |logs: Vec<pb::LogState>| {
            let state = logs.into_iter().find(|state| state.log == log.to_string()).expect("our log");
            (state.reason, state.detail)
        };
        let said = ("out_of_scope".to_owned(), "the parent refuses it from entry 0 on: no".to_owned());
        assert_eq!(of_log(bed.status().await.logs), said);
        let listed = bed.admin.list_logs(pb::ListLogsRequest {}).await.expect("list").into_inner();
        assert_eq!(of_log(listed.logs), said);
        let request = pb::WaitReceiptRequest { tier: String::new(), timeout_ms: 1 };
        let waited = bed.admin.wait_receipt(request.clone()).await.expect("waited").into_inner();
        assert!(!waited.complete);
        assert_eq!((waited.reason, waited.detail), (said.0, format!("{log}: {}", said.1)));
        bed.link.send_modify(|link| link.refused.clear());
        assert_eq!(of_log(bed.status().await.logs), Default::default());
        assert_eq!(bed.admin.wait_receipt(request).await.expect("waited").into_inner().reason, "");
    });
}

#[test]
fn a_node_that_is_stopped_above_or_was_revoked_says_so_at_the_top() {
    run(async || {
        let root = Bed::root().await;
        let mut bed = root.child("17065", 7).await;
        bed.import(pb::Form::Households, false, BOOK).await;
        let log = LogId::new(bed.pipeline.me().clone(), Stream::Records);
        assert_eq!(bed.status().await.reason, "");
        for (reason, said) in [(Reason::DiskFull, ""), (Reason::LogQuarantined, "log_quarantined")] {
            let refusal = Refusal::new(reason, "no");
            bed.link.send_modify(|link| drop(link.refused.insert(log.clone(), RefusedFrom { sequence: 0, refusal })));
            assert_eq!(bed.status().await.reason, said, "what passes is no trouble of this node");
        }
        let told = "17065-x was revoked: of 17065-x/records the first 3 entries counts";
        bed.link.send_modify(|link| link.revoked = Some(Refusal::new(Reason::KeyRevoked, told)));
        let status = bed.status().await;
        assert_eq!(status.reason, "key_revoked");
        assert!(status.detail.starts_with(told), "{}", status.detail);
        // At once: nothing that comes would help.
        let request = pb::WaitReceiptRequest { tier: String::new(), timeout_ms: 3_600_000 };
        let waited = bed.admin.wait_receipt(request).await.expect("waited").into_inner();
        assert_eq!((waited.complete, &*waited.reason), (false, "key_revoked"));
    });
}

#[test]
fn what_cannot_be_taken_comes_back_with_its_reason_and_its_fields_in_the_order_of_the_file() {
    run(async || {
        let mut bed = Bed::root().await;
        bed.import(pb::Form::Households, false, BOOK).await;
        let rows = [
            ("S1,99999,001,death,2021-11-03,2021-11-10,001.1,", "unit_unknown"),
            ("S2,17065,001,death,2021-02-30,2021-11-10,001.1,", "date_invalid"),
            ("S3,17065,001,death,2031-01-01,2031-01-02,001.1,", "date_in_future"),
            ("S4,17065,001,death,2021-11-03,2021-11-10,,", "person_missing"),
            ("S5,17065,001,flood,2021-11-03,2021-11-10,001.1,", "change_type_unknown"),
            ("S6,17065,001,move_out,2021-11-03,2021-11-10,001.1,17065", "move_inside_commune"),
            ("P1,17065,001,death,2021-11-03,2021-11-10,001.2,", ""),
            ("P1,17065,001,death,2021-11-04,2021-11-10,001.2,", "row_differs"),
        ];
        let head = "slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref,other_unit_code\n";
        let file = rows.iter().fold(head.to_owned(), |file, (row, _)| file + row + "\n");
        let import = bed.import(pb::Form::Changes, false, file).await;
        assert_eq!(counts(&import.summary), [8, 1, 0, 0, 7, 0]);
        let said: Vec<_> = import.problems.iter().map(|p| (p.line, &*p.reason, p.fields.join(","))).collect();
        let wanted: Vec<_> = (2..).zip(rows).filter(|(_, (_, reason))| !reason.is_empty()).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(line, (row, reason))| (line, reason, row.to_owned())).collect();
        assert_eq!(said, wanted);
        assert!(import.problems.iter().all(|problem| problem.severity() == pb::Severity::Refused));
    });
}

#[test]
fn a_file_that_is_none_is_refused_and_what_came_before_its_fault_stays() {
    run(async || {
        let mut bed = Bed::root().await;
        let cut = format!("{BOOK}17065,Bản Na,002,\"002.1,Vi");
        let files: [(&[u8], &str, u64); 5] = [
            (b"", "file_empty", 0),
            (b"%PDF-1.4", "file_format", 0),
            (b"\xff\xfea\0", "file_encoding", 0),
            (b"unit_code,person_ref\n1,2\n", "column_missing", 0),
            (cut.as_bytes(), "file_truncated", 2),
        ];
        for (file, reason, taken) in files {
            let import = bed.import(pb::Form::Households, false, file).await;
            assert_eq!((&*import.summary.reason, import.summary.taken), (reason, taken));
            assert!(!import.summary.message.is_empty());
        }
        assert_eq!(bed.status().await.persons, 2);
    });
}

#[test]
fn a_call_that_is_no_import_is_refused() {
    run(async || {
        let mut bed = Bed::root().await;
        use pb::import_request::Body;
        let start = |form, lang: &str| Body::Start(pb::ImportStart { form, lang: lang.into(), ..Default::default() });
        for body in [Body::Chunk("a".into()), start(0, "en"), start(1, "fr")] {
            let requests = tokio_stream::iter([pb::ImportRequest { body: Some(body) }]);
            assert_eq!(reason(bed.admin.import(requests).await), "request_invalid");
        }
    });
}

#[test]
fn many_rows_of_one_fault_all_come_back() {
    run(async || {
        let mut bed = Bed::root().await;
        let rows = 20_000;
        let mut file = BOOK.lines().next().expect("header").to_owned();
        (0..rows).for_each(|n| file.push_str(&format!("\n99999,,1,{n},X,F,1990,")));
        let import = bed.import(pb::Form::Households, false, file).await;
        assert_eq!(counts(&import.summary), [rows, 0, 0, 0, rows, 0]);
        let lines = import.problems.iter().map(|problem| problem.line);
        assert!(lines.eq(2..rows + 2) && import.problems.iter().all(|problem| problem.fields.len() == 8));
    });
}

#[test]
fn a_log_is_read_and_each_entry_is_proven_from_the_anchor_alone() {
    run(async || {
        let mut root = Bed::root().await;
        let mut commune = root.child("17065", 1).await;
        commune.import(pb::Form::Households, false, BOOK).await;
        commune.import(pb::Form::Changes, false, SLIPS).await;
        let log = commune.log(Stream::Records);
        commune.deliver(&log, &root).await;
        for bed in [&mut commune, &mut root] {
            let request = pb::ReadLogRequest { log: log.to_string(), from: 0, to: 0 };
            let mut entries = bed.admin.read_log(request).await.expect("reads").into_inner();
            let (mut leaves, mut head) = (Vec::new(), None);
            while let Some(entry) = entries.message().await.expect("goes on") {
                assert_eq!(entry.sequence, leaves.len() as u64);
                leaves.push(merkle::leaf_hash(&entry.envelope));
                head = head.or(Some((entry.head_size, entry.head_root, entry.checkpoint)));
            }
            let (size, root, checkpoint) = head.expect("a head");
            assert_eq!((size, &root[..]), (leaves.len() as u64, &merkle::root(&leaves)[..]));
            assert!(size >= 2 && !checkpoint.is_empty());
            for sequence in 0..size {
                let request = pb::ProveEntryRequest { log: log.to_string(), sequence, receipts: false };
                let file = bed.admin.prove_entry(request).await.expect("proves").into_inner().file;
                let proven = proof::check(&file, &bed.anchor()).expect("checks");
                assert_eq!((&proven.log, proven.sequence, proven.chain.len()), (&log, sequence, 2));
            }
        }
        // The commune has the receipt, so that its proof says where else the entry is.
        let request = pb::ProveEntryRequest { log: log.to_string(), sequence: 0, receipts: false };
        let file = commune.admin.prove_entry(request).await.expect("proves").into_inner().file;
        let proven = proof::check(&file, &commune.anchor()).expect("checks");
        assert_eq!(proven.receipts.iter().map(|(giver, _)| giver).collect::<Vec<_>>(), [root.pipeline.me()]);

        for (log, sequence, why) in [(log.to_string(), 99, "not_found"), ("x".into(), 0, "request_invalid")] {
            assert_eq!(
                reason(commune.admin.prove_entry(pb::ProveEntryRequest { log, sequence, receipts: false }).await),
                why
            );
        }
        let request = pb::ReadLogRequest { log: log.to_string(), from: 99, to: 0 };
        assert_eq!(reason(commune.admin.read_log(request).await), "not_found");
        let listed = commune.admin.list_logs(pb::ListLogsRequest {}).await.expect("lists").into_inner().logs;
        assert!(
            listed.iter().any(|state| state.log == log.to_string() && state.unit == "17065" && state.root.len() == 32)
        );
    });
}

#[test]
fn receipts_are_waited_for() {
    run(async || {
        let mut root = Bed::root().await;
        let mut commune = root.child("17065", 1).await;
        commune.import(pb::Form::Households, false, BOOK).await;
        let wait = |tier: &str, timeout_ms| pb::WaitReceiptRequest { tier: tier.into(), timeout_ms };
        let early = commune.admin.wait_receipt(wait("", 0)).await.expect("answers").into_inner();
        let log = commune.log(Stream::Records);
        assert!(!early.complete);
        assert_eq!(
            (&*early.receipts[0].log, early.receipts[0].size, early.receipts[0].log_size),
            (&*log.to_string(), 0, 1)
        );
        let status = commune.status().await;
        assert_eq!((status.own_entries, status.own_entries_receipted), (1, 0));

        let mut operator = commune.admin.clone();
        let waiting = tokio::spawn(async move { operator.wait_receipt(wait("central", 60_000)).await });
        commune.deliver(&log, &root).await;
        let answer = waiting.await.expect("runs").expect("answers").into_inner();
        assert!(answer.complete);
        let [receipt] = &answer.receipts[..] else { panic!("one receipt") };
        assert_eq!((receipt.size, &*receipt.giver_unit, &*receipt.giver_tier), (1, "VN", "central"));
        assert_eq!(commune.status().await.own_entries_receipted, 1);
        let listed = commune.admin.list_receipts(pb::ListReceiptsRequest::default()).await.expect("lists").into_inner();
        assert_eq!(listed.receipts, answer.receipts);

        let nobody = commune.admin.wait_receipt(wait("district", 0)).await.expect_err("no district above");
        assert!(nobody.message().contains("central"), "{}", nobody.message());
        assert_eq!(reason::<()>(Err(nobody)), "not_found");
        assert_eq!(reason(commune.admin.wait_receipt(wait("hamlet", 0)).await), "request_invalid");
        assert_eq!(reason(root.admin.wait_receipt(wait("", 0)).await), "not_found");
    });
}

#[test]
fn an_invite_is_for_a_unit_below_and_for_a_time() {
    run(async || {
        let mut root = Bed::root().await;
        let ask = |unit: &str, expires_in_s, address: &str| pb::CreateInviteRequest {
            unit: unit.into(),
            expires_in_s,
            address: address.into(),
            ..Default::default()
        };
        let invite = root.admin.create_invite(ask("17065", 0, "")).await.expect("invites").into_inner();
        let token: Token = invite.token.parse().expect("a token");
        assert_eq!((&token.unit, &token.parent, token.anchor), (&code("17065"), root.pipeline.me(), root.anchor()));
        assert_eq!((invite.unit_name.as_str(), token.expires_at_ms), ("Châu Quang", NOW_MS + 7 * 86_400_000));
        assert_eq!(token.address.to_string(), "192.0.2.7:7443");
        for (request, why) in [
            (ask("VN", 0, ""), "unit_not_below"),
            (ask("99999", 0, ""), "unit_unknown"),
            (ask("17 65", 0, ""), "unit_unknown"),
            (ask("17065", 31 * 86_400, ""), "request_invalid"),
            (ask("17065", u64::MAX, ""), "request_invalid"),
            (ask("17065", 0, "0.0.0.0:7443"), "request_invalid"),
            (ask("17065", 0, "nowhere"), "request_invalid"),
        ] {
            assert_eq!(reason(root.admin.create_invite(request).await), why);
        }
        let mut commune = root.child("17065", 1).await;
        assert_eq!(reason(commune.admin.create_invite(ask("17035", 0, "")).await), "unit_not_below");
        let children = root.admin.list_children(pb::ListChildrenRequest {}).await.expect("lists").into_inner().children;
        let [child] = &children[..] else { panic!("one child") };
        assert_eq!((&*child.unit, &*child.unit_name, child.connected), ("17065", "Châu Quang", false));
    });
}

#[test]
fn a_month_is_closed_once_by_its_unit_or_one_above_and_not_before_it_is_over() {
    run(async || {
        let root = Bed::root().await;
        let mut commune = root.child("17065", 1).await;
        let close = |unit: &str, month| pb::ClosePeriodRequest { unit: unit.into(), month };
        let closed = commune.admin.close_period(close("17065", 202_112)).await.expect("closes").into_inner();
        assert_eq!((closed.log.clone(), closed.sequence), (commune.log(Stream::Records).to_string(), 0));
        for (request, why) in [
            (close("17065", 202_201), "date_in_future"),
            (close("17065", 202_202), "date_in_future"),
            (close("17065", 202_113), "date_invalid"),
            (close("17035", 202_112), "unit_not_ours"),
            (close("99999", 202_112), "unit_unknown"),
        ] {
            assert_eq!(reason(commune.admin.close_period(request).await), why);
        }
        commune.clock.advance(Duration::from_secs(32 * 86_400));
        assert!(commune.clock.now_ms() > NOW_MS);
        let later = commune.admin.close_period(close("17065", 202_201)).await.expect("it is over").into_inner();
        assert_eq!((later.sequence, later.already), (1, false));
        let again = commune.admin.close_period(close("17065", 202_112)).await.expect("harmless").into_inner();
        assert_eq!((again.sequence, again.already, &again.log), (0, true, &closed.log), "nothing is written twice");
        assert_eq!(again.closed_at_ms, closed.closed_at_ms);
        assert_eq!(reason(commune.admin.close_period(close("17065", 202_202)).await), "date_in_future");
    });
}

#[test]
fn a_node_whose_directory_says_that_it_was_revoked_takes_no_new_work() {
    run(async || {
        let mut root = Bed::root().await;
        let mut commune = root.child("17065", 1).await;
        let close = || pb::ClosePeriodRequest { unit: "17065".into(), month: 202_112 };
        commune.admin.close_period(close()).await.expect("it may");
        let node = commune.pipeline.me().to_string();
        let revoked = pb::RevokeChildRequest { node, reason: "stolen".into(), ..Default::default() };
        root.admin.revoke_child(revoked).await.expect("revoked");
        commune.receive(root.package(&root.log(Stream::Directory)).await).await;
        assert_eq!(reason(commune.admin.close_period(close()).await), "key_revoked");
        let start = pb::ImportStart { form: pb::Form::Households.into(), lang: "en".into(), ..Default::default() };
        let requests = tokio_stream::iter([pb::ImportRequest { body: Some(pb::import_request::Body::Start(start)) }]);
        assert_eq!(reason(commune.admin.import(requests).await), "key_revoked");
        assert_eq!(commune.status().await.own_entries, 1, "what was written is kept");
    });
}

#[test]
fn a_node_that_lost_its_place_with_its_parent_is_told_who_gives_it_one() {
    run(async || {
        let mut root = Bed::root().await;
        let province = root.child("40", 1).await;
        let mut commune = province.child("17065", 2).await;
        let directory = province.log(Stream::Directory);
        root.receive(province.package(&directory).await).await;
        let bounds = vec![pb::LogBound { log: directory.to_string(), size: 0 }];
        let stolen = province.pipeline.me().to_string();
        let revoked = pb::RevokeChildRequest { node: stolen, reason: "stolen".into(), bounds };
        root.admin.revoke_child(revoked).await.expect("revoked");
        let heard = root.package(&root.log(Stream::Directory)).await;
        commune.receive(heard.clone()).await;
        province.receive(heard).await;
        let close = pb::ClosePeriodRequest { unit: "17065".into(), month: 202_112 };
        assert_eq!(reason(commune.admin.close_period(close).await), "place_lost");
        let lost = commune.pipeline.me();
        let refused = check_child(&province.pipeline.snapshot(), lost).expect_err("let go");
        let status = commune.status().await;
        assert_eq!((refused.reason, &*status.reason), (Reason::PlaceLost, "place_lost"));
        let advice = format!("child invite --node {}", commune.pipeline.me());
        assert!(status.detail.starts_with(&refused.detail) && status.detail.contains(&advice), "{}", status.detail);
        assert!(!status.detail.contains("--again"), "{}", status.detail);
        let ask = |unit: &str, node: String| pb::CreateInviteRequest { unit: unit.into(), node, ..Default::default() };
        let refused = root.admin.create_invite(ask("17065", String::new())).await;
        assert_eq!(reason(refused), "unit_has_node", "a second author, once the first has a place again");
        let lost = commune.pipeline.me().to_string();
        let invite = root.admin.create_invite(ask("", lost.clone())).await.expect("invites").into_inner();
        let token: Token = invite.token.parse().expect("a token");
        assert_eq!(token.node.map(|node| node.to_string()), Some(lost));
    });
}

#[test]
fn people_who_were_taken_in_twice_are_counted_again_only_when_a_log_has_grown() {
    run(async || {
        let mut root = Bed::root().await;
        let mut nodes = [root.child("17065", 1).await, root.child("17065", 2).await];
        let more = BOOK.replace("001", "002");
        let view = View::new(root.store.clone());
        let mut counted = Shared::new();
        for (book, twice) in [(BOOK, 2), (&*more, 4)] {
            for node in &mut nodes {
                node.import(pb::Form::Households, false, book).await;
                node.deliver(&node.log(Stream::Records), &root).await;
            }
            view.count_twice(&counted).await.expect("counted");
            assert_eq!(view.taken_in_twice().first().map_or(0, |(_, twice)| *twice), twice - 2, "nothing grew");
            let snapshot = root.pipeline.snapshot();
            let logs = nodes.iter().map(|node| node.log(Stream::Records));
            counted = [(code("17065"), logs.map(|log| (log.clone(), snapshot.counted(&log))).collect())].into();
            view.count_twice(&counted).await.expect("counted");
            assert_eq!(view.taken_in_twice(), [(code("17065"), twice)]);
            let status = root.status().await;
            assert!(status.detail.contains(&format!("{twice} references")), "{}", status.detail);
        }
    });
}

#[test]
fn a_status_says_where_the_node_stands() {
    run(async || {
        let mut root = Bed::root().await;
        let mut commune = root.child("17065", 1).await;
        let status = root.status().await;
        assert_eq!((&*status.unit, &*status.unit_name, &*status.tier), ("VN", "Việt Nam", "central"));
        assert_eq!((&*status.units_version, status.link()), ("vn-2024", pb::LinkState::None));
        assert_eq!(status.anchor, root.anchor().to_string());
        assert_eq!((status.logs.len(), status.children.len(), &*status.parent_node), (1, 1, ""));
        let status = commune.status().await;
        assert_eq!(
            (&*status.node, &*status.parent_node),
            (commune.pipeline.me().as_str(), root.pipeline.me().as_str())
        );
        assert_eq!((&*status.tier, status.changes), ("commune", 4), "genesis, two parts of the list, the enrolment");
    });
}
