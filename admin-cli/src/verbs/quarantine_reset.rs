//! `quarantine reset`: of a log with two histories only the beginning stands, and its author's node ends.

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::DecideForkRequest;

use crate::context::Context;
use crate::decision;
use crate::exit::{Exit, Failure};

/// What to reset.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log
    #[arg(value_name = "LOG")]
    log: LogId,
    /// How many of the entries that are held here count any longer [default: as many as the evidence shows both histories to agree on]
    #[arg(long, value_name = "N")]
    size: Option<u64>,
    /// Why; signed with the decision, for everybody who holds the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Says what will happen, asks, and decides.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let request = DecideForkRequest {
        log: args.log.to_string(),
        reset: true,
        size: args.size,
        reason: args.reason.clone(),
        dry_run: false,
    };
    decision::decide(request, args.yes, ctx).await
}
