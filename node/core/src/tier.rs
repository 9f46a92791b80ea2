//! The tiers of the administration, and the only place in the code base where behaviour depends on a tier: [`TierPolicy`].
//! Since 1 July 2025 a whole tier is gone, so nothing else may count on there being four. Knows no unit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The level of an administrative unit: a property of the unit in a dated list. Ordered from the top down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The whole country.
    Central,
    /// Province or centrally run city.
    Province,
    /// District, town or provincial city; none since 1 July 2025.
    District,
    /// Commune, ward, township or special zone.
    Commune,
}

/// The text names no tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tier: one of central, province, district, commune")]
pub struct TierUnknown;

impl Tier {
    /// All tiers from the top down.
    pub const ALL: [Tier; 4] = [Tier::Central, Tier::Province, Tier::District, Tier::Commune];

    /// The tier with this lower-case English name.
    pub fn parse(text: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.name() == text)
    }

    /// The lower-case English name: `central`, `province`, `district` or `commune`.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Central => "central",
            Tier::Province => "province",
            Tier::District => "district",
            Tier::Commune => "commune",
        }
    }

    /// Steps below the top tier: 0 for central, 3 for commune. Tiers may be skipped, so this is not a depth in a list.
    pub fn rank(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tier {
    type Err = TierUnknown;
    fn from_str(text: &str) -> Result<Self, TierUnknown> {
        Tier::parse(text).ok_or(TierUnknown)
    }
}

/// What differs from tier to tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierPolicy {
    tier: Tier,
}

impl TierPolicy {
    /// The policy of `tier`.
    pub fn of(tier: Tier) -> Self {
        Self { tier }
    }

    /// Do persons and households belong to units of this tier directly? Upper units hold them only through units below.
    pub fn residents_live_here(self) -> bool {
        self.tier == Tier::Commune
    }

    /// May a unit of `child` tier stand directly below a unit of this tier? Any lower tier may: since 2025 communes stand
    /// directly below provinces.
    pub fn may_parent(self, child: Tier) -> bool {
        child.rank() > self.tier.rank()
    }

    /// The tier's name in Vietnamese, lower case, NFC.
    pub fn vietnamese_name(self) -> &'static str {
        match self.tier {
            Tier::Central => "trung ương",
            Tier::Province => "tỉnh",
            Tier::District => "huyện",
            Tier::Commune => "xã",
        }
    }
}

#[cfg(test)]
mod tests {
    use unicode_normalization::is_nfc;

    use super::*;

    #[test]
    fn names_read_back() {
        for tier in Tier::ALL {
            assert_eq!(tier.to_string().parse(), Ok(tier));
            assert!(is_nfc(TierPolicy::of(tier).vietnamese_name()));
        }
        for bad in ["", "Commune", "commune ", "hamlet"] {
            assert_eq!(bad.parse::<Tier>(), Err(TierUnknown), "{bad}");
        }
    }

    #[test]
    fn a_parent_is_of_a_higher_tier_and_tiers_may_be_skipped() {
        for (above, parent) in Tier::ALL.into_iter().enumerate() {
            for (below, child) in Tier::ALL.into_iter().enumerate() {
                assert_eq!(TierPolicy::of(parent).may_parent(child), above < below, "{parent} over {child}");
            }
        }
    }

    #[test]
    fn people_live_in_communes_only() {
        let homes: Vec<Tier> =
            Tier::ALL.into_iter().filter(|tier| TierPolicy::of(*tier).residents_live_here()).collect();
        assert_eq!(homes, [Tier::Commune]);
    }
}
