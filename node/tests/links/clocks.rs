//! Wrong clocks: nothing stops for them, and they are told for what they are.

use danso_node::clock::Clock as _;
use danso_node::link::LinkState;
use danso_proto::refusal::Reason;

use crate::bed::{Child, DAY, DAY_MS, NOW, Parent, YEAR_MS};

/// Both directions: the child's clock is wrong, the parent's is.
const WRONG: [i64; 4] = [DAY_MS, NOW - 3 * 3_600_000, NOW + 200 * DAY_MS, NOW + 33 * YEAR_MS];

#[tokio::test]
async fn a_child_with_a_wrong_clock_delivers_and_is_told_that_its_clock_is_wrong() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    for wrong in WRONG {
        child.node.clock.set_ms(wrong);
        let size = child.write().await;
        child.dial();
        parent.holds(&child.records(), size).await;
        child.connected().await;
        let status = child.status();
        assert_eq!(status.renewal, None, "{wrong}: the parent's clock decides, and by it nothing is due");
        let reason = child.reason().unwrap();
        assert_eq!(reason.reason, Reason::ClockSkew, "{wrong}: {reason}");
        assert!((status.skew_ms(&*child.node.clock) - (NOW - wrong)).abs() < 1_000, "{wrong}: {status:?}");
        // The operator sets the clock: the link is up, and well.
        child.node.clock.set_ms(NOW);
        assert_eq!((child.reason(), child.status().sessions), (None, 1));
        child.hang_up().await;
    }
}

#[tokio::test]
async fn a_parent_with_a_wrong_clock_gets_the_backlog_and_nobody_calls_the_certificate_bad() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    for wrong in WRONG {
        // A certificate that is good by a right clock.
        parent.node.clock.set_ms(NOW);
        std::fs::remove_file(&child.certificate).unwrap();
        child.dial();
        child.connected().await;
        child.hang_up().await;
        let before = child.credentials().valid().unwrap();
        assert!(before.holds(NOW));

        parent.node.clock.set_ms(wrong);
        let size = child.write().await;
        child.dial();
        parent.holds(&child.records(), size).await;
        child.connected().await;
        let status = child.status();
        assert_eq!((status.ended, status.sessions), (0, 1), "{wrong}: in one attempt");
        let refused = !before.holds(wrong);
        assert_eq!(refused, status.renewal.is_some(), "{wrong}: renewed if the parent did not take it");
        assert_eq!(child.reason().unwrap().reason, Reason::ClockSkew, "{wrong}");

        // Somebody sets the parent's clock right: its certificates of the wrong time are refused, and healed in the same way.
        child.hang_up().await;
        parent.node.clock.set_ms(NOW);
        let size = child.write().await;
        child.dial();
        parent.holds(&child.records(), size).await;
        child.connected().await;
        assert_eq!(child.reason(), None, "{wrong}: all is well again");
        assert!(child.credentials().valid().unwrap().holds(NOW));
        child.hang_up().await;
    }
}

#[tokio::test]
async fn a_refusal_for_the_clock_alone_is_said_as_skew_while_the_parent_cannot_renew() {
    let mut parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    // Nobody will answer the renewal: the address is a proxy that lets one connection through.
    let proxy = crate::outage::Proxy::before(&parent.address).await;
    proxy.limit(1);
    child.address = proxy.address.clone();
    parent.node.clock.set_ms(NOW + 100 * DAY_MS);
    child.dial();
    let trouble = child.until("nothing is said", |status| {
        status.trouble.clone().filter(|trouble| trouble.reason == Reason::ClockSkew)
    });
    let trouble = trouble.await;
    assert!(trouble.detail.contains("clocks differ"), "{trouble}");
    assert_ne!(child.status().state, LinkState::Connected);
    proxy.limit(u64::MAX);
    child.until("not connected", |status| (status.sessions == 1).then_some(())).await;
    parent.leave().await;
}

#[tokio::test]
async fn when_both_clocks_say_that_it_is_over_it_is_called_expired_and_not_skew() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    for clock in [&parent.node.clock, &child.node.clock] {
        clock.advance(100 * DAY);
    }
    let proxy = crate::outage::Proxy::before(&parent.address).await;
    proxy.limit(1);
    child.address = proxy.address.clone();
    child.dial();
    child
        .until("nothing is said", |status| {
            status.trouble.clone().filter(|trouble| trouble.reason == Reason::CertificateExpired)
        })
        .await;
    proxy.limit(u64::MAX);
    child.connected().await;
    assert_eq!(child.reason(), None);
    assert!(child.node.clock.now_ms() > NOW);
}
