//! Data for people and for programs: one sheet of rows, printed as a table, as JSON or as CSV. It may not know what the rows are about.
//!
//! A table is for eyes: headings in the reader's language, numbers right-aligned with their thousands grouped, times in Viet Nam's
//! time. JSON and CSV are for programs: English keys, bare numbers, RFC 3339 times.

use std::io::Write;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use danso_core::tier::{Tier, TierPolicy};
use serde_json::{Map, Value, json};

use crate::lang::Lang;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: an array with an object for each row, unless the command says otherwise.
    Json,
    /// For programs and spreadsheets: a header and a line for each row.
    Csv,
}

/// A column of a sheet.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name in JSON and CSV.
    pub key: &'static str,
    /// The heading in Vietnamese.
    pub vi: &'static str,
    /// The heading in English.
    pub en: &'static str,
    /// In tables only where there is room to spare: long hashes, internal ids.
    pub detail: bool,
}

/// A column with its key and headings.
pub const fn column(key: &'static str, vi: &'static str, en: &'static str) -> Column {
    Column { key, vi, en, detail: false }
}

/// A column for programs: not in tables.
pub const fn detail(key: &'static str) -> Column {
    Column { key, vi: key, en: key, detail: true }
}

/// A value in a sheet.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// Text.
    Text(String),
    /// A count: right-aligned, grouped.
    Count(u64),
    /// A figure, which may be negative.
    Figure(i64),
    /// A number that names something (a sequence, a line): right-aligned, not grouped.
    Number(u64),
    /// Unix milliseconds; 0 is never.
    Time(i64),
    /// Yes or no.
    Flag(bool),
    /// yyyymm; 0 is none.
    Month(u32),
    /// The name of a tier; people read it in their language.
    Tier(String),
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Field {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl Field {
    fn for_people(&self, lang: Lang) -> String {
        match self {
            Self::Text(text) => harmless(text),
            Self::Count(count) => grouped(&count.to_string(), lang),
            Self::Figure(figure) => grouped(&figure.to_string(), lang),
            Self::Number(number) => number.to_string(),
            Self::Time(ms) => local_time(*ms).unwrap_or_else(|| lang.of("chưa", "never").into()),
            Self::Flag(true) => lang.of("có", "yes").into(),
            Self::Flag(false) => lang.of("không", "no").into(),
            Self::Month(month) => month_text(*month),
            Self::Tier(name) => match (Tier::parse(name), lang) {
                (Some(tier), Lang::Vi) => TierPolicy::of(tier).vietnamese_name().into(),
                _ => harmless(name),
            },
        }
    }

    /// The text in CSV.
    pub fn for_csv(&self) -> String {
        match self {
            Self::Text(text) | Self::Tier(text) => text.clone(),
            Self::Count(number) | Self::Number(number) => number.to_string(),
            Self::Figure(figure) => figure.to_string(),
            Self::Time(ms) => rfc3339(*ms).unwrap_or_default(),
            Self::Flag(flag) => flag.to_string(),
            Self::Month(month) => month_text(*month),
        }
    }

    fn for_json(&self) -> Value {
        match self {
            Self::Text(text) | Self::Tier(text) => json!(text),
            Self::Count(number) | Self::Number(number) => json!(number),
            Self::Figure(figure) => json!(figure),
            Self::Time(ms) => rfc3339(*ms).map_or(Value::Null, Value::String),
            Self::Flag(flag) => json!(flag),
            Self::Month(month) => json!(month_text(*month)),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Figure(_) | Self::Number(_))
    }
}

/// How a table meets its reader.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Language of the headings.
    pub lang: Lang,
    /// Columns of the terminal: long texts are wrapped; `None`: nobody is looking, nothing is wrapped.
    pub width: Option<u16>,
    /// Headings may be bold.
    pub styled: bool,
}

/// Rows under columns.
#[derive(Debug)]
pub struct Sheet {
    columns: Vec<Column>,
    rows: Vec<Vec<Field>>,
}

impl Sheet {
    /// A sheet without rows.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row: a field for each column.
    pub fn push(&mut self, row: impl Into<Vec<Field>>) {
        let row = row.into();
        debug_assert_eq!(row.len(), self.columns.len(), "a field for each column");
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as JSON objects.
    pub fn to_json(&self) -> Value {
        let object = |row: &Vec<Field>| {
            let pairs = self.columns.iter().zip(row);
            Value::Object(pairs.map(|(c, f)| (c.key.to_owned(), f.for_json())).collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    /// The rows as a table, with a line feed at its end.
    pub fn to_table(&self, look: Look) -> String {
        const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
        // A column in which nothing stands takes room and tells nothing.
        let blank = |i: usize| self.rows.iter().all(|row| row[i] == Field::Text(String::new()));
        let shown: Vec<usize> = (0..self.columns.len()).filter(|&i| !self.columns[i].detail && !blank(i)).collect();
        let mut table = Table::new();
        table.load_style(STYLE);
        match look.width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if look.styled {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        let bold = |text: &str| {
            let cell = comfy_table::Cell::new(text);
            if look.styled { cell.add_attribute(comfy_table::Attribute::Bold) } else { cell }
        };
        table.set_header(shown.iter().map(|&i| {
            let column = &self.columns[i];
            let numbers = !self.rows.is_empty() && self.rows.iter().all(|row| row[i].is_number());
            let cell = bold(look.lang.of(column.vi, column.en));
            if numbers { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
        for row in &self.rows {
            table.add_row(shown.iter().map(|&i| {
                let cell = comfy_table::Cell::new(row[i].for_people(look.lang));
                if row[i].is_number() { cell.set_alignment(CellAlignment::Right) } else { cell }
            }));
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }

    /// The rows as a table with a line for each column that has something in it: one row of many columns reads better so.
    pub fn to_upright_table(&self, look: Look) -> String {
        let mut upright = Self::new([column("key", "Mục", "What"), column("value", "Giá trị", "Value")]);
        for row in &self.rows {
            for (column, field) in self.columns.iter().zip(row) {
                let text = field.for_people(look.lang);
                if !column.detail && !text.is_empty() {
                    upright.push([Field::from(look.lang.of(column.vi, column.en)), Field::Text(text)]);
                }
            }
        }
        upright.to_table(look)
    }

    /// Writes the rows as CSV.
    pub fn write_csv(&self, out: impl Write) -> csv::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.columns.iter().map(|column| column.key))?;
        for row in &self.rows {
            csv.write_record(row.iter().map(Field::for_csv))?;
        }
        csv.flush()?;
        Ok(())
    }
}

/// `2021-03` for 202103; empty for 0.
pub fn month_text(month: u32) -> String {
    if month == 0 { String::new() } else { format!("{:04}-{:02}", month / 100, month % 100) }
}

/// `2021-03-05` for 20210305; empty for 0.
pub fn date_text(day: u32) -> String {
    if day == 0 { String::new() } else { format!("{}-{:02}", month_text(day / 100), day % 100) }
}

/// `part` of `whole` in percent, with one digit behind the point; empty where there is no whole.
pub fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return String::new();
    }
    let tenths = i128::from(part) * 1_000 / i128::from(whole);
    format!("{}.{}", tenths / 10, (tenths % 10).abs())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time in Viet Nam, for people; `None` for 0 (never) and for what is no time.
pub fn local_time(ms: i64) -> Option<String> {
    let t = in_viet_nam(ms)?;
    let (y, mo, d) = t.to_calendar_date();
    Some(format!("{y:04}-{:02}-{d:02} {:02}:{:02}:{:02}", u8::from(mo), t.hour(), t.minute(), t.second()))
}

/// The time as RFC 3339 at +07:00, to the millisecond; `None` as for [`local_time`].
pub fn rfc3339(ms: i64) -> Option<String> {
    let t = in_viet_nam(ms)?;
    let (y, mo, d) = t.to_calendar_date();
    let (h, mi, s, milli) = t.to_hms_milli();
    Some(format!("{y:04}-{:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{milli:03}+07:00", u8::from(mo)))
}

fn in_viet_nam(ms: i64) -> Option<time::OffsetDateTime> {
    if ms == 0 {
        return None;
    }
    let utc = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    utc.checked_to_offset(time::UtcOffset::from_hms(7, 0, 0).ok()?)
}

/// Text that came from elsewhere, without what would move a terminal's cursor.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn grouped(digits: &str, lang: Lang) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mark = lang.of(".", ",");
    let mut text = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push_str(mark);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Look = Look { lang: Lang::En, width: None, styled: false };

    fn sheet() -> Sheet {
        let mut sheet =
            Sheet::new([column("unit", "Đơn vị", "Unit"), column("persons", "Số người", "Persons"), detail("root")]);
        sheet.push([Field::from("17065"), Field::Count(12_345), Field::from("ab")]);
        sheet.push([Field::from("x\u{1b}[2J"), Field::Count(7), Field::from("cd")]);
        sheet
    }

    #[test]
    fn a_table_is_for_eyes() {
        let table = sheet().to_table(PLAIN);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["Unit", "Persons"]);
        assert!(lines[2].ends_with("12,345"), "{table}");
        assert!(lines[3].ends_with("     7"), "numbers stand right: {table}");
        assert!(!table.contains('\u{1b}') && !table.contains("ab"), "{table:?}");
        let vi = sheet().to_table(Look { lang: Lang::Vi, ..PLAIN });
        assert!(vi.contains("Số người") && vi.contains("12.345"), "{vi}");
    }

    #[test]
    fn styles_are_written_only_when_asked_for() {
        assert!(sheet().to_table(Look { styled: true, ..PLAIN }).contains("\u{1b}[1m"));
    }

    #[test]
    fn programs_get_everything_bare() {
        let json = sheet().to_json();
        assert_eq!(json[0], json!({"unit": "17065", "persons": 12_345, "root": "ab"}));
        let mut csv = Vec::new();
        sheet().write_csv(&mut csv).expect("writes");
        assert!(String::from_utf8(csv).expect("text").starts_with("unit,persons,root\n17065,12345,ab\n"));
    }

    #[test]
    fn times_are_those_of_viet_nam() {
        assert_eq!(local_time(1_609_459_200_000).as_deref(), Some("2021-01-01 07:00:00"));
        assert_eq!(rfc3339(1_609_459_200_005).as_deref(), Some("2021-01-01T07:00:00.005+07:00"));
        assert_eq!(Field::Time(0).for_people(Lang::En), "never");
        assert_eq!(Field::Time(0).for_json(), Value::Null);
    }

    proptest! {
        #[test]
        fn no_time_panics(ms: i64) {
            let _ = (local_time(ms), rfc3339(ms));
        }

        #[test]
        fn grouping_only_adds_marks(figure: i64) {
            let text = grouped(&figure.to_string(), Lang::En);
            prop_assert_eq!(text.replace(',', ""), figure.to_string());
            prop_assert!(text.trim_start_matches('-').split(',').skip(1).all(|group| group.len() == 3));
        }
    }
}
