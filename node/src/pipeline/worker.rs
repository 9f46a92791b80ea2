//! The pipeline's thread: takes what has come together, has it done in one transaction, and answers. Knows nothing of what a job does.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::job::Job;
use super::state::Shared;
use super::tell::Telling;
use super::{BATCH_JOBS, Committed, Cosigner, Error, Outfit, batch, heads};
use crate::{store, telemetry};

/// The thread's work.
pub(super) struct Worker {
    pub(super) outfit: Outfit,
    pub(super) shared: Arc<Shared>,
    pub(super) committed: broadcast::Sender<Committed>,
    pub(super) cosigner: Cosigner,
}

impl Worker {
    /// Works until nobody has a handle any more, or until it is `over`.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>, over: CancellationToken) {
        let mut jobs = Vec::with_capacity(BATCH_JOBS);
        // First of all, whoever asks meanwhile: what a start does is always the same.
        let mut goes_on = self.batch(vec![Job::Release]).await;
        while !over.is_cancelled() {
            // What authors are still to be told needs no job to bring it; while it goes on, nothing is waited for.
            let left = || goes_on && queue.is_empty() && self.shared.telling() != Telling::Done;
            if left() {
                goes_on = self.batch(Vec::new()).await;
                continue;
            }
            let came = over.run_until_cancelled(queue.recv_many(&mut jobs, BATCH_JOBS)).await;
            if came.unwrap_or_default() == 0 {
                return;
            }
            goes_on = true;
            // What is left when it is over is not begun: who waits for it hears that the pipeline has ended.
            while !jobs.is_empty() && !over.is_cancelled() {
                let take = match jobs.iter().position(Job::is_alone) {
                    Some(0) => 1,
                    Some(n) => n,
                    None => jobs.len(),
                };
                self.batch(jobs.drain(..take).collect()).await;
            }
        }
    }

    async fn transaction(&self, jobs: &[Job]) -> Result<(Vec<batch::Answer>, batch::Done), Undone> {
        let work = async |tx: &mut store::Tx| {
            let signer = self.cosigner.signing.current();
            let mut batch = batch::Batch::new(&self.outfit, signer, &self.shared, tx);
            let mut answers = Vec::with_capacity(jobs.len());
            for job in jobs {
                answers.push(batch.job(job).await?);
            }
            let done = batch.finish().await?;
            match done.undo {
                false => Ok((answers, done)),
                true => Err(Undone::Undo(Box::new((answers, done)))),
            }
        };
        self.outfit.store.run_tx("pipeline", work).await
    }

    /// Does what was asked for. Says whether anything was written.
    async fn batch(&self, mut jobs: Vec<Job>) -> bool {
        for job in &mut jobs {
            job.prepared().await;
        }
        let start = self.outfit.clock.monotonic();
        let mut run = self.transaction(&jobs).await;
        if matches!(&run, Err(Undone::Failed(Error::Store(error))) if error.is_full()) {
            // Once more: what is large is now turned away, and what is small may still find its room.
            run = self.transaction(&jobs).await;
        }
        match run {
            Ok((answers, done)) => {
                // Before anybody is told, so that what was told can be compared with what is here at the next start.
                heads::keep(&self.outfit, &self.shared.snapshot(), &done);
                metrics::counter!(telemetry::CHANGES).increment(done.changes);
                metrics::counter!(telemetry::ENTRIES).increment(done.entries);
                metrics::counter!(telemetry::COMMITS).increment(1);
                metrics::histogram!(telemetry::COMMIT_SECONDS)
                    .record(self.outfit.clock.monotonic().saturating_sub(start));
                if let Some(next) = done.signer.clone() {
                    self.cosigner.signing.replace(next);
                }
                let wrote = done.entries > 0;
                if done.recounted {
                    self.outfit.store.condition().set_uncompared(false);
                }
                let news = self.shared.commit(done);
                for news in news {
                    // Nobody listens while no link is up: that is fine.
                    let _ = self.committed.send(news);
                }
                for (job, answer) in jobs.into_iter().zip(answers) {
                    job.answer(answer, &self.cosigner);
                }
                wrote
            }
            Err(Undone::Undo(undone)) => {
                for (job, answer) in jobs.into_iter().zip(undone.0) {
                    job.answer(answer, &self.cosigner);
                }
                false
            }
            Err(Undone::Failed(error)) => {
                if let Error::Store(error) = &error {
                    self.outfit.store.condition().note(error);
                }
                let refusal = error.refusal();
                tracing::error!(error = %chain(&error), jobs = jobs.len(), "a batch was not kept");
                for job in jobs {
                    job.fail(&refusal);
                }
                false
            }
        }
    }
}

/// Why a transaction was not committed.
enum Undone {
    /// As wanted: a dry run.
    Undo(Box<(Vec<batch::Answer>, batch::Done)>),
    Failed(Error),
}

impl From<store::Error> for Undone {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
