//! Ages. They come from the month of birth alone, so that every tier computes the same: the birthday counts as passed in its month.

use std::fmt;

use crate::calendar::Month;

/// A group of five years of age, open at 85.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgeGroup(u8);

impl AgeGroup {
    /// How many groups there are.
    pub const COUNT: u8 = 18;

    /// The group of an age in full years.
    pub fn of(years: u32) -> Self {
        // At most 17.
        Self((years / 5).min(17) as u8)
    }

    /// All groups, from the youngest.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Place among the groups, from 0.
    pub(super) fn index(self) -> usize {
        self.0.into()
    }

    /// The group that `0-4` to `80-84` or `85+` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().find(|group| group.to_string() == word)
    }
}

impl fmt::Display for AgeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            17 => f.write_str("85+"),
            group => write!(f, "{}-{}", group * 5, group * 5 + 4),
        }
    }
}

/// Full years from `birth` to `month`; `None` before birth.
pub(super) fn full_years(birth: Month, month: Month) -> Option<u32> {
    u32::try_from((month - birth).div_euclid(12)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_words_of_the_age_pyramid() {
        let words: Vec<String> = AgeGroup::all().map(|group| group.to_string()).collect();
        assert_eq!(words.first().map(String::as_str), Some("0-4"));
        assert_eq!(words[16..], ["80-84", "85+"]);
        assert!(AgeGroup::all().all(|group| AgeGroup::from_word(&group.to_string()) == Some(group)));
        for (years, word) in [(0, "0-4"), (4, "0-4"), (5, "5-9"), (84, "80-84"), (85, "85+"), (u32::MAX, "85+")] {
            assert_eq!(AgeGroup::of(years).to_string(), word);
        }
    }

    #[test]
    fn a_birthday_has_passed_in_its_month() {
        let month = |ymm| Month::from_ymm(ymm).expect("a month");
        for (at, years) in [(202_102, None), (202_103, Some(0)), (202_202, Some(0)), (202_203, Some(1))] {
            assert_eq!(full_years(month(202_103), month(at)), years, "{at}");
        }
    }
}
