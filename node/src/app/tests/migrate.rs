//! `migrate-store`: the same node on a server and back, whatever is cut; and never two databases that can be run.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use danso_core::messages::Lang;
use danso_proto::ids::Fingerprint;
use danso_proto::refusal::{Reason, Refusal};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::root::{damage, with_commune};
use super::{Parent, join_with, list, on_runtime, set_up, set_up_on};
use crate::app::backup::{Backup, backup, room_for};
use crate::app::cli::Output;
use crate::app::doctor::doctor;
use crate::app::drill::drill;
use crate::app::migrate::{Done, Migrate, Moved, migrate, shown};
use crate::app::restore::restore;
use crate::app::{Error, run};
use crate::config::{Config, Layout, LayoutError, Server};
use crate::faults::harness::{copy_of, die_everywhere};
use crate::faults::plan::{Large, Names, Plan};
use crate::store::tests::cluster::{Cluster, WORD};
use crate::store::{self, Address, Held, Store};

fn server(address: &Address) -> Option<Server> {
    Some(Server { address: address.clone(), password_file: None })
}

async fn moves(data: &Path, to: Option<Server>) -> Result<Done, Error> {
    migrate(Migrate { data, to, progress: &mut |_, _| {} }).await
}

async fn is_moved(data: &Path, to: Option<Server>) -> Box<Moved> {
    match moves(data, to).await.expect("moved") {
        Done::Moved(moved) => {
            assert_eq!(moved.refusal(), None);
            moved
        }
        Done::Arrived | Done::There => panic!("it was there already"),
    }
}

async fn refused(data: &Path, to: Option<Server>) -> Refusal {
    match moves(data, to).await {
        Err(Error::Refused(refusal)) => refusal,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was moved"),
    }
}

async fn held(store: Store) -> Held {
    let held = store.read("test").await.expect("view").held().await.expect("whole");
    store.close_unsealed().await;
    held
}

async fn in_file(data: &Path) -> Held {
    held(Store::open_to_look(&data.join("danso.db")).await.expect("opened").0).await
}

async fn on_server(address: &Address, data: &Path) -> store::Result<Store> {
    let store = Store::open_server_to_look(address, None, &data.join("danso.db")).await.expect("opened");
    match store.is_in_use().await {
        Ok(()) => Ok(store),
        Err(error) => {
            store.close_unsealed().await;
            Err(error)
        }
    }
}

fn configured(data: &Path) -> Option<Server> {
    Config::load(&data.join("danso.toml")).expect("a configuration").server
}

fn place() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("danso-").tempdir().expect("directory")
}

#[test]
fn a_node_is_the_same_on_a_server_and_back() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let (data, ..) = with_commune(place.path()).await;
        let address = cluster.database("root").await;
        let before = in_file(&data).await;
        let old = Config::load(&data.join("danso.toml")).expect("a configuration");

        let moved = is_moved(&data, server(&address)).await;
        let text = shown(&moved, Output::Table).expect("text");
        println!("{text}");
        assert!(text.ends_with("the same: yes") && !text.contains("  no"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&shown(&moved, Output::Json).expect("json")).expect("json");
        assert_eq!((&json["same"], &json["figures_to"]["changes"]), (&true.into(), &6.into()));
        assert_eq!(configured(&data), server(&address));
        assert!(data.join("danso.toml.before-migrate").exists());
        assert!(matches!(moves(&data, server(&address)).await, Ok(Done::There)));
        assert_eq!(held(on_server(&address, &data).await.expect("the node's store")).await, before);
        assert!(doctor(&data, true, Lang::En).await.expect("looked over"), "all is well there");
        // By mistake, with the configuration from before.
        let layout = Layout::open(&data).expect("a directory");
        let ran = run::serve(&layout, &old, &tokio_util::sync::CancellationToken::new()).await;
        assert!(matches!(ran, Err(Error::Store(store::Error::MovedAway { to })) if to == address.to_string()));
        old.write(&layout.config()).expect("written");
        assert_eq!(refused(&data, server(&address)).await.reason, Reason::StoreNotEmpty, "the node is there");
        let mut config = old;
        config.server = server(&address);
        config.write(&layout.config()).expect("written");

        let moved = is_moved(&data, None).await;
        assert!(moved.aside.as_ref().expect("the old file").exists());
        assert_eq!(configured(&data), None);
        assert_eq!(in_file(&data).await, before);
        assert!(matches!(on_server(&address, &data).await, Err(store::Error::MovedAway { to }) if to == "sqlite"));
    });
}

#[test]
fn a_node_goes_on_where_it_was_moved_to() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let mut root = Parent::starts(place.path()).await;
        root.stops();
        let lock = root.layout.lock().expect("nobody has it");
        let busy = moves(&root.data, server(&cluster.address())).await;
        assert!(matches!(busy, Err(Error::Layout(LayoutError::Busy { .. }))), "a node that runs is not moved");
        drop(lock);
        is_moved(&root.data, server(&cluster.address())).await;
        root.serves();
        join_with(&place.path().join("commune"), &root.invite().await).await.expect("joined");
        root.stops();
        is_moved(&root.data, None).await;
        root.serves();
        join_with(&place.path().join("another"), &root.invite().await).await.expect("joined");
        root.stops();
    });
}

#[test]
fn a_database_that_is_not_empty_or_a_source_that_is_damaged_is_refused() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let [one, two] = ["one", "two"].map(|name| place.path().join(name));
        for data in [&one, &two] {
            set_up(data, &list(place.path())).await.expect("a root");
        }
        let address = cluster.address();
        is_moved(&one, server(&address)).await;
        let running = Store::open_server(&address, None, &one.join("danso.db"), WORD).await.expect("opened");
        let before = in_file(&two).await;
        let refusal = refused(&two, server(&address)).await;
        assert_eq!(refusal.reason, Reason::StoreNotEmpty, "{refusal}");
        // Its node did not notice.
        running.run_tx("test", async |tx| tx.meta_put("test", b"1").await).await.expect("still the one who writes");
        running.close().await;
        assert_eq!((in_file(&two).await, configured(&two)), (before, None));
        let database = two.join("danso.db");
        Store::open(&database).await.expect("the node is where it was").close().await;
        damage(&two);
        let other = cluster.database("other").await;
        let damaged = moves(&two, server(&other)).await;
        assert!(matches!(damaged, Err(Error::Store(error)) if error.is_damage()));
    });
}

#[test]
fn a_new_node_does_not_take_the_database_of_another_one() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let [one, two] = ["one", "two"].map(|name| place.path().join(name));
        let (units, address) = (list(place.path()), cluster.address());
        let made = set_up_on(&one, &units, server(&address)).await.expect("a root");
        let running = Store::open_server(&address, None, &one.join("danso.db"), WORD).await.expect("opened");
        let error = set_up_on(&two, &units, server(&address)).await.err().expect("refused");
        let Error::Refused(refusal) = error else { panic!("{error:?}") };
        assert_eq!(refusal.reason, Reason::AlreadyJoined, "{refusal}");
        assert!(refusal.detail.contains(made.node.as_str()), "{refusal}");
        running.run_tx("test", async |tx| tx.meta_put("test", b"1").await).await.expect("still the one who writes");
        running.close().await;
        assert!(!two.join("danso.toml").exists());
        let own = cluster.database("own").await;
        set_up_on(&two, &units, server(&own)).await.expect("one of its own");
    });
}

#[test]
fn a_node_whose_figures_came_out_otherwise_stays_where_it_was() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let (data, ..) = with_commune(place.path()).await;
        let address = cluster.address();
        // The tables are there, and nothing in them.
        cluster.open().await.close().await;
        let broken = "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.month := NEW.month + 1; RETURN NEW; END $$;
                      CREATE TRIGGER broken BEFORE INSERT ON period FOR EACH ROW EXECUTE FUNCTION broken()";
        cluster.say(broken).await;
        for _ in 0..2 {
            let Ok(Done::Moved(moved)) = moves(&data, server(&address)).await else { panic!("it was compared") };
            let refusal = moved.refusal().expect("refused");
            assert_eq!(refusal.reason, Reason::StoreDamaged);
            assert!(refusal.detail.contains("table period"), "{refusal}");
            assert!(matches!(on_server(&address, &data).await, Err(store::Error::HalfMoved)));
            assert_eq!(configured(&data), None);
        }
        Store::open(&data.join("danso.db")).await.expect("the node is where it was").close().await;
        cluster.say("DROP TRIGGER broken ON period").await;
        is_moved(&data, server(&address)).await;
    });
}

/// All but `meta`: which of the files a process died with is written down there.
fn same(one: &Held, other: &Held, about: &str) {
    assert_eq!(one.logs, other.logs, "{about}");
    for (one, other) in one.tables.iter().zip(&other.tables).filter(|(one, _)| one.table != "meta") {
        assert_eq!(one, other, "{about}");
    }
}

/// Whether a node that does not run could be run on the file in this directory.
async fn runs_on_file(data: &Path) -> bool {
    let (_guard, copy) = copy_of(data);
    let path = copy.join("danso.db");
    if !path.exists() {
        return false;
    }
    match Store::open(&path).await {
        Ok(store) => {
            // What is empty is no node's.
            let is_one =
                store.read("test").await.expect("view").meta_get(store::META_NODE).await.expect("read").is_some();
            store.close_unsealed().await;
            is_one
        }
        Err(store::Error::MovedAway { .. } | store::Error::HalfMoved) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn runs_on_server(address: &Address, data: &Path) -> bool {
    let store = Store::open_server_to_look(address, None, &data.join("danso.db")).await.expect("opened");
    let place = store.read("test").await.expect("view").place().await.expect("read");
    store.close_unsealed().await;
    matches!(place, store::Place::Taken { node: Some(_) })
}

#[test]
fn wherever_a_move_to_a_server_died_it_goes_on() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let (data, ..) = with_commune(place.path()).await;
        let before = in_file(&data).await;
        let (count, address) = (Cell::new(0), RefCell::new(cluster.address()));
        let points = die_everywhere(
            &data,
            async |dir: PathBuf| {
                count.set(count.get() + 1);
                let fresh = cluster.database(&format!("run{}", count.get())).await;
                drop(moves(&dir, server(&fresh)).await);
                address.replace(fresh);
            },
            async |dir: PathBuf| {
                let address = address.borrow().clone();
                assert!(runs_on_server(&address, &dir).await);
            },
            async |dir: PathBuf, at, point| {
                let address = address.borrow().clone();
                let about = format!("a move to a server, dying at point {at} ({point:?})");
                let can_run = [runs_on_file(&dir).await, runs_on_server(&address, &dir).await];
                assert_ne!(can_run, [true, true], "{about}");
                // What can be run is what the configuration says.
                assert!(!can_run[usize::from(configured(&dir).is_none())], "{about}: {can_run:?}");
                moves(&dir, server(&address)).await.expect(&about);
                assert_eq!(configured(&dir), server(&address), "{about}");
                assert!(!runs_on_file(&dir).await, "{about}");
                same(&held(on_server(&address, &dir).await.expect(&about)).await, &before, &about);
            },
        )
        .await;
        println!("a move to a server: died at {} points", points.len());
        assert!(points.len() > 60, "{points:?}");
    });
}

#[test]
fn wherever_a_move_to_a_file_died_it_goes_on() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let data = place.path().join("VN");
        set_up(&data, &list(place.path())).await.expect("a root");
        let before = in_file(&data).await;
        let address = cluster.address();
        is_moved(&data, server(&address)).await;
        let points = die_everywhere(
            &data,
            async |dir: PathBuf| {
                // Only the directory is as it was each time.
                let store = Store::open_server_to_move(&address, None, &place.path().join("danso.db"), WORD)
                    .await
                    .expect("opened");
                store.run_tx("test", async |tx| tx.meta_remove("moved").await).await.expect("written");
                store.close().await;
                drop(moves(&dir, None).await);
            },
            async |dir: PathBuf| assert!(runs_on_file(&dir).await),
            async |dir: PathBuf, at, point| {
                let about = format!("a move to a file, dying at point {at} ({point:?})");
                let can_run = [runs_on_file(&dir).await, runs_on_server(&address, &dir).await];
                assert_ne!(can_run, [true, true], "{about}");
                assert!(!can_run[usize::from(configured(&dir).is_none())], "{about}: {can_run:?}");
                moves(&dir, None).await.expect(&about);
                assert_eq!(configured(&dir), None, "{about}");
                assert!(!runs_on_server(&address, &dir).await, "{about}");
                same(&in_file(&dir).await, &before, &about);
                assert!(runs_on_file(&dir).await, "{about}");
            },
        )
        .await;
        println!("a move to a file: died at {} points", points.len());
        assert!(points.len() > 60, "{points:?}");
    });
}

#[test]
fn a_move_that_was_cut_copies_nothing_twice_however_large_the_file_is() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let data = place.path().join("VN");
        set_up(&data, &list(place.path())).await.expect("a root");
        for is_large in [false, true] {
            let (mut at, mut cut) = (0, 0);
            loop {
                let (_guard, dir) = copy_of(&data);
                let _large = is_large.then(|| Large::at(&dir));
                let address = cluster.database(&format!("cut{is_large}{at}").to_lowercase()).await;
                let mut copied = 0;
                let mut move_on = async || {
                    let mut progress = |_: &'static str, rows: u64| copied += rows;
                    migrate(Migrate { data: &dir, to: server(&address), progress: &mut progress }).await
                };
                let plan = Plan::die(&dir, at, Names::Kept);
                let first = move_on().await;
                let died = plan.died();
                drop(plan);
                let about = format!("large: {is_large}, cut at point {at}");
                assert_eq!(first.is_err(), died, "{about}");
                if died {
                    move_on().await.expect(&about);
                }
                let there = on_server(&address, &dir).await.expect(&about);
                let mut view = there.read("test").await.expect("view");
                let held = view.held().await.expect("whole");
                let rows: u64 = held.tables.iter().filter(|table| table.table != "meta").map(|table| table.rows).sum();
                drop(view);
                there.close_unsealed().await;
                // What was written when it died was told to nobody.
                assert!(rows > 0 && copied <= rows, "{about}: {copied} rows were copied, and there are {rows}");
                if !died {
                    break;
                }
                (at, cut) = (at + 5, cut + 1);
            }
            println!("large: {is_large}: cut at {cut} points");
            assert!(cut > 8, "{cut}");
        }
    });
}

#[test]
fn a_backup_of_a_node_on_a_server_is_one_like_any_other() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let (data, ..) = with_commune(place.path()).await;
        let address = cluster.database("root").await;
        is_moved(&data, server(&address)).await;
        let before = held(on_server(&address, &data).await.expect("its store")).await;
        // It writes meanwhile, and goes on.
        let running = Store::open_server(&address, None, &data.join("danso.db"), WORD).await.expect("opened");
        let out = place.path().join("backup");
        // Its copy would take the room that the node needs.
        let path = data.join("danso.toml");
        let config = Config::load(&path).expect("a configuration");
        let layout = Layout::open(&data).expect("a directory");
        room_for(1, &layout).expect("there is room");
        Config { min_free_mib: 1024 * 1024, ..config.clone() }.write(&path).expect("written");
        let Err(Error::Refused(refusal)) = room_for(1, &layout) else { panic!("there is no room") };
        assert_eq!(refusal.reason, Reason::DiskFull, "{refusal}");
        config.write(&path).expect("written");
        let made = backup(Backup { data: &data, out: &out, passphrase: None, with_keys: true }).await.expect("taken");
        assert!(made.root && made.doubt.is_none(), "{:?}", made.doubt);
        running.run_tx("test", async |tx| tx.meta_put("test", b"1").await).await.expect("still the one who writes");
        running.close().await;
        assert_eq!(drill(&out, place.path(), None).await.expect("drilled").refusal(), None);

        let back = place.path().join("back");
        let restored = restore(&out, &back, None).await.expect("restored");
        assert_eq!((restored.server, configured(&back)), (Some(address.to_string()), None));
        same(&in_file(&back).await, &before, "restored into a file");
        let other = cluster.database("other").await;
        is_moved(&back, server(&other)).await;
        let there = on_server(&other, &back).await.expect("its store");
        let mark = there.read("test").await.expect("view").meta_get("restored").await.expect("read");
        assert!(mark.is_some(), "it does not trust itself there either");
        same(&held(there).await, &before, "restored onto a server");
    });
}

/// Statements to the database of a node that ended, which is sealed anew then: as another version of the program could have left it.
async fn left_otherwise(data: &Path, statements: &[&str]) {
    let (file, seal) = (data.join("danso.db"), data.join("danso.db.sha256"));
    let mut db = SqliteConnectOptions::new().filename(&file).connect().await.expect("a connection");
    for sql in statements {
        sqlx::query(sqlx::AssertSqlSafe((*sql).to_owned())).execute(&mut db).await.expect("changed");
    }
    db.close().await.expect("closed");
    let said = std::fs::read_to_string(&seal).expect("it ended cleanly");
    let stop = said.split(' ').next().expect("a stop");
    let digest = Fingerprint(Sha256::digest(std::fs::read(&file).expect("read")).into());
    std::fs::write(&seal, format!("{stop} {digest}\n")).expect("sealed");
}

#[test]
fn a_file_that_an_earlier_version_left_is_brought_to_this_one_before_it_is_moved() {
    on_runtime(async {
        let (place, cluster) = (place(), Cluster::start());
        let data = place.path().join("VN");
        set_up(&data, &list(place.path())).await.expect("a root");
        // The last step, which can be taken twice.
        let other = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        left_otherwise(&data, &[other]).await;
        let address = cluster.address();
        is_moved(&data, server(&address)).await;
        assert!(runs_on_server(&address, &data).await);
    });
}

#[test]
fn doctor_compares_no_figures_that_an_earlier_version_made() {
    on_runtime(async {
        let place = place();
        let data = place.path().join("VN");
        set_up(&data, &list(place.path())).await.expect("a root");
        let all_is_well = async || doctor(&data, true, Lang::En).await.expect("looked over");
        let other = "INSERT INTO period (unit, month, change) VALUES ('VN', 24240, zeroblob(16))";
        left_otherwise(&data, &[other, "UPDATE meta SET value = CAST('2' AS BLOB) WHERE key = 'derived_version'"])
            .await;
        assert!(all_is_well().await, "the next start makes them again");
        let version = danso_core::register::Rules::CURRENT.version();
        let current = format!("UPDATE meta SET value = CAST('{version}' AS BLOB) WHERE key = 'derived_version'");
        left_otherwise(&data, &[&current]).await;
        assert!(!all_is_well().await, "this version did not make them");
        // What findings are counted by came later than this database.
        let earlier = [
            "DROP TABLE finding_answer",
            "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)",
            "UPDATE meta SET value = CAST('2' AS BLOB) WHERE key = 'derived_version'",
        ];
        left_otherwise(&data, &earlier).await;
        assert!(all_is_well().await, "the next start counts them");
    });
}
