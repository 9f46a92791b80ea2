//! Kinds of the stream `directory`.

use super::*;

kind! {
    /// The central node and its first log key.
    Genesis { node: NodeId, unit: UnitCode, log_public_key: [u8; 32], trust_domain: String, }
    from(m) {
        text("trust domain", &m.trust_domain, limits::TEXT_MAX)?;
        Ok(Self {
            node: m.node.parse()?,
            unit: m.unit.parse()?,
            log_public_key: key(&m.log_public_key)?,
            trust_domain: m.trust_domain,
        })
    };
    to(s) pb::Genesis {
        node: s.node.to_string(),
        unit: s.unit.to_string(),
        log_public_key: Bytes::copy_from_slice(&s.log_public_key),
        trust_domain: s.trust_domain.clone(),
    }
}

kind! {
    /// A parent enrols a child, or takes it over from another.
    NodeEnrolled {
        node: NodeId, unit: UnitCode, log_public_key: [u8; 32], policy: ForwardingPolicy, former: Vec<(LogId, u64)>,
    }
    from(m) Ok(Self {
        node: m.node.parse()?,
        unit: m.unit.parse()?,
        log_public_key: key(&m.log_public_key)?,
        policy: ForwardingPolicy::from_code(m.policy)?.ok_or_else(|| malformed("no forwarding policy"))?,
        former: read_bounds(&m.former)?,
    });
    to(s) pb::NodeEnrolled {
        node: s.node.to_string(),
        unit: s.unit.to_string(),
        log_public_key: Bytes::copy_from_slice(&s.log_public_key),
        policy: s.policy.code(),
        former: write_bounds(&s.former),
    }
}

kind! {
    /// A node's next log key, and from which sizes of its logs on it signs alone.
    NodeRekeyed { node: NodeId, log_public_key: [u8; 32], from: Vec<(LogId, u64)>, }
    from(m) Ok(Self { node: m.node.parse()?, log_public_key: key(&m.log_public_key)?, from: read_bounds(&m.from)? });
    to(s) pb::NodeRekeyed {
        node: s.node.to_string(),
        log_public_key: Bytes::copy_from_slice(&s.log_public_key),
        from: write_bounds(&s.from),
    }
}

impl TryFrom<pb::NodeRekeyed> for NodeRekeyed {
    type Error = Refusal;

    fn try_from(m: pb::NodeRekeyed) -> Result<Self, Refusal> {
        Self::from_pb(m)
    }
}

impl From<&NodeRekeyed> for pb::NodeRekeyed {
    fn from(rekeyed: &NodeRekeyed) -> Self {
        rekeyed.to_pb()
    }
}

kind! {
    /// A node's logs count up to a size and no further.
    NodeRevoked { node: NodeId, bounds: Vec<(LogId, u64)>, reason: String, }
    from(m) {
        text("reason", &m.reason, limits::NOTE_MAX)?;
        Ok(Self { node: m.node.parse()?, bounds: read_bounds(&m.bounds)?, reason: m.reason })
    };
    to(s) pb::NodeRevoked {
        node: s.node.to_string(),
        bounds: write_bounds(&s.bounds),
        reason: s.reason.clone(),
    }
}

kind! {
    /// Of two histories of a log the one stands that the author of this entry holds.
    ForkDecided { log: LogId, size: u64, root: [u8; 32], evidence: Option<[u8; 32]>, reason: String, }
    from(m) {
        text("reason", &m.reason, limits::NOTE_MAX)?;
        let evidence = if m.evidence.is_empty() { None } else { Some(key(&m.evidence)?) };
        Ok(Self { log: m.log.parse()?, size: m.size, root: key(&m.root)?, evidence, reason: m.reason })
    };
    to(s) pb::ForkDecided {
        log: s.log.to_string(),
        size: s.size,
        root: Bytes::copy_from_slice(&s.root),
        evidence: s.evidence.map(|hash| Bytes::copy_from_slice(&hash)).unwrap_or_default(),
        reason: s.reason.clone(),
    }
}

fn read_bounds(bounds: &[pb::LogBound]) -> Result<Vec<(LogId, u64)>, Refusal> {
    bounds.iter().map(|bound| Ok((bound.log.parse()?, bound.valid_size))).collect()
}

fn write_bounds(bounds: &[(LogId, u64)]) -> Vec<pb::LogBound> {
    bounds.iter().map(|(log, size)| pb::LogBound { log: log.to_string(), valid_size: *size }).collect()
}

/// A unit as published: the tier is text here, because only the core knows tiers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are described in change.proto")]
pub struct PublishedUnit {
    pub code: UnitCode,
    pub name: String,
    pub tier: String,
    pub parent: Option<UnitCode>,
}

kind! {
    /// A part of a dated unit list.
    UnitsPublished {
        version: String,
        valid_from: Option<u32>,
        part: u32,
        parts: u32,
        digest: [u8; 32],
        units: Vec<PublishedUnit>,
    }
    from(m) {
        text("units version", &m.version, 32)?;
        if m.units.len() > limits::UNITS_PER_PART {
            return Err(Refusal::new(Reason::TooLarge, format!("{} units in a part", m.units.len())));
        }
        let units = m.units.into_iter().map(|u| {
            text("unit name", &u.name, limits::TEXT_MAX)?;
            text("tier", &u.tier, 32)?;
            Ok(PublishedUnit { code: u.code.parse()?, name: u.name, tier: u.tier, parent: unit_or_none(&u.parent)? })
        }).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self {
            version: m.version,
            valid_from: packed_date(m.valid_from)?,
            part: m.part,
            parts: m.parts,
            digest: key(&m.digest)?,
            units,
        })
    };
    to(s) pb::UnitsPublished {
        version: s.version.clone(),
        valid_from: s.valid_from.unwrap_or_default(),
        part: s.part,
        parts: s.parts,
        digest: Bytes::copy_from_slice(&s.digest),
        units: s.units.iter().map(|u| pb::Unit {
            code: u.code.to_string(),
            name: u.name.clone(),
            tier: u.tier.clone(),
            parent: u.parent.as_ref().map(UnitCode::to_string).unwrap_or_default(),
        }).collect(),
    }
}

/// What became of an old unit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are described in change.proto")]
pub struct Succession {
    pub old_code: UnitCode,
    pub new_code: UnitCode,
    pub whole: bool,
    pub default_target: bool,
}

kind! {
    /// What became of units when a list replaced another.
    UnitsReorganised { from_version: String, to_version: String, successions: Vec<Succession>, }
    from(m) {
        text("units version", &m.from_version, 32)?;
        text("units version", &m.to_version, 32)?;
        let successions = m.successions.iter().map(|s| Ok(Succession {
            old_code: s.old_code.parse()?,
            new_code: s.new_code.parse()?,
            whole: s.whole,
            default_target: s.default_target,
        })).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self { from_version: m.from_version, to_version: m.to_version, successions })
    };
    to(s) pb::UnitsReorganised {
        from_version: s.from_version.clone(),
        to_version: s.to_version.clone(),
        successions: s.successions.iter().map(|s| pb::Succession {
            old_code: s.old_code.to_string(),
            new_code: s.new_code.to_string(),
            whole: s.whole,
            default_target: s.default_target,
        }).collect(),
    }
}

kind! {
    /// Rules of the federation.
    PolicyPublished { min_version: String, }
    from(m) {
        text("version", &m.min_version, 32)?;
        Ok(Self { min_version: m.min_version })
    };
    to(s) pb::PolicyPublished { min_version: s.min_version.clone() }
}

/// How a rule of consistency is applied in a unit and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are described in change.proto")]
pub struct RuleSetting {
    pub unit: UnitCode,
    pub rule: String,
    /// On or off; `None`: what was said before is taken back.
    pub state: Option<bool>,
    pub values: Vec<(String, u32)>,
}

kind! {
    /// Rules of consistency are switched or tuned.
    RulesPublished { units_version: String, settings: Vec<RuleSetting>, reason: String, }
    from(m) {
        text("units version", &m.units_version, 32)?;
        text("reason", &m.reason, limits::NOTE_MAX)?;
        if !(1..=limits::RULE_SETTINGS_MAX).contains(&m.settings.len()) {
            return Err(Refusal::new(Reason::TooLarge, format!("{} settings of rules", m.settings.len())));
        }
        let settings = m.settings.into_iter().map(read_setting).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self { units_version: m.units_version, settings, reason: m.reason })
    };
    to(s) pb::RulesPublished {
        units_version: s.units_version.clone(),
        settings: s.settings.iter().map(write_setting).collect(),
        reason: s.reason.clone(),
    }
}

fn read_setting(s: pb::RuleSetting) -> Result<RuleSetting, Refusal> {
    text("rule", &s.rule, limits::RULE_CODE_MAX)?;
    if s.values.len() > limits::RULE_VALUES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("{} numbers of a rule", s.values.len())));
    }
    let state = match pb::RuleState::try_from(s.state) {
        Ok(pb::RuleState::Unspecified) => None,
        Ok(pb::RuleState::On) => Some(true),
        Ok(pb::RuleState::Off) => Some(false),
        Err(_) => return Err(newer("rule state", s.state)),
    };
    let read = |value: pb::RuleValue| {
        text("number of a rule", &value.name, limits::RULE_CODE_MAX)?;
        Ok((value.name, value.value))
    };
    let values = s.values.into_iter().map(read).collect::<Result<Vec<_>, Refusal>>()?;
    Ok(RuleSetting { unit: s.unit.parse()?, rule: s.rule, state, values })
}

fn write_setting(s: &RuleSetting) -> pb::RuleSetting {
    let state = match s.state {
        None => pb::RuleState::Unspecified,
        Some(true) => pb::RuleState::On,
        Some(false) => pb::RuleState::Off,
    };
    pb::RuleSetting {
        unit: s.unit.to_string(),
        rule: s.rule.clone(),
        state: state as i32,
        values: s.values.iter().map(|(name, value)| pb::RuleValue { name: name.clone(), value: *value }).collect(),
    }
}
