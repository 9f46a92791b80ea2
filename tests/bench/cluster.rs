//! PostgreSQL clusters of the benchmark's own: made, started and removed by it. Durable as delivered (`fsync` and `synchronous_commit` are
//! on), everything else as its makers deliver it. Knows nothing of what is measured.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use danso_node::store::{Address, Store};
use danso_tests::node::free_address;
use danso_tests::process;
use rustix::process::{Pid, Signal, kill_process};

use crate::cpu;
use crate::data::PLAIN;

/// Where Debian puts the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// The user that the databases belong to.
const USER: &str = "danso";
/// The database that each measurement gets anew.
const DATABASE: &str = "bench";

/// A running server: reached through a socket in its directory, and over TLS where it replicates.
pub struct Cluster {
    dir: tempfile::TempDir,
    server: Child,
    /// Where it listens, when it replicates.
    listen: Option<(String, String)>,
}

impl Cluster {
    /// Makes and starts one for a node's store.
    pub fn start() -> anyhow::Result<Self> {
        Self::make(None)
    }

    /// Makes and starts one that others replicate from, over TLS.
    pub fn replicating() -> anyhow::Result<Self> {
        let address = free_address();
        let (host, port) = address.rsplit_once(':').context("an address has a port")?;
        Self::make(Some((host.to_owned(), port.to_owned())))
    }

    fn make(listen: Option<(String, String)>) -> anyhow::Result<Self> {
        // A short name: the path of a unix socket has 107 bytes at most.
        let dir = tempfile::Builder::new().prefix("danso-bench-pg-").tempdir()?;
        let user = user()?;
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        let data = dir.path().join("data");
        let made = program("initdb", user)?
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username", USER, "-D"])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = program("postgres", user)?;
        // It looks for a client's certificate in its user's home, which is not the one of whoever starts it.
        server.arg("-D").arg(&data).arg("-k").arg(dir.path()).env("HOME", dir.path());
        match &listen {
            None => {
                server.args(["-c", "listen_addresses="]);
            }
            Some((host, port)) => {
                certify(&data, user)?;
                server.args(["-c", &format!("listen_addresses={host}"), "-p", port]);
                server.args(["-c", "ssl=on", "-c", "wal_level=logical"]);
                // `initdb` lets the loopback in; that it comes over TLS is asked for by whoever subscribes.
                let mut rules = fs::File::options().append(true).open(data.join("pg_hba.conf"))?;
                writeln!(rules, "hostssl all all 127.0.0.0/8 trust")?;
            }
        }
        let log = fs::File::create(dir.path().join("log"))?;
        let server = server.stdout(Stdio::null()).stderr(log).spawn()?;
        let cluster = Self { dir, server, listen };
        let deadline = Instant::now() + process::PATIENCE;
        while !program("pg_isready", None)?.args(["-q"]).args(cluster.reached()).status()?.success() {
            if Instant::now() > deadline {
                bail!("PostgreSQL does not start: {}", fs::read_to_string(cluster.dir.path().join("log"))?);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(cluster)
    }

    /// Words that lead a program to it.
    fn reached(&self) -> Vec<String> {
        let mut words = vec!["-h".to_owned(), self.dir.path().display().to_string(), "-U".into(), USER.into()];
        if let Some((_, port)) = &self.listen {
            words.extend(["-p".to_owned(), port.clone()]);
        }
        words
    }

    /// Time that the cores have spent for all of its processes.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu::of(self.server.id())
    }

    /// The version that it says it has.
    pub fn version(&self) -> anyhow::Result<String> {
        Ok(self.say("postgres", &["SHOW server_version"])?.1)
    }

    /// Gives the measurement an empty database, and lets what came before reach the disk.
    pub fn fresh(&self) -> anyhow::Result<()> {
        self.say("postgres", &[&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")])?;
        self.say("postgres", &[&format!("CREATE DATABASE {DATABASE}"), "CHECKPOINT"]).map(drop)
    }

    /// The address of that database.
    ///
    /// # Errors
    /// When the directory's name does not fit into one.
    pub fn address(&self) -> anyhow::Result<Address> {
        Ok(self.url(DATABASE).parse()?)
    }

    /// The address of a database, for a client of its own.
    pub fn url(&self, database: &str) -> String {
        let port = self.listen.as_ref().map_or("5432", |(_, port)| port);
        format!("postgres:///{database}?host={}&port={port}&user={USER}", self.dir.path().display())
    }

    /// How a subscriber finds it: over TLS.
    pub fn conninfo(&self) -> anyhow::Result<String> {
        let (host, port) = self.listen.as_ref().context("a cluster that does not replicate")?;
        Ok(format!("host={host} port={port} user={USER} dbname=postgres sslmode=require"))
    }

    /// Opens that database as a node's store; `beside` is a path in the node's own directory.
    pub async fn open(&self, beside: &Path) -> anyhow::Result<Store> {
        Ok(Store::open_server(&self.address()?, None, beside, danso_node::keys::random_bytes()).await?)
    }

    /// Runs commands of `psql` one after the other in the measurement's database: how long it took, and what it printed.
    pub fn psql(&self, commands: &[&str]) -> anyhow::Result<(Duration, String)> {
        self.say(DATABASE, commands)
    }

    /// Runs commands of `psql` in a database.
    pub fn say(&self, database: &str, commands: &[&str]) -> anyhow::Result<(Duration, String)> {
        let mut psql = self.client(database)?;
        for command in commands {
            psql.args(["-c", command]);
        }
        ended(&mut psql)
    }

    /// Runs a file of commands.
    pub fn run(&self, database: &str, file: &Path) -> anyhow::Result<Duration> {
        Ok(ended(self.client(database)?.arg("-f").arg(file))?.0)
    }

    fn client(&self, database: &str) -> anyhow::Result<Command> {
        let mut psql = program("psql", None)?;
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).args(self.reached()).args(["-d", database]);
        Ok(psql)
    }

    /// Time that `COPY` takes to put the rows of `files` into the plain table in one transaction, the client's start taken off; and how much of it
    /// the cores spent for the server.
    pub fn plain_copy(&self, files: &[&Path], rows: u64) -> anyhow::Result<(Duration, Duration)> {
        self.fresh()?;
        self.psql(&[PLAIN])?;
        let (idle, _) = self.psql(&["SELECT 1"])?;
        let mut psql = self.client(DATABASE)?;
        psql.arg("--single-transaction");
        for file in files {
            psql.args(["-c", &format!("\\copy plain FROM '{}' CSV", file.display())]);
        }
        let before = self.cpu()?;
        let (took, _) = ended(&mut psql)?;
        let cpu = self.cpu()?.saturating_sub(before);
        let (_, count) = self.psql(&["SELECT COUNT(*) FROM plain"])?;
        ensure!(count == rows.to_string(), "PostgreSQL took {count} of {rows} rows");
        Ok((took.saturating_sub(idle), cpu))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // At once: nothing of it is needed any longer, and its other processes end with it.
        let _ = kill_process(Pid::from_child(&self.server), Signal::QUIT);
        let _ = self.server.wait();
    }
}

fn ended(command: &mut Command) -> anyhow::Result<(Duration, String)> {
    let start = Instant::now();
    let ended = command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output()?;
    let took = start.elapsed();
    ensure!(ended.status.success(), "psql failed: {}", String::from_utf8_lossy(&ended.stderr));
    Ok((took, String::from_utf8_lossy(&ended.stdout).trim().to_owned()))
}

/// A certificate that nobody vouches for: what goes over the wire is encrypted, which is what costs.
fn certify(data: &Path, user: Option<(u32, u32)>) -> anyhow::Result<()> {
    let (key, certificate) = (data.join("server.key"), data.join("server.crt"));
    let made = Command::new("openssl")
        .args(["req", "-new", "-x509", "-nodes", "-days", "30", "-subj", "/CN=danso-bench"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("openssl does not start; the baseline needs its command line tool")?;
    ensure!(made.status.success(), "openssl failed: {}", String::from_utf8_lossy(&made.stderr));
    for file in [key, certificate] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        if let Some((uid, gid)) = user {
            chown(&file, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// The server refuses to run as root: then it runs as the user that its package has made.
fn user() -> anyhow::Result<Option<(u32, u32)>> {
    if Path::new("/proc/self").metadata()?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.context("the user postgres, which the package postgresql makes, is not there")?;
    let fields: Vec<&str> = line.split(':').collect();
    match fields[..] {
        [_, _, uid, gid, ..] => Ok(Some((uid.parse()?, gid.parse()?))),
        _ => bail!("the user postgres has no number"),
    }
}

/// A program of the newest version that is here.
fn program(name: &str, user: Option<(u32, u32)>) -> anyhow::Result<Command> {
    let versions = fs::read_dir(PROGRAMS).context("PostgreSQL 15 or newer is not here; apt-get install postgresql")?;
    let mut versions: Vec<PathBuf> =
        versions.map(|version| Ok(version?.path().join("bin").join(name))).collect::<anyhow::Result<_>>()?;
    versions.retain(|program| program.is_file());
    versions.sort();
    let newest = versions.last().with_context(|| format!("{name} is not in {PROGRAMS}"))?;
    let mut command = Command::new(newest);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}
