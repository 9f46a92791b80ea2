//! Months as they are reported: by when a unit's month has to be declared complete, whether it was, and how much of an area has reported.
//!
//! One clock is judged: the author's own, signed with the statement (`recorded_at`). A bad link does not make an author late; when a statement
//! arrived is shown beside it and judges nothing. This room knows neither where statements are kept nor what day it is today.

mod coverage;
mod days;
mod deadline;

use danso_proto::ids::UnitCode;

use crate::calendar::{Month, PartialDate, VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};

pub use coverage::{Closings, Coverage, coverage};
pub use days::is_working_day;
pub use deadline::{Deadline, DeadlineUnreadable, Deadlines, RULES_MAX, Scope};

/// How a unit's month stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Declared complete by the deadline.
    OnTime,
    /// Declared complete after the deadline.
    Late,
    /// Not declared complete, and the deadline has not passed.
    Open,
    /// Not declared complete, and the deadline has passed.
    Missing,
    /// Missing, and for a long time nothing at all was heard of whoever reports for the unit.
    Silent,
}

impl State {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::OnTime, Self::Late, Self::Open, Self::Missing, Self::Silent];

    /// Its word in files and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Open => "open",
            Self::Missing => "missing",
            Self::Silent => "silent",
        }
    }

    /// What this word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What is known of a unit's month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// When the statement that it is complete was recorded, by its author's clock; `None`: there is none.
    pub closed_at_ms: Option<i64>,
    /// The last day that is on time.
    pub deadline: PartialDate,
    /// When anything was last heard of whoever reports for the unit, by our clock; `None`: never.
    pub heard_at_ms: Option<i64>,
}

impl Reported {
    /// How the month stands at `now_ms`; who was not heard for `silent_ms` is silent.
    pub fn state(&self, now_ms: i64, silent_ms: i64) -> State {
        match self.closed_at_ms {
            Some(closed) if is_by(closed, self.deadline) => State::OnTime,
            Some(_) => State::Late,
            None if is_by(now_ms, self.deadline) => State::Open,
            None if self.heard_at_ms.is_some_and(|heard| now_ms.saturating_sub(heard) <= silent_ms) => State::Missing,
            None => State::Silent,
        }
    }
}

/// A statement that a unit's month is complete. Of several for one month the one with the earliest clock counts, and of those the one with the lowest id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The unit.
    pub unit: UnitCode,
    /// The month.
    pub month: Month,
    /// The author's clock, Unix milliseconds.
    pub recorded_at_ms: i64,
}

/// Whether an instant is on this day or before it, in Viet Nam.
pub fn is_by(ms: i64, day: PartialDate) -> bool {
    civil_from_unix_ms(ms, VIET_NAM_OFFSET_MINUTES) <= day
}

/// Whether a month is over at this instant, in Viet Nam: before that nobody can say that it is complete.
pub fn is_over(month: Month, now_ms: i64) -> bool {
    civil_from_unix_ms(now_ms, VIET_NAM_OFFSET_MINUTES).month() > month
}

#[cfg(test)]
mod tests;
