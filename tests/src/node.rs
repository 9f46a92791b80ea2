//! A node as a real process with its own data directory, and `danso-admin` spoken to it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{self, Ended, PATIENCE, program, wait_for};
use crate::server;

/// A node: its data directory, its address, and its process while it runs. It is killed when dropped; when the test
/// panics, what it logged last is printed.
pub struct Node {
    /// Code of its unit.
    pub unit: String,
    /// Its data directory.
    pub data: PathBuf,
    /// Address that it listens on.
    pub listen: String,
    log: PathBuf,
    /// Lines in the log that said `ready` before the current run.
    ready_before: usize,
    child: Option<Child>,
}

/// A command that runs beside the story.
pub struct InBackground(Child);

impl InBackground {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("a program of ours starts"))
    }

    /// Kills it as a power cut would.
    pub fn kill9(mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end; returns its exit code, -1 when a signal ended it.
    pub fn wait(mut self) -> i32 {
        let status =
            wait_for(|| "a command does not end".into(), || self.0.try_wait().expect("a child can be waited for"));
        process::code_of(status)
    }
}

impl Drop for InBackground {
    fn drop(&mut self) {
        // Ended already, most of the time.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An import's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Rows in the files.
    pub rows: u64,
    /// Rows that became changes.
    pub taken: u64,
    /// Rows that were there before.
    pub unchanged: u64,
    /// Rows that wait for a person.
    pub waiting: u64,
    /// Rows refused.
    pub refused: u64,
}

impl Node {
    /// A place for a node of `unit` under `dir`; nothing is made yet.
    pub fn at(dir: &Path, unit: &str) -> Self {
        Self::named(dir, unit, unit)
    }

    /// As [`Node::at`], with a directory name of its own: for a second node of a unit.
    pub fn named(dir: &Path, name: &str, unit: &str) -> Self {
        Self {
            unit: unit.to_owned(),
            data: dir.join(name),
            listen: free_address(),
            log: dir.join(format!("{name}.log")),
            ready_before: 0,
            child: None,
        }
    }

    /// Makes it the central node, with a unit list.
    pub fn init(&self, units: &Path, version: &str) -> Ended {
        let words = ["--unit", &self.unit, "--units-version", version].map(OsString::from);
        self.begin("init", words.into_iter().chain(["--units".into(), units.into()]))
    }

    /// Makes the node.
    fn begin(&self, verb: &str, words: impl IntoIterator<Item = OsString>) -> Ended {
        let mut args: Vec<OsString> = vec![verb.into(), "--data".into(), self.data.clone().into()];
        args.extend(["--listen".into(), self.listen.clone().into()]);
        args.extend(server::store_flags(&self.data).into_iter().map(OsString::from));
        args.extend(words);
        process::run(program("danso-node"), args)
    }

    /// Joins with the token in a file.
    pub fn join_with(&self, token_file: &Path) -> Ended {
        self.begin("join", ["--token-file".into(), token_file.into()])
    }

    /// Has a running parent invite it, and joins.
    #[track_caller]
    pub fn join(&self, parent: &Node) {
        let token = parent.invite(&self.unit);
        self.join_with(&self.token_file(&token)).must(process::DONE);
    }

    /// Invites a child; returns the token.
    #[track_caller]
    pub fn invite(&self, unit: &str) -> String {
        self.invite_with(unit, &[])
    }

    /// Invites a child with further flags; returns the token.
    #[track_caller]
    pub fn invite_with(&self, unit: &str, flags: &[&str]) -> String {
        let words = ["child", "invite", "--unit", unit, "--address", &self.listen];
        self.admin(words.into_iter().chain(flags.iter().copied())).printed().trim().to_owned()
    }

    /// A token with which a node gets its place back below this one.
    #[track_caller]
    pub fn invite_lost(&self, node: &str) -> String {
        let words = ["child", "invite", "--node", node, "--address", &self.listen];
        self.admin(words).printed().trim().to_owned()
    }

    /// Gets everything back from the parent; without a token with what is in its directory.
    pub fn recover(&self, token: Option<&str>) -> Ended {
        let mut args: Vec<OsString> = vec!["recover".into(), "--data".into(), self.data.clone().into()];
        if let Some(token) = token {
            args.extend(["--token-file".into(), self.token_file(token).into()]);
            args.extend(["--listen".into(), self.listen.clone().into()]);
        }
        process::run(program("danso-node"), args)
    }

    /// Writes a token beside the data directory.
    pub fn token_file(&self, token: &str) -> PathBuf {
        let path = self.data.with_extension("token");
        fs::write(&path, token).expect("the story's directory can be written");
        path
    }

    /// Starts it, and returns when it is ready: it said so, and answers.
    #[track_caller]
    pub fn run(&mut self) {
        self.start();
        self.wait_ready();
    }

    /// Starts it, and returns at once.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.unit);
        self.ready_before = self.ready_lines();
        let log =
            File::options().create(true).append(true).open(&self.log).expect("the story's directory can be written");
        // It stays in the test's process group: whatever ends the test run ends it too.
        let child = Command::new(program("danso-node"))
            .args(["run".as_ref(), "--data".as_ref(), self.data.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .spawn()
            .expect("danso-node starts");
        self.child = Some(child);
    }

    /// Replaces an address in its configuration; it takes effect at the next start.
    #[track_caller]
    pub fn readdress(&mut self, from: &str, to: &str) {
        let path = self.data.join("danso.toml");
        let text = fs::read_to_string(&path).expect("a node has a configuration");
        assert!(text.contains(from), "{} does not name {from}:\n{text}", path.display());
        fs::write(&path, text.replace(from, to)).expect("a node's configuration can be written");
        if self.listen == from {
            to.clone_into(&mut self.listen);
        }
    }

    /// Adds to its configuration; it takes effect at the next start.
    #[track_caller]
    pub fn configure(&self, more: &str) {
        let path = self.data.join("danso.toml");
        let text = fs::read_to_string(&path).expect("a node has a configuration");
        fs::write(&path, format!("{text}\n{more}")).expect("a node's configuration can be written");
    }

    /// Waits until the node that was started is ready.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let unit = self.unit.clone();
        let log = self.log.clone();
        wait_for(
            || format!("{unit} is not ready\n{}", tail(&log)),
            || {
                if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                    panic!("{unit} ended at its start: {status}\n{}", tail(&log));
                }
                (self.ready_lines() > self.ready_before
                    && self.admin(["status", "--output", "json"]).code == process::DONE)
                    .then_some(())
            },
        );
    }

    /// Lines of its log that say `ready`, over all its runs.
    fn ready_lines(&self) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().lines().filter(|line| line.contains("ready")).count()
    }

    /// Runs `danso-admin` on it, to its end.
    pub fn admin<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ended {
        let mut all = vec![OsString::from("--data"), self.data.clone().into()];
        all.extend(args.into_iter().map(OsString::from));
        process::run(program("danso-admin"), all)
    }

    /// Imports a file and returns how it ended: `form` is `households` or `changes`.
    pub fn import(&self, form: &str, file: &Path, more: &[&str]) -> Ended {
        let file = file.to_string_lossy().into_owned();
        let mut args = vec!["import", form, &file, "--output", "json"];
        args.extend_from_slice(more);
        self.admin(args)
    }

    /// Imports a file in which every row is good.
    #[track_caller]
    pub fn import_all(&self, form: &str, file: &Path) -> Imported {
        Imported::of(&self.import(form, file, &[]).printed())
    }

    /// Starts to import a file.
    #[track_caller]
    pub fn import_in_background(&self, form: &str, file: &Path) -> InBackground {
        self.admin_in_background(&["import", form, &file.to_string_lossy()])
    }

    /// Starts `danso-admin` on it.
    #[track_caller]
    pub fn admin_in_background(&self, args: &[&str]) -> InBackground {
        let mut command = Command::new(program("danso-admin"));
        command.args(["--data".as_ref(), self.data.as_os_str()]).args(args);
        InBackground::start(command)
    }

    /// Starts to get everything back from the parent.
    #[track_caller]
    pub fn recover_in_background(&self, token: &str) -> InBackground {
        let mut command = Command::new(program("danso-node"));
        command.args(["recover".as_ref(), "--data".as_ref(), self.data.as_os_str()]);
        command.args(["--token-file".as_ref(), self.token_file(token).as_os_str()]);
        command.args(["--listen", &self.listen]);
        InBackground::start(command)
    }

    /// Waits until all own entries are receipted at `tier`, or at the parent when it is empty.
    pub fn receipt_wait(&self, tier: &str) -> Ended {
        let timeout = format!("{}s", PATIENCE.as_secs());
        let mut args = vec!["receipt", "wait", "--timeout", &timeout];
        if !tier.is_empty() {
            args.extend(["--tier", tier]);
        }
        self.admin(args)
    }

    /// Its status as JSON.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let text = self.admin(["status", "--output", "json"]).printed();
        let value: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("status is not JSON: {e}\n{text}"));
        // A sheet of one row is the row.
        value.get(0).cloned().unwrap_or(value)
    }

    /// A text of its status.
    #[track_caller]
    pub fn status_text(&self, key: &str) -> String {
        let status = self.status();
        status
            .get(key)
            .and_then(|v| v.as_str())
            .unwrap_or_else(|| panic!("status has no text `{key}`: {status}"))
            .to_owned()
    }

    /// Most memory that the running node had resident at any time, in KiB.
    pub fn memory_peak_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Memory that the running node has resident now, in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, what: &str) -> u64 {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux reports it");
        line.trim().trim_end_matches(" kB").parse().expect("it is a number")
    }

    /// Kills it as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: there is nothing to kill then.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end and waits for that; returns its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> i32 {
        let mut child = self.child.take().expect("it runs");
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("a process of ours can be signalled");
        let log = self.log.clone();
        let status = wait_for(
            || format!("{} does not end\n{}", self.unit, tail(&log)),
            || child.try_wait().expect("a child can be waited for"),
        );
        process::code_of(status)
    }

    /// Does it run?
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Everything it logged, over all its runs.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A copy of it in another directory, as an operator makes who does not know better. It must not run meanwhile.
    pub fn copy(&self, dir: &Path, name: &str) -> Node {
        assert!(self.child.is_none(), "a running node's files are not copied");
        let copy = Node::named(dir, name, &self.unit);
        copy_dir(&self.data, &copy.data);
        copy
    }
}

impl Imported {
    /// The summary that `import --output json` printed.
    #[track_caller]
    pub fn of(json: &str) -> Self {
        let value: serde_json::Value =
            serde_json::from_str(json).unwrap_or_else(|e| panic!("the summary is not JSON: {e}\n{json}"));
        let row = value.get(0).unwrap_or(&value);
        let count = |key: &str| {
            row.get(key).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("no count `{key}` in {row}"))
        };
        Self {
            rows: count("rows"),
            taken: count("taken"),
            unchanged: count("unchanged"),
            waiting: count("waiting"),
            refused: count("refused"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("--- the last that {} logged\n{}", self.unit, tail(&self.log));
        }
    }
}

/// An address on which nobody listens: the system gives a free port, and it is given back. Between giving it back and the node's own
/// start another test could get it: each test process has a loopback address of its own, made of its process id.
pub fn free_address() -> String {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind(SocketAddr::from(([127, 64 | a, b, c], 0))).expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").to_string()
}

fn tail(log: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(log) {
        // What does not read is not worth another failure.
        let _ = file.read_to_string(&mut text);
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the story's directory can be written");
    for entry in fs::read_dir(from).expect("a node's directory can be read") {
        let entry = entry.expect("a node's directory can be read");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() {
            copy_dir(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).expect("a node's file can be copied");
        }
    }
}
