//! A node that is not there: the admin and query services in this process, over a unix socket in a temporary directory. Its import takes
//! a two-column file (`slip_no,what`) and does with each row what the row says.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::pin::Pin;

use danso_proto::limits::GRPC_MESSAGE_MAX;
use danso_proto::pb::admin::v1::admin_service_server::{AdminService, AdminServiceServer};
use danso_proto::pb::admin::v1::*;
use danso_proto::pb::query::v1::query_service_server::{QueryService, QueryServiceServer};
use danso_proto::pb::query::v1::*;
use danso_proto::refusal::{Class, Reason};
use futures_util::{Stream, stream};
use tempfile::TempDir;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

pub mod logs;

use logs::FakeLog;

/// A stream of answers.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the node that is not there has.
#[derive(Clone, Default)]
pub struct Fake {
    pub anchor: String,
    pub logs: Vec<FakeLog>,
    pub cells: Vec<Cell>,
    pub months: Vec<UnitMonth>,
    pub steps: Vec<ExplainStep>,
    pub header: AnswerHeader,
    pub receipts: Vec<Receipt>,
    pub held: Vec<ShowReceiptsResponse>,
    pub complete: bool,
    /// Why the parent refuses a log, as a reason code.
    pub wait_reason: &'static str,
    /// The status does not come in time.
    pub no_status: bool,
    pub proof: Vec<u8>,
    /// Every call but an import is refused for this.
    pub refuse: Option<Reason>,
}

/// A running fake; it ends with this value.
pub struct Running {
    pub dir: TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub async fn start(self) -> Running {
        let dir = tempfile::tempdir().expect("temp dir");
        let listener = tokio::net::UnixListener::bind(danso_admin::connect::socket(dir.path())).expect("binds");
        let admin = AdminServiceServer::new(self.clone()).max_decoding_message_size(GRPC_MESSAGE_MAX);
        let query = QueryServiceServer::new(self);
        let serve = tonic::transport::Server::builder().add_service(admin).add_service(query);
        let server = tokio::spawn(async move {
            serve.serve_with_incoming(UnixListenerStream::new(listener)).await.expect("serves");
        });
        Running { dir, server }
    }

    fn permit(&self) -> Result<(), Status> {
        self.refuse.map_or(Ok(()), |reason| Err(refusal(reason)))
    }
}

impl Running {
    /// Runs `danso-admin --data DIR` with these words.
    pub async fn admin(&self, words: &[&str]) -> danso_admin::Captured {
        let data = self.dir.path().to_str().expect("text");
        danso_admin::capture(["--data", data].iter().chain(words).map(|word| word.to_string())).await
    }

    /// Puts a file beside the node.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path.to_str().expect("text").to_owned()
    }
}

/// A status as a node makes it.
pub fn refusal(reason: Reason) -> Status {
    let code = match reason.class() {
        Class::Unavailable => Code::Unavailable,
        Class::Internal => Code::Internal,
        _ => Code::FailedPrecondition,
    };
    Status::with_error_details(code, "what was found", ErrorDetails::with_error_info(reason.code(), "danso", []))
}

fn answers<T: Send + 'static>(all: Vec<T>) -> Response<Answers<T>> {
    Response::new(Box::pin(stream::iter(all.into_iter().map(Ok))))
}

#[tonic::async_trait]
impl AdminService for Fake {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        self.permit()?;
        if self.no_status {
            return Err(Status::deadline_exceeded("too slow"));
        }
        Ok(Response::new(GetStatusResponse {
            node: "17065-0123456789abcdef".into(),
            unit: "17065".into(),
            unit_name: "Châu Quang".into(),
            anchor: self.anchor.clone(),
            persons: 12_345,
            link: LinkState::Connected.into(),
            logs: self.logs.iter().map(FakeLog::state).collect(),
            reason: self.wait_reason.into(),
            ..Default::default()
        }))
    }

    async fn create_invite(
        &self,
        request: Request<CreateInviteRequest>,
    ) -> Result<Response<CreateInviteResponse>, Status> {
        self.permit()?;
        let request = request.into_inner();
        Ok(Response::new(CreateInviteResponse {
            token: format!("token-for-{}-{}", request.unit, request.expires_in_s),
            unit_name: "Châu Quang".into(),
            expires_at_ms: 1_609_459_200_000,
            address: "10.0.0.1:7000".into(),
            ..Default::default()
        }))
    }

    async fn revoke_child(
        &self,
        request: Request<RevokeChildRequest>,
    ) -> Result<Response<RevokeChildResponse>, Status> {
        self.permit()?;
        let RevokeChildRequest { node, bounds, .. } = request.into_inner();
        Ok(Response::new(RevokeChildResponse { log: format!("{node}/directory"), sequence: 3, bounds }))
    }

    async fn plan_revocation(
        &self,
        request: Request<PlanRevocationRequest>,
    ) -> Result<Response<PlanRevocationResponse>, Status> {
        self.permit()?;
        let losing_place = vec![format!("{}-below", request.into_inner().node)];
        Ok(Response::new(PlanRevocationResponse { losing_place }))
    }

    async fn rotate_key(&self, _: Request<RotateKeyRequest>) -> Result<Response<RotateKeyResponse>, Status> {
        self.permit()?;
        let log = "17065-0123456789abcdef/directory".into();
        Ok(Response::new(RotateKeyResponse { old_key: "aa".into(), new_key: "bb".into(), log, sequence: 0 }))
    }

    async fn list_children(&self, _: Request<ListChildrenRequest>) -> Result<Response<ListChildrenResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ListChildrenResponse::default()))
    }

    type ImportStream = Answers<ImportResponse>;
    async fn import(&self, request: Request<Streaming<ImportRequest>>) -> Result<Response<Self::ImportStream>, Status> {
        let mut request = request.into_inner();
        let (mut text, mut start) = (Vec::new(), None);
        while let Some(message) = request.message().await? {
            match message.body {
                Some(import_request::Body::Start(first)) => start = Some(first),
                Some(import_request::Body::Chunk(chunk)) => text.extend_from_slice(&chunk),
                None => {}
            }
        }
        let start = start.ok_or_else(|| Status::invalid_argument("no start"))?;
        if start.file_bytes != text.len() as u64 {
            return Err(refusal(Reason::FileTruncated));
        }
        let (mut all, mut summary) = (Vec::new(), ImportSummary { dry_run: start.dry_run, ..Default::default() });
        let mut answer = |body| all.push(Ok(ImportResponse { body: Some(body) }));
        let text = String::from_utf8(text).expect("text");
        let mut lines = text.lines();
        let columns: Vec<String> = lines.next().unwrap_or_default().split(',').map(str::to_owned).collect();
        if columns.len() < 2 {
            (summary.reason, summary.message) = (Reason::FileEmpty.code().into(), "no rows".into());
        }
        let ignored = columns.iter().skip(2).cloned().collect();
        answer(import_response::Body::Header(ImportHeader { columns, ignored, ..Default::default() }));
        for (i, row) in lines.enumerate() {
            summary.rows += 1;
            let fields: Vec<String> = row.split(',').map(str::to_owned).collect();
            let what = fields.get(1).map(String::as_str).unwrap_or_default();
            let (reason, severity) = match what {
                "wait" => (Reason::PersonUnknown, Severity::Waiting),
                "bad" => (Reason::DateInvalid, Severity::Refused),
                // The row is taken; a slip that waited for it is refused.
                "late" => {
                    (summary.taken, summary.slips_refused) = (summary.taken + 1, summary.slips_refused + 1);
                    answer(import_response::Body::Problem(RowProblem {
                        reason: Reason::EventBeforeBirth.code().into(),
                        message: "Slip P1".into(),
                        severity: Severity::Refused.into(),
                        ..Default::default()
                    }));
                    continue;
                }
                "die" => {
                    all.push(Err(refusal(Reason::ShuttingDown)));
                    return Ok(Response::new(Box::pin(stream::iter(all))));
                }
                _ => {
                    summary.taken += 1;
                    continue;
                }
            };
            match severity {
                Severity::Waiting => summary.waiting += 1,
                _ => summary.refused += 1,
            }
            answer(import_response::Body::Problem(RowProblem {
                line: i as u64 + 2,
                column: "what".into(),
                reason: reason.code().into(),
                message: format!("correct it ({})", start.lang),
                fields,
                severity: severity.into(),
            }));
            answer(import_response::Body::Progress(ImportProgress { rows: summary.rows, bytes: 0 }));
        }
        answer(import_response::Body::Summary(summary));
        Ok(Response::new(Box::pin(stream::iter(all))))
    }

    type ListWaitingStream = Answers<ListWaitingResponse>;
    async fn list_waiting(&self, _: Request<ListWaitingRequest>) -> Result<Response<Self::ListWaitingStream>, Status> {
        self.permit()?;
        Ok(answers(vec![ListWaitingResponse { slip_no: "17065-00001".into(), ..Default::default() }]))
    }

    type ListFindingsStream = Answers<ListFindingsResponse>;
    async fn list_findings(
        &self,
        _: Request<ListFindingsRequest>,
    ) -> Result<Response<Self::ListFindingsStream>, Status> {
        self.permit()?;
        Ok(answers(Vec::new()))
    }

    async fn list_rules(&self, request: Request<ListRulesRequest>) -> Result<Response<ListRulesResponse>, Status> {
        self.permit()?;
        let number = RuleNumber { name: "years".into(), value: 13, product: 12 };
        let rule = ListedRule {
            rule: "mother_young".into(),
            severity: "warning".into(),
            on: true,
            numbers: vec![number],
            message: "The mother was very young at the birth.".into(),
        };
        Ok(Response::new(ListRulesResponse { unit: request.into_inner().unit, rules: vec![rule] }))
    }

    async fn set_rule(&self, request: Request<SetRuleRequest>) -> Result<Response<SetRuleResponse>, Status> {
        self.permit()?;
        Ok(Response::new(SetRuleResponse { log: format!("log-of-{}", request.into_inner().rule), sequence: 7 }))
    }

    async fn answer_finding(
        &self,
        request: Request<AnswerFindingRequest>,
    ) -> Result<Response<AnswerFindingResponse>, Status> {
        self.permit()?;
        let repeated = request.into_inner().because == "again";
        Ok(Response::new(AnswerFindingResponse {
            log: "a/records".into(),
            sequence: 9,
            answer_ids: vec!["id".into()],
            repeated,
        }))
    }

    async fn close_period(
        &self,
        request: Request<ClosePeriodRequest>,
    ) -> Result<Response<ClosePeriodResponse>, Status> {
        self.permit()?;
        let month = request.into_inner().month;
        let already = self.complete;
        Ok(Response::new(ClosePeriodResponse { log: format!("log-of-{month}"), sequence: 7, already, closed_at_ms: 0 }))
    }

    async fn list_receipts(&self, _: Request<ListReceiptsRequest>) -> Result<Response<ListReceiptsResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ListReceiptsResponse { receipts: self.receipts.clone() }))
    }

    async fn wait_receipt(&self, _: Request<WaitReceiptRequest>) -> Result<Response<WaitReceiptResponse>, Status> {
        self.permit()?;
        Ok(Response::new(WaitReceiptResponse {
            complete: self.complete,
            receipts: self.receipts.clone(),
            reason: self.wait_reason.into(),
            detail: "a/records: from entry 10 on".into(),
        }))
    }

    type ShowReceiptsStream = Answers<ShowReceiptsResponse>;
    async fn show_receipts(
        &self,
        _: Request<ShowReceiptsRequest>,
    ) -> Result<Response<Self::ShowReceiptsStream>, Status> {
        self.permit()?;
        Ok(answers(self.held.clone()))
    }

    async fn list_logs(&self, _: Request<ListLogsRequest>) -> Result<Response<ListLogsResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ListLogsResponse { logs: self.logs.iter().map(FakeLog::state).collect() }))
    }

    type ReadLogStream = Answers<ReadLogResponse>;
    async fn read_log(&self, request: Request<ReadLogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        self.permit()?;
        let request = request.into_inner();
        let log = self.logs.iter().find(|log| log.log.to_string() == request.log);
        Ok(answers(log.ok_or_else(|| refusal(Reason::NotFound))?.read(request.from, request.to)))
    }

    async fn prove_entry(&self, _: Request<ProveEntryRequest>) -> Result<Response<ProveEntryResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ProveEntryResponse { file: self.proof.clone().into() }))
    }

    async fn list_evidence(&self, _: Request<ListEvidenceRequest>) -> Result<Response<ListEvidenceResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ListEvidenceResponse::default()))
    }

    async fn export_evidence(
        &self,
        _: Request<ExportEvidenceRequest>,
    ) -> Result<Response<ExportEvidenceResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ExportEvidenceResponse { file: self.proof.clone().into() }))
    }

    async fn list_quarantine(
        &self,
        _: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        self.permit()?;
        Ok(Response::new(ListQuarantineResponse::default()))
    }

    async fn decide_fork(&self, request: Request<DecideForkRequest>) -> Result<Response<DecideForkResponse>, Status> {
        self.permit()?;
        let request = request.into_inner();
        Ok(Response::new(DecideForkResponse {
            log: request.log,
            author: "17065-0123456789abcdef".into(),
            entries: request.size.unwrap_or(12),
            held: 12,
            // Only a decision that was written is like one that was made before.
            before: self.complete,
            ..Default::default()
        }))
    }

    async fn retry_link(&self, _: Request<RetryLinkRequest>) -> Result<Response<RetryLinkResponse>, Status> {
        self.permit()?;
        let link = if self.complete { LinkState::Connected } else { LinkState::Waiting };
        Ok(Response::new(RetryLinkResponse {
            link: link.into(),
            link_reason: self.wait_reason.into(),
            ..Default::default()
        }))
    }

    type DoctorStream = Answers<DoctorResponse>;
    async fn doctor(&self, _: Request<DoctorRequest>) -> Result<Response<Self::DoctorStream>, Status> {
        self.permit()?;
        let well = DoctorResponse { check: "keys".into(), state: DoctorState::Ok.into(), ..Default::default() };
        let damage = DoctorResponse {
            check: "database".into(),
            state: DoctorState::Fail.into(),
            reason: Reason::StoreDamaged.code().into(),
            detail: "page 7".into(),
            next_step: "restore".into(),
        };
        Ok(answers(vec![damage, well]))
    }
}

#[tonic::async_trait]
impl QueryService for Fake {
    type PullAggregateStream = Answers<PullAggregateResponse>;
    async fn pull_aggregate(
        &self,
        request: Request<PullAggregateRequest>,
    ) -> Result<Response<Self::PullAggregateStream>, Status> {
        self.permit()?;
        let header = AnswerHeader { query: request.into_inner().query, ..self.header.clone() };
        let first = PullAggregateResponse { header: Some(header), cells: Vec::new() };
        let rest = self.cells.chunks(2).map(|cells| PullAggregateResponse { header: None, cells: cells.to_vec() });
        Ok(answers(std::iter::once(first).chain(rest).collect()))
    }

    type ShowCompletenessStream = Answers<ShowCompletenessResponse>;
    async fn show_completeness(
        &self,
        request: Request<ShowCompletenessRequest>,
    ) -> Result<Response<Self::ShowCompletenessStream>, Status> {
        self.permit()?;
        let ShowCompletenessRequest { month, unit } = request.into_inner();
        let header = CompletenessHeader { month, unit, units_all: 4, ..Default::default() };
        let first = ShowCompletenessResponse { header: Some(header), units: Vec::new() };
        let rest = self.months.chunks(1).map(|units| ShowCompletenessResponse { header: None, units: units.to_vec() });
        Ok(answers(std::iter::once(first).chain(rest).collect()))
    }

    type ExplainAggregateStream = Answers<ExplainAggregateResponse>;
    async fn explain_aggregate(
        &self,
        request: Request<ExplainAggregateRequest>,
    ) -> Result<Response<Self::ExplainAggregateStream>, Status> {
        self.permit()?;
        let request = request.into_inner();
        let answer = AnswerHeader { query: request.query, frontier: request.since, ..self.header.clone() };
        let now = 5 + self.steps.iter().map(|step| step.added - step.removed).sum::<i64>();
        let header = ExplainHeader { answer: Some(answer), then: 5, now, ..Default::default() };
        let first = ExplainAggregateResponse { header: Some(header), steps: Vec::new() };
        let rest = ExplainAggregateResponse { header: None, steps: self.steps.clone() };
        Ok(answers(vec![first, rest]))
    }
}
