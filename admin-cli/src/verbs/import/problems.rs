//! What was wrong with the rows of a file: the first ones in full, all of them counted. Bounded, whatever the file holds.

use std::collections::BTreeMap;

use danso_proto::pb::admin::v1::{RowProblem, Severity};

use crate::lang::Lang;
use crate::output::{Field, Look, Sheet, column, harmless};

/// Problems that are printed in full. Whoever has more corrects by kind, not by row; the rows are in the reject file.
const SHOWN_MAX: usize = 20;
/// Reasons that are counted apart. The list of reasons is closed and shorter; a node that sends more is not worth the memory.
const REASONS_MAX: usize = 1_000;

/// The problems of one file.
pub(super) struct Problems {
    shown: Vec<RowProblem>,
    /// By severity and reason.
    counts: BTreeMap<(i32, String), u64>,
    total: u64,
}

impl Problems {
    pub(super) fn new() -> Self {
        Self { shown: Vec::new(), counts: BTreeMap::new(), total: 0 }
    }

    /// Takes a problem in. Waiting is no fault of the row: it is counted, and shown only by `waiting list`.
    pub(super) fn push(&mut self, mut problem: RowProblem) {
        let key = (problem.severity, problem.reason.clone());
        if self.counts.len() < REASONS_MAX || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += 1;
        }
        if problem.severity() == Severity::Waiting {
            return;
        }
        self.total += 1;
        if self.shown.len() < SHOWN_MAX {
            problem.fields = Vec::new();
            self.shown.push(problem);
        }
    }

    /// How many problems refused a row, by reason.
    pub(super) fn refused_by_reason(&self) -> BTreeMap<String, u64> {
        let refused =
            |severity: i32| matches!(Severity::try_from(severity), Ok(Severity::Refused | Severity::Unspecified));
        let counts = self.counts.iter().filter(|((severity, _), _)| refused(*severity));
        counts.map(|((_, reason), count)| (reason.clone(), *count)).collect()
    }

    /// For people: a table of the first problems; then, when there were more, counts by reason.
    pub(super) fn in_words(&self, file: &str, lang: Lang, look: Look) -> Vec<String> {
        let mut said = Vec::new();
        if !self.shown.is_empty() {
            let mut sheet = Sheet::new([
                column("line", "Dòng", "Line"),
                column("column", "Cột", "Column"),
                column("reason", "Mã", "Reason"),
                column("message", "Nội dung và cách sửa", "Message and next step"),
            ]);
            for problem in &self.shown {
                let mut message = harmless(&problem.message);
                if problem.severity() == Severity::Warning {
                    message = format!("({}) {message}", lang.of("đã nhận, cần xem lại", "taken; please check"));
                }
                sheet.push([
                    // A slip that waited is no row of this file.
                    if problem.line == 0 { Field::from("") } else { Field::Number(problem.line) },
                    Field::from(&*problem.column),
                    Field::from(&*problem.reason),
                    Field::Text(message),
                ]);
            }
            let heading = lang.of("những dòng cần xem", "rows to look at");
            said.push(format!("{file}: {heading}:\n{}", sheet.to_table(look).trim_end_matches('\n')));
        }
        if self.total > self.shown.len() as u64 {
            let mut sheet = Sheet::new([
                column("reason", "Mã", "Reason"),
                column("meaning", "Kết quả", "Result"),
                column("count", "Số lần", "Count"),
            ]);
            for ((severity, reason), count) in &self.counts {
                let meaning = match Severity::try_from(*severity) {
                    Ok(Severity::Waiting) => lang.of("chờ", "waiting"),
                    Ok(Severity::Warning) => lang.of("đã nhận, cần xem lại", "taken; please check"),
                    _ => lang.of("từ chối", "refused"),
                };
                sheet.push([Field::from(&**reason), Field::from(meaning), Field::Count(*count)]);
            }
            let (total, shown) = (self.total, self.shown.len());
            let heading = match lang {
                Lang::Vi => format!("{file}: có {total} vấn đề, trên đây là {shown} vấn đề đầu; theo mã:"),
                Lang::En => format!("{file}: {total} problems, the first {shown} of them above; by reason:"),
            };
            said.push(format!("{heading}\n{}", sheet.to_table(look).trim_end_matches('\n')));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { lang: Lang::En, width: None, styled: false };

    fn problem(line: u64, reason: &str, severity: Severity) -> RowProblem {
        RowProblem {
            line,
            reason: reason.into(),
            message: "do this".into(),
            severity: severity.into(),
            ..Default::default()
        }
    }

    #[test]
    fn few_problems_are_shown_in_full_and_not_counted() {
        let mut problems = Problems::new();
        problems.push(problem(7, "date_invalid", Severity::Refused));
        problems.push(problem(8, "person_unknown", Severity::Waiting));
        let said = problems.in_words("a.csv", Lang::En, PLAIN);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("date_invalid") && said[0].contains("do this") && !said[0].contains("person_unknown"));
        assert_eq!(problems.refused_by_reason(), BTreeMap::from([("date_invalid".into(), 1)]));
    }

    #[test]
    fn a_million_problems_are_a_page() {
        let mut problems = Problems::new();
        for line in 0..1_000_000 {
            problems.push(problem(line, "unit_unknown", Severity::Refused));
        }
        let said = problems.in_words("a.csv", Lang::En, PLAIN);
        assert_eq!(said.len(), 2);
        assert!(said.iter().map(|text| text.lines().count()).sum::<usize>() < 40);
        assert!(said[1].contains("1,000,000"), "{}", said[1]);
    }
}
