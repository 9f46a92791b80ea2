//! `backup`: a consistent copy of a node in one file, whether it runs or not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use danso_core::cube::Measure;
use danso_proto::envelope::{PublicKey, Signer as _, SoftwareSigner};
use danso_proto::refusal::{Reason, Refusal};

use super::rebuild::hex;
use super::run::place;
use super::{Error, clock, database, out};
use crate::archive::{self, HeldLog, Manifest, SecretString, Source, Table};
use crate::clock::Clock as _;
use crate::config::{Config, Layout, Server};
use crate::files;
use crate::keys::LogKey;
use crate::link::SOFTWARE;
use crate::pipeline::heads::{self, Kept};
use crate::pipeline::{self, Outfit};
use crate::store::{self, Store, Tx};

/// What `backup` is told.
pub(super) struct Backup<'a> {
    pub(super) data: &'a Path,
    pub(super) out: &'a Path,
    pub(super) passphrase: Option<&'a SecretString>,
    /// Private keys also without a passphrase.
    pub(super) with_keys: bool,
}

/// What `backup` made.
pub(super) struct Made {
    pub(super) manifest: Manifest,
    pub(super) bytes: u64,
    /// Nobody is above it: what its backups lack nobody can give back.
    pub(super) root: bool,
    /// It is of a node that is behind, or whose entries are not whole: what it wrote last is not in it.
    pub(super) doubt: Option<String>,
}

/// Key files, by name.
pub(super) type Keys = Vec<(String, Source)>;

/// Where the copy of the database is made: in the node's directory, whose disk holds the same data already, and not beside the backup.
const SCRATCH: &str = ".backup-";
/// A certificate among the keys: nothing in it is secret.
const CERTIFICATE: &str = "-cert.pem";
/// What stands in a node's directory beside its database and keys: heads of its own logs, so that an old database is noticed.
const HEADS: &str = "heads";

/// Writes a backup.
pub(super) async fn backup(what: Backup<'_>) -> Result<Made, Error> {
    let layout = Layout::open(what.data)?;
    if what.out.exists() {
        let detail = format!("{} is there already, and a backup never replaces a file", what.out.display());
        return Err(Refusal::new(Reason::DirectoryNotEmpty, detail).into());
    }
    if !layout.config().exists() {
        let detail = format!("{} holds no node that was set up to the end", what.data.display());
        return Err(Refusal::new(Reason::NotFound, detail).into());
    }
    for left in archive::clear(what.out) {
        let left = left.display();
        out::note(format_args!("{left} is left of a backup that was killed and cannot be removed; remove it"));
    }
    // The heads before the database: they may then say less than it, never more.
    let heads = heads::read(&layout.dir().join(HEADS));
    let mut sources = small_files(&layout)?;
    let private = what.passphrase.is_some() || what.with_keys;
    let before = keys(&layout, private)?;
    let scratch = scratch(&layout)?;
    let copy = scratch.path().join("danso.db");
    let taken_at_ms = clock().now_ms();
    let unclean = match database::server(&layout) {
        None => {
            // Of a node that runs the database says it itself.
            let unclean = store::ended_unclean(&layout.database()) && layout.lock().is_ok();
            store::copy(&layout.database(), &copy).await?;
            unclean
        }
        Some(server) => {
            copy_from(&layout, &server, &copy).await?;
            false
        }
    };
    let Described { manifest, root, named, doubt } = describe(&copy, unclean, &layout, heads).await?;
    let keys = match private {
        true => fitting(before, keys(&layout, private)?, named.as_ref())?,
        false => before,
    };
    let with_keys = keys.iter().any(|(name, _)| !name.ends_with(CERTIFICATE));
    sources.extend(keys);
    let manifest = Manifest { keys: with_keys, taken_at_ms, ..manifest };
    sources.push(("danso.db".into(), Source::File(copy)));
    let (out, passphrase) = (what.out.to_path_buf(), what.passphrase.cloned());
    let written = manifest.clone();
    let bytes = tokio::task::spawn_blocking(move || archive::write(&out, written, &sources, passphrase.as_ref()))
        .await
        .map_err(|error| Refusal::new(Reason::Internal, format!("the backup broke: {error}")))??;
    Ok(Made { manifest, bytes, root, doubt })
}

/// The database on a server as it is at one moment, in a file: backups are alike wherever the node's database is.
async fn copy_from(layout: &Layout, server: &Server, copy: &Path) -> Result<(), Error> {
    let store = database::look_at(layout, server).await?;
    let copied = async {
        store.is_in_use().await?;
        let mut view = store.read("backup").await?;
        room_for(view.bytes().await?, layout)?;
        Ok(store::copy_to_file(&mut view, copy).await?)
    };
    let copied = copied.await;
    store.close_unsealed().await;
    copied
}

/// Refuses to copy a database to a disk that would be full with it: the node writes there, too.
pub(super) fn room_for(bytes: u64, layout: &Layout) -> Result<(), Error> {
    let (free, floor) = (store::free(&layout.database()), Config::load(&layout.config())?.min_free());
    let free = free.map_err(io(format!("cannot tell how much room there is in {}", layout.dir().display())))?;
    let (least, mib) = (bytes.saturating_add(floor), |bytes: u64| bytes.div_ceil(1024 * 1024));
    if free >= least {
        return Ok(());
    }
    let detail = format!(
        "a backup of a node on a server is made of a copy of its database in {}: {} MiB are free there, and {} MiB would have to be; make room",
        layout.dir().display(),
        mib(free),
        mib(least)
    );
    Err(Refusal::new(Reason::DiskFull, detail).into())
}

fn io(what: String) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { what, source }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(io(format!("cannot read {}", path.display())))
}

fn small_files(layout: &Layout) -> Result<Vec<(String, Source)>, Error> {
    let mut files = vec![("danso.toml".to_owned(), Source::Bytes(read(&layout.config())?))];
    let heads = layout.dir().join(HEADS);
    if heads.exists() {
        files.push((HEADS.to_owned(), Source::Bytes(read(&heads)?)));
    }
    Ok(files)
}

/// The certificates, and the private keys if wanted.
fn keys(layout: &Layout, private: bool) -> Result<Keys, Error> {
    let what = || format!("cannot read {}", layout.keys().display());
    let mut files = Vec::new();
    for entry in fs::read_dir(layout.keys()).map_err(io(what()))? {
        let entry = entry.map_err(io(what()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What is being written beside begins with a dot.
        if entry.file_type().map_err(io(what()))?.is_file()
            && !name.starts_with('.')
            && (private || name.ends_with(CERTIFICATE))
        {
            match fs::read(entry.path()) {
                Ok(bytes) => files.push((format!("keys/{name}"), Source::Bytes(bytes))),
                // A change of keys renames one between the listing and now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(io(format!("cannot read {}", entry.path().display()))(source)),
            }
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

/// Of the keys before and after the database was copied those with the log key that its directory names: the node may have changed its key
/// meanwhile, and restored with another one nothing that it writes would count.
pub(super) fn fitting(before: Keys, after: Keys, named: Option<&PublicKey>) -> Result<Keys, Error> {
    let Some(named) = named else { return Ok(before) };
    let holds = |keys: &Keys| {
        keys.iter().any(|(_, source)| match source {
            Source::Bytes(pem) => std::str::from_utf8(pem)
                .ok()
                .and_then(|pem| SoftwareSigner::from_pkcs8_pem(pem).ok())
                .is_some_and(|key| key.public_key() == named),
            Source::File(_) => false,
        })
    };
    [before, after].into_iter().find(holds).ok_or_else(|| {
        let detail = format!(
            "none of the keys is the log key that the directory names ({}): a backup with them could not write again. \
             If the key is changing, run backup again; else see danso-node doctor",
            named.fingerprint()
        );
        Refusal::new(Reason::KeyNotEnrolled, detail).into()
    })
}

/// A directory for the copy, for the node's user only; what a killed backup left is removed.
fn scratch(layout: &Layout) -> Result<tempfile::TempDir, Error> {
    let what = || format!("cannot make room for the copy in {}", layout.dir().display());
    let lock = layout.lock_for_backup()?;
    for entry in fs::read_dir(layout.dir()).map_err(io(what()))? {
        let entry = entry.map_err(io(what()))?;
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) && entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).map_err(io(what()))?;
        }
    }
    // Held until the process ends, so that no other backup takes the copy for a left-over.
    std::mem::forget(lock);
    let mut builder = tempfile::Builder::new();
    builder.prefix(SCRATCH).permissions(fs::Permissions::from_mode(0o700)).tempdir_in(layout.dir()).map_err(io(what()))
}

/// What there is to say about a copy of a database.
struct Described {
    manifest: Manifest,
    /// It is the root's.
    root: bool,
    /// The log key that its directory names.
    named: Option<PublicKey>,
    /// Why it is not all that its node wrote.
    doubt: Option<String>,
}

async fn describe(copy: &Path, unclean: bool, layout: &Layout, heads: Kept) -> Result<Described, Error> {
    let store = Store::open_copy(copy).await?;
    if unclean {
        store.suspect().await?;
    }
    let (anchor, parent) = place(&store).await?;
    let named = pipeline::named_key(&store, anchor).await?;
    let mut tx = store.read("describe").await?;
    let logs = tx.log_list().await?;
    let node = pipeline::node_of(&mut tx).await?;
    let node = node.ok_or_else(|| Refusal::new(Reason::NotFound, "no node was set up here"))?;
    let manifest = Manifest {
        format: 0,
        software: SOFTWARE.to_owned(),
        rules: pipeline::made_by(&mut tx).await?,
        node: node.to_string(),
        anchor: anchor.to_string(),
        taken_at_ms: 0,
        keys: false,
        logs: logs
            .iter()
            .map(|row| HeldLog { log: row.log.to_string(), size: row.head.size(), root: hex(&row.head.root()) })
            .collect(),
        derived: tables(&mut tx).await?,
        figures: figures(&mut tx).await?,
        parts: Vec::new(),
    };
    drop(tx);
    // A node without its log key cannot run; that is told elsewhere.
    let doubt = match LogKey::load(&layout.log_key()) {
        Ok(key) => {
            let outfit = Outfit { store: store.clone(), signer: Arc::new(key), clock: clock(), anchor };
            pipeline::behind(&outfit, heads).await.unwrap_or_else(|error| Some(error.refusal())).map(|why| why.detail)
        }
        Err(_) => None,
    };
    // Folds its write-ahead log: the file alone is the database then.
    store.close().await;
    Ok(Described { manifest, root: parent.is_none(), named, doubt })
}

/// The derived tables as a manifest has them.
pub(super) async fn tables(tx: &mut Tx) -> Result<Vec<Table>, store::Error> {
    let derived = tx.derived().await?;
    let table = |of: &store::TableDigest| Table { table: of.table.to_owned(), rows: of.rows, sha256: hex(&of.sha256) };
    Ok(derived.tables.iter().map(table).collect())
}

/// Some figures that people know, by name.
pub(super) async fn figures(tx: &mut Tx) -> Result<std::collections::BTreeMap<String, i64>, store::Error> {
    let (persons, waiting, findings) = tx.counts().await?;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut figures = std::collections::BTreeMap::new();
    figures.insert("persons".to_owned(), count(persons));
    figures.insert("waiting".to_owned(), count(waiting));
    figures.insert("findings".to_owned(), count(findings));
    figures.insert("changes".to_owned(), count(tx.change_count().await?));
    for (name, measure) in [("residents", Measure::Residents), ("births", Measure::Births), ("deaths", Measure::Deaths)]
    {
        figures.insert(name.to_owned(), tx.cube_total(measure).await?);
    }
    Ok(figures)
}

/// A passphrase from the first line of a file.
pub(super) fn passphrase(file: Option<&PathBuf>) -> Result<Option<SecretString>, Refusal> {
    let Some(file) = file else { return Ok(None) };
    let unfit = |why: String| {
        let detail =
            format!("the passphrase file {}: {why}; give a file whose first line is the passphrase", file.display());
        Refusal::new(Reason::NotFound, detail)
    };
    let line = files::first_line(file).map_err(|error| unfit(error.to_string()))?;
    Ok(Some(SecretString::from(line)))
}
