//! Every bound, with its reason. A bound is checked before the work is done.

/// Changes in a change set: one signature and one proof stay cheap to check, one bad set costs little.
pub const CHANGES_PER_SET_MAX: usize = 1_000;
/// Bytes of a change set's payload: it fits a package frame with room to spare.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one envelope: payload, type and at most [`SIGNATURES_MAX`] signatures.
pub const ENVELOPE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 1024;
/// Signatures on an envelope: the author's key, and its next one when it changes keys.
pub const SIGNATURES_MAX: usize = 2;
/// Entries in a package: a cut costs at most one package.
pub const PACKAGE_ENTRIES_MAX: usize = 256;
/// Bytes of a package before compression, envelopes and parts together. One entry that is larger travels alone.
pub const PACKAGE_BYTES_MAX: usize = 128 * 1024;
/// Bytes that a package may have after inflation: one largest entry with its parts.
pub const PACKAGE_INFLATED_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a gRPC message, both ways, set explicitly on every client and server.
pub const GRPC_MESSAGE_MAX: usize = 1024 * 1024;
/// Bytes of a text field after NFC.
pub const TEXT_MAX: usize = 256;
/// Bytes of a hamlet's name after NFC.
pub const HAMLET_MAX: usize = 128;
/// Bytes of a note or reason after NFC.
pub const NOTE_MAX: usize = 1024;
/// Bytes of an encoded identity part.
pub const IDENTITY_PART_MAX: usize = 4 * 1024;
/// Bytes of the identity parts of one change set, as they travel. An entry of largest envelope and parts still fits one gRPC message
/// when nothing in it can be compressed, so that no entry that was accepted is stuck here.
pub const PARTS_BYTES_MAX: usize = 640 * 1024;
/// Bytes of a compressed package: a gRPC message less its frame.
pub const PACKAGE_ZSTD_MAX: usize = GRPC_MESSAGE_MAX - 1024;
/// Hashes of an inclusion or consistency proof: one for each bit of a log's size, and one.
pub const PROOF_HASHES_MAX: usize = 65;
/// Entries in the chain of a proof file: one for each tier, and all changes of keys on the way. Each is signed with the key before it, so
/// that none can be left out: a change a month for two decades at each of four tiers.
pub const PROOF_CHAIN_MAX: usize = 1_024;
/// Further checkpoints in a proof file: one for each node above the author, with a wide margin.
pub const PROOF_FURTHER_MAX: usize = 16;
/// Bytes of a proof file: the longest chain, of whose entries each has a few kibibytes, and the largest entry. Sixteen of the largest fit,
/// too: files of older versions had so many at most.
pub const PROOF_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of an evidence file: the largest chain, and two entries with what stands around them.
pub const EVIDENCE_BYTES_MAX: usize = PROOF_BYTES_MAX + 2 * (ENVELOPE_BYTES_MAX + NOTE_BYTES_MAX) + 4 * 1024;
/// Bytes of an answer of the operator's service, which crosses no network: a whole evidence file.
pub const OPERATOR_MESSAGE_MAX: usize = EVIDENCE_BYTES_MAX + 1024;
/// Heads in one frame.
pub const HEADS_PER_FRAME: usize = 1_000;
/// Heads in one hello: logs of every commune in the country, with a wide margin.
pub const HEADS_MAX: usize = 100_000;
/// Bytes of a checkpoint or receipt: a note and some cosignature lines.
pub const NOTE_BYTES_MAX: usize = 8 * 1024;
/// What one node says in its directory log about the keys of one node, itself or one below, and as often about its end: a key a year is used up
/// after two lifetimes.
pub const WORDS_MAX: usize = 256;
/// Settings of rules in one change.
pub const RULE_SETTINGS_MAX: usize = 256;
/// Settings of rules that one node publishes in all: each is looked at when rules change. All rules, each changed every year of a lifetime.
pub const RULE_WORDS_MAX: usize = 4_096;
/// Bytes of a rule's code, or of a name of one of its numbers.
pub const RULE_CODE_MAX: usize = 64;
/// Numbers in a setting of a rule.
pub const RULE_VALUES_MAX: usize = 8;
/// Keys of a child that its parent vouches for without its operator's word: a child could make the parent's directory grow.
pub const VOUCHES_ASKED_MAX: usize = 16;
/// Keys that a node states when it moves: the last ones that it had.
pub const KEYS_STATED_MAX: usize = 64;
/// Values that a finding saw: readings of a date, two ages, the other persons. What they fill is a small part of a mail of a thousand findings.
pub const SEEN_MAX: usize = 12;
/// Bytes of the name or the word of something that a finding saw.
pub const SEEN_WORD_MAX: usize = 64;
/// Units in one `UnitsPublished` part.
pub const UNITS_PER_PART: usize = 1_000;
/// Life of an invite in seconds, by default and at most.
pub const INVITE_LIFE_S: u64 = 7 * 24 * 3600;
/// See [`INVITE_LIFE_S`].
pub const INVITE_LIFE_MAX_S: u64 = 30 * 24 * 3600;
/// Life of a link certificate in seconds, by default and at most: what a thief of the link key has at the longest.
pub const CERTIFICATE_LIFE_S: u64 = 90 * 24 * 3600;
/// Life of a link certificate in seconds, at least: a child renews when a third is left, and one second is the finest that certificates can
/// say. Lives below a day are for trials: whoever is offline for longer has to prove itself with its log key.
pub const CERTIFICATE_LIFE_MIN_S: u64 = 5;
/// Bytes of a certificate request: ours have about 300.
pub const CSR_BYTES_MAX: usize = 8 * 1024;
/// Calls over one connection whose client showed no certificate: an honest one makes one, and who tries many pays a handshake for each few.
pub const UNPROVEN_CALLS_MAX: u32 = 8;
/// Buffers of one link at a parent, bytes: packages in flight times their size.
pub const LINK_BUFFER_BYTES: usize = 2 * 1024 * 1024;
/// Packages in flight at most: [`LINK_BUFFER_BYTES`] of packages.
pub const WINDOW_MAX: u32 = (LINK_BUFFER_BYTES / PACKAGE_BYTES_MAX) as u32;
/// Back-off between connection attempts, milliseconds: first and last.
pub const BACKOFF_MIN_MS: u64 = 1_000;
/// See [`BACKOFF_MIN_MS`].
pub const BACKOFF_MAX_MS: u64 = 15 * 60 * 1_000;
/// Rows of an import file.
pub const IMPORT_ROWS_MAX: u64 = 10_000_000;
/// Bytes of an XLSX file: its reader needs the whole file.
pub const XLSX_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Rows with their fields that an import reports one by one; further ones are only counted by reason.
pub const IMPORT_PROBLEMS_MAX: u64 = 10_000;
/// Notes in one answer: a node says no more than a few things of itself.
pub const ANSWER_NOTES_MAX: usize = 16;
/// Bytes of a note's text: some ten nodes are named in it.
pub const ANSWER_NOTE_MAX: usize = 4096;
/// Bytes of one answer to an aggregate question.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one chunk of a file or an answer.
pub const CHUNK_BYTES: usize = 256 * 1024;
