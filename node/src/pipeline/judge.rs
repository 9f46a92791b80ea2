//! Persons against the rules of consistency: each whom a batch touched by itself, and the families of mothers that it touched. What is doubtful
//! becomes findings beside those of the register, in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use danso_core::register::Person;
use danso_core::rules::{Family, Rule, Rulebooks, Suspicion, Unnamed, alone, family, unnamed};
use danso_proto::ids::{PersonId, UnitCode};

use super::Error;
use crate::store::{FindingKey, Tx};

/// Children of one mother that are judged together. Nobody has so many; who signs births of somebody by the thousand makes nothing slow by it.
const FAMILY_MAX: usize = 64;
/// Persons looked at together when other rules hold than before.
const PAGE: usize = 2_000;

/// What rules made of persons.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Findings about others than the touched that are forgotten, some of them for a moment.
    pub(super) forgotten: Vec<FindingKey>,
    /// What is doubtful now, one of a rule and change.
    pub(super) suspicions: Vec<Suspicion>,
}

/// Persons at hand: those of the batch, and others that were read.
struct Hand<'a> {
    touched: HashMap<PersonId, &'a Person>,
    read: HashMap<PersonId, Person>,
}

impl Hand<'_> {
    fn get(&self, id: PersonId) -> Option<&Person> {
        self.touched.get(&id).copied().or_else(|| self.read.get(&id))
    }

    async fn read(&mut self, tx: &mut Tx, ids: impl Iterator<Item = PersonId>) -> Result<(), Error> {
        let missing: BTreeSet<PersonId> = ids.filter(|id| self.get(*id).is_none()).collect();
        if !missing.is_empty() {
            let missing: Vec<PersonId> = missing.into_iter().collect();
            self.read.extend(tx.person_read(&missing).await?.into_iter().map(|person| (person.id(), person)));
        }
        Ok(())
    }
}

/// By mother, her children; `None`: too many to be a family.
type Families = BTreeMap<PersonId, Option<BTreeSet<PersonId>>>;

/// Judges `touched`, whose findings are forgotten already, and the children of the mothers among them or named by them. `touched` are as they are
/// stored now, sorted by id; `known` says of which there can be older rows.
pub(super) async fn judge(
    tx: &mut Tx,
    touched: &[Person],
    known: impl Fn(PersonId) -> bool,
    books: &Rulebooks,
) -> Result<Judged, Error> {
    let family_codes = Rule::FAMILY.map(Rule::code);
    let mut suspicions = Vec::new();
    touched.iter().for_each(|person| alone(person, books, &mut suspicions));
    note_unnamed(tx, touched, known, books).await?;
    let mut pairs: Vec<(PersonId, PersonId)> =
        touched.iter().flat_map(|child| child.mothers().map(|mother| (mother, child.id()))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    if !pairs.is_empty() {
        tx.kin_add(&pairs).await?;
    }
    let mut asked: Vec<PersonId> =
        touched.iter().map(Person::id).chain(pairs.iter().map(|(mother, _)| *mother)).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut families = read_families(tx, &asked).await?;
    if families.is_empty() {
        return Ok(Judged { forgotten: Vec::new(), suspicions: settled(suspicions) });
    }
    let touched: HashMap<PersonId, &Person> = touched.iter().map(|person| (person.id(), person)).collect();
    let mut hand = Hand { touched, read: HashMap::new() };
    let mut children: BTreeSet<PersonId> = families.values().flatten().flatten().copied().collect();
    for (mother, _) in families.iter().filter(|(_, children)| children.is_none()) {
        children.extend(tx.kin_doubted(*mother, &family_codes).await?);
    }
    hand.read(tx, children.iter().chain(families.keys()).copied()).await?;
    // A child of whom two say that they are mothers is judged in both families.
    let more: BTreeSet<PersonId> =
        children.iter().filter_map(|child| hand.get(*child)).flat_map(Person::mothers).collect();
    let more: Vec<PersonId> = more.into_iter().filter(|mother| !families.contains_key(mother)).collect();
    if !more.is_empty() {
        families.extend(read_families(tx, &more).await?);
        hand.read(tx, families.values().flatten().flatten().chain(families.keys()).copied()).await?;
    }
    for (mother, of) in &families {
        let Some(of) = of else { continue };
        let of: Vec<&Person> = of.iter().filter_map(|child| hand.get(*child)).collect();
        let mut found = Vec::new();
        family(Family { mother: *mother, record: hand.get(*mother), children: &of }, books, &mut found);
        suspicions.extend(found.into_iter().filter(|suspicion| children.contains(&suspicion.person)));
    }
    let others: Vec<PersonId> = children.into_iter().filter(|child| !hand.touched.contains_key(child)).collect();
    let forgotten = tx.finding_remove_of(&others, &family_codes).await?;
    Ok(Judged { forgotten, suspicions: settled(suspicions) })
}

async fn read_families(tx: &mut Tx, mothers: &[PersonId]) -> Result<Families, Error> {
    let mut families = Families::new();
    for (mother, child) in tx.kin_read(mothers, FAMILY_MAX).await? {
        let of = families.entry(mother).or_insert_with(|| Some(BTreeSet::new()));
        if let Some(children) = of {
            children.insert(child);
            if children.len() > FAMILY_MAX {
                *of = None;
            }
        }
    }
    Ok(families)
}

async fn note_unnamed(
    tx: &mut Tx,
    touched: &[Person],
    known: impl Fn(PersonId) -> bool,
    books: &Rulebooks,
) -> Result<(), Error> {
    let due: Vec<Unnamed> = touched.iter().filter_map(|person| unnamed(person, books)).collect();
    let old: Vec<PersonId> = touched.iter().map(Person::id).filter(|id| known(*id)).collect();
    // Most batches touch no newborn, and most registers have few without a name.
    if !due.is_empty() || (!old.is_empty() && tx.unnamed_any().await?) {
        tx.unnamed_put(&old, &due).await?;
    }
    Ok(())
}

/// Sorted, and one of each rule and change: the first.
fn settled(mut suspicions: Vec<Suspicion>) -> Vec<Suspicion> {
    suspicions.sort_unstable_by(|a, b| (a.change, a.rule, a).cmp(&(b.change, b.rule, b)));
    suspicions.dedup_by_key(|suspicion| (suspicion.change, suspicion.rule));
    suspicions
}

/// Judges the next persons behind `after` again, of whom something is said in `units`: other rules hold there than before. The last that was looked at, and
/// what came of it; `None` at the end.
pub(super) async fn again(
    tx: &mut Tx,
    after: Option<PersonId>,
    units: &[UnitCode],
    books: &Rulebooks,
) -> Result<Option<(PersonId, Judged)>, Error> {
    let mut persons = tx.person_page(after, PAGE).await?;
    let Some(last) = persons.last().map(Person::id) else { return Ok(None) };
    persons.retain(|person| person.facts().iter().any(|fact| units.binary_search(fact.unit()).is_ok()));
    let ids: Vec<PersonId> = persons.iter().map(Person::id).collect();
    let codes: Vec<&str> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    let forgotten = tx.finding_remove_of(&ids, &codes).await?;
    let mut judged = judge(tx, &persons, |_| true, books).await?;
    judged.forgotten.extend(forgotten);
    Ok(Some((last, judged)))
}
