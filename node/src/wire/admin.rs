//! The operator's service: what may be done with this node over its unix socket. Each verb translates protobuf to the rooms below and back;
//! refusals become statuses here and in `status` only. Who may call was decided by the socket's mode. Never sees the store.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use danso_core::calendar::{PartialDate, VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use danso_core::messages::Lang;
use danso_core::units::{Unit, UnitList};
use danso_core::verify::Directory;
use danso_proto::ids::{NodeId, UnitCode};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::pb::admin::v1::admin_service_server::AdminService;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::status;
use crate::clock::Clock;
use crate::config::Address;
use crate::doctor::Doctor;
use crate::keys::Rotation;
use crate::link::{Children, LinkStatus, Retry};
use crate::pipeline::{self, Snapshot};
use crate::view::{self, View};

mod authors;
mod checkup;
mod findings;
mod forks;
mod held;
mod import;
mod invite;
mod keys;
mod link;
mod lists;
mod logs;
mod overview;
mod period;
mod receipts;
mod rules;
mod standing;

/// What the operator's service is made of.
#[derive(Clone)]
pub struct Parts {
    /// The pipeline.
    pub pipeline: pipeline::Handle,
    /// The store, to look at.
    pub view: View,
    /// The children's sessions.
    pub children: Children,
    /// How the link to the parent is; `None` at the root.
    pub link: Option<watch::Receiver<LinkStatus>>,
    /// Has the parent dialled now.
    pub retry: Retry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The CA that this node's children trust, DER: it travels in invites.
    pub ca_certificate: Vec<u8>,
    /// Address that invites name when none is given.
    pub invite_address: Address,
    /// The parent and its address; `None` at the root.
    pub parent: Option<(NodeId, Address)>,
    /// Where children's connections are accepted.
    pub listen: Address,
    /// Looks the node over.
    pub doctor: Doctor,
    /// Directory for the nameless files that an XLSX file is spooled into: of this user only, as what is in them is.
    pub scratch: PathBuf,
    /// The files of a change of the log key.
    pub rotation: Arc<Rotation>,
}

/// The operator's service.
#[derive(Clone)]
pub struct Admin(Arc<Parts>);

impl Admin {
    /// The service over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Parts {
    /// Today in Viet Nam.
    fn today(&self) -> PartialDate {
        civil_from_unix_ms(self.clock.now_ms(), VIET_NAM_OFFSET_MINUTES)
    }

    /// The unit list in force.
    ///
    /// # Errors
    /// `units_version_unknown`.
    fn units(&self, directory: &Directory) -> Result<Arc<UnitList>, Refusal> {
        let list = directory.units().in_force(self.today()).cloned();
        list.ok_or_else(|| {
            Refusal::new(Reason::UnitsVersionUnknown, "the unit list has not arrived yet; wait for the link")
        })
    }

    /// A unit in the list in force, else in any list: a unit that was abolished still has a name.
    fn unit<'a>(&self, directory: &'a Directory, code: &UnitCode) -> Option<&'a Unit> {
        let lists = directory.units();
        let here = lists.in_force(self.today()).and_then(|list| list.get(code));
        here.or_else(|| lists.iter().filter_map(|list| list.get(code)).last())
    }
}

/// The unit that this node serves.
///
/// # Errors
/// `key_not_enrolled`, when the directory does not name this node.
fn own_unit(snapshot: &Snapshot) -> Result<&UnitCode, Refusal> {
    let me = snapshot.directory().node(snapshot.me());
    Ok(me.ok_or_else(|| Refusal::new(Reason::KeyNotEnrolled, "this node is not in the directory"))?.unit())
}

/// A unit's code as the operator typed it.
///
/// # Errors
/// `unit_unknown`.
fn unit_code(code: &str) -> Result<UnitCode, Refusal> {
    code.trim().parse().map_err(|error| Refusal::new(Reason::UnitUnknown, format!("{error}")))
}

/// The language of messages; Vietnamese when none is named.
///
/// # Errors
/// `request_invalid`.
fn lang(word: &str) -> Result<Lang, Refusal> {
    if word.is_empty() {
        return Ok(Lang::default());
    }
    word.parse().map_err(|error| {
        Refusal::new(Reason::RequestInvalid, format!("{error}, not {:?}", word.chars().take(20).collect::<String>()))
    })
}

fn of_view(error: view::Error) -> Refusal {
    error.refusal()
}

fn of_pipeline(error: pipeline::Error) -> Refusal {
    error.refusal()
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream of answers with refusals as statuses.
fn responses<T: Send + 'static>(answers: mpsc::Receiver<Result<T, Refusal>>) -> Response<Responses<T>> {
    let answers = ReceiverStream::new(answers).map(|answer| answer.map_err(|refusal| status::from_refusal(&refusal)));
    Response::new(Box::pin(answers))
}

fn answered<T>(answer: Result<T, Refusal>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(|refusal| status::from_refusal(&refusal))
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Result<Response<pb::GetStatusResponse>, Status> {
        answered(self.0.status().await)
    }

    async fn create_invite(
        &self,
        request: Request<pb::CreateInviteRequest>,
    ) -> Result<Response<pb::CreateInviteResponse>, Status> {
        answered(self.0.invite(request.into_inner()).await)
    }

    async fn list_children(
        &self,
        _: Request<pb::ListChildrenRequest>,
    ) -> Result<Response<pb::ListChildrenResponse>, Status> {
        let children = self.0.children(&self.0.pipeline.snapshot());
        answered(Ok(pb::ListChildrenResponse { children }))
    }

    async fn revoke_child(
        &self,
        request: Request<pb::RevokeChildRequest>,
    ) -> Result<Response<pb::RevokeChildResponse>, Status> {
        answered(self.0.revoke_child(request.into_inner()).await)
    }

    async fn plan_revocation(
        &self,
        request: Request<pb::PlanRevocationRequest>,
    ) -> Result<Response<pb::PlanRevocationResponse>, Status> {
        answered(self.0.plan_revocation(request.get_ref()))
    }

    async fn rotate_key(&self, _: Request<pb::RotateKeyRequest>) -> Result<Response<pb::RotateKeyResponse>, Status> {
        answered(self.0.rotate_key().await)
    }

    type ImportStream = Responses<pb::ImportResponse>;

    async fn import(
        &self,
        request: Request<Streaming<pb::ImportRequest>>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let requests = request.into_inner().map(|message| message.map_err(|error| error.message().to_owned()));
        let answers = import::begin(&self.0, requests).await.map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(responses(answers))
    }

    type ListWaitingStream = Responses<pb::ListWaitingResponse>;

    async fn list_waiting(
        &self,
        request: Request<pb::ListWaitingRequest>,
    ) -> Result<Response<Self::ListWaitingStream>, Status> {
        lang(&request.into_inner().lang).map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(responses(lists::waiting(self.0.view.clone())))
    }

    type ListFindingsStream = Responses<pb::ListFindingsResponse>;

    async fn list_findings(
        &self,
        request: Request<pb::ListFindingsRequest>,
    ) -> Result<Response<Self::ListFindingsStream>, Status> {
        let wanted = self.0.wanted_findings(request.into_inner());
        let wanted = wanted.map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(responses(findings::findings(&self.0, wanted)))
    }

    async fn answer_finding(
        &self,
        request: Request<pb::AnswerFindingRequest>,
    ) -> Result<Response<pb::AnswerFindingResponse>, Status> {
        answered(self.0.answer_finding(request.into_inner()).await)
    }

    async fn list_rules(
        &self,
        request: Request<pb::ListRulesRequest>,
    ) -> Result<Response<pb::ListRulesResponse>, Status> {
        let request = request.into_inner();
        let lang = lang(&request.lang).map_err(|refusal| status::from_refusal(&refusal))?;
        answered(self.0.list_rules(&request, lang))
    }

    async fn set_rule(&self, request: Request<pb::SetRuleRequest>) -> Result<Response<pb::SetRuleResponse>, Status> {
        answered(self.0.set_rule(request.into_inner()).await)
    }

    async fn close_period(
        &self,
        request: Request<pb::ClosePeriodRequest>,
    ) -> Result<Response<pb::ClosePeriodResponse>, Status> {
        answered(self.0.close_period(request.into_inner()).await)
    }

    async fn list_receipts(
        &self,
        request: Request<pb::ListReceiptsRequest>,
    ) -> Result<Response<pb::ListReceiptsResponse>, Status> {
        answered(self.0.list_receipts(request.into_inner()).await)
    }

    async fn wait_receipt(
        &self,
        request: Request<pb::WaitReceiptRequest>,
    ) -> Result<Response<pb::WaitReceiptResponse>, Status> {
        answered(self.0.wait_receipt(request.into_inner()).await)
    }

    type ShowReceiptsStream = Responses<pb::ShowReceiptsResponse>;

    async fn show_receipts(
        &self,
        request: Request<pb::ShowReceiptsRequest>,
    ) -> Result<Response<Self::ShowReceiptsStream>, Status> {
        let held = self.0.show_receipts(request.into_inner()).await;
        Ok(responses(held.map_err(|refusal| status::from_refusal(&refusal))?))
    }

    async fn list_logs(&self, _: Request<pb::ListLogsRequest>) -> Result<Response<pb::ListLogsResponse>, Status> {
        let logs = self.0.logs(&self.0.pipeline.snapshot());
        answered(Ok(pb::ListLogsResponse { logs }))
    }

    type ReadLogStream = Responses<pb::ReadLogResponse>;

    async fn read_log(&self, request: Request<pb::ReadLogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        let entries = self.0.read_log(request.into_inner()).map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(responses(entries))
    }

    async fn prove_entry(
        &self,
        request: Request<pb::ProveEntryRequest>,
    ) -> Result<Response<pb::ProveEntryResponse>, Status> {
        answered(self.0.prove(request.into_inner()).await)
    }

    async fn list_evidence(
        &self,
        request: Request<pb::ListEvidenceRequest>,
    ) -> Result<Response<pb::ListEvidenceResponse>, Status> {
        answered(self.0.list_evidence(request.into_inner()).await)
    }

    async fn export_evidence(
        &self,
        request: Request<pb::ExportEvidenceRequest>,
    ) -> Result<Response<pb::ExportEvidenceResponse>, Status> {
        answered(self.0.export_evidence(request.into_inner()).await)
    }

    async fn list_quarantine(
        &self,
        _: Request<pb::ListQuarantineRequest>,
    ) -> Result<Response<pb::ListQuarantineResponse>, Status> {
        answered(self.0.list_quarantine().await)
    }

    async fn decide_fork(
        &self,
        request: Request<pb::DecideForkRequest>,
    ) -> Result<Response<pb::DecideForkResponse>, Status> {
        answered(self.0.decide_fork(request.into_inner()).await)
    }

    async fn retry_link(&self, _: Request<pb::RetryLinkRequest>) -> Result<Response<pb::RetryLinkResponse>, Status> {
        answered(self.0.retry_link().await)
    }

    type DoctorStream = Responses<pb::DoctorResponse>;

    async fn doctor(&self, request: Request<pb::DoctorRequest>) -> Result<Response<Self::DoctorStream>, Status> {
        let lang = lang(&request.into_inner().lang).map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(responses(self.0.checkup(lang)))
    }
}

#[cfg(test)]
mod tests;
