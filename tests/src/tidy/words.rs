//! Words that belong into one room only: tier names, statuses, clocks, randomness, the store's writing methods; and words that belong nowhere.

use super::scan::{Kind, Token, attribute_end};
use super::{File, Report};

const TIERS: &[&str] = &["central", "province", "district", "commune"];
const TIER_HOME: &str = "node/core/src/tier.rs";
const STATUS_HOME: &str = "node/src/wire/status.rs";
const CLOCK_HOME: &str = "node/src/clock.rs";
const KEYS_HOME: &[&str] = &["node/src/keys.rs", "node/src/keys/"];
/// Who may write ledger, register and cube, and where that is defined.
const WRITERS: &[&str] = &["node/src/pipeline.rs", "node/src/pipeline/", "node/src/store.rs", "node/src/store/"];
const WRITING: &[&str] = &["entry_append", "log_put", "person_put", "household_put", "cube_add", "finding_put"];
const RANDOM: &[&str] = &["getrandom", "rand", "rand_core", "OsRng", "SysRng", "ThreadRng", "thread_rng"];
const CLOCKS: &[&str] = &["SystemTime", "Instant", "OffsetDateTime", "Utc"];
const READINGS: &[&str] = &["now", "now_utc", "now_local"];
const LEFTOVERS: &[&str] = &["todo", "unimplemented", "dbg"];
/// Associated functions of `tonic::Status` that make one.
const MAKERS: &[&str] = &[
    "new",
    "with_details",
    "with_metadata",
    "with_details_and_metadata",
    "with_error_details",
    "with_error_details_vec",
    "with_error_details_and_metadata",
    "with_error_details_vec_and_metadata",
    "from",
    "from_error",
    "try_from_error",
    "from_header_map",
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// Checks the product's own code; test code has been cut out of `code`.
pub(super) fn product(file: &File<'_>, code: &[Token], report: &mut Report) {
    tier_names(file, code, report);
    statuses(file, code, report);
    clock_and_randomness(file, code, report);
    writers(file, code, report);
}

/// Checks all code, tests included.
pub(super) fn everywhere(code: &[Token], report: &mut Report) {
    for (at, token) in code.iter().enumerate() {
        if LEFTOVERS.iter().any(|word| token.is(word)) && next(code, at, 1).is_some_and(|t| t.is("!")) {
            report.add("leftovers", token.line, format!("`{}!` is not finished work", token.text));
        }
        if let Some(end) = attribute_end(code, at) {
            let attribute = &code[at..end];
            let gated = |word: &str| attribute.windows(2).any(|w| w[0].is(word) && w[1].is("("));
            if (gated("allow") || gated("expect")) && !attribute.iter().any(|t| t.is("reason")) {
                report.add("reasons", token.line, "an exception to a lint gives its reason".into());
            }
        }
    }
}

fn tier_names(file: &File<'_>, code: &[Token], report: &mut Report) {
    if file.path == TIER_HOME {
        return;
    }
    for token in code {
        let text = token.text.trim();
        let named = match token.kind {
            Kind::Str => TIERS.iter().any(|tier| text.eq_ignore_ascii_case(tier)),
            // A variant or type of that name; a variable for a unit that somebody lives in may be called so.
            Kind::Ident => {
                text.starts_with(|c: char| c.is_ascii_uppercase())
                    && TIERS.iter().any(|tier| text.eq_ignore_ascii_case(tier))
            }
            _ => false,
        };
        if named {
            report.add(
                "tier_names",
                token.line,
                format!("`{text}`: only {TIER_HOME} knows tiers by name; ask its TierPolicy"),
            );
        }
    }
}

fn statuses(file: &File<'_>, code: &[Token], report: &mut Report) {
    if file.path == STATUS_HOME {
        return;
    }
    for (at, token) in code.iter().enumerate().filter(|(_, token)| token.is("Status")) {
        let made = next(code, at, 1).is_some_and(|t| t.is("::"))
            && next(code, at, 2).is_some_and(|t| t.is_ident() && MAKERS.contains(&t.text.as_str()));
        if made || next(code, at, 1).is_some_and(|t| t.is("as")) {
            report.add("statuses", token.line, format!("only {STATUS_HOME} makes a tonic::Status"));
        }
    }
}

fn clock_and_randomness(file: &File<'_>, code: &[Token], report: &mut Report) {
    for (at, token) in code.iter().enumerate().filter(|(_, token)| token.is_ident()) {
        let word = token.text.as_str();
        let then = |texts: &[&str]| {
            next(code, at, 1).is_some_and(|t| t.is("::"))
                && next(code, at, 2).is_some_and(|t| t.is_ident() && texts.contains(&t.text.as_str()))
        };
        if file.path != CLOCK_HOME && CLOCKS.contains(&word) && then(READINGS) {
            report.add("clock", token.line, format!("only {CLOCK_HOME} reads the time; take it as a parameter"));
        }
        let member = at > 0 && code[at - 1].is(".");
        let drawn = (RANDOM.contains(&word) && !member) || (word == "KeyPair" && then(&["generate", "generate_for"]));
        if drawn && !KEYS_HOME.iter().any(|home| file.path.starts_with(home)) {
            report.add("randomness", token.line, "only node/src/keys draws randomness; take it as a parameter".into());
        }
    }
}

fn writers(file: &File<'_>, code: &[Token], report: &mut Report) {
    if WRITERS.iter().any(|home| file.path.starts_with(home)) {
        return;
    }
    for token in code {
        if token.is_ident() && WRITING.contains(&token.text.as_str()) {
            report.add(
                "writers",
                token.line,
                format!("`{}`: only pipeline writes ledger, register and cube", token.text),
            );
        }
    }
}

fn next(code: &[Token], at: usize, ahead: usize) -> Option<&Token> {
    code.get(at + ahead)
}
