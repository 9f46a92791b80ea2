//! `rule set`: switches or tunes a rule of consistency in a unit and below it.

use danso_proto::pb::admin::v1::{RuleChoice, RuleNumber, SetRuleRequest};

use crate::args;
use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column};

/// What is set, and where.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("choice").required(true).args(["on", "off", "inherit"])))]
pub struct Args {
    /// The rule: see `rule list`
    #[arg(value_name = "RULE")]
    rule: String,
    /// Code of a unit below the node's own; the root may name its own, too. A setting for a nearer unit goes before this one
    #[arg(long, value_name = "CODE")]
    unit: String,
    /// The rule holds
    #[arg(long)]
    on: bool,
    /// The rule does not hold
    #[arg(long)]
    off: bool,
    /// Take back what this node said of the rule in the unit
    #[arg(long)]
    inherit: bool,
    /// A number of the rule, with --on; what is not given is the product's
    #[arg(long = "number", value_name = "NAME=N", value_parser = args::number)]
    numbers: Vec<(String, u32)>,
    /// Why; signed with the setting, for everybody to read
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Writes the setting, and prints where it stands.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let choice = match (args.on, args.off) {
        (true, _) => RuleChoice::On,
        (_, true) => RuleChoice::Off,
        _ => RuleChoice::Inherit,
    };
    let numbers = args.numbers.iter().map(|(name, value)| RuleNumber { name: name.clone(), value: *value, product: 0 });
    let request = SetRuleRequest {
        unit: args.unit.clone(),
        rule: args.rule.clone(),
        choice: choice.into(),
        numbers: numbers.collect(),
        reason: args.reason.clone(),
    };
    let mut node = connect::admin(ctx).await?;
    let answer = connect::within(ctx, PROMPT, node.set_rule(request)).await?;
    let mut sheet = Sheet::new([
        column("rule", "Quy tắc", "Rule"),
        column("unit", "Đơn vị", "Unit"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
    ]);
    sheet.push([
        Field::from(&*args.rule),
        Field::from(&*args.unit),
        Field::Text(answer.log),
        Field::Number(answer.sequence),
    ]);
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
