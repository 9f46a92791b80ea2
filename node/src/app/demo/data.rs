//! What the demo works on, from `deploy/demo` and `deploy/units`. Built in, so that the binary needs no files beside it.

/// What one unit hands in.
pub(super) struct Handing {
    pub(super) unit: &'static str,
    pub(super) households: &'static str,
    pub(super) changes: &'static str,
}

macro_rules! handing {
    ($unit:literal) => {
        Handing {
            unit: $unit,
            households: include_str!(concat!("../../../../deploy/demo/", $unit, "/households.csv")),
            changes: include_str!(concat!("../../../../deploy/demo/", $unit, "/changes.csv")),
        }
    };
}

/// The communes: Châu Quang, the town of Quỳ Hợp, the town of Kim Sơn, Nậm Giải.
pub(super) const COMMUNES: [Handing; 4] = [handing!("17065"), handing!("17035"), handing!("16738"), handing!("16753")];
/// The figures, taken from the simulated people themselves.
pub(super) const EXPECTED: &str = include_str!("../../../../deploy/demo/expected.csv");
/// The units of the country.
pub(super) const UNITS: &str = include_str!("../../../../deploy/units/units-2024.csv");
/// The version of that list.
pub(super) const UNITS_VERSION: &str = "vn-2024";
/// The root of the federation.
pub(super) const ROOT: &str = "VN";
/// Every other node and its parent, in the order in which they join: Nghệ An, Quỳ Hợp, Quế Phong, and their communes.
pub(super) const BELOW: [(&str, &str); 7] = [
    ("40", "VN"),
    ("420", "40"),
    ("415", "40"),
    ("17065", "420"),
    ("17035", "420"),
    ("16738", "415"),
    ("16753", "415"),
];
/// The months that the data cover, yyyymm.
pub(super) const MONTHS: (u32, u32) = (202_101, 202_112);
