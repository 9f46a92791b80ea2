//! One server dies and another one takes over: the node finds it by itself, reads from it while it can only be read, and writes nothing to one
//! that lacks what was committed.

use super::cluster::Cluster;
use super::served::{kept, put};
use crate::store::{Address, Error, Over, Store};

async fn open(one: &Cluster, two: &Cluster) -> Store {
    let address: Address =
        format!("postgres://danso@{},{}/postgres", one.host(), two.host()).parse().expect("an address");
    Store::open_server(&address, None, std::path::Path::new("danso.db")).await.expect("opened")
}

/// Until the server that follows has what was written; the program waits by itself.
async fn follows(two: &Cluster, mark: &str) {
    for _ in 0..2_000 {
        if two.text("SELECT coalesce((SELECT encode(value, 'escape') FROM meta WHERE key = 'fence'), '')").await == mark {
            return;
        }
    }
    panic!("it does not follow");
}

#[tokio::test]
async fn the_server_that_takes_over_is_read_first_and_written_to_when_it_can_be() {
    let mut one = Cluster::start();
    // So that the other one has the tables.
    one.open().await.close().await;
    let two = one.standby();
    let store = open(&one, &two).await;
    put(&store, b"one").await.expect("written");
    follows(&two, "2.1").await;
    one.die();
    assert_eq!(kept(&store).await, Some(b"one".to_vec()), "read from the one that follows");
    let error = put(&store, b"two").await.expect_err("it can only be read");
    assert!(matches!(error, Error::Away { .. }), "{error}");
    let away = store.condition().health().away.expect("it says why");
    assert!(away.contains("follows another one"), "{away}");
    two.say("SELECT pg_promote()").await;
    put(&store, b"two").await.expect("found by itself");
    assert_eq!((kept(&store).await, store.condition().health().away), (Some(b"two".to_vec()), None));
}

#[tokio::test]
async fn a_server_that_takes_over_without_what_was_committed_is_neither_read_nor_written_to() {
    let mut one = Cluster::start();
    one.open().await.close().await;
    let mut two = one.standby();
    let store = open(&one, &two).await;
    put(&store, b"one").await.expect("written");
    follows(&two, "2.1").await;
    two.die();
    put(&store, b"two").await.expect("written, and the other one does not hear of it");
    one.die();
    two.crash(&[]);
    let error = store.read("test").await.err().expect("figures do not go back");
    assert!(error.told().contains("lags behind"), "{}", error.told());
    assert!(matches!(put(&store, b"three").await, Err(Error::Away { .. })), "it can only be read");
    assert_eq!(store.condition().health().over, None, "the other one may come back");
    two.say("SELECT pg_promote()").await;
    assert!(matches!(put(&store, b"three").await, Err(Error::NotOurs)));
    assert_eq!(store.condition().health().over, Some(Over::NotOurs), "the node has to end");
    assert_eq!(two.text("SELECT encode(value, 'escape') FROM meta WHERE key = 'key'").await, "one");
}
