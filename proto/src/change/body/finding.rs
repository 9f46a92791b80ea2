//! What findings are made of on the wire: how bad they are, what was seen, and what was answered.

use super::*;

/// How bad a finding is. The worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Severity {
    /// The record does not count.
    Error,
    /// The record counts, and is doubtful.
    Warning,
    /// Something to know.
    Notice,
}

impl Severity {
    /// All, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    /// The word in listings, files and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }

    /// The severity with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }

    /// What nobody named, or a newer version did, is taken for the worst.
    pub(super) fn from_pb(code: i32) -> Self {
        match pb::FindingSeverity::try_from(code) {
            Ok(pb::FindingSeverity::Warning) => Self::Warning,
            Ok(pb::FindingSeverity::Notice) => Self::Notice,
            _ => Self::Error,
        }
    }

    pub(super) fn to_pb(self) -> pb::FindingSeverity {
        match self {
            Self::Error => pb::FindingSeverity::Unspecified,
            Self::Warning => pb::FindingSeverity::Warning,
            Self::Notice => pb::FindingSeverity::Notice,
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The record is right as it is.
    Right,
    /// The answer with this id holds no longer.
    Withdrawn(ChangeId),
}

/// Something that a finding saw, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// What it is: a stable word.
    pub name: String,
    /// The value.
    pub value: SeenValue,
}

/// The value of something that was seen. Stored by position: add kinds at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum SeenValue {
    /// Solar, yyyymmdd, 00 for what is unknown.
    Date(u32),
    /// Lunar, yyyymmdd, and whether the month is a leap month.
    Lunar(u32, bool),
    /// An age, an interval, a count: the name says what of.
    Number(i64),
    /// A unit's code, or a word of a form.
    Word(String),
    /// A person.
    Person(PersonId),
    /// A change.
    Change(ChangeId),
}

impl Seen {
    /// `None` for a value of a kind that a newer version added.
    pub(super) fn from_pb(seen: pb::Seen) -> Result<Option<Self>, Refusal> {
        use pb::seen::Value;
        text("name of what was seen", &seen.name, limits::SEEN_WORD_MAX)?;
        let value = match seen.value {
            None => return Ok(None),
            Some(Value::Date(date)) => SeenValue::Date(date),
            Some(Value::Lunar(date)) => SeenValue::Lunar(date, false),
            Some(Value::LunarLeap(date)) => SeenValue::Lunar(date, true),
            Some(Value::Number(number)) => SeenValue::Number(number),
            Some(Value::Word(word)) => {
                text("word that was seen", &word, limits::SEEN_WORD_MAX)?;
                SeenValue::Word(word)
            }
            Some(Value::Person(person)) => SeenValue::Person(id(&person)?),
            Some(Value::Change(change)) => SeenValue::Change(id(&change)?),
        };
        Ok(Some(Self { name: seen.name, value }))
    }

    pub(super) fn to_pb(&self) -> pb::Seen {
        use pb::seen::Value;
        let value = match &self.value {
            SeenValue::Date(date) => Value::Date(*date),
            SeenValue::Lunar(date, false) => Value::Lunar(*date),
            SeenValue::Lunar(date, true) => Value::LunarLeap(*date),
            SeenValue::Number(number) => Value::Number(*number),
            SeenValue::Word(word) => Value::Word(word.clone()),
            SeenValue::Person(person) => Value::Person(id_bytes(Some(*person))),
            SeenValue::Change(change) => Value::Change(id_bytes(Some(*change))),
        };
        pb::Seen { name: self.name.clone(), value: Some(value) }
    }
}
