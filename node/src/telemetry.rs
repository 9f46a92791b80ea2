//! What the node says about itself while it runs: log lines on stderr, and metrics for Prometheus. No names or identifiers of persons.

mod serve;

use std::io::IsTerminal as _;

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Address, LogFormat};

pub use serve::MetricsServer;

/// Why the node cannot say anything.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error(
        "the log filter {filter:?} cannot be read: {why}; write for example \"info,danso_node=debug\" as log.filter or RUST_LOG"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong.
        why: String,
    },
    /// Something else in this process has set it up already.
    #[error("{0} was set up twice in this process")]
    Twice(&'static str),
    /// The address cannot be listened on.
    #[error("cannot serve metrics on {address}: {source}; choose another metrics.listen, or end what listens there")]
    Listen {
        /// The address.
        address: Address,
        /// The error.
        source: std::io::Error,
    },
}

/// Begins to write log lines to stderr: once in a process. `RUST_LOG` goes before `filter`.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| filter.into());
    let parsed = EnvFilter::try_new(&filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.clone(), why: error.to_string() })?;
    // Colours are for people at a terminal; in a file or a journal they are dirt.
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(colours).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|_| TelemetryError::Twice("logging"))
}

/// Begins to count: once in a process, and only where metrics are served, because counting nobody reads costs memory.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = builder().install_recorder().map_err(|_| TelemetryError::Twice("counting"))?;
    describe();
    Ok(handle)
}

fn builder() -> PrometheusBuilder {
    // Quantiles of one node cannot be added up; buckets can.
    match PrometheusBuilder::new().set_buckets(&SECONDS) {
        Ok(builder) => builder,
        Err(_) => PrometheusBuilder::new(), // only for an empty list
    }
}

/// Buckets of all times: from a commit on a fast disk to a deadline on a bad link.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $kind:ident $name:ident = $text:literal, $unit:ident;)*) => {
        $($(#[doc = $doc])* pub const $name: &str = $text;)*

        /// Gives every metric its unit and its text.
        fn describe() {
            $(metrics::$kind!($name, Unit::$unit, concat!($($doc),*).trim());)*
        }

        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$(($text, stringify!($kind)),)*];
    };
}

metrics! {
    /// 1, with the software version as a label `version`.
    describe_gauge BUILD_INFO = "danso_build_info", Count;
    /// Connections refused in the TLS handshake, by `reason`.
    describe_counter TLS_REFUSED = "danso_tls_refused_total", Count;
    /// Calls refused after the handshake, by `reason`.
    describe_counter CALLS_REFUSED = "danso_calls_refused_total", Count;
    /// Entries of logs that became durable here.
    describe_counter ENTRIES = "danso_entries_total", Count;
    /// Changes that became durable here.
    describe_counter CHANGES = "danso_changes_total", Count;
    /// Entries that were refused, by `reason`.
    describe_counter ENTRIES_REFUSED = "danso_entries_refused_total", Count;
    /// Logs of which another history, or a shorter one, was shown, by `reason`: any is an alarm.
    describe_counter FORKS = "danso_forks_total", Count;
    /// Logs that are stopped until an operator decides: above 0 is an alarm.
    describe_gauge LOGS_QUARANTINED = "danso_logs_quarantined", Count;
    /// Time of one commit of the pipeline.
    describe_histogram COMMIT_SECONDS = "danso_commit_seconds", Seconds;
    /// Change sets in one commit of the pipeline.
    describe_counter COMMITS = "danso_commits_total", Count;
    /// 1 while the link to the parent is up.
    describe_gauge LINK_UP = "danso_link_up", Count;
    /// Sessions with the parent that began since the start: one more with every cut.
    describe_counter LINK_SESSIONS = "danso_link_sessions_total", Count;
    /// Unix time of the last frame from the parent.
    describe_gauge LINK_HEARD = "danso_link_heard_timestamp_seconds", Seconds;
    /// Parent's clock less ours at the last hello or renewal.
    describe_gauge CLOCK_SKEW = "danso_clock_skew_seconds", Seconds;
    /// Own entries without the parent's receipt.
    describe_gauge ENTRIES_WAITING = "danso_entries_without_receipt", Count;
    /// Children that are connected.
    describe_gauge CHILDREN_CONNECTED = "danso_children_connected", Count;
    /// Slips that wait for a person who is not known yet.
    describe_gauge SLIPS_WAITING = "danso_slips_waiting", Count;
    /// Findings that are open.
    describe_gauge FINDINGS_OPEN = "danso_findings_open", Count;
    /// Findings that are not closed, by `severity` and `state`.
    describe_gauge FINDINGS = "danso_findings", Count;
    /// Bytes that this node may still write where its database is.
    describe_gauge DISK_FREE = "danso_disk_free_bytes", Bytes;
    /// 0 while there is room, 1 when packages of others are refused (below store.min_free_mib), 2 when new work is refused, too.
    describe_gauge DISK_LEVEL = "danso_disk_level", Count;
    /// 1 when damage of the database was found since the start: an alarm.
    describe_gauge STORE_DAMAGED = "danso_store_damaged", Count;
    /// 1 while the database server does not do what is asked of it, so that nothing is written: an alarm when it lasts.
    describe_gauge STORE_UNAVAILABLE = "danso_store_unavailable", Count;
    /// 1 while this node writes nothing because its database is an old copy: an alarm.
    describe_gauge READ_ONLY = "danso_read_only", Count;
    /// Unix time at which the certificate for the link to the parent ends.
    describe_gauge CERTIFICATE_ENDS = "danso_link_certificate_end_timestamp_seconds", Seconds;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_prometheus_wants() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ALL.len(), "no name twice");
        for (name, kind) in ALL {
            assert!(name.starts_with("danso_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == "describe_counter", "{name}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        // Not the environment's: a test must not change it.
        let error = EnvFilter::try_new("a=b=c").expect_err("refused");
        let error = TelemetryError::Filter { filter: "a=b=c".into(), why: error.to_string() };
        assert!(error.to_string().contains("RUST_LOG"), "{error}");
    }
}
