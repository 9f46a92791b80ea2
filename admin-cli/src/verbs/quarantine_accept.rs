//! `quarantine accept`: of two histories of a log the one that is held here stands.

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::DecideForkRequest;

use crate::context::Context;
use crate::decision;
use crate::exit::{Exit, Failure};

/// What to accept.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log
    #[arg(value_name = "LOG")]
    log: LogId,
    /// Why; signed with the decision, for everybody who holds the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Says what will happen, asks, and decides.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let request =
        DecideForkRequest { log: args.log.to_string(), reason: args.reason.clone(), ..DecideForkRequest::default() };
    decision::decide(request, args.yes, ctx).await
}
