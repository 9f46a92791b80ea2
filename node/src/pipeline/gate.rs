//! What is not even begun while the store is in a bad condition: nothing is written for it, and everybody else's work goes on.
//!
//! Who can wait waits first. A package of somebody else's records is durable at its sender, who sends it again by himself; so it is refused
//! when the disk gets low. What is new here nobody else has; it is refused only when the room is needed for what lets others make room. Those
//! small things (receipts, directory entries, a log's trouble) are never refused. A damaged database takes nothing that makes it grow.

use danso_proto::ids::Stream;
use danso_proto::refusal::{Reason, Refusal};

use super::batch::{Answer, Batch};
use super::{Error, Job};
use crate::store::{Disk, Health, Level};

/// Why the store takes nothing of a kind now.
fn refusal(health: &Health, from: Level) -> Option<Refusal> {
    if let Some(damage) = &health.damage {
        return Some(Refusal::new(Reason::StoreDamaged, damage.clone()));
    }
    (health.disk.level >= from).then(|| Refusal::new(Reason::DiskFull, figures(health)))
}

/// How much room there is, in words.
pub fn figures(health: &Health) -> String {
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let (free, floor) = (mib(health.disk.free), mib(health.disk.floor));
    match health.disk {
        // A quota, or the disk of a database server.
        Disk { level: Level::Full, free, floor } if free >= floor => {
            format!(
                "a write found no room where the database is, though {} MiB are free on the disk of this node's directory",
                mib(free)
            )
        }
        _ => format!("{free} MiB are free, {floor} MiB is the least (store.min_free_mib)"),
    }
}

impl Batch<'_> {
    /// The answer to a job that is not even begun.
    pub(super) fn turned_away(&self, job: &Job) -> Option<Answer> {
        let new_work = || refusal(&self.health, Level::Full).or_else(|| self.base().read_only());
        Some(match job {
            Job::Receive { package, .. } => {
                let from = match package.log.stream() {
                    Stream::Records => Level::Low,
                    // Small, and what others' rights depend on.
                    Stream::Directory | Stream::Mail(_) => return self.turned_away_for_damage(job),
                };
                // An old copy does not know who may sign by now; what it would take in has its sender still.
                let why = refusal(&self.health, from).or_else(|| self.base().read_only())?;
                let row = self.log_or_new(&package.log);
                Answer::Received(Ok(self.answer(&row, Some((package.first, why)))))
            }
            Job::Write { stream: Stream::Records, .. } => Answer::Received(Err(new_work()?.into())),
            Job::Import { .. } => Answer::Imported(Err(new_work()?.into())),
            // A decision is small and lets others go on; but an old copy of a node decides nothing.
            Job::Decide { .. } => {
                let why = self.damage().or_else(|| self.base().read_only())?;
                Answer::Decided(Err(why.into()))
            }
            Job::Release => new_work().map(|_| Answer::Done)?,
            // It may have lost what it held of who asks, who then would write other entries in their place.
            Job::Recover { .. } => {
                let why = self.base().read_only()?;
                let detail = format!(
                    "the node above, {}, is itself an old copy, or not confirmed yet, and gives nobody back what he wrote; its operator must bring \
                     it up first, then try again here. To do there: {}",
                    self.me, why.detail
                );
                Answer::Invited(Err(Refusal::new(why.reason, detail).into()))
            }
            Job::Enrol { .. } => Answer::Enrolled(Err(new_work()?.into())),
            Job::Invite { .. } => Answer::Invited(Err(new_work()?.into())),
            _ => return self.turned_away_for_damage(job),
        })
    }

    fn damage(&self) -> Option<Refusal> {
        self.health.damage.as_ref().map(|damage| Refusal::new(Reason::StoreDamaged, damage.clone()))
    }

    fn turned_away_for_damage(&self, job: &Job) -> Option<Answer> {
        match job {
            Job::Receive { package, .. } => {
                let row = self.log_or_new(&package.log);
                Some(Answer::Received(Ok(self.answer(&row, Some((package.first, self.damage()?))))))
            }
            Job::Write { .. } => Some(Answer::Received(Err(Error::Refused(self.damage()?)))),
            _ => None,
        }
    }
}
