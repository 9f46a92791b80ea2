//! Watches over the store while the node runs: free space is measured, and what follows is told to the log, the metrics and the health service.
//!
//! Health has a name for each service, because they fail apart: `danso.exchange.v1.ExchangeService` does not serve while packages of
//! children are refused, `danso.admin.v1.AdminService` while new work is refused, `danso.query.v1.QueryService` when the database is damaged. The
//! empty name stands for all of them: whoever asks only whether the node is well must learn that it is not.

use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::pipeline::{self, Handle};
use crate::store::{self, Health, Level, Store};
use crate::telemetry;

/// Between two looks at the disk. The pipeline looks for itself before each batch.
const EVERY: Duration = Duration::from_secs(2);

const EXCHANGE: &str = "danso.exchange.v1.ExchangeService";
const ADMIN: &str = "danso.admin.v1.AdminService";
const QUERY: &str = "danso.query.v1.QueryService";

/// What does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Serving {
    exchange: bool,
    admin: bool,
    query: bool,
}

impl Serving {
    fn of(health: &Health, read_only: bool) -> Self {
        let sound = health.damage.is_none();
        Self {
            exchange: sound && health.away.is_none() && health.disk.level < Level::Low,
            admin: sound && health.away.is_none() && health.disk.level < Level::Full && !read_only,
            query: sound,
        }
    }

    fn names(self) -> [(&'static str, bool); 4] {
        let all = self.exchange && self.admin && self.query;
        [(EXCHANGE, self.exchange), (ADMIN, self.admin), (QUERY, self.query), ("", all)]
    }
}

/// Watches for as long as it is polled, and a database server that was away is looked for.
///
/// # Errors
/// When this process must write nothing more to its database: it has to end.
pub(super) async fn watch(store: &Store, pipeline: &Handle, reporter: &HealthReporter) -> Result<(), store::Error> {
    let condition = store.condition();
    let mut news = condition.watch();
    let mut before: Option<(Level, Serving)> = None;
    let (mut was_away, mut is_remembered) = (false, false);
    let mut tick = tokio::time::interval(EVERY);
    loop {
        // What the pipeline finds out is told at once.
        let health = tokio::select! {
            _ = tick.tick() => {
                store.look_again().await;
                condition.tick()
            }
            changed = news.changed() => match changed {
                Ok(()) => condition.health(),
                Err(_) => return Ok(()),
            },
        };
        if let Some(over) = health.over {
            return Err(over.into());
        }
        let read_only = pipeline.snapshot().read_only().is_some();
        metrics::gauge!(telemetry::DISK_FREE).set(health.disk.free as f64);
        metrics::gauge!(telemetry::DISK_LEVEL).set(health.disk.level as u8 as f64);
        // A file that is not closed in order is looked at by the next start; a server must say it itself, however this run ends.
        if health.damage.is_some() && !store.is_file() && !is_remembered {
            match store.remember_damage().await {
                Ok(()) => is_remembered = true,
                Err(error) => {
                    tracing::warn!(error = error.told(), "it is not remembered yet that the database is damaged")
                }
            }
        }
        metrics::gauge!(telemetry::STORE_UNAVAILABLE).set(f64::from(u8::from(health.away.is_some())));
        metrics::gauge!(telemetry::STORE_DAMAGED).set(f64::from(u8::from(health.damage.is_some())));
        metrics::gauge!(telemetry::READ_ONLY).set(f64::from(u8::from(read_only)));
        if was_away != health.away.is_some() {
            was_away = !was_away;
            match &health.away {
                Some(why) => tracing::error!(
                    why,
                    "ALARM: the database server does not do its work: nothing is written until it does"
                ),
                None => tracing::info!("the database can be written to again: everything goes on"),
            }
        }
        let now = (health.disk.level, Serving::of(&health, read_only));
        if before == Some(now) {
            continue;
        }
        tell(&health, before.map(|(level, _)| level));
        for (name, serves) in now.1.names() {
            let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status(name, status).await;
        }
        before = Some(now);
    }
}

fn tell(health: &Health, before: Option<Level>) {
    let figures = pipeline::figures(health);
    match health.disk.level {
        level if before == Some(level) => {}
        Level::Room if before.is_none() => {}
        Level::Room => tracing::info!(figures, "there is room on the disk again: everything goes on"),
        Level::Low => {
            tracing::warn!(figures, "ALARM: the disk gets full: packages of children are refused until there is room")
        }
        Level::Full => tracing::error!(figures, "ALARM: the disk is full: nothing new is taken until there is room"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Disk;

    #[test]
    fn each_service_is_named_by_what_it_cannot_do() {
        let health = |level, damage: Option<&str>| Health {
            disk: Disk { level, free: 0, floor: 0 },
            damage: damage.map(str::to_owned),
            uncompared: false,
            unchecked: false,
            away: None,
            over: None,
        };
        let serving = |health, read_only| Serving::of(&health, read_only).names().map(|(_, serves)| serves);
        assert_eq!(serving(health(Level::Room, None), false), [true, true, true, true]);
        assert_eq!(serving(health(Level::Low, None), false), [false, true, true, false]);
        assert_eq!(serving(health(Level::Full, None), false), [false, false, true, false]);
        assert_eq!(serving(health(Level::Room, None), true), [true, false, true, false]);
        assert_eq!(serving(health(Level::Room, Some("page 7")), false), [false, false, false, false]);
        let away = Health { away: Some("no server".into()), ..health(Level::Room, None) };
        assert_eq!(serving(away, false), [false, false, true, false], "what can be read is");
    }
}
