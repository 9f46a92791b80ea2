//! `HOST:PORT`, as people write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host name or IP address with a port. Names are looked up when they are dialled, not here.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: Box<str>,
    port: u16,
}

/// A text that is no `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}; write HOST:PORT, for example 192.0.2.7:7443 or [2001:db8::7]:7443")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

/// Bytes of a host name at most (RFC 1035).
const HOST_MAX: usize = 253;

impl Address {
    /// Any free port of this machine alone: for a node that has no children.
    pub fn any_local() -> Self {
        Self::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 asks for any free one when listening.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether somebody could dial it: a port, and not "all addresses".
    pub fn is_dialable(&self) -> bool {
        self.port != 0 && !self.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string().into(), port: address.port() }
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = |why| Err(AddressError { text: text.chars().take(80).collect(), why });
        let Some((host, port)) = text.rsplit_once(':') else {
            return refuse("has no port");
        };
        let Ok(port) = port.parse() else {
            return refuse("has no port from 0 to 65535");
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) if v6.parse::<Ipv6Addr>().is_ok() => v6,
            Some(_) => return refuse("has no IPv6 address in its brackets"),
            None if host.contains(':') => return refuse("has an IPv6 address without brackets"),
            None => host,
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || host.len() > HOST_MAX || !host.bytes().all(fits) {
            return refuse("has no host name (ASCII letters, digits, dots, hyphens)");
        }
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_what_they_print() {
        for text in ["0.0.0.0:0", "dan-so.example.vn:7443", "[::1]:7443", "localhost:65535"] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
        let socket: SocketAddr = "[::1]:80".parse().expect("socket");
        assert_eq!(Address::from(socket).to_string(), "[::1]:80");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, why) in [
            ("10.0.0.1", "no port"),
            ("10.0.0.1:", "65535"),
            ("10.0.0.1:65536", "65535"),
            ("::1:80", "without brackets"),
            ("[::x]:80", "in its brackets"),
            (":80", "host name"),
            ("xã.vn:80", "host name"),
            ("https://a:80", "brackets"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn nobody_dials_all_addresses_or_no_port() {
        for (text, fits) in [("0.0.0.0:1", false), ("[::]:1", false), ("a.vn:0", false), ("127.0.0.1:1", true)] {
            assert_eq!(text.parse::<Address>().expect(text).is_dialable(), fits, "{text}");
        }
    }
}
