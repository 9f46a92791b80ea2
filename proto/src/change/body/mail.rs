//! Kinds of the stream `mail`.

use super::*;

kind! {
    /// A receiver found a record that it cannot count.
    FindingOpened { change: ChangeId, reason: String, }
    from(m) {
        text("reason", &m.reason, limits::TEXT_MAX)?;
        Ok(Self { change: id(&m.change_id)?, reason: m.reason })
    };
    to(s) pb::FindingOpened { change_id: id_bytes(Some(s.change)), reason: s.reason.clone() }
}

kind! {
    /// A finding was settled.
    FindingClosed { change: ChangeId, reason: String, note: String, }
    from(m) {
        text("reason", &m.reason, limits::TEXT_MAX)?;
        text("note", &m.note, limits::NOTE_MAX)?;
        Ok(Self { change: id(&m.change_id)?, reason: m.reason, note: m.note })
    };
    to(s) pb::FindingClosed { change_id: id_bytes(Some(s.change)), note: s.note.clone(), reason: s.reason.clone() }
}

kind! {
    /// A commune tells another that a person comes to it.
    TransferOffered { person: PersonId, to_unit: UnitCode, }
    from(m) Ok(Self { person: id(&m.person)?, to_unit: m.to_unit.parse()? });
    to(s) pb::TransferOffered { person: id_bytes(Some(s.person)), to_unit: s.to_unit.to_string() }
}

kind! {
    /// A higher tier's receipt, handed down.
    ReceiptForwarded { log: LogId, note: String, }
    from(m) {
        text("receipt", &m.note, limits::NOTE_BYTES_MAX)?;
        Ok(Self { log: m.log.parse()?, note: m.note })
    };
    to(s) pb::ReceiptForwarded { log: s.log.to_string(), note: s.note.clone() }
}
