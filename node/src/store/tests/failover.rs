//! One server dies and another one takes over: the node finds it by itself, reads from it while it can only be read, and writes nothing to one
//! that lacks what was committed.

use super::cluster::{Cluster, WORD};
use super::proxy::{Loss, Proxy};
use super::served::{FENCE, kept, put};
use crate::store::{Address, Error, Over, Store};

async fn open(one: &Cluster, two: &Cluster) -> Store {
    let address: Address =
        format!("postgres://danso@{},{}/postgres", one.host(), two.host()).parse().expect("an address");
    Store::open_server(&address, None, std::path::Path::new("danso.db"), WORD).await.expect("opened")
}

/// Until the server that follows has what was written; the program waits by itself.
async fn follows(two: &Cluster, one: &Cluster) {
    let mark = one.text(FENCE).await;
    for _ in 0..2_000 {
        if two.text(FENCE).await == mark {
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
    follows(&two, &one).await;
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
    follows(&two, &one).await;
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

/// The connection is lost at a COMMIT, and no server answers for longer than anybody is kept waiting.
async fn in_doubt(loss: Loss) -> (Cluster, Proxy, Store) {
    let cluster = Cluster::start();
    let proxy = Proxy::to(&cluster).await;
    let beside = std::path::Path::new("danso.db");
    let store = Store::open_server(&proxy.address(), None, beside, WORD).await.expect("opened");
    put(&store, b"one").await.expect("written");
    proxy.count();
    put(&store, b"two").await.expect("written");
    let commit = proxy.counted().iter().position(|message| message.contains("COMMIT")).expect("it is kept");
    proxy.lose(commit, Loss::ForGood(Box::new(loss)));
    let waited = async {
        while !proxy.is_lost() {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
    };
    let (done, ()) = tokio::join!(put(&store, b"three"), waited);
    tokio::time::resume();
    let error = done.expect_err("nobody knows");
    assert!(matches!(error, Error::InDoubt { during: "test" }), "{error}");
    assert!(store.condition().health().away.is_some_and(|why| why.contains("nothing answers since")));
    proxy.count();
    (cluster, proxy, store)
}

#[tokio::test]
async fn what_is_in_doubt_and_was_kept_ends_the_process_which_does_not_know_of_it() {
    let (_cluster, proxy, store) = in_doubt(Loss::After).await;
    assert!(matches!(put(&store, b"four").await, Err(Error::WasKept)));
    assert_eq!(store.condition().health().over, Some(Over::WasKept));
    let again =
        Store::open_server(&proxy.address(), None, std::path::Path::new("danso.db"), WORD).await.expect("opened");
    assert_eq!(kept(&again).await, Some(b"three".to_vec()), "nothing is lost");
    put(&again, b"four").await.expect("written");
}

#[tokio::test]
async fn what_is_in_doubt_and_was_not_kept_stops_nobody() {
    let (_cluster, _proxy, store) = in_doubt(Loss::Before).await;
    assert_eq!(kept(&store).await, Some(b"two".to_vec()));
    put(&store, b"four").await.expect("written");
    assert_eq!((kept(&store).await, store.condition().health().away), (Some(b"four".to_vec()), None));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_and_the_other_one_found() {
    let one = Cluster::start();
    for is_commit in [false, true] {
        // The second way leads to the same server: as if it had taken over with all that was committed.
        let (first, second) = (Proxy::to(&one).await, Proxy::to(&one).await);
        let beside = std::path::Path::new("danso.db");
        let store = Store::open_server(&first.or(&second), None, beside, WORD).await.expect("opened");
        put(&store, b"one").await.expect("written");
        first.count();
        put(&store, b"two").await.expect("written");
        let commit = first.counted().iter().position(|message| message.contains("COMMIT")).expect("it is kept");
        first.lose(if is_commit { commit } else { commit - 2 }, Loss::Silent);
        let silent = async {
            while !first.is_lost() {
                tokio::task::yield_now().await;
            }
            // Nobody waits for real.
            for _ in 0..50 {
                tokio::time::pause();
                tokio::time::advance(std::time::Duration::from_secs(1)).await;
                tokio::time::resume();
            }
            // What the first server had begun is gone, as it is with a machine.
            one.say(super::served::CUT).await;
        };
        let (done, ()) = tokio::join!(put(&store, b"three"), silent);
        done.expect("written by the other way");
        assert_eq!(kept(&store).await, Some(b"three".to_vec()));
        assert!(second.counted().iter().any(|message| message.contains("COMMIT")), "by the second way");
    }
}
