//! The repository keeps its own structure rules, and each rule reports a violation that is planted for it.

use std::path::Path;

use danso_tests::tidy;

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the repository");
    assert!(tidy::sources(root).unwrap().len() > 40, "the walk finds the sources");
    let found = tidy::check_tree(root).unwrap();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), lines.join("\n"));
}

/// Each is reported by exactly the rule it is planted for, once.
#[test]
fn a_planted_violation_is_reported_by_its_rule() {
    let long = "//! x\n".repeat(501);
    let planted: &[(&str, &str, &str)] = &[
        // --- arrows between crates
        ("arrows", "proto/src/ids.rs", "use danso_core::units;"),
        ("arrows", "node/core/src/units.rs", "fn f() { danso_node::store::open() }"),
        ("arrows", "node/src/answer.rs", "use danso_admin::cli;"),
        ("arrows", "admin-cli/src/connect.rs", "use danso_node::{keys::Signer};"),
        // --- pure code and the world
        ("arrows", "node/core/src/verify.rs", "use std::{fmt, fs};"),
        ("arrows", "proto/src/package.rs", "fn f() { std::env::var(\"X\"); }"),
        // --- rooms of the core
        ("arrows", "node/core/src/tier.rs", "use crate::units::Unit;"),
        ("arrows", "node/core/src/verify/directory.rs", "use crate::ledger;"),
        ("arrows", "node/core/src/ledger.rs", "use super::register::Person;"),
        ("arrows", "node/core/src/register/timeline.rs", "fn f(_: &super::super::cube::Row) {}"),
        ("arrows", "node/core/src/cube.rs", "use crate::{question::Question, units::Unit};"),
        ("arrows", "node/core/src/forms/words.rs", "use crate::cube;"),
        ("arrows", "node/core/src/messages.rs", "use crate::units;"),
        ("arrows", "node/core/src/sync/child.rs", "pub(crate) use crate::register::Person as P;"),
        ("arrows", "node/core/src/invented.rs", "fn f() {}"),
        // --- rooms of the node
        ("arrows", "node/src/wire/exchange.rs", "use crate::store::Store;"),
        ("arrows", "node/src/wire.rs", "fn f() { crate::store::Store::open(); }"),
        ("arrows", "node/src/answer.rs", "use crate::pipeline::Handle;"),
        ("arrows", "node/src/pipeline/batch.rs", "use crate::link;"),
        ("arrows", "node/src/link.rs", "use crate::{clock::Clock, wire::status};"),
        ("arrows", "node/src/store/ledger.rs", "use crate::keys;"),
        ("arrows", "node/src/keys.rs", "use crate::app;"),
        ("arrows", "node/src/main.rs", "use danso_node::{store};"),
        ("arrows", "node/src/invented/deep.rs", "fn f() {}"),
        // --- manifests
        ("arrows", "proto/Cargo.toml", "[dependencies]\ndanso-core.workspace = true"),
        ("arrows", "node/core/Cargo.toml", "[dependencies]\ntokio.workspace = true"),
        ("arrows", "node/core/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nrustix = \"1\""),
        ("arrows", "admin-cli/Cargo.toml", "[dependencies]\ndanso-node = { path = \"../node\" }"),
        ("arrows", "node/Cargo.toml", "[dependencies]\ndanso-admin.workspace = true"),
        // --- sizes and openings
        ("file_size", "node/src/config.rs", &long),
        ("module_comment", "node/src/config.rs", "\nfn f() {}"),
        // --- words
        ("tier_names", "node/core/src/units.rs", "fn f() -> &'static str { \"commune\" }"),
        ("tier_names", "node/src/answer.rs", "fn f(t: Tier) -> bool { t == Tier::Province }"),
        ("tier_names", "admin-cli/src/cli.rs", "#[arg(value_parser = [\"district\"])] struct By;"),
        ("tier_names", "admin-cli/src/cli.rs", "enum By { Central }"),
        ("statuses", "node/src/wire/exchange.rs", "fn f() -> tonic::Status { tonic::Status::internal(\"x\") }"),
        ("statuses", "node/src/link.rs", "fn f(e: E) { g().map_err(Status::from); }"),
        ("statuses", "admin-cli/src/exit.rs", "fn f() { Status::new(Code::Ok, \"\"); }"),
        ("statuses", "node/src/wire.rs", "use tonic::Status as Disguise;"),
        ("clock", "node/src/pipeline.rs", "fn f() { std::time::SystemTime::now(); }"),
        ("clock", "node/src/link/driver.rs", "fn f() { tokio::time::Instant::now(); }"),
        ("clock", "admin-cli/src/main.rs", "fn f() { time::OffsetDateTime::now_utc(); }"),
        ("randomness", "node/src/token.rs", "fn f() { getrandom::fill(&mut [0]); }"),
        ("randomness", "node/src/pipeline.rs", "use rand::rngs::OsRng;"),
        ("randomness", "node/src/pki.rs", "fn f() { rcgen::KeyPair::generate(); }"),
        ("writers", "node/src/link.rs", "async fn f(tx: &mut Tx) { tx.entry_append(&[]).await; }"),
        ("writers", "node/src/app/init.rs", "async fn f(tx: &mut Tx) { Tx::cube_add(tx, &[]).await; }"),
        ("leftovers", "node/src/config.rs", "fn f() { todo!() }"),
        ("leftovers", "tests/src/truth.rs", "fn f() { dbg!(1); }"),
        ("reasons", "node/src/config.rs", "#[allow(dead_code)] fn f() {}"),
        ("reasons", "tests/tests/stories/main.rs", "#![expect(clippy::unwrap_used)]"),
    ];
    for (rule, path, text) in planted {
        // The planted line is the only fault: everything else about the file is as it should be.
        let opened = if *rule == "module_comment" || path.ends_with(".toml") {
            (*text).to_owned()
        } else {
            format!("//! x\n{text}\n")
        };
        let found = tidy::check(path, &opened);
        let rules: Vec<&str> = found.iter().map(|v| v.rule).collect();
        assert_eq!(rules, [*rule], "{path}: {text}\nfound {found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let allowed: &[(&str, &str)] = &[
        ("proto/src/ids.rs", "use crate::limits; fn f() { danso_proto::ids::x(); }"),
        ("node/core/src/tier.rs", "fn f() -> &'static str { \"commune\" } enum Tier { Central }"),
        ("node/core/src/units.rs", "use crate::{calendar, tier::TierPolicy}; // lists of a commune, \"commune\"\n"),
        (
            "node/core/src/units.rs",
            "/// Ask `crate::cube`. Tier::Commune\nfn f() { let _ = \"the commune is missing\"; }",
        ),
        (
            "node/core/src/units.rs",
            "#[cfg(test)] mod tests { use crate::cube; fn f() { \"commune\"; Instant::now(); } }",
        ),
        ("node/core/src/units/tests.rs", "use crate::cube;"),
        ("node/core/src/cube.rs", "use crate::register; use super::units; use self::rows::Row;"),
        ("node/core/src/register.rs", "fn f(x: &cube) { x.rand(); register::g(); }"),
        ("node/src/wire/status.rs", "fn f() -> tonic::Status { tonic::Status::internal(\"x\") }"),
        ("node/src/wire/exchange.rs", "use tonic::Status; fn f() -> Result<(), Status> { Err(status::of(e)) }"),
        ("node/src/clock.rs", "fn f() { std::time::SystemTime::now(); }"),
        ("node/src/keys/salt.rs", "fn f() { getrandom::fill(&mut [0]); }"),
        ("node/src/store/ledger.rs", "impl Tx { pub async fn entry_append(&mut self) {} }"),
        (
            "node/src/pipeline/commit.rs",
            "use crate::store::Tx; async fn f(tx: &mut Tx) { tx.entry_append(&[]).await; }",
        ),
        ("node/src/main.rs", "fn main() { danso_node::app::main() }"),
        ("node/src/lib.rs", "pub mod store; pub mod anything;"),
        ("node/src/app.rs", "use crate::{store, wire, link}; #[expect(dead_code, reason = \"x\")] fn f() {}"),
        ("node/core/Cargo.toml", "[dependencies]\nserde = \"1\"\n[dev-dependencies]\ntokio = \"1\""),
        ("proto/Cargo.toml", "[dependencies]\nprost = \"1\""),
        ("tests/src/node.rs", "fn f() { Instant::now(); \"commune\"; Status::internal(\"\"); }"),
    ];
    for (path, text) in allowed {
        let opened = if path.ends_with(".toml") { (*text).to_owned() } else { format!("//! x\n{text}\n") };
        let found = tidy::check(path, &opened);
        assert!(found.is_empty(), "{path}: {text}\nfound {found:?}");
    }
}
