//! Reading a backup. Nothing of it is believed before its sum at the end was found right: until then whoever reads keeps what comes where it
//! does no harm.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::Path;

use age::secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::{AGE_MAGIC, Error, FORMAT, MAGIC, MANIFEST_MAX, Manifest, Part, SUM, WORK_MAX};

type Plain = BufReader<Box<dyn Read>>;

/// A backup that is being read.
pub struct Reader {
    manifest: Manifest,
    body: zstd::Decoder<'static, BufReader<Tail<Plain>>>,
}

impl Reader {
    /// Opens a backup and reads its manifest.
    ///
    /// # Errors
    /// When it is none, is damaged, or the passphrase does not open it.
    pub fn open(path: &Path, passphrase: Option<&SecretString>) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(format!("open the backup {}", path.display())))?;
        let mut file = BufReader::new(file);
        let begin = file.fill_buf().map_err(broken)?;
        let mut plain: Plain = match begin.starts_with(AGE_MAGIC) {
            true => BufReader::new(Box::new(unlocked(file, passphrase)?)),
            false => BufReader::new(Box::new(file)),
        };
        let mut magic = [0; MAGIC.len()];
        plain.read_exact(&mut magic).map_err(|_| Error::NotABackup)?;
        if magic != *MAGIC {
            return Err(Error::NotABackup);
        }
        let mut sum = Sha256::new();
        sum.update(magic);
        let tail = Tail { inner: plain, sum, kept: Vec::new(), read: false };
        let mut body = zstd::Decoder::with_buffer(BufReader::new(tail)).map_err(broken)?;
        let mut length = [0; 4];
        body.read_exact(&mut length).map_err(broken)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MANIFEST_MAX {
            return Err(Error::Damaged(format!("a manifest of {length} bytes")));
        }
        let mut bytes = Vec::new();
        (&mut body).take(length as u64).read_to_end(&mut bytes).map_err(broken)?;
        /// All that is read of a form that is not known.
        #[derive(serde::Deserialize)]
        struct Form {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| Error::Damaged(format!("its manifest: {error}"));
        let form: Form = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if form.format > FORMAT {
            return Err(Error::Newer { found: form.format });
        }
        Ok(Self { manifest: serde_json::from_slice(&bytes).map_err(unreadable)?, body })
    }

    /// What it says about itself. Not to be believed before [`Self::unpack`] has returned.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hands each part to what `place` gives for it, and returns the manifest once everything was found right.
    ///
    /// # Errors
    /// With the first part that is not what the manifest says, or when the sum of the whole is wrong.
    pub fn unpack(mut self, mut place: impl FnMut(&Part) -> Result<Box<dyn Write>, Error>) -> Result<Manifest, Error> {
        for part in &self.manifest.parts {
            let mut to = place(part)?;
            let mut sum = Sha256::new();
            let mut left = part.size;
            let mut buffer = vec![0; 64 * 1024];
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.body.read(&mut buffer[..most]).map_err(broken)?;
                if read == 0 {
                    return Err(Error::Damaged(format!("{} ends early", part.name)));
                }
                sum.update(&buffer[..read]);
                to.write_all(&buffer[..read]).map_err(Error::io(format!("write {}", part.name)))?;
                left -= read as u64;
            }
            to.flush().map_err(Error::io(format!("write {}", part.name)))?;
            if hex(&sum.finalize()) != part.sha256 {
                return Err(Error::Damaged(format!("{} is not what was written", part.name)));
            }
        }
        if self.body.read(&mut [0]).map_err(broken)? != 0 {
            return Err(Error::Damaged("something follows its last part".into()));
        }
        let mut tail = self.body.finish().into_inner();
        // Whatever the decoder left: the sum is over all of it.
        io::copy(&mut tail, &mut io::sink()).map_err(broken)?;
        if tail.kept != tail.sum.finalize()[..] {
            return Err(Error::Damaged("its sum is wrong".into()));
        }
        Ok(self.manifest)
    }
}

fn unlocked(file: BufReader<File>, passphrase: Option<&SecretString>) -> Result<impl Read + use<>, Error> {
    let passphrase = passphrase.ok_or(Error::PassphraseMissing)?;
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(WORK_MAX);
    let opened = age::Decryptor::new_buffered(file)
        .and_then(|locked| locked.decrypt(std::iter::once(&identity as &dyn age::Identity)));
    opened.map_err(|error| match error {
        age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::NoMatchingKeys => Error::PassphraseWrong,
        error => Error::Damaged(error.to_string()),
    })
}

/// Whatever does not decrypt or inflate was damaged; a disk that does not read cannot be told apart from here.
fn broken(error: io::Error) -> Error {
    Error::Damaged(error.to_string())
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives all but the last [`SUM`] bytes, and sums up what it gives.
struct Tail<R> {
    inner: R,
    sum: Sha256,
    kept: Vec<u8>,
    read: bool,
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.read {
            self.read = true;
            (&mut self.inner).take(SUM as u64).read_to_end(&mut self.kept)?;
        }
        let mut fresh = vec![0; out.len()];
        let read = self.inner.read(&mut fresh)?;
        // The oldest bytes go out, the newest stay.
        self.kept.extend_from_slice(&fresh[..read]);
        let given = read.min(self.kept.len().saturating_sub(SUM));
        out[..given].copy_from_slice(&self.kept[..given]);
        self.sum.update(&out[..given]);
        self.kept.drain(..given);
        Ok(given)
    }
}
