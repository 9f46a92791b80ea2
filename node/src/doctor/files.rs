//! The files beside the database: keys, and the certificate for the link. Knows where they are and who may read them.

use danso_proto::envelope::PublicKey;
use danso_proto::refusal::Reason;

use super::{Line, State};
use crate::config::Layout;
use crate::keys::{CaKey, KeyError, LinkKey, LogKey, Rotation};
use crate::pki;

/// Before the end of a certificate that people should hear of it: it renews itself long before, unless it cannot.
const ENDS_SOON_MS: i64 = 14 * 24 * 3_600_000;

/// A line for each key that is not well, or one for all.
pub(super) fn keys(layout: &Layout, named: Option<&PublicKey>) -> Vec<Line> {
    let read: [Result<(), KeyError>; 3] = [
        LogKey::load(&layout.log_key()).map(drop),
        LinkKey::load(&layout.link_key()).map(drop),
        CaKey::load(&layout.ca_key()).map(drop),
    ];
    let bad: Vec<Line> = read
        .into_iter()
        .filter_map(Result::err)
        .map(|error| Line::bad("keys", State::Fail, Reason::KeyFileUnfit, error.to_string()))
        .collect();
    let rotation = Rotation::new(layout.log_key(), layout.next_log_key());
    if let Some(named) = named
        && bad.is_empty()
        && !rotation.holds(named)
    {
        let detail = format!(
            "{} is not the key that the directory names ({}): nothing that is written with it counts. If the database is an old copy: danso-node recover \
             --data DIR. If the key is lost: a token of the parent (danso-admin child invite --node NODE), then recover with --token-file",
            layout.log_key().display(),
            named.fingerprint()
        );
        return vec![Line::bad("keys", State::Fail, Reason::KeyNotEnrolled, detail)];
    }
    match bad.is_empty() {
        true => vec![Line::ok("keys", "for this user only, and keys")],
        false => bad,
    }
}

/// The certificate for the link to the parent.
pub(super) fn certificate(layout: &Layout, now_ms: i64) -> Line {
    let path = layout.link_certificate();
    if !path.exists() {
        return Line::ok("certificate", "none: the root needs none");
    }
    let chain = match pki::read_certificates(&path) {
        Ok(chain) => chain,
        Err(error) => return Line::bad("certificate", State::Fail, Reason::KeyFileUnfit, error.to_string()),
    };
    let ends_ms = match chain.first().map(|certificate| pki::not_after_ms(certificate)) {
        Some(Ok(ends_ms)) => ends_ms,
        Some(Err(refusal)) => return Line::fail("certificate", refusal),
        None => return Line::bad("certificate", State::Fail, Reason::KeyFileUnfit, "the file holds none"),
    };
    let days = (ends_ms - now_ms).div_euclid(24 * 3_600_000);
    match ends_ms - now_ms {
        left if left <= 0 => {
            Line::bad("certificate", State::Fail, Reason::CertificateEnds, format!("it ended {} days ago", -days - 1))
        }
        left if left < ENDS_SOON_MS => {
            Line::bad("certificate", State::Warn, Reason::CertificateEnds, format!("it ends in {days} days"))
        }
        _ => Line::ok("certificate", format!("it ends in {days} days")),
    }
}
