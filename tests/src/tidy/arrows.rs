//! Who may import whom: design.md section 7 as a table. Every arrow points down. A room that is not in the table is a violation, so
//! that a new room gets its place here and in ARCHITECTURE.md in the same change.

use super::scan::{self, Token};
use super::{File, Report};

const RULE: &str = "arrows";

/// Rooms of the core and what each may use there.
const CORE: &[(&str, &[&str])] = &[
    ("calendar", &[]),
    ("tier", &[]),
    ("units", &["calendar", "tier"]),
    ("period", &["calendar", "tier", "units"]),
    ("verify", &["calendar", "tier", "units"]),
    ("ledger", &["calendar", "tier", "units", "verify"]),
    ("finding", &[]),
    ("register", &["calendar", "tier", "units", "verify", "ledger", "finding"]),
    ("rules", &["calendar", "units", "verify", "finding", "register"]),
    ("cube", &["calendar", "tier", "units", "verify", "ledger", "finding", "register"]),
    ("rollup", &["calendar", "units", "register", "cube"]),
    ("question", &["calendar", "tier", "units", "verify", "ledger", "register", "cube", "rollup"]),
    ("forms", &["calendar", "tier", "units", "ledger", "register", "rules"]),
    ("messages", &["tier", "calendar", "finding", "rules", "forms"]),
    ("sync", &["ledger", "verify"]),
];

/// Rooms of the node and what each may use there; `app` may use all. The lowest level has an order too, so that nothing goes round:
/// clock, faults; files; store; config; telemetry, keys; token, pki. `store` writes whole files beside its database, and says what an address of a
/// database is, which `config` asks; `intake` stands apart. `telemetry` gives others the names of metrics.
const NODE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("faults", &[]),
    ("files", &["faults"]),
    ("intake", &[]),
    ("archive", &[]),
    ("store", &["faults", "files"]),
    ("config", &["files", "store"]),
    ("telemetry", &["config"]),
    ("keys", &["files"]),
    ("token", &["config", "files", "keys"]),
    ("pki", &["clock", "config", "files", "keys", "telemetry"]),
    ("pipeline", &["store", "intake", "keys", "clock", "telemetry", "files"]),
    ("answer", &["store", "keys", "clock"]),
    ("view", &["store"]),
    ("doctor", &["store", "pipeline", "keys", "pki", "clock", "config"]),
    ("link", &["pipeline", "answer", "store", "pki", "keys", "clock", "config", "telemetry"]),
    (
        "wire",
        &[
            "link",
            "pipeline",
            "answer",
            "view",
            "doctor",
            "intake",
            "pki",
            "token",
            "keys",
            "config",
            "telemetry",
            "clock",
        ],
    ),
    (
        "app",
        &[
            "clock",
            "config",
            "files",
            "intake",
            "archive",
            "store",
            "telemetry",
            "keys",
            "token",
            "pki",
            "pipeline",
            "answer",
            "view",
            "doctor",
            "link",
            "wire",
        ],
    ),
    ("main", &["app"]),
];

/// What the core's manifest may name: nothing of it can do I/O, read a clock or draw randomness.
const CORE_CRATES: &[&str] =
    &["danso-proto", "bytes", "postcard", "serde", "sha2", "thiserror", "unicode-normalization"];

/// Our crates, the directory each lives in, and which of ours it may use.
const CRATES: &[(&str, &str, &[&str])] = &[
    ("danso_proto", "proto", &[]),
    ("danso_core", "node/core", &["danso_proto"]),
    ("danso_node", "node", &["danso_proto", "danso_core"]),
    ("danso_admin", "admin-cli", &["danso_proto", "danso_core"]),
    ("danso_tests", "tests", &["danso_proto", "danso_core", "danso_node", "danso_admin"]),
];

/// What pure code may not touch of the standard library.
const WORLD: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

/// Checks the paths of a source file.
pub(super) fn source(file: &File<'_>, code: &[Token], report: &mut Report) {
    let Some((own, crate_dir, may)) = crate_of(file.path) else { return };
    let Some(inside) = file.path.strip_prefix(crate_dir).and_then(|p| p.strip_prefix("/src/")) else { return };
    let module = module_path(inside);
    let rooms = match own {
        "danso_core" => Some(CORE),
        "danso_node" => Some(NODE),
        _ => None,
    };
    let pure = matches!(own, "danso_core" | "danso_proto");
    for path in scan::paths(code) {
        let head = path.segments[0].as_str();
        if CRATES.iter().any(|(name, ..)| *name == head) && head != own && !may.contains(&head) {
            report.add(RULE, path.line, format!("{own} may not use {head}"));
        }
        if pure && head == "std" && path.segments.get(1).is_some_and(|s| WORLD.contains(&s.as_str())) {
            report.add(RULE, path.line, format!("{own} is pure and may not use std::{}", path.segments[1]));
        }
        // `main.rs` is a crate of its own and sees the library under its name.
        let target = if head == own && module.first().is_some_and(|m| m == "main") {
            path.segments.get(1).cloned()
        } else {
            resolve(&module, &path.segments)
        };
        if let (Some(rooms), Some(target), Some(room)) = (rooms, target, module.first()) {
            arrow(rooms, room, &target, path.line, report);
        }
    }
    if let (Some(rooms), Some(room)) = (rooms, module.first())
        && !rooms.iter().any(|(name, _)| name == room)
    {
        report.add(
            RULE,
            1,
            format!(
                "the room `{room}` is not in the map: give it its place in tests/src/tidy/arrows.rs and ARCHITECTURE.md"
            ),
        );
    }
}

fn arrow(rooms: &[(&str, &[&str])], room: &str, target: &str, line: usize, report: &mut Report) {
    let known = |name: &str| rooms.iter().find(|(n, _)| *n == name);
    if let (Some((_, may)), Some(_)) = (known(room), known(target))
        && room != target
        && !may.contains(&target)
    {
        report.add(RULE, line, format!("`{room}` may not use `{target}`"));
    }
}

/// Checks a manifest's dependencies; what only tests and builds use is free.
pub(super) fn manifest(file: &File<'_>, report: &mut Report) {
    let Some((own, dir, may)) = crate_of(file.path) else { return };
    if file.path != format!("{dir}/Cargo.toml") {
        return;
    }
    let Ok(manifest) = file.text.parse::<toml::Table>() else {
        report.add(RULE, 1, "the manifest does not read".into());
        return;
    };
    for name in dependencies(&manifest) {
        let line = file.text.lines().position(|l| l.starts_with(&name)).map_or(1, |at| at + 1);
        let ours = name.replace('-', "_");
        if CRATES.iter().any(|(n, ..)| *n == ours) && !may.contains(&ours.as_str()) {
            report.add(RULE, line, format!("{own} may not depend on {name}"));
        } else if own == "danso_core" && !CORE_CRATES.contains(&name.as_str()) {
            report.add(RULE, line, format!("{name} is not among the crates that the pure core may use"));
        }
    }
}

/// The names of all normal dependencies, those of targets too.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut tables = vec![manifest.get("dependencies")];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().map(|target| target.get("dependencies")));
    }
    let tables = tables.into_iter().flatten().filter_map(toml::Value::as_table);
    tables.flat_map(|table| table.keys().cloned()).collect()
}

/// Our crate that a path belongs to: `node/core` before `node`.
fn crate_of(path: &str) -> Option<(&'static str, &'static str, &'static [&'static str])> {
    CRATES.iter().find(|(_, dir, _)| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))).copied()
}

/// `store/ledger.rs` is the module store::ledger; `lib.rs` is the crate's root, and `main.rs` stands for itself.
fn module_path(inside: &str) -> Vec<String> {
    let mut parts: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

/// The room that a path leads to, when it stays in its crate.
fn resolve(module: &[String], segments: &[String]) -> Option<String> {
    let mut base: Vec<String> = match segments[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return None,
    };
    for segment in segments.iter().skip(usize::from(segments[0] == "crate")) {
        match segment.as_str() {
            "super" => {
                base.pop();
            }
            "self" => {}
            name => base.push(name.to_owned()),
        }
    }
    base.into_iter().next()
}
