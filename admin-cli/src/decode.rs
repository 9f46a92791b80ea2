//! Signed bytes as JSON, by the descriptors that the contract carries: every kind of change is shown without a line of code for it, and
//! what this version does not know is named as unknown. For eyes and scripts only: nothing is checked, and nothing is read back.

use danso_proto::DESCRIPTORS;
use danso_proto::change::ChangeSet;
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, Kind, Value as Decoded};
use serde_json::{Map, Value, json};

use crate::output::{hex, rfc3339};

/// The payload of a change set as JSON: proto field names, bytes as hex, enum words in lower case, each change with its id and kind.
pub fn change_set(payload: &[u8]) -> anyhow::Result<Value> {
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    let kind = pool.get_message_by_name("danso.exchange.v1.ChangeSet");
    let kind = kind.ok_or_else(|| anyhow::anyhow!("the contract has no change set"))?;
    let mut value = message(&DynamicMessage::decode(kind, payload)?);
    if let Ok(set) = ChangeSet::decode(payload) {
        value["recorded_at"] = json!(rfc3339(set.recorded_at_ms));
        for (i, (id, change)) in set.ids().enumerate() {
            if let Some(object) = value["changes"].get_mut(i).and_then(Value::as_object_mut) {
                object.insert("id".into(), json!(id.to_string()));
                object.insert("kind".into(), json!(change.body.kind()));
            }
        }
    }
    Ok(value)
}

fn message(decoded: &DynamicMessage) -> Value {
    let mut object: Map<String, Value> =
        decoded.fields().map(|(field, value)| (field.name().to_owned(), json_of(value, &field.kind()))).collect();
    let unknown: Vec<u32> = decoded.unknown_fields().map(|field| field.number()).collect();
    if !unknown.is_empty() {
        object.insert("unknown_fields".into(), json!(unknown));
    }
    Value::Object(object)
}

fn json_of(value: &Decoded, kind: &Kind) -> Value {
    match value {
        Decoded::Bool(v) => json!(v),
        Decoded::I32(v) => json!(v),
        Decoded::I64(v) => json!(v),
        Decoded::U32(v) => json!(v),
        Decoded::U64(v) => json!(v),
        Decoded::F32(v) => json!(v),
        Decoded::F64(v) => json!(v),
        Decoded::String(v) => json!(v),
        Decoded::Bytes(v) => json!(hex(v)),
        Decoded::EnumNumber(number) => match kind {
            Kind::Enum(kind) => word(kind, *number),
            _ => json!(number),
        },
        Decoded::Message(v) => message(v),
        Decoded::List(values) => Value::Array(values.iter().map(|value| json_of(value, kind)).collect()),
        // The contract has no maps.
        Decoded::Map(_) => Value::Null,
    }
}

/// `SEX_FEMALE` of `Sex` is `female`.
fn word(kind: &EnumDescriptor, number: i32) -> Value {
    let Some(value) = kind.get_value(number) else { return json!(number) };
    let prefix = kind.get_value(0).and_then(|first| first.name().strip_suffix("UNSPECIFIED").map(str::to_owned));
    let name = value.name();
    let word = prefix.as_deref().and_then(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    json!(word.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use danso_proto::change::{Birth, BirthPlace, Body, Change, EventDate, Sex};
    use danso_proto::ids::{ChangeId, LogId, NodeId, Stream};
    use proptest::prelude::*;

    fn set() -> ChangeSet {
        let unit: danso_proto::ids::UnitCode = "17065".parse().expect("code");
        ChangeSet {
            log: LogId::new(NodeId::new(&unit, &[7; 32]), Stream::Records),
            sequence: 0,
            previous: None,
            recorded_at_ms: 1_609_459_200_000,
            units_version: "vn-2024".into(),
            first_id: ChangeId::first(1_609_459_200_000, [0; 6]),
            changes: vec![Change {
                unit,
                hamlet: String::new(),
                event_date: Some(EventDate::solar(20_210_300)),
                reported_on: None,
                identity_commitment: Some([0xab; 32]),
                body: Body::Birth(Birth {
                    household: None,
                    sex: Sex::Female,
                    birth_month: 202_103,
                    mother: None,
                    mother_birth_month: None,
                    birth_order: 1,
                    birth_weight_g: 3_100,
                    birth_place: Some(BirthPlace::Facility),
                }),
            }],
        }
    }

    #[test]
    fn a_change_set_is_shown_with_its_words() {
        let value = change_set(&set().encode()).expect("decodes");
        let change = &value["changes"][0];
        assert_eq!(change["kind"], "birth");
        assert_eq!(change["birth"]["sex"], "female");
        assert_eq!(change["birth"]["birth_place"], "facility");
        assert_eq!(change["birth"]["birth_weight_g"], 3_100);
        assert_eq!(change["id"], set().first_id.to_string());
        assert_eq!(value["recorded_at"], "2021-01-01T07:00:00.000+07:00");
        assert!(value["identity_commitments"].as_str().is_some_and(|hex| hex.starts_with("abab")));
    }

    #[test]
    fn a_field_of_a_newer_version_is_named() {
        let mut bytes = set().encode();
        bytes.extend_from_slice(&[0xf8, 0x07, 1]); // field 127, varint 1
        assert_eq!(change_set(&bytes).expect("decodes")["unknown_fields"], json!([127]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = change_set(&bytes);
        }
    }
}
