//! What people are told, in Vietnamese and English: what was wrong, where, and what to do next. This room may not know how a message
//! is shown; it says nothing that its arguments do not say, so that no person's data gets in here.

use std::fmt;
use std::str::FromStr;

use danso_proto::refusal::Reason;

use crate::forms::{FileProblem, RowProblem, Severity};

mod en;
mod findings;
mod rules;
mod vi;

pub use findings::{FindingText, finding, finding_next, finding_text, seen, severity};

/// A language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// Vietnamese.
    #[default]
    Vi,
    /// English.
    En,
}

/// Not `vi` or `en`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the language is vi or en")]
pub struct LangUnknown;

impl FromStr for Lang {
    type Err = LangUnknown;
    fn from_str(text: &str) -> Result<Self, LangUnknown> {
        match text {
            "vi" => Ok(Self::Vi),
            "en" => Ok(Self::En),
            _ => Err(LangUnknown),
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vi => "vi",
            Self::En => "en",
        })
    }
}

impl Lang {
    /// The language that the value of `LANG` asks for: Vietnamese for `vi` and `vi_VN.UTF-8`, English for every other.
    pub fn from_env_value(lang: &str) -> Self {
        let language = lang.split(['_', '.', '-', '@']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("vi") { Self::Vi } else { Self::En }
    }
}

/// Where something was found, and what. Everything may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Args<'a> {
    /// Line in a file.
    pub line: Option<u64>,
    /// Column in a file.
    pub column: Option<&'a str>,
    /// What was found, short.
    pub found: &'a str,
}

/// What was wrong, where, and what to do next: one or two sentences.
pub fn text(reason: Reason, lang: Lang, args: &Args<'_>) -> String {
    let (what, next) = sentences(reason, lang);
    compose(lang, args, what, next)
}

/// What to do next, alone.
pub fn next_step(reason: Reason, lang: Lang) -> &'static str {
    sentences(reason, lang).1
}

/// What to tell of a row.
pub fn row(problem: &RowProblem, lang: Lang) -> String {
    let args = Args { line: Some(problem.line), column: problem.column.as_deref(), found: &problem.found };
    match (problem.severity, problem.reason, lang) {
        (Severity::Warning, Reason::IdentifierInvalid, Lang::Vi) => {
            compose(lang, &args, vi::NUMBER_CONTRADICTS.0, vi::NUMBER_CONTRADICTS.1)
        }
        (Severity::Warning, Reason::IdentifierInvalid, Lang::En) => {
            compose(lang, &args, en::NUMBER_CONTRADICTS.0, en::NUMBER_CONTRADICTS.1)
        }
        _ => text(problem.reason, lang, &args),
    }
}

/// What to tell of a file.
pub fn file(problem: &FileProblem, lang: Lang) -> String {
    text(problem.reason, lang, &Args { line: problem.line, column: None, found: &problem.detail })
}

/// Something short that listings and summaries say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phrase<'a> {
    /// Rows that became changes.
    Taken,
    /// Rows that were here before.
    Unchanged,
    /// Rows that wait for a person.
    Waiting,
    /// Rows that were not taken.
    Refused,
    /// Earlier slips that were taken now.
    Released,
    /// Nothing was written.
    DryRun,
    /// A slip that waited since an earlier file.
    WaitedFrom {
        /// Its commune.
        unit: &'a str,
        /// Its number.
        slip_no: &'a str,
    },
    /// Columns that no form knows, named.
    ColumnsIgnored(&'a str),
    /// Durable at the tier with this name, which is in the language of the message.
    ReceivedAt(&'a str),
    /// Not there yet.
    NotYetAt(&'a str),
}

/// A phrase.
pub fn phrase(phrase: Phrase<'_>, lang: Lang) -> String {
    match lang {
        Lang::Vi => match phrase {
            Phrase::Taken => "đã nhận".into(),
            Phrase::Unchanged => "đã có từ trước".into(),
            Phrase::Waiting => "đang chờ".into(),
            Phrase::Refused => "bị từ chối".into(),
            Phrase::Released => "hết chờ, đã nhận".into(),
            Phrase::DryRun => "chạy thử: chưa ghi gì".into(),
            Phrase::WaitedFrom { unit, slip_no } => format!("Phiếu đang chờ từ trước số {slip_no} ({unit})"),
            Phrase::ColumnsIgnored(names) => format!("các cột không dùng đến: {names}"),
            Phrase::ReceivedAt(tier) => format!("đã lưu tại cấp {tier}"),
            Phrase::NotYetAt(tier) => format!("chưa tới cấp {tier}"),
        },
        Lang::En => match phrase {
            Phrase::Taken => "taken".into(),
            Phrase::Unchanged => "unchanged".into(),
            Phrase::Waiting => "waiting".into(),
            Phrase::Refused => "refused".into(),
            Phrase::Released => "released".into(),
            Phrase::DryRun => "dry run: nothing was written".into(),
            Phrase::WaitedFrom { unit, slip_no } => format!("Slip {slip_no} of {unit}, which has been waiting"),
            Phrase::ColumnsIgnored(names) => format!("columns that are not used: {names}"),
            Phrase::ReceivedAt(tier) => format!("durable at {tier}"),
            Phrase::NotYetAt(tier) => format!("not yet at {tier}"),
        },
    }
}

fn sentences(reason: Reason, lang: Lang) -> (&'static str, &'static str) {
    match lang {
        Lang::Vi => vi::sentences(reason),
        Lang::En => en::sentences(reason),
    }
}

/// `Line 5, column “sex”: what (found: “X”). Next step.`
fn compose(lang: Lang, args: &Args<'_>, what: &str, next: &str) -> String {
    let (line, column, found) = match lang {
        Lang::Vi => ("Dòng", "cột", "ghi là"),
        Lang::En => ("Line", "column", "found"),
    };
    let mut text = match (args.line, args.column) {
        (Some(n), Some(name)) => format!("{line} {n}, {column} “{name}”: "),
        (Some(n), None) => format!("{line} {n}: "),
        (None, Some(name)) => format!("{column} “{name}”: "),
        (None, None) => String::new(),
    };
    text.push_str(what.trim_end_matches('.'));
    if !args.found.is_empty() {
        text.push_str(&format!(" ({found}: “{}”)", args.found));
    }
    text.push_str(". ");
    text.push_str(next);
    text
}

#[cfg(test)]
mod tests {
    use unicode_normalization::is_nfc;

    use super::*;

    #[test]
    fn every_reason_says_what_and_what_next_in_both_languages() {
        for reason in Reason::ALL {
            let mut both = Vec::new();
            for lang in [Lang::Vi, Lang::En] {
                let (what, next) = sentences(*reason, lang);
                for sentence in [what, next] {
                    assert!(
                        sentence.len() > 10 && sentence.ends_with('.') && is_nfc(sentence),
                        "{reason} {lang}: {sentence}"
                    );
                    assert!(!sentence.contains(['{', '}']) && !sentence.contains("  "), "{reason} {lang}: {sentence}");
                }
                assert_eq!(lang == Lang::En, (what.to_owned() + next).is_ascii(), "{reason} {lang}");
                assert!(next_step(*reason, lang) == next);
                both.push((what, next));
            }
            assert_ne!(both[0], both[1], "{reason}");
        }
    }

    #[test]
    fn a_row_is_named_with_line_column_and_what_stands_there() {
        let mut problem = RowProblem {
            line: 7,
            column: Some("event_date".into()),
            reason: Reason::DateInvalid,
            found: "2021-02-30".into(),
            severity: Severity::Refused,
        };
        let english = row(&problem, Lang::En);
        assert!(
            english.starts_with("Line 7, column “event_date”: ") && english.contains("(found: “2021-02-30”). "),
            "{english}"
        );
        assert!(row(&problem, Lang::Vi).starts_with("Dòng 7, cột “event_date”: "));
        problem.reason = Reason::IdentifierInvalid;
        let refused = row(&problem, Lang::Vi);
        problem.severity = Severity::Warning;
        assert_ne!(row(&problem, Lang::Vi), refused);
        let missing = FileProblem::new(Reason::ColumnMissing, Some(1), "sex, birth_date");
        assert!(file(&missing, Lang::En).contains("sex, birth_date"));
    }

    #[test]
    fn the_language_comes_from_the_environment() {
        for vi in ["vi", "vi_VN.UTF-8", "vi_VN", "VI"] {
            assert_eq!(Lang::from_env_value(vi), Lang::Vi, "{vi}");
        }
        for en in ["", "C", "en_US.UTF-8", "fr_FR", "video"] {
            assert_eq!(Lang::from_env_value(en), Lang::En, "{en}");
        }
        assert_eq!("vi".parse(), Ok(Lang::Vi));
        assert_eq!(phrase(Phrase::ReceivedAt("tỉnh"), Lang::Vi), "đã lưu tại cấp tỉnh");
    }
}
