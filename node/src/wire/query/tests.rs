//! Tests of the room beside.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::answer::tests::fixture::Federation;

/// Children that answer, refuse or give something else.
struct Asked {
    federation: Arc<Federation>,
    gone: Vec<NodeId>,
    refuse: Option<Reason>,
    replay: bool,
    /// The node that says of itself that it is an old copy.
    old_copy: Option<NodeId>,
    count: AtomicUsize,
}

impl Asked {
    fn notes(&self, node: &NodeId) -> Vec<Note> {
        let old_copy = self.old_copy.iter().filter(|old| *old == node);
        old_copy.map(|node| Note { node: node.clone(), reason: "read_only".into(), detail: "3 here".into() }).collect()
    }
}

impl AskChild for Asked {
    async fn ask(&self, node: &NodeId, query: Bytes, nonce: [u8; 16]) -> Result<Vec<u8>, Refusal> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.gone.contains(node) {
            return Err(Refusal::new(Reason::ChildUnavailable, format!("{node} is not connected")));
        }
        if let Some(reason) = self.refuse {
            return Err(Refusal::new(reason, "as told"));
        }
        let f = &self.federation;
        let member = [&f.north, &f.south].into_iter().find(|member| member.id == *node).expect("a member");
        let nonce = if self.replay { [0; 16] } else { nonce };
        member.answers().sealed(&f.directory, query, nonce, &|_| self.notes(node)).await.map(|bytes| bytes.to_vec())
    }
}

fn service(federation: &Arc<Federation>, change: impl FnOnce(&mut Asked)) -> Queries<Asked> {
    let mut children = Asked {
        federation: federation.clone(),
        gone: Vec::new(),
        refuse: None,
        replay: false,
        old_copy: None,
        count: AtomicUsize::new(0),
    };
    change(&mut children);
    let directory = federation.directory.clone();
    let answers = federation.province.answers();
    let notes = Box::new(|_: &Query| Vec::new());
    let heard = Box::new(HashMap::new);
    Queries { answers, directory: Box::new(move || directory.clone()), notes, heard, children, nonce: || [5; 16] }
}

fn request(query: pb::Query, source: pb::Source) -> pb::PullAggregateRequest {
    pb::PullAggregateRequest { query: Some(query), source: source as i32 }
}

#[tokio::test]
async fn the_children_s_answer_is_streamed_and_is_the_local_one() {
    let f = Arc::new(Federation::new().await);
    let queries = service(&f, |_| {});
    let mut got = Vec::new();
    for source in [pb::Source::Local, pb::Source::Children] {
        let query = f.ask("40", "commune", &["month", "sex", "age_group"]);
        let stream = queries.pull_aggregate(Request::new(request(query, source))).await.expect("an answer");
        let messages: Vec<pb::PullAggregateResponse> =
            stream.into_inner().map(|message| message.expect("a message")).collect().await;
        let header = messages[0].header.clone().expect("the header comes first");
        assert!(messages[0].cells.is_empty() && messages[1..].iter().all(|message| message.header.is_none()));
        let cells: Vec<pb::Cell> = messages.into_iter().flat_map(|message| message.cells).collect();
        got.push((cells, header));
    }
    assert!(!got[0].0.is_empty());
    assert_eq!(got[0].0, got[1].0);
    assert_eq!(got[0].1.frontier, got[1].1.frontier);
    assert_eq!(got[1].1.asked, [f.north.id.to_string(), f.south.id.to_string()]);
}

#[tokio::test]
async fn a_child_that_answers_as_an_old_copy_is_named() {
    let f = Arc::new(Federation::new().await);
    let queries = service(&f, |children| children.old_copy = Some(f.south.id.clone()));
    let notes = async |unit| {
        let answer = queries.pull(request(f.ask(unit, "", &[]), pb::Source::Children)).await.expect("an answer");
        answer.header().notes
    };
    let note = pb::Note { node: f.south.id.to_string(), reason: "read_only".into(), detail: "3 here".into() };
    assert_eq!(notes("40").await, [note]);
    assert_eq!(notes("17001").await, [], "it was not asked about this");
}

#[tokio::test]
async fn a_missing_child_means_no_figure_and_all_that_miss_are_named() {
    let f = Arc::new(Federation::new().await);
    let pull = async |gone: Vec<NodeId>, unit: &str| {
        let queries = service(&f, |children| children.gone = gone);
        let answer = queries.pull(request(f.ask(unit, "", &[]), pb::Source::Children)).await;
        (answer, queries.children.count.load(Ordering::Relaxed))
    };
    let (answer, asked) = pull(vec![f.south.id.clone(), f.north.id.clone()], "40").await;
    let refusal = answer.expect_err("nobody is there");
    assert_eq!((refusal.reason, asked), (Reason::ChildUnavailable, 2));
    assert_eq!(refusal.detail, format!("{}, {}", f.north.id, f.south.id));
    let (answer, _) = pull(vec![f.south.id.clone()], "40").await;
    let refusal = answer.expect_err("one is not there");
    assert_eq!((refusal.reason, refusal.detail), (Reason::ChildUnavailable, f.south.id.to_string()));
    // A child that the question does not concern is not asked, and not missed.
    let (answer, asked) = pull(vec![f.south.id.clone()], "17001").await;
    assert!(answer.is_ok() && asked == 1);
}

#[tokio::test]
async fn what_a_child_refuses_or_replays_is_said() {
    let f = Arc::new(Federation::new().await);
    let pull = async |change: fn(&mut Asked)| {
        let queries = service(&f, change);
        queries.pull(request(f.ask("40", "", &[]), pb::Source::Children)).await.expect_err("refused")
    };
    let refusal = pull(|children| children.refuse = Some(Reason::UnitsVersionUnknown)).await;
    assert_eq!(refusal.reason, Reason::UnitsVersionUnknown);
    assert_eq!(refusal.detail, format!("{}: as told", f.north.id));
    assert_eq!(pull(|children| children.refuse = Some(Reason::LinkDown)).await.reason, Reason::ChildUnavailable);
    assert_eq!(pull(|children| children.replay = true).await.reason, Reason::AnswerInvalid);
}

#[tokio::test]
async fn a_request_that_asks_nothing_or_too_much_is_refused() {
    let f = Arc::new(Federation::new().await);
    let queries = service(&f, |_| {});
    let reason = async |request| queries.pull(request).await.expect_err("refused").reason;
    assert_eq!(reason(pb::PullAggregateRequest::default()).await, Reason::QueryInvalid);
    assert_eq!(reason(request(f.ask("40", "", &[]), pb::Source::Unspecified)).await, Reason::QueryInvalid);
    for source in [pb::Source::Local, pb::Source::Children] {
        assert_eq!(reason(request(f.ask("VN", "", &[]), source)).await, Reason::UnitNotOurs);
        assert_eq!(reason(request(f.ask("49", "", &[]), source)).await, Reason::UnitNotOurs);
        assert_eq!(reason(request(f.ask("98", "", &[]), source)).await, Reason::UnitUnknown);
    }
    let status = queries.pull_aggregate(Request::new(pb::PullAggregateRequest::default())).await;
    assert_eq!(status.err().map(|status| status.code()), Some(tonic::Code::InvalidArgument));
}

#[test]
fn a_refusal_names_a_bounded_number_of_children() {
    let refused = (0..200u8).map(|n| {
        let node = NodeId::new(&"40".parse().expect("a unit"), &[n; 32]);
        (node, Refusal::new(Reason::ChildUnavailable, "away"))
    });
    let refusal = all_refused(refused.collect());
    assert!(refusal.detail.ends_with("and 150 more"));
    assert_eq!(refusal.detail.matches("40-").count(), NAMED_MAX);
}
