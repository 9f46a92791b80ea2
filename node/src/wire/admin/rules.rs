//! Rules of consistency: how they hold in a unit, and the signed settings that switch and tune them.

use danso_core::messages::{self, Lang};
use danso_core::rules::{Rule, check_settings};
use danso_proto::change::{Body, RuleSetting, RulesPublished};
use danso_proto::ids::{Stream, UnitCode};
use danso_proto::limits;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::{Parts, of_pipeline, own_unit, unit_code};
use crate::pipeline::directory_draft;

impl Parts {
    pub(super) fn list_rules(
        &self,
        request: &pb::ListRulesRequest,
        lang: Lang,
    ) -> Result<pb::ListRulesResponse, Refusal> {
        let snapshot = self.pipeline.snapshot();
        let unit = match request.unit.as_str() {
            "" => own_unit(&snapshot)?.clone(),
            code => unit_code(code)?,
        };
        let books = snapshot.rulebooks();
        let book = books.of(&unit);
        let rules = Rule::ALL.iter().map(|rule| {
            let tuned = book.tuned(*rule);
            let numbers = rule.parameters().iter().enumerate().map(|(at, parameter)| pb::RuleNumber {
                name: parameter.name.to_owned(),
                value: tuned.map_or(parameter.default, |tuned| tuned.values[at]),
                product: parameter.default,
            });
            pb::ListedRule {
                rule: rule.code().to_owned(),
                severity: rule.severity().as_str().to_owned(),
                on: tuned.is_some(),
                numbers: numbers.collect(),
                message: messages::finding_text(rule.code(), lang).what.to_owned(),
            }
        });
        Ok(pb::ListRulesResponse { unit: unit.to_string(), rules: rules.collect() })
    }

    pub(super) async fn set_rule(&self, request: pb::SetRuleRequest) -> Result<pb::SetRuleResponse, Refusal> {
        self.not_revoked()?;
        let reason = request.reason.trim();
        if reason.is_empty() || reason.len() > limits::NOTE_MAX {
            let detail =
                format!("a setting needs a reason of at most {} bytes, for everybody to read", limits::NOTE_MAX);
            return Err(Refusal::new(Reason::RequestInvalid, detail));
        }
        let snapshot = self.pipeline.snapshot();
        let (own, units) = (own_unit(&snapshot)?.clone(), self.units(snapshot.directory())?);
        let unit = unit_code(&request.unit)?;
        if !units.contains(&unit) {
            let detail = format!("{unit} is not in the unit list {}", units.version());
            return Err(Refusal::new(Reason::UnitUnknown, detail));
        }
        if !units.is_within(&unit, &own) {
            return Err(Refusal::new(Reason::UnitNotOurs, format!("{unit} is neither {own} nor below it")));
        }
        let setting = setting(unit, &request)?;
        check_settings(std::slice::from_ref(&setting))
            .map_err(|error| Refusal::new(Reason::RequestInvalid, error.to_string()))?;
        let body = Body::RulesPublished(RulesPublished {
            units_version: units.version().to_owned(),
            settings: vec![setting],
            reason: reason.to_owned(),
        });
        let draft = directory_draft(own, body, self.clock.now_ms());
        let written = self.pipeline.write(Stream::Directory, vec![draft]).await.map_err(of_pipeline)?;
        tracing::info!(unit = request.unit, rule = request.rule, reason, "the operator set a rule of consistency");
        Ok(pb::SetRuleResponse { log: written.log.to_string(), sequence: written.size.saturating_sub(1) })
    }
}

fn setting(unit: UnitCode, request: &pb::SetRuleRequest) -> Result<RuleSetting, Refusal> {
    let invalid = |detail: &str| Refusal::new(Reason::RequestInvalid, detail);
    let state = match pb::RuleChoice::try_from(request.choice) {
        Ok(pb::RuleChoice::On) => Some(true),
        Ok(pb::RuleChoice::Off) => Some(false),
        Ok(pb::RuleChoice::Inherit) => None,
        Ok(pb::RuleChoice::Unspecified) | Err(_) => return Err(invalid("choose: on, off or inherit")),
    };
    if state != Some(true) && !request.numbers.is_empty() {
        return Err(invalid("numbers are for a rule that is on"));
    }
    let values = request.numbers.iter().map(|number| (number.name.clone(), number.value)).collect();
    Ok(RuleSetting { unit, rule: request.rule.clone(), state, values })
}
