//! What the address of a server says, and what it may not: a password, or an open way to another machine. Knows nothing of what is there.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What the query of an address can say.
const SETTINGS: [&str; 9] =
    ["host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "options"];

/// Where a database server is, by whom and how it is asked. What its text says is no secret; what sqlx finds besides (`PGPASSWORD`, a
/// `.pgpass`) can be, so that nothing but the text is ever shown.
#[derive(Clone)]
pub struct Address {
    text: String,
    pub(in crate::store) servers: Vec<PgConnectOptions>,
}

/// Why a text is no address of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It begins otherwise.
    #[error("an address of a database begins with postgres://")]
    Scheme,
    /// The password is in it: it would stand in configurations, lists of processes and logs.
    #[error(
        "the password does not belong into the address: put it into a file that only the node's user can read (store.password_file)"
    )]
    Password,
    /// Something else is wrong.
    #[error("no address of a database, as postgres://USER@HOST:5432/DATABASE: {0}")]
    Unfit(String),
    /// The way to the server is open to others.
    #[error(
        "{0} is another machine: write sslmode=verify-full, and sslrootcert=FILE where its certificate is not from a public authority"
    )]
    Open(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or(AddressError::Scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        // A password may hold what ends an authority; nothing of it is said.
        if user.contains(':') || rest.rsplit_once('@').is_some_and(|(before, _)| before.contains(':')) {
            return Err(AddressError::Password);
        }
        for pair in path.split_once('?').map_or("", |(_, query)| query).split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').map_or(pair, |(key, _)| key) {
                "password" => return Err(AddressError::Password),
                key if SETTINGS.contains(&key) => {}
                // What is misspelt would be passed over, and with it what it should keep safe.
                key => return Err(AddressError::Unfit(format!("{key} is none of {}", SETTINGS.join(", ")))),
            }
        }
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let server = |host: &str| -> Result<PgConnectOptions, AddressError> {
            // An address with a user and without a host is none to the parser: the host can be a directory with a socket.
            let text = match host.is_empty() && !user.is_empty() {
                true => format!("postgres://{path}{}user={user}", if path.contains('?') { '&' } else { '?' }),
                false => format!("postgres://{at}{host}{path}"),
            };
            let options: Result<PgConnectOptions, _> = text.parse();
            let options = options.map_err(|error| AddressError::Unfit(error.to_string()))?;
            let is_here = options.get_socket().is_some() || is_this_machine(options.get_host());
            match options.get_ssl_mode() {
                PgSslMode::VerifyFull => Ok(options),
                _ if is_here => Ok(options),
                _ => Err(AddressError::Open(options.get_host().to_owned())),
            }
        };
        let servers: Result<Vec<_>, _> = hosts.split(',').map(server).collect();
        Ok(Self { text: text.to_owned(), servers: servers? })
    }
}

fn is_this_machine(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Address {}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({self})")
    }
}

/// A password that nobody is shown.
#[derive(Clone)]
pub(super) struct Password(pub(super) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}
