//! `danso.query.v1`: questions about figures, answered from the own cube or by asking the children.
//!
//! Served where only the node's operator can ask (the admin socket), so that nothing in here asks who it is. Knows how answers are made and
//! put together from `answer`, and how a child is reached from [`AskChild`] only.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use danso_core::verify::Directory;
use danso_proto::ids::NodeId;
use danso_proto::limits;
use danso_proto::pb::query::v1 as pb;
use danso_proto::pb::query::v1::query_service_server::QueryService;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::{Stream, StreamExt as _, stream};
use prost::Message as _;
use tonic::{Request, Response, Status};

mod months;

use super::status;
use crate::answer::{self, Answer, Answers, Note, Query};
use crate::keys::random_bytes;
use crate::link::{Children, Context};

/// Cells in one message: some 100 KiB, a tenth of what a message may have.
const CELLS_PER_MESSAGE: usize = 2_000;
/// Children that are asked at once: all the provinces, or the communes of a large one, and a bound for what is in memory at once.
const ASKED_AT_ONCE: usize = 64;
/// Children that a refusal names one by one.
const NAMED_MAX: usize = 50;
/// Bytes that the frame around a header needs at most.
const FRAME_BYTES: usize = 1024;

/// How a child is asked.
pub trait AskChild: Send + Sync + 'static {
    /// Puts an encoded query to a child, and gives the envelope of its answer, not yet checked.
    fn ask(
        &self,
        node: &NodeId,
        query: Bytes,
        nonce: [u8; 16],
    ) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send;
}

/// The directory as it is when a question comes.
type CurrentDirectory = Box<dyn Fn() -> Arc<Directory> + Send + Sync>;

/// What has to be told of this node when a question is asked.
type NotesAbout = Box<dyn Fn(&Query) -> Vec<Note> + Send + Sync>;

/// When each child was last heard over its link since this node started, Unix milliseconds.
type LastHeard = Box<dyn Fn() -> HashMap<NodeId, i64> + Send + Sync>;

/// The service.
pub struct Queries<A = Children> {
    answers: Answers,
    directory: CurrentDirectory,
    notes: NotesAbout,
    heard: LastHeard,
    children: A,
    /// 16 fresh random bytes.
    nonce: fn() -> [u8; 16],
}

impl Queries {
    /// A service of the node that this is the context of. It asks `children`.
    pub fn new(context: Context, children: Children) -> Self {
        let (answers, pipeline) = (context.answers.clone(), context.pipeline.clone());
        let directory: CurrentDirectory = Box::new(move || pipeline.snapshot().directory_arc());
        let notes: NotesAbout = Box::new(move |query| context.notes(query));
        let links = children.clone();
        let heard: LastHeard =
            Box::new(move || links.list().into_iter().map(|child| (child.node, child.heard_ms)).collect());
        Self { answers, directory, notes, heard, children, nonce: random_bytes }
    }
}

impl<A: AskChild> Queries<A> {
    /// The answer to a request.
    ///
    /// # Errors
    /// `query_invalid`, `units_version_unknown`, `unit_unknown`, `unit_not_ours`, `too_large`, `child_unavailable`, `answer_invalid`, what a
    /// child refuses, `internal`.
    pub async fn pull(&self, request: pb::PullAggregateRequest) -> Result<Answer, Refusal> {
        let directory = (self.directory)();
        let query = request.query.ok_or_else(|| invalid("there is no query"))?;
        let query = self.answers.query(&directory, &query)?;
        let mut answer = match pb::Source::try_from(request.source) {
            Ok(pb::Source::Local) => self.answers.local(&directory, &query).await.map_err(answer::Error::refusal)?,
            Ok(pb::Source::Children) => self.ask_children(directory, &query).await?,
            Ok(pb::Source::Unspecified) | Err(_) => return Err(invalid("the source is neither local nor children")),
        };
        // This node's own first, then those of the children.
        answer.notes.splice(0..0, (self.notes)(&query));
        Ok(answer)
    }

    async fn ask_children(&self, directory: Arc<Directory>, query: &Query) -> Result<Answer, Refusal> {
        let split = self.answers.split(&directory, query)?;
        // Whatever a child does, the own part is needed; and it refuses a question that is too large before anybody is troubled.
        let own = self.answers.rest(&directory, query, &split).await.map_err(answer::Error::refusal)?;
        let asking = stream::iter(split.children).map(|(node, query)| {
            let directory = directory.clone();
            async move {
                let answer = self.ask(directory, &node, query).await;
                (node, answer)
            }
        });
        let mut asking = std::pin::pin!(asking.buffer_unordered(ASKED_AT_ONCE));
        let (mut answers, mut refused) = (Vec::new(), Vec::new());
        // One refusal is the end of the answer, but whoever asked shall know all children that are missing.
        while let Some((node, answer)) = asking.next().await {
            match answer {
                Ok(answer) if refused.is_empty() => answers.push(answer),
                Ok(_) => {}
                Err(refusal) => {
                    answers.clear();
                    refused.push((node, refusal));
                }
            }
        }
        if refused.is_empty() { answer::combine(own, answers) } else { Err(all_refused(refused)) }
    }

    async fn ask(&self, directory: Arc<Directory>, node: &NodeId, query: Query) -> Result<Answer, Refusal> {
        let nonce = (self.nonce)();
        let put = query.to_pb().encode_to_vec().into();
        let envelope = self.children.ask(node, put, nonce).await?;
        let node = node.clone();
        // Up to 64 MiB are hashed and read: not on a thread that carries links.
        let checked = tokio::task::spawn_blocking(move || {
            let child = directory.node(&node).ok_or_else(|| Refusal::new(Reason::NotAChild, node.to_string()))?;
            answer::check(envelope.into(), child, &directory, &query, nonce)
        });
        checked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "query: the check of an answer was broken off");
            Err(Refusal::new(Reason::Internal, "the check of a child's answer was broken off"))
        })
    }
}

/// One refusal for those of several children: those that were not reached first, for they can be waited for.
fn all_refused(mut refused: Vec<(NodeId, Refusal)>) -> Refusal {
    refused.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let unreached: Vec<&str> =
        refused.iter().filter(|(_, refusal)| is_unreached(refusal.reason)).map(|(node, _)| node.as_str()).collect();
    if let Some((node, refusal)) = refused.first()
        && unreached.is_empty()
    {
        return Refusal::new(refusal.reason, format!("{node}: {}", refusal.detail));
    }
    let mut detail = unreached.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    if unreached.len() > NAMED_MAX {
        detail.push_str(&format!(" and {} more", unreached.len() - NAMED_MAX));
    }
    Refusal::new(Reason::ChildUnavailable, detail)
}

/// Whether a child was not there, or could not answer for a reason that passes.
fn is_unreached(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ChildUnavailable | Reason::LinkDown | Reason::ShuttingDown | Reason::SessionReplaced | Reason::Internal
    )
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(Reason::QueryInvalid, detail)
}

/// The messages of an answer: the header, then the cells.
fn messages(answer: Answer) -> Result<impl Iterator<Item = pb::PullAggregateResponse> + Send, Refusal> {
    let header = answer.header();
    if header.encoded_len() + FRAME_BYTES > limits::GRPC_MESSAGE_MAX {
        let detail = format!("the answer was made from {} logs; ask unit by unit", header.frontier.len());
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    let head = pb::PullAggregateResponse { header: Some(header), cells: Vec::new() };
    let cells = answer.into_cells(CELLS_PER_MESSAGE).map(|cells| pb::PullAggregateResponse { header: None, cells });
    Ok(std::iter::once(head).chain(cells))
}

#[tonic::async_trait]
impl<A: AskChild> QueryService for Queries<A> {
    type PullAggregateStream = Pin<Box<dyn Stream<Item = Result<pb::PullAggregateResponse, Status>> + Send>>;

    type ShowCompletenessStream = Pin<Box<dyn Stream<Item = Result<pb::ShowCompletenessResponse, Status>> + Send>>;
    type ExplainAggregateStream = Pin<Box<dyn Stream<Item = Result<pb::ExplainAggregateResponse, Status>> + Send>>;

    async fn show_completeness(
        &self,
        request: Request<pb::ShowCompletenessRequest>,
    ) -> Result<Response<Self::ShowCompletenessStream>, Status> {
        let messages = self.completeness(request.into_inner()).await;
        let messages = messages.map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(Response::new(Box::pin(stream::iter(messages.map(Ok)))))
    }

    async fn explain_aggregate(
        &self,
        request: Request<pb::ExplainAggregateRequest>,
    ) -> Result<Response<Self::ExplainAggregateStream>, Status> {
        let messages = self.explain(request.into_inner()).await;
        let messages = messages.map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(Response::new(Box::pin(stream::iter(messages.map(Ok)))))
    }

    async fn pull_aggregate(
        &self,
        request: Request<pb::PullAggregateRequest>,
    ) -> Result<Response<Self::PullAggregateStream>, Status> {
        let answer = self.pull(request.into_inner()).await;
        let messages = answer.and_then(messages).map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(Response::new(Box::pin(stream::iter(messages.map(Ok)))))
    }
}

impl AskChild for Children {
    async fn ask(&self, node: &NodeId, query: Bytes, nonce: [u8; 16]) -> Result<Vec<u8>, Refusal> {
        Children::ask(self, node, query, nonce).await
    }
}

#[cfg(test)]
mod tests;
