//! The table `[months]`: by when months have to be closed, and after what time somebody is silent.

use std::collections::BTreeMap;
use std::time::Duration;

use danso_core::calendar::PartialDate;
use danso_core::period::{Deadline, Deadlines, RULES_MAX, Scope};
use serde::{Deserialize, Serialize};

use super::Check;

/// Time without a word after which somebody is silent, when nothing is configured.
const SILENT_AFTER: Duration = Duration::from_secs(14 * 24 * 3600);

/// How months are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Months {
    /// By when they have to be closed.
    pub deadlines: Deadlines,
    /// Who was not heard for so long is silent.
    pub silent_after: Duration,
}

impl Default for Months {
    fn default() -> Self {
        Self { deadlines: Deadlines::default(), silent_after: SILENT_AFTER }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    days_off: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    deadlines: BTreeMap<String, String>,
}

impl Raw {
    /// What is written; nothing for what holds anyway.
    pub(super) fn of(months: &Months) -> Option<Self> {
        if *months == Months::default() {
            return None;
        }
        let rules = || months.deadlines.rules();
        let all = rules().find(|(scope, _)| **scope == Scope::All).map(|(_, rule)| rule.to_string());
        let others = rules().filter(|(scope, _)| **scope != Scope::All);
        Some(Self {
            deadline: all,
            silent_after: (months.silent_after != SILENT_AFTER)
                .then(|| humantime::format_duration(months.silent_after).to_string()),
            days_off: months.deadlines.off().map(|day| day.to_string()).collect(),
            deadlines: others.map(|(scope, rule)| (scope.to_string(), rule.to_string())).collect(),
        })
    }
}

impl Check {
    /// All of the table; what is wrong in it is reported, and left out.
    pub(super) fn months(&mut self, raw: Option<Raw>) -> Months {
        let Some(raw) = raw else { return Months::default() };
        let mut rules: Vec<(Scope, Deadline)> = Vec::new();
        match raw.deadline.map(|text| text.parse()) {
            Some(Ok(rule)) => rules.push((Scope::All, rule)),
            Some(Err(error)) => self.problem("months.deadline", error.to_string()).unwrap_or_default(),
            None => {}
        }
        for (of, text) in &raw.deadlines {
            let scope = of.parse::<Scope>().ok().filter(|scope| *scope != Scope::All);
            match (scope, text.parse()) {
                (Some(scope), Ok(rule)) => rules.push((scope, rule)),
                (None, _) => {
                    let why = format!(
                        "{of:?} is neither the code of a unit nor a tier (central, province, district, commune)"
                    );
                    self.problem("months.deadlines", why).unwrap_or_default()
                }
                (_, Err(error)) => self.problem("months.deadlines", format!("{of}: {error}")).unwrap_or_default(),
            }
        }
        let mut off = Vec::new();
        for text in &raw.days_off {
            match text.parse::<PartialDate>().ok().filter(|day| day.is_full()) {
                Some(day) => off.push(day),
                None => {
                    let why = format!("{text:?} is no day: write for example \"2027-02-11\"");
                    self.problem("months.days_off", why).unwrap_or_default()
                }
            }
        }
        if rules.len() > RULES_MAX || off.len() > RULES_MAX {
            self.problem::<()>("months.deadlines", format!("at most {RULES_MAX} rules, and as many days off"));
        }
        let silent_after = raw.silent_after.map(|text| humantime::parse_duration(&text).map_err(|error| (text, error)));
        let silent_after = match silent_after {
            None => SILENT_AFTER,
            Some(Ok(time)) => time,
            Some(Err((text, error))) => {
                let why = format!("{text:?} is no time ({error}): write for example \"14days\"");
                self.problem("months.silent_after", why).unwrap_or(SILENT_AFTER)
            }
        };
        Months { deadlines: Deadlines::new(rules, off), silent_after }
    }
}
