//! `rule list`: the rules of consistency as they hold in a unit.

use danso_proto::pb::admin::v1::ListRulesRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column};

/// Where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Code of the unit [default: the node's own]
    #[arg(long, value_name = "CODE")]
    unit: Option<String>,
}

/// Prints each rule, whether it holds, and its numbers.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let unit = args.unit.clone().unwrap_or_default();
    let request = ListRulesRequest { unit, lang: ctx.lang.code().into() };
    let answer = connect::within(ctx, PROMPT, node.list_rules(request)).await?;
    let mut sheet = Sheet::new([
        column("rule", "Quy tắc", "Rule"),
        column("severity", "Mức", "Severity"),
        column("on", "Bật", "On"),
        column("numbers", "Tham số", "Numbers"),
        column("message", "Nội dung", "What it says"),
    ]);
    for rule in answer.rules {
        let numbers = rule.numbers.iter().map(|number| match number.value == number.product {
            true => format!("{}={}", number.name, number.value),
            false => format!("{}={} ({})", number.name, number.value, number.product),
        });
        sheet.push([
            Field::Text(rule.rule),
            Field::Text(rule.severity),
            Field::Flag(rule.on),
            Field::Text(numbers.collect::<Vec<_>>().join(" ")),
            Field::Text(rule.message),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
