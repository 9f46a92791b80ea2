//! The cube's groups, more of them than are in memory together; and what is found, told when it is about another record.

use danso_core::calendar::Month;
use danso_core::cube::{CubeDelta, CubeKey, Measure};
use danso_core::finding::{FindingKind, Sights};
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};

use super::opened;
use crate::store::{FindingKey, FindingRow, LogRow, Store, Tx};

fn unit() -> UnitCode {
    "17065".parse().expect("a code")
}

/// A death in each of many months, so many times.
fn deaths(months: i32, count: i64) -> CubeDelta {
    let row = |later| {
        let month = Month::from_ymm(202_001).expect("a month").add_months(later);
        let (measure, sex, birth_month) = (Measure::Deaths, None, None);
        (CubeKey { unit: unit(), month, recorded: month, measure, sex, birth_month, detail: 0, other: None }, count)
    };
    (0..months).map(row).collect()
}

async fn counted(store: &Store) -> (i64, u64) {
    let mut tx = store.read("test").await.expect("view");
    let rows = tx.derived().await.expect("digests").rows("cube");
    (tx.cube_total(Measure::Deaths).await.expect("read"), rows)
}

async fn add(store: &Store, delta: &CubeDelta) {
    store.run_tx("test", async |tx: &mut Tx| tx.cube_add(delta).await).await.expect("written");
}

#[tokio::test]
async fn many_groups_are_added_to_some_at_a_time_and_none_is_left_out() {
    let (_dir, store) = opened().await;
    add(&store, &deaths(2_500, 1)).await;
    assert_eq!(counted(&store).await, (2_500, 2_500));
    // Those that are there grow, others begin.
    add(&store, &deaths(2_600, 2)).await;
    assert_eq!(counted(&store).await, (2_500 * 3 + 100 * 2, 2_600));
    add(&store, &deaths(2_600, -2)).await;
    assert_eq!(counted(&store).await, (2_500, 2_500), "of some nothing is left");
    add(&store, &deaths(2_500, -1)).await;
    assert_eq!(counted(&store).await, (0, 0));
}

#[tokio::test]
async fn rows_are_read_from_one_month_to_another_also_within_a_year_that_is_kept_together() {
    let (_dir, store) = opened().await;
    let month = |ymm| Month::from_ymm(ymm).expect("a month");
    let row = |ymm| CubeKey { month: month(ymm), ..deaths(1, 1).iter().next().expect("one").0.clone() };
    let all = [201_811, 201_902, 201_907, 201_912, 202_001, 202_002];
    add(&store, &all.iter().map(|ymm| (row(*ymm), 1)).collect()).await;
    let mut tx = store.read("test").await.expect("view");
    for (first, last, expected) in [
        (None, 201_907, &all[..3]),
        (Some(201_907), 202_001, &all[2..5]),
        (Some(201_903), 201_906, &[]),
        (None, 202_002, &all[..]),
    ] {
        let mut found = Vec::new();
        let take = |key: CubeKey, _| found.push(key.month.ymm());
        tx.cube_read(&[unit()], Measure::Deaths, first.map(month), month(last), take).await.expect("read");
        found.sort_unstable();
        assert_eq!(found, expected, "{first:?} {last}");
    }
}

#[tokio::test]
async fn who_was_not_told_of_a_finding_is_thought_of_again_when_that_changes() {
    let (_dir, store) = opened().await;
    let change = ChangeId::first(7, [0; 6]);
    let key: FindingKey = (change, FindingKind::BirthsClose.code().to_owned());
    let due = async |tx: &mut Tx| Ok::<_, crate::store::Error>(tx.finding_due(9).await?.len());
    let work = async |tx: &mut Tx| {
        let log = LogId::new(NodeId::new(&unit(), &[7; 32]), Stream::Records);
        let pk = tx.log_put(&[&LogRow::new(log)]).await?[0];
        let kind = FindingKind::BirthsClose;
        let (severity, seen) = (kind.severity(), Sights::default());
        let row =
            FindingRow { change, person: None, log: pk, sequence: 0, unit: unit(), kind, severity, other: None, seen };
        tx.finding_add(&[row]).await?;
        tx.finding_follow(&[&key], 1).await?;
        let first = due(tx).await?;
        // It was for another node to tell.
        tx.finding_settle(&[&key], false).await?;
        let settled = due(tx).await?;
        tx.finding_follow(&[&key], 2).await?;
        let again = due(tx).await?;
        tx.finding_settle(&[&key], true).await?;
        tx.finding_follow(&[&key], 3).await?;
        Ok::<_, crate::store::Error>((first, settled, again, due(tx).await?))
    };
    let times = store.run_tx("test", work).await.expect("written");
    assert_eq!(times, (1, 0, 1, 0), "told once, and not again");
}
