//! A backup holds the log key that its directory names, or there is none.

use std::path::{Path, PathBuf};

use danso_proto::envelope::Signer as _;
use danso_proto::refusal::{Reason, Refusal};

use super::super::Error;
use super::super::backup::{Backup, Made, backup, fitting};
use super::super::drill::drill;
use super::super::restore::{self, unpack};
use super::{list, on_runtime, set_up};
use crate::archive::{self, Manifest, Reader, Source};
use crate::config::Layout;
use crate::keys::{LogKey, Rotation};
use crate::store::Store;

async fn taken(data: &Path, out: &Path) -> Result<Made, Refusal> {
    let what = Backup { data, out, passphrase: None, with_keys: true };
    backup(what).await.map_err(|error| match error {
        Error::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    })
}

/// A central node that was set up and never ran.
async fn central(data: &Path) -> Layout {
    set_up(data, &list(data.parent().expect("a directory"))).await.expect("set up");
    Layout::open(data).expect("a node")
}

/// A backup of a central node, with its keys.
async fn good(dir: &Path) -> PathBuf {
    let (data, good) = (dir.join("vn"), dir.join("good.danso"));
    central(&data).await;
    taken(&data, &good).await.expect("taken");
    good
}

/// The same backup with another log key, as builds made it that read the keys before they copied the database.
fn with_another_key(good: &Path, dir: &Path) -> PathBuf {
    changed(good, &dir.join("bad.danso"), |layout, _| {
        std::fs::remove_file(layout.log_key()).expect("it was there");
        LogKey::create(&layout.log_key()).expect("made");
    })
}

/// The same backup, of which something was changed.
fn changed(good: &Path, out: &Path, change: impl FnOnce(&Layout, &mut Manifest)) -> PathBuf {
    let dir = tempfile::tempdir().expect("dir");
    let layout = Layout::create(dir.path().join("unpacked")).expect("a directory");
    let (mut manifest, config) = unpack(Reader::open(good, None).expect("a backup"), &layout).expect("unpacked");
    change(&layout, &mut manifest);
    let mut parts = vec![("danso.toml".to_owned(), Source::Bytes(config))];
    for part in &manifest.parts {
        if part.name != "danso.toml" {
            parts.push((part.name.clone(), Source::File(layout.dir().join(&part.name))));
        }
    }
    archive::write(out, manifest, &parts, None).expect("written");
    out.to_path_buf()
}

#[test]
fn a_backup_of_earlier_rules_is_restored_whatever_they_made() {
    let dir = tempfile::tempdir().expect("dir");
    on_runtime(async {
        let good = good(dir.path()).await;
        let old = changed(&good, &dir.path().join("old.danso"), |_, manifest| {
            manifest.rules -= 1;
            manifest.derived.truncate(6);
            manifest.derived.iter_mut().for_each(|table| table.rows += 1);
            manifest.figures.values_mut().for_each(|figure| *figure += 1);
        });
        assert_eq!(drill(&old, dir.path(), None).await.expect("drilled").refusal(), None);
        restore::restore(&old, &dir.path().join("back"), None).await.expect("restored");
        let wrong = changed(&good, &dir.path().join("wrong.danso"), |_, manifest| {
            manifest.derived[0].table = "nowhere".to_owned();
        });
        let refusal = drill(&wrong, dir.path(), None).await.expect("drilled").refusal().expect("it is not good");
        assert!(refusal.reason == Reason::BackupDamaged && refusal.detail.contains("nowhere"), "{}", refusal.detail);
    });
}

#[test]
fn a_backup_whose_log_key_is_not_the_one_that_its_directory_names_is_found_out() {
    let dir = tempfile::tempdir().expect("dir");
    on_runtime(async {
        let good = good(dir.path()).await;
        assert_eq!(drill(&good, dir.path(), None).await.expect("drilled").refusal(), None);
        let bad = with_another_key(&good, dir.path());
        let refusal = drill(&bad, dir.path(), None).await.expect("drilled").refusal().expect("it is not good");
        assert_eq!(refusal.reason, Reason::BackupDamaged);
        assert!(refusal.detail.contains("log key"), "{}", refusal.detail);
        let back = dir.path().join("back");
        let restored = restore::restore(&bad, &back, None).await;
        assert!(matches!(restored, Err(Error::Refused(refusal)) if refusal.reason == Reason::BackupDamaged));
    });
}

#[test]
fn a_backup_in_the_middle_of_a_change_of_keys_holds_both_and_one_with_neither_is_not_made() {
    let dir = tempfile::tempdir().expect("dir");
    on_runtime(async {
        let data = dir.path().join("vn");
        let layout = central(&data).await;
        let rotation = Rotation::new(layout.log_key(), layout.next_log_key());
        let named = *LogKey::load(&layout.log_key()).expect("a key").public_key();
        rotation.begin().expect("begun");
        let out = dir.path().join("between.danso");
        taken(&data, &out).await.expect("taken");
        let unpacked = Layout::create(dir.path().join("unpacked")).expect("a directory");
        unpack(Reader::open(&out, None).expect("a backup"), &unpacked).expect("unpacked");
        assert!(Rotation::new(unpacked.log_key(), unpacked.next_log_key()).holds(&named));
        assert!(unpacked.next_log_key().exists());
        // The key is another one than the directory names, before the copy and after.
        let data = dir.path().join("other");
        let layout = central(&data).await;
        std::fs::remove_file(layout.log_key()).expect("it was there");
        LogKey::create(&layout.log_key()).expect("made");
        let out = dir.path().join("wrong.danso");
        let refusal = taken(&data, &out).await.err().expect("refused");
        assert_eq!(refusal.reason, Reason::KeyNotEnrolled);
        assert!(!out.exists(), "nothing half made");
    });
}

#[test]
fn of_the_keys_before_and_after_the_copy_those_go_into_a_backup_that_its_directory_names() {
    let dir = tempfile::tempdir().expect("dir");
    let key = |name: &str| {
        let path = dir.path().join(name);
        let named = *LogKey::create(&path).expect("made").public_key();
        let pem = std::fs::read(&path).expect("read");
        (named, move || vec![("keys/log.pem".to_owned(), Source::Bytes(pem.clone()))])
    };
    let ((old, before), (new, after), (other, _)) = (key("old.pem"), key("new.pem"), key("other.pem"));
    let chosen = |named| {
        let keys = fitting(before(), after(), Some(&named)).ok()?;
        Some(match &keys[..] {
            [(_, Source::Bytes(pem))] => pem.clone(),
            _ => panic!("one key"),
        })
    };
    let pem = |name: &str| std::fs::read(dir.path().join(name)).ok();
    assert_eq!((chosen(old), chosen(new), chosen(other)), (pem("old.pem"), pem("new.pem"), None));
}

#[test]
fn a_backup_of_a_node_that_did_not_end_cleanly_says_so_when_it_is_restored() {
    let dir = tempfile::tempdir().expect("dir");
    on_runtime(async {
        // Of two nodes: a process makes one backup of a node.
        let restored = async |name: &str, unclean: bool| {
            let data = dir.path().join(format!("{name}-data"));
            let layout = central(&data).await;
            if unclean {
                std::fs::remove_file(layout.dir().join("danso.db.sha256")).expect("as after a power cut");
            }
            let (out, back) = (dir.path().join(format!("{name}.danso")), dir.path().join(name));
            taken(&data, &out).await.expect("taken");
            restore::restore(&out, &back, None).await.expect("restored");
            let store = Store::open(&back.join("danso.db")).await.expect("it opens");
            let uncompared = store.condition().health().uncompared;
            store.close().await;
            uncompared
        };
        assert!(!restored("clean", false).await);
        assert!(restored("unclean", true).await);
    });
}
