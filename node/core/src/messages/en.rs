//! The sentences in English: what was wrong, and what to do next. This room may not know arguments.

use danso_proto::refusal::Reason;

/// A personal number that says another sex or year of birth than the row; the row is taken.
pub(super) const NUMBER_CONTRADICTS: (&str, &str) = (
    "The row was taken, but the personal number says another sex or year of birth than the row.",
    "Compare the card with the row; send an update slip if one of them is wrong.",
);

pub(super) fn sentences(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Malformed => (
            "The data received cannot be read.",
            "Send it again; if it happens again, report it with this code to the unit above.",
        ),
        Reason::EnvelopeTypeUnknown => {
            ("This version does not know this type of envelope.", "Update the software of this node.")
        }
        Reason::SignatureInvalid => (
            "The signature does not fit the content, which was changed or damaged.",
            "Do not use it; ask its author to send it again.",
        ),
        Reason::KeyNotEnrolled => (
            "The signing key is not enrolled for this node.",
            "Ask the unit above whether the node has joined, and with which key. A node put back from an old backup, of before its key was replaced: ask for a token (`danso-admin child invite --node NODE`) and run `danso-node recover --token-file FILE` into an empty directory.",
        ),
        Reason::KeyRevoked => {
            ("The author's log was revoked before this entry.", "Ask the unit above; the node has to join again.")
        }
        Reason::PlaceLost => (
            "The node lost its place, because the node that enrolled it was revoked.",
            "Ask the operator of a node above the revoked one for a place: `danso-admin child invite --node NODE` there, then `danso-node recover --token-file` here.",
        ),
        Reason::OutOfScope => (
            "The author wrote about a unit that is neither its own nor below it.",
            "Let the unit concerned, or one above it, report this.",
        ),
        Reason::WrongStream => {
            ("A change of this kind does not belong into this log.", "Update the software of the node that wrote it.")
        }
        Reason::UnitsVersionUnknown => (
            "The unit list that is named has not arrived here yet.",
            "Wait until the list comes down from above; the entry is then taken by itself.",
        ),
        Reason::UnitUnknown => (
            "This unit code is not in the unit list.",
            "Correct the code: it is the official one of the list in force, with its leading zeros.",
        ),
        Reason::SequenceGap => {
            ("Entries before this one are missing.", "Nothing: the missing entries are asked for again.")
        }
        Reason::PreviousHashWrong => (
            "The entry does not follow the entry before it.",
            "The log is stopped; call the operator of the node that wrote it.",
        ),
        Reason::ReplayDiffers => (
            "Another entry is stored at this place of the log.",
            "The log is stopped; call the operator of the node that wrote it.",
        ),
        Reason::LogShorter => (
            "The log is shorter than what was receipted: the node lost data or was restored from an old backup.",
            "Leave that node's directory as it is, write nothing more there, and call the operator of its parent, which holds the missing entries.",
        ),
        Reason::RootDiffers => (
            "The log has two histories.",
            "The log is stopped and the evidence kept: see `danso-admin quarantine list`, and call the operators of both nodes.",
        ),
        Reason::NoContradiction => (
            "Both statements can be true: this proves nothing.",
            "Do not accuse anybody with this file; export the evidence again from the node that saw it.",
        ),
        Reason::NotQuarantined => (
            "There is nothing to decide about this log.",
            "See `danso-admin quarantine list` for the logs that are stopped, and why.",
        ),
        Reason::DecidedElsewhere => (
            "Another node decides about this log.",
            "Send the evidence file (`danso-admin evidence export`) to the operator of the node that is named.",
        ),
        Reason::LogQuarantined => (
            "This log is stopped until an operator decides.",
            "Call the operator of this node: `danso-admin quarantine list` shows why, and who decides.",
        ),
        Reason::CheckpointInvalid => (
            "The checkpoint is not for this log, or its signature is wrong.",
            "Fetch the checkpoint again from the node that wrote the log.",
        ),
        Reason::ReceiptInvalid => (
            "The receipt is not signed by the node that it names.",
            "Do not count on this receipt; wait for another one or ask the unit above.",
        ),
        Reason::CommitmentMismatch => {
            ("An identity part does not fit what was signed.", "Do not use it; ask its author to send it again.")
        }
        Reason::TooLarge => (
            "This is larger than allowed.",
            "Split it into smaller pieces; where it cannot be split, the detail says what else can be done.",
        ),
        Reason::InflatesTooFar => {
            ("The package becomes larger than allowed when it is unpacked.", "Do not use it; ask who sent it.")
        }
        Reason::LogNotForLink => (
            "This log does not belong on this link.",
            "Check which node is connected; its operator has to correct its settings.",
        ),
        Reason::CertificateMissing => {
            ("The connection has no client certificate.", "Join the node first with `danso-node join`.")
        }
        Reason::CertificateUnknown => (
            "The certificate is not one of this node's children.",
            "Join the node with a token of this node, or connect to its own parent.",
        ),
        Reason::CertificateExpired => (
            "The link certificate is not valid at this time: it has expired, or is not valid yet.",
            "Nothing: the node proves itself with its log key and gets a new one. If it lasts, check the clocks of both machines.",
        ),
        Reason::ClockSkew => (
            "The clocks of the two nodes differ.",
            "Set this machine's clock; if it is right, tell the operator of the other node. Data keeps flowing.",
        ),
        Reason::RenewProofInvalid => (
            "The node did not prove that it holds the log key with which it is enrolled.",
            "Restore keys/log.pem from your backup; if the key is lost, ask the unit above for a new invite.",
        ),
        Reason::TooManyCalls => (
            "Too many calls came over one connection without a certificate.",
            "Connect again. If no node of yours did this, somebody tries the port: tell the operator.",
        ),
        Reason::NotAChild => (
            "The node is not an enrolled child of this node.",
            "Ask the operator here for an invite, and join with it.",
        ),
        Reason::ProtocolUnsupported => {
            ("The two nodes have no common protocol version.", "Update the older of the two nodes.")
        }
        Reason::FrameUnexpected => (
            "A message came that does not belong here.",
            "The link is opened again by itself; update the software if it happens again.",
        ),
        Reason::SessionReplaced => (
            "A newer session of the same node took over.",
            "If only one node should run, look for a second one with the same data.",
        ),
        Reason::TokenGarbled => {
            ("The token cannot be read.", "Copy the whole token again, from its first to its last character.")
        }
        Reason::TokenUnknown => ("This node never gave out this token.", "Check the address, or ask for a new token."),
        Reason::TokenUsed => {
            ("The token was used by another node.", "Ask for a new token with `danso-admin child invite`.")
        }
        Reason::TokenExpired => {
            ("The time of the token is over.", "Ask for a new token with `danso-admin child invite`.")
        }
        Reason::TokenWrongUnit => (
            "The token is for something else: for another unit or node, or to join where it is used to recover, or the other way round.",
            "Use it with the command that was named when it was made (`danso-node join` or `danso-node recover`), or ask for one for your own unit or node.",
        ),
        Reason::JoinProofInvalid => (
            "The joining node did not prove that it holds its key.",
            "Run `danso-node join` again; if it happens again, begin with an empty directory.",
        ),
        Reason::AnchorMismatch => (
            "The parent is not the one that the token names.",
            "Do not go on; check the address and ask for a new token by a safe way.",
        ),
        Reason::AlreadyJoined => {
            ("This directory already has a node.", "Use another directory, or run the node that is there.")
        }
        Reason::UnitNotBelow => {
            ("The unit is not below the unit of this node.", "Invite from the node of a unit above it.")
        }
        Reason::LinkDown => {
            ("The other side cannot be reached.", "Check the network and the address; the node keeps trying by itself.")
        }
        Reason::QueryInvalid => {
            ("The question cannot be understood.", "Correct the unit, the months, the measures or the dimensions.")
        }
        Reason::RequestInvalid => (
            "This is not possible as it was given.",
            "Correct what the detail names, and try again; `--help` shows the forms.",
        ),
        Reason::ChildUnavailable => (
            "A child that is needed for the answer is not connected.",
            "Ask again later, or ask for the figures of this node with `--source local`.",
        ),
        Reason::UnitHasNode => (
            "A node serves this unit already; a second one would count its people twice.",
            "Start that node again. If its disk is lost: `danso-admin child invite --node NODE`, and `danso-node recover` there. If it shall be replaced and the book imported anew, first `danso-admin child revoke NODE --size NODE/records=0 --reason ...`, then invite with `--again`.",
        ),
        Reason::UnitHasRecords => (
            "Others have written records about this unit, and a new node for it does not hold them: importing the same book there would count people twice.",
            "If the new node will hand in new slips only, invite with `--again`.",
        ),
        Reason::TwoAuthors => (
            "Another node of this unit wrote records that count: whoever is taken in by both counts twice.",
            "If the other node is gone for good, its parent first ends it where its records begin: `danso-admin child revoke NODE --size NODE/records=0 --reason ...`; only then is the book imported anew. Else the new node imports new slips only.",
        ),
        Reason::ChildIncomplete => (
            "A child does not hold all records about its units: some were written by other nodes.",
            "Ask for the figures of this node with `--source local`.",
        ),
        Reason::AnswerInvalid => (
            "The answer of a child does not fit the question or its signature.",
            "Do not use it; call the operator of that node.",
        ),
        Reason::NotFound => ("What was asked for is not here.", "Check the name."),
        Reason::BackupDamaged => (
            "The file is not a whole backup of this node: it was damaged, cut short, or is something else.",
            "Use another copy or an older backup, and prove it first: danso-node backup drill --in FILE.",
        ),
        Reason::PassphraseWrong => (
            "The backup is encrypted, and this passphrase does not open it.",
            "Give the passphrase that was used for the backup, with --passphrase-file; without it nobody can read the backup.",
        ),
        Reason::DirectoryNotEmpty => (
            "There is something already in the place that was named.",
            "Name a new file or an empty directory: neither a backup nor a restore ever replaces anything.",
        ),
        Reason::ReadOnly => (
            "The node that says so writes nothing: its database is an old copy and what was written after it is missing, or nobody has confirmed yet that it is not.",
            "If the node above says so: its operator brings it up first, then try again here. If it is this node, and it was restored: wait for the link, its parent confirms it. If it is an old copy: put the right database back, or stop the node and run `danso-node recover --data DIR`, which takes the missing entries from the parent (a node whose database is on a server: into an empty directory, with a token of its parent, `danso-node recover --data NEW --token-file FILE`). The root has no parent: restore its newest backup into a new directory (`danso-node restore`).",
        ),
        Reason::BehindBelow => (
            "Entries of nodes below the node that says so are missing there, because it was put back from an old copy: its figures are too low.",
            "Let the nodes that are named connect: they send them again. Where one does not come back, stop the node that says so and run `danso-node recover --data DIR` there (with its database on a server: into an empty directory, with a token).",
        ),
        Reason::MovedAway => (
            "A node of one of the units is a child of another node now: what it writes does not come to the node that says so any longer, whose figures about that unit end there.",
            "Ask the parent that is named, or a node above it, for the figures of that unit.",
        ),
        Reason::ShuttingDown => ("The node is ending.", "Try again when it is up."),
        Reason::DiskFull => (
            "There is too little room on the disk; nothing was lost, and nothing new is taken.",
            "Make room, or give the node a larger disk: it then goes on by itself. Import again what was refused.",
        ),
        Reason::StoreUnavailable => (
            "The database server does not answer, lets nothing be written now, or has too much to do; nothing that was acknowledged is lost.",
            "See that the server runs, can be reached, and lets itself be written to (after a fail-over: that the one that took over was promoted), and that nobody else locks its tables: the node goes on by itself. Look whether what you asked for is there before you ask again.",
        ),
        Reason::StoreTaken => (
            "Another process has opened this node's database on the server since, or the server that took over lacks what was written last; the node has ended, and nothing that it acknowledged since is missing.",
            "See that no other node uses this database, also none on another machine, then start the node again. If the server lacks something: put the right one back; else bring the node up in an empty directory, with a token of its parent (`danso-node recover --data NEW --token-file FILE`) or from its newest backup (`danso-node restore`).",
        ),
        Reason::StoreNotEmpty => (
            "The database that was named is not empty.",
            "Make a database for this node alone (CREATE DATABASE), and name that one: nothing that is in a database is ever replaced.",
        ),
        Reason::StoreUnsafe => (
            "The database server can lose what it acknowledges when its machine loses its power.",
            "Set `fsync = on` and `full_page_writes = on` in the server's postgresql.conf and let it read that (`SELECT pg_reload_conf()`), then start the node again. Until then a power cut there can take back entries that others hold receipts for.",
        ),
        Reason::StoreDamaged => (
            "The database is damaged: it does not hold what was written to it.",
            "Stop the node and keep its directory; check the disk; then restore a backup or run `danso-node recover --data DIR`; with its database on a server, recover into an empty directory, with a token of its parent (`danso-node recover --data NEW --token-file FILE`), and move it to another database. `danso-node doctor --data DIR` says what is damaged.",
        ),
        Reason::DerivedDiffers => (
            "The register or the figures are not what the logs give.",
            "Stop the node and run `danso-node rebuild --data DIR`, which makes them anew from the logs.",
        ),
        Reason::StoreMoved => (
            "The node is not in this database: it was moved to another one, or a move into this one was cut.",
            "If the move was cut: run `danso-node migrate-store` again as it was run, it goes on. Else run the node with the configuration that names the database that it was moved to. Two databases of one node that are both written to would be two histories of its logs.",
        ),
        Reason::DerivedUncompared => (
            "The node did not end cleanly, and its register and figures were not compared with the logs since.",
            "Everything goes on. Run `danso-admin doctor`, which compares them; where it says that the database is too large for that, stop the node and run `danso-node rebuild --data DIR`.",
        ),
        Reason::HeadsMissing => (
            "The file `heads`, by which an old copy of the database is noticed, is missing or does not read.",
            "If the database was just restored, this is expected; the node makes the file anew at its next start.",
        ),
        Reason::ClockWrong => (
            "The clock of this machine cannot be right.",
            "Set it (`timedatectl`), and check its battery. Nothing is refused because of it, but new records get wrong times.",
        ),
        Reason::CertificateEnds => (
            "The certificate for the link to the parent ends soon or has ended.",
            "Keep the node connected, so that it can renew the certificate; else ask the operator of the parent.",
        ),
        Reason::KeyFileUnfit => (
            "A key file is missing, is no key, or can be read by others.",
            "Set its mode to 0600 and its owner to the node's user; if it is lost, run `danso-node recover --data DIR --token-file FILE`.",
        ),
        Reason::FileUnfit => (
            "A file that the node needs to start is missing, is damaged, or does not fit its key.",
            "Put it back from a backup: restore it with `danso-node restore` into an empty directory, and copy the file. Certificates of a node with a parent also come anew: move them away and run `danso-node recover --data DIR --token-file FILE`.",
        ),
        Reason::Internal => (
            "This is a fault of the node.",
            "Try again; if it happens again, send the node's log to who looks after it.",
        ),
        Reason::FileFormat => {
            ("The file is neither CSV nor XLSX.", "Save the sheet as CSV (UTF-8) or XLSX and import that file.")
        }
        Reason::FileEmpty => (
            "The file has no header or no rows.",
            "Check that it is the right file, with the names of the columns in its first row.",
        ),
        Reason::FileEncoding => ("The file is not in UTF-8.", "Save it again as CSV UTF-8."),
        Reason::FileTruncated => {
            ("The file ends in the middle of a row.", "Get the whole file again; what was taken before stays taken.")
        }
        Reason::FileTooLarge => (
            "The file is larger than allowed.",
            "Split it into several files, each with the header; large tables go in as CSV.",
        ),
        Reason::ColumnMissing => ("Required columns are missing.", "Add them with these names in the first row."),
        Reason::ColumnTwice => ("Two columns have the same meaning.", "Remove or rename one of them."),
        Reason::RowShape => (
            "The row has more or fewer fields than the header.",
            "Put a text that has a comma into quotes, or save the file again from the spreadsheet.",
        ),
        Reason::FieldMissing => ("A required field is empty.", "Fill it in and import the row again."),
        Reason::FieldTooLong => {
            ("The field is longer than allowed.", "Shorten it; what is found is the number of characters.")
        }
        Reason::ValueUnknown => (
            "The value is none of the known ones.",
            "Use one of the words of the form; see `danso-admin import --help`.",
        ),
        Reason::NumberInvalid => {
            ("The number cannot be read or cannot be right.", "Write a whole number without a unit of measure.")
        }
        Reason::CellIsNumber => (
            "The cell holds a number, and a spreadsheet drops zeros from numbers.",
            "Format the column as text and type the reference again.",
        ),
        Reason::BirthDateDiffers => (
            "The date of birth is another one than the date of the birth event.",
            "Correct whichever of the two dates is wrong.",
        ),
        Reason::DateInvalid => (
            "This date does not exist or cannot be read.",
            "Write YYYY-MM-DD or DD/MM/YYYY; a lunar date as DD/MM/YYYY, in a leap month DD/MM+/YYYY.",
        ),
        Reason::DateInFuture => {
            ("The date is later than today.", "Correct the date, or import the row when it has happened.")
        }
        Reason::EventAfterReport => (
            "The event is later than the day on which it was reported.",
            "Correct the date of the event or the date of the report.",
        ),
        Reason::EventBeforeBirth => (
            "The event is before the person's birth.",
            "Correct the date of the event, or the person and the date of birth.",
        ),
        Reason::PersonMissing => {
            ("The row does not say who it is about.", "Fill in the person's reference from the household book.")
        }
        Reason::ChangeTypeUnknown => (
            "This type of change is not known.",
            "Use one of: birth, death, marriage, divorce, move_out, move_in, contraception, update, retract.",
        ),
        Reason::MoveInsideCommune => {
            ("A move inside the commune is not a move.", "Send an update slip with the new household number instead.")
        }
        Reason::UnitNotCommune => (
            "Nobody lives directly in a unit of this level.",
            "Write the code of the unit at the lowest level in which the household lives.",
        ),
        Reason::UnitNotOurs => (
            "The unit is neither the unit of this node nor below it.",
            "Do this at the node of that unit, or at one above it.",
        ),
        Reason::IdentifierInvalid => (
            "The number has the wrong shape.",
            "A personal number has 12 digits (an old card 9), a health insurance number 10, 12 or 15 characters; format the column as text, so that leading zeros stay. What is found is the number of characters.",
        ),
        Reason::PersonKnown => (
            "This reference belongs to somebody who is here already.",
            "Give the new person a new reference, or check whether this was reported before.",
        ),
        Reason::RowDiffers => (
            "The same number came before with other content.",
            "Send a correction as an update slip with a new number; if it is another change, give it a new number.",
        ),
        Reason::SlipUnknown => (
            "The slip that is to be corrected is not here.",
            "Correct the number in `refers_to`, or import that slip first.",
        ),
        Reason::NothingToUpdate => {
            ("The update changes nothing.", "Fill in what is to change, or the slip that is corrected.")
        }
        Reason::PersonUnknown => (
            "The person is not known yet; the slip waits.",
            "Import the household book, or the slip by which the person was born or arrived; this slip is then taken by itself. If the reference is wrong, correct it and import the slip again.",
        ),
        Reason::LunarDate => (
            "Known already, and with another date of birth: probably one is the lunar and the other the solar date. Nothing was changed.",
            "Look at the birth certificate. If what is known is wrong, send an update slip with the solar date; if the book is wrong, correct the book.",
        ),
        Reason::UnitOfOtherList => (
            "The row was taken, but on the day of the event this code was another unit than it is now.",
            "Look which unit is meant by its name; if it is another one, correct the slip with an update slip.",
        ),
        Reason::FindingsOpen => (
            "There are records that do not count or are doubtful.",
            "See which ones, why, and what to do: danso-admin finding list.",
        ),
        Reason::FindingNeedsCorrection => (
            "The record does not count, and saying that it is right does not change that: it contradicts other records.",
            "Correct it or the other record with a slip `update` or `retract`; danso-admin finding show says which.",
        ),
        Reason::FindingUnknown => (
            "There is no such finding here, or it was settled.",
            "See the open ones with danso-admin finding list, and the settled ones too with --all.",
        ),
        Reason::NotResident => (
            "The person was not a resident at that time.",
            "Check the date and earlier moves of the person; correct with an update or a retraction.",
        ),
        Reason::AlreadyResident => {
            ("The person was a resident already.", "Check whether this was reported twice; retract the wrong slip.")
        }
        Reason::CorrectsNothing => (
            "The change that is corrected is about somebody else.",
            "Correct the person's reference or the number of the slip.",
        ),
        Reason::KindUnknown => (
            "This version does not know this kind of change; it is kept and not counted.",
            "Update the software of this node.",
        ),
    }
}
