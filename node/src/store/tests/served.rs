//! What a database on a server promises beyond a file: one node writes to it, what the server breaks off is done once more, and what it lost
//! is noticed.

use std::str::FromStr as _;

use super::cluster::{Cluster, WORD};
use crate::store::{Address, AddressError, Error, Result, Store};

pub(super) async fn put(store: &Store, value: &[u8]) -> Result<()> {
    store.run_tx("test", async |tx| tx.meta_put("key", value).await).await
}

pub(super) async fn kept(store: &Store) -> Option<Vec<u8>> {
    store.read("test").await.expect("view").meta_get("key").await.expect("read")
}

/// The mark.
pub(super) const FENCE: &str = "SELECT encode(value, 'escape') FROM meta WHERE key = 'fence'";

pub(super) const CUT: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'danso-node'";

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
    cluster.say("CREATE TABLE before AS SELECT value FROM meta WHERE key = 'fence'").await;
    put(&store, b"two").await.expect("written");
    // As after a fail-over to a server that lagged behind.
    cluster.say("UPDATE meta SET value = (SELECT value FROM before) WHERE key = 'fence'").await;
    assert!(matches!(put(&store, b"three").await, Err(Error::NotOurs)));
    // It lost that it was opened, and is opened by somebody else.
    cluster.say("DELETE FROM meta WHERE key = 'fence'").await;
    let one = cluster.open().await;
    cluster.say("DELETE FROM meta WHERE key = 'fence'").await;
    let two = cluster.open().await;
    assert!(matches!(put(&one, b"four").await, Err(Error::NotOurs)));
    put(&two, b"five").await.expect("written");
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
    assert!(matches!(refused, Error::Away { .. }), "{refused}");
    assert_eq!(kept(&store).await, Some(b"two".to_vec()), "but to be read");
    cluster.crash(&[]);
    put(&store, b"three").await.expect("written");
}

#[tokio::test]
async fn what_the_server_has_broken_off_is_not_kept_even_when_nobody_says_so() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    let done = store.run_tx("test", async |tx| {
        tx.meta_put("key", b"value").await?;
        // The server answers ROLLBACK to the COMMIT that follows, and calls it no error.
        let _ = tx.write("INSERT INTO nothing VALUES (1)", []).await;
        Ok(())
    });
    assert!(matches!(done.await, Err::<(), _>(Error::BrokenOff { .. })));
    put(&store, b"value").await.expect("written");
}

#[tokio::test]
async fn readers_that_are_too_many_wait_and_are_told_and_never_keep_the_writer_waiting() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    put(&store, b"one").await.expect("written");
    let mut views = Vec::new();
    for _ in 0..8 {
        views.push(store.read("test").await.expect("view"));
    }
    let asked = tokio::spawn({
        let store = store.clone();
        async move { kept(&store).await }
    });
    put(&store, b"two").await.expect("the writer has a connection of its own");
    views.pop();
    assert_eq!(asked.await.expect("asked"), Some(b"two".to_vec()), "who waits gets the next one that is free");
    views.push(store.read("test").await.expect("view"));
    tokio::time::pause();
    let error = store.read("test").await.err().expect("not without end");
    tokio::time::resume();
    assert!(matches!(error, Error::Busy { most: 8 }), "{error}");
    assert_eq!(store.condition().health().away, None, "the server is there");
    put(&store, b"three").await.expect("written");
}

/// Sessions of nodes that the server has, once those are gone that are about to end; the server is asked until then, and no test waits without end.
async fn sessions(cluster: &Cluster) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'danso-node'";
    let mut connection = cluster.connection().await;
    let mut left = -1;
    for _ in 0..2_000 {
        left = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("asked");
        if left == 0 {
            break;
        }
    }
    left
}

#[tokio::test]
async fn a_store_that_was_closed_opens_no_connection_whoever_still_uses_it() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    put(&store, b"one").await.expect("written");
    let late = store.clone();
    store.close().await;
    for _ in 0..2 {
        assert!(late.read("late").await.is_err());
        assert!(put(&late, b"two").await.is_err());
        late.look_again().await;
    }
    assert_eq!(sessions(&cluster).await, 0);
}

#[tokio::test]
async fn a_store_that_nobody_has_any_more_leaves_no_session() {
    let cluster = Cluster::start();
    let store = cluster.open().await;
    put(&store, b"one").await.expect("written");
    assert_eq!(kept(&store).await, Some(b"one".to_vec()));
    // What was connected to anew is no other.
    cluster.say(CUT).await;
    put(&store, b"two").await.expect("written");
    drop(store);
    assert_eq!(sessions(&cluster).await, 0);
}

#[tokio::test]
async fn a_server_is_left_alone_that_holds_a_newer_version_or_cannot_write_every_name() {
    let cluster = Cluster::start();
    cluster.say("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").await;
    let latin = cluster.address().to_string().replace("/postgres?", "/latin?").parse().expect("an address");
    let beside = std::path::Path::new("danso.db");
    let error = Store::open_server(&latin, None, beside, WORD).await.expect_err("refused");
    assert!(error.told().contains("keeps text as LATIN1"), "{}", error.told());
    cluster.open().await.close().await;
    let mark = cluster.text(FENCE).await;
    cluster
        .say(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (999999, 'future', true, '', 0)",
        )
        .await;
    let error = Store::open_server(&cluster.address(), None, beside, WORD).await.expect_err("refused");
    assert!(matches!(error, Error::Migrate(_)), "{error}");
    assert_eq!(cluster.text(FENCE).await, mark, "writing is not taken over");
}

#[tokio::test]
async fn a_password_is_asked_for_and_shown_to_nobody() {
    let cluster = Cluster::start();
    cluster.say("CREATE ROLE officer LOGIN SUPERUSER PASSWORD 'open-sesame'").await;
    cluster.ask_for_passwords_of("officer").await;
    let address: Address = cluster.address().to_string().replace("danso@", "officer@").parse().expect("an address");
    let beside = std::path::Path::new("danso.db");
    let mut said = Vec::new();
    for password in [None, Some("open-sesamo".to_owned())] {
        let error = Store::open_server(&address, password, beside, WORD).await.expect_err("refused");
        said.extend([error.told(), format!("{error:?}")]);
    }
    let store = Store::open_server(&address, Some("open-sesame".into()), beside, WORD).await.expect("opened");
    put(&store, b"one").await.expect("written");
    said.extend([format!("{store:?}"), format!("{address:?}"), address.to_string()]);
    // In time of need, too.
    cluster.say("ALTER ROLE officer PASSWORD 'another'").await;
    cluster.say(CUT).await;
    let error = put(&store, b"two").await.expect_err("the password is another");
    said.extend([error.told(), format!("{error:?}"), format!("{:?}", store.condition())]);
    for said in &said {
        assert!(!said.contains("open-sesam"), "{said}");
    }
}

#[test]
fn an_address_holds_no_password_and_leads_over_no_open_way() {
    let refused = |text: &str| Address::from_str(text).expect_err("refused");
    assert_eq!(refused("danso.db"), AddressError::Scheme);
    assert_eq!(refused("postgres://danso:secret@db/danso"), AddressError::Password);
    assert_eq!(refused("postgres://danso@db/danso?password=secret"), AddressError::Password);
    assert_eq!(refused("postgres://danso:se?cr=et@db/danso"), AddressError::Password);
    assert_eq!(refused("postgres://danso:se/cret@db/danso"), AddressError::Password);
    assert_eq!(refused("postgres://danso@db/danso"), AddressError::Open("db".into()));
    assert_eq!(refused("postgres://danso@localhost,db/danso"), AddressError::Open("db".into()));
    assert_eq!(refused("postgres://danso@db/danso?sslmode=require"), AddressError::Open("db".into()));
    assert_eq!(refused("postgres://danso@db/danso?sslmode=verify-ca"), AddressError::Open("db".into()));
    assert_eq!(refused("postgres://danso@localhost/danso?host=db"), AddressError::Open("db".into()));
    assert_eq!(refused("postgres://danso@localhost/danso?host=%64b"), AddressError::Open("db".into()));
    for unfit in ["localhost:no/danso", "localhost/danso?pass%77ord=secret", "db/danso?sslmod=verify-full"] {
        let refused = refused(&format!("postgres://danso@{unfit}"));
        assert!(matches!(refused, AddressError::Unfit(_)), "{refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    for fine in [
        "postgres://danso@localhost/danso",
        "postgres://danso@/danso?host=/run/postgresql",
        "postgresql://danso@127.0.0.1:5433/danso",
        "postgres://danso@one:5432,two:5433/danso?sslmode=verify-full",
    ] {
        assert_eq!(Address::from_str(fine).expect(fine).to_string(), fine);
    }
}
