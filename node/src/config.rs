//! `danso.toml`, and where things lie in a node's directory. Reads and checks; knows nothing of what the values are used for.

mod address;
mod layout;
mod months;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use danso_proto::ids::UnitCode;
use danso_proto::limits;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::{files, store};

pub use address::{Address, AddressError};
pub use layout::{DirLock, Fresh, Layout, LayoutError};
pub use months::Months;

/// Life of the children's certificates when nothing is configured, and at most.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(limits::CERTIFICATE_LIFE_S);
/// What is logged when nothing is configured.
const DEFAULT_FILTER: &str = "info";
/// Free MiB that are kept when nothing is configured: a batch of an import writes a few, folding the write-ahead log up to 64.
const DEFAULT_MIN_FREE_MIB: u64 = 64;
/// More is a mistake: 1 TiB.
const MIN_FREE_MIB_MAX: u64 = 1024 * 1024;
/// Opens a file that [`Config::write`] writes.
const HEADER: &str = "\
# Configuration of a Danso node. Every key is explained in deploy/config/.
# Cấu hình của một nút Danso. Giải thích từng khóa: xem deploy/config/.

";

/// A configuration that makes sense as far as can be known without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Unit that the node serves.
    pub unit: UnitCode,
    /// Where children's connections are accepted; port 0 takes any free one.
    pub listen: Address,
    /// Address that invites name, when children cannot reach `listen` as it stands (0.0.0.0, NAT).
    pub advertise: Option<Address>,
    /// Parent's address; the root has none.
    pub parent: Option<Address>,
    /// Life of the certificates that this node gives its children.
    pub certificate_life: Duration,
    /// Where Prometheus may fetch metrics; not served when absent.
    pub metrics: Option<Address>,
    /// Shape of log lines.
    pub log_format: LogFormat,
    /// What is logged, as in `RUST_LOG`.
    pub log_filter: String,
    /// Free MiB below which the disk counts as low.
    pub min_free_mib: u64,
    /// The server that the database is on; without one it is a file in the node's directory.
    pub server: Option<Server>,
    /// How months are judged.
    pub months: Months,
}

/// A server that a node's database is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is, and by whom it is asked.
    pub address: store::Address,
    /// File with the password in its first line; a path that does not begin with `/` begins in the node's directory.
    pub password_file: Option<PathBuf>,
}

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error("cannot {what} the configuration {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// Not TOML, a key that nobody knows, or a value of another kind; with line and column.
    #[error("{}: {detail}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What was found and where.
        detail: String,
    },
    /// Keys with values that do not do, all of them.
    #[error("{}: {} to set right{}", path.display(), problems.len(), list(problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with which key.
        problems: Vec<Problem>,
    },
}

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, with its table: `node.listen`.
    pub key: &'static str,
    /// What is wrong, and what to write.
    pub why: String,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut text, Problem { key, why }| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {key}: {why}");
        text
    })
}

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    node: RawNode,
    parent: Option<RawParent>,
    children: Option<RawChildren>,
    metrics: Option<RawMetrics>,
    log: RawLog,
    store: RawStore,
    #[serde(skip_serializing_if = "Option::is_none")]
    months: Option<months::Raw>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNode {
    unit: Option<String>,
    listen: Option<String>,
    advertise: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawParent {
    address: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawChildren {
    certificate_life: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMetrics {
    listen: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    format: Option<String>,
    filter: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawStore {
    address: Option<String>,
    password_file: Option<PathBuf>,
    min_free_mib: Option<u64>,
}

impl Config {
    /// A configuration with nothing but what a node must have.
    pub fn new(unit: UnitCode, listen: Address) -> Self {
        Self {
            unit,
            listen,
            advertise: None,
            parent: None,
            certificate_life: CERTIFICATE_LIFE,
            metrics: None,
            log_format: LogFormat::default(),
            log_filter: DEFAULT_FILTER.into(),
            min_free_mib: DEFAULT_MIN_FREE_MIB,
            server: None,
            months: Months::default(),
        }
    }

    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io {
            what: "read",
            path: path.into(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Free bytes below which the disk counts as low.
    pub fn min_free(&self) -> u64 {
        self.min_free_mib * 1024 * 1024
    }

    /// Checks a text; `path` is for messages. All problems with values are reported together.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text)
            .map_err(|error| ConfigError::Syntax { path: path.into(), detail: error.to_string().trim_end().into() })?;
        let mut check = Check::default();
        let unit = check.required("node.unit", raw.node.unit, "the code of the unit that the node serves");
        let listen = check.required("node.listen", raw.node.listen, "where to listen, for example \"0.0.0.0:7443\"");
        let advertise = check.dialled("node.advertise", raw.node.advertise);
        let parent = raw.parent.and_then(|parent| match parent.address {
            Some(address) => check.dialled("parent.address", Some(address)),
            None => check.problem("parent.address", "is missing; the root has no [parent] at all"),
        });
        let life = raw.children.and_then(|children| children.certificate_life);
        let certificate_life =
            life.map_or(Some(CERTIFICATE_LIFE), |life| check.life("children.certificate_life", &life));
        let metrics = raw.metrics.and_then(|metrics| {
            check.required("metrics.listen", metrics.listen, "where to listen, for example \"127.0.0.1:9464\"")
        });
        let log_format = match raw.log.format.as_deref() {
            None | Some("human") => Some(LogFormat::Human),
            Some("json") => Some(LogFormat::Json),
            Some(other) => check.problem("log.format", format!("{other:?} is neither \"human\" nor \"json\"")),
        };
        let log_filter = raw.log.filter.unwrap_or_else(|| DEFAULT_FILTER.into());
        if let Err(error) = EnvFilter::try_new(&log_filter) {
            check.problem::<()>(
                "log.filter",
                format!("{error}; write for example \"info\" or \"info,danso_node=debug\""),
            );
        }
        let min_free_mib = raw.store.min_free_mib.unwrap_or(DEFAULT_MIN_FREE_MIB);
        if min_free_mib > MIN_FREE_MIB_MAX {
            check.problem::<()>("store.min_free_mib", format!("at most {MIN_FREE_MIB_MAX}; it is a number of MiB"));
        }
        let server = check.database(raw.store.address, raw.store.password_file);
        let months = check.months(raw.months);
        match (unit, listen, certificate_life, log_format) {
            (Some(unit), Some(listen), Some(certificate_life), Some(log_format)) if check.0.is_empty() => Ok(Self {
                unit,
                listen,
                advertise,
                parent,
                certificate_life,
                metrics,
                log_format,
                log_filter,
                min_free_mib,
                server,
                months,
            }),
            _ => Err(ConfigError::Invalid { path: path.into(), problems: check.0 }),
        }
    }

    /// Writes the file as a whole; what was there is replaced, comments included.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let text = |address: &Address| Some(address.to_string());
        let raw = Raw {
            node: RawNode {
                unit: Some(self.unit.to_string()),
                listen: text(&self.listen),
                advertise: self.advertise.as_ref().and_then(text),
            },
            parent: self.parent.as_ref().map(|address| RawParent { address: text(address) }),
            children: (self.certificate_life != CERTIFICATE_LIFE).then(|| RawChildren {
                certificate_life: Some(humantime::format_duration(self.certificate_life).to_string()),
            }),
            metrics: self.metrics.as_ref().map(|listen| RawMetrics { listen: text(listen) }),
            log: RawLog {
                format: Some(if self.log_format == LogFormat::Json { "json" } else { "human" }.into()),
                filter: Some(self.log_filter.clone()),
            },
            store: RawStore {
                address: self.server.as_ref().map(|server| server.address.to_string()),
                password_file: self.server.as_ref().and_then(|server| server.password_file.clone()),
                min_free_mib: Some(self.min_free_mib).filter(|mib| *mib != DEFAULT_MIN_FREE_MIB),
            },
            months: months::Raw::of(&self.months),
        };
        let text = toml::to_string(&raw)
            .map_err(|error| ConfigError::Syntax { path: path.into(), detail: error.to_string() })?;
        files::replace(path, format!("{HEADER}{text}").as_bytes(), 0o644).map_err(|source| ConfigError::Io {
            what: "write",
            path: path.into(),
            source,
        })
    }
}

/// Collects problems.
#[derive(Default)]
struct Check(Vec<Problem>);

impl Check {
    fn problem<T>(&mut self, key: &'static str, why: impl Into<String>) -> Option<T> {
        self.0.push(Problem { key, why: why.into() });
        None
    }

    fn required<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        key: &'static str,
        text: Option<String>,
        hint: &str,
    ) -> Option<T> {
        match text.map(|text| text.parse()) {
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => self.problem(key, error.to_string()),
            None => self.problem(key, format!("is missing: {hint}")),
        }
    }

    /// A certificate's life.
    fn life(&mut self, key: &'static str, text: &str) -> Option<Duration> {
        let (least, most) = (Duration::from_secs(limits::CERTIFICATE_LIFE_MIN_S), CERTIFICATE_LIFE);
        let said = humantime::parse_duration(text);
        match said {
            Ok(life) if (least..=most).contains(&life) => Some(life),
            Ok(_) => self.problem(key, format!("{text} is not between {}s and 90days", least.as_secs())),
            Err(error) => self.problem(key, format!("{text:?} is no time ({error}): write for example \"90days\"")),
        }
    }

    /// The server that the database is on.
    fn database(&mut self, address: Option<String>, password_file: Option<PathBuf>) -> Option<Server> {
        let Some(address) = address else {
            return match password_file {
                Some(_) => self.problem("store.password_file", "is for store.address, which is missing"),
                None => None,
            };
        };
        match address.parse() {
            Ok(address) => Some(Server { address, password_file }),
            Err(error) => self.problem("store.address", error.to_string()),
        }
    }

    /// An address that somebody else shall dial.
    fn dialled(&mut self, key: &'static str, text: Option<String>) -> Option<Address> {
        let address: Address = match text?.parse() {
            Ok(address) => address,
            Err(error) => return self.problem(key, format!("{error}")),
        };
        match address.is_dialable() {
            true => Some(address),
            false => self.problem(key, format!("nobody can dial {address}: write a host name or address, and a port")),
        }
    }
}

#[cfg(test)]
mod tests;
