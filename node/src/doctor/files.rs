//! The files beside the database, which a node needs to start: keys, configuration, certificates. Knows where they are, who may read them, and
//! what fits together.

use std::path::Path;

use danso_core::verify::Node;
use danso_proto::refusal::Reason;

use super::{Line, State};
use crate::config::{Config, Layout};
use crate::keys::{CaKey, KeyError, LinkKey, LogKey, Rotation};
use crate::pki::{self, Ca, PkiError};

/// Before the end of a certificate that people should hear of it: it renews itself long before, unless it cannot.
const ENDS_SOON_MS: i64 = 14 * 24 * 3_600_000;

/// Lines for all of them. `me`: what the directory says of the node, as far as it can be read.
pub(super) fn all(layout: &Layout, me: Option<&Node>, now_ms: i64) -> Vec<Line> {
    let mut told = keys(layout, me);
    told.push(config(layout, me));
    told.extend(ca(layout));
    let has_parent = me.is_some_and(|me| me.parent().is_some())
        || Config::load(&layout.config()).is_ok_and(|config| config.parent.is_some());
    told.push(certificate(layout, has_parent, now_ms));
    told
}

fn unfit(check: &'static str, why: impl Into<String>) -> Line {
    Line::bad(check, State::Fail, Reason::FileUnfit, why)
}

fn config(layout: &Layout, me: Option<&Node>) -> Line {
    let config = match Config::load(&layout.config()) {
        Ok(config) => config,
        Err(error) => return unfit("config", error.to_string()),
    };
    match me.and_then(Node::parent) {
        Some(parent) if config.parent.is_none() => {
            let path = layout.config();
            unfit("config", format!("{} has no [parent] address, but this node's parent is {parent}", path.display()))
        }
        _ => Line::ok("config", "it reads, and its values make sense"),
    }
}

/// The node's own CA. Of a key that is unfit the line about keys tells.
fn ca(layout: &Layout) -> Option<Line> {
    match Ca::check(&layout.ca_key(), &layout.ca_certificate()) {
        Ok(()) => Some(Line::ok("ca", "the certificate fits its key")),
        Err(PkiError::Key(_)) => None,
        Err(error) => Some(unfit("ca", error.to_string())),
    }
}

/// A line for each key that is not well, or one for all.
fn keys(layout: &Layout, me: Option<&Node>) -> Vec<Line> {
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
    if let Some(me) = me
        && bad.is_empty()
        && !rotation.holds(me.key())
    {
        let detail = super::other_key(&layout.log_key(), me);
        return vec![Line::bad("keys", State::Fail, Reason::KeyNotEnrolled, detail)];
    }
    match bad.is_empty() {
        true => vec![Line::ok("keys", "for this user only, and keys")],
        false => bad,
    }
}

/// The certificate for the link to the parent, and that of the parent's CA, which issued it.
pub(super) fn certificate(layout: &Layout, has_parent: bool, now_ms: i64) -> Line {
    let (path, parent_ca) = (layout.link_certificate(), layout.parent_ca_certificate());
    if !has_parent && !path.exists() && !parent_ca.exists() {
        return Line::ok("certificate", "none: the root needs none");
    }
    let read = |path: &Path| pki::read_certificates(path).map_err(|error| unfit("certificate", error.to_string()));
    let (chain, parent_ca) = match (read(&path), read(&parent_ca)) {
        (Ok(chain), Ok(ca)) => (chain, ca),
        (Err(line), _) | (_, Err(line)) => return line,
    };
    if !pki::is_whole(&parent_ca[0]) {
        let path = layout.parent_ca_certificate();
        return unfit("certificate", format!("{}: its signature does not fit", path.display()));
    }
    // As the parent itself will check it. Whether its time is over is told below.
    if let Err(refusal) = pki::check_client(&chain, &parent_ca[0], now_ms)
        && refusal.reason != Reason::CertificateExpired
    {
        return unfit("certificate", format!("{}: {}", path.display(), refusal.detail));
    }
    if LinkKey::load(&layout.link_key()).is_ok_and(|key| !pki::is_for(&chain[0], &key)) {
        let key = layout.link_key();
        return unfit("certificate", format!("{} is not for {}", path.display(), key.display()));
    }
    let ends_ms = match chain.first().map(|certificate| pki::not_after_ms(certificate)) {
        Some(Ok(ends_ms)) => ends_ms,
        Some(Err(refusal)) => return Line::fail("certificate", refusal),
        None => return unfit("certificate", "the file holds none"),
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
