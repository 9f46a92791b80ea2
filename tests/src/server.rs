//! Databases for nodes on a PostgreSQL server, where the environment names one: the same stories run on it then.

use std::path::{Path, PathBuf};

use crate::process::{self, DONE};

/// Names the server, as `tests/run` writes it: `postgres:///postgres?host=DIRECTORY&user=USER`.
const SERVER: &str = "DANSO_TEST_POSTGRES";

/// Where a new node with this directory keeps its database, beyond what `init` and `join` take by themselves: in one of its own on that server.
/// Where none is named, nothing: a file.
pub(crate) fn store_flags(data: &Path) -> Vec<String> {
    let Ok(server) = std::env::var(SERVER) else { return Vec::new() };
    let said = |key: &str| {
        let said = server.split(['?', '&']).find_map(|setting| setting.strip_prefix(key));
        said.unwrap_or_else(|| panic!("{SERVER} does not say {key}")).to_owned()
    };
    let (host, user) = (said("host="), said("user="));
    let name = data.display().to_string().to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    // The end of a path says which one it is; a name has 63 bytes.
    let name = format!("s{}", &name[name.len().saturating_sub(60)..]);
    let psql = ["-X", "-q", "-h", &host, "-U", &user, "-d", "postgres", "-c", &format!("CREATE DATABASE {name}")];
    let made = process::run(programs().join("psql"), psql);
    // It is there when the same verb was cut before.
    assert!(made.code == DONE || made.stderr.contains("already exists"), "{}", made.stderr);
    vec!["--store".into(), format!("postgres:///{name}?host={host}&user={user}")]
}

/// The directory of the server's programs: Debian gives each version one of its own.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("postgresql is installed");
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version).expect("a version").join("bin")
}
