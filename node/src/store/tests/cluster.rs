//! A PostgreSQL of this test's own: a throw-away cluster in a temporary directory, reached through a socket in it, and gone with it.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::faults::place;
use crate::store::{Address, Store};

/// Where Debian puts the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// How long a server is waited for: a busy machine is slow, and nothing fails because of that.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an opening draws.
pub(crate) const WORD: [u8; 8] = *b"a word 1";

/// A running server.
pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    server: Child,
}

impl Cluster {
    /// Makes and starts one.
    pub(crate) fn start() -> Self {
        Self::made(|data| {
            let mut initdb = program("initdb", user());
            initdb
                .args(["--no-sync", "--auth=trust", "--username=danso", "--encoding=UTF8", "--locale=C", "-D"])
                .arg(data);
            initdb
        })
    }

    /// Makes and starts one that follows this one and can only be read.
    pub(crate) fn standby(&self) -> Self {
        Self::made(|data| {
            let mut copy = program("pg_basebackup", user());
            copy.args(["-R", "--no-sync", "-c", "fast", "-X", "stream", "-U", "danso", "-h"]);
            copy.arg(self.dir.path()).arg("-D").arg(data);
            copy
        })
    }

    fn made(by: impl FnOnce(&Path) -> Command) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        if let Some((uid, gid)) = user() {
            chown(dir.path(), Some(uid), Some(gid)).expect("the server's user gets its directory");
        }
        let made = by(&dir.path().join("data")).output().expect("it runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server = Self::serve(dir.path(), &[]);
        let cluster = Self { dir, server };
        cluster.wait();
        cluster
    }

    fn serve(dir: &Path, settings: &[&str]) -> Child {
        let mut server = program("postgres", user());
        server.arg("-D").arg(dir.join("data")).arg("-k").arg(dir).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        for setting in settings {
            server.args(["-c", setting]);
        }
        server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres runs")
    }

    /// Until it answers: the program waits by itself.
    fn wait(&self) {
        let begun = Instant::now();
        let asked =
            || program("pg_isready", None).args(["-q", "-t", "1", "-U", "danso", "-h"]).arg(self.dir.path()).status();
        while !asked().expect("pg_isready runs").success() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
        }
    }

    /// Ends it at once, as a machine that loses its power, and starts it again with these settings.
    pub(crate) fn crash(&mut self, settings: &[&str]) {
        self.die();
        // The other processes of a server end when they notice; their lock on the memory keeps a new one out until then.
        self.server = Self::serve(self.dir.path(), settings);
        self.wait();
    }

    fn address_text(&self) -> String {
        format!("postgres://danso@/postgres?host={}", self.dir.path().display())
    }

    /// Ends it at once.
    pub(crate) fn die(&mut self) {
        self.server.kill().expect("killed");
        self.server.wait().expect("ended");
    }

    /// The file of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    /// Where it is, as a host of an address.
    pub(crate) fn host(&self) -> String {
        self.dir.path().display().to_string().replace('/', "%2F")
    }

    /// The address of its database.
    pub(crate) fn address(&self) -> Address {
        self.address_text().parse().expect("an address")
    }

    /// The address of a database of its own in it, which is empty when it is asked for first.
    pub(crate) async fn database(&self, name: &str) -> Address {
        in_schema(&self.address_text(), name).await
    }

    /// The database as a node's store.
    pub(crate) async fn open(&self) -> Store {
        let beside = self.dir.path().join("danso.db");
        Store::open_server(&self.address(), None, &beside, WORD).await.expect("opened")
    }

    /// Says something to the server behind the node's back.
    pub(crate) async fn say(&self, sql: &'static str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
        sqlx::Connection::close(connection).await.expect("closed");
    }

    /// Asks it something behind the node's back.
    pub(crate) async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(&mut self.connection().await).await.expect(sql)
    }

    /// Lets this role in with its password only.
    pub(crate) async fn ask_for_passwords_of(&self, role: &str) {
        let file = self.dir.path().join("data/pg_hba.conf");
        let rules = std::fs::read_to_string(&file).expect("rules");
        std::fs::write(&file, format!("local all {role} scram-sha-256\n{rules}")).expect("written");
        self.say("SELECT pg_reload_conf()").await;
    }

    /// A connection behind the node's back.
    pub(crate) async fn connection(&self) -> sqlx::PgConnection {
        use sqlx::ConnectOptions as _;
        self.address().servers[0].connect().await.expect("connected")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing of it is needed any longer.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The server refuses to run as root: then it runs as the user that its package has made.
fn user() -> Option<(u32, u32)> {
    let me = Path::new("/proc/self").metadata().expect("a process");
    if me.uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("the package postgresql has made the user postgres").split(':').collect();
    Some((fields[2].parse().expect("uid"), fields[3].parse().expect("gid")))
}

fn program(name: &str, user: Option<(u32, u32)>) -> Command {
    let versions = std::fs::read_dir(PROGRAMS).unwrap_or_else(|error| {
        panic!("{PROGRAMS}: {error}: the tests need PostgreSQL 15 or newer; ./tests/run installs it, or: apt-get install postgresql")
    });
    let mut versions: Vec<PathBuf> = versions.map(|version| version.expect("a version").path()).collect();
    versions.sort();
    let mut command = Command::new(versions.last().expect("a version").join("bin").join(name));
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// The address of a schema of a server; it is made when it is not there.
async fn in_schema(server: &str, schema: &str) -> Address {
    use sqlx::{ConnectOptions as _, Connection as _};
    let base: Address = server.parse().expect("an address");
    let mut connection = base.servers[0].connect().await.expect("connected");
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
    sqlx::query(create).execute(&mut connection).await.expect("a schema");
    connection.close().await.expect("closed");
    format!("{server}&options=-csearch_path%3D{schema}").parse().expect("an address")
}

/// The store of a node in a directory: in a file there, or, where the environment names a server, in a database of that server. So the same
/// tests run on both.
pub(crate) async fn open(path: &Path) -> crate::store::Result<Store> {
    match place::database_for(path.parent().expect("a directory")) {
        None => Store::open(path).await,
        Some(address) => Store::open_server(&address.parse().expect("an address"), None, path, WORD).await,
    }
}
