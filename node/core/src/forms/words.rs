//! The words that stand in fields, in English and Vietnamese. This room may not know columns and rows.

use danso_proto::change::{BirthPlace, MaritalStatus, Method, Sex};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// A word without case, diacritics, spaces and punctuation, so that `Số phiếu`, `SO PHIEU` and `so_phieu` are the same.
pub(super) fn fold(word: &str) -> String {
    let letters = word.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    letters.map(|c| if c == 'đ' { 'd' } else { c }).filter(|c| c.is_alphanumeric()).collect()
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the variants are the words of import-format.md")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The English word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

words! {
    /// What a slip reports.
    SlipKind {
        Birth = "birth", Death = "death", Marriage = "marriage", Divorce = "divorce", MoveOut = "move_out",
        MoveIn = "move_in", Contraception = "contraception", Update = "update", Retract = "retract",
    }
    /// Relation to the head of the household.
    Relation {
        Head = "head", Spouse = "spouse", Child = "child", ChildInLaw = "child_in_law", Parent = "parent",
        Sibling = "sibling", Grandchild = "grandchild", Other = "other",
    }
    /// Calendar that a date was declared in.
    Calendar { Solar = "solar", Lunar = "lunar", }
}

/// A closed list of words.
pub(super) trait Word: Copy + 'static {
    /// The value that the English word names.
    fn english(word: &str) -> Option<Self>;
    /// All values with their further words.
    fn also() -> &'static [(Self, &'static [&'static str])];

    /// The value that a word names.
    fn read(word: &str) -> Option<Self> {
        if let Some(value) = Self::english(word) {
            return Some(value);
        }
        // Longer than every word of the lists, however it is written.
        if word.len() > 128 {
            return None;
        }
        let folded = fold(word);
        let named = |(value, words): &(Self, &[&str])| words.iter().any(|w| fold(w) == folded).then_some(*value);
        Self::also().iter().find_map(named).or_else(|| {
            // `Pill combined`, `MOVE-OUT`.
            Self::english(&word.to_ascii_lowercase().replace([' ', '-'], "_"))
        })
    }
}

macro_rules! also {
    ($type:ty, $english:expr, { $($value:expr => [$($word:literal),*],)* }) => {
        impl Word for $type {
            fn english(word: &str) -> Option<Self> {
                let english: fn(&str) -> Option<Self> = $english;
                english(word)
            }
            fn also() -> &'static [(Self, &'static [&'static str])] {
                &[$(($value, &[$($word),*]),)*]
            }
        }
    };
}

also!(Sex, |word| match word { "M" => Some(Sex::Male), "F" => Some(Sex::Female), _ => None }, {
    Sex::Male => ["m", "Nam", "Trai", "male"],
    Sex::Female => ["f", "Nữ", "Gái", "female"],
});
also!(SlipKind, SlipKind::from_word, {
    SlipKind::Birth => ["Sinh", "Sinh con", "Trẻ mới sinh", "Mới sinh"],
    SlipKind::Death => ["Chết", "Tử vong", "Mất"],
    SlipKind::Marriage => ["Kết hôn"],
    SlipKind::Divorce => ["Ly hôn", "Ly dị"],
    SlipKind::MoveOut => ["Chuyển đi"],
    SlipKind::MoveIn => ["Chuyển đến"],
    SlipKind::Contraception => ["Tránh thai", "Biện pháp tránh thai", "KHHGĐ", "Kế hoạch hóa gia đình"],
    SlipKind::Update => ["Cập nhật", "Đính chính", "Sửa", "Sửa đổi"],
    SlipKind::Retract => ["Hủy", "Hủy bỏ", "Hủy phiếu", "Thu hồi"],
});
also!(Calendar, Calendar::from_word, {
    Calendar::Solar => ["Dương", "Dương lịch"],
    Calendar::Lunar => ["Âm", "Âm lịch"],
});
also!(Relation, Relation::from_word, {
    Relation::Head => ["Chủ hộ"],
    Relation::Spouse => ["Vợ", "Chồng", "Vợ/chồng"],
    Relation::Child => ["Con", "Con đẻ", "Con trai", "Con gái", "Con nuôi"],
    Relation::ChildInLaw => ["Con dâu", "Con rể", "Con dâu/rể", "Dâu", "Rể"],
    Relation::Parent => ["Bố", "Mẹ", "Cha", "Bố/mẹ", "Cha/mẹ", "Bố đẻ", "Mẹ đẻ"],
    Relation::Sibling => ["Anh", "Chị", "Em", "Anh/chị/em", "Anh chị em ruột"],
    Relation::Grandchild => ["Cháu", "Cháu nội", "Cháu ngoại", "Cháu nội/ngoại"],
    Relation::Other => ["Khác", "Quan hệ khác"],
});
also!(MaritalStatus, MaritalStatus::from_word, {
    MaritalStatus::Single => ["Chưa kết hôn", "Độc thân", "Chưa vợ/chồng", "Chưa có vợ/chồng"],
    MaritalStatus::Married => ["Có vợ/chồng", "Đang có vợ/chồng", "Đã kết hôn", "Kết hôn", "Có vợ", "Có chồng"],
    MaritalStatus::Widowed => ["Góa", "Góa vợ/chồng", "Góa vợ", "Góa chồng"],
    MaritalStatus::Divorced => ["Ly hôn", "Đã ly hôn", "Ly dị"],
    MaritalStatus::Separated => ["Ly thân"],
});
also!(Method, Method::from_word, {
    Method::None => ["Không", "Không sử dụng", "Không dùng", "Thôi sử dụng", "Ngừng sử dụng"],
    Method::Iud => ["Vòng tránh thai", "Đặt vòng", "Vòng", "Dụng cụ tử cung", "DCTC"],
    Method::SterilisationMale => ["Triệt sản nam", "Đình sản nam", "Thắt ống dẫn tinh", "sterilization_male"],
    Method::SterilisationFemale => ["Triệt sản nữ", "Đình sản nữ", "Thắt ống dẫn trứng", "sterilization_female"],
    Method::Implant => ["Thuốc cấy tránh thai", "Thuốc cấy", "Que cấy", "Cấy tránh thai"],
    Method::Injectable => ["Thuốc tiêm tránh thai", "Thuốc tiêm", "Tiêm tránh thai"],
    Method::PillCombined => ["Viên uống tránh thai kết hợp", "Viên uống kết hợp", "Thuốc uống kết hợp", "Viên kết hợp"],
    Method::PillProgestin => ["Viên uống tránh thai chỉ có progestin", "Viên uống chỉ có progestin", "Viên chỉ có progestin", "Viên uống đơn thuần"],
    Method::PillEmergency => ["Viên uống tránh thai khẩn cấp", "Thuốc tránh thai khẩn cấp", "Viên tránh thai khẩn cấp"],
    Method::Condom => ["Bao cao su", "BCS"],
    Method::Calendar => ["Tính vòng kinh", "Tính ngày kinh", "Tính theo vòng kinh"],
    Method::Withdrawal => ["Xuất tinh ngoài", "Xuất tinh ngoài âm đạo"],
    Method::LactationalAmenorrhoea => ["Cho bú vô kinh", "Vô kinh do cho bú", "Vô kinh cho con bú"],
    Method::Spermicide => ["Thuốc diệt tinh trùng", "Diệt tinh trùng"],
    Method::Other => ["Khác", "Biện pháp khác"],
});
also!(BirthPlace, BirthPlace::from_word, {
    BirthPlace::Facility => ["Cơ sở y tế", "Trạm y tế", "Bệnh viện", "Phòng khám"],
    BirthPlace::Home => ["Tại nhà", "Ở nhà", "Nhà"],
    BirthPlace::Elsewhere => ["Nơi khác", "Khác"],
});

/// The words of a column that holds one of a closed list, for a help text: English word, Vietnamese words. `None` for other columns.
pub fn value_words(column: super::Column) -> Option<Vec<(&'static str, &'static [&'static str])>> {
    fn list<W: Word>(name: fn(W) -> &'static str) -> Option<Vec<(&'static str, &'static [&'static str])>> {
        Some(W::also().iter().map(|(value, words)| (name(*value), *words)).collect())
    }
    match column {
        super::Column::Sex => list(Sex::as_str),
        super::Column::ChangeType => list(SlipKind::as_str),
        super::Column::Calendar => list(Calendar::as_str),
        super::Column::RelationToHead => list(Relation::as_str),
        super::Column::MaritalStatus => list(MaritalStatus::as_str),
        super::Column::Method => list(Method::as_str),
        super::Column::BirthPlace => list(BirthPlace::as_str),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct<W: Word + std::fmt::Debug + PartialEq>(all: &[W], name: fn(W) -> &'static str) {
        assert_eq!(
            W::also().iter().map(|(value, _)| *value).collect::<Vec<_>>(),
            all,
            "a value without a Vietnamese word"
        );
        for (value, words) in W::also() {
            for word in words.iter().chain([&name(*value)]) {
                assert_eq!(W::read(word), Some(*value), "{word}");
                assert_eq!(W::read(&word.to_uppercase()), Some(*value), "{word}");
                assert_eq!(W::read(&fold(word)).or(Some(*value)), Some(*value), "{word}");
            }
        }
    }

    #[test]
    fn every_word_names_one_value() {
        distinct(&[Sex::Male, Sex::Female], Sex::as_str);
        distinct(SlipKind::ALL, SlipKind::as_str);
        distinct(Calendar::ALL, Calendar::as_str);
        distinct(Relation::ALL, Relation::as_str);
        distinct(MaritalStatus::ALL, MaritalStatus::as_str);
        distinct(Method::ALL, Method::as_str);
        distinct(BirthPlace::ALL, BirthPlace::as_str);
        assert_eq!(SlipKind::read("adoption?"), None);
    }

    #[test]
    fn folding_forgets_case_diacritics_and_punctuation() {
        assert_eq!(fold("Đình sản nữ"), "dinhsannu");
        assert_eq!(fold("Họ tên vợ/chồng "), "hotenvochong");
        assert_eq!(fold("Goá"), fold("Góa"));
    }
}
