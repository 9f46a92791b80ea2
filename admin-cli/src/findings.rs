//! What the verbs about findings have in common: which findings are wanted, and the words for people. It may not know what is done with them.

use danso_core::messages;
use danso_proto::change::Severity;
use danso_proto::pb::admin::v1::{ListFindingsRequest, ListFindingsResponse};

use crate::context::Context;
use crate::lang::Lang;
use crate::output::{Field, Format};

/// Which findings.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Also those that were settled
    #[arg(long)]
    all: bool,
    /// Only those in this state (may be given again): open, answered (who says so has not closed it yet), closed
    #[arg(long, value_name = "STATE", value_parser = ["open", "answered", "closed"])]
    state: Vec<String>,
    /// Only those as bad as this (may be given again): error (the record does not count), warning (it counts, and is doubtful), notice
    #[arg(long, value_name = "SEVERITY", value_parser = ["error", "warning", "notice"])]
    severity: Vec<String>,
    /// Only those about records of this unit or of one below it (may be given again)
    #[arg(long, value_name = "CODE")]
    unit: Vec<String>,
    /// Only those of this kind (may be given again); ARCHITECTURE.md lists the codes
    #[arg(long, value_name = "CODE")]
    code: Vec<String>,
}

impl Wanted {
    /// As the node is asked for them.
    pub fn request(&self, ctx: &Context) -> ListFindingsRequest {
        ListFindingsRequest {
            lang: ctx.lang.code().into(),
            closed: self.all,
            states: self.state.clone(),
            severities: self.severity.clone(),
            units: self.unit.clone(),
            codes: self.code.clone(),
            change_id: String::new(),
        }
    }
}

/// The state in a word: for programs always the same.
pub fn state(finding: &ListFindingsResponse, ctx: &Context) -> Field {
    Field::from(match ctx.format {
        Format::Table => state_for_people(&finding.state, ctx.lang),
        _ => &finding.state,
    })
}

/// The state in a word of the reader's language.
pub fn state_for_people(word: &str, lang: Lang) -> &str {
    match (word, lang) {
        ("open", Lang::Vi) => "còn mở",
        ("answered", Lang::Vi) => "đã trả lời",
        ("closed", Lang::Vi) => "đã xong",
        ("closed", Lang::En) => "settled",
        _ => word,
    }
}

/// How bad it is, in a word: for programs always the same.
pub fn severity(word: &str, ctx: &Context) -> Field {
    Field::from(match ctx.format {
        Format::Table => severity_for_people(word, ctx.lang),
        _ => word,
    })
}

/// How bad it is, in a word of the reader's language.
pub fn severity_for_people(word: &str, lang: Lang) -> &str {
    Severity::from_word(word).map_or(word, |severity| messages::severity(severity, lang.into()))
}

/// What was seen, in one line.
pub fn seen(finding: &ListFindingsResponse) -> String {
    let each = finding.seen.iter().map(|seen| format!("{}: {}", seen.words, seen.value));
    each.collect::<Vec<_>>().join("; ")
}

/// The other record: its slip where that is known, else its id.
pub fn other(finding: &ListFindingsResponse) -> String {
    let name = if finding.other_slip_no.is_empty() { &finding.other_id } else { &finding.other_slip_no };
    match &*finding.other_kind {
        "" => name.clone(),
        kind => format!("{name} ({kind})"),
    }
}
