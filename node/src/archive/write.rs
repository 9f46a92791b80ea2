//! Writing a backup: beside its place, synced, then named.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use sha2::{Digest as _, Sha256};
use tempfile::{TempDir, TempPath};

use super::{Error, FORMAT, MAGIC, Manifest, Part, WORK};

/// What becomes a part.
#[derive(Debug)]
pub enum Source {
    /// A file that does not change any more.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Source {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Bytes(bytes) => Box::new(&bytes[..]),
        })
    }

    fn part(&self, name: &str) -> io::Result<Part> {
        let mut summed = Summed::new(io::sink());
        let size = io::copy(&mut self.open()?, &mut summed)?;
        Ok(Part { name: name.to_owned(), size, sha256: super::read::hex(&summed.sum()) })
    }
}

/// The directory beside its place in which a backup is written, and its name in there until it is whole.
const BESIDE: &str = ".danso-backup-";
const PART: &str = "part";

/// Removes what backups that were killed have left beside `out`; what could not be removed.
pub fn clear(out: &Path) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for entry in fs::read_dir(place_of(out)).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(BESIDE) {
            continue;
        }
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let part = if is_dir { path.join(PART) } else { path.clone() };
        // Who writes it holds it.
        if File::open(part).is_ok_and(|part| matches!(part.try_lock(), Err(TryLockError::WouldBlock))) {
            continue;
        }
        // Earlier versions wrote a file, without a directory for it.
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if removed.is_err() {
            left.push(path);
        }
    }
    left
}

fn place_of(out: &Path) -> &Path {
    out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes `sources` with their names as a backup to `out`, with mode 0600; fills in the manifest's form and parts. After return it is
/// durable, and its size in bytes is known.
///
/// # Errors
/// When `out` exists, or the file system refuses. Nothing is left behind then.
pub fn write(
    out: &Path,
    mut manifest: Manifest,
    sources: &[(String, Source)],
    passphrase: Option<&SecretString>,
) -> Result<u64, Error> {
    let failed = || Error::io(format!("write the backup {}", out.display()));
    if out.exists() {
        return Err(Error::Exists(out.display().to_string()));
    }
    manifest.format = FORMAT;
    manifest.parts = sources
        .iter()
        .map(|(name, source)| source.part(name).map_err(Error::io(format!("read {name}"))))
        .collect::<Result<_, _>>()?;
    let dir = place_of(out);
    let (_beside, part, file) = begin(dir).map_err(failed())?;
    let sink = Sink::new(file.try_clone().map_err(failed())?, passphrase).map_err(failed())?;
    fill(sink, &manifest, sources).and_then(|file| file.sync_all()).map_err(failed())?;
    let size = file.metadata().map_err(failed())?.len();
    part.persist_noclobber(out).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(out.display().to_string()),
        _ => failed()(error.error),
    })?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed())?;
    Ok(size)
}

/// A file in a directory, for their owner only and gone when this is cut short by an error. It is locked: see [`clear`].
pub(super) fn begin(dir: &Path) -> io::Result<(TempDir, TempPath, File)> {
    let mut builder = tempfile::Builder::new();
    let beside = builder.prefix(BESIDE).permissions(Permissions::from_mode(0o700)).tempdir_in(dir)?;
    let part = TempPath::try_from_path(beside.path().join(PART))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.lock()?;
    Ok((beside, part, file))
}

fn fill(sink: Sink, manifest: &Manifest, sources: &[(String, Source)]) -> io::Result<File> {
    let mut summed = Summed::new(sink);
    summed.write_all(MAGIC)?;
    let mut body = zstd::Encoder::new(summed, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    body.include_checksum(true)?;
    let head = serde_json::to_vec(manifest)?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?;
    body.write_all(&length.to_be_bytes())?;
    body.write_all(&head)?;
    for ((name, source), part) in sources.iter().zip(&manifest.parts) {
        if io::copy(&mut source.open()?, &mut body)? != part.size {
            return Err(io::Error::other(format!("{name} changed while it was read")));
        }
    }
    let summed = body.finish()?;
    let sum = summed.sum();
    let mut sink = summed.inner;
    sink.write_all(&sum)?;
    sink.finish()
}

/// Passes on, and sums up.
struct Summed<W> {
    inner: W,
    sum: Sha256,
}

impl<W> Summed<W> {
    fn new(inner: W) -> Self {
        Self { inner, sum: Sha256::new() }
    }

    fn sum(&self) -> [u8; 32] {
        self.sum.clone().finalize().into()
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The file, or what encrypts on the way to it.
enum Sink {
    Plain(File),
    Locked(StreamWriter<File>),
}

impl Sink {
    fn new(file: File, passphrase: Option<&SecretString>) -> io::Result<Self> {
        let Some(passphrase) = passphrase else { return Ok(Self::Plain(file)) };
        let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(WORK);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
        Ok(Self::Locked(encryptor.map_err(io::Error::other)?.wrap_output(file)?))
    }

    fn finish(self) -> io::Result<File> {
        match self {
            Self::Plain(file) => Ok(file),
            Self::Locked(stream) => stream.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Locked(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Locked(stream) => stream.flush(),
        }
    }
}
