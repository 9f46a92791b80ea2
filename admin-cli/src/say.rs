//! What is said to people when a command does not end well. It may not know which command it was.

use danso_core::messages::{self, Args};
use danso_proto::refusal::Reason;

use crate::exit::Failure;
use crate::lang::Lang;
use crate::output::harmless;

/// The failure in words, with the next step, and behind it the reason code and what exactly was found.
pub fn failure(lang: Lang, failure: &Failure) -> String {
    match failure {
        Failure::Refused { code, detail, .. } => refusal(lang, code, detail),
        Failure::Unavailable(text) => format!("{}: {text}", lang.of("Không liên lạc được", "Not available")),
        Failure::Usage(text) => format!("{}: {text}", lang.of("Lệnh không đúng", "Wrong usage")),
        Failure::OutputClosed => String::new(),
        Failure::Fault(error) => format!("{}: {error:#}", lang.of("Lỗi của chương trình", "A fault of ours")),
    }
}

/// A reason code as a node gives it, in words, with what exactly was found.
pub fn refusal(lang: Lang, code: &str, detail: &str) -> String {
    let message = match Reason::from_code(code) {
        Some(reason) => messages::text(reason, lang.into(), &Args::default()),
        None => lang
            .of(
                "Nút từ chối vì một lý do mà phiên bản này không biết. Hãy cập nhật danso-admin.",
                "The node refused for a reason that this version does not know. Update danso-admin.",
            )
            .to_owned(),
    };
    let (code, detail) = (harmless(code), harmless(detail));
    if detail.is_empty() { format!("{message} [{code}]") } else { format!("{message} [{code}: {detail}]") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_refusal_says_what_and_what_next_in_the_readers_language() {
        for reason in Reason::ALL {
            let refused = Failure::refused(*reason, "x\u{1b}[2J");
            for (lang, core) in [(Lang::Vi, messages::Lang::Vi), (Lang::En, messages::Lang::En)] {
                let said = failure(lang, &refused);
                assert!(said.contains(messages::next_step(*reason, core)) && said.contains(reason.code()), "{said}");
                assert!(!said.contains('\u{1b}'), "{said:?}");
            }
        }
    }

    #[test]
    fn a_reason_of_a_newer_node_is_passed_on() {
        let refused = Failure::Refused { code: "of_tomorrow".into(), detail: "x".into(), fallback: Exit::Refused };
        assert!(failure(Lang::En, &refused).contains("[of_tomorrow: x]"));
    }
}
