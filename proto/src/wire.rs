//! A look at protobuf bytes before they are decoded: how often a field occurs. It allocates nothing, so that what would make the
//! decoder allocate out of proportion (a list of a million empty messages) is refused first. It knows no message of Danso.

use std::ops::ControlFlow;

/// Walks over the fields of the outermost message; `visit` gets the field number and, for length-delimited fields, the content.
/// `None` when the bytes are no protobuf message. Groups are not a part of proto3 and count as such bytes.
pub fn walk<'a>(mut bytes: &'a [u8], mut visit: impl FnMut(u64, &'a [u8]) -> ControlFlow<()>) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let content = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                &[][..]
            }
            1 => {
                bytes = bytes.get(8..)?;
                &[][..]
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                content
            }
            5 => {
                bytes = bytes.get(4..)?;
                &[][..]
            }
            _ => return None,
        };
        if visit(key >> 3, content).is_break() {
            return None;
        }
    }
    Some(())
}

/// How often `field` occurs in the outermost message; `None` when the bytes are no message.
pub fn count(bytes: &[u8], field: u64) -> Option<usize> {
    let mut found = 0;
    walk(bytes, |number, _| {
        found += usize::from(number == field);
        ControlFlow::Continue(())
    })?;
    Some(found)
}

/// Writes a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_fields_of_every_wire_type() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 3 << 3);
        put_varint(&mut bytes, u64::MAX);
        bytes.extend_from_slice(&[5 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[3 << 3 | 2, 2, 0xff, 0xff]);
        bytes.extend_from_slice(&[3 << 3 | 5, 0, 0, 0, 0]);
        assert_eq!(count(&bytes, 3), Some(3));
        assert_eq!(count(&bytes, 5), Some(1));
        assert_eq!(count(&[], 5), Some(0));
    }

    #[test]
    fn what_is_cut_or_unknown_is_no_message() {
        for bad in [&[0x80][..], &[0x0a, 5, 1], &[0x09, 1], &[0x0d, 1], &[0x0b], &[0xff; 11]] {
            assert_eq!(count(bad, 1), None, "{bad:?}");
        }
    }
}
