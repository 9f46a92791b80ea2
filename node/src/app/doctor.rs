//! `doctor`: looks at the files of a node that does not run.

use std::path::Path;
use std::sync::Arc;

use danso_core::messages::{self, Lang};
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::mpsc;

use super::{Error, clock, database, out, run};
use crate::config::Layout;
use crate::doctor::{self, Line, State};
use crate::keys::LogKey;
use crate::pipeline::{self, Outfit};
use crate::store::Store;

/// Lines that wait to be printed.
const AHEAD: usize = 16;

/// Prints a line for each thing; whether nothing is wrong.
pub(super) async fn doctor(data: &Path, json: bool, lang: Lang) -> Result<bool, Error> {
    let layout = Layout::open(data)?;
    let _lock = layout.lock()?;
    let opened = database::to_look(&layout).await?;
    let (lines, mut found) = mpsc::channel(AHEAD);
    let key = LogKey::load(&layout.log_key()).map(Arc::new);
    let read = async move |store: Store| -> Result<_, Refusal> {
        store.is_in_use().await.map_err(|error| pipeline::Error::from(error).refusal())?;
        let (anchor, _) = run::place(&store).await.map_err(|error| match error {
            Error::Refused(refusal) => refusal,
            Error::Store(error) => pipeline::Error::from(error).refusal(),
            error => Refusal::new(Reason::Internal, error.to_string()),
        })?;
        let signer = key.map_err(|error| Refusal::new(Reason::KeyFileUnfit, error.to_string()))?;
        let outfit = Outfit { store, signer, clock: clock(), anchor };
        pipeline::look(&outfit).await.map_err(|error| error.refusal())
    };
    // The lines end when who finds them is dropped.
    let looking = async move { doctor::offline(&layout, opened, clock(), read, &lines).await };
    let printing = async move {
        let mut well = true;
        while let Some(line) = found.recv().await {
            well &= line.state != State::Fail;
            out::print(if json { as_json(&line, lang) } else { as_text(&line, lang) })?;
        }
        Ok(well)
    };
    let ((), well) = tokio::join!(looking, printing);
    well
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

fn as_text(line: &Line, lang: Lang) -> String {
    let mut text = format!("{:<5}{:<12}{}", word(line.state), line.check, line.detail);
    if let Some(reason) = line.reason {
        text.push_str(&format!(" [{reason}]\n{:17}{}", "", messages::next_step(reason, lang)));
    }
    text
}

/// The keys of `danso-admin doctor --output json`, an object a line.
fn as_json(line: &Line, lang: Lang) -> String {
    serde_json::json!({
        "check": line.check,
        "state": word(line.state),
        "reason": line.reason.map(|reason| reason.code()).unwrap_or_default(),
        "detail": line.detail,
        "next_step": line.reason.map(|reason| messages::next_step(reason, lang)).unwrap_or_default(),
    })
    .to_string()
}
