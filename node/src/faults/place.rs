//! Directories of nodes under test, and what those nodes have on a server, where the environment names one. Knows names, and nothing of what is
//! in them.

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// Names the server, as an address of which the database and a query are a part.
const ELSEWHERE: &str = "DANSO_TEST_POSTGRES";
/// duplicate_database
const THERE_ALREADY: &str = "42P04";
/// object_in_use
const IN_USE: &str = "55006";
/// How often it is asked again until the server has seen that a session ended; each time it waits some seconds by itself.
const TRIES: u32 = 24;
/// invalid_catalog_name
const NOT_THERE: &str = "3D000";

/// Whether the environment names a server.
pub(crate) fn is_elsewhere() -> bool {
    std::env::var(ELSEWHERE).is_ok()
}

/// The address of the database of the node in a directory, which is made when it is not there.
pub(crate) fn database_for(dir: &Path) -> Option<String> {
    let address = address_for(dir)?;
    say(&format!("CREATE DATABASE {}", name_for(dir)), THERE_ALREADY);
    Some(address)
}

/// A connection to that database.
pub(crate) async fn connection_for(dir: &Path) -> Option<PgConnection> {
    let options: PgConnectOptions = address_for(dir)?.parse().expect("an address");
    Some(options.connect().await.expect("connected"))
}

/// Copies what a closed node has on the server, if it has anything there.
pub(crate) fn copy(from: &Path, to: &Path) {
    say(&format!("CREATE DATABASE {} TEMPLATE {}", name_for(to), name_for(from)), NOT_THERE);
}

fn address_for(dir: &Path) -> Option<String> {
    let server = std::env::var(ELSEWHERE).ok()?;
    let (before, query) = server.split_once('?').expect("an address with a query");
    let (before, _) = before.rsplit_once('/').expect("a database");
    Some(format!("{before}/{}?{query}", name_for(dir)))
}

/// The end of a path says which one it is; a name has 63 bytes.
fn name_for(dir: &Path) -> String {
    let text = dir.to_string_lossy();
    let name: String = text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    format!("d{}", &name[name.len().saturating_sub(60)..])
}

/// Says something to the server, and waits for it in a thread of its own, so that those can ask who cannot await. One error is as good as done.
fn say(sql: &str, fine: &str) {
    let Ok(server) = std::env::var(ELSEWHERE) else { return };
    let (server, sql): (PgConnectOptions, String) = (server.parse().expect("an address"), sql.to_owned());
    let said = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let mut connection = server.connect().await.expect("connected");
            let mut left = TRIES;
            // Sessions that were just closed are at the server for a little longer; it waits for them by itself, some seconds each time.
            let done = loop {
                match sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await {
                    Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(IN_USE) && left > 0 => {
                        left -= 1;
                    }
                    done => break done,
                }
            };
            connection.close().await.expect("closed");
            done
        })
    });
    match said.join().expect("it was said") {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(fine) => {}
        Err(error) => panic!("{error}"),
    }
}

/// A directory for nodes, which goes when this does, with what the node in it, or in `node` in it, has on the server.
#[derive(Debug)]
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let dirs: [PathBuf; 2] = [self.path().to_path_buf(), self.path().join("node")];
        for dir in dirs {
            say(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name_for(&dir)), NOT_THERE);
        }
    }
}
