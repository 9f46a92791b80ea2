//! `calendar to-lunar`, `calendar to-solar`: dates from one calendar into the other, with no node.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use danso_core::calendar::{CalendarError, LunarDate, PartialDate, is_settled, lunar_to_solar, solar_to_lunar};
use danso_proto::refusal::{Reason, Refusal};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Sheet, column};

/// The largest file that is converted.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Cells of a line that could not be converted that are said, at most.
const SAID_MAX: usize = 20;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Solar dates into lunar ones.
    Lunar,
    /// Lunar dates into solar ones.
    Solar,
}

/// What to convert.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Solar dates YYYY-MM-DD or DD/MM/YYYY; lunar ones DD/MM/YYYY, DD/MM+/YYYY in a leap month
    #[arg(value_name = "DATE", required_unless_present = "file", conflicts_with = "file")]
    dates: Vec<String>,
    /// A CSV file with a heading, - for standard input: of its columns solar_date is read, or lunar_year, lunar_month, lunar_day, leap_month
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Converts, and prints each date in both calendars. Those that do not exist are said, the others are printed all the same.
pub fn run(args: &Args, to: To, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut sheet = Sheet::new([
        column("solar_date", "Dương lịch", "Solar"),
        column("lunar_year", "Năm âm", "Lunar year"),
        column("lunar_month", "Tháng âm", "Lunar month"),
        column("lunar_day", "Ngày âm", "Lunar day"),
        column("leap_month", "Nhuận", "Leap month"),
    ]);
    let (mut wrong, mut unsettled) = (Vec::new(), 0u64);
    let mut take = |place: String, read: Result<Pair, CalendarError>| match read {
        Ok((solar, lunar)) => {
            unsettled += u64::from(!is_settled(solar));
            sheet.push([
                Field::Text(solar.to_string()),
                Field::Number(lunar.year().unsigned_abs().into()),
                Field::Number(lunar.month().into()),
                Field::Number(lunar.day().into()),
                Field::Number(lunar.leap().into()),
            ]);
        }
        Err(error) => wrong.push((place, error)),
    };
    match &args.file {
        None => args.dates.iter().for_each(|date| take(date.chars().take(40).collect(), of_text(date, to))),
        Some(path) => {
            let bytes = read(path)?;
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(&bytes[..]);
            let places = Places::of(reader.headers().map_err(|error| unreadable(&error))?, to)?;
            for row in reader.records() {
                let row = row.map_err(|error| unreadable(&error))?;
                let line = row.position().map_or(0, csv::Position::line);
                take(ctx.lang.of("dòng", "line").to_owned() + &format!(" {line}"), places.read(&row));
            }
        }
    }
    ctx.sheet(&sheet)?;
    if unsettled > 0 {
        ctx.note(match ctx.lang {
            Lang::Vi => format!(
                "{unsettled} ngày trước 29-01-1968 (tính theo UTC+8, như lịch in thời đó) hoặc sau năm 2053: lịch khác có thể lệch một ngày"
            ),
            Lang::En => format!(
                "{unsettled} of the days are before 1968-01-29 (counted at UTC+8, as almanacs did then) or after 2053: another calendar may be a day off"
            ),
        });
    }
    for (place, error) in wrong.iter().take(SAID_MAX) {
        ctx.note(format_args!("{place}: {error}"));
    }
    match wrong.len() {
        0 => Ok(Exit::Done),
        all => {
            let detail = match ctx.lang {
                Lang::Vi => format!("số ngày không chuyển được: {all}"),
                Lang::En => format!("dates that could not be converted: {all}"),
            };
            Err(Refusal::new(Reason::DateInvalid, detail).into())
        }
    }
}

/// A day in both calendars.
type Pair = (PartialDate, LunarDate);

fn of_text(text: &str, to: To) -> Result<Pair, CalendarError> {
    match to {
        To::Lunar => of_solar(text),
        To::Solar => of_lunar(text.parse()?),
    }
}

fn of_solar(text: &str) -> Result<Pair, CalendarError> {
    let solar: PartialDate = text.parse()?;
    Ok((solar, solar_to_lunar(solar)?))
}

fn of_lunar(lunar: LunarDate) -> Result<Pair, CalendarError> {
    Ok((lunar_to_solar(lunar)?, lunar))
}

/// Where the columns of a file stand.
enum Places {
    Solar(usize),
    /// Year, month, day; and leap month, where there is such a column.
    Lunar([usize; 3], Option<usize>),
}

impl Places {
    fn of(heading: &csv::StringRecord, to: To) -> Result<Self, Refusal> {
        let find = |name: &str| heading.iter().position(|column| column.trim_start_matches('\u{feff}') == name);
        let need = |name: &str| {
            find(name).ok_or_else(|| Refusal::new(Reason::ColumnMissing, format!("there is no column {name}")))
        };
        Ok(match to {
            To::Lunar => Self::Solar(need("solar_date")?),
            To::Solar => {
                let places = [need("lunar_year")?, need("lunar_month")?, need("lunar_day")?];
                Self::Lunar(places, find("leap_month"))
            }
        })
    }

    fn read(&self, row: &csv::StringRecord) -> Result<Pair, CalendarError> {
        let text = |place: usize| row.get(place).unwrap_or_default();
        match self {
            Self::Solar(place) => of_solar(text(*place)),
            Self::Lunar([year, month, day], leap) => {
                let leap = match leap.map(text) {
                    None | Some("" | "0") => "",
                    Some("1") => "+",
                    Some(_) => return Err(CalendarError::LunarUnreadable),
                };
                of_lunar(format!("{}/{}{leap}/{}", text(*day), text(*month), text(*year)).parse()?)
            }
        }
    }
}

/// All of a file: what is too large is refused, and never cut.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
    let mut from: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(unreadable)?),
    };
    let mut bytes = Vec::new();
    from.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(Refusal::new(Reason::TooLarge, format!("more than {FILE_BYTES_MAX} bytes")).into()),
        false => Ok(bytes),
    }
}

fn unreadable(error: &csv::Error) -> Refusal {
    Refusal::new(Reason::Malformed, format!("no CSV: {error}"))
}
