//! Programs: where the built ones are, how one is run to its end, and how anything is waited for. Every wait has a deadline and
//! asks again; none just sleeps and hopes.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Longest that a story waits for one thing. Two busy cores and a debug build are slow; a hang is longer.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Panics with everything it said unless it ended with `code`; returns itself.
    #[track_caller]
    pub fn must(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "`{}` ended with {}, not {code}\nstdout: {}\nstderr: {}",
            self.command, self.code, self.stdout, self.stderr
        );
        self
    }

    /// Panics unless it ended well; returns what it printed.
    #[track_caller]
    pub fn printed(self) -> String {
        self.must(DONE).stdout
    }

    /// Panics unless it was refused with this reason code.
    #[track_caller]
    pub fn refused_with(self, reason: &str) -> Self {
        let ended = self.must(REFUSED);
        let said = ended.stderr.contains(reason) || ended.stdout.contains(reason);
        assert!(
            said,
            "`{}` was refused, but not with {reason}\nstdout: {}\nstderr: {}",
            ended.command, ended.stdout, ended.stderr
        );
        ended
    }
}

/// Exit code: done.
pub const DONE: i32 = 0;
/// Exit code: wrong usage.
pub const USAGE: i32 = 2;
/// Exit code: refused.
pub const REFUSED: i32 = 3;
/// Exit code: node or link not available, or too late.
pub const UNAVAILABLE: i32 = 4;

/// A built program of this workspace: it lies beside the test's own executable or one directory above it.
pub fn program(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a running test has an executable");
    // A test lies in target/PROFILE/deps, the benchmark beside the programs.
    let dir = own.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).expect("an executable lies in a directory");
    let path = dir.join(name);
    assert!(
        path.is_file(),
        "{} is not built: run tests/run, which builds the programs before the tests",
        path.display()
    );
    path
}

/// Runs a command to its end.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Command::new(program);
    // Messages in English, no colours, and nothing from the tester's own surroundings.
    command.args(args).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env_remove("RUST_LOG");
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|e| panic!("{line} does not start: {e}"));
    ended(line, &output)
}

fn ended(command: String, output: &Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { command, code: code_of(output.status), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// The exit code, -1 when a signal ended the program.
pub fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Asks `probe` until it has an answer; gives up with what `why` says.
#[track_caller]
pub fn wait_for<T>(why: impl Fn() -> String, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {}", why());
        // Between two questions, so that asking does not take the core that the answer needs.
        thread::sleep(Duration::from_millis(25));
    }
}

/// splitmix64: enough for choosing moments, and the same everywhere.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
