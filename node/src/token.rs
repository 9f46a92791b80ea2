//! Invite tokens: everything that a new node needs to reach and know its parent, as one line of text that people can paste.
//!
//! The parent's CA certificate travels whole, so that joining verifies TLS like any other connection. The secret is worth a place in
//! the federation until it is used or expires: it is shown once, stored as a hash only, and never logged.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use danso_proto::ids::{Fingerprint, NodeId, UnitCode};
use danso_proto::refusal::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::Address;

/// Begins every token of this version.
const PREFIX: &str = "danso1-";
/// Bytes of the checksum at the end: it finds typing and copying errors, nothing else.
const CHECKSUM: usize = 4;
/// Characters of a token at most: a CA certificate of ours makes about 900.
const TOKEN_MAX: usize = 8 * 1024;
/// Separates this hash from others of the same bytes.
const SECRET_DOMAIN: &[u8] = b"danso/invite/v1";

/// An invite as the new node sees it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Where to dial the parent.
    pub address: Address,
    /// Unit that the invite is for.
    pub unit: UnitCode,
    /// The parent.
    pub parent: NodeId,
    /// Certificate of the parent's CA, DER.
    pub ca_certificate: Vec<u8>,
    /// SHA-256 of the root's first log key.
    #[serde(with = "bytes32")]
    pub anchor: Fingerprint,
    /// Trust domain of the federation's certificates.
    pub trust_domain: String,
    /// What makes the invite usable, once.
    pub secret: InviteSecret,
    /// End of the invite, milliseconds since the Unix epoch, by the parent's clock.
    pub expires_at_ms: i64,
    /// The node that gets its place back with it; `None`: it is for a new node.
    pub node: Option<NodeId>,
}

/// The secret of an invite.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteSecret(pub [u8; 32]);

impl InviteSecret {
    /// What the parent stores: SHA-256("danso/invite/v1" || secret). The secret is random, so the hash needs no salt.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(SECRET_DOMAIN).chain_update(self.0).finalize().into()
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(unit {}, parent {} at {}, secret {:?})", self.unit, self.parent, self.address, self.secret)
    }
}

impl Token {
    /// The token as text. Not `Display`, so that no log line makes it by accident.
    pub fn to_text(&self) -> Result<String, Refusal> {
        let internal = |why: String| Refusal::new(Reason::Internal, format!("the invite token: {why}"));
        let mut bytes = postcard::to_allocvec(self).map_err(|error| internal(error.to_string()))?;
        bytes.extend_from_slice(&checksum(&bytes));
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        if text.len() > TOKEN_MAX {
            return Err(internal(format!("it would have {} characters, at most {TOKEN_MAX}", text.len())));
        }
        Ok(text)
    }
}

impl FromStr for Token {
    type Err = Refusal;
    /// Spaces and line breaks, which mail programs put in, are ignored.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.len() > 2 * TOKEN_MAX {
            return Err(garbled("it is far too long for a token"));
        }
        let text: String = text.split_ascii_whitespace().collect();
        if text.is_empty() {
            return Err(garbled("it is empty"));
        }
        let Some(body) = text.strip_prefix(PREFIX) else {
            return Err(match PREFIX.starts_with(text.as_str()) {
                true => garbled("it is too short: most of it is missing"),
                false => {
                    garbled(format!("it does not begin with {PREFIX}: this is no token, or its beginning is missing"))
                }
            });
        };
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|error| match error {
            base64::DecodeError::InvalidByte(at, _) => {
                garbled(format!("character {} of it occurs in no token; copy it again", PREFIX.len() + at + 1))
            }
            _ => garbled("its end is missing; copy it again, to the last character"),
        })?;
        let Some((bytes, sum)) = bytes.split_last_chunk::<CHECKSUM>() else {
            return Err(garbled("it is too short: most of it is missing"));
        };
        if checksum(bytes) != *sum {
            return Err(garbled(format!(
                "its checksum is wrong: of its {} characters some are missing or changed; copy it again, whole",
                text.len()
            )));
        }
        match postcard::take_from_bytes(bytes) {
            Ok((token, [])) => Ok(token),
            _ => Err(garbled("it is whole but cannot be read: it may come from another version of this program")),
        }
    }
}

fn garbled(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::TokenGarbled, detail)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = Sha256::digest(bytes);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A fingerprint as its bytes.
mod bytes32 {
    use super::{Deserialize, Fingerprint, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(print: &Fingerprint, out: S) -> Result<S::Ok, S::Error> {
        print.0.serialize(out)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Fingerprint, D::Error> {
        <[u8; 32]>::deserialize(input).map(Fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        let unit: UnitCode = "17065".parse().expect("unit");
        Token {
            address: "10.0.0.1:7443".parse().expect("address"),
            parent: NodeId::new(&"420".parse().expect("unit"), &[1; 32]),
            unit,
            ca_certificate: (0..=255).cycle().take(600).collect(),
            anchor: Fingerprint([3; 32]),
            trust_domain: "0123456789abcdef.danso.internal".into(),
            secret: InviteSecret([0xab; 32]),
            expires_at_ms: 1_800_000_000_000,
            node: Some(NodeId::new(&"17065".parse().expect("unit"), &[2; 32])),
        }
    }

    fn detail(text: &str) -> String {
        let refusal = text.parse::<Token>().expect_err("garbled");
        assert_eq!(refusal.reason, Reason::TokenGarbled);
        refusal.detail
    }

    #[test]
    fn a_token_reads_back_also_when_a_mail_program_broke_its_lines() {
        let text = token().to_text().expect("text");
        assert_eq!(text.parse(), Ok(token()));
        let lines: Vec<_> = text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(format!("  {}\r\n", lines.join("\r\n")).parse(), Ok(token()));
    }

    #[test]
    fn each_way_of_being_garbled_is_named() {
        let text = token().to_text().expect("text");
        assert!(detail(" \n").contains("empty"));
        assert!(detail("dan").contains("too short"));
        assert!(detail("danso1-").contains("too short"));
        assert!(detail("danso1-AAA").contains("too short"));
        assert!(detail(&text[3..]).contains("begin"));
        assert!(detail(&text.replacen("danso1", "danso2", 1)).contains("begin"));
        assert!(detail(&format!("{}+{}", &text[..20], &text[21..])).contains("character 21"));
        assert!(
            detail(&text[..text.len() - 8]).contains("checksum") || detail(&text[..text.len() - 8]).contains("end")
        );
        assert!(detail(&"x".repeat(100_000)).contains("too long"));
        // Whole by its checksum, and not a token all the same.
        let mut bytes = vec![1, 2, 3];
        bytes.extend_from_slice(&checksum(&bytes));
        assert!(detail(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))).contains("version"));
    }

    #[test]
    fn the_secret_does_not_show() {
        let shown = format!("{:?} {:?}", token(), token().secret);
        assert!(!shown.contains("171") && !shown.contains("ab, ab") && shown.contains("[REDACTED]"), "{shown}");
        assert_ne!(token().secret.hash(), InviteSecret([0; 32]).hash());
        assert_ne!(token().secret.hash(), <[u8; 32]>::from(Sha256::digest([0xab; 32])));
    }

    proptest! {
        #[test]
        fn no_single_changed_character_passes(at in 0usize..900, to in "[A-Za-z0-9_-]") {
            let text = token().to_text().expect("text");
            let at = at % text.len();
            prop_assume!(text[at..=at] != to);
            let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assert!(changed.parse::<Token>().is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", body in "[A-Za-z0-9_-]{0,200}") {
            let _ = text.parse::<Token>();
            let _ = format!("{PREFIX}{body}").parse::<Token>();
        }
    }
}
