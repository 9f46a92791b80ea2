//! One session, either end: events from the carrier, the pipeline and the children's registry go into the state machine; its actions are
//! carried out.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::time::Duration;

use danso_core::sync::{Action, Event, ForwardedReceipt, Frame, Head, Link, Question, Role, Session, SessionConfig};
use danso_proto::checkpoint;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::merkle;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use futures_util::{FutureExt as _, Stream as AsyncStream, StreamExt as _};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::load::{OwnTrees, load, load_proof, root_at};
use super::{
    Ahead, Context, PROTOCOL, SOFTWARE, Seen, Shorter, check_child, flowing, forks, heads, own, receipts, to_pb,
};
use crate::pipeline::{Committed, Error, Handle, Received, Trouble};
use crate::telemetry::{self, ENTRIES_REFUSED};

/// Frames from the peer. An item that is an error ends the session.
pub type Inbound = Pin<Box<dyn AsyncStream<Item = Result<Frame, Refusal>> + Send>>;
/// Frames to the peer. Small: what waits for a slow link waits in the session, which bounds it.
pub type Outbound = mpsc::Sender<pb::Frame>;

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub refusal: Refusal,
    /// The peer was greeted: the link works.
    pub greeted: bool,
    /// Packages in flight with which the next session begins.
    pub window: u32,
}

/// A question for the peer, and where the answer goes.
pub(super) struct Ask {
    pub(super) query: bytes::Bytes,
    pub(super) nonce: [u8; 16],
    pub(super) reply: oneshot::Sender<Result<Vec<u8>, Refusal>>,
}

/// The two ends and the carrier of a session.
pub(super) struct Setup {
    pub(super) role: Role,
    pub(super) peer: NodeId,
    pub(super) window: u32,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) questions: mpsc::Receiver<Ask>,
    pub(super) seen: watch::Sender<Seen>,
    pub(super) stop: CancellationToken,
}

/// Time for the state machine to notice what no event tells it.
const TICK: Duration = Duration::from_secs(5);
/// Ticks without a word from a peer that has to answer, or that takes nothing of what it is sent, until the link counts as cut: a quarter of
/// an hour. The connection may live on when what should serve it does not.
const STALLED_TICKS: u32 = 180;
/// Between a session's first frame and the peer's hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(60);

/// Something that was started and is now done.
pub(super) enum Outcome {
    Event(Event),
    Nothing,
}

type Task = Pin<Box<dyn Future<Output = Outcome> + Send>>;

struct Running {
    context: Context,
    session: Session,
    link: Link,
    /// Commits, answered in the order in which they were asked for.
    commits: FuturesOrdered<Task>,
    /// Everything else that takes time.
    tasks: FuturesUnordered<Task>,
    frames: mpsc::UnboundedSender<Frame>,
    asked: HashMap<u64, oneshot::Sender<Result<Vec<u8>, Refusal>>>,
    next_question: u64,
    /// Ticks since the peer said or took anything.
    quiet_ticks: u32,
    seen: watch::Sender<Seen>,
    trees: OwnTrees,
    unread: receipts::Unread,
}

/// Runs a session until either side ends it. Everything that was given to the pipeline is answered before this returns.
pub(super) async fn run(context: Context, setup: Setup) -> Ended {
    let Setup { role, peer, window, mut inbound, outbound, mut questions, seen, stop } = setup;
    let me = context.pipeline.me().clone();
    let link = match role {
        Role::Child => Link { child: me.clone(), parent: peer.clone() },
        Role::Parent => Link { child: peer.clone(), parent: me.clone() },
    };
    let session = Session::new(SessionConfig {
        role,
        me,
        peer: peer.clone(),
        protocol: PROTOCOL,
        window_start: window,
        software: SOFTWARE.into(),
    });
    let (frames, to_send) = mpsc::unbounded_channel();
    let (sent, mut sent_frames) = mpsc::unbounded_channel();
    let writer = tokio::spawn(write(to_send, outbound, sent));
    // Listened to before the heads are read, so that no commit falls between.
    let mut committed = context.pipeline.committed();
    let mut running = Running {
        session,
        link,
        commits: FuturesOrdered::new(),
        tasks: FuturesUnordered::new(),
        frames,
        asked: HashMap::new(),
        next_question: 0,
        quiet_ticks: 0,
        seen,
        trees: OwnTrees::default(),
        unread: receipts::Unread::default(),
        context,
    };
    let mut end = running.start().await.err();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let hello = tokio::time::sleep(HELLO_TIMEOUT);
    tokio::pin!(hello);
    while end.is_none() {
        let step = tokio::select! {
            () = stop.cancelled() => Err(Refusal::new(Reason::SessionReplaced, "a newer session of this node, or the node ends")),
            frame = inbound.next(), if running.session.has_room() => match frame {
                Some(Ok(frame)) => running.heard(frame).await,
                Some(Err(refusal)) => Err(refusal),
                None => Err(Refusal::new(Reason::LinkDown, "the peer ended the session")),
            },
            Some(outcome) = running.commits.next() => running.outcome(outcome).await,
            Some(outcome) = running.tasks.next() => running.outcome(outcome).await,
            Some(()) = sent_frames.recv() => running.sent().await,
            news = committed.recv() => running.news(news).await,
            Some(ask) = questions.recv() => running.ask(ask).await,
            _ = tick.tick() => running.tick().await,
            () = &mut hello, if !running.seen.borrow().greeted => {
                Err(Refusal::new(Reason::LinkDown, "the peer said no hello in time"))
            }
        };
        end = step.err();
    }
    let refusal = end.unwrap_or_else(|| Refusal::new(Reason::LinkDown, "the session ended"));
    // What the pipeline was given may still be committed: the next session's heads must not be read before.
    while running.commits.next().await.is_some() {}
    let Running { frames, session, seen, .. } = running;
    drop(frames);
    // A slow link does not get the rest: the next session says again what matters.
    writer.abort();
    let greeted = seen.borrow().greeted;
    tracing::info!(%peer, reason = %refusal.reason, detail = %refusal.detail, "link: session ended");
    Ended { refusal, greeted, window: session.window_after_cut() }
}

/// Encodes and hands over frames, one by one, and says when each was taken.
async fn write(mut frames: mpsc::UnboundedReceiver<Frame>, outbound: Outbound, sent: mpsc::UnboundedSender<()>) {
    while let Some(frame) = frames.recv().await {
        if outbound.send(to_pb(frame)).await.is_err() || sent.send(()).is_err() {
            return;
        }
    }
}

impl Running {
    async fn start(&mut self) -> Result<(), Refusal> {
        let snapshot = self.context.pipeline.snapshot();
        let now_ms = self.context.clock.now_ms();
        self.step(Event::Start { now_ms, heads: heads(&snapshot, &self.link) }).await
    }

    async fn tick(&mut self) -> Result<(), Refusal> {
        // Who asked has gone: the child need not answer.
        let gone: Vec<u64> = self.asked.iter().filter(|(_, reply)| reply.is_closed()).map(|(id, _)| *id).collect();
        for id in gone {
            self.asked.remove(&id);
            self.step(Event::Forget { id }).await?;
        }
        self.quiet_ticks += 1;
        if self.quiet_ticks >= STALLED_TICKS && self.session.awaits_peer() {
            return Err(Refusal::new(Reason::LinkDown, "the peer does not answer, although the connection stands"));
        }
        let now_ms = self.context.clock.now_ms();
        self.step(Event::Tick { now_ms }).await
    }

    async fn sent(&mut self) -> Result<(), Refusal> {
        self.quiet_ticks = 0;
        self.step(Event::Sent).await
    }

    async fn heard(&mut self, frame: Frame) -> Result<(), Refusal> {
        self.quiet_ticks = 0;
        let now_ms = self.context.clock.now_ms();
        self.seen.send_modify(|seen| seen.heard_ms = now_ms);
        self.step(Event::Frame { frame, now_ms }).await
    }

    async fn outcome(&mut self, outcome: Outcome) -> Result<(), Refusal> {
        match outcome {
            Outcome::Event(event) => self.step(event).await,
            Outcome::Nothing => Ok(()),
        }
    }

    async fn news(&mut self, news: Result<Committed, broadcast::error::RecvError>) -> Result<(), Refusal> {
        let snapshot = self.context.pipeline.snapshot();
        match news {
            Ok(Committed::Grown(grown)) => {
                for grown in &*grown {
                    let size = snapshot.log(&grown.log).map_or(0, |row| row.head.size());
                    self.seen.send_if_modified(|seen| seen.grown(&grown.log, size));
                    if let Some(held) = flowing(&snapshot, &self.link, &grown.log) {
                        self.step(Event::Appended(held)).await?;
                    }
                }
                if self.session.role() == Role::Parent {
                    check_child(&snapshot, self.session.peer())?;
                }
                // A new node's enrolment can let logs flow that were here before.
                if grown.iter().any(|grown| *grown.log.stream() == Stream::Directory) {
                    let unread = self.unread.take();
                    self.keep_receipts(unread);
                    let changed: HashSet<&LogId> = grown.iter().map(|grown| &grown.log).collect();
                    for held in heads(&snapshot, &self.link) {
                        if !changed.contains(&held.head.log) {
                            self.step(Event::Appended(held)).await?;
                        }
                    }
                }
            }
            Ok(Committed::Receipts(rows)) => {
                let receipts = receipts::select(&rows, &self.link, snapshot.directory());
                if self.session.role() == Role::Parent && !receipts.is_empty() {
                    self.step(Event::ReceiptsChanged(receipts)).await?;
                }
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "link: behind the commits; reading all heads again");
                for held in heads(&snapshot, &self.link) {
                    self.step(Event::Appended(held)).await?;
                }
                self.offer_receipts();
            }
            Err(broadcast::error::RecvError::Closed) => {
                return Err(Refusal::new(Reason::ShuttingDown, "the node ends"));
            }
        }
        Ok(())
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Refusal> {
        let id = self.next_question;
        self.next_question += 1;
        self.asked.insert(id, ask.reply);
        self.step(Event::Ask(Question { id, query: ask.query, nonce: ask.nonce })).await
    }

    async fn step(&mut self, event: Event) -> Result<(), Refusal> {
        let mut actions = Vec::new();
        self.session.step(event, self.context.pipeline.snapshot().directory(), &mut actions);
        for action in actions {
            self.act(action).await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), Refusal> {
        let context = &self.context;
        match action {
            // The writer ends only with the session.
            Action::Send(frame) => drop(self.frames.send(frame)),
            Action::Load { log, from, max_bytes, max_entries } => {
                let (context, trees) = (context.clone(), self.trees.clone());
                self.tasks.push(Box::pin(async move {
                    Outcome::Event(match load(&context, &trees, &log, from, max_bytes, max_entries).await {
                        Ok(Some(package)) => Event::Loaded { package },
                        Ok(None) => Event::LoadedNothing { log },
                        Err(error) => {
                            tracing::error!(%log, from, %error, "link: a package could not be read");
                            Event::LoadedNothing { log }
                        }
                    })
                }));
            }
            Action::LoadProof { log, size, unless_known } => {
                let (context, trees, peer) = (context.clone(), self.trees.clone(), self.session.peer().clone());
                self.tasks.push(Box::pin(async move {
                    Outcome::Event(match load_proof(&context, &trees, &log, size, unless_known, &peer).await {
                        Ok(Some(package)) => Event::Loaded { package },
                        Ok(None) => Event::LoadedNothing { log },
                        Err(error) => {
                            tracing::error!(%log, size, %error, "link: an entry that proves two histories could not be read");
                            Event::LoadedNothing { log }
                        }
                    })
                }));
            }
            Action::Commit(package) => {
                let first = package.first;
                let log = package.log.clone();
                let pipeline = context.pipeline.clone();
                let by = self.session.peer().clone();
                let answer = pipeline.receive_from(package, Some(by)).await.map_err(|error| error.refusal())?;
                self.commits
                    .push_back(Box::pin(async move { Outcome::Event(received(&pipeline, log, first, answer.await)) }));
            }
            Action::Greeted { protocol, software, skew_ms, skewed } => {
                self.seen.send_modify(|seen| (seen.greeted, seen.skew_ms) = (true, skew_ms));
                let peer = self.session.peer();
                if skewed {
                    tracing::warn!(%peer, clock_skew_ms = skew_ms, "link: the clocks differ by more than a minute; set this machine's clock");
                }
                tracing::info!(%peer, protocol, %software, clock_skew_ms = skew_ms, "link: connected");
                self.offer_receipts();
            }
            Action::Durable { log, size, receipt } => {
                tracing::debug!(%log, size, "link: durable at the peer");
                self.seen.send_if_modified(|seen| seen.acknowledged(&log, size));
                if let (Some(note), Role::Child) = (receipt, self.session.role()) {
                    let giver = self.session.peer().clone();
                    self.keep_receipts(vec![ForwardedReceipt { log, giver, note }]);
                }
            }
            Action::Receipts(receipts) => self.keep_receipts(receipts),
            Action::RefusedByPeer { log, sequence, reason, detail, again } => {
                let peer = self.session.peer();
                tracing::warn!(%peer, %log, sequence, %reason, %detail, again, "link: the peer refuses a log");
                metrics::counter!(ENTRIES_REFUSED, "reason" => reason.code(), "by" => "peer").increment(1);
                self.seen.send_modify(|seen| seen.refused(log, sequence, Refusal::new(reason, detail)));
            }
            Action::CompareRoot { log, size, .. } => {
                let (context, trees) = (context.clone(), self.trees.clone());
                self.tasks.push(Box::pin(async move {
                    let root = root_at(&context, &trees, &log, size).await.unwrap_or_else(|error| {
                        tracing::error!(%log, size, %error, "link: a root could not be computed");
                        None
                    });
                    Outcome::Event(Event::RootAt { log, size, root })
                }));
            }
            Action::Quarantine { log, reason, ours, theirs } => {
                // A log that is merely shorter at its author's may be made whole again; two histories may not go on. What only the
                // peer says stops the log for this session: it takes the author's own signature to stop it for good.
                let shorter = (reason == Reason::LogShorter).then(|| Shorter {
                    ours: ours.0,
                    theirs: theirs.size,
                    since_ms: context.clock.now_ms(),
                });
                let is_of_parent = self.session.role() == Role::Child && log.node() == context.pipeline.me();
                let by = self.session.peer().clone();
                let shown = forks::Shows { log, by, reason, ours: ours.0, theirs, is_of_parent, shorter };
                self.tasks.push(Box::pin(forks::weigh(context.pipeline.clone(), self.seen.clone(), shown)));
            }
            Action::Behind { log, ours, theirs } => {
                let size = theirs.size;
                // In the middle of a backlog a parent has no checkpoint that proves it. Its word is enough to stop, since it could refuse us
                // as well: `recover` brings the entries themselves, or shows that there are none. A child's word stops nobody.
                let is_proven = self.is_proven(&log, &theirs);
                if self.session.role() == Role::Child || is_proven {
                    let is_root = context.pipeline.snapshot().is_root();
                    let advice = crate::pipeline::heads::advice(is_root, context.store.is_file(), &"DIR");
                    let (peer, role) = (self.session.peer(), self.session.role());
                    let detail = own::behind((ours, size), peer, role, is_proven, &advice);
                    tracing::error!(%log, %detail, "ALARM: this node writes nothing more");
                    self.trouble(log, Refusal::new(Reason::ReadOnly, detail));
                } else {
                    tracing::error!(%log, ours, size, "ALARM: the parent says it holds more of our log than we, and cannot prove it");
                    metrics::counter!(telemetry::FORKS, "reason" => Reason::ReceiptInvalid.code()).increment(1);
                }
            }
            Action::OwnLogsAgree => {
                let agree = own::agree(context.pipeline.clone(), self.session.role(), self.session.peer().clone());
                self.tasks.push(Box::pin(agree.map(|()| Outcome::Nothing)));
            }
            Action::PeerAhead { log, ours, theirs } => {
                if self.session.role() == Role::Child {
                    tracing::warn!(%log, ours, theirs, "link: the parent holds more of a log than this node, which was restored from an old copy");
                    self.seen.send_modify(|seen| seen.ahead(log, Ahead { ours, theirs }));
                } else {
                    tracing::info!(%log, ours, theirs, "link: the child holds more of a log than we do");
                }
            }
            Action::Answer(question) => {
                let (context, directory) = (context.clone(), context.pipeline.snapshot().directory_arc());
                self.tasks.push(Box::pin(async move {
                    let notes = |query: &_| context.notes(query);
                    let answer = context.answers.sealed(&directory, question.query, question.nonce, &notes).await;
                    Outcome::Event(Event::Answered { id: question.id, answer })
                }));
            }
            Action::Replied { id, answer } => {
                if let Some(reply) = self.asked.remove(&id) {
                    // Who asked may have gone.
                    let _ = reply.send(answer);
                }
            }
            Action::Close(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// As a parent: what receipts there are for the child's logs.
    fn offer_receipts(&mut self) {
        if self.session.role() != Role::Parent {
            return;
        }
        let (context, link) = (self.context.clone(), self.link.clone());
        self.tasks.push(Box::pin(async move {
            match receipts::for_child(&context, &link).await {
                Ok(receipts) if receipts.is_empty() => Outcome::Nothing,
                Ok(receipts) => Outcome::Event(Event::ReceiptsChanged(receipts)),
                Err(error) => {
                    tracing::error!(%error, "link: the receipts could not be read");
                    Outcome::Nothing
                }
            }
        }));
    }

    fn keep_receipts(&mut self, receipts: Vec<ForwardedReceipt>) {
        if receipts.is_empty() {
            return;
        }
        let keep = receipts::keep(self.context.pipeline.clone(), self.link.clone(), self.unread.clone(), receipts);
        self.tasks.push(Box::pin(keep.map(|()| Outcome::Nothing)));
    }

    /// Whether the author itself signed the head that the peer shows.
    fn is_proven(&self, log: &LogId, head: &Head) -> bool {
        let snapshot = self.context.pipeline.snapshot();
        let Some(author) = snapshot.directory().node(log.node()) else { return false };
        let note = head.checkpoint.as_deref().and_then(|note| checkpoint::parse(note).ok());
        let signed = note.and_then(|note| author.keys().verify_checkpoint(author.id(), &note).ok());
        signed.is_some_and(|signed| signed.log == *log && signed.size == head.size && signed.root == head.root)
    }

    fn trouble(&mut self, log: LogId, refusal: Refusal) {
        let trouble = Trouble { refusal };
        let pipeline = self.context.pipeline.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = pipeline.trouble(log.clone(), Some(trouble)).await {
                tracing::error!(%log, %error, "link: the log's trouble could not be noted");
            }
            Outcome::Nothing
        }));
    }
}

fn received(pipeline: &Handle, log: LogId, first: u64, answer: Result<Received, Error>) -> Event {
    match answer {
        Ok(Received { log, size, root, receipt, refused: None }) => Event::Committed { log, size, root, receipt },
        Ok(Received { log, size, root, refused: Some((sequence, refusal)), .. }) => {
            tracing::warn!(%log, sequence, reason = %refusal.reason, detail = %refusal.detail, "link: refused an entry");
            metrics::counter!(ENTRIES_REFUSED, "reason" => refusal.reason.code(), "by" => "us").increment(1);
            Event::Refused { log, size, root, sequence, refusal }
        }
        // The store or the key failed: what was durable before still is, and the package is asked for again later.
        Err(error) => {
            let refusal = error.refusal();
            let snapshot = pipeline.snapshot();
            let (size, root) =
                snapshot.log(&log).map_or((0, merkle::empty_root()), |row| (row.head.size(), row.head.root()));
            Event::Refused { log, size, root, sequence: first.max(size), refusal }
        }
    }
}
