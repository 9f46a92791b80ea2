//! `status`: the node at a glance.

use danso_core::messages;
use danso_proto::pb::admin::v1::{DiskLevel, GetStatusRequest, GetStatusResponse};
use danso_proto::refusal::Reason;
use serde_json::json;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Column, Field, Format, Sheet, column};
use crate::{findings, say, tables};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the node's state, its logs and its children. CSV has the state only: `log list` and `child list` have the rest.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let status = connect::within(ctx, PROMPT, node.get_status(GetStatusRequest {})).await?;
    let facts = facts(&status, ctx.lang, ctx.format == Format::Table);
    match ctx.format {
        Format::Table => {
            let facts = facts.into_iter().map(|(column, value)| (column, translated(&value, ctx.lang))).collect();
            ctx.print(one(facts).to_upright_table(ctx.look()))?;
            for sheet in [tables::logs(&status.logs), tables::children(&status.children)] {
                if !sheet.is_empty() {
                    ctx.print("\n")?;
                    ctx.sheet(&sheet)?;
                }
            }
        }
        Format::Json => {
            let mut value = one(facts).to_json()[0].take();
            value["logs"] = tables::logs(&status.logs).to_json();
            value["children"] = tables::children(&status.children).to_json();
            ctx.json(&json!(value))?;
        }
        Format::Csv => ctx.sheet(&one(facts))?,
    }
    Ok(Exit::Done)
}

fn one(facts: Vec<(Column, Field)>) -> Sheet {
    let (columns, row): (Vec<_>, Vec<_>) = facts.into_iter().unzip();
    let mut sheet = Sheet::new(columns);
    sheet.push(row);
    sheet
}

/// What to do about the reason for which the node does not do all that it should.
fn next_step(code: &str, lang: Lang) -> &'static str {
    Reason::from_code(code).map_or("", |reason| messages::next_step(reason, lang.into()))
}

/// Findings in a state, by how bad they are: `2 error, 1 warning`.
fn tally(status: &GetStatusResponse, state: &str, lang: Lang, people: bool) -> String {
    let of_state = status.finding_counts.iter().filter(|of| of.state == state);
    let word = |word| if people { findings::severity_for_people(word, lang) } else { word };
    let each = of_state.map(|of| format!("{} {}", of.count, word(&of.severity)));
    each.collect::<Vec<_>>().join(", ")
}

fn facts(status: &GetStatusResponse, lang: Lang, people: bool) -> Vec<(Column, Field)> {
    let text = |text: &str| Field::from(text);
    // Not "never" where there is none.
    let ends = if status.certificate_ends_ms == 0 { text("") } else { Field::Time(status.certificate_ends_ms) };
    vec![
        (column("node", "Nút", "Node"), text(&status.node)),
        (column("unit", "Mã đơn vị", "Unit"), text(&status.unit)),
        (column("unit_name", "Tên đơn vị", "Unit name"), text(&status.unit_name)),
        (column("tier", "Cấp", "Tier"), Field::Tier(status.tier.clone())),
        (column("software", "Phần mềm", "Software"), text(&status.software)),
        (column("anchor", "Gốc tin cậy", "Trust anchor"), text(&status.anchor)),
        (column("listen", "Địa chỉ nghe", "Listens on"), text(&status.listen)),
        (column("units_version", "Danh mục đơn vị", "Unit list"), text(&status.units_version)),
        (column("parent_node", "Nút cấp trên", "Parent"), text(&status.parent_node)),
        (column("parent_address", "Địa chỉ cấp trên", "Parent's address"), text(&status.parent_address)),
        (column("link", "Liên kết", "Link"), text(tables::link(status.link()))),
        (column("link_reason", "Lỗi liên kết", "Link error"), text(&status.link_reason)),
        (column("link_detail", "Chi tiết lỗi", "Link error detail"), text(&status.link_detail)),
        (column("link_heard_at", "Nghe cấp trên lần cuối", "Parent last heard"), Field::Time(status.link_heard_ms)),
        (column("clock_skew_ms", "Lệch giờ (ms)", "Clock skew (ms)"), Field::Figure(status.clock_skew_ms)),
        (column("link_sessions", "Số phiên liên kết", "Link sessions"), Field::Count(status.link_sessions)),
        (column("certificate_ends_at", "Chứng thư hết hạn", "Certificate ends"), ends),
        (column("renewed_at", "Gia hạn chứng thư lần cuối", "Certificate renewal"), Field::Time(status.renewed_at_ms)),
        (column("renewal_reason", "Lỗi gia hạn", "Renewal error"), text(&status.renewal_reason)),
        (column("renewal_detail", "Chi tiết lỗi gia hạn", "Renewal error detail"), text(&status.renewal_detail)),
        (column("persons", "Số người", "Persons"), Field::Count(status.persons)),
        (column("changes", "Số biến động", "Changes"), Field::Count(status.changes)),
        (column("own_entries", "Mục của nút này", "Own entries"), Field::Count(status.own_entries)),
        (
            column("own_entries_receipted", "Mục cấp trên đã xác nhận", "Own entries receipted by the parent"),
            Field::Count(status.own_entries_receipted),
        ),
        (column("waiting", "Phiếu đang chờ", "Slips waiting"), Field::Count(status.waiting)),
        (column("findings", "Phát hiện còn mở", "Findings open"), Field::Count(status.findings)),
        (column("findings_open", "Còn mở theo mức độ", "Open by severity"), text(&tally(status, "open", lang, people))),
        (
            column("findings_answered", "Đã trả lời, chờ cấp trên", "Answered, not closed above"),
            text(&tally(status, "answered", lang, people)),
        ),
        (column("disk", "Ổ đĩa", "Disk"), text(disk(status.disk_level()))),
        (column("disk_free_mib", "Chỗ trống (MiB)", "Free (MiB)"), Field::Count(status.disk_free_bytes >> 20)),
        (
            column("disk_floor_mib", "Mức tối thiểu (MiB)", "Least free (MiB)"),
            Field::Count(status.disk_floor_bytes >> 20),
        ),
        (column("reason", "Mã lỗi", "Trouble"), text(&status.reason)),
        (column("detail", "Chi tiết", "Detail"), text(&status.detail)),
        (column("next_step", "Việc cần làm", "Next step"), text(next_step(&status.reason, lang))),
        (column("notes", "Lưu ý", "Notes"), Field::Text(notes(status, lang))),
    ]
}

/// What to know though nothing is wrong.
fn notes(status: &GetStatusResponse, lang: Lang) -> String {
    let said = status.notes.iter().map(|note| say::refusal(lang, &note.reason, &note.detail));
    said.collect::<Vec<_>>().join("; ")
}

/// The word for programs.
fn disk(level: DiskLevel) -> &'static str {
    match level {
        DiskLevel::Unspecified => "",
        DiskLevel::Room => "room",
        DiskLevel::Low => "low",
        DiskLevel::Full => "full",
    }
}

fn translated(value: &Field, lang: Lang) -> Field {
    let Field::Text(word) = value else { return value.clone() };
    Field::from(match (lang, &**word) {
        (Lang::Vi, "none") => "không có cấp trên",
        (Lang::Vi, "connected") => "đang nối",
        (Lang::Vi, "connecting") => "đang kết nối",
        (Lang::Vi, "waiting") => "chờ kết nối lại",
        (Lang::Vi, "room") => "còn chỗ",
        (Lang::Vi, "low") => "sắp đầy",
        (Lang::Vi, "full") => "đã đầy",
        (_, word) => word,
    })
}
