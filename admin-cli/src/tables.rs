//! Tables that several verbs print. It may not know the verbs.

use danso_proto::pb::admin::v1::{ChildState, LinkState, LogState, Receipt};

use crate::output::{Field, Sheet, column, detail, hex};

/// The word for programs of a link that is up.
pub const CONNECTED: &str = "connected";

/// The word for programs of a link's state.
pub fn link(state: LinkState) -> &'static str {
    match state {
        LinkState::Unspecified => "",
        LinkState::None => "none",
        LinkState::Connected => CONNECTED,
        LinkState::Connecting => "connecting",
        LinkState::Waiting => "waiting",
    }
}

/// A row for each child.
pub fn children(children: &[ChildState]) -> Sheet {
    let mut sheet = Sheet::new([
        column("unit", "Đơn vị", "Unit"),
        column("unit_name", "Tên", "Name"),
        column("node", "Nút", "Node"),
        column("connected", "Đang nối", "Connected"),
        column("heard_at", "Nghe lần cuối", "Last heard"),
    ]);
    for child in children {
        sheet.push([
            Field::from(&*child.unit),
            Field::from(&*child.unit_name),
            Field::from(&*child.node),
            Field::Flag(child.connected),
            Field::Time(child.heard_ms),
        ]);
    }
    sheet
}

/// A row for each log.
pub fn logs(logs: &[LogState]) -> Sheet {
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("unit", "Đơn vị", "Unit"),
        column("entries", "Số mục", "Entries"),
        column("committed_at", "Ghi lần cuối", "Last written"),
        detail("root"),
        column("reason", "Lý do dừng", "Stopped for"),
        column("detail", "Chi tiết", "Detail"),
    ]);
    for log in logs {
        sheet.push([
            Field::from(&*log.log),
            Field::from(&*log.unit),
            Field::Count(log.size),
            Field::Time(log.committed_at_ms),
            Field::Text(hex(&log.root)),
            Field::from(&*log.reason),
            Field::from(&*log.detail),
        ]);
    }
    sheet
}

/// A row for each receipt.
pub fn receipts(receipts: &[Receipt]) -> Sheet {
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("giver_tier", "Cấp", "Tier"),
        column("giver_unit", "Đơn vị", "Unit"),
        column("giver", "Nút xác nhận", "Receipted by"),
        column("receipted", "Đã xác nhận", "Receipted"),
        column("entries", "Số mục", "Entries"),
        column("receipted_at", "Lúc", "At"),
        detail("note"),
    ]);
    for receipt in receipts {
        sheet.push([
            Field::from(&*receipt.log),
            Field::Tier(receipt.giver_tier.clone()),
            Field::from(&*receipt.giver_unit),
            Field::from(&*receipt.giver),
            Field::Count(receipt.size),
            Field::Count(receipt.log_size),
            Field::Time(receipt.time_s.saturating_mul(1_000)),
            Field::from(&*receipt.note),
        ]);
    }
    sheet
}
