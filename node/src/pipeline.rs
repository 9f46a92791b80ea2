//! The only room that writes the ledger, the register and the cube.
//!
//! One thread takes what others want written, as much as has come together, and does all of it in one transaction: verify, append,
//! apply, count, commit, and only then answers everybody (group commit). What is refused writes nothing and disturbs nobody else in
//! the batch. Knows nothing of gRPC, files or links.

use std::sync::Arc;

use danso_core::ledger::Draft;
use danso_core::register::Rules;
use danso_proto::change::ForwardingPolicy;
use danso_proto::checkpoint::{self, CosignError, SignedNote};
use danso_proto::envelope::Signer;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::merkle::Hash;
use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::keys::Signing;
use crate::store::{self, ReceiptRow, Store};

mod apply;
mod batch;
mod compare;
mod decide;
mod fork;
mod gate;
pub mod heads;
mod import;
mod job;
mod judge;
mod rebuild;
mod receipts;
mod rollup;
mod state;
mod tell;
mod trust;
mod worker;

pub use crate::store::InviteRow;
pub use batch::directory_draft;
pub use compare::{differs, is_compared};
pub use decide::{Decided, Decision, Keep};
pub use fork::{Shown, Verdict};
pub use gate::figures;
pub use import::{DryRun, ImportBatch, ImportedRow, ImportedRows, RefusedSlip};
pub use rebuild::{
    LogReader, Progress, Rebuilt, Report, is_of_this_disk, made_by, named_key, node_of, rebuild, remember_rows, tell,
    verify,
};
pub use state::{META_NODE, Snapshot, confirm_restored, directory_to_look, found, mark_restored, restored};
pub use trust::{Recovery, Revocation};

use heads::Kept;
use job::{Job, Opening};
use state::Shared;
use worker::Worker;

/// Why the pipeline did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed; nothing was kept.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The key did not sign; nothing was kept.
    #[error("the log key did not sign")]
    Signer(#[from] danso_proto::envelope::SignerError),
    /// A change set could not be sealed; nothing was kept.
    #[error("a change set could not be sealed")]
    Seal(#[from] danso_core::ledger::SealError),
    /// The store failed for the whole batch; somebody else's answer has the details.
    #[error("{0}")]
    Batch(Arc<str>),
    /// The node ends.
    #[error("the node is shutting down")]
    Ended,
}

impl Error {
    /// As a refusal with a reason code, for those who asked.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Store(error) => Self::refusal_of(error),
            Self::Refused(refusal) => refusal.clone(),
            Self::Signer(_) | Self::Seal(_) | Self::Batch(_) => Refusal::new(Reason::Internal, self.to_string()),
            Self::Ended => Refusal::new(Reason::ShuttingDown, self.to_string()),
        }
    }

    /// What an error of the store means for those who asked. Which servers there are is not said: others are told this, too.
    pub fn refusal_of(error: &store::Error) -> Refusal {
        use store::Error as Failed;
        match error {
            error if error.is_full() => Refusal::new(Reason::DiskFull, error.to_string()),
            error if error.is_damage() => Refusal::new(Reason::StoreDamaged, error.to_string()),
            error if error.is_moved() => Refusal::new(Reason::StoreMoved, error.to_string()),
            Failed::NotOurs => Refusal::new(Reason::StoreTaken, error.to_string()),
            Failed::InDoubt { .. } | Failed::Busy { .. } | Failed::Writing | Failed::WasKept => {
                Refusal::new(Reason::StoreUnavailable, error.to_string())
            }
            error if error.is_away() => Refusal::new(
                Reason::StoreUnavailable,
                "no database server does now what is to be done; nothing of it was kept",
            ),
            _ => Refusal::new(Reason::Internal, "the store failed"),
        }
    }
}

/// What became of a package.
#[derive(Debug, Clone)]
pub struct Received {
    /// The log.
    pub log: LogId,
    /// Entries that are durable here now.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// The author's checkpoint for this size with our cosignature, when the author's checkpoint is here.
    pub receipt: Option<String>,
    /// The first entry that was not taken, and why. Those before it were.
    pub refused: Option<(u64, Refusal)>,
}

/// A log that has grown here, or whose trouble began or ended.
#[derive(Debug, Clone)]
pub struct Grown {
    /// The log.
    pub log: LogId,
    /// Entries that are durable here now.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// What changed with a commit.
#[derive(Debug, Clone)]
pub enum Committed {
    /// Logs grew.
    Grown(Arc<[Grown]>),
    /// Receipts came.
    Receipts(Arc<[ReceiptRow]>),
}

/// A node that wants to be enrolled.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Hash of the invite's secret.
    pub secret_hash: [u8; 32],
    /// The unit that it takes the invite to be for.
    pub unit: UnitCode,
    /// Its log key.
    pub log_public_key: [u8; 32],
    /// What its link carries.
    pub policy: ForwardingPolicy,
}

/// Why a log is stopped.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The reason.
    pub refusal: Refusal,
}

/// What the pipeline needs of the world.
pub struct Outfit {
    /// The store.
    pub store: Store,
    /// This node's log key.
    pub signer: Arc<dyn Signer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The trust anchor.
    pub anchor: Fingerprint,
}

/// Gives receipts: cosigns checkpoints of logs that are durable here.
#[derive(Clone)]
struct Cosigner {
    me: NodeId,
    signing: Arc<Signing>,
    clock: Arc<dyn Clock>,
}

impl Cosigner {
    fn cosign(&self, note: &SignedNote) -> Result<String, CosignError> {
        let time_s = u64::try_from(self.clock.now_ms() / 1000).unwrap_or_default();
        checkpoint::cosign(note, &self.me, &*self.signing.current(), time_s)
    }
}

/// A way to the pipeline. Cloning gives another way to the same one.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    /// One for each core: more would only need more memory.
    openers: Arc<Semaphore>,
    shared: Arc<Shared>,
    committed: broadcast::Sender<Committed>,
    cosigner: Cosigner,
    /// The thread shall end.
    over: CancellationToken,
    /// The thread has ended.
    ended: CancellationToken,
}

/// Jobs that wait; who finds it full waits too.
const QUEUE: usize = 256;
/// Packages that wait or are being done, in KiB, however many peers send them: it bounds what the queue holds and what a transaction takes.
/// Eight of the largest; a transaction of more would not be cheaper.
const RECEIVED_KIB: u32 = 8 * (limits::PACKAGE_INFLATED_MAX / 1024) as u32;
/// Jobs in one transaction: enough that the commit's cost is shared by all children of a province.
const BATCH_JOBS: usize = 128;
/// Commits that a slow listener may be behind; past it the listener is told and reads the heads afresh.
const COMMITTED: usize = 1024;

/// What a store holds, for those who only look: nothing is started, and nothing is written.
///
/// # Errors
/// When the store cannot be read, is damaged, or does not hold the anchor's log.
pub async fn look(outfit: &Outfit) -> Result<Snapshot, Error> {
    Ok(Shared::read(outfit, Rules::CURRENT).await?.snapshot())
}

/// Why a store is known to be behind what its node wrote, by the file `heads` as it was read, or by what its parent has said.
///
/// # Errors
/// As [`look`].
pub async fn behind(outfit: &Outfit, heads: Kept) -> Result<Option<Refusal>, Error> {
    let snapshot = look(outfit).await?;
    let Kept::Heads(kept) = heads.signed(&snapshot, Some(outfit.signer.public_key())) else {
        return Ok(heads::old_copy(&snapshot));
    };
    let why = heads::contradiction(&mut outfit.store.read("behind").await?, &snapshot, &kept).await?;
    Ok(why.map(|why| Refusal::new(Reason::ReadOnly, why)).or_else(|| heads::old_copy(&snapshot)))
}

impl Handle {
    /// Reads the store and starts the pipeline's thread. The thread ends when the last handle is dropped, or with [`Self::end`]: before the
    /// runtime ends, which it uses, that is to be waited for.
    ///
    /// # Errors
    /// When the store cannot be read, or does not hold the anchor's log.
    pub async fn start(outfit: Outfit) -> Result<Self, Error> {
        Self::start_by(outfit, Rules::CURRENT).await
    }

    /// As [`Self::start`], by the rules of a version: what was derived by other rules is derived again first.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_by(outfit: Outfit, rules: Rules) -> Result<Self, Error> {
        let shared = Arc::new(Shared::load(&outfit, rules).await?);
        heads::compare(&outfit, &shared).await?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (committed, _) = broadcast::channel(COMMITTED);
        let signing = Arc::new(Signing::new(outfit.signer.clone()));
        let cosigner = Cosigner { me: shared.me().clone(), signing: signing.clone(), clock: outfit.clock.clone() };
        let worker =
            Worker { outfit, shared: shared.clone(), committed: committed.clone(), cosigner: cosigner.clone() };
        let (over, ended) = (CancellationToken::new(), CancellationToken::new());
        let runtime = tokio::runtime::Handle::current();
        // Its own thread: verifying and folding keep a core busy, and must not hold up links.
        std::thread::Builder::new()
            .name("pipeline".into())
            .spawn({
                let (over, ended) = (over.clone(), ended.clone().drop_guard());
                move || {
                    runtime.block_on(worker.run(queue, over));
                    drop(ended);
                }
            })
            .map_err(|e| Error::Batch(format!("no thread for the pipeline: {e}").into()))?;
        let room = Arc::new(Semaphore::new(RECEIVED_KIB as usize));
        let openers = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
        Ok(Self { jobs, room, openers, shared, committed, cosigner, over, ended })
    }

    /// Ends the pipeline behind the batch that it is doing, whoever else has a handle, and waits for that. Who waits for an answer then gets
    /// [`Error::Ended`].
    pub async fn end(&self) {
        self.over.cancel();
        self.ended.cancelled().await;
    }

    /// The node's id.
    pub fn me(&self) -> &NodeId {
        self.shared.me()
    }

    /// What is committed, as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Our receipt for a checkpoint of [`Snapshot::log`], that is, of entries that are durable here.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn cosign(&self, note: &SignedNote) -> Result<String, CosignError> {
        self.cosigner.cosign(note)
    }

    /// The log key in use: it changes with [`Handle::rekey`].
    pub fn signing(&self) -> Arc<Signing> {
        self.cosigner.signing.clone()
    }

    /// News of every commit from now on.
    pub fn committed(&self) -> broadcast::Receiver<Committed> {
        self.committed.subscribe()
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| Error::Ended)?;
        answer.await.map_err(|_| Error::Ended)?
    }

    /// Puts a package from a peer, or from a bundle, into the queue, and gives what will be known of it once it is committed. Packages
    /// are taken in the order in which they were put. Waits while those that are not answered yet take all the room that there is for them.
    ///
    /// # Errors
    /// When the store fails. A package that is refused is no error of the pipeline: see [`Received::refused`].
    pub async fn receive(
        &self,
        package: Package,
    ) -> Result<impl Future<Output = Result<Received, Error>> + Send + use<>, Error> {
        self.receive_from(package, None).await
    }

    /// As [`Handle::receive`], from a peer, who is named should the package be evidence of two histories.
    ///
    /// # Errors
    /// As [`Handle::receive`].
    pub async fn receive_from(
        &self,
        package: Package,
        by: Option<NodeId>,
    ) -> Result<impl Future<Output = Result<Received, Error>> + Send + use<>, Error> {
        let kib = u32::try_from(package.weight().div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, RECEIVED_KIB);
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| Error::Ended)?;
        let (reply, answer) = oneshot::channel();
        let package = Arc::new(package);
        // First the place: who stops waiting for it has begun nothing.
        let place = self.jobs.reserve().await.map_err(|_| Error::Ended)?;
        let snapshot = self.snapshot();
        let log = snapshot.log(&package.log);
        let opening = match log.is_some_and(|log| log.trouble.is_some()) {
            true => Opening::none(),
            false => {
                let size = log.map_or(0, |log| log.head.size());
                Opening::begin(package.clone(), size, snapshot.directory_arc(), self.openers.clone())
            }
        };
        place.send(Job::Receive { package, opening, by, _room: room, reply });
        Ok(async { answer.await.map_err(|_| Error::Ended)? })
    }

    /// Writes drafts to one of this node's own logs.
    ///
    /// # Errors
    /// When a draft breaks a rule (nothing is written then), or the store or the key fails.
    pub async fn write(&self, stream: Stream, drafts: Vec<Draft>) -> Result<Received, Error> {
        self.ask(|reply| Job::Write { stream, drafts, reply }).await
    }

    /// Takes in rows of a form.
    ///
    /// # Errors
    /// When the store or the key fails. Rows that are refused are in the answer.
    pub async fn import(&self, batch: ImportBatch) -> Result<ImportedRows, Error> {
        self.ask(|reply| Job::Import { batch, reply }).await
    }

    /// Enrols a child that shows an invite's secret.
    ///
    /// # Errors
    /// `token_unknown`, `token_used`, `token_expired`, `token_wrong_unit`, and what the directory's rules refuse.
    pub async fn enrol(&self, enrolment: Enrolment) -> Result<NodeId, Error> {
        self.ask(|reply| Job::Enrol { enrolment, reply }).await
    }

    /// Gives a node its place back whose disk, or whose parent, is gone: takes it over as a child when it was another's, and vouches
    /// for its new log key when it lost the old one.
    ///
    /// # Errors
    /// `token_unknown`, `token_used`, `token_expired`, `token_wrong_unit`, `key_revoked`, `not_a_child`.
    pub async fn recover(&self, recovery: Recovery) -> Result<(), Error> {
        self.ask(|reply| Job::Recover { recovery, reply }).await
    }

    /// Announces the node's next log key, signed by both; from the commit on it signs alone.
    ///
    /// # Errors
    /// `read_only`; when the store or one of the keys fails. The old key goes on signing then.
    pub async fn rekey(&self, next: Arc<dyn Signer>) -> Result<Received, Error> {
        self.ask(|reply| Job::Rekey { next, reply }).await
    }

    /// Revokes a node below this one.
    ///
    /// # Errors
    /// `not_found`, `out_of_scope`, `query_invalid`; when the store or the key fails.
    pub async fn revoke(&self, revocation: Revocation) -> Result<Received, Error> {
        self.ask(|reply| Job::Revoke { revocation, reply }).await
    }

    /// Keeps a new invite.
    ///
    /// # Errors
    /// `unit_has_node`, `unit_has_records` unless the invite says that this is meant; when the store fails.
    pub async fn invite(&self, invite: InviteRow) -> Result<(), Error> {
        self.ask(|reply| Job::Invite { invite, reply }).await
    }

    /// Keeps receipts; their cosignatures have been checked by the caller with [`Snapshot::check_receipt`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn receipts(&self, receipts: Vec<ReceiptRow>) -> Result<(), Error> {
        self.ask(|reply| Job::Receipts { receipts, reply }).await
    }

    /// A node that was restored from a backup is not behind: it may write again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn confirm(&self) -> Result<(), Error> {
        self.ask(|reply| Job::Confirm { reply }).await
    }

    /// Weighs a checkpoint that a peer showed; a log with two histories is stopped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shown(&self, shown: Shown) -> Result<Verdict, Error> {
        self.ask(|reply| Job::Shown { shown, reply }).await
    }

    /// Writes what the operator decided about a log with two histories.
    ///
    /// # Errors
    /// `not_found`, `decided_elsewhere`, `not_quarantined`, `query_invalid`; when the store or the key fails.
    pub async fn decide(&self, decision: Decision) -> Result<Decided, Error> {
        self.ask(|reply| Job::Decide { decision, reply }).await
    }

    /// Stops a log, or lets it go on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn trouble(&self, log: LogId, trouble: Option<Trouble>) -> Result<(), Error> {
        self.ask(|reply| Job::Trouble { log, trouble, reply }).await
    }
}

#[cfg(test)]
mod tests;
