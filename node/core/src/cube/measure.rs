//! What is counted, and how the small things that belong to a measure are packed into its number `detail`.

use danso_proto::change::{MaritalStatus, Method};

use crate::calendar::Month;

/// A base measure of the cube. The codes are stored: they are added, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Measure {
    /// Stock. Detail: [`ResidentDetail`].
    Residents = 1,
    /// Stock: households in which somebody lives.
    Households = 2,
    /// Flow. Sex and birth month are the newborn's. Detail: [`BirthDetail`].
    Births = 3,
    /// Flow.
    Deaths = 4,
    /// Flow: persons who marry.
    Marriages = 5,
    /// Flow: persons who divorce.
    Divorces = 6,
    /// Flow. Other unit: where from; `None` when abroad or unknown.
    Arrivals = 7,
    /// Flow. Other unit: where to; `None` when abroad or unknown.
    Departures = 8,
    /// Flow. Detail: the method's code.
    ContraceptionStarts = 9,
}

impl Measure {
    /// All measures, by code.
    pub const ALL: [Self; 9] = [
        Self::Residents,
        Self::Households,
        Self::Births,
        Self::Deaths,
        Self::Marriages,
        Self::Divorces,
        Self::Arrivals,
        Self::Departures,
        Self::ContraceptionStarts,
    ];

    /// The stored code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The measure with this code.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| i64::from(measure.code()) == code)
    }

    /// Whether its value is the sum of all steps up to a month's end, not of those in a period.
    pub fn is_stock(self) -> bool {
        matches!(self, Self::Residents | Self::Households)
    }
}

/// Marital status and method of residents; `None` where unknown. Packed as `status * 100 + method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidentDetail {
    /// Marital status.
    pub marital: Option<MaritalStatus>,
    /// Contraceptive method.
    pub method: Option<Method>,
}

impl ResidentDetail {
    /// As stored.
    pub fn pack(self) -> i64 {
        self.marital.map_or(0, marital_code) * 100 + self.method.map_or(0, method_code)
    }

    /// From what is stored; a code that this version does not know is unknown.
    pub fn unpack(detail: i64) -> Self {
        let marital = MaritalStatus::ALL.iter().copied().find(|status| marital_code(*status) == detail / 100);
        Self { marital, method: method_from_code(detail % 100) }
    }
}

/// Birth order (0: unknown) and the mother's birth month. Packed as `order * 1,000,000 + month index` (0: unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BirthDetail {
    /// 1 for a first child, 0 when unknown.
    pub order: u32,
    /// Birth month of the mother.
    pub mother: Option<Month>,
}

const MONTH_SPAN: i64 = 1_000_000;

impl BirthDetail {
    /// As stored. The month index has six digits at most.
    pub fn pack(self) -> i64 {
        i64::from(self.order) * MONTH_SPAN + self.mother.map_or(0, |month| i64::from(month.index()))
    }

    /// From what is stored.
    pub fn unpack(detail: i64) -> Self {
        let mother = i32::try_from(detail.rem_euclid(MONTH_SPAN)).ok().filter(|index| *index != 0);
        Self {
            order: u32::try_from(detail.div_euclid(MONTH_SPAN)).unwrap_or(0),
            mother: mother.and_then(|index| Month::from_index(index).ok()),
        }
    }
}

fn marital_code(status: MaritalStatus) -> i64 {
    match status {
        MaritalStatus::Single => 1,
        MaritalStatus::Married => 2,
        MaritalStatus::Widowed => 3,
        MaritalStatus::Divorced => 4,
        MaritalStatus::Separated => 5,
    }
}

pub(super) fn method_code(method: Method) -> i64 {
    match method {
        Method::None => 1,
        Method::Iud => 2,
        Method::SterilisationMale => 3,
        Method::SterilisationFemale => 4,
        Method::Implant => 5,
        Method::Injectable => 6,
        Method::PillCombined => 7,
        Method::PillProgestin => 8,
        Method::PillEmergency => 9,
        Method::Condom => 10,
        Method::Calendar => 11,
        Method::Withdrawal => 12,
        Method::LactationalAmenorrhoea => 13,
        Method::Spermicide => 14,
        Method::Other => 15,
    }
}

/// The method with this stored code: the detail of [`Measure::ContraceptionStarts`].
pub fn method_from_code(code: i64) -> Option<Method> {
    Method::ALL.iter().copied().find(|method| method_code(*method) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_and_codes_read_back() {
        for measure in Measure::ALL {
            assert_eq!(Measure::from_code(measure.code().into()), Some(measure));
        }
        assert_eq!(Measure::from_code(0), None);
        let statuses = || MaritalStatus::ALL.iter().copied().map(Some).chain([None]);
        for marital in statuses() {
            for method in Method::ALL.iter().copied().map(Some).chain([None]) {
                let detail = ResidentDetail { marital, method };
                assert_eq!(ResidentDetail::unpack(detail.pack()), detail);
            }
        }
        let mother = Month::from_ymm(199_902).ok();
        for detail in [
            BirthDetail { order: 0, mother: None },
            BirthDetail { order: 3, mother },
            BirthDetail { order: u32::MAX, mother },
        ] {
            assert_eq!(BirthDetail::unpack(detail.pack()), detail);
        }
    }

    #[test]
    fn stored_codes_stay_what_they_are() {
        let detail = ResidentDetail { marital: Some(MaritalStatus::Married), method: Some(Method::Condom) };
        assert_eq!(detail.pack(), 210);
        assert_eq!(BirthDetail { order: 2, mother: Month::from_ymm(200_001).ok() }.pack(), 2_024_000);
    }
}
