//! The structure rules of design.md section 7 as functions over (path, text), so that a planted violation is a test input like any
//! other. It reads files and reports; it may not know how the product works, only how it is laid out.

mod arrows;
pub mod scan;
mod words;

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Lines of a source file at most: more than one can hold in mind is two files.
pub const LINES_MAX: usize = 500;

/// A rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// Path from the repository's root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.what)
    }
}

/// Checks one file against every rule. `path` is from the repository's root, with slashes.
pub fn check(path: &str, text: &str) -> Vec<Violation> {
    let file = File { path, text };
    let mut report = Report { path, found: Vec::new() };
    if path.ends_with("Cargo.toml") {
        arrows::manifest(&file, &mut report);
    }
    if path.ends_with(".rs") {
        source(&file, &mut report);
    }
    report.found
}

/// Checks every source file and manifest under `root`.
///
/// # Errors
/// When a file or directory cannot be read.
pub fn check_tree(root: &Path) -> io::Result<Vec<Violation>> {
    let mut found = Vec::new();
    for path in sources(root)? {
        let text = fs::read_to_string(root.join(&path))?;
        found.extend(check(&path.to_string_lossy(), &text));
    }
    Ok(found)
}

/// Every source file and manifest of the repository, relative to `root`, in order.
///
/// # Errors
/// When a directory cannot be read.
pub fn sources(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = ["proto", "node", "admin-cli", "tests"].iter().map(PathBuf::from).collect();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                // Build output, and the fuzz targets' own workspace.
                if name != "target" && name != "fuzz" {
                    open.push(path);
                }
            } else if name == "Cargo.toml" || path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

struct File<'a> {
    path: &'a str,
    text: &'a str,
}

struct Report<'a> {
    path: &'a str,
    found: Vec<Violation>,
}

impl Report<'_> {
    fn add(&mut self, rule: &'static str, line: usize, what: String) {
        // A path may break a rule with several of its words: one report a line.
        if self.found.iter().any(|v| v.rule == rule && v.line == line) {
            return;
        }
        self.found.push(Violation { rule, path: self.path.to_owned(), line, what });
    }
}

fn source(file: &File<'_>, report: &mut Report<'_>) {
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        report.add(
            "file_size",
            LINES_MAX + 1,
            format!("{lines} lines, {LINES_MAX} at most: split it by what it is about"),
        );
    }
    // `tests.rs` belongs to the file beside it, which has said what it is about.
    if !file.text.starts_with("//!") && !file.path.ends_with("/tests.rs") {
        report.add(
            "module_comment",
            1,
            "a module comment (`//!`) opens every file: what it is for, what it may not know".into(),
        );
    }
    let all = scan::tokens(file.text);
    words::everywhere(&all, report);
    if is_test_code(file.path) {
        return;
    }
    let code = scan::without_tests(&all);
    arrows::source(file, &code, report);
    words::product(file, &code, report);
}

/// Whole files of test code: the crate `tests`, and in other crates `tests/`, `benches/` and `tests.rs`.
fn is_test_code(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| matches!(part, "tests" | "benches" | "tests.rs") || part.ends_with("_tests.rs"))
}
