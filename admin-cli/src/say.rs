//! What is said to people when a command does not end well. It may not know which command it was.

use crate::exit::Failure;
use crate::lang::Lang;

/// The failure in words, with the next step where there is one.
pub fn failure(lang: Lang, failure: &Failure) -> String {
    match failure {
        Failure::Refused { code, detail, .. } => format!("{} [{code}]: {detail}", lang.of("Bị từ chối", "Refused")),
        Failure::Unavailable(text) => format!("{}: {text}", lang.of("Không liên lạc được", "Not available")),
        Failure::Usage(text) => format!("{}: {text}", lang.of("Lệnh không đúng", "Wrong usage")),
        Failure::OutputClosed => String::new(),
        Failure::Fault(error) => format!("{}: {error:#}", lang.of("Lỗi của chương trình", "A fault of ours")),
    }
}
