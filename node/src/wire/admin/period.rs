//! A signed statement that a unit's month is complete.

use danso_core::calendar::Month;
use danso_core::ledger::Draft;
use danso_core::period::is_over;
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
        let now_ms = self.clock.now_ms();
        if !is_over(month, now_ms) {
            let detail = format!(
                "{month} is not over: nobody can say yet that it is complete; close it from {}-01 on, when everything was reported",
                month.add_months(1)
            );
            return Err(Refusal::new(Reason::DateInFuture, detail));
        }
        // Said once is enough: whoever says it again is told who said it, and when.
        if let Some((log, sequence, closed_at_ms)) =
            self.view.closing(&unit, month).await.map_err(|error| error.refusal())?
        {
            return Ok(pb::ClosePeriodResponse { log: log.to_string(), sequence, already: true, closed_at_ms });
        }
        let change = Change {
            unit,
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: Body::PeriodClosed(PeriodClosed { month: month.ymm() }),
        };
        let first_id = ChangeId::first(u64::try_from(now_ms).unwrap_or_default(), keys::random_bytes());
        let draft = Draft { first_id, changes: vec![change], parts: vec![None] };
        let written = self.pipeline.write(Stream::Records, vec![draft]).await.map_err(of_pipeline)?;
        Ok(pb::ClosePeriodResponse {
            log: written.log.to_string(),
            sequence: written.size.saturating_sub(1),
            already: false,
            closed_at_ms: now_ms,
        })
    }
}
