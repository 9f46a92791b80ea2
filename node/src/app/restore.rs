//! `restore`: a node from a backup, in a new place. Everything is checked before the directory becomes a node; it then writes nothing until it
//! is known not to be an old copy.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use danso_core::register::Rules;
use danso_proto::ids::Fingerprint;
use danso_proto::refusal::{Reason, Refusal};

use super::backup::{figures, tables};
use super::rebuild::hex;
use super::run::place;
use super::{Error, META_PARENT, database, out};
use crate::archive::{self, Manifest, Part, Reader, SecretString};
use crate::config::{Config, Fresh, Layout};
use crate::files;
use crate::keys::Rotation;
use crate::pipeline::{self, heads};
use crate::store::Store;

/// What `restore` made.
pub(super) struct Restored {
    pub(super) manifest: Manifest,
    /// Whether it has a parent, who can confirm that it is not behind.
    pub(super) parent: Option<String>,
    /// Its log key is there: it can run.
    pub(super) has_key: bool,
    /// The server that its database was on.
    pub(super) server: Option<String>,
}

/// Something that a backup says and that was found.
pub(super) struct Check {
    pub(super) what: String,
    pub(super) said: String,
    pub(super) found: String,
}

impl Check {
    pub(super) fn new(what: impl Into<String>, said: impl ToString, found: impl ToString) -> Self {
        Self { what: what.into(), said: said.to_string(), found: found.to_string() }
    }

    pub(super) fn holds(&self) -> bool {
        self.said == self.found
    }
}

/// In a directory while it is filled: what else is in there then is ours, and may be removed.
pub(super) const MARK: &str = ".restoring";

/// Makes a node from a backup in `data`, which must be empty or absent.
pub(super) async fn restore(input: &Path, data: &Path, passphrase: Option<&SecretString>) -> Result<Restored, Error> {
    // The backup first: nothing is made on disk for one that cannot be read.
    let reader = Reader::open(input, passphrase)?;
    let missing = Layout::missing(data);
    let layout = prepare(data)?;
    let _lock = layout.lock()?;
    match fill(reader, &layout).await {
        Ok(restored) => Ok(restored),
        Err(error) => {
            match clear(&layout) {
                Err(left) => out::note(format_args!("{} could not be emptied again: {left}", data.display())),
                Ok(()) => drop(Fresh::of(&layout, missing).map(Fresh::remove)),
            }
            Err(error)
        }
    }
}

async fn fill(reader: Reader, layout: &Layout) -> Result<Restored, Error> {
    let (manifest, config) = unpack(reader, layout)?;
    let store = Store::open_copy(&layout.database()).await?;
    let checks = examine(&store, &manifest, layout).await?;
    if let Some(wrong) = checks.iter().find(|check| !check.holds()) {
        return Err(differs(wrong).into());
    }
    pipeline::mark_restored(&store, manifest.taken_at_ms).await?;
    let parent = store.read("restore").await?.meta_get(META_PARENT).await?;
    store.close().await;
    // The configuration last: a directory without it is no node.
    let failed = |source| Error::Io { what: format!("cannot write {}", layout.config().display()), source };
    let parsed = Config::parse(&String::from_utf8_lossy(&config), &layout.config()).ok();
    let server = parsed.as_ref().and_then(|config| config.server.clone());
    match parsed.filter(|_| server.is_some()) {
        // What is restored is in the file. The server may hold a node that runs.
        Some(config) => Config { server: None, ..config }.write(&layout.config())?,
        None => files::create_new(&layout.config(), &config, 0o600).map_err(failed)?,
    }
    fs::remove_file(layout.dir().join(MARK)).map_err(failed)?;
    Ok(Restored {
        has_key: layout.log_key().exists(),
        server: server.map(|server| server.address.to_string()),
        parent: parent.map(|parent| String::from_utf8_lossy(&parent).into_owned()),
        manifest,
    })
}

/// What to tell of the first thing that is not as it was.
pub(super) fn differs(wrong: &Check) -> Refusal {
    let detail = format!("{}: the backup says {}, and has {}", wrong.what, wrong.said, wrong.found);
    Refusal::new(Reason::BackupDamaged, detail)
}

/// The directory, empty but for what is needed to fill it.
fn prepare(data: &Path) -> Result<Layout, Error> {
    let failed = |source| Error::Io { what: format!("cannot use the directory {}", data.display()), source };
    let fresh = match fs::read_dir(data) {
        Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| is_made_first(&entry))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    let layout = Layout::create(data)?;
    let mark = data.join(MARK);
    if !fresh {
        if !mark.exists() || layout.config().exists() {
            let detail = format!("{} is not empty; restore into a new directory", data.display());
            return Err(Refusal::new(Reason::DirectoryNotEmpty, detail).into());
        }
        // A restore was killed in here.
        clear(&layout).map_err(failed)?;
        fs::create_dir_all(layout.keys()).map_err(failed)?;
    }
    File::create(&mark).map_err(failed)?;
    Ok(layout)
}

/// What is there before the mark: of a restore that was killed first of all nothing else is left.
fn is_made_first(entry: &fs::DirEntry) -> bool {
    let is_empty = || fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
    match entry.file_name().to_string_lossy().as_ref() {
        "lock" => true,
        "keys" => is_empty(),
        _ => false,
    }
}

/// Removes what a restore put there.
fn clear(layout: &Layout) -> std::io::Result<()> {
    for entry in fs::read_dir(layout.dir())? {
        let entry = entry?;
        match entry.file_name().to_string_lossy().as_ref() {
            "lock" => {}
            "keys" => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Puts the parts where they belong, each synced; the manifest and the configuration, which is not put there yet.
pub(super) fn unpack(reader: Reader, layout: &Layout) -> Result<(Manifest, Vec<u8>), Error> {
    // Kept aside under another name, because a directory with a configuration is a node.
    let config = layout.dir().join(".danso.toml.part");
    let manifest = reader.unpack(|part| {
        let path = match part.name.as_str() {
            "danso.toml" => config.clone(),
            _ => layout.dir().join(safe(part)?),
        };
        let io = |source| archive::Error::Io { what: format!("write {}", path.display()), source };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
        Ok(Box::new(Synced(file)))
    })?;
    let io = |source| Error::Io { what: format!("cannot read {}", config.display()), source };
    let text = fs::read(&config).map_err(io)?;
    fs::remove_file(&config).map_err(io)?;
    for dir in [layout.keys(), layout.dir().to_path_buf()] {
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    }
    Ok((manifest, text))
}

/// The places that a part may have. A manifest is only as good as who made it.
fn safe(part: &Part) -> Result<&str, archive::Error> {
    let name = part.name.as_str();
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let known = matches!(name, "danso.db" | "heads") || name.strip_prefix("keys/").is_some_and(plain);
    match known {
        true => Ok(name),
        false => Err(archive::Error::Damaged(format!("it has a part {name:?}, which no node has"))),
    }
}

/// A file that is on the disk when it was flushed.
struct Synced(File);

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.sync_all()
    }
}

/// Verifies every log from the anchor and compares all that the backup says of itself with what is in its database.
pub(super) async fn examine(store: &Store, manifest: &Manifest, layout: &Layout) -> Result<Vec<Check>, Error> {
    let damaged = |error: Error| match error {
        Error::Pipeline(error) => Error::Refused(Refusal::new(Reason::BackupDamaged, chain(&error))),
        Error::Store(error) => Error::Refused(Refusal::new(Reason::BackupDamaged, chain(&error))),
        error => error,
    };
    checks(store, manifest, layout).await.map_err(damaged)
}

async fn checks(store: &Store, manifest: &Manifest, layout: &Layout) -> Result<Vec<Check>, Error> {
    let (anchor, _): (Fingerprint, _) = place(store).await?;
    let verified = pipeline::verify(store, anchor).await?;
    let mut tx = store.read("examine").await?;
    let node = pipeline::node_of(&mut tx).await?.map(|node| node.to_string()).unwrap_or_default();
    let mut checks = vec![
        Check::new("node", &manifest.node, node),
        Check::new("anchor", &manifest.anchor, anchor),
        Check::new("number of logs", manifest.logs.len(), verified.len()),
    ];
    if manifest.keys
        && let Some(named) = pipeline::named_key(store, anchor).await?
    {
        // With another key nothing that the restored node writes would count.
        let rotation = Rotation::new(layout.log_key(), layout.next_log_key());
        let found = if rotation.holds(&named) { named.fingerprint().to_string() } else { "another key".to_owned() };
        checks.push(Check::new("log key", named.fingerprint(), found));
    }
    for (log, head) in &verified {
        let said = manifest.logs.iter().find(|said| said.log == log.to_string());
        let said = said.map(|said| format!("{} {}", said.size, said.root)).unwrap_or_default();
        checks.push(Check::new(log.to_string(), said, format!("{} {}", head.size(), hex(&head.root()))));
    }
    // Other rules made other rows, and what opened the copy has dropped those that it keeps in another form: the first start makes them anew from the
    // entries, which were checked. That the file is the one that was written, its digest says.
    if manifest.rules != Rules::CURRENT.version() {
        return Ok(checks);
    }
    let found = tables(&mut tx).await?;
    for said in &manifest.derived {
        let one = |table: &archive::Table| format!("{} rows {}", table.rows, table.sha256);
        let found = found.iter().find(|found| found.table == said.table).map(one).unwrap_or_default();
        checks.push(Check::new(format!("table {}", said.table), one(said), found));
    }
    let found = figures(&mut tx).await?;
    for (name, said) in &manifest.figures {
        let found = found.get(name).map(i64::to_string).unwrap_or_default();
        checks.push(Check::new(name.as_str(), said, found));
    }
    Ok(checks)
}

/// An error with everything behind it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// Takes the mark of a restored node away; why not, when it is known to be behind or was not restored.
pub(super) async fn confirm(data: &Path) -> Result<Option<Refusal>, Error> {
    let layout = Layout::open(data)?;
    let _lock = layout.lock()?;
    let store = database::of(&layout).await?;
    let refusal = {
        let mut tx = store.read("confirm").await?;
        let me = pipeline::node_of(&mut tx).await?;
        let is_root = tx.meta_get(META_PARENT).await?.is_none();
        let logs = tx.log_list().await?;
        let behind = logs.into_iter().find(|row| {
            Some(row.log.node()) == me.as_ref()
                && row.trouble.as_ref().is_some_and(|(code, _)| code == Reason::ReadOnly.code())
        });
        behind.map(|row| {
            let (log, data) = (&row.log, data.display());
            let mut detail = format!("{log} is behind. {}", heads::advice(is_root, store.is_file(), &data));
            if !is_root {
                detail.push_str(&format!(
                    "; if this node is a child of another node by now: a token from there (danso-admin child invite --node {}), then \
                     danso-node recover --data {data} --token-file FILE",
                    log.node()
                ));
            }
            Refusal::new(Reason::ReadOnly, detail)
        })
    };
    let refusal = match refusal {
        Some(refusal) => Some(refusal),
        None => match pipeline::confirm_restored(&store).await? {
            Some(_) => None,
            None => Some(Refusal::new(Reason::NotFound, "this node was not restored, or is confirmed already")),
        },
    };
    store.close().await;
    Ok(refusal)
}
