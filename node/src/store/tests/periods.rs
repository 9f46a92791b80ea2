//! Months, arrivals and how many live where, on a file and on a server.

use std::collections::BTreeMap;

use danso_core::calendar::Month;
use danso_core::cube::Measure;
use danso_core::register::PeriodEnd;
use danso_core::rollup::{RollupKey, Run, Span, Sums};
use danso_proto::change::Sex;
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};

use super::cluster::{Cluster, WORD};
use crate::store::{Error, LogRow, Store, Tx};

fn unit(code: &str) -> UnitCode {
    code.parse().expect("a code")
}

fn month(ymm: u32) -> Month {
    Month::from_ymm(ymm).expect("a month")
}

fn end(n: u64, code: &str, at: u32, recorded_at_ms: i64) -> PeriodEnd {
    PeriodEnd { change: ChangeId::first(n, [0; 6]), unit: unit(code), month: month(at), recorded_at_ms }
}

async fn within<T>(store: &Store, work: impl AsyncFnMut(&mut Tx) -> Result<T, Error>) -> T {
    store.run_tx("test", work).await.expect("written")
}

/// Steps of residents of a commune.
fn residents(code: &str, spans: &[(Span, i64)]) -> BTreeMap<RollupKey, Sums> {
    let sum = |(span, count): &(Span, i64)| {
        let run = Run { measure: Measure::Residents, sex: Some(Sex::Male), detail: 0, other: None };
        let mut sums = Sums::default();
        sums.add(run, vec![(Some(month(199_001)), *count)]);
        (RollupKey { list: Box::default(), unit: unit(code), stock: true, span: *span }, sums)
    };
    spans.iter().map(sum).collect()
}

async fn holds(store: &Store) {
    // Whichever comes first: the earliest clock, and of those the lowest id.
    let statements = [end(3, "A", 202_110, 500), end(1, "A", 202_110, 900), end(2, "A", 202_110, 500)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        for at in order {
            let statement = statements[at].clone();
            within(store, async |tx| tx.period_put(std::slice::from_ref(&statement)).await).await;
        }
        let mut tx = store.read("test").await.expect("a view");
        let list = tx.period_list(&[unit("A"), unit("B")], month(202_109), month(202_111)).await.expect("read");
        let closed = |code: &str, at| list.closed_at(&unit(code), month(at));
        assert_eq!((closed("A", 202_109), closed("A", 202_110), closed("A", 202_111)), (None, Some(500), None));
        assert_eq!(closed("B", 202_110), None);
        let others = tx.period_list(&[unit("B")], month(202_109), month(202_111)).await.expect("read");
        assert_eq!(others.closed_at(&unit("A"), month(202_110)), None, "it was not asked for");
        drop(tx);
    }
    within(store, async |tx| tx.period_put(&[statements[1].clone(), end(9, "A", 202_110, 1)]).await).await;
    let list =
        store.read("test").await.expect("a view").period_list(&[unit("A")], month(202_110), month(202_110)).await;
    let closed = list.expect("read").closed_at(&unit("A"), month(202_110));
    assert_eq!(closed, Some(1), "both in one statement");

    // Minutes: a backlog is one row, and a clock that was set back makes nothing earlier than what covers it.
    let row = LogRow::new(LogId::new(NodeId::new(&unit("A"), &[7; 32]), Stream::Records));
    let pk = within(store, async |tx| tx.log_put(&[&row]).await).await[0];
    for (size, now_ms) in [(3, 600_000), (5, 600_900), (9, 720_000), (12, 660_000)] {
        within(store, async |tx| tx.arrival_put(&BTreeMap::from([(pk, size)]), now_ms).await).await;
    }
    let arrivals = store.read("test").await.expect("a view").arrivals(pk).await.expect("read");
    assert_eq!(arrivals, [(5, Some(600_000)), (9, Some(660_000)), (12, Some(660_000))]);
    within(store, async |tx| tx.write("INSERT INTO arrival (log, at_step, size) VALUES ($1, 0, 2)", [pk.into()]).await)
        .await;
    let arrivals = store.read("test").await.expect("a view").arrivals(pk).await.expect("read");
    assert_eq!((arrivals[0], arrivals[1]), ((2, None), (5, Some(600_000))), "what was here before is not told");

    // People: before 2020, a whole year, and months.
    let (before, year) = (Span::Before, Span::Year(2021));
    let in_month = |at| Span::Month(month(at));
    let steps = [(before, 100), (year, 3), (in_month(202_103), 5), (in_month(202_110), -2)];
    within(store, async |tx| tx.rollup_add(residents("A", &steps)).await).await;
    within(store, async |tx| tx.rollup_add(residents("B", &[(before, 7)])).await).await;
    let living = async |at| {
        let mut tx = store.read("test").await.expect("a view");
        let all = tx.population(&[unit("A"), unit("B"), unit("C")], month(at)).await.expect("read");
        [all.get(&unit("A")).copied(), all.get(&unit("B")).copied(), all.get(&unit("C")).copied()]
    };
    assert_eq!(living(201_912).await, [Some(100), Some(7), None]);
    assert_eq!(living(202_102).await, [Some(100), Some(7), None]);
    assert_eq!(living(202_103).await, [Some(105), Some(7), None]);
    assert_eq!(living(202_112).await, [Some(103), Some(7), None]);
    assert_eq!(living(202_201).await, [Some(103), Some(7), None], "the year as a whole");
    assert_eq!(living(201_911).await, [None; 3], "earlier is not told");
    // Whichever way it comes to nothing.
    within(store, async |tx| tx.rollup_add(residents("B", &[(before, -7)])).await).await;
    within(store, async |tx| tx.rollup_add(residents("C", &[(before, -1)])).await).await;
    within(store, async |tx| tx.rollup_add(residents("C", &[(before, 1)])).await).await;
    assert_eq!(living(202_112).await, [Some(103), None, None]);
    let left = within(store, async |tx| tx.number("SELECT COUNT(*) FROM population", []).await).await;
    assert_eq!(left, 4, "nothing is left of what came to nothing");
}

#[tokio::test]
async fn months_are_kept_in_a_file() {
    let (_dir, store) = super::opened().await;
    holds(&store).await;
}

#[tokio::test]
async fn months_are_kept_on_a_server() {
    let cluster = Cluster::start();
    let beside = std::path::Path::new("danso.db");
    let store = Store::open_server(&cluster.address(), None, beside, WORD).await.expect("opened");
    holds(&store).await;
}
