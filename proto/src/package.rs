//! Packages: consecutive entries of one log on their way, compressed. Everything here is outside what is signed.
//!
//! An envelope whose identity parts all travel with it goes without its commitments: the receiver computes them from the parts and
//! has the signed bytes again. They cannot be compressed and would double a package.
//! Entries are kept at rest in the same form, each by itself ([`Packer`], [`unpack`]).
//! This room knows no signatures: what comes out is as unproven as what came in.

use std::io::Read as _;

use bytes::Bytes;
use prost::Message as _;

use crate::identity::PartSet;
use crate::ids::LogId;
use crate::limits;
use crate::pb::exchange::v1 as pb;
use crate::refusal::{Reason, Refusal};
use crate::wire;

/// zstd level of packages on a link. Measured on simulated household books and change slips (200 to 1,000 changes a set, one core):
/// level 3 takes 1.4 to 1.9 times the bytes of `zstd -19` over the CSV files, 9 takes 1.3 to 1.65, 15 takes 1.2 to 1.55, 19 takes 1.2 to 1.5,
/// at 900,000, 300,000, 60,000 and 25,000 changes a second. A long window over packages would gain a tenth and cost that each
/// package can be read alone.
pub const PACKAGE_ZSTD_LEVEL: i32 = 9;
/// zstd level of packages in bundle files, which are written once and carried for days.
pub const BUNDLE_ZSTD_LEVEL: i32 = 19;
/// zstd level of entries at rest. It is paid for every entry that is taken in; the bytes that it saves are written twice, and read.
const REST_ZSTD_LEVEL: i32 = 1;
/// First bytes of a zstd frame (RFC 8878, section 3.1.1). No envelope begins with them.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes of a zstd frame that say how much is inside, at most (RFC 8878, section 3.1.1.1).
pub const ZSTD_HEADER_MAX: usize = 18;
/// Bytes that an entry's fields take around its envelope and parts.
const ENTRY_OVERHEAD: usize = 24;

/// Consecutive entries of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The log.
    pub log: LogId,
    /// Sequence of the first entry.
    pub first: u64,
    /// 1 to 256 entries.
    pub entries: Vec<SealedEntry>,
    /// The author's checkpoint for the size after the last entry, a signed note.
    pub checkpoint: Option<String>,
}

impl Package {
    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        let entry = |entry: &SealedEntry| {
            ENTRY_OVERHEAD + entry.envelope.len() + entry.parts.as_ref().map_or(0, PartSet::encoded_len)
        };
        self.entries.iter().map(entry).sum()
    }
}

/// An envelope's exact bytes and the identity parts beside it. The bytes are not read here, so that one bad envelope is refused
/// at its own sequence and leaves the entries before it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// Envelope bytes, verbatim.
    pub envelope: Bytes,
    /// Identity parts; `None` when they are withheld altogether.
    pub parts: Option<PartSet>,
}

/// About how many bytes an entry takes in a package before compression. Senders cut packages where the sum would pass
/// [`limits::PACKAGE_BYTES_MAX`]; an entry that is larger by itself travels alone.
pub fn entry_size(envelope_len: usize, parts: Option<&PartSet>) -> usize {
    let parts_len = parts.map_or(0, PartSet::encoded_len);
    let elided = parts.filter(|parts| parts.is_complete()).map_or(0, |parts| 32 * parts.parts.len());
    envelope_len.saturating_sub(elided) + parts_len + ENTRY_OVERHEAD
}

impl SealedEntry {
    /// See [`entry_size`].
    pub fn size(&self) -> usize {
        entry_size(self.envelope.len(), self.parts.as_ref())
    }

    fn to_pb(&self) -> pb::SealedEntry {
        to_pb(&self.envelope, self.parts.as_ref())
    }

    fn from_pb(entry: pb::SealedEntry) -> Result<Self, Refusal> {
        let parts = entry.identity.map(PartSet::from_pb).transpose()?;
        let envelope = match (entry.envelope, &parts) {
            (Some(pb::sealed_entry::Envelope::Verbatim(envelope)), _) => envelope,
            (Some(pb::sealed_entry::Envelope::Elided(elided)), Some(parts)) => restore(&elided, parts)?,
            _ => return Err(malformed("an entry without envelope, or cut without the parts to restore it from")),
        };
        if envelope.len() > limits::ENVELOPE_BYTES_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("envelope of {} bytes", envelope.len())));
        }
        Ok(Self { envelope, parts })
    }
}

fn to_pb(envelope: &Bytes, parts: Option<&PartSet>) -> pb::SealedEntry {
    let envelope = match parts.and_then(|parts| elide(envelope, parts)) {
        Some(elided) => pb::sealed_entry::Envelope::Elided(elided),
        None => pb::sealed_entry::Envelope::Verbatim(envelope.clone()),
    };
    pb::SealedEntry { envelope: Some(envelope), identity: parts.map(PartSet::to_pb) }
}

/// All commitments in a row; `None` when a part is not here.
fn run(parts: &PartSet) -> Option<Vec<u8>> {
    Some(parts.commitments().into_iter().collect::<Option<Vec<_>>>()?.concat())
}

/// Cuts the commitments out, if the envelope has just those that the parts give.
fn elide(envelope: &Bytes, parts: &PartSet) -> Option<pb::ElidedEnvelope> {
    let run = run(parts).filter(|run| !run.is_empty())?;
    // From the end: authors write the commitments as the last field of the payload. What is found is the very bytes, so that
    // head || run || tail is the envelope by construction.
    let at = envelope.windows(run.len()).rposition(|window| window == run)?;
    Some(pb::ElidedEnvelope { head: envelope.slice(..at), tail: envelope.slice(at + run.len()..) })
}

fn restore(elided: &pb::ElidedEnvelope, parts: &PartSet) -> Result<Bytes, Refusal> {
    let length = elided.head.len() + elided.tail.len() + 32 * parts.parts.len();
    if length > limits::ENVELOPE_BYTES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("envelope of {length} bytes")));
    }
    let run = run(parts).ok_or_else(|| malformed("an envelope is cut and a part is missing"))?;
    Ok([&elided.head[..], &run, &elided.tail].concat().into())
}

/// Packs entries to be kept.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// One for many entries: what it works with is made once.
    pub fn new() -> Self {
        Self(
            zstd::bulk::Compressor::new(REST_ZSTD_LEVEL)
                .expect("the level is one of zstd's, so only memory could run out"),
        )
    }

    /// An entry as it is kept: one zstd frame, in which the commitments are left out that its parts give.
    pub fn pack(&mut self, envelope: &Bytes, parts: Option<&PartSet>) -> Vec<u8> {
        let message = to_pb(envelope, parts).encode_to_vec();
        self.0.compress(&message).expect("the buffer has zstd's own upper bound, so only memory could run out")
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether these are bytes of an entry as [`Packer::pack`] makes them, or an envelope.
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&ZSTD_MAGIC)
}

/// How many bytes a packed entry takes in a package before compression, about, by its first [`ZSTD_HEADER_MAX`] bytes.
pub fn packed_size(header: &[u8]) -> Option<u64> {
    zstd::zstd_safe::get_frame_content_size(header).ok().flatten()
}

/// The entry that was packed.
///
/// # Errors
/// `malformed`, `too_large`: nothing that was packed.
pub fn unpack(packed: &[u8]) -> Result<SealedEntry, Refusal> {
    let message =
        pb::SealedEntry::decode(Bytes::from(inflate(packed)?)).map_err(|_| malformed("not a packed entry"))?;
    SealedEntry::from_pb(message)
}

/// Encodes and compresses, at [`PACKAGE_ZSTD_LEVEL`] or [`BUNDLE_ZSTD_LEVEL`].
pub fn encode(package: &Package, level: i32) -> Vec<u8> {
    let message = pb::Package {
        log: package.log.to_string(),
        first: package.first,
        entries: package.entries.iter().map(SealedEntry::to_pb).collect(),
        checkpoint: package.checkpoint.clone().unwrap_or_default(),
    };
    compress(&message.encode_to_vec(), level)
}

fn compress(bytes: &[u8], level: i32) -> Vec<u8> {
    zstd::bulk::compress(bytes, level).expect("the buffer has zstd's own upper bound, so only memory could run out")
}

/// Inflates and reads a package. Memory is bounded whatever the bytes say.
pub fn decode(zstd: &[u8]) -> Result<Package, Refusal> {
    let bytes = inflate(zstd)?;
    check_counts(&bytes)?;
    let message = pb::Package::decode(Bytes::from(bytes)).map_err(|_| malformed("not a package"))?;
    if message.checkpoint.len() > limits::NOTE_BYTES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("checkpoint of {} bytes", message.checkpoint.len())));
    }
    let count = message.entries.len() as u64;
    if message.first.checked_add(count).is_none() {
        return Err(malformed("sequences overflow"));
    }
    Ok(Package {
        log: message.log.parse()?,
        first: message.first,
        entries: message.entries.into_iter().map(SealedEntry::from_pb).collect::<Result<_, _>>()?,
        checkpoint: Some(message.checkpoint).filter(|note| !note.is_empty()),
    })
}

/// One zstd frame of at most [`limits::PACKAGE_INFLATED_MAX`] bytes inside, and nothing behind it.
fn inflate(zstd: &[u8]) -> Result<Vec<u8>, Refusal> {
    const MAX: usize = limits::PACKAGE_INFLATED_MAX;
    if zstd.len() > limits::PACKAGE_ZSTD_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("package of {} bytes", zstd.len())));
    }
    let too_far = || Refusal::new(Reason::InflatesTooFar, format!("past {MAX} bytes"));
    let not_zstd = || malformed("not a zstd frame");
    let declared = zstd::zstd_safe::get_frame_content_size(zstd).map_err(|_| not_zstd())?;
    let capacity = match declared.map(usize::try_from) {
        Some(Ok(length @ ..=MAX)) => length,
        Some(_) => return Err(too_far()),
        None => MAX,
    };
    let mut rest = zstd;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).map_err(|_| not_zstd())?.single_frame();
    decoder.window_log_max(limits::PACKAGE_INFLATED_MAX.ilog2()).map_err(|_| not_zstd())?;
    let mut out = vec![0; capacity];
    let mut filled = 0;
    while filled < out.len() {
        match decoder.read(&mut out[filled..]).map_err(|_| not_zstd())? {
            0 => break,
            n => filled += n,
        }
    }
    // The frame has to end here, at what it declared or within the bound.
    if filled == MAX && decoder.read(&mut [0]).map_err(|_| not_zstd())? > 0 {
        return Err(too_far());
    }
    if filled < MAX && decoder.read(&mut [0]).map_err(|_| not_zstd())? > 0 {
        return Err(not_zstd());
    }
    drop(decoder);
    if !rest.is_empty() {
        return Err(malformed("bytes behind the package"));
    }
    out.truncate(filled);
    Ok(out)
}

/// Lists are counted before they are decoded: an empty message takes two bytes on the wire and hundreds in memory.
fn check_counts(package: &[u8]) -> Result<(), Refusal> {
    use std::ops::ControlFlow::{Break, Continue};
    let mut entries = 0usize;
    let fits = wire::walk(package, |field, entry| {
        if field != 3 {
            return Continue(());
        }
        entries += 1;
        let mut parts = 0usize;
        let entry_fits = wire::walk(entry, |field, identity| {
            if field == 3 {
                // Protobuf merges messages that come twice, so their lists add up.
                match wire::count(identity, 3) {
                    Some(n) => parts += n,
                    None => return Break(()),
                }
            }
            Continue(())
        });
        let bounded = entries <= limits::PACKAGE_ENTRIES_MAX && parts <= limits::CHANGES_PER_SET_MAX;
        if entry_fits.is_some() && bounded { Continue(()) } else { Break(()) }
    });
    match (fits, entries) {
        _ if entries > limits::PACKAGE_ENTRIES_MAX => {
            Err(Refusal::new(Reason::TooLarge, format!("more than {} entries", limits::PACKAGE_ENTRIES_MAX)))
        }
        (Some(()), 1..) => Ok(()),
        (Some(()), 0) => Err(malformed("a package without entries")),
        _ => Err(malformed("not a package, or one with an entry of too many parts")),
    }
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::Malformed, detail)
}

#[cfg(test)]
mod tests;
