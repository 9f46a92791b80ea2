//! A signed statement that a unit's month is complete.

use danso_core::calendar::Month;
use danso_core::ledger::Draft;
use danso_proto::change::{Body, Change, PeriodClosed};
use danso_proto::ids::{ChangeId, Stream};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::{Parts, of_pipeline, own_unit, unit_code};
use crate::keys;

impl Parts {
    pub(super) async fn close_period(
        &self,
        request: pb::ClosePeriodRequest,
    ) -> Result<pb::ClosePeriodResponse, Refusal> {
        self.not_revoked()?;
        let snapshot = self.pipeline.snapshot();
        let (own, units) = (own_unit(&snapshot)?, self.units(snapshot.directory())?);
        let unit = unit_code(&request.unit)?;
        if !units.contains(&unit) {
            return Err(Refusal::new(
                Reason::UnitUnknown,
                format!("{unit} is not in the unit list {}", units.version()),
            ));
        }
        if !units.is_within(&unit, own) {
            return Err(Refusal::new(Reason::UnitNotOurs, format!("{unit} is neither {own} nor below it")));
        }
        let month = Month::from_ymm(request.month)
            .map_err(|error| Refusal::new(Reason::DateInvalid, format!("month {}: {error}", request.month)))?;
        if month > self.today().month() {
            let detail = format!("{} has not begun yet; close it when everything was reported", request.month);
            return Err(Refusal::new(Reason::DateInFuture, detail));
        }
        let change = Change {
            unit,
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: Body::PeriodClosed(PeriodClosed { month: month.ymm() }),
        };
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or_default();
        let first_id = ChangeId::first(now_ms, keys::random_bytes());
        let draft = Draft { first_id, changes: vec![change], parts: vec![None] };
        let written = self.pipeline.write(Stream::Records, vec![draft]).await.map_err(of_pipeline)?;
        Ok(pb::ClosePeriodResponse { log: written.log.to_string(), sequence: written.size.saturating_sub(1) })
    }
}
