//! What is told of findings: records that are in a log and do not count, or are doubtful. Here a file is not corrected and imported again, as with
//! a row that was refused: what was signed stays, and another slip corrects it, or an answer says that it is right.

use danso_proto::change::{Seen, SeenValue, Severity};

use super::Lang;
use super::rules::doubt;
use crate::finding::FindingKind;
use crate::rules::Rule;

mod en;
mod vi;

/// What an officer is told of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingText {
    /// What is wrong or doubtful.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do next.
    pub next: &'static str,
}

/// What is told of findings with this code, which may be of a newer version when another node says it.
pub fn finding_text(code: &str, lang: Lang) -> FindingText {
    let kind = FindingKind::from_code(code);
    if let Some(rule) = kind.and_then(Rule::of_kind) {
        return doubt(rule, lang);
    }
    match (kind, lang) {
        (Some(kind), Lang::Vi) => vi::text(kind),
        (Some(kind), Lang::En) => en::text(kind),
        (None, Lang::Vi) => vi::UNKNOWN,
        (None, Lang::En) => en::UNKNOWN,
    }
}

/// What to do next about a finding as bad as this.
pub fn finding_next(code: &str, severity: Severity, lang: Lang) -> String {
    let next = finding_text(code, lang).next;
    let answer = match lang {
        Lang::Vi => vi::ANSWER,
        Lang::En => en::ANSWER,
    };
    if severity == Severity::Error { next.to_owned() } else { format!("{next} {answer}") }
}

/// What to tell of a finding as bad as this: what it is, and what to do next.
pub fn finding(code: &str, severity: Severity, lang: Lang) -> String {
    format!("{} {}", finding_text(code, lang).what, finding_next(code, severity, lang))
}

/// Something that was seen: its words and its value. The name stands for itself where a newer version gave it.
pub fn seen(seen: &Seen, lang: Lang) -> (String, String) {
    let words = match lang {
        Lang::Vi => vi::seen(&seen.name),
        Lang::En => en::seen(&seen.name),
    };
    let value = match &seen.value {
        SeenValue::Date(packed) => date(*packed),
        SeenValue::Lunar(packed, leap) => match (lang, leap) {
            (Lang::Vi, false) => format!("{} âm lịch", date(*packed)),
            (Lang::Vi, true) => format!("{} âm lịch (tháng nhuận)", date(*packed)),
            (Lang::En, false) => format!("{} lunar", date(*packed)),
            (Lang::En, true) => format!("{} lunar (leap month)", date(*packed)),
        },
        SeenValue::Number(number) => number.to_string(),
        SeenValue::Word(word) => word.clone(),
        SeenValue::Person(id) | SeenValue::Change(id) => id.to_string(),
    };
    (words.map_or_else(|| seen.name.clone(), str::to_owned), value)
}

/// How bad it is, in a word.
pub fn severity(severity: Severity, lang: Lang) -> &'static str {
    match (severity, lang) {
        (Severity::Error, Lang::Vi) => "không tính",
        (Severity::Warning, Lang::Vi) => "nghi ngờ",
        (Severity::Notice, Lang::Vi) => "lưu ý",
        (severity, Lang::En) => severity.as_str(),
    }
}

/// yyyymmdd as it is written in files, without what is unknown.
fn date(packed: u32) -> String {
    let (year, month, day) = (packed / 10_000, packed / 100 % 100, packed % 100);
    match (month, day) {
        (0, _) => format!("{year:04}"),
        (month, 0) => format!("{year:04}-{month:02}"),
        (month, day) => format!("{year:04}-{month:02}-{day:02}"),
    }
}

#[cfg(test)]
mod tests {
    use unicode_normalization::is_nfc;

    use super::*;
    use crate::finding::name;

    #[test]
    fn every_finding_says_what_why_and_what_next_in_both_languages() {
        for kind in FindingKind::ALL {
            for lang in [Lang::Vi, Lang::En] {
                let FindingText { what, why, next } = finding_text(kind.code(), lang);
                for sentence in [what, why, next] {
                    assert!(sentence.len() > 20 && sentence.ends_with('.') && is_nfc(sentence), "{sentence}");
                    assert!(!sentence.contains(['{', '}']) && !sentence.contains("  "), "{sentence}");
                    assert!(lang == Lang::Vi || sentence.is_ascii(), "{sentence}");
                }
                let said = finding(kind.code(), kind.severity(), lang);
                assert_eq!(kind.severity() != Severity::Error, said.contains("finding answer"), "{said}");
                // Nothing that is wrong is imported again: a slip corrects it, or the node that says so is updated.
                let corrected =
                    said.contains("`retract`") || said.contains("`update`") || said.contains("finding answer");
                assert!(corrected || *kind == FindingKind::KindUnknown, "{said}");
            }
        }
        assert!(finding("of_tomorrow", Severity::Error, Lang::En).is_ascii());
        assert!(!finding("of_tomorrow", Severity::Error, Lang::Vi).is_ascii());
    }

    #[test]
    fn what_was_seen_has_words_and_values_for_people() {
        for of in name::ALL {
            for words in [vi::seen(of), en::seen(of)] {
                assert!(words.is_some_and(|words| is_nfc(words) && !words.contains('_')), "{of}: {words:?}");
            }
        }
        let tell = |name: &str, value, lang| seen(&Seen { name: name.into(), value }, lang);
        let (words, value) = tell(name::EVENT_DATE, SeenValue::Date(20_210_200), Lang::En);
        assert_eq!((&*words, &*value), ("date of the event", "2021-02"));
        assert_eq!(tell("of_tomorrow", SeenValue::Number(-3), Lang::Vi), ("of_tomorrow".into(), "-3".into()));
        assert_eq!(tell("x", SeenValue::Lunar(20_201_120, true), Lang::Vi).1, "2020-11-20 âm lịch (tháng nhuận)");
        assert_eq!(tell("x", SeenValue::Date(20_210_000), Lang::Vi).1, "2021");
    }
}
