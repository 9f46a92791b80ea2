//! What a database on a server promises beyond a file: one node writes to it, what the server breaks off is done once more, and what it lost
//! is noticed.

use std::str::FromStr as _;

use super::cluster::Cluster;
use crate::store::{Address, AddressError, Error, Result, Store};

async fn put(store: &Store, value: &[u8]) -> Result<()> {
    store.run_tx("test", async |tx| tx.meta_put("key", value).await).await
}

async fn kept(store: &Store) -> Option<Vec<u8>> {
    store.read("test").await.expect("view").meta_get("key").await.expect("read")
}

const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'danso-node'";

#[tokio::test]
async fn who_opens_it_later_takes_writing_over() {
    let cluster = Cluster::start();
    let one = cluster.open().await;
    put(&one, b"one").await.expect("written");
    let two = cluster.open().await;
    put(&two, b"two").await.expect("written");
    assert!(matches!(put(&one, b"late").await, Err(Error::NotOurs)));
    assert_eq!((kept(&one).await, kept(&two).await), (Some(b"two".to_vec()), Some(b"two".to_vec())));
}

#[tokio::test]
async fn a_server_that_forgot_what_was_committed_is_noticed() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    put(&store, b"one").await.expect("written");
    let before = store.read("test").await.expect("view").meta_get("fence").await.expect("read").expect("there");
    put(&store, b"two").await.expect("written");
    // As after a fail-over to a server that lagged behind.
    assert_eq!(before, b"1.1");
    cluster.say("UPDATE meta SET value = '1.1' WHERE key = 'fence'").await;
    assert!(matches!(put(&store, b"three").await, Err(Error::NotOurs)));
}

#[tokio::test]
async fn a_transaction_that_the_server_cuts_is_done_once_more_and_once_only() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    for at in 0..3 {
        let mut tries = 0;
        let done = store.run_tx("test", async |tx| {
            tries += 1;
            let before = tx.meta_get("key").await?.map_or(0, |value| value[0]);
            if tries == 1 && at == 0 {
                cluster.say(CUT).await;
            }
            tx.meta_put("key", &[before + 1]).await?;
            if tries == 1 && at == 1 {
                cluster.say(CUT).await;
            }
            tx.meta_put("other", b"value").await
        });
        done.await.expect("done");
        assert_eq!((kept(&store).await, tries), (Some(vec![at + 1]), if at < 2 { 2 } else { 1 }));
        // Between two transactions, too.
        cluster.say(CUT).await;
    }
}

#[tokio::test]
async fn a_commit_that_the_server_cut_did_not_happen_and_is_done_once_more() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    // At the commit, once: the second try finds that it was cut.
    cluster
        .say(
            "CREATE TABLE cut (n BIGINT); CREATE SEQUENCE tries;
             CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON cut DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()",
        )
        .await;
    let mut tries = 0;
    let done = store.run_tx("test", async |tx| {
        tries += 1;
        tx.write("INSERT INTO cut (n) VALUES (1)", []).await?;
        let before = tx.meta_get("key").await?.map_or(0, |value| value[0]);
        tx.meta_put("key", &[before + 1]).await
    });
    done.await.expect("done");
    assert_eq!((kept(&store).await, tries), (Some(vec![1]), 2));
}

#[tokio::test]
async fn transactions_that_the_server_cannot_put_in_an_order_are_done_once_more() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    put(&store, b"one").await.expect("written");
    let mut tries = 0;
    let done = store.run_tx("test", async |tx| {
        tries += 1;
        tx.meta_get("key").await?;
        if tries == 1 {
            cluster.say("UPDATE meta SET value = 'theirs' WHERE key = 'key'").await;
        }
        tx.meta_put("key", b"ours").await
    });
    done.await.expect("done");
    assert_eq!((kept(&store).await, tries), (Some(b"ours".to_vec()), 2));
}

#[tokio::test]
async fn a_server_that_crashes_loses_nothing_and_is_found_again() {
    let mut cluster = Cluster::start();
    let store = cluster.open().await;
    put(&store, b"one").await.expect("written");
    cluster.crash(&[]);
    put(&store, b"two").await.expect("written");
    assert_eq!(kept(&store).await, Some(b"two".to_vec()));
    // One that can only be read is none to write to.
    cluster.crash(&["default_transaction_read_only=on"]);
    let refused = put(&store, b"three").await.expect_err("refused");
    assert!(matches!(refused, Error::Open { .. }), "{refused}");
}

#[test]
fn an_address_holds_no_password_and_leads_over_no_open_way() {
    let refused = |text| Address::from_str(text).expect_err("refused");
    assert_eq!(refused("danso.db"), AddressError::Scheme);
    assert_eq!(refused("postgres://danso:secret@db/danso"), AddressError::Password);
    assert_eq!(refused("postgres://danso@db/danso?password=secret"), AddressError::Password);
    assert_eq!(refused("postgres://danso@db/danso"), AddressError::Open("db".into()));
    assert_eq!(refused("postgres://danso@localhost,db/danso"), AddressError::Open("db".into()));
    assert!(matches!(refused("postgres://danso@localhost:no/danso"), AddressError::Unfit(_)));
    for fine in [
        "postgres://danso@localhost/danso",
        "postgres://danso@/danso?host=/run/postgresql",
        "postgresql://danso@127.0.0.1:5433/danso",
        "postgres://danso@one:5432,two:5433/danso?sslmode=verify-full",
    ] {
        assert_eq!(Address::from_str(fine).expect(fine).to_string(), fine);
    }
}
