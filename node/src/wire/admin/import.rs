//! Importing a file: its bytes come in chunks, what could not be taken goes out row by row, while a thread of its own reads and parses.
//! Nothing here grows with the file: chunks, rows of a batch and answers are bounded, and who reads slowly slows the import down.

use std::path::Path;
use std::sync::Arc;

use danso_core::calendar::PartialDate;
use danso_core::forms::{self, FileProblem, Form, Header, RawRow};
use danso_core::messages::{self, Lang, Phrase};
use danso_core::units::{UnitList, UnitLists};
use danso_proto::ids::UnitCode;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::pb::admin::v1::import_request::Body as Asked;
use danso_proto::pb::admin::v1::import_response::Body as Said;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::{Stream, StreamExt as _};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Parts, lang, of_pipeline, own_unit};
use crate::intake::RowReader;
use crate::pipeline::{DryRun, Error, Handle, ImportBatch, ImportedRows};

mod batch;
mod feed;

use batch::Batch;
use feed::{Feed, Given};

/// Answers that wait for the caller.
const AHEAD: usize = 64;
/// Chunks that wait to be read.
const CHUNKS: usize = 2;

type Answers = mpsc::Sender<Result<pb::ImportResponse, Refusal>>;
type Answer = mpsc::Receiver<Result<pb::ImportResponse, Refusal>>;

/// Begins an import; what is returned ends with the summary, or with a refusal when the node could not go on.
///
/// # Errors
/// When the first message is no start, or this node cannot import at all now.
pub(super) async fn begin(
    parts: &Arc<Parts>,
    requests: impl Stream<Item = Result<pb::ImportRequest, String>> + Send + 'static,
) -> Result<Answer, Refusal> {
    let mut requests = Box::pin(requests);
    let no_start = || Refusal::new(Reason::RequestInvalid, "an import begins with a start");
    let start = match requests.next().await {
        Some(Ok(pb::ImportRequest { body: Some(Asked::Start(start)) })) => start,
        Some(Err(why)) => return Err(Refusal::new(Reason::LinkDown, why)),
        _ => return Err(no_start()),
    };
    let form = match start.form() {
        pb::Form::Households => Form::Households,
        pb::Form::Changes => Form::Changes,
        pb::Form::Unspecified => return Err(Refusal::new(Reason::RequestInvalid, "no form is named")),
    };
    parts.not_revoked()?;
    let snapshot = parts.pipeline.snapshot();
    let (given, feed) = feed::channel(CHUNKS);
    let (out, answers) = mpsc::channel(AHEAD);
    let lang = lang(&start.lang)?;
    let other = parts.other_author(&snapshot).filter(|_| form == Form::Households);
    let warning = other
        .map(|found| messages::text(Reason::TwoAuthors, lang, &messages::Args { found: &found, ..Default::default() }));
    let import = Import {
        form,
        warning: warning.unwrap_or_default(),
        lang,
        units: parts.units(snapshot.directory())?,
        lists: snapshot.directory().units().clone(),
        own_unit: own_unit(&snapshot)?.clone(),
        today: parts.today(),
        dry_run: start.dry_run.then(DryRun::default),
        pipeline: parts.pipeline.clone(),
        runtime: runtime::Handle::current(),
        out,
        pending: None,
        named_workbook: start.file_name.to_ascii_lowercase().ends_with(".xlsx"),
        summary: pb::ImportSummary { dry_run: start.dry_run, ..Default::default() },
    };
    tokio::spawn(pump(requests, given));
    let scratch = parts.scratch.clone();
    tokio::task::spawn_blocking(move || import.run(feed, &scratch));
    Ok(answers)
}

/// Hands chunks on, as fast as they are read. A stream that breaks off does not look like one that ended.
async fn pump(mut requests: impl Stream<Item = Result<pb::ImportRequest, String>> + Unpin, given: mpsc::Sender<Given>) {
    loop {
        let next = match requests.next().await {
            None => Given::End,
            Some(Ok(pb::ImportRequest { body: Some(Asked::Chunk(chunk)) })) => Given::Chunk(chunk),
            Some(Ok(_)) => Given::Broken("something else than a chunk came".into()),
            Some(Err(why)) => Given::Broken(why),
        };
        let last = !matches!(next, Given::Chunk(_));
        // The reader ends first when the file is no good, or when the caller has gone.
        if given.send(next).await.is_err() || last {
            return;
        }
    }
}

/// Why an import ends before its file does.
enum Stop {
    /// The caller has gone: there is nobody to tell.
    Gone,
    /// The node cannot go on.
    Failed(Refusal),
    /// The rest of the file cannot be read.
    File(FileProblem),
}

impl From<FileProblem> for Stop {
    fn from(problem: FileProblem) -> Self {
        Self::File(problem)
    }
}

/// A batch that the pipeline has.
struct Pending {
    batch: Batch,
    bytes: u64,
    done: JoinHandle<Result<ImportedRows, Error>>,
}

/// An import under way, on its thread.
struct Import {
    form: Form,
    /// To be said before the first row is taken.
    warning: String,
    lang: Lang,
    units: Arc<UnitList>,
    /// All that are known.
    lists: UnitLists,
    own_unit: UnitCode,
    today: PartialDate,
    dry_run: Option<DryRun>,
    /// The name says XLSX.
    named_workbook: bool,
    pipeline: Handle,
    runtime: runtime::Handle,
    out: Answers,
    /// Committed while the next one is read.
    pending: Option<Pending>,
    summary: pb::ImportSummary,
}

impl Import {
    fn run(mut self, feed: Feed, scratch: &Path) {
        let watch = feed.watch();
        let read = self.read(feed, scratch);
        let ended = match (read, watch.broken()) {
            // Whatever the reader made of a file that did not come to its end.
            (_, Some(why)) => {
                tracing::info!(rows = self.summary.rows, why, "an import was broken off by its caller");
                Err(Stop::Gone)
            }
            (Err(Stop::File(problem)), None) => self.drain().map(|()| Some(problem)),
            (read, None) => read.map(|()| None),
        };
        match ended {
            Ok(problem) => {
                if let Some(problem) = problem {
                    self.summary.reason = problem.reason.code().to_owned();
                    self.summary.message = messages::file(&problem, self.lang);
                }
                let summary = std::mem::take(&mut self.summary);
                tracing::info!(
                    form = self.form.as_str(),
                    rows = summary.rows,
                    taken = summary.taken,
                    waiting = summary.waiting,
                    refused = summary.refused,
                    dry_run = summary.dry_run,
                    reason = summary.reason,
                    "imported a file"
                );
                // That the caller has gone now changes nothing.
                let _ = self.say(Said::Summary(summary));
            }
            Err(Stop::Failed(refusal)) => drop(self.out.blocking_send(Err(refusal))),
            Err(Stop::Gone | Stop::File(_)) => {}
        }
    }

    /// Reads to the end of the file. A problem with the file leaves what was read before it in the pipeline's hands.
    fn read(&mut self, feed: Feed, scratch: &Path) -> Result<(), Stop> {
        let watch = feed.watch();
        let mut rows = RowReader::open(feed, scratch)?;
        // Else every fault of a damaged workbook would be told as one of a table.
        if self.named_workbook && !rows.is_workbook() {
            return Err(FileProblem::new(Reason::FileFormat, None, "named .xlsx, but no workbook").into());
        }
        let header = Header::parse(self.form, rows.titles())?;
        let warning = std::mem::take(&mut self.warning);
        self.say(Said::Header(pb::ImportHeader {
            columns: header.titles().to_vec(),
            ignored: header.ignored().to_vec(),
            warning,
        }))?;
        let units = self.units.clone();
        let own_unit = self.own_unit.clone();
        let context = forms::Context { units: &units, own_unit: &own_unit, today: self.today };
        let mut batch = Batch::default();
        let problem = loop {
            match rows.next() {
                None => break None,
                Some(Err(problem)) => break Some(problem),
                Some(Ok(row)) => {
                    let parsed = forms::parse(&header, &row, &context);
                    batch.push(row, parsed, (&units, &self.lists));
                }
            }
            if batch.is_full() {
                self.submit(std::mem::take(&mut batch), watch.read())?;
            }
        };
        if watch.broken().is_some() {
            // The batch that is under way is finished by the pipeline; this one was never given to it.
            return Err(Stop::Gone);
        }
        self.submit(batch, watch.read())?;
        self.drain()?;
        problem.map_or(Ok(()), |problem| Err(problem.into()))
    }

    /// Gives a batch to the pipeline, and tells what became of the one before.
    fn submit(&mut self, mut batch: Batch, bytes: u64) -> Result<(), Stop> {
        self.drain()?;
        let rows = batch.take_rows();
        let pipeline = self.pipeline.clone();
        let job = ImportBatch { rows, dry_run: self.dry_run.clone() };
        let done = self.runtime.spawn(async move {
            // Rows that are all refused already need nothing of the pipeline.
            if job.rows.is_empty() { Ok(ImportedRows::default()) } else { pipeline.import(job).await }
        });
        self.pending = Some(Pending { batch, bytes, done });
        Ok(())
    }

    /// Waits for the batch that the pipeline has, and tells what became of it.
    fn drain(&mut self) -> Result<(), Stop> {
        let Some(Pending { batch, bytes, done }) = self.pending.take() else { return Ok(()) };
        let imported = match self.runtime.block_on(done) {
            Ok(imported) => imported.map_err(|error| Stop::Failed(of_pipeline(error)))?,
            Err(_) => return Err(Stop::Failed(Refusal::new(Reason::Internal, "the import was cut off"))),
        };
        if !batch.fits(&imported) {
            return Err(Stop::Failed(Refusal::new(Reason::Internal, "rows of the file are missing in the answer")));
        }
        self.summary.released += imported.released;
        self.summary.entries += imported.entries;
        self.summary.slips_refused += imported.refused.len() as u64;
        for slip in &imported.refused {
            let (reason, found) = (slip.problem.reason, &slip.problem.found);
            let what = messages::text(reason, self.lang, &messages::Args { found, ..Default::default() });
            let slip_column = slip.problem.column.clone().unwrap_or_default();
            let slip =
                messages::phrase(Phrase::WaitedFrom { unit: slip.unit.as_str(), slip_no: &slip.slip_no }, self.lang);
            self.say(Said::Problem(pb::RowProblem {
                column: slip_column,
                reason: reason.code().to_owned(),
                message: format!("{slip}: {what}"),
                severity: pb::Severity::Refused.into(),
                ..Default::default()
            }))?;
        }
        for (row, problem) in batch.outcomes(imported, &mut self.summary) {
            let message = messages::row(&problem, self.lang);
            self.say(Said::Problem(said(row, problem, message)))?;
        }
        self.say(Said::Progress(pb::ImportProgress { rows: self.summary.rows, bytes }))
    }

    fn say(&self, body: Said) -> Result<(), Stop> {
        self.out.blocking_send(Ok(pb::ImportResponse { body: Some(body) })).map_err(|_| Stop::Gone)
    }
}

/// A problem as it is told; with the row's fields when the row was not taken, so that the caller can collect them.
fn said(row: RawRow, problem: forms::RowProblem, message: String) -> pb::RowProblem {
    let severity = match problem.severity {
        forms::Severity::Refused => pb::Severity::Refused,
        forms::Severity::Waiting => pb::Severity::Waiting,
        forms::Severity::Warning => pb::Severity::Warning,
    };
    pb::RowProblem {
        line: problem.line,
        column: problem.column.unwrap_or_default(),
        reason: problem.reason.code().to_owned(),
        message,
        fields: if severity == pb::Severity::Refused { row.fields } else { Vec::new() },
        severity: severity.into(),
    }
}
