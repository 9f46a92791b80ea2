//! What a node remembers of its server, and asks it about: damage, whose turn it is, how safe it is, and what is in it already.

use super::cluster::{Cluster, WORD};
use super::proxy::Proxy;
use super::served::{CUT, FENCE, kept, put};
use crate::store::moving::Place;
use crate::store::{Error, Store};

const BESIDE: &str = "danso.db";

async fn open(cluster: &Cluster) -> crate::store::Result<Store> {
    Store::open_server(&cluster.address(), None, BESIDE.as_ref(), WORD).await
}

#[tokio::test]
async fn damage_that_was_found_is_looked_for_by_the_next_start() {
    let cluster = Cluster::start();
    let store = open(&cluster).await.expect("opened");
    store.condition().note(&Error::damaged("page 7"));
    store.close().await;
    let marks =
        "SELECT string_agg(key || '=' || encode(value, 'escape'), ' ' ORDER BY key) FROM meta WHERE key LIKE 'un%'";
    assert_eq!(cluster.text(marks).await, "unchecked=damaged uncompared=1");
    let store = open(&cluster).await.expect("the pages hang together");
    let health = store.condition().health();
    assert_eq!(
        (health.unchecked, health.uncompared),
        (false, true),
        "whether the content is right the pipeline compares"
    );
    // However the process ends.
    store.remember_damage().await.expect("written");
    drop(store);
    let store = open(&cluster).await.expect("opened");
    assert!(store.condition().health().uncompared);
    assert_eq!(cluster.text(marks).await, "uncompared=1", "it was checked");
}

#[tokio::test]
async fn who_waits_for_somebody_who_writes_for_long_does_not_take_the_server_for_lost() {
    let cluster = Cluster::start();
    let store = open(&cluster).await.expect("opened");
    let session = "SELECT pg_backend_pid()::BIGINT";
    let long = store.run_tx("long", async |tx| {
        tx.meta_put("key", b"one").await?;
        tokio::time::pause();
        let error = put(&store, b"two").await.expect_err("not without end");
        tokio::time::resume();
        assert!(matches!(error, Error::Writing), "{error}");
        assert_eq!(store.condition().health().away, None, "the server is there");
        tx.number(session, []).await
    });
    let before = long.await.expect("nobody has cut it");
    assert_eq!(kept(&store).await, Some(b"one".to_vec()));
    let after = store.run_tx("next", async |tx| tx.number(session, []).await).await.expect("written");
    assert_eq!(before, after, "the connection for writing is the one that it was");
}

#[tokio::test]
async fn two_that_open_it_at_the_same_number_are_told_apart() {
    let cluster = Cluster::start();
    let store = open(&cluster).await.expect("opened");
    put(&store, b"one").await.expect("written");
    // Another server gave the same number to somebody else, who has written as often.
    cluster
        .say("UPDATE meta SET value = decode(regexp_replace(encode(value, 'escape'), '-.*[.]', '-00000000000000ff.'), 'escape') WHERE key = 'fence'")
        .await;
    assert!(matches!(put(&store, b"two").await, Err(Error::NotOurs)));
    drop(store);
    // A mark of before there was a word is taken over, too.
    cluster.say("UPDATE meta SET value = '9999999999999.7'::bytea WHERE key = 'fence'").await;
    let store = open(&cluster).await.expect("opened");
    assert!(cluster.text(FENCE).await.starts_with("10000000000000-"), "{}", cluster.text(FENCE).await);
    put(&store, b"two").await.expect("written");
}

#[tokio::test]
async fn a_server_that_can_lose_what_it_acknowledges_is_told_of() {
    let mut cluster = Cluster::start();
    let store = open(&cluster).await.expect("opened");
    let risk = async |store: &Store| store.risk().await.expect("asked").unwrap_or_default();
    assert!(risk(&store).await.contains("with fsync = off:"));
    cluster.crash(&["fsync=on"]);
    assert_eq!(risk(&store).await, "");
    // While it runs.
    cluster.say("ALTER SYSTEM SET full_page_writes = off").await;
    cluster.say("SELECT pg_reload_conf()").await;
    cluster.say(CUT).await;
    assert!(risk(&store).await.contains("with full_page_writes = off:"));
}

#[tokio::test]
async fn a_pooler_between_is_refused() {
    let cluster = Cluster::start();
    let proxy = Proxy::to(&cluster).await;
    let open = async || Store::open_server(&proxy.address(), None, BESIDE.as_ref(), WORD).await;
    open().await.expect("a way that changes nothing is none").close().await;
    proxy.pool();
    let error = open().await.expect_err("refused");
    assert!(error.told().contains("shares connections"), "{}", error.told());
}

#[tokio::test]
async fn a_database_in_which_there_is_anything_is_not_empty() {
    let cluster = Cluster::start();
    let place = async || {
        let store = Store::open_server_to_look(&cluster.address(), None, BESIDE.as_ref()).await.expect("opened");
        let place = store.read("test").await.expect("view").place().await.expect("read");
        store.close_unsealed().await;
        place
    };
    assert_eq!(place().await, Place::Empty);
    for (make, drop) in [
        ("CREATE TABLE clients (id BIGINT)", "DROP TABLE clients"),
        ("CREATE VIEW clients AS SELECT 1", "DROP VIEW clients"),
        ("CREATE TABLE meta (id BIGINT)", "DROP TABLE meta"),
    ] {
        cluster.say(make).await;
        assert_eq!(place().await, Place::Taken { node: None }, "{make}");
        cluster.say(drop).await;
    }
}

#[tokio::test]
async fn how_large_a_database_is_says_the_server() {
    let cluster = Cluster::start();
    let store = open(&cluster).await.expect("opened");
    let bytes = async || store.read("test").await.expect("view").bytes().await.expect("asked");
    let before = bytes().await;
    // Nothing that could be made smaller.
    let noise: Vec<u8> = (0..500_000u64).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect();
    put(&store, &noise).await.expect("written");
    let after = bytes().await;
    assert!(before > 0 && after > before + 4_000_000, "{before} {after}");
}
