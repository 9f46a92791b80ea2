//! Puts the rooms together: sets a node up, joins it to its parent, runs it. The command line is in [`cli`].

use std::sync::Arc;

use danso_proto::envelope::Signer as _;
use danso_proto::refusal::{Class, Refusal};

use crate::clock::SystemClock;
use crate::config::{ConfigError, Layout, LayoutError};
use crate::keys::{KeyError, LogKey};
use crate::pipeline;
use crate::pki::PkiError;
use crate::store;
use crate::telemetry::TelemetryError;

mod backup;
pub mod cli;
mod database;
mod demo;
mod doctor;
mod drill;
mod gauges;
mod init;
mod join;
mod migrate;
mod out;
mod rebuild;
mod recover;
mod restore;
mod run;
mod watch;
mod words;

/// Why the node could not be set up, joined or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory.
    #[error("the node's directory")]
    Layout(#[from] LayoutError),
    /// The configuration.
    #[error("the configuration")]
    Config(#[from] ConfigError),
    /// The address of a database on a server.
    #[error("the address of the database")]
    Address(#[from] store::AddressError),
    /// A key file.
    #[error("a key")]
    Key(#[from] KeyError),
    /// Certificates.
    #[error("certificates")]
    Pki(#[from] PkiError),
    /// The store.
    #[error("the store")]
    Store(#[from] store::Error),
    /// The pipeline.
    #[error("the pipeline")]
    Pipeline(#[from] pipeline::Error),
    /// Logs or metrics.
    #[error("telemetry")]
    Telemetry(#[from] TelemetryError),
    /// What was asked for is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The unit list.
    #[error("the unit list {path}")]
    Units {
        /// The file.
        path: String,
        /// Why.
        source: init::UnitsFileError,
    },
    /// A file or socket.
    #[error("{what}")]
    Io {
        /// What was being done, and with which file or address.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A server ended by itself.
    #[error("the gRPC server")]
    Server(#[from] tonic::transport::Error),
}

impl From<crate::archive::Error> for Error {
    fn from(error: crate::archive::Error) -> Self {
        match (error.refusal(), error) {
            (Some(refusal), _) => Self::Refused(refusal),
            (None, crate::archive::Error::Io { what, source }) => Self::Io { what: format!("cannot {what}"), source },
            (None, error) => Self::Io { what: "the backup".into(), source: std::io::Error::other(error) },
        }
    }
}

/// Where the store keeps the parent's node id.
const META_PARENT: &str = "parent";
/// Where the store keeps the anchor's fingerprint.
const META_ANCHOR: &str = "anchor";

/// What init and join begin with: the directory, locked, with the node's log key.
fn log_key(layout: &Layout) -> Result<Arc<LogKey>, Error> {
    Ok(Arc::new(LogKey::load_or_create(&layout.log_key())?))
}

/// The 32 bytes of a log key's public part.
fn public_bytes(key: &LogKey) -> [u8; 32] {
    *key.public_key().as_bytes()
}

/// Whether a parent that was asked for a place has said no. After anything else it may have given it, and the answer was lost on the way.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if !matches!(refusal.reason.class(), Class::Unavailable | Class::Internal))
}

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::new())
}

#[cfg(test)]
mod tests;
