//! Why something is refused: a closed list of reasons with stable codes. People's texts for them are in `danso-core::messages`.

use std::fmt;

/// How a reason maps onto the small set of gRPC codes and CLI exit codes that Danso uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The input is wrong; sending it again does not help.
    Invalid,
    /// Who asks may not.
    Denied,
    /// Nobody has proven who asks.
    Unauthenticated,
    /// It is not here.
    NotFound,
    /// It was done before, or contradicts what is here.
    Conflict,
    /// Over a bound.
    Exhausted,
    /// Not now; again later.
    Unavailable,
    /// A fault of ours.
    Internal,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $class:ident;)*) => {
        /// Why something is refused. The codes are part of the protocol: they are added, never changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }

            /// What kind of refusal it is.
            pub fn class(self) -> Class {
                match self { $(Reason::$name => Class::$class,)* }
            }

            /// The reason with this code, if this version knows it.
            pub fn from_code(code: &str) -> Option<Reason> {
                match code { $($code => Some(Reason::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    // --- envelopes and entries
    /// The bytes are not an envelope, a change set or a package.
    Malformed = "malformed", Invalid;
    /// The payload type is none that this version knows.
    EnvelopeTypeUnknown = "envelope_type_unknown", Invalid;
    /// The signature does not fit the bytes and the key.
    SignatureInvalid = "signature_invalid", Invalid;
    /// The key is not enrolled for the log's author.
    KeyNotEnrolled = "key_not_enrolled", Denied;
    /// The author's log was revoked below this position.
    KeyRevoked = "key_revoked", Denied;
    /// The node lost its place with who enrolled it, which was revoked. It was not revoked itself: a node above can give it a place.
    PlaceLost = "place_lost", Denied;
    /// The author wrote about a unit that is neither its own nor below it.
    OutOfScope = "out_of_scope", Denied;
    /// A change of this kind does not belong into this stream.
    WrongStream = "wrong_stream", Invalid;
    /// The unit list that the change set names is not here yet.
    UnitsVersionUnknown = "units_version_unknown", Unavailable;
    /// A unit is not in the list that is named.
    UnitUnknown = "unit_unknown", Invalid;
    /// Entries are missing before this one.
    SequenceGap = "sequence_gap", Conflict;
    /// The entry does not name the entry before it.
    PreviousHashWrong = "previous_hash_wrong", Conflict;
    /// Another entry is stored at this position.
    ReplayDiffers = "replay_differs", Conflict;
    /// The log is shorter than what was receipted.
    LogShorter = "log_shorter_than_receipt", Conflict;
    /// Same size, other root: a fork.
    RootDiffers = "root_differs", Conflict;
    /// The log is stopped until an operator decides.
    LogQuarantined = "log_quarantined", Conflict;
    /// Both statements of an evidence file can be true.
    NoContradiction = "no_contradiction", Invalid;
    /// There is nothing to decide about this log: it is not stopped because of two histories.
    NotQuarantined = "not_quarantined", Conflict;
    /// Another node decides about this log: the one that enrolled its author, or one above that.
    DecidedElsewhere = "decided_elsewhere", Denied;
    /// A checkpoint is not for this log, or its signature is wrong.
    CheckpointInvalid = "checkpoint_invalid", Invalid;
    /// A receipt is not signed by the giver it names.
    ReceiptInvalid = "receipt_invalid", Invalid;
    /// An identity part does not match its commitment.
    CommitmentMismatch = "commitment_mismatch", Invalid;
    /// Over a bound of `limits`.
    TooLarge = "too_large", Exhausted;
    /// A package inflates past its bound.
    InflatesTooFar = "inflates_too_far", Exhausted;
    /// The peer may not send this log over this link.
    LogNotForLink = "log_not_for_link", Denied;
    // --- links and joining
    /// No client certificate.
    CertificateMissing = "certificate_missing", Unauthenticated;
    /// The certificate names no node, or is of another CA.
    CertificateUnknown = "certificate_unknown", Unauthenticated;
    /// The certificate is not valid by the clock of who checks it: expired, or of the future.
    CertificateExpired = "certificate_expired", Unauthenticated;
    /// The clocks of the two nodes differ.
    ClockSkew = "clock_skew", Unauthenticated;
    /// The node does not prove to hold its log key on this connection, or its certificate request is broken.
    RenewProofInvalid = "renew_proof_invalid", Denied;
    /// Too many calls without a certificate over one connection.
    TooManyCalls = "too_many_calls", Exhausted;
    /// The certificate's node is not an enrolled child of this node.
    NotAChild = "not_a_child", Denied;
    /// The peer's protocol versions and ours do not meet.
    ProtocolUnsupported = "protocol_unsupported", Invalid;
    /// A frame that does not belong here.
    FrameUnexpected = "frame_unexpected", Invalid;
    /// A newer session of the same node took over.
    SessionReplaced = "session_replaced", Conflict;
    /// The token cannot be read.
    TokenGarbled = "token_garbled", Invalid;
    /// The token was never given out by this node.
    TokenUnknown = "token_unknown", Denied;
    /// The token was used by another node.
    TokenUsed = "token_used", Denied;
    /// The token's time is over.
    TokenExpired = "token_expired", Denied;
    /// The token is for another unit.
    TokenWrongUnit = "token_wrong_unit", Denied;
    /// The joining node does not hold the key that it names, or its certificate request is broken.
    JoinProofInvalid = "join_proof_invalid", Denied;
    /// The parent is not the one that the token names, or its chain does not begin at the anchor.
    AnchorMismatch = "anchor_mismatch", Denied;
    /// This directory has a node already.
    AlreadyJoined = "already_joined", Conflict;
    /// A node serves the unit already.
    UnitHasNode = "unit_has_node", Conflict;
    /// Others wrote about the unit, which a new node for it would not hold.
    UnitHasRecords = "unit_has_records", Conflict;
    /// Entries of nodes below this one are missing here, which its parent holds.
    BehindBelow = "behind_below", Conflict;
    /// A node of a unit below this one's is a child of another node, so that nothing of it comes here any longer.
    MovedAway = "moved_away", Conflict;
    /// Two nodes took in the same people of a unit, or one is about to.
    TwoAuthors = "two_authors", Conflict;
    /// The unit is not below the inviting node's unit.
    UnitNotBelow = "unit_not_below", Denied;
    /// Nobody is there: refused, unreachable, or timed out.
    LinkDown = "link_down", Unavailable;
    // --- queries and administration
    /// A question that cannot be understood.
    QueryInvalid = "query_invalid", Invalid;
    /// An operator asks for something that is not possible as it was given.
    RequestInvalid = "request_invalid", Invalid;
    /// A child that is needed for the answer is not connected or did not answer.
    ChildUnavailable = "child_unavailable", Unavailable;
    /// A child does not hold all records about its units: some are by authors that are not below it.
    ChildIncomplete = "child_incomplete", Conflict;
    /// A child's answer does not fit the question, its key or its frontier.
    AnswerInvalid = "answer_invalid", Invalid;
    /// What was asked for is not here.
    NotFound = "not_found", NotFound;
    /// This node writes nothing until an operator decides.
    ReadOnly = "read_only", Conflict;
    /// The node ends.
    ShuttingDown = "shutting_down", Unavailable;
    /// A backup is not what was written, or no backup.
    BackupDamaged = "backup_damaged", Invalid;
    /// A backup is encrypted with another passphrase.
    PassphraseWrong = "passphrase_wrong", Denied;
    /// What shall be written to a new place would replace what is there.
    DirectoryNotEmpty = "directory_not_empty", Conflict;
    /// No room on the disk.
    DiskFull = "disk_full", Exhausted;
    /// The database server does not answer, lets nothing be written, or has too much to do.
    StoreUnavailable = "store_unavailable", Unavailable;
    /// The database does not hold what was written to it.
    StoreDamaged = "store_damaged", Conflict;
    /// Another process has opened the node's database on the server since, or the server went back to an earlier state.
    StoreTaken = "store_taken", Conflict;
    /// The database that was named holds something already.
    StoreNotEmpty = "store_not_empty", Conflict;
    /// The database server can lose what it acknowledges, the way it is set.
    StoreUnsafe = "store_unsafe", Conflict;
    /// The node was moved away from this database, or is being moved into it.
    StoreMoved = "store_moved", Conflict;
    /// Register, figures or findings are not what the logs give.
    DerivedDiffers = "derived_differs", Conflict;
    /// Since an unclean end nobody has compared register and figures with the logs.
    DerivedUncompared = "derived_uncompared", Conflict;
    /// The file that keeps the heads of a node's own logs beside its database is missing or does not read.
    HeadsMissing = "heads_missing", NotFound;
    /// The machine's clock cannot be right.
    ClockWrong = "clock_wrong", Conflict;
    /// The certificate for the link to the parent ends soon, or has ended.
    CertificateEnds = "certificate_ends", Conflict;
    /// A key file is missing, is no key, or others may read it.
    KeyFileUnfit = "key_file_unfit", Conflict;
    /// The configuration or a certificate is missing, does not read, or does not fit the keys.
    FileUnfit = "file_unfit", Conflict;
    /// A fault of ours; the node's log has more.
    Internal = "internal", Internal;
    // --- files
    /// Neither CSV nor XLSX.
    FileFormat = "file_format", Invalid;
    /// The file has no header or no rows.
    FileEmpty = "file_empty", Invalid;
    /// The file is not UTF-8.
    FileEncoding = "file_encoding", Invalid;
    /// The file ends inside a row or a quoted field.
    FileTruncated = "file_truncated", Invalid;
    /// The file is over a bound.
    FileTooLarge = "file_too_large", Exhausted;
    /// A required column is missing, or a column stands twice.
    ColumnMissing = "column_missing", Invalid;
    /// Two columns have the same meaning.
    ColumnTwice = "column_twice", Invalid;
    /// A row has more or fewer fields than the header.
    RowShape = "row_shape", Invalid;
    // --- rows
    /// A required field is empty.
    FieldMissing = "field_missing", Invalid;
    /// A field is longer than its bound.
    FieldTooLong = "field_too_long", Invalid;
    /// A field's value is none of the known ones.
    ValueUnknown = "value_unknown", Invalid;
    /// A number cannot be read or is out of its range.
    NumberInvalid = "number_invalid", Invalid;
    /// A reference stands in the file as a number with a fraction: 50.10 and 50.1 are the same number.
    CellIsNumber = "cell_is_number", Invalid;
    /// The date of birth and the date of the birth event differ.
    BirthDateDiffers = "birth_date_differs", Invalid;
    /// A date cannot be read or does not exist.
    DateInvalid = "date_invalid", Invalid;
    /// The event is later than today.
    DateInFuture = "date_in_future", Invalid;
    /// The event is later than the day on which it was reported.
    EventAfterReport = "event_after_report", Invalid;
    /// The event is before the person's birth.
    EventBeforeBirth = "event_before_birth", Invalid;
    /// The row names no person.
    PersonMissing = "person_missing", Invalid;
    /// The change type is none that the form knows.
    ChangeTypeUnknown = "change_type_unknown", Invalid;
    /// A move inside the commune is not a move.
    MoveInsideCommune = "move_inside_commune", Invalid;
    /// The unit is not a commune, so that nobody can live in it.
    UnitNotCommune = "unit_not_commune", Invalid;
    /// The unit is not this node's unit or below it.
    UnitNotOurs = "unit_not_ours", Denied;
    /// An identifier has the wrong shape.
    IdentifierInvalid = "identifier_invalid", Invalid;
    /// The reference belongs to a person who is here already.
    PersonKnown = "person_known", Conflict;
    /// The same slip or reference came before with other content.
    RowDiffers = "row_differs", Conflict;
    /// The slip that is corrected is not here.
    SlipUnknown = "slip_unknown", Invalid;
    /// An update that changes nothing.
    NothingToUpdate = "nothing_to_update", Invalid;
    /// A date of birth and the one that is known differ as the lunar and the solar date of one day may.
    LunarDate = "lunar_date", Conflict;
    /// On the day of the event the code was another unit than in the list in force.
    UnitOfOtherList = "unit_of_other_list", Invalid;
    /// The person is not known yet: the slip waits.
    PersonUnknown = "person_unknown", NotFound;
    // --- findings: verified, logged, and left out of the figures or doubtful
    /// Records do not count or are doubtful, and nobody has settled that yet.
    FindingsOpen = "findings_open", Conflict;
    /// An answer does not settle this finding: the record has to be corrected.
    FindingNeedsCorrection = "finding_needs_correction", Conflict;
    /// There is no such finding here, or it was settled.
    FindingUnknown = "finding_unknown", NotFound;
    /// The person was not a resident then.
    NotResident = "not_resident", Conflict;
    /// The person was a resident already.
    AlreadyResident = "already_resident", Conflict;
    /// The change that is corrected is not about this person.
    CorrectsNothing = "corrects_nothing", Conflict;
    /// A kind of change that this version does not know: carried, not counted.
    KindUnknown = "kind_unknown", Unavailable;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal: the reason, and in English what exactly was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// What was found, for people and logs; no names, no identifiers of persons.
    pub detail: String,
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<crate::ids::IdError> for Refusal {
    fn from(error: crate::ids::IdError) -> Self {
        Self::new(Reason::Malformed, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }
}
