//! Who there is: the units, and the seats in which nodes sit. A seat stays when its node is replaced by another.

use danso_core::units::UnitList;
use danso_proto::ids::UnitCode;

/// Version of the unit list.
pub const VERSION: &str = "vn-2024";

/// Code, name, tier, code of the unit above.
const UNITS: &[[&str; 4]] = &[
    ["VN", "Việt Nam", "central", ""],
    ["40", "Nghệ An", "province", "VN"],
    ["42", "Hà Tĩnh", "province", "VN"],
    ["412", "Thị xã Cửa Lò", "district", "40"],
    ["415", "Huyện Quế Phong", "district", "40"],
    ["436", "Thành phố Hà Tĩnh", "district", "42"],
    ["437", "Thị xã Hồng Lĩnh", "district", "42"],
    ["16717", "Nghi Thuỷ", "commune", "412"],
    ["16720", "Nghi Tân", "commune", "412"],
    ["16723", "Thu Thuỷ", "commune", "412"],
    ["16738", "Thông Thụ", "commune", "415"],
    ["18070", "Trần Phú", "commune", "436"],
    ["18115", "Bắc Hồng", "commune", "437"],
    ["18118", "Nam Hồng", "commune", "437"],
];

/// A place in the tree.
pub struct Seat {
    /// The unit that its node serves.
    pub unit: &'static str,
    /// The seat above; the root is above itself.
    pub parent: usize,
    /// The units that it writes about: its own, or those on paper below it.
    pub writes: &'static [&'static str],
}

/// The root first, each seat behind its parent. 0-1-3-6 are four tiers; 3 and 2 relay and write themselves; 10 has no seat between itself and
/// its province.
pub const SEATS: &[Seat] = &[
    Seat { unit: "VN", parent: 0, writes: &[] },
    Seat { unit: "40", parent: 0, writes: &[] },
    Seat { unit: "42", parent: 0, writes: &["18118"] },
    Seat { unit: "412", parent: 1, writes: &["16723"] },
    Seat { unit: "415", parent: 1, writes: &[] },
    Seat { unit: "436", parent: 2, writes: &[] },
    Seat { unit: "16717", parent: 3, writes: &["16717"] },
    Seat { unit: "16720", parent: 3, writes: &["16720"] },
    Seat { unit: "16738", parent: 4, writes: &["16738"] },
    Seat { unit: "18070", parent: 5, writes: &["18070"] },
    Seat { unit: "18115", parent: 2, writes: &["18115"] },
];

/// A unit's code.
pub fn code(unit: &str) -> UnitCode {
    unit.parse().expect("the codes of this file are codes")
}

/// The unit list.
pub fn units() -> UnitList {
    UnitList::from_rows(VERSION, None, UNITS.iter().copied()).expect("the units of this file are a tree")
}
