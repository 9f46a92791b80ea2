//! Link certificates in real processes: a short life, so that a story sees them renewed and sees them end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use danso_node::pki;
use danso_proto::refusal::Reason;
use danso_tests::federation::Federation;
use danso_tests::node::Node;
use danso_tests::peer::{Peer, Shows};
use danso_tests::process::{DONE, UNAVAILABLE, wait_for};
use danso_tests::truth::{Plan, Truth};

const COMMUNE: &str = "17065";
const DISTRICT: &str = "420";

/// A federation whose district gives certificates of this life, and no commune yet.
fn with_life(life: &str) -> Federation {
    let mut federation = Federation::central();
    federation.add(DISTRICT);
    let district = federation.node_mut(DISTRICT);
    assert_eq!(district.stop(), DONE);
    district.configure(&format!("[children]\ncertificate_life = \"{life}\"\n"));
    district.run();
    federation
}

#[test]
fn imports_flow_over_many_renewals_and_the_session_is_not_cut() {
    let mut federation = with_life("6s");
    federation.add(COMMUNE);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    let commune = federation.node(COMMUNE);
    let first_over = certificate_end(commune);
    let mut last = ends(commune);
    let files = [("households", truth.households(COMMUNE)), ("changes", truth.changes(COMMUNE))];
    for (form, file) in files {
        commune.import_all(form, &file);
        for _ in 0..2 {
            let renewed = || Some(ends(commune)).filter(|now| *now > last);
            last = wait_for(|| format!("the certificate still ends at {last}"), renewed);
        }
    }
    federation.settle();
    federation.truth_holds(&truth);
    let status = commune.status();
    assert_eq!(status["link"], "connected", "{status}");
    assert_eq!(status["link_sessions"], 1, "a cut among four renewals: {status}");
    assert_eq!(status["renewal_reason"], "", "{status}");
    // By then the first certificate is over: the session that began with it goes on.
    wait_for(|| "time does not pass".into(), || (now_s() > first_over).then_some(()));
    commune.import_all("changes", &truth.changes(COMMUNE));
    assert_eq!(commune.status()["link_sessions"], 1);
}

#[test]
fn a_node_that_was_away_past_its_certificate_delivers_its_backlog() {
    let mut federation = with_life("6s");
    federation.add(COMMUNE);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    let commune = federation.node(COMMUNE);
    commune.import_all("households", &truth.households(COMMUNE));
    commune.import_all("changes", &truth.changes(COMMUNE));
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    let over = certificate_end(federation.node(COMMUNE));
    wait_for(|| "the certificate does not end".into(), || (now_s() > over).then_some(()));
    federation.node_mut(DISTRICT).run();

    // In other hands the certificate and the missing one open nothing.
    let peer = Peer::of(federation.node(COMMUNE), federation.node(DISTRICT));
    let refused = |shows: &Shows| peer.open(shows).map(drop).expect_err("refused").reason;
    assert_eq!(refused(&Shows::Own), Reason::CertificateExpired);
    assert_eq!(refused(&Shows::Nothing), Reason::CertificateMissing);
    drop(peer);

    federation.node_mut(COMMUNE).run();
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
    assert!(certificate_end(federation.node(COMMUNE)) > over, "the new one lies in its file");
    let (commune, district) = (federation.node(COMMUNE), federation.node(DISTRICT));
    assert!(commune.logged().contains("proving this node with its log key"));
    assert!(district.logged().contains(Reason::CertificateExpired.code()), "the parent says whom it refused and why");
}

#[test]
fn an_operator_has_the_parent_dialled_now() {
    let mut federation = Federation::central();
    federation.add(DISTRICT);
    let root = federation.node("VN").admin(["link", "retry"]);
    root.refused_with("not_found");
    federation.node("420").admin(["link", "retry"]).must(DONE);
    assert_eq!(federation.node_mut("40").stop(), DONE);
    let district = federation.node("420");
    // Each vain attempt doubles the wait.
    for _ in 0..6 {
        let ended = district.admin(["link", "retry", "--output", "json"]).must(UNAVAILABLE);
        assert!(ended.stdout.contains("link_down"), "{ended:?}");
    }
    federation.node_mut("40").run();
    let ended = federation.node("420").admin(["link", "retry", "--output", "json"]).must(DONE);
    assert!(ended.stdout.contains("connected"), "{ended:?}");
}

/// End of a node's certificate as its status tells it: texts of one offset, in the order of their times.
fn ends(node: &Node) -> String {
    wait_for(
        || format!("{} tells no end", node.unit),
        || node.status()["certificate_ends_at"].as_str().filter(|end| !end.is_empty()).map(str::to_owned),
    )
}

/// End of the certificate in a node's directory, Unix seconds.
fn certificate_end(node: &Node) -> i64 {
    let chain = pki::read_certificates(&node.data.join("keys/link-cert.pem")).unwrap();
    pki::not_after_ms(&chain[0]).unwrap() / 1_000
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(Duration::ZERO, |since| since).as_secs() as i64
}
