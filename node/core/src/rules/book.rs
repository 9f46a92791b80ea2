//! Which rules hold in a unit, and with which numbers: what the product says, and what signed policies of nodes above make of it.
//!
//! For each rule the policy counts that was made for the nearest unit: the unit itself, else the one above it, and so on up. Of several for that
//! unit the one by the node nearest the root, of several by that node the last in its log. A policy holds for all changes, also for those that
//! were recorded before it. So what holds is a function of the directory logs, and never of the order in which they arrive.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use danso_proto::change::RuleSetting;
use danso_proto::ids::{NodeId, UnitCode};

use super::Rule;
use super::rule::PARAMETERS_MAX;
use crate::units::UnitList;
use crate::verify::Directory;

/// A rule's numbers, in the order of [`Rule::parameters`]; 0 behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuned {
    /// The numbers.
    pub values: [u32; PARAMETERS_MAX],
}

/// The rules of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rulebook {
    /// By the number of the rule; `None`: switched off.
    tuned: [Option<Tuned>; Rule::ALL.len()],
}

impl Default for Rulebook {
    /// All rules, with the product's numbers.
    fn default() -> Self {
        let mut tuned = [None; Rule::ALL.len()];
        for (rule, tuned) in Rule::ALL.iter().zip(&mut tuned) {
            *tuned = Some(of_product(*rule));
        }
        Self { tuned }
    }
}

fn of_product(rule: Rule) -> Tuned {
    let mut values = [0; PARAMETERS_MAX];
    for (parameter, value) in rule.parameters().iter().zip(&mut values) {
        *value = parameter.default;
    }
    Tuned { values }
}

impl Rulebook {
    /// The rule's numbers; `None` when it is switched off.
    pub fn tuned(&self, rule: Rule) -> Option<&Tuned> {
        self.tuned[rule as usize].as_ref()
    }

    /// This, with one more setting.
    fn set(&mut self, rule: Rule, setting: &RuleSetting) {
        self.tuned[rule as usize] = (setting.state == Some(true)).then(|| {
            let mut tuned = of_product(rule);
            for (parameter, value) in rule.parameters().iter().zip(&mut tuned.values) {
                let said = setting.values.iter().rev().find(|(name, _)| name == parameter.name);
                *value = said.map_or(*value, |(_, said)| *said).min(parameter.max);
            }
            tuned
        });
    }
}

/// One setting of a policy, and where it stands.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// What is set.
    pub setting: &'a RuleSetting,
    /// The unit list that its entry names.
    pub list: &'a UnitList,
    /// Who wrote it.
    pub author: &'a NodeId,
    /// How many nodes are above the author.
    pub depth: usize,
    /// Its entry in the author's directory log, and its place in it.
    pub at: (u64, usize),
}

/// Why a policy cannot be published as it is. What cannot be known here (a newer version's rule) is no reason for a reader to refuse it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No rule of this version.
    #[error("there is no rule {rule:?}")]
    RuleUnknown {
        /// The code as given.
        rule: String,
    },
    /// Not a number of the rule.
    #[error("rule {rule} has no number {name:?}")]
    ParameterUnknown {
        /// The rule.
        rule: Rule,
        /// The name as given.
        name: String,
    },
    /// Over what may be set.
    #[error("{name} of rule {rule} is {value}; at most {max}")]
    TooLarge {
        /// The rule.
        rule: Rule,
        /// The number's name.
        name: &'static str,
        /// The value as given.
        value: u32,
        /// The most that it may be.
        max: u32,
    },
}

/// Checks settings before they are signed.
///
/// # Errors
/// The first that this version would not do as it says.
pub fn check_settings(settings: &[RuleSetting]) -> Result<(), PolicyError> {
    for setting in settings {
        let unknown = || PolicyError::RuleUnknown { rule: setting.rule.clone() };
        let rule = Rule::from_code(&setting.rule).ok_or_else(unknown)?;
        for (name, value) in &setting.values {
            let parameter = rule.parameters().iter().find(|parameter| parameter.name == name);
            let parameter = parameter.ok_or_else(|| PolicyError::ParameterUnknown { rule, name: name.clone() })?;
            if *value > parameter.max {
                let (name, value, max) = (parameter.name, *value, parameter.max);
                return Err(PolicyError::TooLarge { rule, name, value, max });
            }
        }
    }
    Ok(())
}

/// The rules of every unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rulebooks {
    product: Rulebook,
    of: Arc<HashMap<UnitCode, Arc<Rulebook>>>,
}

/// How near a setting is: steps from the unit up, depth of the author, and then whatever tells two apart, so that one is the nearest. A newer list
/// goes before an older one.
type Nearness<'a> = (usize, usize, Reverse<Option<u32>>, &'a str, &'a NodeId);

impl Rulebooks {
    /// What the directory makes.
    pub fn by(directory: &Directory) -> Self {
        let settings = directory.rules().flat_map(|(by, at, rules)| {
            // Verified entries name a list that is here.
            let list = directory.units().get(&rules.units_version);
            let depth = directory.lineage(by.id()).count();
            list.into_iter().flat_map(move |list| {
                let placed = move |(place, setting)| Setting { setting, list, author: by.id(), depth, at: (at, place) };
                rules.settings.iter().enumerate().map(placed)
            })
        });
        Self::new(settings)
    }

    /// What these settings make, in whatever order they come.
    pub fn new<'a>(settings: impl Iterator<Item = Setting<'a>>) -> Self {
        // The last word of each author about a rule in a unit. One that takes back what was set leaves the rule to those above.
        let mut last: BTreeMap<(&NodeId, &str, &UnitCode, Rule), Setting<'a>> = BTreeMap::new();
        for setting in settings {
            let Some(rule) = Rule::from_code(&setting.setting.rule) else { continue };
            let key = (setting.author, setting.list.version(), &setting.setting.unit, rule);
            if last.get(&key).is_none_or(|held| held.at < setting.at) {
                last.insert(key, setting);
            }
        }
        let mut nearest: HashMap<&UnitCode, BTreeMap<Rule, (Nearness<'a>, &'a RuleSetting)>> = HashMap::new();
        for ((author, version, unit, rule), held) in last {
            if held.setting.state.is_none() {
                continue;
            }
            let begins = Reverse(held.list.valid_from().map(crate::calendar::PartialDate::packed));
            for below in held.list.subtree(unit) {
                let Some(steps) = held.list.ancestors(&below.code).position(|up| up.code == *unit) else { continue };
                let near = (steps, held.depth, begins, version, author);
                let best = nearest.entry(&below.code).or_default().entry(rule).or_insert((near, held.setting));
                if near < best.0 {
                    *best = (near, held.setting);
                }
            }
        }
        let of = nearest.into_iter().map(|(unit, settings)| {
            let mut book = Rulebook::default();
            settings.into_iter().for_each(|(rule, (_, setting))| book.set(rule, setting));
            (unit.clone(), Arc::new(book))
        });
        Self { product: Rulebook::default(), of: Arc::new(of.collect()) }
    }

    /// The rules of a unit.
    pub fn of(&self, unit: &UnitCode) -> &Rulebook {
        // Mostly nothing is set.
        if self.of.is_empty() { &self.product } else { self.of.get(unit).map_or(&self.product, |book| book) }
    }

    /// The units in which other rules hold than by `before`, sorted: what was judged there is judged again.
    pub fn differ(&self, before: &Self) -> Vec<UnitCode> {
        let mut units: Vec<UnitCode> = self.of.keys().chain(before.of.keys()).cloned().collect();
        units.retain(|unit| self.of(unit) != before.of(unit));
        units.sort_unstable();
        units.dedup();
        units
    }
}
