//! The words of the command line. Scripts rely on them: they are added, not changed. It may not know how a verb does its work.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use danso_proto::pb::admin::v1::Form;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::Format;
use crate::verbs::*;

const AFTER_HELP: &str = "\
Data goes to standard output, everything else to standard error.

Exit codes:
  0  done
  1  a fault of ours
  2  wrong usage
  3  refused: bad input (also: some rows were refused), not allowed, or a check failed
  4  the node or a link is not available, or it took too long";

const GLOBAL: &str = "Options of every command";

/// Talks to a Danso node over its unix socket, and checks logs and proofs by itself.
#[derive(Debug, Parser)]
#[command(name = "danso-admin", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Cli {
    /// Data directory of the node; its socket is DIR/admin.sock
    #[arg(long, value_name = "DIR", global = true, help_heading = GLOBAL)]
    pub data: Option<PathBuf>,
    /// How data is printed
    #[arg(long, value_name = "FORMAT", global = true, help_heading = GLOBAL, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Language of messages and headings [default: from LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, global = true, help_heading = GLOBAL, value_enum)]
    pub lang: Option<Lang>,
    /// What to do
    #[command(subcommand)]
    pub noun: Noun,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// The nodes below this one
    #[command(subcommand)]
    Child(Child),
    /// The node's log key
    #[command(subcommand)]
    Key(Key),
    /// Take over files
    #[command(subcommand)]
    Import(Import),
    /// What higher nodes confirmed to hold
    #[command(subcommand)]
    Receipt(Receipt),
    /// Figures
    #[command(subcommand)]
    Aggregate(Aggregate),
    /// The connection to the parent
    #[command(subcommand)]
    Link(Link),
    /// The append-only logs
    #[command(subcommand)]
    Log(Log),
    /// Proof files
    #[command(subcommand)]
    Proof(Proof),
    /// Pairs of signed statements about one log that cannot both be true
    #[command(subcommand)]
    Evidence(Evidence),
    /// Logs that are stopped, and the decision about those with two histories
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// The node at a glance
    Status(status::Args),
    /// The node looked over: what is wrong, and what to do; exit 3 when something is
    Doctor(doctor::Args),
    /// Slips that wait for a person who is not known yet
    #[command(subcommand)]
    Waiting(Waiting),
    /// Records that do not count or are doubtful, and what is answered
    #[command(subcommand)]
    Finding(Finding),
    /// Months
    #[command(subcommand)]
    Period(Period),
    /// Rules of consistency, by which records are doubted
    #[command(subcommand)]
    Rule(Rule),
    /// Which units have closed a month: expected, received, on time, late, missing, silent
    Completeness(completeness::Args),
    /// Dates of the lunar calendar; needs no node
    #[command(subcommand)]
    Calendar(Calendar),
}

macro_rules! verbs {
    ($(#[$doc:meta])* $noun:ident { $($(#[$vdoc:meta])* $verb:ident($room:ident),)* }) => {
        $(#[$doc])*
        #[derive(Debug, Subcommand)]
        pub enum $noun { $($(#[$vdoc])* $verb($room::Args),)* }
    };
}

verbs! {
    /// Verbs of `child`.
    Child {
        /// Make a one-time token for a node below this one; the token alone goes to standard output
        Invite(child_invite),
        /// List the nodes below this one
        List(child_list),
        /// Revoke a node below this one: it writes nothing more
        Revoke(child_revoke),
    }
}

verbs! {
    /// Verbs of `key`.
    Key {
        /// Replace the log key; the announcement is signed by the old and the new one
        Rotate(key_rotate),
    }
}

verbs! {
    /// Verbs of `import`.
    Import {
        /// Household books (form A0), CSV or XLSX
        Households(import),
        /// Change slips (form P0), CSV or XLSX
        Changes(import),
    }
}

verbs! {
    /// Verbs of `receipt`.
    Receipt {
        /// The latest receipt of each giver for each log
        List(receipt_list),
        /// Where each own change set is durable, and since when; with --out a file that anybody can check
        Show(receipt_show),
        /// Wait until all own entries are receipted: exit 0 when they are, 4 when the time is over
        Wait(receipt_wait),
    }
}

verbs! {
    /// Verbs of `aggregate`.
    Aggregate {
        /// Ask for figures
        Pull(aggregate_pull),
        /// Why a figure is not what it was: which entries, from whom, recorded when
        Explain(aggregate_explain),
    }
}

verbs! {
    /// Verbs of `link`.
    Link {
        /// Dial the parent now instead of after the wait: exit 0 when the link is up then, 4 when it is not
        Retry(link_retry),
    }
}

verbs! {
    /// Verbs of `log`.
    Log {
        /// The logs that are here
        List(log_list),
        /// Entries of a log, decoded: the signed side, without names and identifiers
        Show(log_show),
        /// Check a log, or all, from the trust anchor's fingerprint
        Verify(log_verify),
        /// Write a proof file for one entry
        Prove(log_prove),
    }
}

verbs! {
    /// Verbs of `proof`.
    Proof {
        /// Check a proof file from the trust anchor's fingerprint alone; needs no node
        Check(proof_check),
    }
}

verbs! {
    /// Verbs of `evidence`.
    Evidence {
        /// List the evidence
        List(evidence_list),
        /// Write an evidence file
        Export(evidence_export),
        /// Check an evidence file from the trust anchor's fingerprint alone; needs no node
        Check(evidence_check),
    }
}

verbs! {
    /// Verbs of `quarantine`.
    Quarantine {
        /// List the logs that are stopped: why, since when, and what to do
        List(quarantine_list),
        /// Of two histories of a log the one that is held here stands, and the log goes on
        Accept(quarantine_accept),
        /// Of a log with two histories only the first entries stand, and its author's node is revoked
        Reset(quarantine_reset),
    }
}

verbs! {
    /// Verbs of `waiting`.
    Waiting {
        /// List the slips that wait
        List(waiting_list),
    }
}

verbs! {
    /// Verbs of `finding`.
    Finding {
        /// List the findings
        List(finding_list),
        /// Everything about the findings of one change: what was seen, why it matters, what to do, what was answered
        Show(finding_show),
        /// Say that a doubtful record is right as it is and why, or withdraw that; signed, and told to all above
        Answer(finding_answer),
        /// Write the findings as CSV for a spreadsheet, in the reader's language
        Export(finding_export),
    }
}

verbs! {
    /// Verbs of `period`.
    Period {
        /// State that a unit's month is complete, also when there was nothing to report
        Close(period_close),
    }
}

verbs! {
    /// Verbs of `rule`.
    Rule {
        /// The rules as they hold in a unit
        List(rule_list),
        /// Switch or tune a rule in a unit and below it, by a signed entry of this node
        Set(rule_set),
    }
}

verbs! {
    /// Verbs of `calendar`.
    Calendar {
        /// Solar dates, and what they are in the lunar calendar
        ToLunar(calendar),
        /// Lunar dates, and what they are in the solar calendar
        ToSolar(calendar),
    }
}

impl Noun {
    /// Does what was asked for.
    pub async fn run(&self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::Child(Child::Invite(args)) => child_invite::run(args, ctx).await,
            Self::Child(Child::List(args)) => child_list::run(args, ctx).await,
            Self::Child(Child::Revoke(args)) => child_revoke::run(args, ctx).await,
            Self::Key(Key::Rotate(args)) => key_rotate::run(args, ctx).await,
            Self::Import(Import::Households(args)) => import::run(Form::Households, args, ctx).await,
            Self::Import(Import::Changes(args)) => import::run(Form::Changes, args, ctx).await,
            Self::Receipt(Receipt::List(args)) => receipt_list::run(args, ctx).await,
            Self::Receipt(Receipt::Show(args)) => receipt_show::run(args, ctx).await,
            Self::Receipt(Receipt::Wait(args)) => receipt_wait::run(args, ctx).await,
            Self::Aggregate(Aggregate::Pull(args)) => aggregate_pull::run(args, ctx).await,
            Self::Aggregate(Aggregate::Explain(args)) => aggregate_explain::run(args, ctx).await,
            Self::Link(Link::Retry(args)) => link_retry::run(args, ctx).await,
            Self::Log(Log::List(args)) => log_list::run(args, ctx).await,
            Self::Log(Log::Show(args)) => log_show::run(args, ctx).await,
            Self::Log(Log::Verify(args)) => log_verify::run(args, ctx).await,
            Self::Log(Log::Prove(args)) => log_prove::run(args, ctx).await,
            Self::Proof(Proof::Check(args)) => proof_check::run(args, ctx),
            Self::Evidence(Evidence::List(args)) => evidence_list::run(args, ctx).await,
            Self::Evidence(Evidence::Export(args)) => evidence_export::run(args, ctx).await,
            Self::Evidence(Evidence::Check(args)) => evidence_check::run(args, ctx),
            Self::Quarantine(Quarantine::List(args)) => quarantine_list::run(args, ctx).await,
            Self::Quarantine(Quarantine::Accept(args)) => quarantine_accept::run(args, ctx).await,
            Self::Quarantine(Quarantine::Reset(args)) => quarantine_reset::run(args, ctx).await,
            Self::Status(args) => status::run(args, ctx).await,
            Self::Doctor(args) => doctor::run(args, ctx).await,
            Self::Waiting(Waiting::List(args)) => waiting_list::run(args, ctx).await,
            Self::Finding(Finding::List(args)) => finding_list::run(args, ctx).await,
            Self::Finding(Finding::Show(args)) => finding_show::run(args, ctx).await,
            Self::Finding(Finding::Answer(args)) => finding_answer::run(args, ctx).await,
            Self::Finding(Finding::Export(args)) => finding_export::run(args, ctx).await,
            Self::Period(Period::Close(args)) => period_close::run(args, ctx).await,
            Self::Rule(Rule::List(args)) => rule_list::run(args, ctx).await,
            Self::Rule(Rule::Set(args)) => rule_set::run(args, ctx).await,
            Self::Completeness(args) => completeness::run(args, ctx).await,
            Self::Calendar(Calendar::ToLunar(args)) => calendar::run(args, calendar::To::Lunar, ctx),
            Self::Calendar(Calendar::ToSolar(args)) => calendar::run(args, calendar::To::Solar, ctx),
        }
    }
}
