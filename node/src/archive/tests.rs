//! A backup gives back what went into it, or says that it cannot.

use std::sync::{Arc, Mutex};

use super::*;

fn manifest() -> Manifest {
    Manifest {
        format: 0,
        software: "danso/0".into(),
        rules: 1,
        node: "17065-0123456789abcdef".into(),
        anchor: String::new(),
        taken_at_ms: 7,
        keys: true,
        logs: Vec::new(),
        derived: Vec::new(),
        figures: [("persons".to_owned(), 3)].into(),
        parts: Vec::new(),
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read(path: &std::path::Path, passphrase: Option<&SecretString>) -> Result<(Manifest, Vec<Vec<u8>>), Error> {
    let mut all = Vec::new();
    let manifest = Reader::open(path, passphrase)?.unpack(|_| {
        let kept = Kept::default();
        all.push(kept.clone());
        Ok(Box::new(kept))
    })?;
    Ok((manifest, all.into_iter().map(|kept| kept.0.lock().expect("no panic").clone()).collect()))
}

/// Two parts, one of which does not compress.
fn made(dir: &std::path::Path, name: &str, passphrase: Option<&SecretString>) -> std::path::PathBuf {
    let noise: Vec<u8> = (0..3_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let file = dir.join("part");
    std::fs::write(&file, &noise).expect("written");
    let sources = [("a".to_owned(), Source::Bytes(b"one".to_vec())), ("b".to_owned(), Source::File(file))];
    let out = dir.join(name);
    let size = write(&out, manifest(), &sources, passphrase).expect("written");
    assert_eq!(size, std::fs::metadata(&out).expect("there").len());
    out
}

#[test]
fn what_went_in_comes_out_and_nothing_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("dir");
    let passphrase = secret("m\u{1ed9}t c\u{e2}u d\u{e0}i");
    for (name, passphrase) in [("plain", None), ("locked", Some(&passphrase))] {
        let out = made(dir.path(), name, passphrase);
        assert_eq!(std::fs::metadata(&out).expect("there").permissions().mode() & 0o777, 0o600);
        let (manifest, parts) = read(&out, passphrase).expect("whole");
        assert_eq!((manifest.parts.len(), &parts[0][..], parts[1].len()), (2, &b"one"[..], 12_000));
        assert!(matches!(write(&out, manifest, &[], passphrase), Err(Error::Exists(_))));
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("dir").map(|f| f.expect("file").file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left beside: {left:?}");
}

#[test]
fn a_passphrase_that_is_missing_or_wrong_opens_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let out = made(dir.path(), "locked", Some(&secret("right")));
    assert!(matches!(read(&out, None), Err(Error::PassphraseMissing)));
    assert!(matches!(read(&out, Some(&secret("wrong"))), Err(Error::PassphraseWrong)));
    let text = std::fs::read(&out).expect("read");
    assert!(!text.windows(7).any(|bytes| bytes == b"persons"), "the manifest can be read");
}

/// Every bit counts: a flip of any byte of a plain backup, and every shorter or longer file, is found out.
#[test]
fn every_flipped_byte_and_every_cut_is_found() {
    let dir = tempfile::tempdir().expect("dir");
    let out = made(dir.path(), "plain", None);
    let whole = std::fs::read(&out).expect("read");
    let broken = dir.path().join("broken");
    let tried = |bytes: &[u8]| {
        std::fs::write(&broken, bytes).expect("written");
        read(&broken, None)
    };
    tried(&whole).expect("a copy is a backup");
    for at in (0..whole.len()).filter(|at| *at < 600 || at % 37 == 0 || *at + 64 > whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let refusal = tried(&bytes).expect_err("a flipped byte").refusal();
        assert_eq!(refusal.expect("a reason").reason, Reason::BackupDamaged, "byte {at}");
    }
    for cut in (0..whole.len()).filter(|at| *at < 64 || at % 997 == 0 || *at + 64 > whole.len()) {
        tried(&whole[..cut]).expect_err("a shorter file");
    }
    let mut longer = whole;
    longer.push(0);
    tried(&longer).expect_err("a longer file");
}

#[test]
fn an_encrypted_backup_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let passphrase = secret("right");
    let out = made(dir.path(), "locked", Some(&passphrase));
    let whole = std::fs::read(&out).expect("read");
    let broken = dir.path().join("broken");
    // In the head, its sum, the nonce, the body and the last block.
    for at in [3, 40, 60, 90, 130, 160, 180, 200, 400, whole.len() / 2, whole.len() - 20, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(&broken, &bytes).expect("written");
        let refusal = read(&broken, Some(&passphrase)).expect_err("a flipped byte").refusal().expect("a reason");
        assert!(matches!(refusal.reason, Reason::BackupDamaged | Reason::PassphraseWrong), "byte {at}: {refusal}");
    }
    for cut in [10, 100, 190, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&broken, &whole[..cut]).expect("written");
        read(&broken, Some(&passphrase)).expect_err("a shorter file");
    }
}

#[test]
fn what_a_killed_backup_left_is_for_its_owner_only_and_the_next_one_removes_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("dir");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let (beside, part, file) = super::write::begin(dir.path()).expect("begun");
    assert_eq!((mode(beside.path()), mode(&part)), (0o700, 0o600));
    std::fs::write(dir.path().join(".danso-backup-old"), "as earlier versions left it").expect("written");
    std::fs::write(dir.path().join("other"), "not ours").expect("written");
    let out = dir.path().join("b.danso");
    assert_eq!(clear(&out), Vec::<std::path::PathBuf>::new());
    assert!(part.exists(), "somebody writes it");
    // Killed: nobody holds it, and nobody removes it.
    drop(file);
    let (beside, _) = (beside.keep(), part.keep().expect("kept"));
    assert_eq!(clear(&out), Vec::<std::path::PathBuf>::new());
    assert!(!beside.exists());
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).expect("dir").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(names, ["other"]);
}
