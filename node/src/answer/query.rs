//! A question and the unit list that its codes belong to, in the one form in which it is named, signed and compared.

use std::sync::Arc;

use danso_core::calendar::{Month, PartialDate, VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use danso_core::period::{Deadline, DeadlineUnreadable, Deadlines, RULES_MAX, Scope};
use danso_core::question::{Asked, Question};
use danso_core::tier::Tier;
use danso_core::units::UnitList;
use danso_core::verify::Directory;
use danso_proto::ids::UnitCode;
use danso_proto::pb::query::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

/// A question that one unit list understands. Equal queries have equal protobuf bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    list: Arc<UnitList>,
    question: Question,
    deadlines: Option<Arc<Deadlines>>,
}

impl Query {
    /// A question about units of `list`.
    ///
    /// # Errors
    /// As [`Question::on`].
    pub fn new(list: Arc<UnitList>, question: Question) -> Result<Self, Refusal> {
        question.on(&list)?;
        Ok(Self { list, question, deadlines: None })
    }

    /// The same, with months judged by `deadlines`, unless it says already by which.
    #[must_use]
    pub fn judged_by(mut self, deadlines: &Arc<Deadlines>) -> Self {
        self.deadlines.get_or_insert_with(|| deadlines.clone());
        self
    }

    /// By when months have to be closed; `None`: nobody judges.
    pub fn deadlines(&self) -> Option<&Deadlines> {
        self.deadlines.as_deref()
    }

    /// Reads a query; without a list version it is about the list in force at `now_ms` in Viet Nam.
    ///
    /// # Errors
    /// `query_invalid`, `units_version_unknown`, `unit_unknown`, `too_large`.
    pub fn read(query: &pb::Query, directory: &Directory, now_ms: i64) -> Result<Self, Refusal> {
        let list = if query.units_version.is_empty() {
            let today = civil_from_unix_ms(now_ms, VIET_NAM_OFFSET_MINUTES);
            let list = directory.units().in_force(today);
            list.ok_or_else(|| Refusal::new(Reason::UnitsVersionUnknown, "no unit list is in force here"))?
        } else {
            let version: String = query.units_version.chars().take(32).collect();
            let list = directory.units().get(&query.units_version);
            list.ok_or_else(|| Refusal::new(Reason::UnitsVersionUnknown, version))?
        };
        let question = Question::new(
            unit(&query.unit)?,
            if query.by.is_empty() { None } else { Some(tier(&query.by)?) },
            (month(query.from)?, month(query.to)?),
            &query.measures,
            &query.dimensions,
            if query.within.is_empty() { None } else { Some(unit(&query.within)?) },
        )?;
        let deadlines = query.deadlines.as_ref().map(deadlines).transpose()?.map(Arc::new);
        Ok(Self { deadlines, ..Self::new(list.clone(), question)? })
    }

    /// The canonical form.
    pub fn to_pb(&self) -> pb::Query {
        let question = &self.question;
        pb::Query {
            units_version: self.list.version().to_owned(),
            unit: question.unit().to_string(),
            by: question.by().map(|tier| tier.to_string()).unwrap_or_default(),
            from: question.from().ymm(),
            to: question.to().ymm(),
            measures: question.figures().iter().map(ToString::to_string).collect(),
            dimensions: question.dimensions().iter().map(ToString::to_string).collect(),
            within: question.within().map(UnitCode::to_string).unwrap_or_default(),
            deadlines: self.deadlines().map(|deadlines| pb::Deadlines {
                rules: deadlines.rules().map(rule_to_pb).collect(),
                days_off: deadlines.off().map(PartialDate::packed).collect(),
            }),
        }
    }

    /// The list.
    pub fn list(&self) -> &UnitList {
        &self.list
    }

    /// The question.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The same, about the records of `within` and the units below only.
    #[must_use]
    pub fn restricted_to(&self, within: UnitCode) -> Self {
        Self { question: self.question.restricted_to(within), ..self.clone() }
    }

    /// Whether a node of a unit can have written about what is asked. One of a unit that the list does not have may have.
    pub fn concerned(&self) -> impl Fn(&UnitCode) -> bool {
        let scope = self.asked().ok().and_then(|asked| asked.scope().cloned());
        move |unit| {
            let list = &self.list;
            scope
                .as_ref()
                .is_some_and(|scope| !list.contains(unit) || list.is_within(unit, scope) || list.is_within(scope, unit))
        }
    }

    /// The question put to its list.
    ///
    /// # Errors
    /// As [`Question::on`].
    pub fn asked(&self) -> Result<Asked<'_>, Refusal> {
        self.question.on(&self.list)
    }
}

fn rule_to_pb((scope, deadline): (&Scope, Deadline)) -> pb::DeadlineRule {
    pb::DeadlineRule { of: scope.to_string(), deadline: deadline.to_string() }
}

fn deadlines(deadlines: &pb::Deadlines) -> Result<Deadlines, Refusal> {
    if deadlines.rules.len() > RULES_MAX || deadlines.days_off.len() > RULES_MAX {
        return Err(invalid(format!("deadlines have at most {RULES_MAX} rules and as many days off")));
    }
    let rule = |rule: &pb::DeadlineRule| {
        let scope: Scope = rule.of.parse().map_err(|error| invalid(format!("a rule's unit: {error}")))?;
        Ok((scope, rule.deadline.parse().map_err(|error: DeadlineUnreadable| invalid(error.to_string()))?))
    };
    let day = |packed: &u32| match PartialDate::from_packed(*packed) {
        Ok(day) if day.is_full() => Ok(day),
        _ => Err(invalid(format!("{packed} is no day"))),
    };
    let rules = deadlines.rules.iter().map(rule).collect::<Result<Vec<_>, Refusal>>()?;
    let off = deadlines.days_off.iter().map(day).collect::<Result<Vec<_>, Refusal>>()?;
    Ok(Deadlines::new(rules, off))
}

pub(super) fn unit(code: &str) -> Result<UnitCode, Refusal> {
    code.parse().map_err(|error: danso_proto::ids::IdError| invalid(error.to_string()))
}

fn tier(word: &str) -> Result<Tier, Refusal> {
    Tier::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Tier::ALL.iter().map(|tier| tier.name()).collect();
        invalid(format!("no tier {:?}; there are {}", word.chars().take(32).collect::<String>(), known.join(", ")))
    })
}

pub(super) fn month(ymm: u32) -> Result<Month, Refusal> {
    Month::from_ymm(ymm).map_err(|error| invalid(format!("month {ymm}: {error}")))
}

pub(super) fn invalid(detail: String) -> Refusal {
    Refusal::new(Reason::QueryInvalid, detail)
}
