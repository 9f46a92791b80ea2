//! What is asked of the pipeline, and how each who asked is answered.

use std::sync::Arc;

use danso_core::ledger::{Ahead, Draft};
use danso_core::verify::Directory;
use danso_proto::envelope::Signer;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::batch::Answer;
use super::{
    Cosigner, Decided, Decision, Enrolment, Error, ImportBatch, ImportedRows, InviteRow, Received, Recovery,
    Revocation, Shown, Trouble, Verdict,
};
use crate::store::ReceiptRow;

/// A package's envelopes being opened on other cores while the pipeline does what came before. No more are ever open than there is room for packages
/// (`RECEIVED_KIB`): a transaction of all of them would have them all in memory, too.
pub(super) struct Opening {
    under_way: Option<JoinHandle<Ahead>>,
    ahead: Ahead,
}

impl Opening {
    /// `size` entries of the log are here.
    pub(super) fn begin(package: Arc<Package>, size: u64, directory: Arc<Directory>, openers: Arc<Semaphore>) -> Self {
        let opening = tokio::spawn(async move {
            let Ok(_one) = openers.acquire().await else { return Ahead::default() };
            // What was not opened ahead is opened when its turn comes.
            tokio::task::spawn_blocking(move || Ahead::open(&package, size, &directory)).await.unwrap_or_default()
        });
        Self { under_way: Some(opening), ahead: Ahead::default() }
    }

    /// Of a log that takes nothing now: nothing is opened.
    pub(super) fn none() -> Self {
        Self { under_way: None, ahead: Ahead::default() }
    }

    async fn end(&mut self) {
        if let Some(opening) = self.under_way.take() {
            self.ahead = opening.await.unwrap_or_default();
        }
    }

    /// What was opened.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }
}

pub(super) enum Job {
    Receive {
        package: Arc<Package>,
        opening: Opening,
        by: Option<NodeId>,
        /// Given back when it is answered.
        _room: OwnedSemaphorePermit,
        reply: oneshot::Sender<Result<Received, Error>>,
    },
    Write {
        stream: Stream,
        drafts: Vec<Draft>,
        reply: oneshot::Sender<Result<Received, Error>>,
    },
    Import {
        batch: ImportBatch,
        reply: oneshot::Sender<Result<ImportedRows, Error>>,
    },
    Enrol {
        enrolment: Enrolment,
        reply: oneshot::Sender<Result<NodeId, Error>>,
    },
    Recover {
        recovery: Recovery,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Rekey {
        next: Arc<dyn Signer>,
        reply: oneshot::Sender<Result<Received, Error>>,
    },
    Revoke {
        revocation: Revocation,
        reply: oneshot::Sender<Result<Received, Error>>,
    },
    Invite {
        invite: InviteRow,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Receipts {
        receipts: Vec<ReceiptRow>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Shown {
        shown: Shown,
        reply: oneshot::Sender<Result<Verdict, Error>>,
    },
    Decide {
        decision: Decision,
        reply: oneshot::Sender<Result<Decided, Error>>,
    },
    Trouble {
        log: LogId,
        trouble: Option<Trouble>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Confirm {
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// What each start asks of itself: slips that wait for what is known.
    Release,
}

impl Job {
    /// Waits for what has been begun for it on other cores.
    pub(super) async fn prepared(&mut self) {
        if let Self::Receive { opening, .. } = self {
            opening.end().await;
        }
    }

    /// A dry run is undone, and a change of keys changes who signs: neither can share a transaction.
    pub(super) fn is_alone(&self) -> bool {
        match self {
            Self::Import { batch, .. } => batch.is_dry_run(),
            Self::Rekey { .. } => true,
            _ => false,
        }
    }

    /// Tells who asked. That it has gone meanwhile is no fault of ours.
    pub(super) fn answer(self, answer: Answer, cosigner: &Cosigner) {
        match (self, answer) {
            (Self::Receive { reply, .. }, Answer::Received(received)) => {
                let _ = reply.send(received.map(|received| received.cosigned(cosigner)));
            }
            (
                Self::Write { reply, .. } | Self::Rekey { reply, .. } | Self::Revoke { reply, .. },
                Answer::Received(received),
            ) => {
                let _ = reply.send(received.map(|received| received.received));
            }
            (Self::Import { batch, reply }, Answer::Imported(rows)) => {
                if let (Some(dry_run), Ok(_)) = (&batch.dry_run, &rows) {
                    dry_run.keep();
                }
                let _ = reply.send(rows);
            }
            (Self::Enrol { reply, .. }, Answer::Enrolled(node)) => {
                let _ = reply.send(node);
            }
            (Self::Invite { reply, .. } | Self::Recover { reply, .. }, Answer::Invited(done)) => {
                let _ = reply.send(done);
            }
            (Self::Shown { reply, .. }, Answer::Weighed(verdict)) => {
                let _ = reply.send(Ok(verdict));
            }
            (Self::Decide { reply, .. }, Answer::Decided(decided)) => {
                let _ = reply.send(decided);
            }
            (Self::Receipts { reply, .. } | Self::Trouble { reply, .. } | Self::Confirm { reply }, Answer::Done) => {
                let _ = reply.send(Ok(()));
            }
            (Self::Release, Answer::Done) => {}
            // `Batch::job` gives each job the answer of its kind.
            (job, _) => job.fail(&Refusal::new(Reason::Internal, "the answer is of another kind")),
        }
    }

    pub(super) fn fail(self, refusal: &Refusal) {
        let error = || match refusal.reason {
            Reason::Internal => Error::Batch(refusal.detail.as_str().into()),
            _ => Error::Refused(refusal.clone()),
        };
        match self {
            Self::Receive { reply, .. }
            | Self::Write { reply, .. }
            | Self::Rekey { reply, .. }
            | Self::Revoke { reply, .. } => drop(reply.send(Err(error()))),
            Self::Import { reply, .. } => drop(reply.send(Err(error()))),
            Self::Enrol { reply, .. } => drop(reply.send(Err(error()))),
            Self::Shown { reply, .. } => drop(reply.send(Err(error()))),
            Self::Decide { reply, .. } => drop(reply.send(Err(error()))),
            Self::Invite { reply, .. }
            | Self::Recover { reply, .. }
            | Self::Receipts { reply, .. }
            | Self::Trouble { reply, .. }
            | Self::Confirm { reply } => {
                drop(reply.send(Err(error())));
            }
            Self::Release => {}
        }
    }
}
