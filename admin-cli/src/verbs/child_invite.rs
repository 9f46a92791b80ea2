//! `child invite`: a one-time token for a node below this one.

use std::time::Duration;

use danso_proto::limits;
use danso_proto::pb::admin::v1::CreateInviteRequest;
use serde_json::json;

use crate::args;
use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, harmless, local_time, rfc3339};

/// What to invite.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Code of the unit that the new node will serve
    #[arg(long, value_name = "CODE", required_unless_present = "node")]
    unit: Option<String>,
    /// A node that gets its place back, because its disk or its keys are lost or because it moves below this one; see: child list
    #[arg(long, value_name = "NODE", conflicts_with_all = ["unit", "again"])]
    node: Option<String>,
    /// How long the token can be used; at most 30d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = args::duration)]
    expires: Duration,
    /// Address of this node as the new node shall dial it [default: the configured one]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Invite although the unit has a node or records already: the new node must not import the same people again
    #[arg(long)]
    again: bool,
}

/// Makes the invite.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    // 0 would mean the default on the wire; nobody who writes 0s or 1ms wants seven days.
    let expires_in_s = args.expires.as_secs();
    if expires_in_s == 0 {
        return Err(Failure::Usage(ctx.lang.of("--expires: ít nhất 1s", "--expires: at least 1s").into()));
    }
    if expires_in_s > limits::INVITE_LIFE_MAX_S {
        let days = limits::INVITE_LIFE_MAX_S / 86_400;
        return Err(Failure::Usage(match ctx.lang {
            Lang::Vi => format!("--expires: nhiều nhất {days}d ({days} ngày)"),
            Lang::En => format!("--expires: at most {days}d ({days} days)"),
        }));
    }
    let mut node = connect::admin(ctx).await?;
    let request = CreateInviteRequest {
        unit: args.unit.clone().unwrap_or_default(),
        expires_in_s,
        address: args.address.clone().unwrap_or_default(),
        again: args.again,
        node: args.node.clone().unwrap_or_default(),
    };
    let whom = args.node.as_ref().or(args.unit.as_ref()).cloned().unwrap_or_default();
    let invite = connect::within(ctx, PROMPT, node.create_invite(request)).await?;
    let name = harmless(&invite.unit_name);
    let until = local_time(invite.expires_at_ms).unwrap_or_default();
    let address = harmless(&invite.address);
    match ctx.format {
        Format::Table => ctx.print(format!("{}\n", invite.token))?,
        Format::Json => ctx.json(&json!({
            "token": invite.token,
            "unit": whom,
            "unit_name": invite.unit_name,
            "expires_at": rfc3339(invite.expires_at_ms),
            "address": invite.address,
        }))?,
        Format::Csv => {
            let mut sheet = Sheet::new(COLUMNS);
            sheet.push([
                Field::Text(invite.token),
                Field::Text(whom.clone()),
                Field::Text(invite.unit_name),
                Field::Time(invite.expires_at_ms),
                Field::Text(invite.address),
            ]);
            ctx.sheet(&sheet)?;
        }
    }
    if !invite.former.is_empty() {
        let logs = harmless(&invite.former.join(", "));
        let persons = invite.persons;
        ctx.note(match ctx.lang {
            Lang::Vi => format!(
                "CHÚ Ý: dữ liệu về {whom} trong {logs} đang được tính (tại đây có {persons} người). Nếu nút mới nhập lại cùng sổ hộ, mọi người sẽ \
                 bị tính hai lần. Nên lấy lại nút cũ: danso-admin child invite --node NODE rồi danso-node recover. Nếu muốn nhập lại từ đầu, trước \
                 hết bỏ dữ liệu cũ: danso-admin child revoke NODE --size NODE/records=0 --reason ..."
            ),
            Lang::En => format!(
                "NOTE: the records about {whom} in {logs} count ({persons} persons are here). If the new node imports the same book, everybody \
                 counts twice. Better get the old node back: danso-admin child invite --node NODE, then danso-node recover. To import all of it \
                 anew, first end the old records where they begin: danso-admin child revoke NODE --size NODE/records=0 --reason ..."
            ),
        });
    }
    let verb = if args.node.is_some() { "recover" } else { "join" };
    ctx.note(match ctx.lang {
        Lang::Vi => format!(
            "Thư mời cho {whom} {name}: dùng một lần, đến {until}. Nút mới sẽ gọi tới {address}.\n\
             Hãy chuyển mã này đến nơi bằng đường an toàn; tại đó ghi nó vào một tệp rồi chạy:\n  \
             danso-node {verb} --data DIR --token-file FILE"
        ),
        Lang::En => format!(
            "An invite for {whom} {name}: for one use, until {until}. The new node will dial {address}.\n\
             Bring the token there on a safe way; there put it into a file and run:\n  \
             danso-node {verb} --data DIR --token-file FILE"
        ),
    });
    Ok(Exit::Done)
}

const COLUMNS: [crate::output::Column; 5] = [
    column("token", "Mã", "Token"),
    column("unit", "Đơn vị", "Unit"),
    column("unit_name", "Tên", "Name"),
    column("expires_at", "Hết hạn", "Expires"),
    column("address", "Địa chỉ", "Address"),
];
