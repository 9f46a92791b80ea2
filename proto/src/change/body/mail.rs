//! Kinds of the stream `mail`.

use super::*;

kind! {
    /// A receiver found something about a record.
    FindingOpened {
        change: ChangeId,
        reason: String,
        severity: Severity,
        other: Option<ChangeId>,
        seen: Vec<Seen>,
    }
    from(m) {
        text("reason", &m.reason, limits::TEXT_MAX)?;
        if m.seen.len() > limits::SEEN_MAX {
            let detail = format!("{} values seen; at most {}", m.seen.len(), limits::SEEN_MAX);
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let mut seen = Vec::with_capacity(m.seen.len());
        for value in m.seen {
            seen.extend(Seen::from_pb(value)?);
        }
        Ok(Self {
            change: id(&m.change_id)?,
            reason: m.reason,
            severity: Severity::from_pb(m.severity),
            other: id_or_none(&m.other)?,
            seen,
        })
    };
    to(s) pb::FindingOpened {
        change_id: id_bytes(Some(s.change)),
        reason: s.reason.clone(),
        severity: s.severity.to_pb() as i32,
        other: id_bytes(s.other),
        seen: s.seen.iter().map(Seen::to_pb).collect(),
    }
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
