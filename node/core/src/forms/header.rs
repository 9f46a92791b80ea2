//! The columns of the forms and the words that name them. This room may not know what stands in a column.

use danso_proto::refusal::Reason;

use super::words::fold;
use super::{FileProblem, Form};

macro_rules! columns {
    ($($name:ident = $word:literal, $households:ident, $changes:ident, [$($also:literal),*];)*) => {
        /// A column of a form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the columns are described in import-format.md")]
        pub enum Column { $($name,)* }

        impl Column {
            const ALL: &'static [Column] = &[$(Column::$name,)*];

            /// The English name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Further names, all Vietnamese.
            fn also(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($also),*],)* }
            }

            /// Whether the form has the column, and needs it.
            fn need(self, form: Form) -> Need {
                match (self, form) {
                    $((Self::$name, Form::Households) => Need::$households, (Self::$name, Form::Changes) => Need::$changes,)*
                }
            }
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    No,
    May,
    Must,
}

columns! {
    SlipNo = "slip_no", No, Must, ["Số phiếu", "Phiếu số", "Số phiếu thu tin"];
    UnitCode = "unit_code", Must, Must, ["Mã xã", "Mã đơn vị hành chính", "Mã ĐVHC", "Mã đơn vị"];
    Hamlet = "hamlet", May, May, ["Thôn", "Bản", "Thôn/Bản", "Thôn/Ấp/Bản", "Tổ dân phố", "Thôn/Tổ dân phố", "Xóm", "Ấp"];
    HouseholdNo = "household_no", Must, Must, ["Hộ số", "Số hộ", "Số hộ gia đình", "Mã hộ"];
    ChangeType = "change_type", No, Must, ["Loại biến động", "Biến động", "Loại thay đổi"];
    EventDate = "event_date", No, Must, ["Ngày biến động", "Ngày xảy ra", "Ngày xảy ra biến động", "Ngày sự kiện"];
    Calendar = "calendar", No, May, ["Lịch", "Loại lịch", "Âm/Dương lịch", "Dương/Âm lịch"];
    ReportedOn = "reported_on", No, Must, ["Ngày báo cáo", "Ngày báo tin", "Ngày thu tin", "Ngày ghi nhận"];
    PersonRef = "person_ref", Must, Must, ["Mã người", "Mã nhân khẩu", "Mã số nhân khẩu", "Mã cá nhân"];
    FullName = "full_name", Must, May, ["Họ và tên", "Họ tên"];
    Sex = "sex", Must, May, ["Giới tính", "Giới", "Nam/Nữ"];
    BirthDate = "birth_date", Must, May, ["Ngày sinh", "Ngày tháng năm sinh"];
    RelationToHead = "relation_to_head", May, No, ["Quan hệ với chủ hộ", "Quan hệ chủ hộ"];
    NationalId = "national_id", May, May,
        ["Số định danh cá nhân", "Số định danh", "Số căn cước", "Số căn cước công dân", "Số CCCD", "CCCD", "Số CMND", "CMND/CCCD", "Số CMND/CCCD"];
    HealthInsuranceNo = "health_insurance_no", May, May,
        ["Số thẻ BHYT", "Mã thẻ BHYT", "Thẻ BHYT", "Số BHYT", "Số thẻ bảo hiểm y tế", "Mã đối tượng"];
    Ethnicity = "ethnicity", May, May, ["Dân tộc"];
    MaritalStatus = "marital_status", May, May, ["Tình trạng hôn nhân", "Hôn nhân"];
    Method = "method", May, May, ["Biện pháp tránh thai", "BPTT", "Biện pháp"];
    ResidentSince = "resident_since", May, No, ["Cư trú từ ngày", "Cư trú từ", "Thường trú từ ngày", "Ngày cư trú"];
    MotherRef = "mother_ref", No, May, ["Mã người mẹ", "Mã mẹ"];
    BirthOrder = "birth_order", No, May, ["Con thứ", "Là con thứ", "Lần sinh", "Sinh lần thứ"];
    BirthWeight = "birth_weight_g", No, May, ["Cân nặng khi sinh (g)", "Cân nặng khi sinh", "Cân nặng sơ sinh", "Cân nặng (g)", "Cân nặng"];
    BirthPlace = "birth_place", No, May, ["Nơi sinh", "Nơi đẻ"];
    SpouseRef = "spouse_ref", No, May, ["Mã vợ/chồng", "Mã vợ hoặc chồng"];
    SpouseName = "spouse_name", No, May, ["Họ tên vợ/chồng", "Họ và tên vợ/chồng", "Tên vợ/chồng"];
    OtherUnit = "other_unit_code", No, May, ["Mã xã nơi đi/đến", "Mã nơi đi/đến", "Nơi đi/đến", "Mã xã khác"];
    MethodSince = "method_since", No, May, ["Sử dụng từ ngày", "Dùng từ ngày", "Ngày bắt đầu sử dụng"];
    Cause = "cause", No, May, ["Nguyên nhân", "Nguyên nhân chết", "Nguyên nhân tử vong"];
    RefersTo = "refers_to", No, May, ["Sửa phiếu số", "Số phiếu được sửa", "Phiếu được sửa", "Đính chính phiếu số"];
    Note = "note", No, May, ["Ghi chú"];
}

impl Column {
    /// The English name in this form: the household book says `contraceptive_method` where a slip says `method`.
    fn name_in(self, form: Form) -> &'static str {
        match (self, form) {
            (Self::Method, Form::Households) => "contraceptive_method",
            _ => self.as_str(),
        }
    }

    fn from_folded(form: Form, folded: &str) -> Option<Self> {
        Self::ALL.iter().copied().filter(|column| column.need(form) != Need::No).find(|column| {
            fold(column.name_in(form)) == folded
                || fold(column.as_str()) == folded
                || (*column == Self::Method && folded == "contraceptivemethod")
                || column.also().iter().any(|word| fold(word) == folded)
        })
    }
}

/// The columns of a form for a help text: English name, whether it must be there, and the Vietnamese names. Upper and lower case,
/// diacritics, spaces and punctuation do not matter.
///
/// | column | Vietnamese names |
/// |---|---|
/// | `slip_no` | Số phiếu, Phiếu số, Số phiếu thu tin |
/// | `unit_code` | Mã xã, Mã đơn vị hành chính, Mã ĐVHC, Mã đơn vị |
/// | `hamlet` | Thôn, Bản, Thôn/Bản, Thôn/Ấp/Bản, Tổ dân phố, Thôn/Tổ dân phố, Xóm, Ấp |
/// | `household_no` | Hộ số, Số hộ, Số hộ gia đình, Mã hộ |
/// | `change_type` | Loại biến động, Biến động, Loại thay đổi |
/// | `event_date` | Ngày biến động, Ngày xảy ra, Ngày xảy ra biến động, Ngày sự kiện |
/// | `calendar` | Lịch, Loại lịch, Âm/Dương lịch, Dương/Âm lịch |
/// | `reported_on` | Ngày báo cáo, Ngày báo tin, Ngày thu tin, Ngày ghi nhận |
/// | `person_ref` | Mã người, Mã nhân khẩu, Mã số nhân khẩu, Mã cá nhân |
/// | `full_name`, `sex`, `birth_date` | Họ và tên, Họ tên; Giới tính, Giới, Nam/Nữ; Ngày sinh, Ngày tháng năm sinh |
/// | `relation_to_head` | Quan hệ với chủ hộ, Quan hệ chủ hộ |
/// | `national_id` | Số định danh cá nhân, Số định danh, Số căn cước (công dân), (Số) CCCD, Số CMND, (Số) CMND/CCCD |
/// | `health_insurance_no` | Số thẻ BHYT, Mã thẻ BHYT, Thẻ BHYT, Số BHYT, Số thẻ bảo hiểm y tế, Mã đối tượng |
/// | `ethnicity`, `marital_status` | Dân tộc; Tình trạng hôn nhân, Hôn nhân |
/// | `contraceptive_method`, `method` | Biện pháp tránh thai, BPTT, Biện pháp |
/// | `resident_since` | Cư trú từ ngày, Cư trú từ, Thường trú từ ngày, Ngày cư trú |
/// | `mother_ref`, `spouse_ref` | Mã người mẹ, Mã mẹ; Mã vợ/chồng, Mã vợ hoặc chồng |
/// | `birth_order` | Con thứ, Là con thứ, Lần sinh, Sinh lần thứ |
/// | `birth_weight_g` | Cân nặng khi sinh (g), Cân nặng sơ sinh, Cân nặng (g) |
/// | `birth_place` | Nơi sinh, Nơi đẻ |
/// | `spouse_name` | Họ tên vợ/chồng, Họ và tên vợ/chồng, Tên vợ/chồng |
/// | `other_unit_code` | Mã xã nơi đi/đến, Mã nơi đi/đến, Nơi đi/đến, Mã xã khác |
/// | `method_since` | Sử dụng từ ngày, Dùng từ ngày, Ngày bắt đầu sử dụng |
/// | `cause` | Nguyên nhân, Nguyên nhân chết, Nguyên nhân tử vong |
/// | `refers_to` | Sửa phiếu số, Số phiếu được sửa, Phiếu được sửa, Đính chính phiếu số |
/// | `note` | Ghi chú |
pub fn header_words(form: Form) -> impl Iterator<Item = (&'static str, bool, &'static [&'static str])> {
    let columns = Column::ALL.iter().copied().filter(move |column| column.need(form) != Need::No);
    columns.map(move |column| (column.name_in(form), column.need(form) == Need::Must, column.also()))
}

/// Stands where the file has no such column.
const ABSENT: u16 = u16::MAX;
/// Columns of a file: a wide margin over the forms, for files with columns of their own.
const COLUMNS_MAX: usize = 512;

/// The header of a file: which column of the form stands where.
#[derive(Debug, Clone)]
pub struct Header {
    form: Form,
    titles: Vec<String>,
    at: [u16; Column::ALL.len()],
    ignored: Vec<String>,
}

impl Header {
    /// Reads a header row. Columns that the form does not know are ignored, and listed.
    ///
    /// # Errors
    /// `column_missing` names all required columns that are not there, `column_twice` the two that mean the same.
    pub fn parse(form: Form, fields: &[String]) -> Result<Self, FileProblem> {
        if fields.len() > COLUMNS_MAX {
            return Err(FileProblem::new(Reason::FileFormat, Some(1), format!("{} columns", fields.len())));
        }
        let mut header = Self {
            form,
            titles: fields.iter().map(|title| title.trim().chars().take(60).collect()).collect(),
            at: [ABSENT; Column::ALL.len()],
            ignored: Vec::new(),
        };
        for (i, title) in (0u16..).zip(&header.titles) {
            match Column::from_folded(form, &fold(title)) {
                None if title.is_empty() => {}
                None => header.ignored.push(title.clone()),
                Some(column) => {
                    let place = &mut header.at[column as usize];
                    if *place != ABSENT {
                        let first = &header.titles[usize::from(*place)];
                        return Err(FileProblem::new(Reason::ColumnTwice, Some(1), format!("{first}, {title}")));
                    }
                    *place = i;
                }
            }
        }
        let missing = Column::ALL.iter().filter(|c| c.need(form) == Need::Must && header.at[**c as usize] == ABSENT);
        let missing: Vec<&str> = missing.map(|column| column.name_in(form)).collect();
        match missing.is_empty() {
            true => Ok(header),
            false => Err(FileProblem::new(Reason::ColumnMissing, Some(1), missing.join(", "))),
        }
    }

    /// The form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// All columns as the file names them.
    pub fn titles(&self) -> &[String] {
        &self.titles
    }

    /// The columns that the form does not know.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// How the file names a column; its English name where the file does not have it.
    pub fn title(&self, column: Column) -> &str {
        self.titles.get(usize::from(self.at[column as usize])).map_or(column.name_in(self.form), String::as_str)
    }

    /// Where the column stands, if the file has it.
    pub(super) fn place(&self, column: Column) -> Option<u16> {
        Some(self.at[column as usize]).filter(|place| *place != ABSENT)
    }

    /// The field of a row in this column, empty where there is none.
    pub(super) fn get<'a>(&self, fields: &'a [String], column: Column) -> &'a str {
        fields.get(usize::from(self.at[column as usize])).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn every_name_means_one_column_of_its_form() {
        for form in [Form::Households, Form::Changes] {
            let mut seen = std::collections::HashSet::new();
            for (name, _, also) in header_words(form) {
                for word in std::iter::once(&name).chain(also) {
                    assert!(seen.insert(fold(word)), "{word} twice in {form:?}");
                    assert_eq!(Column::from_folded(form, &fold(word)).map(|c| c.name_in(form)), Some(name), "{word}");
                }
            }
        }
    }

    #[test]
    fn headers_are_read_in_both_languages_with_and_without_diacritics() {
        let english = titles("full_name,unit_code,household_no,person_ref,sex,birth_date,colour,contraceptive_method");
        let header = Header::parse(Form::Households, &english).expect("header");
        assert_eq!(header.ignored(), ["colour"]);
        assert_eq!(header.get(&titles("An,17065,001,001.1,F,1986,red,iud"), Column::Method), "iud");
        assert_eq!(header.title(Column::Hamlet), "hamlet");
        let viet = titles("HỌ VÀ TÊN,ma xa,Hộ số,Mã  người,gioi tinh,Ngày, tháng");
        let problem = Header::parse(Form::Households, &viet).expect_err("no birth date");
        assert_eq!((problem.reason, problem.detail.as_str()), (Reason::ColumnMissing, "birth_date"));
        let viet = titles("HỌ VÀ TÊN,ma xa,Hộ số,Mã  người,gioi tinh,Ngày-tháng-năm sinh");
        let header = Header::parse(Form::Households, &viet).expect("header");
        assert_eq!(header.title(Column::UnitCode), "ma xa");
    }

    #[test]
    fn two_columns_with_the_same_meaning_are_refused() {
        let twice = titles("unit_code,household_no,person_ref,full_name,sex,birth_date,Mã xã");
        let problem = Header::parse(Form::Households, &twice).expect_err("twice");
        assert_eq!((problem.reason, problem.detail.as_str()), (Reason::ColumnTwice, "unit_code, Mã xã"));
    }
}
