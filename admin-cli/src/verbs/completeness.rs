//! `completeness`: which units have declared a month complete, and how many people that stands for.

use danso_core::period::State;
use danso_proto::pb::query::v1::{CompletenessHeader, ShowCompletenessRequest, UnitMonth};

use crate::args;
use crate::connect::{self, SILENCE_MAX};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, date_text, detail, local_time, month_text, share};
use crate::standing::Standing;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The month
    #[arg(long, value_name = "YYYY-MM", value_parser = args::month)]
    month: u32,
    /// Code of the unit [default: the node's own]
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    unit: String,
    /// A row for each unit that is expected to report
    #[arg(long)]
    by_unit: bool,
}

/// Prints a row for the month, or one for each unit.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let standing = Standing::ask(ctx, &mut connect::admin(ctx).await?).await;
    let mut node = connect::query(ctx).await?;
    let request = ShowCompletenessRequest { month: args.month, unit: args.unit.clone() };
    let stream = connect::within(ctx, SILENCE_MAX, node.show_completeness(request)).await?;
    let (mut header, mut units) = (CompletenessHeader::default(), Vec::new());
    for message in connect::collect(ctx, stream).await? {
        header = message.header.unwrap_or(header);
        units.extend(message.units);
    }
    let sum = Summary::of(&units);
    let sheet = if args.by_unit { by_unit(&units, sum.residents, ctx) } else { summary(&header, &sum) };
    ctx.sheet(&sheet)?;
    if ctx.format == Format::Table {
        let text = footer(&header, &sum, args.by_unit, ctx.lang);
        ctx.print(text)?;
    }
    standing.note(ctx);
    Ok(Exit::Done)
}

/// Numbers of units by state, and of the people in them.
#[derive(Debug, Default)]
struct Summary {
    /// In the order of [`State::ALL`].
    states: [u64; 5],
    residents: i64,
    residents_received: i64,
}

impl Summary {
    fn of(units: &[UnitMonth]) -> Self {
        let mut sum = Self::default();
        for unit in units {
            let state = State::from_word(&unit.state);
            if let Some(at) = State::ALL.iter().position(|known| Some(*known) == state) {
                sum.states[at] += 1;
            }
            sum.residents = sum.residents.saturating_add(unit.residents);
            if matches!(state, Some(State::OnTime | State::Late)) {
                sum.residents_received = sum.residents_received.saturating_add(unit.residents);
            }
        }
        sum
    }

    fn expected(&self) -> u64 {
        self.states.iter().sum()
    }

    fn received(&self) -> u64 {
        self.states[0] + self.states[1]
    }
}

fn summary(header: &CompletenessHeader, sum: &Summary) -> Sheet {
    let mut sheet = Sheet::new([
        column("unit", "Đơn vị", "Unit"),
        column("month", "Tháng", "Month"),
        detail("units_version"),
        column("units", "Số xã", "Communes"),
        column("expected", "Phải báo cáo", "Expected"),
        column("received", "Đã nhận", "Received"),
        column("on_time", "Đúng hạn", "On time"),
        column("late", "Muộn", "Late"),
        column("open", "Còn hạn", "Open"),
        column("missing", "Thiếu", "Missing"),
        column("silent", "Mất liên lạc", "Silent"),
        column("residents", "Nhân khẩu", "Residents"),
        column("residents_received", "Nhân khẩu đã nhận", "Of those received"),
        column("share", "Tỷ lệ %", "Share %"),
    ]);
    let mut row = vec![
        Field::from(&*header.unit),
        Field::Month(header.month),
        Field::from(&*header.units_version),
        Field::Count(header.units_all),
        Field::Count(sum.expected()),
        Field::Count(sum.received()),
    ];
    row.extend(sum.states.map(Field::Count));
    row.extend([
        Field::Figure(sum.residents),
        Field::Figure(sum.residents_received),
        Field::Text(share(sum.residents_received, sum.residents)),
    ]);
    sheet.push(row);
    sheet
}

fn by_unit(units: &[UnitMonth], residents: i64, ctx: &Context) -> Sheet {
    let mut sheet = Sheet::new([
        column("unit", "Đơn vị", "Unit"),
        column("name", "Tên", "Name"),
        column("state", "Tình trạng", "State"),
        column("deadline", "Hạn", "Deadline"),
        column("closed_at", "Chốt lúc", "Closed"),
        column("arrived_at", "Đến đây lúc", "Arrived here"),
        column("heard_at", "Tin cuối lúc", "Last heard"),
        column("residents", "Nhân khẩu", "Residents"),
        column("share", "Tỷ lệ %", "Share %"),
        detail("log"),
        detail("sequence"),
    ]);
    for unit in units {
        sheet.push([
            Field::from(&*unit.unit),
            Field::from(&*unit.name),
            state(&unit.state, ctx),
            Field::Text(date_text(unit.deadline)),
            Field::Time(unit.closed_at_ms),
            Field::Time(unit.arrived_at_ms),
            Field::Time(unit.heard_at_ms),
            Field::Figure(unit.residents),
            Field::Text(share(unit.residents, residents)),
            Field::from(&*unit.log),
            Field::Number(unit.sequence),
        ]);
    }
    sheet
}

/// The word: for programs always the same.
fn state(word: &str, ctx: &Context) -> Field {
    if ctx.format != Format::Table {
        return Field::from(word);
    }
    Field::from(match State::from_word(word) {
        Some(State::OnTime) => ctx.lang.of("đúng hạn", "on time"),
        Some(State::Late) => ctx.lang.of("muộn", "late"),
        Some(State::Open) => ctx.lang.of("còn hạn", "open"),
        Some(State::Missing) => ctx.lang.of("thiếu", "missing"),
        Some(State::Silent) => ctx.lang.of("mất liên lạc", "silent"),
        None => word,
    })
}

/// What the words mean, and what to do.
fn footer(header: &CompletenessHeader, sum: &Summary, by_unit: bool, lang: Lang) -> String {
    let at = local_time(header.answered_at_ms).unwrap_or_default();
    let (month, days) = (month_text(header.month), header.silent_after_ms / 86_400_000);
    let (received, expected, all) = (sum.received(), sum.expected(), header.units_all);
    let of = share(sum.residents_received, sum.residents);
    let left = sum.states[3] + sum.states[4];
    match lang {
        Lang::Vi => {
            let of = if of.is_empty() { String::new() } else { format!(", tức {of} % nhân khẩu") };
            let next = match (left, by_unit) {
                (0, _) => String::new(),
                (_, false) => "\nXem từng xã: thêm --by-unit. Xã chốt tháng bằng: danso-admin period close".into(),
                (_, true) => "\nXã thiếu: nhắc xã chốt tháng (danso-admin period close). Xã mất liên lạc: kiểm tra đường truyền (danso-admin child list).".into(),
            };
            format!(
                "\nTháng {month}: đã nhận {received} trên {expected} xã phải báo cáo{of}; danh mục có {all} xã ({}).\nĐúng hạn hay muộn xét theo giờ ghi của xã; mất liên lạc: không có tin quá {days} ngày.\nNút {} trả lời lúc {at}.{next}\n",
                header.units_version, header.node
            )
        }
        Lang::En => {
            let of = if of.is_empty() { String::new() } else { format!(", {of} % of the residents") };
            let next = match (left, by_unit) {
                (0, _) => String::new(),
                (_, false) => "\nUnit by unit: add --by-unit. A commune closes its month with: danso-admin period close".into(),
                (_, true) => "\nMissing: ask the commune to close its month (danso-admin period close). Silent: look at its link (danso-admin child list).".into(),
            };
            format!(
                "\n{month}: {received} of {expected} communes that are expected were received{of}; the list has {all} ({}).\nOn time or late goes by the commune's own clock; silent: no word for more than {days} days.\nAnswered by {} at {at}.{next}\n",
                header.units_version, header.node
            )
        }
    }
}
