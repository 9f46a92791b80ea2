//! Certificates renew themselves, in time and after it.

use std::time::Duration;

use danso_node::clock::Clock as _;
use danso_node::link::LinkState;
use danso_proto::change::{Body, NodeRevoked};
use danso_proto::refusal::Reason;

use crate::bed::{COMMUNE, Child, DAY, Parent};

#[tokio::test]
async fn one_session_outlives_many_certificates() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    child.dial();
    child.connected().await;
    let mut ends = child.status().certificate_ends_ms;
    for round in 0..12 {
        // Two thirds of the life are over, and the spread.
        for clock in [&parent.node.clock, &child.node.clock] {
            clock.advance(70 * DAY);
        }
        let renewed = child
            .until("not renewed", |status| (status.certificate_ends_ms > ends).then_some(status.certificate_ends_ms));
        ends = renewed.await;
        assert_eq!(child.status().renewal.unwrap().trouble, None, "round {round}");
        let size = child.write().await;
        parent.holds(&child.records(), size).await;
    }
    let status = child.status();
    assert_eq!((status.state, status.sessions, status.ended), (LinkState::Connected, 1, 0), "not cut in two years");
    // What lies in the file is what is shown: after a restart it is good.
    child.hang_up().await;
    assert_eq!(child.credentials().valid().unwrap().until_ms, ends);
    child.dial();
    child.connected().await;
    assert_eq!(child.status().renewal, None, "nothing to renew");
}

#[tokio::test]
async fn a_certificate_that_is_due_at_the_start_is_renewed_at_the_start() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    let before = child.credentials().valid().unwrap();
    for clock in [&parent.node.clock, &child.node.clock] {
        clock.advance(80 * DAY);
    }
    // Not by the hourly look.
    child.timing.renewal_check = Duration::from_secs(3600);
    child.dial();
    child.until("not renewed", |status| (status.certificate_ends_ms > before.until_ms).then_some(())).await;
    assert_eq!(child.status().sessions, 1, "the certificate was still good enough to connect");
}

#[tokio::test]
async fn expired_while_offline_the_backlog_is_delivered_all_the_same() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    for clock in [&parent.node.clock, &child.node.clock] {
        clock.advance(2 * 365 * DAY);
    }
    let mut size = 0;
    for _ in 0..5 {
        size = child.write().await;
    }
    child.dial();
    parent.holds(&child.records(), size).await;
    let status = child.status();
    assert_eq!(status.renewal.unwrap().trouble, None);
    assert_eq!((status.ended, status.sessions), (0, 1), "in one attempt: no back-off between renewal and session");
    let valid = child.credentials().valid().unwrap();
    assert!(valid.holds(parent.node.clock.now_ms() + 89 * DAY.as_millis() as i64), "written: {valid:?}");
}

#[tokio::test]
async fn a_certificate_that_was_lost_or_garbled_is_got_anew() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    let garbled: [&dyn Fn(&Child); 3] = [
        &|child| std::fs::remove_file(&child.certificate).unwrap(),
        &|child| std::fs::write(&child.certificate, "half a certif").unwrap(),
        // Somebody else's, which does not fit the key.
        &|child| std::fs::copy(parent.node.dir.path().join("ca-cert.pem"), &child.certificate).map(drop).unwrap(),
    ];
    for garble in garbled {
        garble(&child);
        assert_eq!(child.credentials().valid(), None);
        child.dial();
        let size = child.write().await;
        parent.holds(&child.records(), size).await;
        child.hang_up().await;
        assert!(child.credentials().valid().is_some());
    }
}

#[tokio::test]
async fn where_the_certificate_cannot_be_written_it_is_used_and_written_later() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    let dir = child.node.dir.path().join("gone");
    child.certificate = dir.join("link-cert.pem");
    child.dial();
    let failed = child.until("nothing is said", |status| status.renewal.clone()?.trouble).await;
    assert_eq!(failed.reason, Reason::Internal, "{failed}");
    // The attempt after the failure uses it.
    let size = child.write().await;
    parent.holds(&child.records(), size).await;
    std::fs::create_dir(&dir).unwrap();
    child.until("not written", |status| status.renewal.as_ref()?.trouble.is_none().then_some(())).await;
    assert!(child.credentials().valid().is_some());
    assert_eq!(child.status().sessions, 1);
}

#[tokio::test]
async fn a_revoked_node_renews_nothing_and_is_told_so() {
    let parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    let revoked = NodeRevoked { node: child.node.me(), bounds: Vec::new(), reason: "stolen".into() };
    parent.node.publish(vec![(COMMUNE, Body::NodeRevoked(revoked))]).await;
    std::fs::remove_file(&child.certificate).unwrap();
    child.dial();
    let trouble = child.until("nothing is said", |status| status.renewal.clone()?.trouble).await;
    assert_eq!(trouble.reason, Reason::KeyRevoked, "{trouble}");
    child
        .until("the link says why", |status| {
            (status.trouble.as_ref()?.reason == Reason::KeyRevoked && status.state == LinkState::Waiting).then_some(())
        })
        .await;
    assert_eq!(child.status().sessions, 0);
}
